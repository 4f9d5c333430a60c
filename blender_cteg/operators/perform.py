# SPDX-License-Identifier: GPL-3.0-or-later
"""What all operators share that put new takes on a face: the order, and what becomes of the answer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
from bpy.props import FloatProperty

from .. import desk
from ..character.rig import shorten as names
from ..emotions import label
from ..performance.keyframes import Style
from ..preferences import choices
from ..worker import session
from ..worker.protocol import Line, shorten
from .jobs import JobOperator, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bpy.types import Action, Context, Object


@dataclass(frozen=True)
class Order:
    """What to perform on which face, from which frame of the scene."""

    line: Line
    target: Object
    start_frame: int


@dataclass(frozen=True)
class _Place:
    """Where the takes go: scene and object by `session_uid`, which survive renaming and undo."""

    scene: int
    target: int
    target_name: str
    start_frame: int
    style: Style
    last_seed: int


class PerformOperator(JobOperator):
    """Mixin of the operators that put new takes on a face."""

    reduction: FloatProperty(name="Reduction", options={"SKIP_SAVE"})

    _place: _Place | None = None

    def order(self, context: Context) -> Order:
        """What to perform. `Refusal` when it cannot be."""
        raise NotImplementedError

    def warn(self, job: session.Job) -> None:
        """Report what the user should know about the new takes, beside the generator's own warnings."""

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        """See `JobOperator`."""
        scene, order, chosen = context.scene, self.order(context), choices(context)
        reduction = (self if self.properties.is_property_set("reduction") else scene.cteg).reduction
        if not 0.0 <= reduction <= 100.0:
            raise Refusal(f"Reduction must be from 0 to 100 percent, not {reduction:g}.")
        self._place = _Place(
            scene.session_uid, order.target.session_uid, order.target.name, order.start_frame,
            Style(scene.cteg.interpolation, reduction), order.line.last_seed,
        )  # fmt: skip
        request = {
            "op": "generate",
            "lines": [order.line.as_message()],
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
        mode, interactive = choices(context).widen, not bpy.app.background and context.window is not None
        before = desk.slider_ranges(target)
        try:
            actions = desk.write(
                scene, target, job.takes, place.start_frame, place.style, place.last_seed,
                widen=desk.sliders_may_widen(target, mode, interactive),
            )  # fmt: skip
        except desk.DeskError as error:
            raise Refusal(str(error)) from error
        widened = [name for name, range_ in desk.slider_ranges(target).items() if before.get(name) != range_]
        if widened:
            self.report({"INFO"}, f"Widened the sliders of {names(widened)} for these takes")
        self._tell_cut_off(context, target, actions, ask=mode == "ASK" and interactive)
        for sentence in desk.what_stays(target):
            self.report({"WARNING"}, sentence)
        for warning in dict.fromkeys(warning for take in job.takes for warning in take.warnings):
            self.report({"WARNING"}, warning)
        self.warn(job)
        self.report({"INFO"}, _summary(target, job))

    def _tell_cut_off(self, context: Context, target: Object, actions: Sequence[Action], *, ask: bool) -> None:
        """Sliders that cut the takes off: ask about them once, or name them."""
        cut = desk.cut_off(target, actions)
        if not cut:
            return
        if ask and not desk.answered(target) and context.scene.cteg.target == target:
            with contextlib.suppress(RuntimeError):  # its poll says why sliders cannot be widened
                bpy.ops.cteg.widen_sliders("INVOKE_DEFAULT")
                return
        self.report({"WARNING"}, f"The range of these sliders cuts the takes off: {names(cut)}")


def _find(collection: Any, uid: int) -> Any:
    return next((item for item in collection if item.session_uid == uid), None)


def _summary(target: Object, job: session.Job) -> str:
    first = job.takes[0]
    count = "1 take" if len(job.takes) == 1 else f"{len(job.takes)} takes"
    seconds = len(first.values) / first.fps
    seeds = _seeds([take.seed for take in job.takes])
    return f"{target.name}: {count} of “{shorten(first.text, 40)}” ({label(first.emotion)}, {seconds:.1f} s, {seeds})"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"
