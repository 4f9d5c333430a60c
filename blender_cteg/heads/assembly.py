# SPDX-License-Identifier: GPL-3.0-or-later
"""What every head that CTEG adds to a scene is made of: all or nothing, five bones, skin weights, wide sliders.

Heads are given in FLAME's axes (x to the character's left, y up, z forward) and metres, and stand z-up in Blender,
looking along -y.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Vector

from ..character.rig import BLENDER_AXES

Floats = npt.NDArray[np.floating]

#: Slider limits of expression shape keys, Blender's widest; its own 0..1 would hide every negative coefficient.
SLIDER_LIMIT: Final = 10.0
#: Bone lengths in metres.
_BONE_LENGTHS: Final = {"root": 0.06, "neck": 0.12, "jaw": 0.09, "left_eye": 0.03, "right_eye": 0.03}
#: Bones that stand; jaw and eyes point forward.
_UPRIGHT: Final = ("root", "neck")
#: Weights are rounded to this many decimals, so that vertices can be assigned in groups. At a distance of 10 cm from
#: the joint that is at most 5 micrometres.
_DECIMALS: Final = 4


@contextmanager
def all_or_nothing(context: bpy.types.Context) -> Iterator[list[bpy.types.ID]]:
    """Object Mode, and a list for every datablock that is made; when the block fails, they are removed again."""
    before = context.view_layer.objects.active
    if before is not None and before.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    made: list[bpy.types.ID] = []
    try:
        yield made
    except BaseException:
        active = context.view_layer.objects.active
        if active is not None and active.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        bpy.data.batch_remove(made)
        context.view_layer.objects.active = before
        raise


def add_objects(
    context: bpy.types.Context, name: str, mesh: bpy.types.Mesh, made: list[bpy.types.ID]
) -> tuple[bpy.types.Object, bpy.types.Object]:
    """An object of ``mesh`` and an empty armature object at the 3D cursor, linked where they can be seen.

    The armature, whose child the mesh becomes, is scaled so that metres are metres in the units of the scene.
    """
    face = bpy.data.objects.new(name, mesh)
    made.append(face)
    armature = bpy.data.armatures.new(f"{name} Rig")
    made.append(armature)
    rig = bpy.data.objects.new(f"{name} Rig", armature)
    made.append(rig)
    for collection in dict.fromkeys((context.collection, context.scene.collection)):
        if collection.library is None and collection.override_library is None:
            collection.objects.link(rig)
            if rig.visible_get(view_layer=context.view_layer):
                break
            collection.objects.unlink(rig)  # a hidden collection cannot be edited either
    else:
        collection.objects.link(rig)
    collection.objects.link(face)
    rig.location = context.scene.cursor.location
    rig.scale = (metre(context.scene),) * 3
    return face, rig


def metre(scene: bpy.types.Scene) -> float:
    """How many of Blender's units a metre is in a scene."""
    return 1.0 if scene.unit_settings.system == "NONE" else 1.0 / float(scene.unit_settings.scale_length)


def select_only(context: bpy.types.Context, face: bpy.types.Object) -> None:
    """Make ``face`` the only selected, active object."""
    for other in context.selected_objects:
        other.select_set(False)
    face.select_set(True)
    context.view_layer.objects.active = face


def fill_mesh(
    mesh: bpy.types.Mesh, vertices: Floats, polygons: npt.NDArray[np.integer], uv: Floats | None = None
) -> None:
    """Vertices, polygons, texture coordinates and smooth shading.

    Args:
        mesh: an empty one.
        vertices: in FLAME's axes, (V, 3).
        polygons: vertices of each polygon, (F, K); -1 where one has fewer.
        uv: texture coordinates of each corner, (F, K, 2), or None.
    """
    valid = polygons >= 0
    sizes = valid.sum(axis=1).astype(np.int32)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", to_blender(vertices).ravel())
    mesh.loops.add(int(sizes.sum()))
    mesh.loops.foreach_set("vertex_index", polygons[valid].astype(np.int32))
    mesh.polygons.add(len(polygons))
    mesh.polygons.foreach_set("loop_start", np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32))
    if uv is not None:
        mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", uv[valid].astype(np.float32).ravel())
    mesh.update(calc_edges=True)
    mesh.validate()  # a file may name a vertex twice in one triangle
    mesh.shade_smooth()


def to_blender(values: Floats) -> npt.NDArray[np.float32]:
    """FLAME's axes to Blender's, (..., 3)."""
    return np.ascontiguousarray(values @ np.array(BLENDER_AXES).T, np.float32)


def add_key(face: bpy.types.Object, name: str, points: Floats) -> bpy.types.ShapeKey:
    """A shape key at 0 with a wide slider, from vertices (V, 3) in FLAME's axes."""
    key = face.shape_key_add(name=name, from_mix=False)
    key.points.foreach_set("co", to_blender(points).ravel())
    key.slider_min, key.slider_max = -SLIDER_LIMIT, SLIDER_LIMIT
    key.value = 0.0  # a new key starts at 1
    return key


def make_bones(
    context: bpy.types.Context,
    rig: bpy.types.Object,
    joints: Floats,
    parents: Sequence[int],
    names: Sequence[str],
) -> None:
    """Bones at ``joints`` (J, 3) in FLAME's axes; root and neck stand, jaw and eyes point forward.

    The x axis of every bone is the character's left, as in FLAME: a positive turn about x opens the jaw and looks
    down. A negative parent is none.
    """
    heads = to_blender(joints)
    context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones: list[bpy.types.EditBone] = []
    for head, parent, name in zip(heads, parents, names, strict=True):
        bone = rig.data.edit_bones.new(name)
        bone.head = Vector(head)
        upright = name in _UPRIGHT
        direction = Vector((0.0, 0.0, 1.0)) if upright else Vector((0.0, -1.0, 0.0))
        bone.tail = bone.head + direction * _BONE_LENGTHS[name]
        bone.align_roll(Vector((0.0, -1.0, 0.0)) if upright else Vector((0.0, 0.0, -1.0)))
        bone.parent = bones[parent] if parent >= 0 else None
        bones.append(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    for pose_bone in rig.pose.bones:
        pose_bone.rotation_mode = "XYZ"
    rig.show_in_front = False
    rig.data.display_type = "STICK"


def bind(face: bpy.types.Object, rig: bpy.types.Object, weights: Floats, names: Sequence[str]) -> None:
    """Vertex groups from ``weights`` (V, J), armature modifier and parenting."""
    for column, name in enumerate(names):
        group = face.vertex_groups.new(name=name)
        values = np.round(weights[:, column], _DECIMALS)
        order = np.argsort(values, kind="stable")
        different, starts = np.unique(values[order], return_index=True)
        for value, vertices in zip(different, np.split(order, starts[1:]), strict=True):
            if value > 0:
                group.add(vertices.tolist(), float(value), "REPLACE")
    modifier = face.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    face.parent = rig
