# SPDX-License-Identifier: GPL-3.0-or-later
"""Why nothing moves: what in Blender hides a take that has keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from ..character.rig import Rig, shorten
from ..character.stays import key_name, what_stays
from .ranges import extremes_of, tight_keys, why_not_wider
from .rotations import rotation_property
from .takes import animated_datablocks, bone_path, driven_by, object_name, shown_take, slot_curves


def why_hidden(rig: Rig) -> list[str]:
    """Sentences that explain why the face does not move as its take says, each with what to do.

    Empty when nothing hides the take. A rig with a problem gives that problem alone.
    """
    if rig.problem is not None or rig.object is None:
        return [rig.problem or "Choose a face first."]
    take = shown_take(rig)
    if take is None:
        return ["No take is shown on this face. Generate one, or show one from the list."]
    keys, bones = driven_by(rig, take)
    return [
        *_animation_problems(rig, take),
        *_curve_problems(take),
        *(problem for obj in rig.meshes for problem in _mesh_problems(obj)),
        *what_stays(rig, [block.name for block in keys], [bone.name for bone in bones]),
        *_slider_problems(rig, take),
        *(_bone_problems(rig, take, bones) if rig.armature is not None else ()),
    ]


def _animation_problems(rig: Rig, take: bpy.types.Action) -> Iterator[str]:
    """The action is there but Blender does not evaluate it."""
    for datablock, id_type in animated_datablocks(rig):
        if not slot_curves(take, id_type):
            continue
        data = datablock.animation_data
        name = object_name(datablock)
        what = f"shape keys of {name}" if id_type == "KEY" else name
        if data is None or data.action != take:
            yield f"The take is not the active action of the {what}. Show it again."
            continue
        if data.action_slot is None:
            yield f"The action of the {what} has no slot chosen, so it plays nothing. Show the take again."
        if data.use_tweak_mode:
            yield f"An NLA strip of the {what} is being tweaked, which hides the take. Leave tweak mode."
        solo = [track.name for track in data.nla_tracks if track.is_solo]
        if solo:
            yield f"The NLA track {solo[0]} plays solo and hides the take. Turn off its star in the NLA."
        if data.action_influence < 1.0:
            yield f"The action of the {what} has an influence of {data.action_influence:.2f}. Set it to 1 in the NLA."
        if data.action_blend_type != "REPLACE" and len(data.nla_tracks):
            yield f"The action of the {what} is blended over the NLA. Set its blending to Replace."
        if id_type == "KEY":
            continue  # what_stays tells of drivers on shape keys
        paths = {curve.data_path for curve in slot_curves(take, id_type)}
        driven = sorted(driver.data_path for driver in data.drivers if driver.data_path in paths and not driver.mute)
        if driven:
            yield f"Drivers decide instead of the keys: {shorten([key_name(path) for path in driven])}. Remove them."


def _curve_problems(take: bpy.types.Action) -> Iterator[str]:
    curves = slot_curves(take, "KEY") + slot_curves(take, "OBJECT")
    muted = [key_name(curve.data_path) for curve in curves if curve.mute or (curve.group and curve.group.mute)]
    if muted:
        yield f"Channels of the take are muted: {shorten(list(dict.fromkeys(muted)))}. Turn them on in the Dope Sheet."


def _mesh_problems(obj: bpy.types.Object) -> Iterator[str]:
    if obj.show_only_shape_key:
        yield f"{obj.name} shows one shape key only. Turn off Shape Key Lock (the pin) in its shape keys."
    if obj.mode == "EDIT":
        yield f"{obj.name} is in Edit Mode. Leave it to see the performance."
    if obj.data.shape_keys is not None and not obj.data.shape_keys.use_relative:
        yield f"The shape keys of {obj.name} are absolute. Turn on Relative."


def _slider_problems(rig: Rig, take: bpy.types.Action) -> Iterator[str]:
    clamped = tight_keys(rig, extremes_of([take], rig))
    if clamped:
        advice = why_not_wider(rig, clamped) or "Widen their Range Min and Max."
        yield f"The range of these sliders cuts the keys off: {shorten(clamped)}. {advice}"


def _bone_problems(rig: Rig, take: bpy.types.Action, bones: list[bpy.types.PoseBone]) -> Iterator[str]:
    assert rig.armature is not None
    assert rig.object is not None
    if bones and rig.armature.data.pose_position == "REST":
        yield f"{rig.armature.name} is in its rest position. Choose Pose Position in its armature settings."
    modifiers = [modifier for modifier in rig.object.modifiers if modifier.type == "ARMATURE"]
    off = [modifier.name for modifier in modifiers if modifier.object == rig.armature and not modifier.show_viewport]
    if bones and off:
        yield f"The modifier {off[0]} is turned off in the viewport, so bones do not move the face. Turn it on."
    paths: set[Any] = {curve.data_path for curve in slot_curves(take, "OBJECT")}
    turned = [bone for bone in bones if any(path.startswith(bone_path(bone.name) + "rotation") for path in paths)]
    changed = [bone.name for bone in turned if bone_path(bone.name) + rotation_property(bone) not in paths]
    if changed:
        yield f"The rotation mode of {shorten(changed)} changed after the take was written. Generate the take again."
    constrained = [bone.name for bone in bones if any(c.enabled and c.influence > 0 for c in bone.constraints)]
    if constrained:
        yield f"Constraints act on top of the keys of {shorten(constrained)}. Turn them off to see the take alone."
