# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mapping panel: the list of channels, what the chosen one moves, and how well a FLAME face was fitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import bpy
from bpy.types import Context, UILayout

from .. import cast
from ..cast import Character
from ..character.detection.character import armature_of
from ..character.fitting.fitted import GOOD_PERCENT, residual_table
from ..character.mapping import NEUTRAL
from ..character.mapping_edits import HANDFUL, Target, targets_of, taught
from ..character.mapping_rows import Row, origin_label, region_of, swing
from ..character.presets import presets
from ..character.rig import shorten
from ..performance.targets import key_path
from ..sentences import told, translated
from .fields import SLOTS
from .layouts import list_flags, region_width, sentence
from .panels import Sidebar

#: From this width of the sidebar on, in pixels at scale 1, targets are listed beside the channels.
_WIDE: Final = 300.0
_ICONS: Final = {
    "SURE": "CHECKMARK",
    "MADE": "GREASEPENCIL",
    "SUGGESTED": "QUESTION",
    "LOST": "ERROR",
    "NOTHING": "REMOVE",
}


class CTEG_UL_mapping(bpy.types.UIList):
    """The channels of the target's mapping: those that move nothing on top, then region by region."""

    def draw_item(
        self, context: Context, layout: UILayout, _data: object, _item: object, _icon: int, _active: object,
        _property: str, index: int, _flag: int,
    ) -> None:  # fmt: skip
        character = cast.character(context.scene)
        if index >= len(character.rows) or character.mapping is None:
            return
        row, adjustment = character.rows[index], character.mapping.channels.get(character.rows[index].channel)
        muted, wide = adjustment is not None and adjustment.mute, region_width(context) >= _WIDE
        names = layout.split(factor=0.52 if wide else 0.8, align=True)
        name = names.row(align=True)
        name.active = not muted and row.standing != "NOTHING"
        name.label(text=row.channel, icon="ERROR" if row.doubt else _ICONS[row.standing])
        rest = names.row(align=True)
        rest.active = not muted and bool(row.targets)
        if wide:  # else there is room for the channel alone, and its targets are below the list
            rest.label(text=row.label or "nothing")
        if adjustment is not None and adjustment.gain != 1.0:
            rest.label(text=f"{adjustment.gain:.2f} ×")
        icon = "CHECKBOX_DEHLT" if muted else "CHECKBOX_HLT"
        rest.operator("cteg.mapping_mute", text="", icon=icon, emboss=False).channel = row.channel

    def filter_items(self, context: Context, data: Any, _property: str) -> tuple[list[int], list[int]]:
        rows = cast.character(context.scene).rows
        return list_flags(self, data, [f"{row.channel} {row.label}" for row in rows]), []


class CTEG_MT_mapping_presets(bpy.types.Menu):
    bl_label = "Presets"

    def draw(self, _context: Context) -> None:
        layout = self.layout
        for preset in presets():
            layout.operator("cteg.mapping_preset", text=preset.label).preset = preset.name
        layout.separator()
        # The file browser needs to be invoked, which menus do by themselves.
        layout.operator("cteg.mapping_load", text="Load…", icon="FILE_FOLDER")
        layout.operator("cteg.mapping_save", text="Save…", icon="FILE_TICK")
        layout.separator()
        layout.operator("cteg.mapping_copy", text="Copy to Selected", icon="COPYDOWN")


class CTEG_PT_mapping(Sidebar, bpy.types.Panel):
    bl_label = "Mapping"
    bl_parent_id = "CTEG_PT_performance"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        character = cast.character(context.scene)
        return (
            character.mapping is not None or character.rig.kind in ("BONES", "FLAME") or bool(character.mapping_problem)
        )

    def draw(self, context: Context) -> None:
        layout, character = self.layout, cast.character(context.scene)
        for problem in (character.locked, character.mapping_problem):
            if problem:
                sentence(layout, context, problem, icon="ERROR")
        if character.mapping_problem:
            layout.operator("cteg.mapping_reset", icon="LOOP_BACK")
            return
        if character.mapping is None:
            layout.operator("cteg.fit_again", text="Fit Expressions", icon="VIEWZOOM")
            layout.menu("CTEG_MT_mapping_presets")
            return
        column = layout.column(align=True)
        column.active = False
        moving = sum(bool(row.targets) for row in character.rows)
        origin = origin_label(character.mapping, character.is_mapped)
        text, count = "{origin}. {moving} of {count} channels move something.", len(character.rows)
        sentence(column, context, told(text, origin=origin, moving=moving, count=count))
        if character.is_mapped and character.rig.object.data.override_library is not None:
            text = told("An override forgets its mapping when the file is saved: save it as JSON.")
            sentence(column, context, text)
        column = layout.column()
        column.enabled = not character.locked
        interface = context.window_manager.cteg
        column.template_list(
            "CTEG_UL_mapping", "", interface, "places", interface, "channel", item_dyntip_propname="channel_tip", rows=7
        )
        _draw_buttons(column, character)
        if 0 <= interface.channel < len(character.rows):
            _draw_channel(column.box(), context, character, character.rows[interface.channel])


