# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate: perform the line."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import bpy
from bpy.props import FloatProperty, IntProperty

from . import line
from .jobs import Refusal

if TYPE_CHECKING:
    from bpy.types import Context

    from .perform import Order

disabled_reason = line.disabled_reason


class CTEG_OT_generate(line.LineOperator, bpy.types.Operator):
    bl_idname = "cteg.generate"
    bl_label = "Generate"
    bl_description = "Perform the line: one new action per take on the target. Existing animation is kept"
    # No REGISTER: adjusting a value in the redo panel would perform everything again and block the interface.
    bl_options = {"UNDO"}

    # For scripts; in the interface, Vary and Re-sample from Here do the same with the take that is shown.
    vary_seed: IntProperty(name="Vary Seed", description="The takes are near that of this seed", options={"SKIP_SAVE"})
    vary_amount: FloatProperty(
        name="Vary Amount", description="0: the same, 1: a new take", default=0.3, options={"SKIP_SAVE"}
    )
    branch_seed: IntProperty(
        name="Branch Seed", description="The takes begin like that of this seed", options={"SKIP_SAVE"}
    )
    branch_frame: IntProperty(
        name="Branch Frame", description="The frame of the clip up to which they do", options={"SKIP_SAVE"}
    )

    def order(self, context: Context) -> Order:
        """See `PerformOperator`."""
        order, given = super().order(context), self.properties.is_property_set
        changes: dict[str, object] = {}
        if given("vary_seed"):
            if not math.isfinite(self.vary_amount):
                raise Refusal(f"Vary Amount must be a number, not {self.vary_amount:g}.")
            changes["vary"] = {"seed": self.vary_seed, "amount": round(self.vary_amount, 6)}
        if given("branch_seed"):
            if not given("branch_frame"):
                raise Refusal("Name the frame up to which the takes begin alike: branch_frame.")
            changes["branch"] = {"seed": self.branch_seed, "frame": self.branch_frame}
        return replace(order, line=replace(order.line, **changes))
