# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagnosis: the one place that says what of a character does not move, or is not seen, and what to do about it.

Drivers, locks and switches of the animator's are respected, and named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from typing import Any

import bpy
import numpy as np

from ..character.controls import rotation_property
from ..character.detection.editable import drivers_of
from ..character.geometry import coordinates
from ..character.mapping import Mapping
from ..character.rig import Rig, shorten
from ..sentences import told
from . import ranges
from .finding import left_behind
from .owners import Owner, curves_in, home_of, owners_of, why_not_writable
from .record import Line
from .targets import Others, bone_path, has_lines, key_path, name_in


def diagnose(rig: Rig, mapping: Mapping | None, lines: Sequence[Line], tight: Sequence[str] = ()) -> list[str]:
    """Sentences about what keeps a character from moving as its lines say, each with what to do; empty if nothing does.

    A rig with a problem gives nothing: that says it all.

    Args:
        rig, mapping: the character and its resolved mapping, None where there is none yet.
        lines: its lines. Where none is shown, only what would stay is told.
        tight: names of the shape keys whose sliders cut them off.
    """
    if rig.problem is not None or rig.object is None:
        return []
    owners, keys, bones = owners_of(rig), driven_keys(rig, mapping), _bones(rig, mapping)
    said = [reason for owner in owners if (reason := why_not_writable(owner, owners))]
    said += [*_drivers(rig, keys), *_switched_off(rig, keys), *_locked(rig, bones)]
    said += left_behind(rig, home_of(owners))
    if any(line.shown >= 0 for line in lines):
        said += [reason for owner in owners for reason in _owner_problems(owner, keys, bones)]
        said += [reason for obj in rig.meshes for reason in _mesh_problems(obj)]
        said += [*_slider_problems(rig, tight), *_bone_problems(rig, bones)]
    return list(dict.fromkeys(said))  # one thing may keep several parts from moving


def driven_keys(rig: Rig, mapping: Mapping | None) -> tuple[str, ...]:
    """Names of the shape keys that takes drive, on any mesh of the character."""
    names = [name for keys in rig.shape_keys.values() for name in keys]
    return tuple(dict.fromkeys([*(mapping.shape_keys if mapping is not None else ()), *names]))


def keys_without_shape(rig: Rig, mapping: Mapping | None) -> list[str]:
    """Names of driven keys that move no vertex of any mesh. Reads every key: not for panels."""
    moving, still = set(), []
    for key, _ in rig.keyed_meshes:
        for name in driven_keys(rig, mapping):
            block = key.key_blocks.get(name)
            if block is None or block == key.reference_key:
                continue
            offsets = coordinates(block.data) - coordinates(block.relative_key.data)
            if np.abs(offsets).max(initial=0.0) > 1e-7:
                moving.add(name)
            else:
                still.append(name)
    return [name for name in dict.fromkeys(still) if name not in moving]


def _curves(owner: Owner) -> list[bpy.types.FCurve]:
    return [] if owner.action is None or owner.slot is None else curves_in(owner.action, owner.slot)


def _bones(rig: Rig, mapping: Mapping | None) -> list[bpy.types.PoseBone]:
    """The pose bones that takes turn or move."""
    roles = rig.bones if mapping is None else [role for role in mapping.bones if role in rig.bones]
    names = [*(rig.bones[role] for role in roles), *(mapping.controls if mapping is not None else ())]
    pose: Any = rig.armature.pose.bones if rig.armature is not None and rig.armature.pose is not None else {}
    return [pose[name] for name in dict.fromkeys(names) if name in pose]


def _drivers(rig: Rig, keys: Collection[str]) -> Iterator[str]:
    face_key = rig.keyed_meshes[0][0] if rig.keyed_meshes else None
    for key, obj in rig.keyed_meshes:
        drivers = drivers_of(key)
        held = [name for name in keys if name in drivers]
        # Drivers that hand the face's values on are how many characters move their teeth and lashes.
        if not held or (key != face_key and _hands_on(key, face_key)):
            continue
        yield _driven(rig, {name: drivers[name] for name in held}, "" if key == face_key else obj.name)


