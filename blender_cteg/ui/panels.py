# SPDX-License-Identifier: GPL-3.0-or-later
"""The tab Face Acting of the 3D viewport's sidebar: who performs what, and how."""

from __future__ import annotations

from typing import Final

import bpy
from bpy.types import Context, UILayout

from .. import cast, preferences
from ..heads.flame_file.joints import joints_problem
from ..operators import perform
from ..sentences import shorten, told, translated
from ..settings import NOWHERE, CTEG_Settings
from ..worker import session
from .layouts import guide_button, sentence
from .presets import CTEG_PT_manners, CTEG_PT_presets

#: The kinds of problems that are solved in the preferences, see `worker.protocol.KINDS`.
_SET_IN_PREFERENCES: Final = ("environment", "checkpoint", "memory")
#: Operators of the menu; "" is a line between them.
_IN_MENU: Final = (
    "add_head", "import_flame", "fit_bones", "learn", "",
    "perform", "read_line", "cancel", "use_timeline", "save_timeline", "extend_scene", "",
    "read_script", "paste_script", "add_entry", "remove_entries", "perform_dialogue", "arrange", "shift_entries",
    "fit_entry", "mark_entries", "mark_words", "remove_listening", "cast", "add_heads", "",
    "go_to_line", "delete_line", "delete_take", "delete_other_takes", "favourite_take", "rewrite_lines",
    "send_to_strip", "bring_back", "migrate_takes", "",
    "widen_sliders", "test_drive", "mapping_mend", "fit_again", "mapping_match", "mapping_accept", "mapping_reset",
    "mapping_load", "mapping_save", "mapping_copy", "", "check_generator", "create_environment",
)  # fmt: skip


class Sidebar:
    """Mixin: a panel of our tab. Its name says what is done there, to those who do not know ours."""

    bl_space_type: Final = "VIEW_3D"
    bl_region_type: Final = "UI"
    bl_category: Final = "Face Acting"


