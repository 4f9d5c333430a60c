# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: actions made by CTEG, what they were made from, and which one a face shows.

A take is an ordinary slotted action with a JSON text in its custom property ``cteg``. The animator's own actions are
never changed: before a take is shown they are pushed down to the NLA, where they go on playing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

import bpy

from ..character.rig import Rig
from .clip import SCHEMA_VERSION, ClipError, migrated
from .preview import end_preview

#: The custom property of an action that makes it a take.
ACTION_PROPERTY: Final = "cteg"
#: The custom property of a shape-key datablock by which takes know their face, whatever it is renamed to.
FACE_PROPERTY: Final = "cteg_face"
#: The length, in frames to either side, of a strip that never ends: more than an hour.
_FOREVER: Final = 100_000.0


class TakeError(RuntimeError):
    """A take that could not be written, shown or deleted; the message is a sentence. Nothing was changed."""


def provenance(action: bpy.types.Action) -> dict[str, Any] | None:
    """What a take was made from: `Clip.to_json` and ``face``, ``number``, ``start_frame``; None if it is no take.

    A take of an older CTEG is read as one of this version; what is stored stays as it is.
    """
    text = action.get(ACTION_PROPERTY)
    return _read(text) if isinstance(text, str) else None


@lru_cache(maxsize=1024)
def _read(text: str) -> dict[str, Any] | None:
    """The JSON of a take, read once: panels ask many times a second. Nobody may change what is returned."""
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    try:
        data = migrated(data)
    except ClipError:
        return None
    wanted = {
        "face": str, "number": int, "start_frame": int, "text": str, "seed": int, "emotion": str, "fps": float | int,
        "frames": int, "settings": dict, "segments": list, "last_seed": int,
    }  # fmt: skip
    return data if all(isinstance(data.get(name), kind) for name, kind in wanted.items()) else None


def takes_of(rig: Rig) -> list[bpy.types.Action]:
    """The takes made for this face, oldest first."""
    face = _face_id(rig)
    if face is None:
        return []
    made_from = [(action, provenance(action)) for action in bpy.data.actions]
    own = [(data["number"], action) for action, data in made_from if data is not None and data["face"] == face]
    return [action for _, action in sorted(own, key=lambda pair: pair[0])]


def shown_take(rig: Rig) -> bpy.types.Action | None:
    """The take whose shape keys this face plays now, or None."""
    for datablock, _ in animated_datablocks(rig):
        data = datablock.animation_data
        if data is not None and data.action is not None and provenance(data.action) is not None:
            return data.action
    return None


def mark_as_take(rig: Rig, action: bpy.types.Action, made_from: dict[str, Any], undo: ExitStack) -> None:
    """Store what ``action`` was made from, and keep it in the file even while another take is shown."""
    owner = _face_owner(rig)
    numbers = [(provenance(take) or {}).get("number", 0) for take in takes_of(rig)]
    face = _face_id(rig) or uuid4().hex
    if FACE_PROPERTY not in owner:
        owner[FACE_PROPERTY] = face
        undo.callback(owner.pop, FACE_PROPERTY, None)
    data = {"schema_version": SCHEMA_VERSION, "face": face, "number": max(numbers, default=0) + 1, **made_from}
    action[ACTION_PROPERTY] = json.dumps(data, ensure_ascii=False)
    action.use_fake_user = True


def show_take(rig: Rig, action: bpy.types.Action) -> None:
    """Make ``action`` the active one on the shape keys of the face and its followers, and on the armature.

    An action of the animator's is pushed down to the NLA first; another take is simply replaced.

    Raises:
        TakeError: the rig cannot be driven, the action is not a take, or an NLA strip is being tweaked.
    """
    if rig.problem is not None:
        raise TakeError(rig.problem)
    if provenance(action) is None:
        raise TakeError(f"{action.name} was not made by CTEG. Choose one of this face's takes.")
    for datablock, _ in animated_datablocks(rig):
        if datablock.animation_data is not None and datablock.animation_data.use_tweak_mode:
            raise TakeError(
                f"An NLA strip of {object_name(datablock)} is being tweaked. Leave tweak mode (Tab in the Nonlinear "
                "Animation editor), then try again."
            )
    end_preview()
    before = shown_take(rig)
    with ExitStack() as undo:
        for datablock, id_type in animated_datablocks(rig):
            slot = next((slot for slot in action.slots if slot.target_id_type == id_type), None)
            _assign(datablock, action if slot is not None else None, slot, undo)
        undo.pop_all()
    if before is not None:
        # What the take before moved and this one does not (a channel was muted since) would stay as it was last seen.
        (old_keys, old_bones), (keys, bones) = driven_by(rig, before), driven_by(rig, action)
        _to_rest([key for key in old_keys if key not in keys], [bone for bone in old_bones if bone not in bones])


