# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters: which meshes belong to one face. Nothing is remembered: every question looks at the scene anew."""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np

from ...arrays import Floats

#: How far beside the face's bounding box a loose mesh may reach, in parts of the box's longest side.
MARGIN: Final = 0.25


def keyed_meshes() -> list[bpy.types.Object]:
    """The mesh objects of the file that have shape keys."""
    return [obj for obj in bpy.data.objects if obj.type == "MESH" and obj.data.shape_keys is not None]


def armature_of(obj: bpy.types.Object) -> bpy.types.Object | None:
    """The armature object that moves a mesh: by a modifier, or as its parent or its parent's."""
    found = obj.find_armature()
    return found or next((above for above in _ancestors(obj) if above.type == "ARMATURE"), None)


def belongs(face: bpy.types.Object, other: bpy.types.Object) -> bool:
    """Whether ``other`` is a part of the character whose face is ``face``.

    On the same armature, or a child of the face, or under a common parent and inside the face's bounding box. Two
    characters of a crowd may well share a parent: what is moved by another armature or lies elsewhere is not of this
    face.
    """
    if face == other:
        return True
    own, others = armature_of(face), armature_of(other)
    if own is not None and others is not None:
        return own == others
    above = _ancestors(other)
    if face in above:
        return True
    roots = (_ancestors(face) or [face])[-1], (above or [other])[-1]
    return roots[0] == roots[1] and inside(face, other)


def meshes_under(top: bpy.types.Object, meshes: list[bpy.types.Object]) -> list[bpy.types.Object]:
    """Those of ``meshes`` that are below an object, or deformed by an armature that is below it or is it."""
    found = []
    for obj in meshes:
        armature = armature_of(obj)
        if top in _ancestors(obj) or (armature is not None and (armature == top or top in _ancestors(armature))):
            found.append(obj)
    return found


def _ancestors(obj: bpy.types.Object) -> list[bpy.types.Object]:
    """Parent, parent's parent and so on."""
    found = []
    above = obj.parent
    while above is not None:
        found.append(above)
        above = above.parent
    return found


def _box(obj: bpy.types.Object) -> Floats:
    """Lowest and highest corner of the bounding box in the world, shape (2, 3)."""
    matrix = np.array(obj.matrix_world)
    corners = np.array([tuple(corner) for corner in obj.bound_box]) @ matrix[:3, :3].T + matrix[:3, 3]
    return np.stack([corners.min(0), corners.max(0)])


def inside(face: bpy.types.Object, other: bpy.types.Object) -> bool:
    """Whether a mesh lies within a face's bounding box, or not far beside it."""
    outer, inner = _box(face), _box(other)
    margin = MARGIN * float((outer[1] - outer[0]).max())
    return bool((inner[0] >= outer[0] - margin).all() and (inner[1] <= outer[1] + margin).all())
