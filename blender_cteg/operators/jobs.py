# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of the generator: what operators share that start one, checking that it works, and cancelling.

With a live interface such an operator is modal, in background mode it runs to the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import bpy
from bpy.types import Context, Event, Header, Timer

from ..cast import redraw_panels
from ..character.detection.editable import rendering
from ..preferences import choices
from ..sentences import Told, told, translated
from ..worker import session
from ..worker.locate import LocateError
from . import Reasoned

if TYPE_CHECKING:
    from ..worker.environment import EnvironmentMaker

#: Seconds between two looks at the generator.
_INTERVAL: Final = 0.1
#: Whether the status bar shows a job.
_status_shown = False


class Refusal(Told):
    """The operator cannot do what was asked."""


def busy_reason() -> str:
    """Why no job can start now, or ""."""
    if session.live is not None:
        return told("A take is being directed live; let go of it first.")
    return "" if session.job is None else told("CTEG is already working; wait, or cancel it first.")


def why_wait(context: Context) -> str:
    """What must end before anything is written to the scene, in a few words; "" when nothing must."""
    if job := rendering():
        return told("waiting for the render to end" if job == "render" else "waiting for the bake to end")
    return told("waiting for Blender") if context.window_manager.is_interface_locked else ""


class JobOperator(Reasoned):
    """Mixin: `prepare` says what to ask, `complete` uses the answer once, on the main thread.

    Neither is called unless the steps before succeeded, so a failed or cancelled job leaves the scene as it was.
    What keeps them from it, any `Told`, is reported. An operator follows the job that it started and no other. Esc is
    left to whatever else is going on, such as playback, a menu or a tool; a job ends by the Cancel button beside its
    progress, in the status bar and in the panel.
    """

    _job: session.Job | None = None
    _timer: Timer | None = None
    _shown: str = ""

    @staticmethod
    def reason(_context: Context) -> str:
        return busy_reason()

    def prepare(self, context: Context) -> tuple[str | EnvironmentMaker, Mapping[str, Any], str]:
        """Who works (an interpreter: the generator in it), request, label. `Told` when it cannot be."""
        raise NotImplementedError

    def complete(self, context: Context, job: session.Job) -> None:
        """Use what arrived. `Told` when it cannot be used; then nothing may have changed."""
        raise NotImplementedError

    def missed(self, _context: Context, _job: session.Job) -> bool:
        """The job failed; whether that is dealt with, as where one of many lines was refused."""
        return False

    def follow_up(self, _context: Context) -> tuple[str | EnvironmentMaker, Mapping[str, Any], str] | None:
        """What is asked after a job that went well, as `prepare` says it; None when all is done."""
        return None

    def meanwhile(self, _context: Context) -> None:
        """Called when what `follow_up` said was asked for: what can be done while the generator works on it."""

    def nothing_changed(self) -> str:
        """What is said of a job that was cancelled."""
        return told("{label}: cancelled, nothing was changed", label=self._job.label)

    def conclude(self, problem: str, kind: str = "") -> None:
        """Forget the job, and keep the sentence it failed with ("" if it did not) where the user looks for it."""
        session.finish(problem, kind)

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
        job = self._job
        if session.job is not job:  # another file was loaded, or it was given up
            self._leave(context)
            return {"CANCELLED"}
        if event.type == "TIMER":
            if not job.over:
                job.poll()
            if job.over:
                waiting = "" if job.cancelled or job.problem else why_wait(context)
                if not waiting:
                    return self._go_on(context)
                job.stage, job.fraction = waiting, 1.0
            self._show_progress(context)
        return {"PASS_THROUGH"}

    def execute(self, context: Context) -> set[str]:
        """Run to the end before returning, for scripts and background mode."""
        if not self._start(context):
            return {"CANCELLED"}
        manager, result = context.window_manager, {"RUNNING_MODAL"}
        while result == {"RUNNING_MODAL"}:
            job = self._job
            manager.progress_begin(0.0, 1.0)
            try:
                while not job.over:
                    job.poll(0.05)
                    manager.progress_update(job.fraction)
            finally:  # a keyboard interrupt too
                manager.progress_end()
                if not job.over and session.job is job:
                    session.finish()
            result = self._finish(context)
        return result

    def cancel(self, context: Context) -> None:
        """Called by Blender when the window closes or another file is loaded."""
        if self._job is not None and session.job is self._job:
            sentence = "{label} was cancelled because its window was closed; nothing was changed."
            self.conclude(told(sentence, label=self._job.label))
        self._leave(context)

    def _start(self, context: Context) -> bool:
        if reason := busy_reason():
            self.report({"ERROR"}, reason)
            return False
        try:
            self._job = session.start(*self.prepare(context))
        except Told as refusal:
            self.conclude(str(refusal), "environment" if isinstance(refusal, LocateError) else "input")
            redraw_panels(context)
            self.report({"ERROR"}, str(refusal))
            return False
        return True

    def _go_on(self, context: Context) -> set[str]:
        """Use what arrived, and leave unless there is more to ask for."""
        result = {"FINISHED"}
        try:
            result = self._finish(context)
        finally:
            if result != {"RUNNING_MODAL"}:
                self._leave(context)
        return {"PASS_THROUGH"} if result == {"RUNNING_MODAL"} else result

    def _finish(self, context: Context) -> set[str]:
        """Use what arrived; {"RUNNING_MODAL"} where more is asked for then."""
        job = self._job
        if session.job is not job:
            return {"CANCELLED"}
        problem = "" if job.cancelled or (job.problem and self.missed(context, job)) else job.problem
        asked = None
        if not problem and not job.cancelled:
            try:
                if not job.problem:
                    self.complete(context, job)
                asked = self.follow_up(context)
            except Told as refusal:
                problem = str(refusal)
            except Exception:  # Blender prints it; the job is over all the same
                self.conclude(told("CTEG failed; nothing may have been written. The reason is in the system console."))
                redraw_panels(context)
                raise
        self.conclude(problem, job.kind)
        if asked is not None:
            try:
                self._job = session.start(*asked)
            except LocateError as error:
                problem = str(error)
                self.conclude(problem, "environment")
            else:
                self._while_it_works(context)
                return {"RUNNING_MODAL"}
        redraw_panels(context)
        if problem:
            self.report({"ERROR"}, problem)
        elif job.cancelled:
            self.report({"INFO"}, self.nothing_changed())
        return {"CANCELLED"} if problem or job.cancelled else {"FINISHED"}

    def _while_it_works(self, context: Context) -> None:
        try:
            self.meanwhile(context)
        except Exception:  # Blender prints it; nobody waits for the job any more
            self.conclude(told("CTEG failed; the reason is in the system console."))
            raise

    def _show_progress(self, context: Context) -> None:
        # Only what changed is drawn again: redrawing on every tick disturbs the buttons under the mouse.
        if (shown := f"{self._job.stage} {self._job.fraction:.0%}") != self._shown:
            self._shown = shown
            _show_status(context, _draw_status)
            redraw_panels(context)

    def _leave(self, context: Context) -> None:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        hide_status(context)
        redraw_panels(context)


