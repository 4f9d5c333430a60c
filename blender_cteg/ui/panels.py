# SPDX-License-Identifier: GPL-3.0-or-later
"""The CTEG tab of the 3D viewport's sidebar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .. import desk
from ..character.detection.detect import detect_rig
from ..emotions import label
from ..operators import extend, fit_bones, generate, resample, vary, widen
from ..operators import segments as segment_operators
from ..performance import keyframes
from ..performance.clip import origin_of
from ..settings import NOWHERE
from ..worker import session
from ..worker.protocol import shorten
from .fit_panel import draw_fit
from .layouts import emotion_icon, fitting, sentence
from .understood import draw_segments

if TYPE_CHECKING:
    from bpy.types import Action, Context, UILayout

    from ..settings import CTEG_Settings


class _Sidebar:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "CTEG"


class CTEG_PT_performance(_Sidebar, bpy.types.Panel):
    bl_label = "Performance"

    def draw(self, context: Context) -> None:
        layout = self.layout
        settings = context.scene.cteg
        _draw_target(layout, context, settings)
        _draw_line(layout, context, settings)
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "emotion")
        if session.offers("emotion_to"):
            column.prop(settings, "emotion_to")
        if session.offers("emotion_with"):
            column.prop(settings, "emotion_with")
            if settings.emotion_with != NOWHERE:
                column.prop(settings, "share", slider=True)
        column.prop(settings, "intensity", slider=True)
        column.separator()
        column.prop(settings, "takes")
        column.prop(settings, "seed")
        _draw_buttons(layout, context)


class CTEG_PT_options(_Sidebar, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "CTEG_PT_performance"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.cteg
        if settings.text_source is None:  # else it is drawn where the line is
            layout.template_ID(settings, "text_source", new="text.new", open="text.open", text="Text From")
        column = layout.column()
        if session.offers("speaking"):
            column.prop(settings, "speaking")
        if session.offers("energy"):
            column.prop(settings, "energy", slider=True)
        column.prop(settings, "temperature", slider=True)
        if session.offers("spread"):
            row = column.row()
            row.active = settings.takes > 1
            row.prop(settings, "spread")
        column = layout.column()
        column.prop(settings, "seconds")
        if session.offers("rate"):
            row = column.row()
            row.active = settings.seconds == 0.0
            row.prop(settings, "rate", slider=True)
        if session.offers("timing"):
            column = layout.column()
            column.active = settings.timeline_source is None  # which has its times and sounds already
            column.prop(settings, "language")
            column.prop(settings, "timing")
            column.prop(settings, "vary_timing")
        if session.offers("timeline"):
            row = layout.row(align=True)
            row.operator("cteg.use_timeline", icon="IMPORT")
            row.operator("cteg.save_timeline", icon="EXPORT")
        column = layout.column(align=True)
        column.prop(settings, "start")
        if settings.start == "FRAME":
            column.prop(settings, "start_frame")
        column = layout.column()
        column.prop(settings, "interpolation")
        column.prop(settings, "reduction")


class CTEG_PT_understood(_Sidebar, bpy.types.Panel):
    bl_label = "Understood"
    bl_parent_id = "CTEG_PT_performance"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return not segment_operators.disabled_reason(context)

    def draw(self, context: Context) -> None:
        draw_segments(self.layout, context)


class CTEG_PT_takes(_Sidebar, bpy.types.Panel):
    bl_label = "Takes"
    bl_parent_id = "CTEG_PT_performance"

    def draw(self, context: Context) -> None:
        layout = self.layout
        settings = context.scene.cteg
        if desk.target_problem(context.scene, settings.target) or not desk.takes_of(settings.target):
            layout.label(text="Takes of the target appear here", icon="INFO")
            return
        row = layout.row()
        row.template_list("CTEG_UL_takes", "", bpy.data, "actions", settings, "take_index", rows=4)
        side = row.column(align=True)
        side.operator("cteg.delete_take", text="", icon="REMOVE").take = ""
        rig = detect_rig(settings.target)
        for reason in keyframes.why_hidden(rig) if desk.shown_take(settings.target) else ():
            sentence(layout, context, reason, icon="HIDE_ON")
        if not widen.disabled_reason(context):
            layout.operator("cteg.widen_sliders", icon="ARROW_LEFTRIGHT")
        _draw_again(layout)
        if not extend.disabled_reason(context):
            end, last = desk.end_of_shown(settings.target), context.scene.frame_end
            sentence(layout, context, f"The take ends at frame {end}, the scene at {last}.", icon="INFO")
            layout.operator("cteg.extend_scene", icon="NEXT_KEYFRAME")


class CTEG_UL_takes(bpy.types.UIList):
    """The takes of the target, among all actions of the file."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, item: Action, _icon: int, _active: CTEG_Settings,
        _property: str, _index: int, _flag: int,
    ) -> None:  # fmt: skip
        made = keyframes.provenance(item) or {}
        emotion = str(made.get("emotion", ""))
        # What was made from another take says so; its words are the same. Others have the words without their
        # directions, where those are known: there is room for few.
        segments = desk.segments_of(made) if made else ()
        words = segments[0].text if segments else str(made.get("text", item.name))
        origin = origin_of(made.get("settings", {}), made.get("fps", 24.0))
        parts = (f"↳ {origin}", label(emotion)) if origin else (label(emotion), words)
        line = layout.split(factor=0.8)
        line.label(text=_joined(context, *parts), icon=emotion_icon(emotion))
        seed = line.row()
        seed.alignment = "RIGHT"
        seed.label(text=str(made.get("seed", "")))

    def filter_items(self, context: Context, _data: object, _property: str) -> tuple[list[int], list[int]]:
        actions = list(bpy.data.actions)
        takes = desk.takes_of(context.scene.cteg.target)
        wanted = self.filter_name.lower()
        flags = [
            self.bitflag_filter_item if action in takes and wanted in _searched(action) else 0 for action in actions
        ]
        # Oldest take first, whatever the names are; the rest is not shown and may go anywhere.
        order = sorted(
            range(len(actions)), key=lambda i: takes.index(actions[i]) if actions[i] in takes else len(takes)
        )
        places = [0] * len(actions)
        for place, index in enumerate(order):
            places[index] = place
        return flags, places


