# SPDX-License-Identifier: GPL-3.0-or-later
"""How a line is understood: read before it is performed; and part by part of the shown take, gone to and directed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty
from bpy.types import Context, Event, UILayout

from .. import cast
from ..cast import redraw_panels
from ..dialogue.casting import named_before
from ..emotions import EMOTIONS, NAMES, label
from ..performance.directing import directed, is_line_of
from ..performance.record import Take
from ..preferences import choices
from ..segments import Segment, SegmentError, in_order
from ..sentences import shorten, told
from ..settings import chosen, request
from ..ui.layouts import emotion_icon
from ..worker import session
from . import Changes, Reasoned
from .jobs import JobOperator, Refusal, busy_reason


def shown_take(context: Context) -> Take | None:
    """The take of the active line that is on the curves."""
    line = cast.active_line(context.scene)
    return None if line is None else line.take


def disabled_reason(context: Context) -> str:
    """Why there is no segment to go to, or ""."""
    take = shown_take(context)
    if take is None:
        return told("No take is shown; generate a line, or choose a take from the list.")
    return "" if take.segments else told("The shown take does not say how its line was understood; generate again.")


def undirectable(context: Context) -> str:
    """Why the line of the panel cannot be directed after the shown take, or ""."""
    if reason := disabled_reason(context):
        return reason
    settings = context.scene.cteg
    if settings.text_source is not None and not settings.text_source.is_editable:
        return told("The text {name} is linked from another file. Direct it there.", name=settings.text_source.name)
    if not is_line_of(settings.line(), shown_take(context).segments):
        return told("The line in the panel is not the one of the shown take; generate it first, then direct it.")
    return ""


class _SegmentOperator(Changes, Reasoned):
    """Mixin: works on a segment of the shown take."""

    index: IntProperty(name="Segment", description="Which part of the line, from 0", options={"SKIP_SAVE"})

    reason = staticmethod(disabled_reason)

    def segment(self, context: Context) -> Segment:
        """The segment that is meant. SegmentError without one."""
        segments = shown_take(context).segments
        if not 0 <= self.index < len(segments):
            sentence = "Segments of the shown take: {count}; none is number {index}."
            raise SegmentError(sentence, count=len(segments), index=self.index)
        return segments[self.index]


class CTEG_OT_go_to_segment(_SegmentOperator, bpy.types.Operator):
    bl_idname = "cteg.go_to_segment"
    bl_label = "Go to Part of Line"
    bl_description = "Move the playhead to the first frame of this part of the line"
    bl_options = {"UNDO_GROUPED"}
    bl_undo_group = "Frame Change"

    def change(self, context: Context) -> None:
        start = self.segment(context).start
        context.scene.frame_set(cast.active_line(context.scene).scene_frame(start))


class CTEG_OT_direct_segment(_SegmentOperator, bpy.types.Operator):
    bl_idname = "cteg.direct_segment"
    bl_label = "Direct Part of Line"
    bl_description = "Choose another emotion for this part: a direction is written into the line, ready for Generate"
    bl_options = {"UNDO"}

    emotion: StringProperty(name="Emotion", description="Empty: ask", options={"SKIP_SAVE"})

    def segment(self, context: Context) -> Segment:
        if reason := undirectable(context):  # not in poll, which is asked for every row at every redraw
            raise SegmentError("{reason}", reason=reason)
        return super().segment(context)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        if self.emotion:
            return self.execute(context)
        try:
            index, segment = self.index, self.segment(context)
        except SegmentError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}

        def draw(menu: Any, _context: Context) -> None:
            _draw_choices(menu.layout, index, segment)

        context.window_manager.popup_menu(draw, title=told("Play “{words}” with", words=shorten(segment.text, 30)))
        return {"CANCELLED"}  # what is chosen runs the operator again

    def change(self, context: Context) -> str:
        self.segment(context)
        if self.emotion not in NAMES:
            sentence = "There is no emotion called {name!r}; choose one of {names}."
            raise SegmentError(sentence, name=self.emotion, names=", ".join(NAMES))
        settings = context.scene.cteg
        line = directed(settings.line(), shown_take(context).segments, self.index, self.emotion)
        if settings.text_source is None:
            settings.text = line
        else:
            settings.text_source.from_string(line)
        redraw_panels(context)
        return told("{emotion} was written into the line; generate it again", emotion=label(self.emotion))


def unreadable(context: Context) -> str:
    """Why the line of the panel cannot be read, or ""."""
    if not context.scene.cteg.line().strip():
        return told("Type the line that the character says.")
    return busy_reason()


def reading(context: Context) -> tuple[Segment, ...]:
    """How the line of the panel was read; nothing where it was not, or was changed since."""
    text, segments = session.understood
    return segments if segments and text == context.scene.cteg.line() else ()


class CTEG_OT_read_line(JobOperator, bpy.types.Operator):
    bl_idname = "cteg.read_line"
    bl_label = "Read Line"
    bl_description = "Show how the line is understood, its emotions, actions and notes, before anything is performed"
    bl_options = {"INTERNAL"}

    _text: str = ""

    reason = staticmethod(unreadable)

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        settings, preferred = context.scene.cteg, choices(context)
        self._text = settings.line()
        if not self._text.strip():
            raise Refusal("Type the line that the character says.")
        # The times of a text may be another line's; they change nothing of what is understood.
        asked = request(chosen(settings) | {"text": self._text, "timeline": None})
        asked |= named_before(context.scene, self._text)
        return preferred.python, preferred.asked("read", lines=[asked]), told("Reading the line")

    def complete(self, _context: Context, job: session.Job) -> None:
        if not any(job.read):
            raise Refusal("The generator did not say how it understands the line; check it in the CTEG preferences.")
        session.understood = self._text, job.read[0]
        self.report(
            {"INFO"}, told("“{words}”: {emotions}", words=shorten(self._text, 40), emotions=in_order(job.read[0]))
        )


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
            _choice(layout, index, emotion.name, label(emotion.name))


def _choice(layout: UILayout, index: int, name: str, text: str) -> None:
    row = layout.row()
    row.operator_context = "EXEC_DEFAULT"
    choice = row.operator("cteg.direct_segment", text=text, icon=emotion_icon(name))
    choice.index, choice.emotion = index, name