class InPreferences(JobOperator):
    """Mixin: a job whose outcome is shown in the preferences."""

    def conclude(self, problem: str, _kind: str = "") -> None:
        session.finish()
        session.checked = problem or session.checked


class CTEG_OT_check_generator(InPreferences, bpy.types.Operator):
    bl_idname = "cteg.check_generator"
    bl_label = "Check Generator"
    bl_description = "Perform a line as chosen here; show versions, the engine, its device and how long it takes"
    bl_options = {"INTERNAL"}

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        session.checked, chosen = None, choices(context)
        return chosen.python, chosen.asked("check"), told("Checking the generator")

    def complete(self, _context: Context, job: session.Job) -> None:
        session.checked = job.client.hello, job.done
        self.report({"INFO"}, told(
            "{engine}: a take of 5 s in {seconds:.2f} s", engine=session.engine(job.done), seconds=job.done.seconds,
        ))  # fmt: skip


class CTEG_OT_cancel(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.cancel"
    bl_label = "Stop Working"
    bl_description = "Stop what is being done. The scene stays as it was"
    bl_options = {"INTERNAL"}

    @staticmethod
    def reason(_context: Context) -> str:
        return told("CTEG is not working on anything.") if session.job is None else ""

    def execute(self, context: Context) -> set[str]:
        if session.job.cancelling:
            session.finish()  # asked twice: whoever waits for the end is gone
        else:
            session.job.cancel()
        redraw_panels(context)
        return {"FINISHED"}


def hide_status(context: Context) -> None:
    """Give the status bar back to Blender."""
    if _status_shown:
        _show_status(context, None)


def _show_status(context: Context, draw: Any) -> None:
    # A function is drawn in every window and workspace; a text would stay in the workspace that is left.
    global _status_shown
    _status_shown = draw is not None
    for window in context.window_manager.windows:
        window.workspace.status_text_set(draw)


def _draw_status(header: Header, _context: Context) -> None:
    job = session.job
    if job is not None:
        row = header.layout.row(align=True)
        row.operator("cteg.cancel", text="Cancel", icon="X")
        row.progress(factor=job.fraction, text=f"{job.fraction:.0%}")
        header.layout.label(text=f"{job.label} ({translated(job.stage)})")
        header.layout.template_running_jobs()
