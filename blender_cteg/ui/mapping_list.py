# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of channels: those that move nothing on top, then region by region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy

from ..character.face import face_of, rows_of
from ..character.mapping import MappingError
from .layouts import region_width

if TYPE_CHECKING:
    from bpy.types import Context, UILayout

    from ..character.mapping_rows import Row
    from .mapping_fields import CTEG_MappingEditor, CTEG_MappingRow

#: From this width of the sidebar on, in pixels at scale 1, targets are listed beside the channels.
_WIDE: Final = 300.0
_ICONS: Final = {
    "SURE": "CHECKMARK",
    "MADE": "GREASEPENCIL",
    "SUGGESTED": "QUESTION",
    "LOST": "ERROR",
    "NOTHING": "REMOVE",
}


def row_icon(row: Row) -> str:
    """The icon that says how sure a channel's targets are."""
    return _ICONS[row.standing]


def shown_rows(context: Context) -> tuple[Row, ...]:
    """The rows of the scene's target; none where there is no mapping to show."""
    face = face_of(context.scene.cteg.target)
    try:
        return () if face is None else rows_of(face)
    except MappingError:
        return ()


class CTEG_UL_mapping(bpy.types.UIList):
    """The channels of the target's mapping."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, item: CTEG_MappingRow, _icon: int,
        _active: CTEG_MappingEditor, _property: str, _index: int, _flag: int,
    ) -> None:  # fmt: skip
        row = next((row for row in shown_rows(context) if row.channel == item.name), None)
        if row is None:
            layout.label(text=item.name)
            return
        wide = region_width(context) >= _WIDE
        names = layout.split(factor=0.76 if wide else 0.68, align=True)
        both = names.split(factor=0.52, align=True) if wide else names
        name = both.row(align=True)
        name.active = not item.mute and row.standing != "NOTHING"
        name.label(text=item.name, icon=_ICONS[row.standing])
        if wide:  # else there is room for the channel alone, and its targets are below the list
            target = both.row()
            target.active = not item.mute and bool(row.targets)
            target.label(text=row.label or "nothing")
        values = names.row(align=True)
        gain = values.row(align=True)
        gain.active = bool(row.targets) and not item.mute
        gain.prop(item, "gain", text="", emboss=False)
        values.prop(item, "mute", text="", icon="CHECKBOX_DEHLT" if item.mute else "CHECKBOX_HLT", emboss=False)

    def filter_items(self, context: Context, data: CTEG_MappingEditor, _property: str) -> tuple[list[int], list[int]]:
        rows = shown_rows(context)
        places = {row.channel: place for place, row in enumerate(rows)}
        wanted = self.filter_name.lower()
        searched = {row.channel: f"{row.channel} {row.label}".lower() for row in rows}
        flags = [
            self.bitflag_filter_item if item.name in places and wanted in searched[item.name] else 0
            for item in data.rows
        ]
        # Rows of other spaces are not shown and may go anywhere, each to a place of its own.
        order = sorted(range(len(flags)), key=lambda index: places.get(data.rows[index].name, len(flags)))
        new_places = [0] * len(flags)
        for place, index in enumerate(order):
            new_places[index] = place
        return flags, new_places