def lost(rig: Rig, moved: Iterable[tuple[Owner, str, str]], known: Collection[str], others: Others) -> list[str]:
    """Sentences about what a line moved when it was written last and moves no more, because the character has changed.

    Args:
        rig: the character.
        moved: properties, each with its owner and its data path at that time and now.
        known: names of shape keys and bones that the mapping leads to.
        others: who else decides about properties.
    """
    renamed: set[str] = set()
    removed: set[str] = set()
    driven: dict[str, Any] = {}
    for owner, then, now in moved:
        was, name = name_in(then), name_in(now)
        if name not in (owner.datablock.key_blocks if owner.kind == "KEY" else owner.datablock.pose.bones):
            removed.add(was)
        elif name != was and name not in known:
            renamed.add(told("{old} (now {new})", old=was, new=name))
        elif (driver := others.driver(owner, now)) is not None:
            driven[name] = driver
    said = []
    if renamed:
        sentence = (
            "{names} was renamed, and the mapping does not lead there. Give it back its name, or choose it as a target "
            "in the Mapping panel; then write the lines again."
            if len(renamed) == 1
            else "{names} were renamed, and the mapping does not lead there. Give them back their names, or choose "
            "them as targets in the Mapping panel; then write the lines again."
        )
        said.append(told(sentence, names=shorten(sorted(renamed))))
    if removed:
        sentence = (
            "{names} is not there any more, and the lines play without it. Bring it back or choose another target in "
            "the Mapping panel; then write the lines again."
            if len(removed) == 1
            else "{names} are not there any more, and the lines play without them. Bring them back or choose other "
            "targets in the Mapping panel; then write the lines again."
        )
        said.append(told(sentence, names=shorten(sorted(removed))))
    return said + ([_driven(rig, dict(sorted(driven.items())))] if driven else [])


def _driven(rig: Rig, held: MappingOf[str, Any], of: str = "") -> str:
    """A sentence about keys or bones, by name, that drivers keep; ``of`` names the object where it is not the face."""
    names = told("{names} of {object}", names=shorten(list(held)), object=of) if of else shorten(list(held))
    bones = dict.fromkeys(bone for driver in held.values() for bone in _bones_read(rig, driver))
    if bones:
        return told(
            "{names} is driven by a driver that reads the bone {bones}, and keeps it. Let the channel move that bone "
            "in the Mapping panel, or delete the driver."
            if len(held) == 1
            else "{names} are driven by drivers that read the bones {bones}, and keep them. Let the channels move "
            "those bones in the Mapping panel, or delete the drivers.", names=names, bones=shorten(list(bones), 3),
        )  # fmt: skip
    return told(
        "{names} is driven by a driver ({driver}) and keeps it. Delete the driver to let takes move it."
        if len(held) == 1
        else "{names} are driven by drivers (the first is {driver}) and keep them. Delete the drivers to let takes "
        "move them.", names=names, driver=_in_words(next(iter(held.values())).driver),
    )  # fmt: skip


def _bones_read(rig: Rig, curve: Any) -> list[str]:
    """The bones of the character's armature that a driver reads."""
    targets = [target for variable in curve.driver.variables for target in variable.targets]
    paths = [(target.id, target.bone_target or name_in(target.data_path)) for target in targets]
    return [bone for owner, bone in paths if owner == rig.armature is not None and bone in rig.bone_names]


def _in_words(driver: Any) -> str:
    return str(driver.expression) if driver.type == "SCRIPTED" else str(driver.type).lower()


def _hands_on(key: Any, face_key: Any) -> bool:
    """Whether the drivers of a follower read the face's own shape keys."""
    read = {target.id for d in key.animation_data.drivers for v in d.driver.variables for target in v.targets}
    return face_key in read


def _switched_off(rig: Rig, keys: Collection[str]) -> Iterator[str]:
    for key, obj in rig.keyed_meshes:
        muted = [name for name in keys if name in key.key_blocks and key.key_blocks[name].mute]
        if muted:
            if obj == rig.object:
                yield told("Shape keys are turned off: {names}. Tick their boxes.", names=shorten(muted))
            else:
                sentence = "Shape keys of {object} are turned off: {names}. Tick their boxes."
                yield told(sentence, object=obj.name, names=shorten(muted))
    hidden = [obj.name for obj in rig.meshes if obj.hide_viewport]
    if hidden:
        yield told(
            "{names} is disabled in viewports. Turn the screen icon on."
            if len(hidden) == 1
            else "{names} are disabled in viewports. Turn the screen icon on.", names=shorten(hidden),
        )  # fmt: skip


