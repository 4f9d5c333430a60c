# SPDX-License-Identifier: GPL-3.0-or-later
"""Add the demo head and make it the target."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import bpy
from bpy.props import StringProperty
from mathutils import Euler

from ..heads.demo_head import DemoHeadError

if TYPE_CHECKING:
    from bpy.types import Context

#: From the front, a little from the side and from above: how portraits are looked at.
_THREE_QUARTER = Euler((math.radians(84), 0.0, math.radians(24))).to_quaternion()


def disabled_reason(context: Context) -> str:
    """Why no object can be added now, or ""."""
    return "" if context.mode == "OBJECT" else "Leave the current mode first: switch to Object Mode."


class CTEG_OT_add_head(bpy.types.Operator):
    bl_idname = "cteg.add_head"
    bl_label = "Add Demo Head"
    bl_description = "Add a human head that is ready to perform, and make it the target"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", default="CTEG Head")

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        from ..heads.demo_head.assemble import add_demo_head

        try:
            head = add_demo_head(context, self.name)
        except DemoHeadError as error:
            message = str(error)
            self.report({"ERROR"}, f"{message[:1].upper()}{message[1:]}.".replace("..", "."))
            return {"CANCELLED"}
        context.scene.cteg.target = head
        look_at_face(context)
        return {"FINISHED"}


def look_at_face(context: Context) -> None:
    """Turn the viewport to the new face: it is small beside a default cube, and may face away."""
    if context.window is None or context.area is None or context.area.type != "VIEW_3D":
        return
    region = next((region for region in context.area.regions if region.type == "WINDOW"), None)
    view = context.space_data.region_3d
    if region is None or view is None or view.view_perspective == "CAMERA" or view.lock_rotation:
        return
    view.view_rotation = _THREE_QUARTER
    view.view_perspective = "PERSP"
    # A view that cannot move is no reason to fail.
    with contextlib.suppress(RuntimeError), context.temp_override(region=region):
        bpy.ops.view3d.view_selected()
