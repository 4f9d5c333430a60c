# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers for drawing: what Blender's layouts lack."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Context, UILayout

#: Width of an average character of Blender's interface font, in pixels at scale 1.
_CHARACTER = 6.3


def sentence(layout: UILayout, context: Context, text: str, icon: str = "NONE") -> None:
    """A sentence as wrapped labels, as wide as the region; labels do not wrap by themselves."""
    pixels = context.region.width / context.preferences.system.ui_scale if context.region else 300.0
    width = max(int((pixels - (80.0 if icon != "NONE" else 55.0)) / _CHARACTER), 16)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for index, line in enumerate(textwrap.wrap(text, width)):
        column.label(text=line, icon=icon if index == 0 else "BLANK1" if icon != "NONE" else "NONE")


def redraw_panels(context: Context) -> None:
    """Redraw every sidebar and the preferences, where progress is shown."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "PREFERENCES"}:
                for region in area.regions:
                    if region.type in {"UI", "WINDOW"} and (area.type == "PREFERENCES" or region.type == "UI"):
                        region.tag_redraw()
