# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes: whether a character's eyeballs are turned by bones beside its eyeLook shape keys.

On many characters (Ready Player Me, MPFB) the eyeLook keys of the head move the lids alone, and the eyeballs hang on
bones. On others the keys turn the eyeballs, and turning the bones as well would turn them twice.
"""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np

from ...arrays import Ints
from ..geometry import coordinates
from ..rig import Rig
from .character import armature_of

_CHANNELS: Final = {
    "left_eye": ("eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeLookDownLeft"),
    "right_eye": ("eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeLookDownRight"),
}
#: A vertex that follows a bone this much belongs to it.
_OWN: Final = 0.5
#: Keys that move the eyeball's vertices, on average, by less than this part of its size leave it where it is.
_STILL: Final = 0.01


def eyes_on_bones(rig: Rig) -> frozenset[str]:
    """Eye roles whose bone carries vertices that no eyeLook key moves. Reads weights: not for panels."""
    armature = rig.armature
    roles = [role for role in _CHANNELS if role in rig.bones]
    if armature is None or not roles:
        return frozenset()
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH" and armature_of(obj) == armature]
    return frozenset(role for role in roles if any(_hangs(obj, rig, role) for obj in meshes))


def _hangs(obj: bpy.types.Object, rig: Rig, role: str) -> bool:
    """Whether a part of this mesh turns with the eye bone and is left alone by the eyeLook keys of its side."""
    own = vertices_of(obj, rig, role)
    if not own.size:
        return False
    key = obj.data.shape_keys
    names = {name for channel in _CHANNELS[role] for name in rig.shape_keys.get(channel, ())}
    blocks = [block for block in key.key_blocks if block.name in names] if key is not None else []
    if not blocks:
        return True
    rest = coordinates(key.reference_key.data)[own]
    size = float(np.ptp(rest, axis=0).max())
    moved = max(float(np.linalg.norm(coordinates(block.data)[own] - rest, axis=1).mean()) for block in blocks)
    return moved < _STILL * size


def vertices_of(obj: bpy.types.Object, rig: Rig, role: str) -> Ints:
    """The vertices that follow an eye's bone, or one that it carries, most; all of them when the object hangs on it."""
    bone = rig.armature.data.bones[rig.bones[role]]
    bones = {bone.name, *(child.name for child in bone.children_recursive)}
    if obj.parent_type == "BONE" and obj.parent_bone in bones:
        return np.arange(len(obj.data.vertices))
    groups = {obj.vertex_groups[name].index for name in bones if name in obj.vertex_groups}
    if not groups or not any(modifier.type == "ARMATURE" for modifier in obj.modifiers):
        return np.empty(0, np.intp)
    vertices = obj.data.vertices
    near = [vertices[index] for index in _around(obj, rig, bone)]  # asking each for its weights takes a while
    found = [v.index for v in near if any(g.group in groups and g.weight > _OWN for g in v.groups)]
    return np.array(found, np.intp)


def _around(obj: bpy.types.Object, rig: Rig, bone: bpy.types.Bone) -> list[int]:
    """Vertices within half the way from an eye's bone to the other's; all of them where there is one eye alone."""
    other = next((rig.bones[r] for r in _CHANNELS if r in rig.bones and rig.bones[r] != bone.name), None)
    if other is None:
        return list(range(len(obj.data.vertices)))
    into = obj.matrix_world.inverted_safe() @ rig.armature.matrix_world
    here, there = (np.array(into @ head) for head in (bone.head_local, rig.armature.data.bones[other].head_local))
    squared = ((coordinates(obj.data.vertices) - here) ** 2).sum(1)
    return np.flatnonzero(squared < 0.25 * ((here - there) ** 2).sum()).tolist()