def properties(layout: UILayout) -> UILayout:
    """A column of properties with their names beside them."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


class CTEG_PT_performance(Sidebar, bpy.types.Panel):
    bl_label = "Performance"

    def draw_header_preset(self, _context: Context) -> None:
        CTEG_PT_presets.draw_panel_header(self.layout)

    def draw(self, context: Context) -> None:
        layout, settings = self.layout, context.scene.cteg
        _draw_target(layout, context, settings)
        _draw_text(layout, context, settings)
        if settings.timeline_source is not None:
            # Where it is seen: the mouth says what is written there, whatever the line becomes.
            properties(layout).template_ID(settings, "timeline_source", open="text.open", text="Times From")
        column = properties(layout)
        row = column.row(align=True)
        row.prop(settings, "emotion")
        row.popover("CTEG_PT_moods", text="", icon="PRESET")
        for name in ("emotion_to", "emotion_with"):
            column.prop(settings, name)
        if settings.emotion_with != NOWHERE:
            column.prop(settings, "share", slider=True)
        column.prop(settings, "intensity", slider=True)
        column.separator()
        column.prop(settings, "takes")
        column.prop(settings, "seed")
        _draw_buttons(layout, context)


class CTEG_PT_options(Sidebar, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "CTEG_PT_performance"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, _context: Context) -> None:
        CTEG_PT_manners.draw_panel_header(self.layout)

    def draw(self, context: Context) -> None:
        layout, settings = properties(self.layout), context.scene.cteg
        if settings.text_source is None:  # else it is drawn where the line is
            layout.template_ID(settings, "text_source", new="text.new", open="text.open", text="Text From")
        column = layout.column()
        column.prop(settings, "speaking")
        column.prop(settings, "energy", slider=True)
        column.prop(settings, "temperature", slider=True)
        row = column.row()
        row.active = settings.takes > 1
        row.prop(settings, "spread")
        column = layout.column()
        column.prop(settings, "seconds")
        row = column.row()
        row.active = settings.seconds == 0.0
        row.prop(settings, "rate", slider=True)
        column.prop(settings, "ending")
        column = layout.column()
        column.active = settings.timeline_source is None  # which has its times and sounds already
        for name in ("language", "timing", "vary_timing"):
            column.prop(settings, name)
        row = layout.row(align=True)
        row.operator("cteg.use_timeline", icon="IMPORT")
        row.operator("cteg.save_timeline", icon="EXPORT")
        column = layout.column(align=True)
        column.prop(settings, "start")
        if settings.start == "FRAME":
            column.prop(settings, "start_frame")
        column = layout.column()
        for name in ("interpolation", "reduction", "blend"):
            column.prop(settings, name)


def _draw_target(layout: UILayout, context: Context, settings: CTEG_Settings) -> None:
    column, character = layout.column(), cast.character(context.scene)
    properties(column).prop(settings, "target")
    if character.problem:
        sentence(column, context, character.problem, icon="INFO" if character.target is None else "ERROR")
        column.operator("cteg.add_head", icon="ADD")
        column.operator("cteg.import_flame", icon="IMPORT")
        return
    details = column.column(align=True)
    details.active = False
    for index, line in enumerate(character.summary):
        sentence(details, context, line, icon="CHECKMARK" if index == 0 else "BLANK1")
    for index, line in enumerate(character.fit):
        row = column.row(align=True)
        part = row.column(align=True)
        part.active = index > 0
        sentence(part, context, line, icon="BLANK1" if index == 0 else "ERROR")
        if index == 0:
            row.popover("CTEG_PT_fit", text="", icon="PRESET")
    if not joints_problem(character.target):
        column.operator("cteg.fit_bones", icon="BONE_DATA")
    for note in () if character.lines else character.notes:
        sentence(column, context, note, icon="INFO")
    if character.old_takes:
        column.operator("cteg.migrate_takes", icon="FILE_REFRESH")


def _draw_text(layout: UILayout, context: Context, settings: CTEG_Settings) -> None:
    column, source = layout.column(), settings.text_source
    if source is not None:
        column.template_ID(settings, "text_source", open="text.open")
        words = column.column()
        words.active = False
        text = shorten(source.as_string(), 80) or told("Write the line in a Text Editor.")
        sentence(words, context, text, icon="TEXT")
        return
    hint = told("What does the character say?")
    if hasattr(column, "textbox"):  # Blender 5.2: several lines
        column.textbox(settings, "text", initial_visible_lines=3, placeholder=hint)
    else:
        column.scale_y = 1.5
        column.prop(settings, "text", text="", placeholder=hint)


def perform_button(
    layout: UILayout, context: Context, mode: str, text: str, icon: str = "NONE", amount: float | None = None
) -> None:
    """A button that performs in a mode, grey where that cannot be."""
    # Drawn while a job runs too: a button that vanishes under the mouse swallows the next click, the one on Cancel.
    row = layout.row(align=True)
    row.enabled = not perform.disabled_reason(context, mode)
    button = row.operator("cteg.perform", text=text, icon=icon)
    button.mode = mode
    if amount is not None:
        button.amount = amount


def _draw_buttons(layout: UILayout, context: Context) -> None:
    column = layout.column()
    row = column.row(align=True)
    row.scale_y = 1.5
    perform_button(row, context, "NEW", "Generate", "PLAY")
    perform_button(row, context, "RESAMPLE", "Re-sample", "FILE_REFRESH")
    job = session.job
    if job is not None:
        row = column.row(align=True)
        stage = translated(job.stage)
        row.progress(factor=job.fraction, text=f"{stage[:1].upper()}{stage[1:]}…")
        row.operator("cteg.cancel", text="", icon="X")
    elif session.last_problem:
        box = column.box()
        sentence(box, context, session.last_problem, icon="ERROR")
        if session.last_kind in _SET_IN_PREFERENCES:
            _preferences_button(box, "Open Preferences")
    elif session.live is not None:
        pass  # nothing moves under the hand that directs
    elif context.scene.cteg.target is not None and (reason := perform.disabled_reason(context)):
        sentence(column, context, reason, icon="INFO")
    row = column.row(align=True)
    words = row.row()
    words.active = False
    words.label(text=preferences.engine(context))
    _preferences_button(row, "")
    guide_button(row)


def _preferences_button(layout: UILayout, text: str) -> None:
    button = layout.operator("preferences.addon_show", text=text, icon="PREFERENCES")
    button.module = preferences.CTEG_Preferences.bl_idname


class CTEG_MT_acting(bpy.types.Menu):
    """All that needs no choice in the panel, where Blender's search (F3) looks: it finds what is in menus."""

    bl_label = Sidebar.bl_category

    def draw(self, _context: Context) -> None:
        self.layout.operator_context = "INVOKE_DEFAULT"
        for name in _IN_MENU:
            if name:
                self.layout.operator(f"cteg.{name}")
            else:
                self.layout.separator()


def draw_menu(self: bpy.types.Menu, _context: Context) -> None:
    """Our menu, in those of objects and poses."""
    self.layout.separator()
    self.layout.menu("CTEG_MT_acting", icon="USER")
