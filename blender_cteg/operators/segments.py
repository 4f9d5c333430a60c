# SPDX-License-Identifier: GPL-3.0-or-later
"""The segments of the shown take: go to one, or direct it differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
from bpy.props import IntProperty, StringProperty

from .. import desk
from ..emotions import EMOTIONS, NAMES, label
from ..performance.directing import directed, is_line_of
from ..performance.segments import Segment, SegmentError
from ..ui.layouts import emotion_icon, redraw_panels
from ..worker.protocol import shorten

if TYPE_CHECKING:
    from typing import Any

    from bpy.types import Context, Event, UILayout


def disabled_reason(context: Context) -> str:
    """Why there is no segment to go to, or ""."""
    made = desk.shown_made(context.scene.cteg.target)
    if made is None:
        return "No take is shown; generate a line, or choose a take from the list."
    return "" if desk.segments_of(made) else "The shown take does not say how its line was understood; generate again."


def undirectable(context: Context) -> str:
    """Why the line of the panel cannot be directed after the shown take, or ""."""
    if reason := disabled_reason(context):
        return reason
    settings = context.scene.cteg
    if settings.text_source is not None and not settings.text_source.is_editable:
        return f"The text {settings.text_source.name} is linked from another file. Direct it there."
    made = desk.shown_made(settings.target)
    if made is None or not is_line_of(settings.line(), desk.segments_of(made)):
        return "The line in the panel is not the one of the shown take; generate it first, then direct it."
    return ""


class _SegmentOperator:
    """Mixin: works on a segment of the shown take."""

    index: IntProperty(name="Segment", description="Which part of the line, from 0", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        # Asked for every row of the panel at every redraw, so only what costs nothing; the rest is found out later.
        if context.scene.cteg.target is None:
            cls.poll_message_set("No take is shown; generate a line, or choose a take from the list.")
            return False
        return True

    def reason(self, context: Context) -> str:
        """Why nothing can be done with any segment, or ""."""
        return disabled_reason(context)

    def segment(self, context: Context) -> tuple[dict[str, Any], tuple[Segment, ...], Segment] | None:
        """What the take was made from, its segments and the one that is meant; None, and a report, without one."""
        if reason := self.reason(context):
            self.report({"ERROR"}, reason)
            return None
        made = desk.shown_made(context.scene.cteg.target)
        segments = desk.segments_of(made) if made is not None else ()
        if made is None or not 0 <= self.index < len(segments):
            self.report({"ERROR"}, f"The shown take has {len(segments)} segments and none is number {self.index}.")
            return None
        return made, segments, segments[self.index]


class CTEG_OT_go_to_segment(_SegmentOperator, bpy.types.Operator):
    bl_idname = "cteg.go_to_segment"
    bl_label = "Go to Segment"
    bl_description = "Move the playhead to the first frame of this part of the line"
    bl_options = {"UNDO_GROUPED"}
    bl_undo_group = "Frame Change"

    def execute(self, context: Context) -> set[str]:
        found = self.segment(context)
        if found is None:
            return {"CANCELLED"}
        made, _, segment = found
        context.scene.frame_set(desk.scene_frame(context.scene, made, segment.start))
        return {"FINISHED"}


class CTEG_OT_direct_segment(_SegmentOperator, bpy.types.Operator):
    bl_idname = "cteg.direct_segment"
    bl_label = "Direct Segment"
    bl_description = "Choose another emotion for this part: a direction is written into the line, ready for Generate"
    bl_options = {"UNDO"}

    emotion: StringProperty(name="Emotion", description="Empty: ask", options={"SKIP_SAVE"})

    def reason(self, context: Context) -> str:
        """See `_SegmentOperator`."""
        return undirectable(context)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        if self.emotion:
            return self.execute(context)
        found = self.segment(context)
        if found is None:
            return {"CANCELLED"}
        index, segment = self.index, found[2]

        def draw(menu: Any, _context: Context) -> None:
            _draw_choices(menu.layout, index, segment)

        context.window_manager.popup_menu(draw, title=f"Play “{shorten(segment.text, 30)}” with")
        return {"CANCELLED"}  # what is chosen runs the operator again

    def execute(self, context: Context) -> set[str]:
        found = self.segment(context)
        if found is None:
            return {"CANCELLED"}
        if self.emotion not in NAMES:
            self.report({"ERROR"}, f"There is no emotion called {self.emotion!r}; choose one of {', '.join(NAMES)}.")
            return {"CANCELLED"}
        settings = context.scene.cteg
        try:
            line = directed(settings.line(), found[1], self.index, self.emotion)
        except SegmentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if settings.text_source is None:
            settings.text = line
        else:
            settings.text_source.from_string(line)
        redraw_panels(context)
        self.report({"INFO"}, f"{label(self.emotion)} was written into the line; generate it again")
        return {"FINISHED"}


def _draw_choices(layout: UILayout, index: int, segment: Segment) -> None:
    """What else the words could mean, likeliest first, then all other emotions."""
    likely = sorted(segment.alternatives.items(), key=lambda pair: -pair[1])
    likely = [(name, share) for name, share in likely if name in NAMES and name != segment.emotion]
    for name, share in likely:
        _choice(layout, index, name, f"{label(name)}  {share:.0%}")
    if likely:
        layout.separator()
    for emotion in EMOTIONS:
        if emotion.name not in segment.alternatives and emotion.name != segment.emotion:
            _choice(layout, index, emotion.name, emotion.label)


def _choice(layout: UILayout, index: int, name: str, text: str) -> None:
    row = layout.row()
    row.operator_context = "EXEC_DEFAULT"
    choice = row.operator("cteg.direct_segment", text=text, icon=emotion_icon(name))
    choice.index, choice.emotion = index, name
