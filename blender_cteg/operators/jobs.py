# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators that ask the generator share: modal with a live interface, or to the end in background mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
from bpy.types import Timer

from ..ui.layouts import redraw_panels
from ..worker import session
from ..worker.locate import LocateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpy.types import Context, Event

#: Seconds between two looks at the generator.
_INTERVAL = 0.1


class Refusal(Exception):
    """The operator cannot do what was asked; the message is a sentence."""


def busy_reason() -> str:
    """Why no job can start now, or ""."""
    return "" if session.job is None else "CTEG is already working; wait, or cancel it first."


class JobOperator:
    """Mixin: `prepare` says what to ask, `complete` uses the answer once, on the main thread.

    Neither is called unless the steps before succeeded, so a failed or cancelled job leaves the scene as it was.
    """

    _timer: Timer | None = None
    _shown: str = ""

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        """Interpreter from the preferences ("" for the default), request, and label. `Refusal` when it cannot be."""
        raise NotImplementedError

    def complete(self, context: Context, job: session.Job) -> None:
        """Use what arrived. `Refusal` when it cannot be used; then nothing may have changed."""
        raise NotImplementedError

    def conclude(self, problem: str) -> None:
        """Forget the job, and keep the sentence it failed with ("" if it did not) where the user looks for it."""
        session.finish(problem)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        """Start, and return to Blender's interface."""
        if bpy.app.background or context.window is None:
            return self.execute(context)
        if not self._start(context):
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(_INTERVAL, window=context.window)
        context.window_manager.modal_handler_add(self)
        self._show_progress(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        """Look for news on every tick of the timer; everything else goes on to Blender."""
        job = session.job
        if job is None:  # another file was loaded, or the extension was disabled
            self._leave(context)
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS" and not job.cancelling:
            session.cancel()
            self._show_progress(context)
            return {"RUNNING_MODAL"}
        if event.type == "TIMER":
            session.poll()
            if job.over:
                self._leave(context)
                return self._finish(context, job)
            self._show_progress(context)
        return {"PASS_THROUGH"}

    def execute(self, context: Context) -> set[str]:
        """Run to the end before returning, for scripts and background mode."""
        if not self._start(context):
            return {"CANCELLED"}
        job = session.job
        manager = context.window_manager
        manager.progress_begin(0.0, 1.0)
        try:
            while not job.over:
                session.poll(0.05)
                manager.progress_update(job.fraction)
        finally:  # a keyboard interrupt too
            manager.progress_end()
            if not job.over:
                session.finish()
        return self._finish(context, job)

    def cancel(self, context: Context) -> None:
        """Called by Blender when the window closes or another file is loaded."""
        session.finish()
        self._leave(context)

    def _start(self, context: Context) -> bool:
        if reason := busy_reason():
            self.report({"ERROR"}, reason)
            return False
        try:
            session.start(*self.prepare(context))
        except (Refusal, LocateError) as refusal:
            self.conclude(str(refusal))
            redraw_panels(context)
            self.report({"ERROR"}, str(refusal))
            return False
        return True

    def _finish(self, context: Context, job: session.Job) -> set[str]:
        problem = job.problem
        if not problem and not job.cancelled:
            try:
                self.complete(context, job)
            except Refusal as refusal:
                problem = str(refusal)
            except Exception:  # Blender prints it; the job is over all the same
                self.conclude("CTEG failed; nothing may have been written. The reason is in the system console.")
                redraw_panels(context)
                raise
        self.conclude(problem)
        redraw_panels(context)
        if problem:
            self.report({"ERROR"}, problem)
            return {"CANCELLED"}
        if job.cancelled:
            self.report({"INFO"}, f"{job.label}: cancelled, nothing was changed")
            return {"CANCELLED"}
        return {"FINISHED"}

    def _show_progress(self, context: Context) -> None:
        job = session.job
        if job is None:
            return
        text = f"{job.label}: {job.stage}, {job.fraction:.0%}    Esc: cancel"
        # Only what changed is drawn again: redrawing on every tick disturbs the buttons under the mouse.
        if text != self._shown and context.workspace is not None:
            self._shown = text
            context.workspace.status_text_set(text)
            redraw_panels(context)

    def _leave(self, context: Context) -> None:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        if context.workspace is not None:
            context.workspace.status_text_set(None)
        redraw_panels(context)
