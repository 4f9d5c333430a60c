# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the bones of an imported FLAME face to where the joints of its identity are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..heads.flame_file import FlameFileError
from ..heads.flame_file.joints import fit_bones, joints_problem
from . import head

if TYPE_CHECKING:
    from bpy.types import Context


def disabled_reason(context: Context) -> str:
    """Why there are no bones to fit now, or ""."""
    return head.disabled_reason(context) or joints_problem(context.scene.cteg.target)


class CTEG_OT_fit_bones(bpy.types.Operator):
    bl_idname = "cteg.fit_bones"
    bl_label = "Fit Bones to Identity"
    bl_description = "Move neck, jaw and eye bones to where they belong after the Shape keys changed who the face is"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        try:
            farthest = fit_bones(context, context.scene.cteg.target)
        except FlameFileError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Moved the bones by up to {1000 * farthest:.1f} mm.")
        return {"FINISHED"}
