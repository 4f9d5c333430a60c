# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a FLAME face shows the actions: a line in the panel, and behind it the table of what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..character.detection.detect import detect_rig
from ..character.fitting.fitted import GOOD_PERCENT, fit_lines, kept_mapping, residual_table
from .layouts import sentence

if TYPE_CHECKING:
    from bpy.types import Context, Object, UILayout


def draw_fit(layout: UILayout, context: Context, target: Object | None) -> None:
    """The fit's summary with a button for its table; nothing for a face without a fit."""
    lines = fit_lines(detect_rig(target))
    for index, line in enumerate(lines):
        row = layout.row(align=True)
        column = row.column(align=True)
        column.active = index > 0
        sentence(column, context, line, icon="BLANK1" if index == 0 else "ERROR")
        if index == 0:
            row.popover("CTEG_PT_fit", text="", icon="PRESET")


class CTEG_PT_fit(bpy.types.Panel):
    bl_label = "Fit"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"
    bl_ui_units_x = 14

    def draw(self, context: Context) -> None:
        layout = self.layout
        mapping = kept_mapping(detect_rig(context.scene.cteg.target))
        layout.label(text="Left over of each action, the weakest first")
        if mapping is not None:
            column = layout.column(align=True)
            column.scale_y = 0.8
            for channel, millimetres, percent in residual_table(mapping):
                row = column.split(factor=0.6)
                row.label(text=channel, icon="ERROR" if percent > GOOD_PERCENT else "CHECKMARK")
                row.label(text=f"{millimetres:.2f} mm")
                row.label(text=f"{percent:.0f} %")
        layout.operator("cteg.fit_again", icon="FILE_REFRESH")
