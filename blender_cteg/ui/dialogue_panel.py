# SPDX-License-Identifier: GPL-3.0-or-later
"""The dialogue of the scene: its lines, the one that is chosen, and who plays whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ..dialogue import board
from ..dialogue.entries import active_entry, dialogue_of
from ..operators import dialogue as operators
from ..sentences import told, translated
from ..worker import session
from .layouts import fitting, number_share, sentence
from .panels import Sidebar, properties

if TYPE_CHECKING:
    from bpy.types import Context, UILayout


class CTEG_PT_dialogue(Sidebar, bpy.types.Panel):
    bl_label = "Dialogue"

    def draw(self, context: Context) -> None:
        layout, dialogue, known = self.layout, dialogue_of(context.scene), board.board(context.scene)
        row = layout.row(align=True)
        row.operator("cteg.read_script", text="Read Script", icon="FILE_TEXT")
        row.operator("cteg.paste_script", text="Paste", icon="PASTEDOWN")
        if not len(dialogue.entries):
            sentence(layout, context, told("Drop a script on the view, paste one, or add a line."), icon="INFO")
            layout.operator("cteg.add_entry", icon="ADD")
            return
        row = layout.row()
        row.template_list("CTEG_UL_entries", "", dialogue, "entries", dialogue, "entry", rows=6)
        side = row.column(align=True)
        side.operator("cteg.add_entry", text="", icon="ADD")
        side.operator("cteg.remove_entries", text="", icon="REMOVE")
        side.separator()
        for by, icon in ((-1, "TRIA_UP"), (1, "TRIA_DOWN")):
            side.operator("cteg.move_entry", text="", icon=icon).by = by
        side.separator()
        side.menu("CTEG_MT_dialogue", text="", icon="DOWNARROW_HLT")
        if known.refusal:
            sentence(layout.box(), context, known.refusal, icon="ERROR")
        if known.unplayed:
            names = ", ".join(known.unplayed)
            said = told("Without a character yet: {names}.", names=names)
            sentence(layout, context, said, icon="GHOST_DISABLED")
            row = layout.row(align=True)
            row.operator("cteg.add_heads", icon="ADD")
            row.operator("cteg.cast", icon="COMMUNITY")
        row = layout.row(align=True)
        row.prop(dialogue, "listening", toggle=True, icon="OUTLINER_OB_SPEAKER")
        row.prop(dialogue, "looking", toggle=True, icon="HIDE_OFF")
        row.prop(dialogue, "extend", text="Extend", toggle=True, icon="NEXT_KEYFRAME")
        _draw_buttons(layout, context, known)


class CTEG_PT_entry(Sidebar, bpy.types.Panel):
    bl_label = "Line of the Dialogue"
    bl_parent_id = "CTEG_PT_dialogue"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return active_entry(context.scene) is not None

    def draw(self, context: Context) -> None:
        layout, scene = self.layout, context.scene
        dialogue, entry, rows = dialogue_of(scene), active_entry(scene), board.board(scene).rows
        if entry is None:
            return
        row = rows[dialogue.entry] if dialogue.entry < len(rows) else None
        layout.prop_search(entry, "speaker", dialogue, "parts", text="", icon="USER")
        column = layout.column()
        if hasattr(column, "textbox"):  # Blender 5.2: several lines
            column.textbox(entry, "text", initial_visible_lines=2)
        else:
            column.prop(entry, "text", text="")
        if row is not None:
            sentence(layout, context, row.told, icon=row.icon)
        column = properties(layout)
        column.prop(entry, "rule")
        if entry.rule == "FRAME":
            column.prop(entry, "frame")
        elif entry.rule == "AFTER":
            column.prop(entry, "pause")
            other = dialogue.entries.get(entry.after) if entry.after else None
            line = column.row()
            words = told("{speaker}: {text}", speaker=other.speaker, text=other.text) if other is not None else ""
            line.label(text=fitting(context, words, 90.0) if words else "")
            line.operator("cteg.follow_entry", text="", icon="LINKED")
        elif entry.rule == "MARKER":
            column.prop_search(entry, "marker", scene, "timeline_markers")
        elif scene.sequence_editor is not None:
            editor = scene.sequence_editor
            name = "strips_all" if hasattr(editor, "strips_all") else "sequences_all"
            column.prop_search(entry, "sound", editor, name)
        else:
            column.prop(entry, "sound")
        row = layout.row(align=True)
        row.operator_menu_enum("cteg.fit_entry", "to", text="Fit", icon="FIXED_SIZE")
        row.operator_menu_enum("cteg.mark_words", "what", text="Markers", icon="MARKER")


class CTEG_PT_cast(Sidebar, bpy.types.Panel):
    bl_label = "Cast"
    bl_parent_id = "CTEG_PT_dialogue"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        layout, dialogue = self.layout, dialogue_of(context.scene)
        layout.template_list("CTEG_UL_parts", "", dialogue, "parts", dialogue, "part", rows=2)
        if not 0 <= dialogue.part < len(dialogue.parts):
            return
        part, column = dialogue.parts[dialogue.part], properties(layout)
        column.prop(part, "character")
        column.prop(part, "mood")
        column.prop(part, "intensity", slider=True)
        column.prop(part, "energy", slider=True)
        column.prop(part, "looks_at")


class CTEG_UL_entries(bpy.types.UIList):
    """The lines of the dialogue, in the order of the list; what is not stored with them is on the board."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, item: Any, _icon: int, _active: object,
        _property: str, index: int, _flag: int,
    ) -> None:  # fmt: skip
        known = board.board(context.scene)
        row = known.rows[index] if index < len(known.rows) else None
        last = known.rows[-1].start if known.rows else None
        parts = layout.split(factor=number_share(max(known.end, last or 0)))
        number = parts.row()
        number.alignment = "RIGHT"
        number.label(text="" if row is None or row.start is None else str(row.start))
        words = parts.row(align=True)
        text = f"{item.speaker}: {item.text}"
        words.label(text=text, icon="NONE" if row is None else row.icon, translate=False)
        words.prop(item, "chosen", text="", emboss=False, icon="CHECKBOX_HLT" if item.chosen else "CHECKBOX_DEHLT")

    def filter_items(self, _context: Context, data: Any, name: str) -> tuple[list[int], list[int]]:
        wanted, shown = self.filter_name.lower(), self.bitflag_filter_item
        if not wanted:
            return [], []
        return [
            shown if wanted in item.text.lower() or wanted in item.speaker.lower() else 0
            for item in getattr(data, name)
        ], []