class CTEG_PT_learning(Sidebar, bpy.types.Panel):
    bl_label = "Make It Learn"
    bl_parent_id = "CTEG_PT_performance"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        face = cast.character(context.scene).rig.object
        return face is not None and armature_of(face) is not None

    def draw(self, context: Context) -> None:
        layout, mapping = self.layout, cast.character(context.scene).mapping
        known = taught(mapping)
        posed = {*known, NEUTRAL} if mapping is not None and targets_of(mapping, NEUTRAL) else set(known)
        text = "Pose the face as each of these, as far as it should ever go, and keep the pose; three are enough."
        sentence(layout, context, told(text))
        column = layout.column(align=True)
        for channel in dict.fromkeys((NEUTRAL, *HANDFUL, *known)):
            row = column.split(factor=0.66, align=True)
            row.label(text=channel, icon="CHECKMARK" if channel in posed else "DOT")
            row.operator("cteg.learn_pose", text="Keep Pose").channel = channel
        layout.operator("cteg.learn", icon="OUTLINER_OB_ARMATURE")


class CTEG_PT_fit(bpy.types.Panel):
    bl_label = "Fit"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"
    bl_ui_units_x = 14

    def draw(self, context: Context) -> None:
        layout, mapping = self.layout, cast.character(context.scene).mapping
        layout.label(text="Left over of each action, the weakest first")
        column = layout.column(align=True)
        column.scale_y = 0.8
        for channel, millimetres, percent in residual_table(mapping) if mapping is not None else ():
            row = column.split(factor=0.6)
            row.label(text=channel, icon="ERROR" if percent > GOOD_PERCENT else "CHECKMARK")
            row.label(text=f"{millimetres:.2f} mm")
            row.label(text=f"{percent:.0f} %")
        layout.operator("cteg.fit_again", text="Fit Again", icon="FILE_REFRESH")


def _draw_buttons(layout: UILayout, character: Character) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("cteg.mapping_match", text="Match Automatically", icon="FILE_REFRESH")
    row.operator("cteg.mapping_reset", text="", icon="LOOP_BACK")
    drive = column.row(align=True)
    drive.operator_context = "INVOKE_DEFAULT"
    drive.operator("cteg.test_drive", icon="PLAY")
    if any(row.doubt for row in character.rows):
        drive.operator("cteg.mapping_mend", text="", icon="TOOL_SETTINGS")
    suggested = sum(bool(row.suggested) for row in character.rows)
    if suggested:
        column.operator(
            "cteg.mapping_accept", text=told("Accept Suggestions: {count}", count=suggested), icon="CHECKMARK"
        )
    column.menu("CTEG_MT_mapping_presets", icon="PRESET")


