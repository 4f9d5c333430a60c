# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners: the datablocks that takes move, and the actions they are moved by.

A line is written into the action that the animator works in. Only where there is none, one is made, named after the
character; and it goes when nothing is left in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import bpy

from ..character.rig import Rig, shorten
from ..sentences import told, translated

#: The custom property of an action that lists what of it was made here: "action", and handles of slots.
MADE_PROPERTY: Final = "cteg_made"
#: The custom property of a follower's shape keys with what stored data knows it by, however its object is called now.
NAME_PROPERTY: Final = "cteg_name"


@dataclass(frozen=True)
class Owner:
    """A datablock whose properties takes move.

    Attributes:
        datablock: a shape-key datablock, or an armature object.
        kind: type of its slots, KEY or OBJECT.
        name: "face", "armature", or that of a follower's object when a line was first written: what stored data knows
            it by.
        label: what an animator knows it by.
    """

    datablock: Any
    kind: str
    name: str
    label: str

    @property
    def data(self) -> bpy.types.AnimData | None:
        """Its animation data, or None."""
        return self.datablock.animation_data

    @property
    def action(self) -> bpy.types.Action | None:
        """The action it plays, or None."""
        return None if self.data is None else self.data.action

    @property
    def slot(self) -> bpy.types.ActionSlot | None:
        """The slot of its action that it plays, or None."""
        return None if self.data is None or self.data.action is None else self.data.action_slot


def owners_of(rig: Rig) -> tuple[Owner, ...]:
    """The datablocks a take moves: the face's shape keys, those of the meshes that follow it, the armature."""
    owners: list[Owner] = []
    for number, (key, obj) in enumerate(rig.keyed_meshes):
        label, known = told("shape keys of {name}", name=obj.name), {"armature", *(owner.name for owner in owners)}
        names = (str(key.get(NAME_PROPERTY, obj.name)), obj.name, f"{obj.name} {number}")  # a copy has that of another
        owners.append(Owner(key, "KEY", next(n for n in names if n not in known) if number else "face", label))
    if rig.armature is not None:
        owners.append(Owner(rig.armature, "OBJECT", "armature", rig.armature.name))
    return tuple(owners)


def home_of(owners: Sequence[Owner]) -> bpy.types.Action | None:
    """The action that keeps the lines of a character: that of its face."""
    return owners[0].action if owners else None


def played_action(owner: Owner) -> bpy.types.Action | None:
    """The action that an owner plays, also while a strip is tweaked in its place."""
    data = owner.data
    return data.action_tweak_storage if data is not None and data.use_tweak_mode else owner.action


def why_not_writable(owner: Owner, character: Sequence[Owner]) -> str:
    """Why no keys can be written for an owner now, as a sentence that says what to do; "" when they can."""
    if not owner.datablock.is_editable:
        return told(
            "The {name} are linked from another file. Make a library override first."
            if owner.kind == "KEY"
            else "{name} is linked from another file. Make a library override first.", name=owner.label,
        )  # fmt: skip
    data = owner.data
    if data is None:
        return ""
    if data.use_tweak_mode:
        return told(
            "An NLA strip of the {name} is being tweaked. Leave tweak mode (Tab in the Nonlinear Animation editor), "
            "then try again.", name=owner.label,
        )  # fmt: skip
    if data.action is None:
        return ""
    name = data.action.name
    if not data.action.is_editable:
        sentence = "The action {name} is linked from another file. Make it local, or choose another action."
        return told(sentence, name=name)
    if data.action_influence < 1.0 or data.action_blend_type != "REPLACE":
        return told(
            "The action {name} of the {owner} is blended (influence {influence:.2f}, {blending}). Set it to 1 and "
            "Replace in the Nonlinear Animation editor.",
            name=name, owner=owner.label, influence=data.action_influence,
            blending=translated(data.action_blend_type.title()),
        )  # fmt: skip
    if len(data.nla_tracks) and data.action_extrapolation != "HOLD":
        return told(
            "The action {name} does not hold its ends, so a line in it would end suddenly. Set its extrapolation to "
            "Hold in the Nonlinear Animation editor.", name=name,
        )  # fmt: skip
    others = other_users(owner.slot, character)
    if others:
        return told(
            "The action {name} also moves {others}, and a line would play there too. Give this character its own "
            "copy: click the number beside the action's name in the Action editor.",
            name=name, others=shorten(others, 3),
        )  # fmt: skip
    return ""