class CTEG_UL_parts(bpy.types.UIList):
    """The speakers of the dialogue, and who plays them."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, item: Any, _icon: int, _active: object,
        _property: str, _index: int, _flag: int,
    ) -> None:  # fmt: skip
        row = layout.split(factor=0.5)
        row.label(text=item.name, translate=False)
        there = item.character is not None and item.name not in board.board(context.scene).unplayed
        row.label(text=item.character.name if there else "–", icon="USER" if there else "GHOST_DISABLED")


class CTEG_MT_dialogue(bpy.types.Menu):
    bl_label = "Dialogue"

    def draw(self, _context: Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        for which, text in (("ALL", "Select All"), ("NONE", "Select None"), ("TO_DO", "Select Not Performed")):
            layout.operator("cteg.choose_entries", text=text).which = which
        layout.separator()
        layout.operator("cteg.perform_dialogue", text="Generate All Again").which = "ALL"
        layout.operator("cteg.remove_listening")
        layout.separator()
        for name in ("arrange", "mark_entries", "extend_scene", "cast", "add_heads"):
            layout.operator(f"cteg.{name}")


def _draw_buttons(layout: UILayout, context: Context, known: board.Board) -> None:
    dialogue = dialogue_of(context.scene)
    properties(layout).prop(dialogue, "takes")
    column = layout.column()
    row = column.row(align=True)
    row.scale_y = 1.5
    row.enabled = not operators.disabled_reason(context)
    text = (
        told("Generate {count} Line" if known.to_do == 1 else "Generate {count} Lines", count=known.to_do)
        if known.to_do
        else told("Generate")
    )
    row.operator("cteg.perform_dialogue", text=text, icon="PLAY").which = "CHANGED"
    row.operator("cteg.perform_dialogue", text="Selected").which = "SELECTED"
    job = session.job
    if job is not None:
        row = column.row(align=True)
        row.progress(factor=job.fraction, text=fitting(context, translated(job.label), 60.0))
        row.operator("cteg.cancel", text="", icon="X")
    elif session.last_problem:
        sentence(column.box(), context, session.last_problem, icon="ERROR")
