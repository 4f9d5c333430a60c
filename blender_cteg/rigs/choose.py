# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mapping brings a clip to a face: the one stored on its mesh, one by names, or a fit."""

from __future__ import annotations

from typing import Any

from ..clip import Clip
from .direct import arkit_mapping, flame_mapping
from .fit import FLAME_VERTICES, fit_mapping
from .geometry import face_geometry
from .mapping import MESH_PROPERTY, Mapping, MappingError
from .rig import Rig


def mapping_for(rig: Rig, clip: Clip) -> Mapping:
    """The mapping that brings ``clip`` to ``rig``.

    In this order: the mapping stored on the mesh, the mesh's own names (ARKit keys, FLAME coefficients), a fit of a
    FLAME mesh's expression keys to the ARKit actions, which is then kept on the mesh if that is editable.

    Raises:
        MappingError: the rig cannot be driven, the stored mapping is damaged, or nothing leads from the clip's space
            to this face.
    """
    if rig.problem is not None or rig.object is None:
        raise MappingError(rig.problem or "Choose a face first.")
    mesh: Any = rig.object.data
    stored = stored_mapping(mesh)
    if stored is not None and stored.source_space == clip.space:
        return stored
    if rig.kind == "ARKIT" and clip.space == "arkit55":
        return arkit_mapping(rig)
    if rig.kind == "FLAME" and clip.space == "flame53":
        return flame_mapping(rig)
    if rig.kind == "FLAME" and clip.space == "arkit55":
        if len(mesh.vertices) != FLAME_VERTICES:
            raise MappingError(
                f"{rig.object.name} has {len(mesh.vertices):,} vertices, and expressions can be fitted only on FLAME's "
                f"{FLAME_VERTICES:,}. Use a checkpoint that speaks flame53, or store a mapping on the mesh."
            )
        mapping = fit_mapping(face_geometry(rig))
        if stored is None and mesh.is_editable:
            mesh[MESH_PROPERTY] = mapping.to_json()
        return mapping
    face = {"ARKIT": "an ARKit", "FLAME": "a FLAME"}.get(rig.kind, "another")
    raise MappingError(
        f"The clip speaks {clip.space} and {rig.object.name} is {face} face, and nothing leads from one to the other. "
        f"Choose another checkpoint or another face."
    )


def stored_mapping(mesh: Any) -> Mapping | None:
    """The mapping stored on a mesh datablock, or None. MappingError when there is one and it is damaged."""
    text = mesh.get(MESH_PROPERTY)
    if text is None:
        return None
    try:
        return Mapping.from_json(text)
    except MappingError as error:
        raise MappingError(
            f"The mapping stored on {mesh.name} cannot be read: {error} "
            f"Removing its custom property {MESH_PROPERTY!r} makes CTEG find a mapping by itself."
        ) from None
