# SPDX-License-Identifier: GPL-3.0-or-later
"""What vary and branch share: new takes made from the one that is shown, with the settings it was performed with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bpy.props import IntProperty

from .. import desk
from ..shared import ARKIT55
from ..worker import session
from .jobs import Refusal, busy_reason
from .perform import Order, PerformOperator

if TYPE_CHECKING:
    from typing import Any

    from bpy.types import Context

    from ..worker.protocol import Line


def disabled_reason(context: Context, feature: str) -> str:
    """Why no takes can be made from the shown one, or ""."""
    target = context.scene.cteg.target
    if reason := busy_reason() or desk.target_problem(context.scene, target):
        return reason
    made = desk.shown_made(target)
    if made is None:
        return f"{target.name} shows no take; generate a line, or choose a take from the list."
    if not session.offers(feature):
        return "This generator cannot do that; install the extension and the generator from the same CTEG zip."
    return ""


class AgainOperator(PerformOperator):
    """Mixin of the operators that make new takes from the shown one; they begin on the same frame."""

    takes: IntProperty(name="Takes", description="As many as Generate makes, unless given", options={"SKIP_SAVE"})
    seed: IntProperty(name="Seed", description="The first unused one, unless given", options={"SKIP_SAVE"})

    _checkpoint: str = ""
    _one_layer: bool = False

    def changed(self, context: Context, made: dict[str, Any], line: Line) -> Line:
        """What is asked for instead of the shown take's own line. `Refusal` when that cannot be."""
        raise NotImplementedError

    def order(self, context: Context) -> Order:
        """See `PerformOperator`."""
        settings = context.scene.cteg
        made = desk.shown_made(settings.target)
        assert made is not None, "poll has looked"
        given = self.properties.is_property_set
        seed = self.seed if given("seed") else desk.next_seed(settings.target, made["text"])
        if seed is None:
            raise Refusal("The shown take belongs to another face; choose one from the list.")
        try:
            line = self.changed(context, made, desk.asked_for(made))
        except desk.DeskError as error:
            raise Refusal(str(error)) from None
        self._one_layer = line.speaking and not line.layered
        line = replace(line, seed=seed, takes=self.takes if given("takes") else settings.takes)
        self._checkpoint = str(made["settings"].get("checkpoint", ""))
        return Order(line, settings.target, made["start_frame"])

    def warn(self, job: session.Job) -> None:
        """See `PerformOperator`."""
        now = str(job.takes[0].settings.get("checkpoint", ""))
        if self._checkpoint and now != self._checkpoint:
            self.report(
                {"WARNING"},
                f"The checkpoint is {now} now and was {self._checkpoint}: the new takes do not resemble the shown one",
            )
        if self._one_layer and job.takes[0].space == ARKIT55.name:
            self.report(
                {"WARNING"},
                "Like the shown take, which an earlier CTEG made, the new ones do not say the line with their mouth; "
                "generate it again for that",
            )
