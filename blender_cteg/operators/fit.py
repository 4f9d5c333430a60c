# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit again: forget the mapping kept on a FLAME mesh and fit its expression keys anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .. import desk
from ..character.detection.detect import detect_rig
from ..character.fitting.fitted import fit_summary, refit
from ..character.mapping import MappingError

if TYPE_CHECKING:
    from bpy.types import Context


def disabled_reason(context: Context) -> str:
    """Why the target cannot be fitted, or ""."""
    target = context.scene.cteg.target
    if problem := desk.target_problem(context.scene, target):
        return problem
    rig = detect_rig(target)
    if rig.kind != "FLAME" or rig.object is None:
        return "Only FLAME faces are fitted; this one has ARKit keys and needs no fit."
    if not rig.object.data.is_editable:
        return f"The mesh {rig.object.data.name} is linked from another file; make a library override of it first."
    return ""


class CTEG_OT_fit_again(bpy.types.Operator):
    bl_idname = "cteg.fit_again"
    bl_label = "Fit Again"
    bl_description = (
        "Fit the ARKit actions to this FLAME mesh's expression keys anew. The mapping that is kept on the mesh, also "
        "an edited one, is replaced"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        try:
            mapping = refit(detect_rig(context.scene.cteg.target))
        except MappingError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, " ".join(fit_summary(mapping)) or "Fitted.")
        return {"FINISHED"}
