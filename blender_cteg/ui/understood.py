# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws how the line of the shown take was understood, segment by segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import desk
from ..emotions import label
from ..operators.segments import undirectable
from ..worker.protocol import shorten
from .layouts import emotion_icon, fitting

if TYPE_CHECKING:
    from bpy.types import Context, UILayout

    from ..performance.segments import Segment

#: Most segments drawn at once: a long text shows those around the playhead.
_ROWS: Final = 6


def draw_segments(layout: UILayout, context: Context) -> None:
    """Two rows per segment: its words, which lead to its first frame, and its emotion with where that came from."""
    scene = context.scene
    made = desk.shown_made(scene.cteg.target)
    if made is None:
        return
    segments = desk.segments_of(made)
    at = desk.clip_frame(scene, made)
    current = next((index for index, segment in enumerate(segments) if segment.start <= at < segment.end), None)
    first = min(max((current or 0) - _ROWS // 2, 0), max(len(segments) - _ROWS, 0))
    column = layout.column()
    directable = not undirectable(context)
    if first > 0:
        _more(column, f"{first} before")
    for index, segment in enumerate(segments[first : first + _ROWS], first):
        frame = desk.scene_frame(scene, made, segment.start)
        part = column.column(align=True)
        _draw_words(part, context, index, segment, frame, index == current)
        # What was asked for the whole line is said once.
        if segment.source != "asked" or index == first or understanding(segments[index - 1]) != understanding(segment):
            _draw_emotion(part, context, index, segment, directable)
    if (rest := len(segments) - first - _ROWS) > 0:
        _more(column, f"{rest} after")


def _draw_words(column: UILayout, context: Context, index: int, segment: Segment, frame: int, current: bool) -> None:
    words = column.split(factor=0.81)
    row = words.row()
    row.alignment = "LEFT"
    row.operator(
        "cteg.go_to_segment",
        text=fitting(context, segment.text, 148.0),
        icon="PLAY" if current else "BLANK1",
        emboss=False,
    ).index = index
    number = words.row()
    number.alignment = "RIGHT"
    number.active = current
    number.label(text=str(frame))


def _draw_emotion(column: UILayout, context: Context, index: int, segment: Segment, directable: bool) -> None:
    row = column.row()
    text = row.row()
    text.alignment = "LEFT"
    text.separator(factor=2.0)
    icon = emotion_icon(segment.emotion)
    played = fitting(context, understanding(segment), 100.0)
    if segment.source == "asked" or not directable:
        text.active = False
        text.label(text=understanding(segment), icon=icon)
        return
    text.operator("cteg.direct_segment", text=played, icon=icon, emboss=False).index = index
    # The same menu where menus open: a row of words does not look like something to click.
    arrow = row.row()
    arrow.alignment = "RIGHT"
    arrow.operator("cteg.direct_segment", text="", icon="DOWNARROW_HLT", emboss=False).index = index


def understanding(segment: Segment) -> str:
    """The emotion of a segment and where it came from, in a few words."""
    played = label(segment.emotion)
    if segment.emotion_with:
        played += f" + {label(segment.emotion_with)}"
    if segment.emotion_to:
        played += f" → {label(segment.emotion_to)}"
    if segment.source == "words":
        share = segment.alternatives.get(segment.emotion)
        played += f"{f' {share:.0%}' if share is not None else ''}, from words"
    written = (segment.direction or "").strip("()[] ")
    # An emotion that was directed by its name needs no translation.
    if not written or written.lower().replace(" ", "_").startswith(segment.emotion):
        return played
    return f"({shorten(written, 16)}) {'→ ' if segment.source == 'direction' else ''}{played}"


def _more(column: UILayout, text: str) -> None:
    row = column.row()
    row.active = False
    row.label(text=f"… {text}", icon="BLANK1")
