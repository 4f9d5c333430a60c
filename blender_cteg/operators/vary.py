# SPDX-License-Identifier: GPL-3.0-or-later
"""Vary: more takes like the one that is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import bpy
from bpy.props import FloatProperty

from .. import desk
from . import again
from .jobs import Refusal

if TYPE_CHECKING:
    from typing import Any

    from bpy.types import Context

    from ..worker.protocol import Line

#: How far takes go that are varied a little and a lot: 0 is the same take, 1 an unrelated one.
A_LITTLE: Final = 0.3
A_LOT: Final = 0.7


def disabled_reason(context: Context) -> str:
    """Why there is no take to vary, or ""."""
    return again.disabled_reason(context, "vary")


class CTEG_OT_vary(again.AgainOperator, bpy.types.Operator):
    bl_idname = "cteg.vary"
    bl_label = "Vary"
    bl_options = {"UNDO"}

    amount: FloatProperty(
        name="Amount",
        description="How far from the shown take: 0 is the same, 1 a new one",
        default=A_LITTLE,
        soft_min=0.0,
        soft_max=1.0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        if properties.amount <= (A_LITTLE + A_LOT) / 2:
            return "Perform takes that are close to the shown one, beside the ones there are"
        return "Perform takes that still remind of the shown one, beside the ones there are"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def changed(self, context: Context, made: dict[str, Any], line: Line) -> Line:
        """See `AgainOperator`."""
        if not math.isfinite(self.amount):  # JSON has no word for it
            raise Refusal(f"Amount must be a number, not {self.amount:g}.")
        # A slider's 0.3 is 0.30000001192092896, and takes remember what was asked.
        return replace(line, vary={"seed": line.seed, "amount": round(self.amount, 6), **desk.descent_of(made)})
