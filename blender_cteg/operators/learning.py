# SPDX-License-Identifier: GPL-3.0-or-later
"""Make It Learn: keep posed expressions of a face made of bones, and fit the rest from them."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty
from bpy.types import Context

from .. import cast
from ..cast import Character
from ..character.detection.character import armature_of
from ..character.detection.detect import detect_rig
from ..character.mapping import MESH_PROPERTY, NEUTRAL, Mapping, MappingError
from ..character.mapping_edits import EDITED, taught
from ..sentences import told
from ..shared import ARKIT55
from .mapping import MappingOperator


def disabled_reason(context: Context) -> str:
    """Why no pose of the target can be kept, or ""."""
    rig = cast.character(context.scene).rig
    if rig.object is None or armature_of(rig.object) is None:
        return told("Choose a mesh that an armature moves: its bones are what is posed.")
    if not rig.object.data.is_editable:
        return told("The mesh of {name} is linked, and its mapping with it.", name=rig.object.name)
    return ""


class CTEG_OT_learn_pose(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.learn_pose"
    bl_label = "Keep Pose"
    bl_description = (
        "The pose that the face is in now becomes this expression at full strength, or how it is without one (neutral: "
        "only where that is not its rest). The head may be turned as you like"
    )
    reason = staticmethod(disabled_reason)

    channel: StringProperty(name="Channel", description="Name of the expression", options={"SKIP_SAVE"})

    def act(self, context: Context, character: Character) -> str:
        if self.channel != NEUTRAL and (self.channel not in ARKIT55.channels or self.channel.startswith("head")):
            raise MappingError("There is no expression called {name!r}; choose one from the list.", name=self.channel)
        from ..character.fitting.learning import keep, kept_pose  # here, because enabling does not need it

        rig, mapping = character.rig, character.mapping
        new = mapping is None or mapping.source_space != ARKIT55.name
        if new or mapping is None:
            mapping = Mapping(ARKIT55.name, origin=EDITED)
            keep(rig, mapping)  # with a mapping, a face that nobody knew can be looked at
            rig = detect_rig(rig.object)
        try:
            self.store(context, rig, kept_pose(rig, mapping, self.channel))
        except MappingError:
            if new:
                rig.object.data.pop(MESH_PROPERTY, None)
            raise
        if self.channel == NEUTRAL:
            return told("This pose is how the face is when it expresses nothing. All others go from it.")
        count = len(taught(cast.refresh(context.scene).mapping))
        sentence = "{channel} is this pose. {n} expression is kept."
        return told(
            sentence if count == 1 else "{channel} is this pose. {n} expressions are kept.",
            channel=self.channel, n=count,
        )  # fmt: skip


class CTEG_OT_learn(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.learn"
    bl_label = "Make It Learn"
    bl_description = (
        "Fit all other expressions from the kept ones: the other side by mirroring, the rest by what each bone was "
        "seen to do to the skin"
    )
    reason = staticmethod(disabled_reason)

    def act(self, context: Context, character: Character) -> str:
        from ..character.fitting.learning import learned  # here, because enabling does not need it

        mapping = learned(character.rig, character.mapping)
        self.store(context, character.rig, mapping)
        known = len(taught(mapping))
        sentence = "{count} channels move something now: {known} as posed, the others fitted. Test Drive shows them."
        return told(sentence, count=len(mapping.driving()), known=known)
