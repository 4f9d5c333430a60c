# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers for drawing: what Blender's layouts lack."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from ..worker.protocol import shorten

if TYPE_CHECKING:
    from bpy.types import Context, UILayout

#: Width of an average character of Blender's interface font, in pixels at scale 1.
_CHARACTER = 6.3
#: A colour per family of emotions, as Plutchik's wheel and most theatres have them. Blender has no icons of faces.
_COLOURS: Final[dict[str, str]] = {
    "01": "anger sadly_angry angrily_disgusted",
    "02": "surprise happily_surprised awed pride",
    "03": "joy amusement",
    "04": "disgust",
    "05": "sadness bittersweet",
    "06": "fear sadly_fearful confusion",
    "07": "affection embarrassment",
    "08": "contempt",
    "09": "neutral boredom",
}
_ICONS: Final = {name: f"STRIP_COLOR_{colour}" for colour, names in _COLOURS.items() for name in names.split()}


def emotion_icon(name: str) -> str:
    """The coloured icon of an emotion; none for a name without a colour."""
    return _ICONS.get(name, "NONE")


def fitting(context: Context, text: str, reserved: float) -> str:
    """``text`` on one line, cut to fit the region beside ``reserved`` pixels of icons and margins (at scale 1)."""
    # Closer than sentences, which must never be cut: Blender itself cuts a label that is a little too long.
    return shorten(text, max(int((region_width(context) - reserved) / (0.88 * _CHARACTER)), 8))


def sentence(layout: UILayout, context: Context, text: str, icon: str = "NONE") -> None:
    """A sentence as wrapped labels, as wide as the region; labels do not wrap by themselves."""
    width = max(int((region_width(context) - (80.0 if icon != "NONE" else 55.0)) / _CHARACTER), 16)
    column = layout.column(align=True)
    column.scale_y = 0.8
    # A no-break space keeps a number and its % on one line.
    for index, line in enumerate(textwrap.wrap(text.replace(" %", "\u00a0%"), width)):
        column.label(text=line, icon=icon if index == 0 else "BLANK1" if icon != "NONE" else "NONE")


def region_width(context: Context) -> float:
    """Width of the region in pixels at scale 1."""
    return context.region.width / context.preferences.system.ui_scale if context.region else 300.0


def redraw_panels(context: Context) -> None:
    """Redraw every sidebar and the preferences, where progress is shown."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "PREFERENCES"}:
                for region in area.regions:
                    if region.type in {"UI", "WINDOW"} and (area.type == "PREFERENCES" or region.type == "UI"):
                        region.tag_redraw()
