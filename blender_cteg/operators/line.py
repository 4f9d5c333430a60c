# SPDX-License-Identifier: GPL-3.0-or-later
"""What generate and resample share: the line and the settings of a scene, or of the operator's arguments."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import desk
from ..settings import EMOTION_ITEMS, EMOTION_TO_ITEMS, EMOTION_WITH_ITEMS, LANGUAGE_ITEMS, NOWHERE
from ..shared import TimelineError
from ..worker.protocol import Line
from .jobs import Refusal, busy_reason
from .perform import Order, PerformOperator
from .timelines import text_of, timeline_in

if TYPE_CHECKING:
    from typing import Any

    from bpy.types import Context, Object, Scene

#: Settings that the arguments of the operator may override, for scripts.
_OVERRIDES = (
    "emotion", "emotion_to", "emotion_with", "share", "intensity", "energy", "speaking", "takes", "seed", "spread",
    "temperature", "seconds", "rate", "timing", "vary_timing", "language",
)  # fmt: skip
_NUMBERS = ("intensity", "temperature", "seconds", "rate", "share", "energy")


def disabled_reason(context: Context) -> str:
    """Why the settings of the scene cannot be performed as they are, or ""."""
    settings = context.scene.cteg
    return busy_reason() or desk.target_problem(context.scene, settings.target) or _line_problem(settings.line())


def _line_problem(text: str) -> str:
    """The cheapest check of a line; the generator makes the others."""
    return "" if text.strip() else "Type the line that the character says."


class LineOperator(PerformOperator):
    """Mixin of the operators that perform a line."""

    text: StringProperty(name="Line", description="What the character says", options={"SKIP_SAVE"})
    emotion: EnumProperty(name="Emotion", items=EMOTION_ITEMS, options={"SKIP_SAVE"})
    emotion_to: EnumProperty(name="Moves To", items=EMOTION_TO_ITEMS, options={"SKIP_SAVE"})
    emotion_with: EnumProperty(name="Mix With", items=EMOTION_WITH_ITEMS, options={"SKIP_SAVE"})
    share: FloatProperty(name="Share", default=0.5, options={"SKIP_SAVE"})
    intensity: FloatProperty(name="Intensity", default=1.0, options={"SKIP_SAVE"})
    energy: FloatProperty(name="Energy", default=1.0, options={"SKIP_SAVE"})
    speaking: BoolProperty(name="Speak", default=True, options={"SKIP_SAVE"})
    takes: IntProperty(name="Takes", default=1, options={"SKIP_SAVE"})
    seed: IntProperty(name="Seed", options={"SKIP_SAVE"})
    spread: BoolProperty(name="Most Different", options={"SKIP_SAVE"})
    temperature: FloatProperty(name="Temperature", default=1.0, options={"SKIP_SAVE"})
    seconds: FloatProperty(name="Length", description="0: as long as the line takes to say", options={"SKIP_SAVE"})
    rate: FloatProperty(name="Speaking Rate", default=1.0, options={"SKIP_SAVE"})
    timing: IntProperty(name="Timing", options={"SKIP_SAVE"})
    vary_timing: BoolProperty(name="Vary Timing", options={"SKIP_SAVE"})
    language: EnumProperty(name="Language", items=LANGUAGE_ITEMS, options={"SKIP_SAVE"})
    timeline: StringProperty(
        name="Timeline", description="A file that says when each sound is made", options={"SKIP_SAVE"}
    )
    target: StringProperty(name="Target", description="Name of the object that performs", options={"SKIP_SAVE"})
    start_frame: IntProperty(name="Start Frame", options={"SKIP_SAVE"})

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

    def given_timeline(self, context: Context) -> dict[str, Any] | None:
        """The times to perform with, from a file or from the text of the settings. `Refusal` when they are damaged."""
        source = context.scene.cteg.timeline_source
        try:
            if self.properties.is_property_set("timeline"):
                path = Path(bpy.path.abspath(self.timeline))
                return timeline_in(text_of(path), path.name).to_json()
            return None if source is None else timeline_in(source.as_string(), source.name).to_json()
        except TimelineError as error:
            raise Refusal(str(error)) from None

    def order(self, context: Context) -> Order:
        """See `PerformOperator`."""
        scene, settings = context.scene, context.scene.cteg
        wanted = {
            name: getattr(self if self.properties.is_property_set(name) else settings, name) for name in _OVERRIDES
        }
        for name in _NUMBERS:
            if not math.isfinite(wanted[name]):  # JSON has no word for it
                raise Refusal(f"{settings.bl_rna.properties[name].name} must be a number, not {wanted[name]:g}.")
            # A slider's 0.3 is 0.30000001192092896, and takes remember what was asked.
            wanted[name] = round(wanted[name], 6)
        wanted["seconds"] = wanted["seconds"] or None
        for name in ("emotion_to", "emotion_with"):
            wanted[name] = None if wanted[name] == NOWHERE else wanted[name]
        if wanted["emotion_with"] is None:
            wanted["share"] = 0.5  # of nothing; an older generator need not hear of it
        wanted["spread"] = wanted["spread"] and wanted["takes"] > 1  # one take differs from nothing
        text = self.text if self.properties.is_property_set("text") else settings.line()
        line = Line(text, timeline=self.given_timeline(context), **wanted)
        target = settings.target
        if self.target:
            target = scene.objects.get(self.target)
            if target is None:
                raise Refusal(f"There is no object called {self.target!r} in this scene; name another target.")
        if problem := desk.target_problem(scene, target) or _line_problem(line.text):
            raise Refusal(problem)
        if self.properties.is_property_set("start_frame"):
            start = self.start_frame
        else:
            start = settings.start_frame if settings.start == "FRAME" else self.current_start(scene, target, line)
        return Order(replace(line, seed=self.first_seed(target, line)), target, start)
