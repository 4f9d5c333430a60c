# SPDX-License-Identifier: GPL-3.0-or-later
"""Why nothing moves: what in Blender hides a take that has keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np

from ..rigs.rig import Rig, shorten
from .rotations import rotation_property
from .takes import animated_datablocks, bone_path, driven_by, key_path, shown_take, slot_curves


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
        *_mesh_problems(rig.object, keys),
        *_slider_problems(take, keys),
        *(_bone_problems(rig, take, bones) if rig.armature is not None else ()),
    ]


def _animation_problems(rig: Rig, take: bpy.types.Action) -> Iterator[str]:
    """The action is there but Blender does not evaluate it."""
    for datablock, id_type in animated_datablocks(rig):
        if not slot_curves(take, id_type):
            continue
        data = datablock.animation_data
        what = "shape keys" if id_type == "KEY" else datablock.name
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
        paths = {curve.data_path for curve in slot_curves(take, id_type)}
        driven = sorted(driver.data_path for driver in data.drivers if driver.data_path in paths and not driver.mute)
        if driven:
            yield f"Drivers decide instead of the keys: {shorten([_last_name(path) for path in driven])}. Remove them."


def _curve_problems(take: bpy.types.Action) -> Iterator[str]:
    curves = slot_curves(take, "KEY") + slot_curves(take, "OBJECT")
    muted = [_last_name(curve.data_path) for curve in curves if curve.mute or (curve.group and curve.group.mute)]
    if muted:
        yield f"Channels of the take are muted: {shorten(list(dict.fromkeys(muted)))}. Turn them on in the Dope Sheet."


def _mesh_problems(obj: bpy.types.Object, keys: list[bpy.types.ShapeKey]) -> Iterator[str]:
    if obj.show_only_shape_key:
        yield f"{obj.name} shows one shape key only. Turn off Shape Key Lock (the pin) in its shape keys."
    if obj.mode == "EDIT":
        yield f"{obj.name} is in Edit Mode. Leave it to see the performance."
    if not obj.data.shape_keys.use_relative:
        yield f"The shape keys of {obj.name} are absolute. Turn on Relative."
    muted = [block.name for block in keys if block.mute]
    if muted:
        yield f"Shape keys are turned off: {shorten(muted)}. Tick their boxes."


def _slider_problems(take: bpy.types.Action, keys: list[bpy.types.ShapeKey]) -> Iterator[str]:
    extremes = {curve.data_path: _extremes(curve) for curve in slot_curves(take, "KEY")}
    clamped = []
    for block in keys:
        low, high = extremes[key_path(block.name)]
        if low < block.slider_min - 1e-4 or high > block.slider_max + 1e-4:
            clamped.append(block.name)
    if clamped:
        yield f"The range of these sliders cuts the keys off: {shorten(clamped)}. Widen their Range Min and Max."


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


def _last_name(path: str) -> str:
    """The shape key or bone a data path is about."""
    return bpy.utils.unescape_identifier(path.split('["', 1)[-1].rsplit('"]', 1)[0])


def _extremes(curve: bpy.types.FCurve) -> tuple[float, float]:
    """The lowest and highest value of a curve's keys."""
    flat = np.zeros(len(curve.keyframe_points) * 2, np.float32)
    curve.keyframe_points.foreach_get("co", flat)
    values = flat[1::2]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