def other_users(slot: bpy.types.ActionSlot | None, character: Sequence[Owner]) -> list[str]:
    """Names of what else plays a slot, beside the character itself."""
    own = [owner.datablock for owner in character]
    return sorted({str(user.name) for user in (slot.users() if slot is not None else ()) if user not in own})


def prepare(owner: Owner, character: Sequence[Owner], name: str) -> tuple[bpy.types.Action, bpy.types.ActionSlot]:
    """The action and the slot to write an owner's keys to; made where there is none. The owner must be writable.

    Args:
        owner: what is moved.
        character: all owners of the character, the face first.
        name: of an action that has to be made.
    """
    data = owner.data or owner.datablock.animation_data_create()
    made: set[str] = set()
    action = data.action
    if data.action_slot is None if action is not None else True:
        bpy.context.view_layer.update()  # 4.5 and 5.0 crash where a slot is set on what was never evaluated
    if action is None:
        action = home_of(character)
        if action is None or not action.is_editable:
            action = bpy.data.actions.new(name)
            made.add("action")
        data.action = action
        data.action_slot = None  # not one that Blender finds by its name: what is in it would play here too
    if data.action_slot is None:
        slot = action.slots.new(id_type=owner.kind, name=owner.datablock.name)
        made.add(str(slot.handle))
        data.action_slot = slot
    _remember(action, made)
    return action, data.action_slot


def _made(action: bpy.types.Action) -> set[str]:
    made = action.get(MADE_PROPERTY)
    return set(made.split()) if isinstance(made, str) else set()


def _remember(action: bpy.types.Action, made: set[str]) -> None:
    if made:
        action[MADE_PROPERTY] = " ".join(sorted(_made(action) | made))


def remember_names(owners: Sequence[Owner]) -> None:
    """Keep what stored data knows the followers of a character by."""
    for owner in owners[1:]:
        if owner.kind == "KEY" and owner.datablock.get(NAME_PROPERTY) != owner.name:
            owner.datablock[NAME_PROPERTY] = owner.name


def tidy(owners: Sequence[Owner], kept: str) -> None:
    """Take away slots and actions that were made for lines and have no curves left, and the names of followers.

    Args:
        owners: of the character.
        kept: the custom property of an action that has lines.
    """
    actions = {action for owner in owners if (action := owner.action) is not None and action.is_editable}
    for action in actions:
        if kept in action:  # a line of which nothing is seen has no curves
            continue
        made = _made(action)
        for slot in [slot for slot in action.slots if str(slot.handle) in made and not curves_in(action, slot)]:
            for owner in owners:
                if owner.action == action and owner.slot == slot:
                    _release(owner)
            if not slot.users():
                made.discard(str(slot.handle))
                action.slots.remove(slot)
        if "action" in made and not len(action.slots) and action.users <= int(action.use_fake_user):
            bpy.data.actions.remove(action)
        elif made:
            action[MADE_PROPERTY] = " ".join(sorted(made))
        elif MADE_PROPERTY in action:
            del action[MADE_PROPERTY]
    if not any(kept in action for action in bpy.data.actions):
        for owner in owners:
            if owner.datablock.is_editable and NAME_PROPERTY in owner.datablock:
                del owner.datablock[NAME_PROPERTY]


def _release(owner: Owner) -> None:
    """An owner plays nothing any more, as before its slot was made."""
    data = owner.data
    data.action = None
    if not len(data.drivers) and not len(data.nla_tracks):
        owner.datablock.animation_data_clear()


def curves_in(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> list[bpy.types.FCurve]:
    """The F-curves of a slot, over all layers and strips of an action."""
    strips = [strip for layer in action.layers for strip in layer.strips]
    bags = [bag for strip in strips if (bag := strip.channelbag(slot)) is not None]
    return [curve for bag in bags for curve in bag.fcurves]


def set_value(owner: Owner, path: str, index: int, value: float) -> None:
    """Set a property that no curve holds any more to what it was."""
    try:
        there = owner.datablock.path_resolve(path)
    except ValueError:  # the key or bone is gone
        return
    if hasattr(there, "__len__"):
        there[index] = value
    else:
        block, _, name = path.rpartition(".")
        setattr(owner.datablock.path_resolve(block), name, value)
