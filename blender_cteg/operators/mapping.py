# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the mapping of the target: match, accept, reset, presets, targets of a channel."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from bpy.props import EnumProperty, IntProperty, StringProperty
from bpy.types import Context, Event

from .. import cast
from ..cast import Character
from ..character import mapping_edits as edits
from ..character import mapping_rows
from ..character.choose import mapping_for
from ..character.fitting.fitted import fit_summary, refit
from ..character.mapping import Mapping, MappingError
from ..character.match import Candidate
from ..character.presets import preset
from ..character.rig import Rig, shorten
from ..clip import Clip
from ..sentences import told, translated
from ..shared import ARKIT55
from ..ui.fields import active_channel, show_preview
from . import Changes, Reasoned


def disabled_reason(context: Context) -> str:
    """Why there is no mapping to change, or ""; a damaged one may be reset or replaced."""
    return cast.character(context.scene).locked


class MappingOperator(Changes, Reasoned):
    """Mixin: changes the mapping of the target, or says why not."""

    reason = staticmethod(disabled_reason)

    def change(self, context: Context) -> str:
        said = self.act(context, cast.refresh(context.scene))
        cast.refresh(context.scene)
        show_preview(context.scene)
        return said

    def act(self, context: Context, character: Character) -> str:
        """Do it, and say what was done. MappingError when it cannot be done."""
        raise NotImplementedError

    def store(self, context: Context, rig: Rig, mapping: Mapping | None) -> None:
        """Keep a mapping and write the lines again. MappingError when it cannot be kept."""
        if problem := cast.store_mapping(context.scene, rig, mapping):
            self.report({"WARNING"}, problem)


def prepared(character: Character) -> Mapping:
    """The mapping of a character; a FLAME face is fitted where that was not done yet.

    Raises:
        MappingError: it cannot be found, or is damaged.
    """
    if character.mapping is not None:
        return character.mapping
    if character.mapping_problem:
        raise MappingError("{problem}", problem=character.mapping_problem)
    zeros = np.zeros((1, len(ARKIT55.channels)), np.float32)
    return mapping_for(character.rig, Clip(zeros, ARKIT55.channels, 24.0, ARKIT55.name))