def _locked(rig: Rig, bones: Sequence[bpy.types.PoseBone]) -> Iterator[str]:
    # A lock that came after the keys binds the animator's hands, not the keys.
    curves = [curve for owner in owners_of(rig) if owner.kind == "OBJECT" for curve in _curves(owner)]
    animated = {name_in(curve.data_path) for curve in curves}
    locked = [bone.name for bone in bones if all(bone.lock_rotation) and bone.name not in animated]
    if locked:
        sentence = (
            "The rotation of {names} is locked and stays. Open the padlocks in the sidebar's Item tab to let takes "
            "turn it."
        )
        yield told(sentence, names=shorten(locked))


def _owner_problems(owner: Owner, keys: Collection[str], bones: Sequence[bpy.types.PoseBone]) -> Iterator[str]:
    """The keys are there and Blender does not evaluate them."""
    data = owner.data
    moved = (
        [name for name in keys if name in owner.datablock.key_blocks]
        if owner.kind == "KEY"
        else [bone.name for bone in bones if not all(bone.lock_rotation)]
    )
    if not moved:
        return
    if data is None or data.action is None:
        if not has_lines(owner):
            sentence = "The lines do not move the {name}: no action plays there. Write the lines again."
            yield told(sentence, name=owner.label)
        return
    if data.action_slot is None:
        sentence = "The action of the {name} has no slot chosen, so it plays nothing. Choose its slot."
        yield told(sentence, name=owner.label)
    solo = [track.name for track in data.nla_tracks if track.is_solo]
    if solo:
        yield told("The NLA track {name} plays solo and hides the lines. Turn off its star in the NLA.", name=solo[0])
    paths = {key_path(name) if owner.kind == "KEY" else bone_path(name) for name in moved}
    muted = [
        name_in(curve.data_path)
        for curve in _curves(owner)
        if (curve.mute or (curve.group is not None and curve.group.mute))
        and (curve.data_path if owner.kind == "KEY" else f"{curve.data_path.rpartition('.')[0]}.") in paths
    ]
    if muted:
        names = shorten(list(dict.fromkeys(muted)))
        yield told("Channels are muted: {names}. Turn them on in the Dope Sheet.", names=names)


def _mesh_problems(obj: bpy.types.Object) -> Iterator[str]:
    if obj.show_only_shape_key:
        sentence = "{name} shows one shape key only. Turn off Shape Key Lock (the pin) in its shape keys."
        yield told(sentence, name=obj.name)
    if obj.mode == "EDIT":
        yield told("{name} is in Edit Mode. Leave it to see the performance.", name=obj.name)


def _slider_problems(rig: Rig, tight: Sequence[str]) -> Iterator[str]:
    if tight:
        advice = ranges.why_not_wider(rig, tight) or told("Widen their Range Min and Max.")
        sentence = "The range of these sliders cuts the keys off: {names}. {advice}"
        yield told(sentence, names=shorten(tight), advice=advice)


def _bone_problems(rig: Rig, bones: Sequence[bpy.types.PoseBone]) -> Iterator[str]:
    if rig.armature is None or rig.object is None or not bones:
        return
    if rig.armature.data.pose_position == "REST":
        sentence = "{name} is in its rest position. Choose Pose Position in its armature settings."
        yield told(sentence, name=rig.armature.name)
    modifiers = [m for m in rig.object.modifiers if m.type == "ARMATURE" and m.object == rig.armature]
    off = [modifier.name for modifier in modifiers if not modifier.show_viewport]
    if off:
        sentence = "The modifier {name} is turned off in the viewport, so bones do not move the face. Turn it on."
        yield told(sentence, name=off[0])
    paths = {curve.data_path for owner in owners_of(rig) if owner.kind == "OBJECT" for curve in _curves(owner)}
    turned = [bone for bone in bones if any(path.startswith(f"{bone_path(bone.name)}rotation") for path in paths)]
    changed = [bone.name for bone in turned if bone_path(bone.name) + rotation_property(bone) not in paths]
    if changed:
        sentence = "The rotation mode of {names} is not that of its keys. Write the lines again."
        yield told(sentence, names=shorten(changed))
    constrained = [bone.name for bone in bones if any(c.enabled and c.influence > 0 for c in bone.constraints)]
    if constrained:
        sentence = "Constraints act on top of the keys of {names}. Turn them off to see the lines alone."
        yield told(sentence, names=shorten(constrained))
