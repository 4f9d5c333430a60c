# SPDX-License-Identifier: GPL-3.0-or-later
"""Widen sliders: asked once for a face whose sliders would cut its lines off."""

from __future__ import annotations

from typing import Final

import bpy
from bpy.types import Context, Event

from .. import cast
from ..character.rig import shorten
from ..performance import ranges
from ..sentences import told
from ..ui.layouts import wrapped
from . import Changes, Reasoned

#: Width of the dialog at scale 1.
_WIDTH: Final = 360


def disabled_reason(context: Context) -> str:
    """Why there are no sliders to widen, or ""."""
    character = cast.character(context.scene)
    if character.problem or not character.tight:
        return character.problem or told("The sliders are wide enough for every line of this face.")
    return ranges.why_not_wider(character.rig, character.tight)


class CTEG_OT_widen_sliders(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.widen_sliders"
    bl_label = "Widen Sliders"
    bl_description = "Give the shape keys of the target the range that its lines need"

    reason = staticmethod(disabled_reason)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        answered: set[str] = context.window_manager.invoke_props_dialog(self, width=_WIDTH, confirm_text="Widen")
        return answered

    def draw(self, context: Context) -> None:
        text = told(
            "The sliders of {names} are narrower than the lines need, so Blender cuts the movement off. Widen them? "
            "You are asked once for this face.", names=shorten(cast.character(context.scene).tight),
        )  # fmt: skip
        column = self.layout.column(align=True)
        for line in wrapped(text, _WIDTH - 40.0):  # the region behind a dialog says nothing about its width
            column.label(text=line)

    def cancel(self, context: Context) -> None:
        """The animator wants the sliders as they are; the panel goes on saying what is cut off."""
        ranges.remember(cast.character(context.scene).rig, False)

    def change(self, context: Context) -> str:
        character = cast.refresh(context.scene)
        with ranges.widened(character.rig, ranges.extremes_of(character.rig), all_keys=True):
            ranges.remember(character.rig, True)
        cast.refresh(context.scene)
        return told("Widened the sliders of {names}", names=shorten(character.tight))
