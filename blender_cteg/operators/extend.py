# SPDX-License-Identifier: GPL-3.0-or-later
"""Extend scene: let the scene last until the last line ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bpy

from .. import cast
from ..sentences import told
from . import Reasoned

if TYPE_CHECKING:
    from bpy.types import Context


def last_frame(context: Context) -> int | None:
    """The frame where the last line of the target ends, None where it has none."""
    lines = cast.character(context.scene).lines
    return math.ceil(max(line.end for line in lines)) if lines else None


def disabled_reason(context: Context) -> str:
    """Why the scene needs no more frames, or ""."""
    end = last_frame(context)
    if end is None:
        return told("There is no line yet; generate one first.")
    return "" if end > context.scene.frame_end else told("All lines end within the scene.")


class CTEG_OT_extend_scene(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.extend_scene"
    bl_label = "Extend Scene to Last Line"
    bl_description = "Move the last frame of the scene to the end of the last line"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(disabled_reason)

    def execute(self, context: Context) -> set[str]:
        context.scene.frame_end = last_frame(context)
        return {"FINISHED"}
