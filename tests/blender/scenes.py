# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the faces the tests drive: small meshes with the names, bones and habits of real ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from blender_cteg import cast
from blender_cteg.character.fitting import FLAME_VERTICES
from blender_cteg.character.fitting.actions import template
from blender_cteg.character.fitting.fit import flame_landmarks
from blender_cteg.clip import Clip
from blender_cteg.performance.record import Line
from blender_cteg.shared import ARKIT_CHANNELS, FLAME_EXPRESSIONS, HEAD_CHANNELS, JAW_CHANNELS, Timeline

#: FLAME's joints in its own axes, metres: roughly where they are on a real head.
JOINTS = {
    "root": (0.0, -0.10, -0.03),
    "neck": (0.0, -0.01, -0.02),
    "jaw": (0.0, -0.02, 0.01),
    "left_eye": (0.031, 0.04, 0.07),
    "right_eye": (-0.031, 0.04, 0.07),
}
#: FLAME's axes as columns, for heads that are z-up and look along -y, and for y-up data.
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
Y_UP = np.eye(3)


def empty() -> bpy.types.Scene:
    """The scene of a fresh, empty file at 24 frames per second."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    return scene


def mesh_object(name: str, points: Sequence[Sequence[float]], keys: Iterable[str]) -> bpy.types.Object:
    """A mesh object with shape keys; key number i moves every vertex a little, each in its own way."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(p) for p in points], [], [(i, i + 1, i + 2) for i in range(0, len(points) - 2, 3)])
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    obj.shape_key_add(name="Basis")
    offsets = np.random.default_rng(7)
    for key in keys:
        block = obj.shape_key_add(name=key)
        block.value = 0.0
        moved = np.asarray(points) + offsets.normal(0, 0.002, (len(points), 3))
        block.data.foreach_set("co", moved.astype(np.float32).ravel())
    return obj