def delete_take(rig: Rig, action: bpy.types.Action) -> None:
    """Remove a take from the file. A face that was showing it goes back to neutral.

    Raises:
        TakeError: the action is not a take, is linked, is used by an NLA strip, or is shown by another face.
    """
    if provenance(action) is None:
        raise TakeError(f"{action.name} was not made by CTEG, so CTEG does not delete it.")
    if not action.is_editable:
        raise TakeError(f"{action.name} is linked from another file. Delete it there.")
    own = [datablock for datablock, _ in animated_datablocks(rig)]
    # A duplicated head shows the takes of the one it was made from.
    for datablock in (*bpy.data.shape_keys, *bpy.data.objects):
        data = datablock.animation_data
        if data is None:
            continue
        name = object_name(datablock)
        for track in data.nla_tracks:
            if any(strip.action == action for strip in track.strips):
                raise TakeError(
                    f"{action.name} plays in the NLA track {track.name} of {name}. Remove its strip there first."
                )
        if data.action == action and datablock not in own:
            raise TakeError(f"{action.name} is also shown by {name}. Show another take there first.")
    end_preview()
    shown = shown_take(rig) == action
    keys, bones = driven_by(rig, action)
    bpy.data.actions.remove(action)
    if shown:
        _to_rest(keys, bones)


def _to_rest(keys: list[bpy.types.ShapeKey], bones: list[bpy.types.PoseBone]) -> None:
    for block in keys:
        block.value = 0.0
    for bone in bones:
        bone.matrix_basis.identity()
        bone.rotation_quaternion = (1.0, 0.0, 0.0, 0.0)
        bone.rotation_euler = (0.0, 0.0, 0.0)
        bone.rotation_axis_angle = (0.0, 0.0, 1.0, 0.0)


def animated_datablocks(rig: Rig) -> Iterator[tuple[Any, str]]:
    """The datablocks a take animates, each with the type of its slot.

    The face's shape keys, those of the meshes that follow it, then the armature object. All shape keys share one slot:
    a curve whose key a mesh has not does nothing there.
    """
    for key, _ in rig.keyed_meshes:
        yield key, "KEY"
    if rig.armature is not None:
        yield rig.armature, "OBJECT"


def slot_curves(action: bpy.types.Action, id_type: str) -> list[bpy.types.FCurve]:
    """The F-curves of the action's slots for this type of datablock."""
    return [curve for slot, curves in curves_by_slot(action) if slot.target_id_type == id_type for curve in curves]


def curves_by_slot(action: bpy.types.Action) -> Iterator[tuple[bpy.types.ActionSlot, list[bpy.types.FCurve]]]:
    """Each slot of the action with its F-curves, over all layers and strips."""
    strips = [strip for layer in action.layers for strip in layer.strips]
    for slot in action.slots:
        bags = [bag for strip in strips if (bag := strip.channelbag(slot)) is not None]
        yield slot, [curve for bag in bags for curve in bag.fcurves]


def driven_by(rig: Rig, action: bpy.types.Action) -> tuple[list[bpy.types.ShapeKey], list[bpy.types.PoseBone]]:
    """The shape keys, on any mesh, and pose bones of this character that the take has curves for."""
    key_paths = {curve.data_path for curve in slot_curves(action, "KEY")}
    bone_paths = {curve.data_path for curve in slot_curves(action, "OBJECT")}
    blocks = [block for key, _ in rig.keyed_meshes for block in key.key_blocks]
    keys = [block for block in blocks if key_path(block.name) in key_paths]
    pose = rig.armature.pose.bones if rig.armature is not None else ()
    return keys, [bone for bone in pose if any(path.startswith(bone_path(bone.name)) for path in bone_paths)]


