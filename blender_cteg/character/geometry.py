# SPDX-License-Identifier: GPL-3.0-or-later
"""Geometry: reads what detection and fitting need from Blender's mesh and armature as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..shared import FLAME_EXPRESSIONS
from .axes import Axes, axes_from_eyes, axes_from_up
from .fitting import FLAME_VERTICES
from .rig import BLENDER_AXES, Rig

if TYPE_CHECKING:
    import bpy
    from mathutils import Matrix

    from .fitting.fit import FaceGeometry

Floats = npt.NDArray[np.float64]

#: Multi-PIE landmarks: outer corners of the eyes, and the jaw below the ears, which is lower and further back.
_RIGHT_EYE, _LEFT_EYE, _JAW_CORNERS = 36, 45, [3, 13]
#: The custom property of a mesh of another topology that lists the vertices of its 68 Multi-PIE landmarks.
LANDMARKS_PROPERTY: Final = "cteg_landmarks"


def find_axes(obj: bpy.types.Object, armature: bpy.types.Object | None, bones: Mapping[str, str]) -> Axes:
    """FLAME's axes in the armature's space (the mesh's without one), for `Rig.axes`.

    From the landmarks of the mesh where it has them, else from the eye bones and the neck or head bone, else from the
    world: z up, looking along -y.
    """
    space = armature if armature is not None else obj
    axes = None
    landmarks = mesh_landmarks(obj.data)
    if landmarks is not None:
        points = _moved(_coordinates(obj.data.vertices), space.matrix_world.inverted_safe() @ obj.matrix_world)
        marks = points[landmarks]
        axes = axes_from_eyes(marks[_LEFT_EYE], marks[_RIGHT_EYE], marks[_JAW_CORNERS].mean(0))
    base = bones.get("neck") or bones.get("head")
    if axes is None and armature is not None and base and "left_eye" in bones and "right_eye" in bones:
        heads = {name: np.array(armature.data.bones[name].head_local) for name in (*bones.values(), base)}
        axes = axes_from_eyes(heads[bones["left_eye"]], heads[bones["right_eye"]], heads[base])
    if axes is None:
        from_world = np.array(space.matrix_world.inverted_safe().to_3x3())
        axes = axes_from_up(from_world[:, 2], -from_world[:, 1])
    return axes or BLENDER_AXES


def mesh_landmarks(mesh: Any) -> npt.NDArray[np.intp] | None:
    """The 68 landmarks a mesh has as vertex indices: listed in `LANDMARKS_PROPERTY`, else FLAME's by its topology."""
    from .fitting.actions import LANDMARKS  # here, because enabling the extension does not need it
    from .fitting.fit import flame_landmarks

    count = len(mesh.vertices)
    try:
        listed = [int(index) for index in mesh.get(LANDMARKS_PROPERTY, ())]
    except (TypeError, ValueError):
        listed = []
    if len(listed) == LANDMARKS and len(set(listed)) == LANDMARKS and min(listed) >= 0 and max(listed) < count:
        return np.array(listed, np.intp)
    return flame_landmarks() if count == FLAME_VERTICES else None


def face_geometry(rig: Rig) -> FaceGeometry:
    """The arrays `fit.fit_mapping` needs, in FLAME axes. ``rig`` is a FLAME rig; being linked does not matter."""
    from .fitting.fit import FaceGeometry

    obj, armature = rig.object, rig.armature
    assert obj is not None
    space = armature if armature is not None else obj
    to_space = space.matrix_world.inverted_safe() @ obj.matrix_world
    axes = np.array(rig.axes)
    blocks = obj.data.shape_keys.key_blocks
    reference = _moved(_coordinates(obj.data.shape_keys.reference_key.data), to_space)
    names = [key for c, keys in rig.shape_keys.items() if c in FLAME_EXPRESSIONS for key in keys]

    def offsets_of(key: str) -> Floats:
        offsets: Floats = (_moved(_coordinates(blocks[key].data), to_space) - reference) @ axes
        return offsets

    jaw_weights = jaw_joint = jaw_key = None
    if "jaw" not in rig.bones and "jawOpen" in rig.shape_keys:
        jaw_key = (rig.shape_keys["jawOpen"][0], offsets_of(rig.shape_keys["jawOpen"][0]))
    if armature is not None and "jaw" in rig.bones and rig.bones["jaw"] in obj.vertex_groups:
        jaw_joint = np.array(armature.data.bones[rig.bones["jaw"]].head_local) @ axes
        jaw_weights = _weights(obj, rig.bones["jaw"])
    offsets = {key: offsets_of(key) for key in names}
    eyes = None
    if armature is not None and "left_eye" in rig.bones and "right_eye" in rig.bones:
        bones = [armature.data.bones[rig.bones[role]].head_local for role in ("left_eye", "right_eye")]
        eyes = np.array(bones) @ axes
    return FaceGeometry(
        reference @ axes, offsets, frozenset(rig.bones), jaw_weights, jaw_joint, jaw_key, _triangles(obj.data), eyes,
        mesh_landmarks(obj.data),
    )  # fmt: skip


def _triangles(mesh: bpy.types.Mesh) -> npt.NDArray[np.intp]:
    """Vertex indices of the mesh's triangles, shape (F, 3)."""
    mesh.calc_loop_triangles()
    flat = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", flat)
    return flat.reshape(-1, 3).astype(np.intp)


def _coordinates(points: bpy.types.bpy_prop_collection) -> Floats:
    flat = np.empty(len(points) * 3, np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3).astype(np.float64)


def _moved(points: Floats, matrix: Matrix) -> Floats:
    transform = np.array(matrix)
    moved: Floats = points @ transform[:3, :3].T + transform[:3, 3]
    return moved


def _weights(obj: bpy.types.Object, group: str) -> Floats:
    """How much each vertex follows the bone of this name, shape (N,); weights of a vertex add up to one."""
    index = obj.vertex_groups[group].index
    weights = np.zeros(len(obj.data.vertices))
    for vertex in obj.data.vertices:
        total = sum(element.weight for element in vertex.groups)
        own = sum(element.weight for element in vertex.groups if element.group == index)
        weights[vertex.index] = own / total if total > 0 else 0.0
    return weights