def armature_object(name: str, joints: dict[str, Sequence[float]], roll: float = 0.0) -> bpy.types.Object:
    """An armature whose bones start at ``joints``; the first is the parent of the second, that of all others."""
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    made: list[bpy.types.EditBone] = []
    for index, (bone_name, head) in enumerate(joints.items()):
        bone = armature.data.edit_bones.new(bone_name)
        bone.head = head
        # Directions and rolls differ, as they do in real rigs, so that a wrong conversion shows.
        bone.tail = Vector(head) + Vector((0.01 * index, 0.02, 0.03 - 0.01 * index))
        bone.roll = roll + 0.4 * index
        if made:
            bone.parent = made[min(index - 1, 1)]
        made.append(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def skin(obj: bpy.types.Object, armature: bpy.types.Object) -> None:
    """Let the armature deform the mesh by vertex groups."""
    obj.parent = armature
    obj.modifiers.new("Armature", "ARMATURE").object = armature


def flame_face(keys: int = 50, axes: np.ndarray = Z_UP, roll: float = 0.0) -> bpy.types.Object:
    """A mesh of a few vertices with Exp keys, skinned to root, neck, jaw and eye bones."""
    points = [(0.01 * i, 0.02 * (i % 3), 0.03 * (i % 2)) for i in range(9)]
    face = mesh_object("Face", points, [f"Exp{i}" for i in range(1, keys + 1)])
    armature = armature_object("FaceRig", {name: axes @ np.array(joint) for name, joint in JOINTS.items()}, roll)
    skin(face, armature)
    return face


def arkit_face(names: Iterable[str] = ARKIT_CHANNELS, bones: Iterable[str] = ()) -> bpy.types.Object:
    """A mesh with keys of these names and, if there are any, an armature with bones of these names."""
    points = [(0.01 * i, 0.02 * (i % 3), 0.03 * (i % 2)) for i in range(9)]
    face = mesh_object("Avatar", points, names)
    bones = list(bones)
    if bones:
        skin(face, armature_object("AvatarRig", {name: (0.0, 0.0, 0.1 * i) for i, name in enumerate(bones)}))
    return face


def flame_topology_face(keys: int = 30, axes: np.ndarray = Z_UP, extra: int = 0) -> bpy.types.Object:
    """5,023 vertices whose landmarks sit where a face has them (and ``extra`` ones), with smooth random Exp keys and a
    skinned jaw.
    """
    rng = np.random.default_rng(3)
    vertices = rng.normal(0, 0.07, (FLAME_VERTICES + extra, 3))
    marks = template().positions[:68] * 0.063
    vertices[flame_landmarks()] = marks + np.array(JOINTS["left_eye"]) * (0, 1, 1)
    face = mesh_object("Flame", (vertices @ axes.T).tolist(), [])
    for index in range(keys):
        block = face.shape_key_add(name=f"Exp{index + 1}")
        waves = rng.normal(0, 30, (3, 3))
        offsets = 0.003 * np.sin(vertices @ waves + rng.uniform(0, 6, 3))
        block.data.foreach_set("co", ((vertices + offsets) @ axes.T).astype(np.float32).ravel())
    armature = armature_object("FlameRig", {name: axes @ np.array(joint) for name, joint in JOINTS.items()})
    skin(face, armature)
    below = [int(i) for i in np.flatnonzero(vertices[:, 1] < JOINTS["jaw"][1])]
    above = [int(i) for i in np.flatnonzero(vertices[:, 1] >= JOINTS["jaw"][1])]
    face.vertex_groups.new(name="jaw").add(below, 1.0, "REPLACE")
    face.vertex_groups.new(name="neck").add(above, 1.0, "REPLACE")
    return face


def flame_clip(frames: int = 30, fps: float = 24.0, scale: float = 1.0) -> Clip:
    """A flame53 clip with values on both sides of zero, a jaw that opens and turns, in the precision of stored ones."""
    time = np.linspace(0, 1, frames)[:, None]
    values = np.zeros((frames, 53))
    values[:, :50] = 3 * scale * np.sin(6 * time + np.arange(50) * 0.7)
    values[:, 50:] = 0.3 * np.sin(5 * time) * (1.0, 0.2, -0.1)
    values = values.astype(np.float16).astype(np.float32)
    return Clip(values, FLAME_EXPRESSIONS + JAW_CHANNELS, fps, "flame53", "What a day!", 5, "joy")


def arkit_clip(frames: int = 30, fps: float = 24.0) -> Clip:
    """An arkit55 clip in which every channel moves and the head turns about all three axes."""
    time = np.linspace(0, 1, frames)[:, None]
    values = np.zeros((frames, 55))
    values[:, :52] = 0.5 + 0.5 * np.sin(6 * time + np.arange(52) * 0.7)
    values[:, 52:] = np.sin(4 * time + (0.0, 1.0, 2.0)) * (0.5, 0.6, -0.4)
    return Clip(
        values.astype(np.float16).astype(np.float32),
        ARKIT_CHANNELS + HEAD_CHANNELS,
        fps,
        "arkit55",
        "I never asked for any of this",
        11,
        "anger",
        {"intensity": 1.0, "checkpoint": "default", "seconds": None},
    )


def timeline(seconds: float, seed: int = 0) -> Timeline:
    """Words of all kinds of sounds at times that fit no frame rate, a third of them p, b and m."""
    rng = np.random.default_rng(seed)
    sounds = "B AA1 M / P IY0 T / F AO1 R / M EY1 B IY0 / W AH1 N / L UW1 P / S EH1 V".split(" / ")
    words, start = [], 0.2
    while start < seconds - 1.0:
        phonemes = []
        for symbol in sounds[rng.integers(len(sounds))].split():
            end = start + rng.uniform(0.05, 0.13)
            phonemes.append([symbol, start, end])
            start = end
        words.append({"text": "word", "phonemes": phonemes})
        start += rng.choice([0.0, 0.0, 0.3])
    made = Timeline.from_json({"words": words, "seconds": seconds})
    return Timeline.from_json(made.to_json())  # with times as they are stored


def speaking_clip(frames: int = 121, seed: int = 0) -> Clip:
    """An arkit55 clip of two layers, whose performance does with the mouth what it likes."""
    return replace(arkit_clip(frames), timeline=timeline((frames - 1) / 24.0, seed))


def animate_by_hand(datablock: bpy.types.ID, path: str, keys: dict[float, float], index: int = 0) -> bpy.types.Action:
    """The animator's own action on a datablock: an F-curve with these keys, in a slot of its own."""
    data = datablock.animation_data_create()
    if data.action is None:
        action = bpy.data.actions.new("Animator's work")
        slot = action.slots.new(id_type=datablock.id_type, name=datablock.name)
        action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
        data.action, data.action_slot = action, slot
    curve = data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves.new(path, index=index)
    for frame, value in keys.items():
        curve.keyframe_points.insert(frame, value)
    curve.update()
    return data.action


def describe_action(action: bpy.types.Action) -> list[object]:
    """Everything an animator could miss in an action, to compare before and after."""
    return [
        action.name,
        [(slot.identifier, slot.handle) for slot in action.slots],
        [
            (
                curve.data_path,
                curve.array_index,
                [(tuple(p.co), tuple(p.handle_left), p.interpolation) for p in curve.keyframe_points],
            )
            for layer in action.layers
            for strip in layer.strips
            for bag in strip.channelbags
            for curve in bag.fcurves
        ],
    ]


def link_face(face: bpy.types.Object, folder: Path) -> bpy.types.Object:
    """The face, linked with its armature: see `link`."""
    name = face.name
    return link((face, face.parent), folder)[name]


def link(objects: Iterable[bpy.types.Object], folder: Path) -> Any:
    """Objects saved in the collection Hero of ``hero.blend`` and linked from there into a fresh file: its objects."""
    collection = bpy.data.collections.new("Hero")
    for obj in objects:
        collection.objects.link(obj)
    library = str(folder / "hero.blend")
    bpy.data.libraries.write(library, {collection})
    empty()
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["Hero"]
    bpy.context.scene.collection.children.link(wanted.collections[0])
    return wanted.collections[0].objects


def override(linked: bpy.types.Object) -> bpy.types.Object:
    """What Object > Library Override > Make makes of a linked face: an editable object of a linked mesh."""
    collection = linked.users_collection[0]
    made = collection.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    return made.all_objects[linked.name]


def evaluated(obj: bpy.types.Object) -> bpy.types.Object:
    """The object as Blender shows it at the current frame."""
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get())


def turned(vector: Sequence[float]) -> np.ndarray:
    """The 3x3 rotation of a rotation vector."""
    return np.array(Matrix.Rotation(float(np.linalg.norm(vector)), 3, Vector(vector)))


def rotation_in_armature(bone: bpy.types.PoseBone) -> Matrix:
    """How a bone is turned from its rest, relative to its parent, in the armature's axes (3x3)."""
    rest = bone.bone.matrix_local.to_3x3()
    return rest @ bone.matrix_basis.to_3x3() @ rest.inverted()


def curve(face: bpy.types.Object, key: str) -> bpy.types.FCurve:
    """The curve that moves a shape key of a face."""
    data = face.data.shape_keys.animation_data
    bag = data.action.layers[0].strips[0].channelbag(data.action_slot)
    return bag.fcurves.find(f'key_blocks["{key}"].value')


def active() -> Line:
    """The line that the panel shows."""
    line = cast.active_line(bpy.context.scene)
    assert line is not None
    return line
