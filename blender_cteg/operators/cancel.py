# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancel: end the job under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..ui.layouts import redraw_panels
from ..worker import session

if TYPE_CHECKING:
    from bpy.types import Context


def disabled_reason(_context: Context) -> str:
    """Why there is nothing to cancel, or ""."""
    return "CTEG is not working on anything." if session.job is None else ""


class CTEG_OT_cancel(bpy.types.Operator):
    bl_idname = "cteg.cancel"
    bl_label = "Cancel"
    bl_description = "Stop generating. The scene stays as it was"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        if session.job.cancelling:
            session.finish()  # asked twice: whoever waits for the end is gone
        else:
            session.cancel()
        redraw_panels(context)
        return {"FINISHED"}
