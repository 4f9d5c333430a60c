# SPDX-License-Identifier: GPL-3.0-or-later
"""Re-sample: more takes of the same line, with seeds not used before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .. import desk
from . import line as line_settings
from .jobs import Refusal

if TYPE_CHECKING:
    from bpy.types import Context, Object, Scene

    from ..worker.protocol import Line

_NO_TAKE = "Generate this line first; Re-sample then adds more takes of it."


def disabled_reason(context: Context) -> str:
    """Why there is nothing to make more takes of, or ""."""
    settings = context.scene.cteg
    if reason := line_settings.disabled_reason(context):
        return reason
    return "" if desk.next_seed(settings.target, settings.line()) is not None else _NO_TAKE


class CTEG_OT_resample(line_settings.LineOperator, bpy.types.Operator):
    bl_idname = "cteg.resample"
    bl_label = "Re-sample"
    bl_description = "Perform the line again with new seeds: other takes beside the ones there are"
    bl_options = {"UNDO"}

    def first_seed(self, target: Object, line: Line) -> int:
        """The seed after the last one drawn from for this line."""
        if self.properties.is_property_set("seed"):
            return line.seed
        seed = desk.next_seed(target, line.text)
        if seed is None:
            raise Refusal(_NO_TAKE)
        return seed

    def current_start(self, scene: Scene, target: Object, line: Line) -> int:
        """Where the other takes of the line begin: whoever watched one has moved the playhead since."""
        start = desk.start_of(target, line.text)
        return scene.frame_current if start is None else start
