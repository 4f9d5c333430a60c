# SPDX-License-Identifier: GPL-3.0-or-later
"""Geometry: reads what detection and fitting need from Blender's mesh and armature as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..arrays import Floats, Ints
from ..shared import FLAME_EXPRESSIONS
from .axes import Axes, axes_from_evidence, axes_from_eyes
from .fitting import FLAME_VERTICES
from .rig import BLENDER_AXES, Rig

if TYPE_CHECKING:
    import bpy
    from mathutils import Matrix

    from .fitting.fit import FaceGeometry


#: Multi-PIE landmarks: outer corners of the eyes, and the jaw below the ears, which is lower and further back.
_RIGHT_EYE, _LEFT_EYE, _JAW_CORNERS = 36, 45, [3, 13]
#: Channels that move the upper and the lower part of a face.
_ABOVE: Final = (
    "browInnerUp", "browDownLeft", "browDownRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight",
)  # fmt: skip
_BELOW: Final = (
    "jawOpen", "mouthClose", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthPucker", "mouthSmileLeft",
    "mouthSmileRight",
)  # fmt: skip
#: Half a face ends no farther from its mirror than this share of how wide it is.
_HALF: Final = 0.05
#: Cosine to the way up from which on nothing lies across a face.
_LEVEL: Final = 0.7
#: The custom property of a mesh of another topology that lists the vertices of its 68 Multi-PIE landmarks.
LANDMARKS_PROPERTY: Final = "cteg_landmarks"


#: What `_axes_from_keys` found, by all that it depends on but the shapes themselves.
_known_axes: dict[object, Axes | None] = {}


def find_axes(
    obj: bpy.types.Object,
    armature: bpy.types.Object | None,
    bones: Mapping[str, str],
    keys: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Axes:
    """FLAME's axes in the armature's space (the mesh's without one), for `Rig.axes`.

    All of it is about the character at rest, in its own data: the landmarks of the mesh where it has them; else where
    its shape keys (channel -> names) move it, brows and lids above, mouth below, both in front of the head; else its
    eye bones and the neck or head bone; else the bones along its neck. How it stands in the scene says nothing.
    """
    space = armature if armature is not None else obj
    axes = None
    landmarks = mesh_landmarks(obj.data)
    if landmarks is not None:
        points = transformed(coordinates(obj.data.vertices), space.matrix_world.inverted_safe() @ obj.matrix_world)
        marks = points[landmarks]
        axes = axes_from_eyes(marks[_LEFT_EYE], marks[_RIGHT_EYE], marks[_JAW_CORNERS].mean(0))
    heads = {role: np.array(armature.data.bones[name].head_local) for role, name in bones.items()} if armature else {}
    neck = _along_neck(armature, bones)
    if axes is None and keys:
        axes = _axes_from_keys(obj, space, keys, heads, neck)
    base = "neck" if "neck" in heads else "head"
    if axes is None and {base, "left_eye", "right_eye"} <= heads.keys():
        axes = axes_from_eyes(heads["left_eye"], heads["right_eye"], heads[base])
    if axes is None:
        axes = axes_from_evidence(np.zeros(3), neck, np.zeros(3), np.zeros(3))
    return axes or BLENDER_AXES


def _along_neck(armature: bpy.types.Object | None, bones: Mapping[str, str]) -> Floats:
    """From the bone at the bottom of the character, or its neck, to its head; zero without a head bone."""
    if armature is None or "head" not in bones:
        return np.zeros(3)
    head = armature.data.bones[bones["head"]]
    below = armature.data.bones[bones["neck"]] if "neck" in bones else (head.parent_recursive or [head])[-1]
    return np.array(head.head_local - below.head_local)


def _axes_from_keys(
    obj: bpy.types.Object,
    space: bpy.types.Object,
    keys: Mapping[str, tuple[str, ...]],
    heads: Mapping[str, Floats],
    neck: Floats,
) -> Axes | None:
    """The axes by where the shape keys move the mesh: which of a few is misnamed does not matter."""
    mesh: Any = obj.data
    here = space.matrix_world.inverted_safe() @ obj.matrix_world
    used = tuple((channel, keys[channel][0]) for channel in (*_ABOVE, *_BELOW) if keys.get(channel))
    bones = tuple((role, *map(float, head)) for role, head in heads.items())
    halves = tuple(
        axis
        for modifier in obj.modifiers
        if modifier.type == "MIRROR" and modifier.show_viewport and modifier.mirror_object is None
        for axis in range(3)
        if modifier.use_axis[axis]
    )
    print_now = (mesh.session_uid, len(mesh.vertices), used, bones, halves, *(round(v, 3) for row in here for v in row))
    if print_now not in _known_axes:  # reading keys takes a while, and panels ask
        if len(_known_axes) > 64:
            _known_axes.clear()
        _known_axes[print_now] = _axes_by_keys(mesh, here, dict(used), heads, neck, halves)
    return _known_axes[print_now]


def _axes_by_keys(
    mesh: Any, here: Matrix, keys: Mapping[str, str], heads: Mapping[str, Floats], neck: Floats,
    halves: tuple[int, ...],
) -> Axes | None:  # fmt: skip
    """``halves``: axes of the mesh across which a modifier mirrors it: what half a face tells is in the middle."""
    blocks, basis = mesh.shape_keys.key_blocks, mesh.shape_keys.reference_key
    places: dict[str, Floats] = {}
    rest = coordinates(basis.data)
    low, high = rest.min(0), rest.max(0)
    halves = tuple(k for k in halves if min(abs(low[k]), abs(high[k])) < _HALF * (high[k] - low[k]))
    for channel, name in keys.items():
        block = blocks.get(name)
        if block is not None and len(block.data) == len(rest):
            shift = ((coordinates(block.data) - rest) ** 2).sum(1)
            if (total := shift.sum()) > 0:
                place = shift @ rest / total
                place[[*halves]] = 0.0
                places[channel] = transformed(place[None], here)[0]
    above, below = ([places[c] for c in group if c in places] for group in (_ABOVE, _BELOW))
    if not above or not below:
        return None
    up = np.median(above, axis=0) - np.median(below, axis=0)
    middle, size = np.median([*above, *below], axis=0), float(np.linalg.norm(up))
    rest[:, [*halves]] = 0.0
    points = transformed(rest, here)
    head = points[((points - middle) ** 2).sum(1) < (3.0 * size) ** 2]
    # Where keys move everything alike they say nothing about where things are.
    if len(head) < 4 or size < 0.02 * float(np.ptp(head, axis=0).max()):
        return None
    pairs = [places[c] - places[c[:-4] + "Right"] for c in places if c.endswith("Left") and c[:-4] + "Right" in places]
    if {"left_eye", "right_eye"} <= heads.keys():
        pairs.append(heads["left_eye"] - heads["right_eye"])
    if halves:  # sides say nothing there
        pairs = [size * (transformed(np.eye(3)[[k]], here) - transformed(np.zeros((1, 3)), here))[0] for k in halves]
    length = float(np.linalg.norm(neck))
    up = up / size + (neck / length if length > 0 else 0.0)
    # What goes up the face, between an eye and a mouth of one name, is no line across.
    lengths = [float(np.linalg.norm(pair)) for pair in pairs]
    level = [pair / long for pair, long in zip(pairs, lengths, strict=True) if long > 0.1 * size]
    lines = _agreeing(np.array([line for line in level if abs(line @ up) < _LEVEL * np.linalg.norm(up)]))
    across = np.linalg.svd(lines)[2][0] if len(lines) else np.zeros(3)
    return axes_from_evidence(across, up, middle - head.mean(0), lines.sum(0) if len(lines) else np.zeros(3))


def _agreeing(lines: Floats) -> Floats:
    """Those of unit vectors (L, 3) that lie along the line that most of them lie along: a misnamed key lies aslant."""
    if not len(lines):
        return lines
    alike = np.abs(lines @ lines.T)
    return lines[alike[alike.sum(1).argmax()] > 0.9]


def mesh_landmarks(mesh: Any) -> Ints | None:
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
    reference = transformed(coordinates(obj.data.shape_keys.reference_key.data), to_space)
    names = [key for c, keys in rig.shape_keys.items() if c in FLAME_EXPRESSIONS for key in keys]

    def offsets_of(key: str) -> Floats:
        return (transformed(coordinates(blocks[key].data), to_space) - reference) @ axes

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
        reference @ axes, offsets, frozenset(rig.bones), jaw_weights, jaw_joint, jaw_key, triangles(obj.data), eyes,
        mesh_landmarks(obj.data),
    )  # fmt: skip


def triangles(mesh: bpy.types.Mesh) -> Ints:
    """Vertex indices of the mesh's triangles, shape (F, 3)."""
    mesh.calc_loop_triangles()
    flat = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", flat)
    return flat.reshape(-1, 3).astype(np.intp)


def coordinates(points: bpy.types.bpy_prop_collection, kind: type = np.float64) -> npt.NDArray[Any]:
    """Where vertices, or points of a shape key, are in their object, shape (N, 3); Blender has single precision."""
    flat = np.empty(len(points) * 3, np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3).astype(kind, copy=False)


def transformed(points: Floats, matrix: Matrix) -> Floats:
    """Points (N, 3) by a 4x4 matrix."""
    transform = np.array(matrix)
    return points @ transform[:3, :3].T + transform[:3, 3]


def _weights(obj: bpy.types.Object, group: str) -> Floats:
    """How much each vertex follows the bone of this name, shape (N,); weights of a vertex add up to one."""
    index = obj.vertex_groups[group].index
    weights = np.zeros(len(obj.data.vertices))
    for vertex in obj.data.vertices:
        total = sum(element.weight for element in vertex.groups)
        own = sum(element.weight for element in vertex.groups if element.group == index)
        weights[vertex.index] = own / total if total > 0 else 0.0
    return weights
