# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mapping panel in the CTEG tab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..character import mapping_edits as edits
from ..character import mapping_rows as state
from ..character.face import Face, face_of, mapping_of, why_not_editable
from ..character.mapping import MappingError
from ..character.presets import presets
from ..character.rig import shorten
from ..performance.takes import key_path
from .layouts import sentence
from .mapping_fields import SLOTS
from .mapping_list import row_icon, shown_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpy.types import Context, UILayout

    from ..character.mapping import Mapping
    from .mapping_fields import CTEG_MappingEditor, CTEG_MappingSlot


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
        layout.operator("cteg.mapping_copy", icon="COPYDOWN")


class CTEG_PT_mapping(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "CTEG"
    bl_label = "Mapping"
    bl_parent_id = "CTEG_PT_performance"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return face_of(context.scene.cteg.target) is not None

    def draw(self, context: Context) -> None:
        layout = self.layout
        face = face_of(context.scene.cteg.target)
        if face is None:
            return
        reason = why_not_editable(face)
        if reason:
            sentence(layout, context, reason, icon="LIBRARY_DATA_DIRECT")
        try:
            mapping = mapping_of(face)
        except MappingError as error:
            sentence(layout, context, str(error), icon="ERROR")
            layout.operator("cteg.mapping_reset", icon="LOOP_BACK")
            return
        editor = context.scene.cteg.mapping
        if mapping is None or not editor.rows:
            text = "Fit Expressions" if mapping is None else "Show Channels"
            layout.operator("cteg.mapping_edit", text=text, icon="VIEWZOOM")
            layout.menu("CTEG_MT_mapping_presets")
            return
        _draw_summary(layout, context, face, mapping)
        column = layout.column()
        column.enabled = not reason
        column.template_list("CTEG_UL_mapping", "", editor, "rows", editor, "active", rows=7)
        _draw_buttons(column, context)
        if editor.channel in state.channels_of(mapping):
            _draw_channel(column.box(), context, face, mapping, editor)


def _draw_summary(layout: UILayout, context: Context, face: Face, mapping: Mapping) -> None:
    rows = shown_rows(context)
    moving = sum(bool(row.targets) for row in rows)
    column = layout.column(align=True)
    column.active = False
    origin = state.origin_label(mapping, face.is_stored)
    sentence(column, context, f"{origin}. {moving} of {len(rows)} channels move something.")
    if face.is_stored and face.mesh.override_library is not None:
        sentence(column, context, "This mesh is an override, which forgets it when the file is saved: save it as JSON.")


def _draw_buttons(layout: UILayout, context: Context) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("cteg.mapping_match", icon="FILE_REFRESH")
    row.operator("cteg.mapping_reset", text="", icon="LOOP_BACK")
    suggested = sum(bool(row.suggested) for row in shown_rows(context))
    if suggested:
        text = f"Accept {suggested} Suggestion{'s' if suggested > 1 else ''}"
        column.operator("cteg.mapping_accept", text=text, icon="CHECKMARK")
    column.menu("CTEG_MT_mapping_presets", icon="PRESET")


def _draw_channel(layout: UILayout, context: Context, face: Face, mapping: Mapping, editor: CTEG_MappingEditor) -> None:
    channel = editor.channel
    row = next((row for row in shown_rows(context) if row.channel == channel), None)
    if row is None:
        return
    layout.label(text=f"{channel} · {state.region_of(channel)}", icon=row_icon(row))
    if row.lost:
        sentence(layout, context, f"{face.object.name} does not have {shorten(row.lost, 3)}.", icon="ERROR")
    elif row.standing == "MADE" and channel in mapping.residual_mm:
        sentence(layout, context, f"Fitted; {mapping.residual_mm[channel]:.1f} mm remain.", icon="BLANK1")
    targets = edits.targets_of(mapping, channel)
    _draw_values(layout, context, face, editor, targets)
    for slot in editor.slots[: min(len(targets), SLOTS)]:
        _draw_target(layout, face, slot, targets[slot.place])
    if len(targets) > SLOTS:
        rest = layout.row(align=True)
        rest.label(text=f"… and {len(targets) - SLOTS} weaker ones", icon="BLANK1")
        rest.operator("cteg.mapping_remove_target", text="All", icon="X").place = -1
    if row.suggested:
        names = " + ".join(candidate.name for candidate in row.suggested)
        offer = layout.row(align=True)
        offer.label(text=f"{names} ({row.suggested[0].score:.0%})", icon="QUESTION")
        offer.operator("cteg.mapping_accept", text="Accept").channel = channel
    add = layout.row(align=True)
    add.operator_context = "INVOKE_DEFAULT"
    add.operator("cteg.mapping_add_target", text="Shape Key", icon="ADD").kind = "KEY"
    if face.armature is not None:
        add.operator("cteg.mapping_add_target", text="Bone", icon="ADD").kind = "BONE"


def _draw_target(layout: UILayout, face: Face, slot: CTEG_MappingSlot, target: edits.Target) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    if target.kind == "KEY":
        name = row.row(align=True)
        name.prop_search(slot, "target", face.object.data.shape_keys, "key_blocks", text="", icon="SHAPEKEY_DATA")
        value = row.row(align=True)
        value.ui_units_x = 4
        value.prop(slot, "weight", text="")
    elif target.kind == "BONE" and face.armature is not None:
        row.prop_search(slot, "target", face.armature.data, "bones", text="", icon="BONE_DATA")
    else:
        row.label(text=f"{target.name.replace('_', ' ')} bone", icon="BONE_DATA")
    row.operator("cteg.mapping_remove_target", text="", icon="X").place = slot.place
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
    layout: UILayout, context: Context, face: Face, editor: CTEG_MappingEditor, targets: tuple[edits.Target, ...]
) -> None:
    channel = editor.rows[editor.active]
    column = layout.column(align=True)
    values = column.row(align=True)
    values.prop(channel, "gain")
    values.prop(channel, "offset")
    values.prop(channel, "mute", text="", icon="CHECKBOX_DEHLT" if channel.mute else "CHECKBOX_HLT")
    shown = context.window_manager.cteg_preview
    row = column.row()
    row.enabled = bool(targets)
    row.prop(shown, "both_ways" if state.swing(channel.name)[1] else "strength", slider=True)
    note = column.column()
    note.active = False
    if shown.strength:
        for text in _notes(face, targets):
            sentence(note, context, text, icon="INFO")


def _notes(face: Face, targets: tuple[edits.Target, ...]) -> Iterator[str]:
    """What else moves what the preview shows."""
    data = face.mesh.shape_keys.animation_data
    if data is None:
        return
    if data.action is not None:
        yield "The take comes back at another frame, or at 0."
    driven = {driver.data_path for driver in data.drivers if not driver.mute}
    names = [target.name for target in targets if target.kind == "KEY" and key_path(target.name) in driven]
    if names:
        yield f"Drivers decide {shorten(names, 3)}, so neither a preview nor a take moves it."