def key_path(name: str) -> str:
    """Data path of a shape key's value, from its shape-key datablock."""
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def bone_path(name: str) -> str:
    """Data path of a pose bone, from its armature object, with the dot before the property."""
    return f'pose.bones["{bpy.utils.escape_identifier(name)}"].'


def _face_owner(rig: Rig) -> Any:
    """The datablock that keeps what the takes of a face have in common: its shape keys, else its armature."""
    owner = next((datablock for datablock, _ in animated_datablocks(rig)), None)
    if owner is None:
        raise TakeError(rig.problem or "Choose a face first.")
    return owner


def object_name(datablock: Any) -> str:
    """The name an animator knows a datablock by: for shape keys, that of an object that has them."""
    if not isinstance(datablock, bpy.types.Key):
        return str(datablock.name)
    return next((obj.name for obj in bpy.data.objects if obj.data == datablock.user), datablock.name)


def _face_id(rig: Rig) -> str | None:
    """What the takes of this face have in common; None before its first take."""
    owner = next((datablock for datablock, _ in animated_datablocks(rig)), None)
    if owner is not None and isinstance(face := owner.get(FACE_PROPERTY), str):
        return face
    # A library override loses its new custom properties when the file is saved, but not its action.
    shown = shown_take(rig)
    return None if shown is None else (provenance(shown) or {}).get("face")


def _assign(
    datablock: Any, action: bpy.types.Action | None, slot: bpy.types.ActionSlot | None, undo: ExitStack
) -> None:
    """Give ``datablock`` the take's slot; ``undo`` learns how to put back what was there."""
    data = datablock.animation_data
    current = data.action if data is not None else None
    if action is None:
        if current is not None and provenance(current) is not None:
            undo.callback(_restore, datablock, current, data.action_slot)
            data.action = None
        return
    if data is None:
        data = datablock.animation_data_create()
        undo.callback(datablock.animation_data_clear)
    else:
        undo.callback(_restore, datablock, current, data.action_slot)
    if current is not None and provenance(current) is None:
        _push_down(data, undo)
    data.action = action
    data.action_slot = slot


def _restore(datablock: Any, action: bpy.types.Action | None, slot: bpy.types.ActionSlot | None) -> None:
    datablock.animation_data.action = action
    if action is not None:
        datablock.animation_data.action_slot = slot


def _push_down(data: bpy.types.AnimData, undo: ExitStack) -> None:
    """Move the active action to a new NLA track, as Blender's Push Down does, so that it goes on playing."""
    action, slot = data.action, data.action_slot
    before = data.action_blend_type, data.action_influence, data.action_extrapolation
    start, end = action.frame_range
    if not data.use_nla:
        # The NLA was off, tracks and all; it goes on for the new track alone.
        for other in data.nla_tracks:
            undo.callback(setattr, other, "mute", other.mute)
            other.mute = True
        undo.callback(setattr, data, "use_nla", False)
        data.use_nla = True
    track = data.nla_tracks.new()
    undo.callback(data.nla_tracks.remove, track)
    track.name = action.name
    strip = track.strips.new(action.name, int(start), action)
    if slot is None:
        # It played nothing; the strip only keeps it from being lost when the file is saved.
        strip.mute = True
    else:
        strip.action_slot = slot
    if slot is not None and _plays_beyond_its_keys(action, slot):
        strip.use_sync_length = False
        start, end = -_FOREVER, _FOREVER
    # A new strip starts on a whole frame; the animator's keys must stay where they are.
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start, strip.frame_end = start, end
    strip.scale = 1.0
    strip.blend_type = data.action_blend_type
    strip.extrapolation = data.action_extrapolation
    if data.action_influence < 1.0:
        strip.use_animated_influence = True
        strip.influence = data.action_influence
    undo.callback(_restore_blending, data, *before)
    data.action = None
    _restore_blending(data, "REPLACE", 1.0, "HOLD")


def _plays_beyond_its_keys(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> bool:
    """Whether curves go on moving outside their keys (a walk cycle), where a strip of their length would stop them."""
    curves = next((curves for other, curves in curves_by_slot(action) if other == slot), [])
    return any(curve.extrapolation == "LINEAR" or any(not m.mute for m in curve.modifiers) for curve in curves)


def _restore_blending(data: Any, blend: str, influence: float, extrapolation: str) -> None:
    data.action_blend_type, data.action_influence, data.action_extrapolation = blend, influence, extrapolation
