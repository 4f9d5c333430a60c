# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mapping brings a clip to a face: the one stored on its mesh, one by names, or a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ..clip import Clip
from ..shared import ARKIT55, FLAME53, FLAME_EXPRESSIONS
from .detection.detect import detect_rig
from .detection.eyes import eyes_on_bones
from .direct import arkit_mapping, flame_mapping
from .fitting import FLAME_VERTICES
from .fitting.fitted import check_edited, fitted_mapping, is_fitted
from .geometry import face_geometry
from .mapping import Mapping, MappingError, stored_mapping
from .rig import Rig


def brought_to(rig: Rig, clips: Sequence[Clip]) -> tuple[list[Clip], Mapping]:
    """Takes of one line as this face can perform them, with the mapping that does it.

    A flame53 clip for an ARKit face is read as ARKit actions through a FLAME mesh of the file.

    Raises:
        MappingError: as `mapping_for`.
    """
    if not clips:
        raise MappingError("There are no takes to bring to this face. Generate the line again.")
    flame_take = clips[0].space == FLAME53.name
    if flame_take and rig.problem is None and rig.kind == "ARKIT" and resolved(rig, FLAME53.name) is None:
        clips = _read_as_arkit(rig, clips)
    return list(clips), mapping_for(rig, clips[0])


def resolved(rig: Rig, space: str = ARKIT55.name) -> Mapping | None:
    """The mapping that brings clips of a space to ``rig``, as far as that is known without fitting anything.

    The one stored on the mesh, else that of its own names (ARKit keys, FLAME coefficients). None where there is none,
    and for ARKit actions on a FLAME face that was not fitted yet: `mapping_for` fits it. Detection, the mapping editor,
    diagnosis and takes all use this mapping. Where the eyes hang on bones, weights are read: not for panels.

    Raises:
        MappingError: the stored mapping is damaged.
    """
    if rig.object is None:
        return None
    stored = stored_mapping(rig.object.data)
    if stored is not None and stored.source_space == space:
        return stored
    if rig.kind == "FLAME":
        return flame_mapping(rig) if space == FLAME53.name else None
    return arkit_mapping(rig, eyes_on_bones(rig)) if rig.kind != "CUSTOM" and space == ARKIT55.name else None


def mapping_for(rig: Rig, clip: Clip) -> Mapping:
    """The mapping that brings ``clip`` to ``rig``: `resolved`, or a fit of a FLAME mesh's expression keys to the ARKit
    actions, which is kept on the mesh if that is editable and made again when the keys change.

    A stored mapping that is not such a fit is never replaced.

    Raises:
        MappingError: the rig cannot be driven, the stored mapping is damaged, or nothing leads from the clip's space
            to this face.
    """
    if rig.problem is not None or rig.object is None:
        raise MappingError("{problem}", problem=rig.problem) if rig.problem else MappingError("Choose a face first.")
    mapping = resolved(rig, clip.space)
    if rig.kind == "FLAME" and clip.space == ARKIT55.name and (mapping is None or is_fitted(rig.object.data)):
        return fitted_mapping(rig)
    if mapping is not None:
        check_edited(rig)
        return mapping
    if rig.kind == "ARKIT" and clip.space == FLAME53.name:
        raise MappingError(
            "The clip speaks flame53 and {name} is an ARKit face. Add the FLAME mesh the clip is about to this file, "
            "so that its expressions can be read there, or choose a checkpoint that speaks arkit55.",
            name=rig.object.name,
        )
    raise MappingError(
        "The clip speaks {space} and {name} is an ARKit face, and nothing leads from one to the other. Choose another "
        "checkpoint or another face."
        if rig.kind == "ARKIT"
        else "The clip speaks {space} and {name} is a FLAME face, and nothing leads from one to the other. Choose "
        "another checkpoint or another face."
        if rig.kind == "FLAME"
        else "The clip speaks {space} and {name} is a mapped face, and nothing leads from one to the other. Choose "
        "another checkpoint or another face.", space=clip.space, name=rig.object.name,
    )  # fmt: skip


def flame_in_file(besides: Rig) -> Rig | None:
    """The FLAME mesh of this file through which flame53 clips can be read, or None.

    One of FLAME's own topology goes before others, then the first by its mesh's name. It may be linked or hidden.
    """
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj != besides.object]
    rigs = [rig for rig in map(detect_rig, meshes) if rig.kind == "FLAME" and rig.object is not None]
    return min(rigs, key=_not_flames_own, default=None)


def _not_flames_own(rig: Rig) -> tuple[bool, str]:
    mesh: Any = rig.object.data if rig.object is not None else None
    return len(mesh.vertices) != FLAME_VERTICES, mesh.name


def _read_as_arkit(rig: Rig, clips: Sequence[Clip]) -> list[Clip]:
    flame = flame_in_file(besides=rig)
    if flame is None or flame.object is None:
        return list(clips)  # mapping_for says what is missing
    own = resolved(flame)
    mapping = own if own is not None and not is_fitted(flame.object.data) else fitted_mapping(flame)
    face = face_geometry(flame)
    expressions = {key: c for c, keys in flame.shape_keys.items() if c in FLAME_EXPRESSIONS for key in keys}
    from .fitting.convert import to_arkit  # here, because enabling the extension does not need it
    from .fitting.fit import NoPoints, face_points

    try:
        points = face_points(face)
        return [to_arkit(clip, face, points, mapping, expressions) for clip in clips]
    except NoPoints as error:
        raise MappingError(
            "{name}, through which the clip would be read, {problem}. {advice}, or choose a checkpoint that speaks "
            "arkit55.", name=flame.object.name, problem=error, advice=error.advice,
        ) from None  # fmt: skip
