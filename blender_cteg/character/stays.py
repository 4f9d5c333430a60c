# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a character will not move, and why: drivers, locks and switches of the animator's are respected and named."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import bpy
import numpy as np

from .detection.parts import read_mapping
from .direct import arkit_mapping, flame_mapping
from .mapping import MESH_PROPERTY, Mapping, MappingError
from .rig import Rig, shorten


def what_stays(rig: Rig, take_keys: Collection[str] | None = None, take_bones: Collection[str] = ()) -> list[str]:
    """Sentences about shape keys and bones that do not move, or do not show it, each with what to do.

    Args:
        rig: a rig; one with a problem gives nothing, the problem says it all.
        take_keys: names of the shape keys that a take has curves for. Without it, what any take would drive.
        take_bones: names of the bones that a take turns: a lock that came later binds the animator, not the take.
    """
    if rig.problem is not None or rig.object is None:
        return []
    mapping = _mapping(rig)
    keys = _driven_names(rig, mapping)
    bones = [rig.bones[role] for role in mapping.bones if role in rig.bones]
    return [
        *_drivers(rig, list(dict.fromkeys([*keys, *(take_keys or ())]))),
        *_muted(rig, keys if take_keys is None else take_keys),
        *_locked(rig, [name for name in bones if name not in take_bones]),
        *_unseen(rig),
    ]


def held_keys(rig: Rig) -> frozenset[str]:
    """Names of shape keys that a driver holds on every mesh that has them. Takes have no curves for them."""
    driven: set[str] = set()
    free: set[str] = set()
    for key, _ in rig.keyed_meshes:
        held = _held(key)
        driven |= held
        free |= set(key.key_blocks.keys()) - held
    return frozenset(driven - free)


def locked_bones(rig: Rig) -> frozenset[str]:
    """Names of the bones whose rotation is locked about all axes. Takes have no curves for them."""
    pose = rig.armature.pose.bones if rig.armature is not None else ()
    found = [pose[name] for name in rig.bones.values() if name in pose] if pose else []
    return frozenset(bone.name for bone in found if all(bone.lock_rotation))


def keys_without_shape(rig: Rig) -> list[str]:
    """Names of driven keys that move no vertex of any mesh. Reads every key: not for panels."""
    moving, still = set(), []
    for key, _ in rig.keyed_meshes:
        points: dict[Any, Any] = {}
        for name in _driven_names(rig, _mapping(rig)):
            block = key.key_blocks.get(name)
            if block is None or block == key.reference_key:
                continue
            offsets = _coordinates(block, points) - _coordinates(block.relative_key, points)
            if np.abs(offsets).max(initial=0.0) > 1e-7:
                moving.add(name)
            else:
                still.append(name)
    return [name for name in dict.fromkeys(still) if name not in moving]


def _coordinates(block: bpy.types.ShapeKey, read: dict[Any, Any]) -> Any:
    if block not in read:
        read[block] = np.empty(len(block.data) * 3, np.float32)
        block.data.foreach_get("co", read[block])
    return read[block]


def _mapping(rig: Rig) -> Mapping:
    """What takes would drive: by names, and by the stored mapping where there is one."""
    assert rig.object is not None
    if rig.kind == "FLAME":  # the jaw by one kind of clip, neck and eyes by the other
        mapping = Mapping("", flame_mapping(rig).shape_keys, {role: {} for role in rig.bones})
    else:
        mapping = arkit_mapping(rig) if rig.kind == "ARKIT" else Mapping("")
    text = rig.object.data.get(MESH_PROPERTY)
    if not isinstance(text, str):
        return mapping
    try:
        stored = read_mapping(text)
    except MappingError:
        return mapping
    return Mapping("", {**mapping.shape_keys, **stored.shape_keys}, {**mapping.bones, **stored.bones})


def _driven_names(rig: Rig, mapping: Mapping) -> list[str]:
    return list(dict.fromkeys([*mapping.shape_keys, *(name for keys in rig.shape_keys.values() for name in keys)]))


def _held(key: Any) -> set[str]:
    """The names of the key blocks whose value a driver decides."""
    data = key.animation_data
    if data is None or not len(data.drivers):
        return set()
    paths = (driver.data_path for driver in data.drivers if not driver.mute)
    return {key_name(path) for path in paths if path.startswith("key_blocks[") and path.endswith("].value")}


def key_name(path: str) -> str:
    """The shape key or bone that a data path is about."""
    return str(bpy.utils.unescape_identifier(path.split('["', 1)[-1].rsplit('"]', 1)[0]))


def _drivers(rig: Rig, keys: Collection[str]) -> Iterator[str]:
    face_key = rig.keyed_meshes[0][0] if rig.keyed_meshes else None
    for key, obj in rig.keyed_meshes:
        held = _held(key)
        # Drivers that hand the face's values on are how many characters move their teeth and lashes.
        names = [name for name in keys if name in held and not (key != face_key and _hands_on(key, face_key))]
        if not names:
            continue
        of = "" if key == face_key else f" of {obj.name}"
        if len(names) == 1:
            yield f"{names[0]}{of} is driven by a driver and keeps it. Delete the driver to let takes move it."
        else:
            yield (
                f"{shorten(names)}{of} are driven by drivers and keep them. Delete the drivers to let takes move them."
            )


def _hands_on(key: Any, face_key: Any) -> bool:
    """Whether the drivers of a follower read the face's own shape keys."""
    read = {target.id for d in key.animation_data.drivers for v in d.driver.variables for target in v.targets}
    return face_key in read


def _muted(rig: Rig, keys: Collection[str]) -> Iterator[str]:
    for key, obj in rig.keyed_meshes:
        muted = [n for n in dict.fromkeys(keys) if n in key.key_blocks and key.key_blocks[n].mute]
        if muted:
            of = "" if obj == rig.object else f" of {obj.name}"
            yield f"Shape keys{of} are turned off: {shorten(muted)}. Tick their boxes."


def _locked(rig: Rig, bones: Collection[str]) -> Iterator[str]:
    locked = [name for name in bones if name in locked_bones(rig)]
    if locked:
        yield (
            f"The rotation of {shorten(locked)} is locked and stays. Open the padlocks in the sidebar's Item tab to "
            "let takes turn it."
        )


def _unseen(rig: Rig) -> Iterator[str]:
    hidden = [obj.name for obj in rig.meshes if obj.hide_viewport]
    if hidden:
        yield f"{shorten(hidden)} {'is' if len(hidden) == 1 else 'are'} disabled in viewports. Turn the screen icon on."