class CTEG_OT_mapping_match(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_match"
    bl_label = "Match Mapping Automatically"
    bl_description = (
        "Give every channel that moves nothing the shape key or bone with the same name, in any known spelling. "
        "What is mapped already stays as it is"
    )

    def act(self, context: Context, character: Character) -> str:
        mapping, count = mapping_rows.matched_automatically(prepared(character), character.rig)
        if count:
            self.store(context, character.rig, mapping)
            return told("Channels matched by name: {count}", count=count)
        without = [row.channel for row in character.rows if not row.targets]
        if not without:
            return told("Every channel has a target already")
        self.level, count, names = "WARNING", len(without), shorten(without, 3)
        if not (suggested := sum(bool(row.suggested) for row in character.rows)):
            sentence = "No more names match. Give targets by hand to channels that move nothing: {count} ({names})"
            return told(sentence, count=count, names=names)
        return told(
            "No more names match. Channels that move nothing: {count} ({names}); of them with suggestions to "
            "accept: {suggested}", count=count, names=names, suggested=suggested,
        )  # fmt: skip


class CTEG_OT_mapping_accept(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_accept"
    bl_label = "Accept Mapping Suggestions"
    bl_description = "Use what is suggested for channels that move nothing. Check each with the preview"

    channel: StringProperty(name="Channel", description="Empty: all of them", options={"SKIP_SAVE"})

    def act(self, context: Context, character: Character) -> str:
        mapping, count = mapping_rows.with_suggestions(prepared(character), character.rig, self.channel)
        if not count:
            if not self.channel:
                raise MappingError("There is no suggestion for this face; add a target by hand.")
            raise MappingError("There is no suggestion for {channel}; add a target by hand.", channel=self.channel)
        self.store(context, character.rig, mapping)
        return told("{n} suggestions were accepted" if count > 1 else "{n} suggestion was accepted", n=count)


class CTEG_OT_mapping_mute(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_mute"
    bl_label = "Mute Mapping Channel"
    bl_description = "Leave this channel out of takes, or take it in again"

    channel: StringProperty(name="Channel", options={"SKIP_SAVE"})

    def act(self, context: Context, character: Character) -> str:
        mapping = prepared(character)
        if self.channel not in mapping_rows.channels_of(mapping):
            raise MappingError("There is no channel called {name!r}; choose one from the list.", name=self.channel)
        before = mapping.channels.get(self.channel)
        muted = before is None or not before.mute
        self.store(context, character.rig, edits.adjusted(mapping, self.channel, mute=muted))
        return told("{name} is left out of takes" if muted else "{name} is part of takes", name=self.channel)


class CTEG_OT_mapping_reset(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_reset"
    bl_label = "Reset Mapping"
    bl_description = "Forget what was edited and find the mapping again by itself, by names or by a fit"

    def act(self, context: Context, character: Character) -> str:
        self.store(context, character.rig, None)
        return told("{name} has the mapping its names lead to", name=character.rig.object.name)


class CTEG_OT_fit_again(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.fit_again"
    bl_label = "Fit Expressions Again"
    bl_description = (
        "Fit the ARKit actions to this FLAME mesh's expression keys anew. The mapping that is kept on the mesh, also "
        "an edited one, is replaced"
    )

    def act(self, context: Context, character: Character) -> str:
        if not character.problem and character.rig.kind == "BONES":
            mapping = prepared(character)
            self.store(context, character.rig, mapping)
            return told("Fitted {count} controls of the face.", count=len(mapping.controls))
        if character.problem or character.rig.kind != "FLAME":
            own = told("Only FLAME faces are fitted; this one has keys of its own.")
            raise MappingError("{reason}", reason=character.problem or own)
        mapping = refit(character.rig)
        self.store(context, character.rig, mapping)
        return " ".join(fit_summary(mapping)) or told("Fitted.")


class CTEG_OT_mapping_preset(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_preset"
    bl_label = "Use Mapping Preset"
    bl_description = "Use the mapping of a known rig"

    preset: StringProperty(name="Preset", description="Name of the preset's file", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        try:
            return translated(preset(properties.preset).description)
        except MappingError:
            return translated(cls.bl_description)

    def act(self, context: Context, character: Character) -> str:
        chosen = preset(self.preset)
        return put_on(self, context, character.rig, chosen.mapping, chosen.label)


def put_on(operator: MappingOperator, context: Context, rig: Rig, mapping: Mapping, what: str) -> str:
    """Store the part of a mapping that a character has, and say what it lacks.

    Raises:
        MappingError: it has nothing of it, or is not editable; nothing has changed.
    """
    fitting, lacking = edits.only(mapping, rig)
    # Every skeleton has a jaw: a few bones of a face's many that are called alike are no sign of that face.
    alike = not fitting.shape_keys and 4 * len(fitting.controls) < len(mapping.controls)
    if alike or not (fitting.shape_keys or fitting.controls or (fitting.bones and not mapping.shape_keys)):
        sentence = "Nothing of {what} is on {name}, which has no {lacking}. Choose another one."
        raise MappingError(sentence, what=what, name=rig.object.name, lacking=shorten(lacking, 3))
    if mapping.relative and fitting.controls:
        from ..character.fitting.portable import on_face  # here, because enabling does not need it

        fitting = on_face(rig, mapping)
    operator.store(context, rig, fitting)
    operator.level, count = "WARNING" if lacking else "INFO", len(fitting.driving())
    if not lacking:
        return told("{what}: {count} channels", what=what, count=count)
    sentence = "{what}: {count} channels; not on {name}: {lacking}"
    return told(sentence, what=what, count=count, name=rig.object.name, lacking=shorten(lacking))


# ------------------------------------------------------------------------------------------------ targets of a channel

#: Blender does not keep the names of an enumeration that is made on the fly.
_kept: list[tuple[str, str, str]] = []


def _names(operator: Any, context: Context | None) -> list[tuple[str, str, str]]:
    rig = cast.character(context.scene).rig if context is not None else Rig()
    names = rig.keys if operator.kind == "KEY" else rig.bone_names
    # Numbers, because identifiers should be ASCII and names need not be.
    _kept[:] = [(str(index), name, "") for index, name in enumerate(names)] or [("-1", "nothing to choose", "")]
    return _kept


class CTEG_OT_mapping_add_target(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_add_target"
    bl_label = "Add Mapping Target"
    bl_description = "Let the channel move one more shape key or bone"
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

    def act(self, context: Context, character: Character) -> str:
        mapping, channel, rig = prepared(character), active_channel(character), character.rig
        names = rig.keys if self.kind == "KEY" else rig.bone_names
        # Unset, an enumeration is its first item; nobody chose that.
        index = int(self.choice) if self.properties.is_property_set("choice") else -1
        name = self.name or (names[index] if 0 <= index < len(names) else "")
        if name not in names:
            raise MappingError(
                "{face} has no shape key called {name!r}; choose one it has."
                if self.kind == "KEY"
                else "{face} has no bone called {name!r}; choose one it has.", face=rig.object.name, name=name,
            )  # fmt: skip
        if self.kind == "KEY" and channel in mapping.shape_keys.get(name, {}):
            raise MappingError("{channel} moves {name} already; change its weight.", channel=channel, name=name)
        candidate = Candidate("KEY" if self.kind == "KEY" else "BONE", name, 1.0)
        self.store(context, rig, edits.accepted(mapping, channel, [candidate]))
        return told("{channel} moves {name}", channel=channel, name=name)


class CTEG_OT_mapping_remove_target(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_remove_target"
    bl_label = "Remove Mapping Target"
    bl_description = "Let the channel no longer move this"

    place: IntProperty(name="Place", description="Which of the channel's targets, from 0; -1: all of them", default=-1)

    def act(self, context: Context, character: Character) -> str:
        mapping, channel = prepared(character), active_channel(character)
        targets = edits.targets_of(mapping, channel)
        chosen = targets if self.place == -1 else targets[self.place : self.place + 1] if self.place >= 0 else ()
        if not chosen:
            sentence = "Targets of {channel}: {count}; none is at place {place}."
            raise MappingError(sentence, channel=channel, count=len(targets), place=self.place)
        for target in reversed(chosen):  # from the last, so that places of the others stay
            mapping = edits.without_target(mapping, channel, target)
        self.store(context, character.rig, mapping)
        names = shorten([target.label for target in chosen], 3)
        return told("{channel} moves {names} no more", channel=channel, names=names)
