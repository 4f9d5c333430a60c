# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers for drawing: what Blender's layouts lack."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import blf
from bpy.types import Context, UILayout, UIList

#: The guide that comes with the extension.
GUIDE: Final = Path(__file__).resolve().parents[1] / "guide.html"
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


def guide_button(layout: UILayout, text: str = "") -> None:
    """A button that opens the guide in the browser."""
    layout.operator("wm.url_open", text=text, icon="HELP").url = GUIDE.as_uri()


def fitting(context: Context, text: str, reserved: float) -> str:
    """``text`` on one line, cut to fit the region beside ``reserved`` pixels of icons and margins (at scale 1)."""
    return _cut(" ".join(text.split()), max(region_width(context) - reserved, 50.0))


def sentence(layout: UILayout, context: Context, text: str, icon: str = "NONE") -> None:
    """A sentence that was told, as wrapped labels as wide as the region; labels do not wrap."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    width = max(region_width(context) - (75.0 if icon != "NONE" else 50.0), 100.0)
    for index, line in enumerate(wrapped(text, width)):
        column.label(text=line, icon=icon if index == 0 else "BLANK1" if icon != "NONE" else "NONE")


@lru_cache(maxsize=512)
def wrapped(text: str, width: float) -> tuple[str, ...]:
    """Lines of ``text`` that are at most ``width`` pixels wide at scale 1, where its words are not wider."""
    lines = [""]
    for word in text.replace(" %", "\u00a0%").split(" "):  # a number and its % stay on one line
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)


@lru_cache(maxsize=512)
def _cut(text: str, width: float) -> str:
    if _width(text) <= width:
        return text
    length = next((n for n in range(len(text) - 1, 0, -1) if _width(f"{text[:n]}…") <= width), 1)
    return f"{text[:length].rstrip()}…"


def _width(text: str) -> float:
    """Pixels at scale 1, in the size of Blender's interface font."""
    blf.size(0, 11.0)
    return blf.dimensions(0, text)[0]


def region_width(context: Context) -> float:
    """Width of the region in pixels at scale 1."""
    return context.region.width / context.preferences.system.ui_scale if context.region else 300.0


def number_share(most: float) -> float:
    """How much of a row of a list its number needs, where the largest is so large: in a sidebar as it opens, with a
    scroll bar.
    """
    return 0.06 * min(max(len(f"{most:.0f}"), 2), 6)


def list_flags(ui: UIList, data: Any, texts: list[str]) -> list[int]:
    """Which places of a list are shown: those that have something, and that the filter finds."""
    wanted, shown = ui.filter_name.lower(), ui.bitflag_filter_item
    flags = [shown if wanted in text.lower() else 0 for text in texts]
    return [*flags, *[0] * (len(data.places) - len(flags))][: len(data.places)]