def _joined(context: Context, first: str, second: str) -> str:
    """Both parts of an entry of the list, or the first alone where little would be left of the second."""
    both = fitting(context, f"{first} · {second}", 165.0)
    return both if len(both) >= len(first) + 7 or not both.endswith("…") else first


def _draw_again(layout: UILayout) -> None:
    """More takes from the shown one, where the generator can."""
    column = layout.column(align=True)
    if session.offers("vary"):
        row = column.row(align=True)
        row.operator("cteg.vary", text="Vary a Little").amount = vary.A_LITTLE
        row.operator("cteg.vary", text="Vary a Lot").amount = vary.A_LOT
    if session.offers("branch"):
        column.operator("cteg.branch", icon="SNAP_PEEL_OBJECT")


def _searched(action: Action) -> str:
    made = keyframes.provenance(action) or {}
    return f"{action.name} {made.get('text', '')} {made.get('emotion', '')} {made.get('seed', '')}".lower()


def _draw_target(layout: UILayout, context: Context, settings: CTEG_Settings) -> None:
    column = layout.column()
    row = column.column()
    row.use_property_split = True
    row.use_property_decorate = False
    row.prop(settings, "target")
    if settings.target is None:
        column.operator("cteg.add_head", icon="ADD")
        column.operator("cteg.import_flame", icon="IMPORT")
        return
    if problem := desk.target_problem(context.scene, settings.target):
        sentence(column, context, problem, icon="ERROR")
        column.operator("cteg.add_head", icon="ADD")
        column.operator("cteg.import_flame", icon="IMPORT")
        return
    details = column.column(align=True)
    details.active = False
    for index, line in enumerate(detect_rig(settings.target).summary()):
        sentence(details, context, line, icon="CHECKMARK" if index == 0 else "BLANK1")
    draw_fit(column, context, settings.target)
    if not fit_bones.disabled_reason(context):
        column.operator("cteg.fit_bones", icon="BONE_DATA")
    for reason in () if desk.shown_take(settings.target) else keyframes.what_stays(detect_rig(settings.target)):
        sentence(column, context, reason, icon="INFO")


def _draw_line(layout: UILayout, context: Context, settings: CTEG_Settings) -> None:
    _draw_text(layout, context, settings)
    if settings.timeline_source is not None:
        # Where it is seen: the mouth says what is written there, whatever the line becomes.
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.template_ID(settings, "timeline_source", open="text.open", text="Times From")


def _draw_text(layout: UILayout, context: Context, settings: CTEG_Settings) -> None:
    column = layout.column()
    source = settings.text_source
    if source is not None:
        column.template_ID(settings, "text_source", open="text.open")
        words = column.column()
        words.active = False
        sentence(words, context, shorten(source.as_string(), 80) or "Write the line in a Text Editor.", icon="TEXT")
        return
    hint = "What does the character say?"
    if hasattr(column, "textbox"):  # Blender 5.2: several lines
        column.textbox(settings, "text", initial_visible_lines=3, placeholder=hint)
    else:
        column.scale_y = 1.5
        column.prop(settings, "text", text="", placeholder=hint)


def _draw_buttons(layout: UILayout, context: Context) -> None:
    column = layout.column()
    reason = generate.disabled_reason(context)
    row = column.row(align=True)
    row.scale_y = 1.5
    # Drawn while a job runs too: a button that vanishes under the mouse swallows the next click, the one on Cancel.
    main = row.row(align=True)
    main.enabled = not reason
    main.operator("cteg.generate", icon="PLAY")
    again = row.row(align=True)
    again.enabled = not resample.disabled_reason(context)
    again.operator("cteg.resample", icon="FILE_REFRESH")
    job = session.job
    if job is not None:
        row = column.row(align=True)
        row.progress(factor=job.fraction, text=f"{job.stage[:1].upper()}{job.stage[1:]}…")
        row.operator("cteg.cancel", text="", icon="X")
    elif session.last_problem:
        sentence(column.box(), context, session.last_problem, icon="ERROR")
    elif reason and context.scene.cteg.target is not None:
        sentence(column, context, reason, icon="INFO")
