# SPDX-License-Identifier: GPL-3.0-or-later
"""How a line is understood, segment by segment: that of the shown take, or the one of the panel where it was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import bpy
from bpy.types import Context, UILayout

from .. import cast
from ..emotions import label
from ..operators import reading as operators
from ..performance.record import Line
from ..segments import Segment, Stage
from ..sentences import shorten, told, translated
from .layouts import emotion_icon, fitting
from .panels import Sidebar

#: Most segments drawn at once: a long text shows those around the playhead.
_ROWS: Final = 6


class CTEG_PT_understood(Sidebar, bpy.types.Panel):
    bl_label = "Understood"
    bl_parent_id = "CTEG_PT_performance"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return bool(context.scene.cteg.line().strip()) or not operators.disabled_reason(context)

    def draw(self, context: Context) -> None:
        """Two rows per segment: its words, which lead to its first frame, and its emotion with where that came from."""
        line, read = cast.active_line(context.scene), operators.reading(context)
        segments = () if line is None or line.take is None else line.take.segments
        # The take's, unless the line of the panel has become another one and was read.
        unperformed = bool(read) and [s.text for s in read] != [s.text for s in segments]
        column = self.layout.column()
        if unperformed or line is None:
            column.label(text=told("Not performed yet:" if read else "Read the line to see how it is understood."))
        _draw_segments(column, context, read if unperformed else segments, None if unperformed else line)
        self.layout.operator("cteg.read_line", icon="VIEWZOOM")


def _draw_segments(column: UILayout, context: Context, segments: Sequence[Segment], line: Line | None) -> None:
    """Rows of the segments around the playhead; those that are not performed lead nowhere."""
    at = -1.0 if line is None else line.clip_frame(context.scene.frame_current)
    current = next((index for index, segment in enumerate(segments) if segment.start <= at < segment.end), None)
    first = min(max((current or 0) - _ROWS // 2, 0), max(len(segments) - _ROWS, 0))
    directable = line is not None and bool(segments) and not operators.undirectable(context)
    if first > 0:
        _more(column, told("… {count} before", count=first))
    for index, segment in enumerate(segments[first : first + _ROWS], first):
        part = column.column(align=True)
        if line is None:
            part.label(text=fitting(context, segment.text, 120.0), icon="BLANK1")
        else:
            _draw_words(part, context, index, segment, line.scene_frame(segment.start), index == current)
        # What was asked for the whole line is said once.
        same = index != first and understanding(segments[index - 1]) == understanding(segment)
        if segment.source != "asked" or not same:
            _draw_emotion(part, context, index, segment, directable)
        _draw_stage(part, context, segment)
    if (rest := len(segments) - first - _ROWS) > 0:
        _more(column, told("… {count} after", count=rest))


def _draw_words(column: UILayout, context: Context, index: int, segment: Segment, frame: int, current: bool) -> None:
    words = column.split(factor=0.81)
    row = words.row()
    row.alignment = "LEFT"
    text, icon = fitting(context, segment.text, 120.0), "PLAY" if current else "BLANK1"
    row.operator("cteg.go_to_segment", text=text, icon=icon, emboss=False).index = index
    number = words.row()
    number.alignment = "RIGHT"
    number.active = current
    number.label(text=str(frame))


def _draw_emotion(column: UILayout, context: Context, index: int, segment: Segment, directable: bool) -> None:
    row = column.row()
    text = row.row()
    text.alignment = "LEFT"
    text.separator(factor=2.0)
    played, icon = fitting(context, understanding(segment), 90.0), emotion_icon(segment.emotion)
    if segment.source == "asked" or not directable:
        text.active = False
        text.label(text=played, icon=icon)
        return
    text.operator("cteg.direct_segment", text=played, icon=icon, emboss=False).index = index
    # The same menu where menus open: a row of words does not look like something to click.
    arrow = row.row()
    arrow.alignment = "RIGHT"
    arrow.operator("cteg.direct_segment", text="", icon="DOWNARROW_HLT", emboss=False).index = index


def _draw_stage(column: UILayout, context: Context, segment: Segment) -> None:
    """What is done and noted beside the words."""
    for one in segment.stage:
        row = column.row()
        row.alignment = "LEFT"
        row.active = False
        row.separator(factor=2.0)
        icon = "INFO" if one.kind == "note" else "ARMATURE_DATA" if one.name else "CANCEL"
        row.label(text=fitting(context, beside(one), 90.0), icon=icon)


def beside(one: Stage) -> str:
    """What was understood of an action or a note, in a few words."""
    written = shorten(one.written, 24)
    if one.kind == "note":
        return told("({written}) a note", written=written)
    if one.name is None:
        return told("({written}) not played", written=written)
    return told("({written}) → {action}", written=written, action=translated(one.name.replace("_", " ").capitalize()))


def understanding(segment: Segment) -> str:
    """The emotion of a segment and where it came from, in a few words."""
    played = label(segment.emotion)
    if segment.emotion_with:
        played += f" + {label(segment.emotion_with)}"
    if segment.emotion_to:
        played += f" → {label(segment.emotion_to)}"
    if segment.source == "words":
        # Shares are of one emotion for all the words; where they move on, neither of the two has one.
        share = None if segment.emotion_to else segment.alternatives.get(segment.emotion)
        share_of = "" if share is None else f" {share:.0%}"
        played = told("{emotion}, from words", emotion=played + share_of)
    written = (segment.direction or "").strip("()[] ")
    # An emotion that was directed by its name needs no translation.
    if not written or written.lower().replace(" ", "_").startswith(segment.emotion):
        return played
    return f"({shorten(written, 16)}) {'→ ' if segment.source == 'direction' else ''}{played}"


def _more(column: UILayout, text: str) -> None:
    row = column.row()
    row.active = False
    row.label(text=text, icon="BLANK1")
