# SPDX-License-Identifier: GPL-3.0-or-later
"""The face that the mapping editor works on, and the mapping stored on its mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..performance import preview
from ..performance.clip import Clip, ClipError
from . import mapping_rows as state
from .choose import mapping_for
from .detection.character import belongs
from .detection.detect import detect_rig
from .mapping import MESH_PROPERTY, Mapping, MappingError

if TYPE_CHECKING:
    import bpy

#: Target (its session_uid) -> the face that detection chose for it; detection is too slow for every row of a list.
_chosen: dict[int, str] = {}


@dataclass(frozen=True)
class Face:
    """A face, as far as the editor needs it.

    Attributes:
        object: the mesh object.
        armature: what deforms it, or None.
        keys: names of its shape keys without the basis.
        bones: names of the armature's bones.
    """

    object: bpy.types.Object
    armature: bpy.types.Object | None
    keys: tuple[str, ...]
    bones: tuple[str, ...]

    @property
    def mesh(self) -> Any:
        """The mesh datablock that stores the mapping."""
        return self.object.data

    @property
    def is_stored(self) -> bool:
        """Whether the mesh has a mapping of its own; else names lead to one."""
        return MESH_PROPERTY in self.mesh


def face_of(target: bpy.types.Object | None) -> Face | None:
    """The face of a target (any part of a character); None when it has no shape keys.

    It is the one detection finds, so that what is edited is what takes are written with.
    """
    obj = None if target is None else _mesh_of(target)
    if obj is None or obj.type != "MESH" or obj.data.shape_keys is None or len(obj.data.shape_keys.key_blocks) < 2:
        return None
    key = obj.data.shape_keys
    basis = key.reference_key.name
    armature = obj.find_armature()
    bones = tuple(armature.data.bones.keys()) if armature is not None else ()
    return Face(obj, armature, tuple(block.name for block in key.key_blocks if block.name != basis), bones)


def mapping_of(face: Face) -> Mapping | None:
    """The mapping that drives this face now: the stored one, else the one its names lead to.

    None for a FLAME face without a stored mapping, which `prepare` fits.

    Raises:
        MappingError: the stored mapping is damaged.
    """
    text = face.mesh.get(MESH_PROPERTY)
    if text is None:
        return state.by_names(face.keys, face.bones)
    if not isinstance(text, str):
        raise MappingError(f"The custom property {MESH_PROPERTY!r} of {face.mesh.name} is no text. Reset the mapping.")
    return state.parsed(text)


def rows_of(face: Face) -> tuple[state.Row, ...]:
    """The channels as the list shows them; nothing where `mapping_of` has no mapping."""
    mapping = mapping_of(face)
    if mapping is None:
        return ()
    text = face.mesh.get(MESH_PROPERTY)
    return state.rows(text if text is not None else state.json_by_names(face.keys, face.bones), face.keys, face.bones)


def why_not_editable(face: Face) -> str:
    """Why the mapping of this face cannot be changed, or ""."""
    if not face.mesh.is_editable:
        return f"The mesh of {face.object.name} is linked, and its mapping with it. " + (
            detect_rig(face.object).problem or "Make it a library override."
        )
    return ""


def store(face: Face, mapping: Mapping) -> None:
    """Keep a mapping on the mesh.

    Raises:
        MappingError: the mesh is linked.
    """
    if reason := why_not_editable(face):
        raise MappingError(reason)
    face.mesh[MESH_PROPERTY] = mapping.to_json()


def forget(face: Face) -> None:
    """Remove the stored mapping, so that one is found again by itself."""
    preview.end_preview()
    if face.is_stored:
        del face.mesh[MESH_PROPERTY]
    _chosen.clear()


def prepare(face: Face) -> Mapping:
    """The mapping of a face as `rigs.choose.mapping_for` finds it, which may fit it and keep it on the mesh.

    Raises:
        MappingError: it cannot be found.
    """
    mapping = mapping_of(face)
    if mapping is not None:
        return mapping
    channels = state.CHANNELS["arkit55"]
    try:
        return mapping_for(detect_rig(face.object), Clip(np.zeros((1, len(channels))), channels, 24.0, "arkit55"))
    except ClipError as error:  # pragma: no cover - a clip of zeros is a clip
        raise MappingError(str(error)) from error


def _mesh_of(target: bpy.types.Object) -> bpy.types.Object | None:
    """The mesh that detection chooses for a part of a character."""
    import bpy

    known = bpy.data.objects.get(_chosen.get(target.session_uid, ""))
    if known is not None and getattr(known.data, "shape_keys", None) and _is_of(known, target):
        return known
    rig = detect_rig(target)
    if rig.object is None:  # no mesh of it is a face by its names
        deformed = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj.find_armature() == target]
        with_keys = [obj for obj in deformed if obj.data.shape_keys is not None]
        return max(with_keys, key=lambda obj: len(obj.data.shape_keys.key_blocks), default=None)
    _chosen[target.session_uid] = rig.object.name
    return rig.object


def _is_of(face: bpy.types.Object, target: bpy.types.Object) -> bool:
    """Whether a face that was chosen for a target can still be its face."""
    if target.type == "MESH":
        return face == target or belongs(face, target)
    return target in (face.find_armature(), face.parent)
