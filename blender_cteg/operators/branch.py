# SPDX-License-Identifier: GPL-3.0-or-later
"""Re-sample from here: other ways for the shown take to go on from the playhead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import bpy

from .. import desk
from . import again

if TYPE_CHECKING:
    from typing import Any

    from bpy.types import Context

    from ..worker.protocol import Line


def disabled_reason(context: Context) -> str:
    """Why the shown take cannot go on differently from the playhead, or ""."""
    if reason := again.disabled_reason(context, "branch"):
        return reason
    scene = context.scene
    made = desk.shown_made(scene.cteg.target)
    assert made is not None
    last = made["frames"] - 1
    if not 0 < desk.clip_frame(scene, made) < last:
        first, end = desk.scene_frame(scene, made, 0), desk.scene_frame(scene, made, last)
        return f"Move the playhead into the shown take first, between frames {first} and {end}."
    return ""


class CTEG_OT_branch(again.AgainOperator, bpy.types.Operator):
    bl_idname = "cteg.branch"
    bl_label = "Re-sample from Here"
    bl_description = "Perform takes that are like the shown one up to the playhead, and go on in other ways"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def changed(self, context: Context, made: dict[str, Any], line: Line) -> Line:
        """See `AgainOperator`."""
        takes = self.takes if self.properties.is_property_set("takes") else context.scene.cteg.takes
        return replace(
            line,
            branch={"seed": line.seed, "frame": desk.clip_frame(context.scene, made), **desk.descent_of(made)},
            spread=context.scene.cteg.spread and takes > 1,
        )