def _draw_channel(layout: UILayout, context: Context, character: Character, row: Row) -> None:
    fields, mapping = context.scene.cteg_fields, character.mapping
    layout.label(text=f"{row.channel} · {translated(region_of(row.channel))}", icon=_ICONS[row.standing])
    if row.lost:
        name, lost = character.rig.object.name, shorten(row.lost, 3)
        sentence(layout, context, told("{name} does not have {lost}.", name=name, lost=lost), icon="ERROR")
    elif row.standing == "MADE" and row.channel in mapping.residual_mm:
        rest = mapping.residual_mm[row.channel]
        sentence(layout, context, told("Fitted; {rest:.1f} mm remain.", rest=rest), icon="BLANK1")
    if row.doubt:
        sentence(layout, context, row.doubt, icon="ERROR")
        mend = layout.row(align=True)
        if row.narrow:
            mend.operator("cteg.mapping_widen", icon="ARROW_LEFTRIGHT").channel = row.channel
        else:
            mend.operator("cteg.mapping_mend", text="Mend", icon="TOOL_SETTINGS").channel = row.channel
            mend.operator("cteg.mapping_trust", text="Use Anyway").channel = row.channel
    elif row.reach > 0:
        sentence(layout, context, told("Moves {reach:.1f} mm.", reach=row.reach), icon="BLANK1")
    targets = targets_of(mapping, row.channel)
    _draw_values(layout, context, character, row.channel, targets)
    for place, target in enumerate(targets[:SLOTS]):
        _draw_target(layout, character, getattr(fields, f"slot{place}"), place, target)
    if len(targets) > SLOTS:
        rest = layout.row(align=True)
        rest.label(text=told("… {count} more", count=len(targets) - SLOTS), icon="BLANK1")
        rest.operator("cteg.mapping_remove_target", text="All", icon="X").place = -1
    if row.suggested:
        names = " + ".join(candidate.name for candidate in row.suggested)
        offer = layout.row(align=True)
        offer.label(text=f"{names} ({row.suggested[0].score:.0%})", icon="QUESTION")
        offer.operator("cteg.mapping_accept", text="Accept").channel = row.channel
    add = layout.row(align=True)
    add.operator_context = "INVOKE_DEFAULT"
    add.operator("cteg.mapping_add_target", text="Shape Key", icon="ADD").kind = "KEY"
    if character.rig.armature is not None:
        add.operator("cteg.mapping_add_target", text="Bone", icon="ADD").kind = "BONE"


def _draw_target(layout: UILayout, character: Character, slot: Any, place: int, target: Target) -> None:
    column, key, armature = layout.column(align=True), character.rig.object.data.shape_keys, character.rig.armature
    row = column.row(align=True)
    if target.kind == "KEY" and key is not None:
        row.row(align=True).prop_search(slot, "target", key, "key_blocks", text="", icon="SHAPEKEY_DATA")
        value = row.row(align=True)
        value.ui_units_x = 4
        value.prop(slot, "weight", text="")
    elif target.kind == "BONE" and armature is not None:
        row.prop_search(slot, "target", armature.data, "bones", text="", icon="BONE_DATA")
    else:
        row.label(text=target.label, icon="BONE_DATA")
    row.operator("cteg.mapping_remove_target", text="", icon="X").place = place
    if target.kind == "ROLE":
        column.row(align=True).prop(slot, "turn", text="")
    elif target.kind == "BONE":
        control = column.row(align=True)
        control.prop(slot, "property", text="")
        axis = control.row(align=True)
        axis.ui_units_x = 3
        axis.prop(slot, "axis", expand=True)
        control.prop(slot, "angle" if slot.property == "ROTATION" else "distance", text="")


def _draw_values(
    layout: UILayout, context: Context, character: Character, channel: str, targets: tuple[Target, ...]
) -> None:
    fields, interface = context.scene.cteg_fields, context.window_manager.cteg
    column = layout.column(align=True)
    values = column.row(align=True)
    values.prop(fields, "gain")
    values.prop(fields, "offset")
    values.prop(fields, "mute", text="", icon="CHECKBOX_DEHLT" if fields.mute else "CHECKBOX_HLT")
    row = column.row()
    row.enabled = bool(targets)
    row.prop(interface, "both_ways" if swing(channel)[1] else "strength", slider=True)
    note = column.column()
    note.active = False
    for text in _notes(character, targets) if interface.strength else ():
        sentence(note, context, text, icon="INFO")


def _notes(character: Character, targets: tuple[Target, ...]) -> Iterator[str]:
    """What else moves what the preview shows."""
    key = character.rig.object.data.shape_keys
    data = key.animation_data if key is not None else None
    if data is None:
        return
    if data.action is not None:
        yield told("The lines come back at another frame, or at 0.")
    driven = {driver.data_path for driver in data.drivers if not driver.mute}
    names = [target.name for target in targets if target.kind == "KEY" and key_path(target.name) in driven]
    if names:
        yield told("Drivers decide {names}, so neither a preview nor a take moves it.", names=shorten(names, 3))
