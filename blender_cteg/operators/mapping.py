# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the mapping of the target: match, accept, reset, presets, targets of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..character import mapping_edits as edits
from ..character import mapping_rows as state
from ..character.detection.naming import match_bones
from ..character.face import Face, face_of, forget, mapping_of, prepare, store, why_not_editable
from ..character.mapping import Mapping, MappingError
from ..character.mapping_edits import Target
from ..character.match import Candidate
from ..character.presets import preset
from ..character.rig import shorten
from ..ui.mapping_fields import fill, show_preview

if TYPE_CHECKING:
    from bpy.types import Context, Event

NO_FACE = "Choose a target with shape keys first: a mesh, or the armature that deforms it."


def disabled_reason(context: Context) -> str:
    """Why there is no mapping to edit, or ""."""
    face = face_of(context.scene.cteg.target)
    return NO_FACE if face is None else why_not_editable(face)


class MappingOperator:
    """Mixin: changes the mapping of the target, or says why not."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        face = face_of(context.scene.cteg.target)
        try:
            if face is None:
                raise MappingError(NO_FACE)
            said = self.act(context, face)
        except MappingError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        fill(context.scene)
        show_preview(context.scene)
        self.report({"WARNING" if " not " in said else "INFO"}, said)
        return {"FINISHED"}

    def act(self, context: Context, face: Face) -> str:
        """Do it, and say what was done."""
        raise NotImplementedError


class CTEG_OT_mapping_edit(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_edit"
    bl_label = "Find Mapping"
    bl_description = (
        "Find out what each channel moves on this face. The expressions of a FLAME face are fitted to the actions of "
        "ARKit, from its own shape keys"
    )
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context: Context, face: Face) -> str:
        mapping = prepare(face)
        if not face.is_stored and mapping.origin == "fit":
            store(face, mapping)
        return f"{face.object.name}: {state.origin_label(mapping, face.is_stored)}"


class CTEG_OT_mapping_match(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_match"
    bl_label = "Match Automatically"
    bl_description = (
        "Give every channel that moves nothing the shape key or bone with the same name, in any known spelling. "
        "What is mapped already stays as it is"
    )
    bl_options = {"REGISTER", "UNDO"}

    def act(self, _context: Context, face: Face) -> str:
        mapping, count = state.matched_automatically(prepare(face), face.keys, face.bones)
        if not count:
            return self.nothing(face, mapping)
        store(face, mapping)
        return f"{count} channels were matched by name"

    def nothing(self, face: Face, mapping: Mapping) -> str:
        """What to do where no names match."""
        rows = state.rows(mapping.to_json(), face.keys, face.bones)
        without = [row.channel for row in rows if not row.targets]
        if not without:
            return "Every channel has a target already"
        suggested = sum(bool(row.suggested) for row in rows)
        hint = f"{suggested} of them have suggestions to accept" if suggested else "give them targets by hand"
        return f"No more names match; {len(without)} channels do not move anything ({shorten(without, 3)}): {hint}"


class CTEG_OT_mapping_accept(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_accept"
    bl_label = "Accept Suggestions"
    bl_description = "Use what is suggested for channels that move nothing. Check each with the preview"
    bl_options = {"REGISTER", "UNDO"}

    channel: StringProperty(name="Channel", description="Empty: all of them", options={"SKIP_SAVE"})

    def act(self, _context: Context, face: Face) -> str:
        mapping, count = state.with_suggestions(prepare(face), face.keys, face.bones, self.channel)
        if not count:
            raise MappingError(
                f"There is no suggestion for {self.channel}; add a target by hand."
                if self.channel
                else "There are no suggestions for this face; add targets by hand."
            )
        store(face, mapping)
        return f"{count} suggestion{'s were' if count > 1 else ' was'} accepted"


class CTEG_OT_mapping_reset(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_reset"
    bl_label = "Reset"
    bl_description = "Forget what was edited and find the mapping again by itself, by names or by a fit"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, _context: Context, face: Face) -> str:
        forget(face)
        return f"{face.object.name} has the mapping its names lead to"


class CTEG_OT_mapping_preset(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_preset"
    bl_label = "Use Preset"
    bl_description = "Use the mapping of a known rig"
    bl_options = {"REGISTER", "UNDO"}

    preset: StringProperty(name="Preset", description="Name of the preset's file", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        try:
            return preset(properties.preset).description
        except MappingError:
            return cls.bl_description

    def act(self, _context: Context, face: Face) -> str:
        chosen = preset(self.preset)
        return put_on(face, chosen.mapping, chosen.label)


def put_on(face: Face, mapping: Mapping, what: str) -> str:
    """Store the part of a mapping that a face has, and say what it lacks.

    Raises:
        MappingError: it has nothing of it, or is not editable; nothing has changed.
    """
    fitting, lacking = edits.only(mapping, face.keys, face.bones, match_bones(face.bones))
    if not fitting.shape_keys and not fitting.controls and (not fitting.bones or mapping.shape_keys):
        raise MappingError(
            f"Nothing of {what} is on {face.object.name}, which has no {shorten(lacking, 3)}. Choose another one."
        )
    store(face, fitting)
    moving = len(fitting.driving())
    if lacking:
        return f"{what}: {moving} channels; not on {face.object.name}: {shorten(lacking)}"
    return f"{what}: {moving} channels"


# ---------------------------------------------------------------------------------------------- targets of a channel

#: Blender does not keep the names of an enumeration that is made on the fly.
_kept: list[tuple[str, str, str]] = []


def _names(operator: Any, context: Context | None) -> list[tuple[str, str, str]]:
    face = face_of(context.scene.cteg.target) if context is not None else None
    names = () if face is None else face.keys if operator.kind == "KEY" else face.bones
    # Numbers, because identifiers should be ASCII and names need not be.
    _kept[:] = [(str(index), name, "") for index, name in enumerate(names)] or [("-1", "nothing to choose", "")]
    return _kept


class CTEG_OT_mapping_add_target(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_add_target"
    bl_label = "Add Target"
    bl_description = "Let the channel move one more shape key or bone"
    bl_options = {"REGISTER", "UNDO"}
    bl_property = "choice"

    kind: EnumProperty(
        name="Kind",
        items=(("KEY", "Shape Key", ""), ("BONE", "Bone", "A bone about or along one of its own axes")),
        options={"SKIP_SAVE"},
    )
    name: StringProperty(name="Name", description="Name of the shape key or bone", options={"SKIP_SAVE"})
    choice: EnumProperty(name="Name", items=_names, options={"SKIP_SAVE"})

    def invoke(self, context: Context, _event: Event) -> set[str]:
        if self.name:
            return self.execute(context)
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def act(self, context: Context, face: Face) -> str:
        channel = active_channel(context)
        names = face.keys if self.kind == "KEY" else face.bones
        # Unset, an enumeration is its first item; nobody chose that.
        index = int(self.choice) if self.properties.is_property_set("choice") else -1
        name = self.name or (names[index] if 0 <= index < len(names) else "")
        if name not in names:
            what = "shape key" if self.kind == "KEY" else "bone"
            raise MappingError(f"{face.object.name} has no {what} called {name!r}; choose one it has.")
        mapping = prepare(face)
        if self.kind == "KEY" and channel in mapping.shape_keys.get(name, {}):
            raise MappingError(f"{channel} moves {name} already; change its weight.")
        candidate = Candidate("KEY" if self.kind == "KEY" else "BONE", name, 1.0, "exact")
        store(face, edits.accepted(mapping, channel, [candidate]))
        return f"{channel} moves {name}"


class CTEG_OT_mapping_remove_target(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_remove_target"
    bl_label = "Remove Target"
    bl_description = "Let the channel no longer move this"
    bl_options = {"REGISTER", "UNDO"}

    place: IntProperty(name="Place", description="Which of the channel's targets, from 0; -1: all of them", default=-1)

    def act(self, context: Context, face: Face) -> str:
        channel, mapping = active_channel(context), prepare(face)
        targets = edits.targets_of(mapping, channel)
        chosen = targets if self.place == -1 else targets[self.place : self.place + 1] if self.place >= 0 else ()
        if not chosen:
            raise MappingError(f"{channel} has {len(targets)} targets and none at place {self.place}.")
        for target in reversed(chosen):  # from the last, so that places of the others stay
            mapping = edits.without_target(mapping, channel, target)
        store(face, mapping)
        return f"{channel} moves {shorten([_name(target) for target in chosen], 3)} no more"


def active_channel(context: Context) -> str:
    """The channel chosen in the list.

    Raises:
        MappingError: none is.
    """
    channel = context.scene.cteg.mapping.channel
    face = face_of(context.scene.cteg.target)
    mapping = None if face is None else mapping_of(face)
    if mapping is not None and channel not in state.channels_of(mapping):
        channel = ""
    if not channel:
        raise MappingError("No channel is chosen; click one in the list of the Mapping panel.")
    return str(channel)


def _name(target: Target) -> str:
    return f"the {target.name.replace('_', ' ')} bone" if target.kind == "ROLE" else target.name
