# SPDX-License-Identifier: GPL-3.0-or-later
"""Extend scene: let the scene last until the shown take ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .. import desk

if TYPE_CHECKING:
    from bpy.types import Context


def disabled_reason(context: Context) -> str:
    """Why the scene needs no more frames, or ""."""
    end = desk.end_of_shown(context.scene.cteg.target)
    if end is None:
        return "No take is shown; generate a line, or choose a take from the list."
    return "" if end > context.scene.frame_end else "The shown take ends within the scene."


class CTEG_OT_extend_scene(bpy.types.Operator):
    bl_idname = "cteg.extend_scene"
    bl_label = "Extend Scene"
    bl_description = "Move the last frame of the scene to the end of the shown take"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        end = desk.end_of_shown(context.scene.cteg.target)
        if end is None:
            return {"CANCELLED"}
        context.scene.frame_end = end
        return {"FINISHED"}
