# SPDX-License-Identifier: GPL-3.0-or-later
"""ICT FaceKit (light) in Blender, as an ARKit character or as a FLAME-named one; for tests and benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
import numpy as np

from benchmarks.faces import LEFT_EYE, RIGHT_EYE, Ict
from benchmarks.fit import ict_geometry
from blender_cteg.shared import ARKIT_CHANNELS

from .scenes import Z_UP, armature_object, skin

#: Where the file is looked for: CTEG_ICT, else beside the repository.
PLACES = (os.environ.get("CTEG_ICT", ""), str(Path(__file__).parents[3] / "shared/faces/ict_facekit_light.npz"))


def ict_file() -> Path | None:
    """The file of ICT FaceKit's light model, or None."""
    return next((Path(place) for place in PLACES if place and Path(place).is_file()), None)


def ict_arkit_face(path: Path) -> bpy.types.Object:
    """ICT FaceKit in metres, z up, with keys of the 51 ARKit actions it has (no tongueOut) and a head bone."""
    ict = Ict.read(path)
    face = _mesh(ict)
    for channel, offsets in zip(ARKIT_CHANNELS, ict.actions, strict=True):
        if offsets.any():
            _key(face, channel, ict.vertices + offsets)
    armature = armature_object(
        "IctRig", {"neck": _place(ict.eyes.mean(0) - (0, 9, 10)), "head": _place(ict.eyes.mean(0))}
    )
    # The neck bends between collar and chin, in steps as vertex groups are filled by weight.
    follow = np.round(np.clip((ict.vertices[:, 1] + 15.0) / 6.0, 0.0, 1.0), 1)
    for name, share in (("head", follow), ("neck", 1.0 - follow)):
        group = face.vertex_groups.new(name=name)
        for value in np.unique(share[share > 0]):
            group.add(np.flatnonzero(share == value).tolist(), float(value), "REPLACE")
    skin(face, armature)
    return face


def ict_flame_face(path: Path) -> bpy.types.Object:
    """The same face as one with FLAME's names: 50 components of its own actions, and eye bones."""
    ict = Ict.read(path)
    face = _mesh(ict)
    for name, offsets in ict_geometry(ict).offsets.items():
        _key(face, name, ict.vertices + offsets)
    joints = {"root": ict.eyes.mean(0) - (0, 20, 12), "neck": ict.eyes.mean(0) - (0, 9, 10)}
    joints |= {"left_eye": ict.eyes[0], "right_eye": ict.eyes[1]}
    armature = armature_object("IctRig", {name: _place(joint) for name, joint in joints.items()})
    for name, part in (("left_eye", LEFT_EYE), ("right_eye", RIGHT_EYE)):
        face.vertex_groups.new(name=name).add(range(len(ict.vertices))[part], 1.0, "REPLACE")
    skin(face, armature)
    return face


def _place(point: np.ndarray) -> tuple[float, ...]:
    return tuple(0.01 * Z_UP @ point)


def _mesh(ict: Ict) -> bpy.types.Object:
    mesh = bpy.data.meshes.new("Ict")
    points = (0.01 * ict.vertices @ Z_UP.T).tolist()
    # Behind the eyeballs come tear fluid, shadows and lashes, which mean nothing without their materials.
    seen = ict.polygons[ict.polygons.max(axis=1) < RIGHT_EYE.stop]
    mesh.from_pydata(points, [], [[int(i) for i in row if i >= 0] for row in seen])
    face = bpy.data.objects.new("Ict", mesh)
    bpy.context.scene.collection.objects.link(face)
    face.shape_key_add(name="Basis")
    return face


def _key(face: bpy.types.Object, name: str, points: np.ndarray) -> None:
    block = face.shape_key_add(name=name)
    block.data.foreach_set("co", (0.01 * points @ Z_UP.T).astype(np.float32).ravel())
    block.value = 0.0
