# SPDX-License-Identifier: GPL-3.0-or-later
"""What generate and resample share: from the settings of a scene to takes on its target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import desk, session
from ..emotions import label
from ..preferences import choices
from ..properties import EMOTION_ITEMS
from ..worker.protocol import Line, shorten
from .jobs import JobOperator, Refusal, busy_reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpy.types import Context, Object, Scene

#: Settings that the arguments of the operator may override, for scripts.
_OVERRIDES = ("text", "emotion", "intensity", "takes", "seed", "temperature", "seconds")


def disabled_reason(context: Context) -> str:
    """Why the settings of the scene cannot be performed as they are, or ""."""
    settings = context.scene.cteg
    return busy_reason() or desk.target_problem(context.scene, settings.target) or line_problem(settings.text)


def line_problem(text: str) -> str:
    """The cheapest check of a line; the generator makes the others."""
    return "" if text.strip() else "Type the line that the character says."


@dataclass(frozen=True)
class _Place:
    """Where the takes go: scene and object by `session_uid`, which survive renaming and undo."""

    scene: int
    target: int
    target_name: str
    start_frame: int
    interpolation: str


class PerformOperator(JobOperator):
    """Mixin of the operators that put new takes on a face."""

    text: StringProperty(name="Line", description="What the character says", options={"SKIP_SAVE"})
    emotion: EnumProperty(name="Emotion", items=EMOTION_ITEMS, options={"SKIP_SAVE"})
    intensity: FloatProperty(name="Intensity", default=1.0, options={"SKIP_SAVE"})
    takes: IntProperty(name="Takes", default=1, options={"SKIP_SAVE"})
    seed: IntProperty(name="Seed", options={"SKIP_SAVE"})
    temperature: FloatProperty(name="Temperature", default=1.0, options={"SKIP_SAVE"})
    seconds: FloatProperty(name="Length", description="0: as long as the line takes to say", options={"SKIP_SAVE"})
    target: StringProperty(name="Target", description="Name of the object that performs", options={"SKIP_SAVE"})
    start_frame: IntProperty(name="Start Frame", options={"SKIP_SAVE"})

    _place: _Place | None = None

    @classmethod
    def poll(cls, context: Context) -> bool:
        # Only what no argument can change: a script may bring its own target and line.
        if reason := busy_reason():
            cls.poll_message_set(reason)
        return not reason

    def first_seed(self, target: Object, line: Line) -> int:
        """The seed of the first take. `Refusal` when there is none."""
        return line.seed

    def current_start(self, scene: Scene, target: Object, line: Line) -> int:
        """Where takes begin when no frame is given."""
        return scene.frame_current

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        """See `JobOperator`."""
        scene, settings = context.scene, context.scene.cteg
        wanted = {
            name: getattr(self if self.properties.is_property_set(name) else settings, name) for name in _OVERRIDES
        }
        for name in ("intensity", "temperature", "seconds"):
            if not math.isfinite(wanted[name]):  # JSON has no word for it
                raise Refusal(f"{settings.bl_rna.properties[name].name} must be a number, not {wanted[name]:g}.")
        wanted["seconds"] = wanted["seconds"] or None
        line = Line(**wanted)
        target = settings.target
        if self.target:
            target = scene.objects.get(self.target)
            if target is None:
                raise Refusal(f"There is no object called {self.target!r} in this scene; name another target.")
        if problem := desk.target_problem(scene, target) or line_problem(line.text):
            raise Refusal(problem)
        if self.properties.is_property_set("start_frame"):
            start = self.start_frame
        else:
            start = settings.start_frame if settings.start == "FRAME" else self.current_start(scene, target, line)
        self._place = _Place(scene.session_uid, target.session_uid, target.name, start, settings.interpolation)
        chosen = choices(context)
        request = {
            "op": "generate",
            "lines": [line.as_message() | {"seed": self.first_seed(target, line)}],
            "checkpoint": chosen.checkpoint,
            "device": chosen.device,
        }
        return chosen.python, request, self.bl_label

    def complete(self, context: Context, job: session.Job) -> None:
        """See `JobOperator`."""
        place = self._place
        scene, target = _find(bpy.data.scenes, place.scene), _find(bpy.data.objects, place.target)
        if scene is None:
            raise Refusal("The scene was removed while its performance was generated; nothing was changed.")
        if target is None or scene.objects.get(target.name) != target:
            raise Refusal(f"{place.target_name} was removed while its performance was generated; nothing was changed.")
        if not job.takes:
            raise Refusal("The generator sent no takes; generate again, or check it in the CTEG preferences.")
        try:
            desk.write(scene, target, job.takes, place.start_frame, place.interpolation)
        except desk.DeskError as error:
            raise Refusal(str(error)) from error
        for warning in dict.fromkeys(warning for take in job.takes for warning in take.warnings):
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, _summary(target, job))


def _find(collection: Any, uid: int) -> Any:
    return next((item for item in collection if item.session_uid == uid), None)


def _summary(target: Object, job: session.Job) -> str:
    first, last = job.takes[0], job.takes[-1]
    seeds = f"seed {first.seed}" if len(job.takes) == 1 else f"seeds {first.seed} to {last.seed}"
    count = "1 take" if len(job.takes) == 1 else f"{len(job.takes)} takes"
    seconds = len(first.values) / first.fps
    return f"{target.name}: {count} of “{shorten(first.text, 40)}” ({label(first.emotion)}, {seconds:.1f} s, {seeds})"
