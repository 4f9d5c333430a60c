# SPDX-License-Identifier: GPL-3.0-or-later
"""Widen sliders: asked once for a face whose sliders would cut a take off."""

from __future__ import annotations

import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING

import bpy

from .. import desk
from ..character.detection.detect import detect_rig
from ..character.rig import shorten
from ..performance import ranges
from ..performance.keyframes import TakeError
from ..ui.layouts import redraw_panels

if TYPE_CHECKING:
    from bpy.types import Context, Event

    from ..character.rig import Rig


#: Width of the dialog at scale 1, and how many characters of a sentence fit.
_WIDTH = 360
_CHARACTERS = 52


def disabled_reason(context: Context) -> str:
    """Why there are no sliders to widen, or ""."""
    target = context.scene.cteg.target
    if reason := desk.target_problem(context.scene, target):
        return reason
    rig = detect_rig(target)
    tight = ranges.tight_keys(rig, ranges.extremes_of(desk.takes_of(target), rig))
    return ranges.why_not_wider(rig, tight) if tight else "The sliders are wide enough for every take of this face."


class CTEG_OT_widen_sliders(bpy.types.Operator):
    bl_idname = "cteg.widen_sliders"
    bl_label = "Widen Sliders"
    bl_description = "Give the shape keys of the target the range that its takes need"
    bl_options = {"REGISTER", "UNDO"}

    _tight: tuple[str, ...] = ()

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context: Context, _event: Event) -> set[str]:
        rig, takes = self._rig_and_takes(context)
        self._tight = tuple(ranges.tight_keys(rig, ranges.extremes_of(takes, rig)))
        answered: set[str] = context.window_manager.invoke_props_dialog(self, width=_WIDTH, confirm_text="Widen")
        return answered

    def draw(self, _context: Context) -> None:
        text = (
            f"The sliders of {shorten(self._tight)} are narrower than the takes need, so Blender cuts the movement "
            "off. Widen them? You are asked once for this face."
        )
        column = self.layout.column(align=True)
        for line in textwrap.wrap(text, _CHARACTERS):  # the region behind a dialog says nothing about its width
            column.label(text=line)

    def cancel(self, context: Context) -> None:
        """The animator wants the sliders as they are; the panel goes on saying what is cut off."""
        ranges.remember(self._rig_and_takes(context)[0], False)

    def execute(self, context: Context) -> set[str]:
        rig, takes = self._rig_and_takes(context)
        extremes = ranges.extremes_of(takes, rig)
        tight = ranges.tight_keys(rig, extremes)
        try:
            with ExitStack() as undo:
                ranges.widen(rig, extremes, undo, all_keys=True)
                ranges.remember(rig, True)
                undo.pop_all()
        except TakeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        redraw_panels(context)
        self.report({"INFO"}, f"Widened the sliders of {shorten(tight)}")
        return {"FINISHED"}

    @staticmethod
    def _rig_and_takes(context: Context) -> tuple[Rig, list[bpy.types.Action]]:
        target = context.scene.cteg.target
        return detect_rig(target), desk.takes_of(target)
