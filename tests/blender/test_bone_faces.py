# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces made of bones: Rigify's from Blender's own add-on, and plain bones in the skin."""

from __future__ import annotations

from collections.abc import Iterator

import addon_utils
import bpy
import numpy as np
import pytest

from benchmarks import rigs
from blender_cteg.character import measuring
from blender_cteg.character.choose import judged, mapping_for, resolved, unverified
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.effects import sentence
from blender_cteg.character.mapping import MappingError
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import Style

from . import scenes

SOURCE = rigs.plain_source()


def laid_over(armature: bpy.types.Object, eyes: tuple[str, str], keys: bool = False) -> bpy.types.Object:
    """The drawn face where an armature has its eyes, each vertex weighed to its nearest deforming bones."""
    bones = armature.data.bones
    places = [np.array(bones[name].head_local) for name in eyes]
    centres = [SOURCE.vertices[eye].mean(0) for eye in SOURCE.eyes]
    scale = np.linalg.norm(places[0] - places[1]) / np.linalg.norm(centres[0] - centres[1])
    move = lambda points: (points - sum(centres) / 2) * scale @ rigs.Z_UP.T + sum(places) / 2  # noqa: E731
    mesh = bpy.data.meshes.new("Human")
    mesh.from_pydata(move(SOURCE.vertices).tolist(), [], SOURCE.polygons)
    face = bpy.data.objects.new("Human", mesh)
    bpy.context.scene.collection.objects.link(face)
    if keys:
        face.shape_key_add(name="Basis")
        for channel, offsets in zip(scenes.ARKIT_CHANNELS, SOURCE.actions, strict=True):
            block = face.shape_key_add(name=channel)
            block.data.foreach_set("co", move(SOURCE.vertices + offsets).astype(np.float32).ravel())
            block.value = 0.0
    carriers = [b for b in bones if b.use_deform and not b.name.startswith("ORG")]
    heads, tails = (np.array([getattr(b, end) for b in carriers]) for end in ("head_local", "tail_local"))
    points, along = move(SOURCE.vertices), tails - heads
    share = np.clip(((points[:, None] - heads) * along).sum(2) / (along**2).sum(1), 0, 1)
    apart = np.linalg.norm(points[:, None] - heads - share[..., None] * along, axis=2)
    near = np.argsort(apart, axis=1)[:, :4]
    weight = 1 / (np.take_along_axis(apart, near, 1) + 0.004 * scale) ** 3
    weight /= weight.sum(1, keepdims=True)
    balls = set(map(int, np.concatenate(SOURCE.eyes)))
    groups = {bone.name: face.vertex_groups.new(name=bone.name) for bone in carriers}
    for vertex in range(len(points)):
        for place, value in zip(near[vertex], weight[vertex], strict=True) if vertex not in balls else ():
            groups[carriers[place].name].add([vertex], float(value), "REPLACE")
    scenes.skin(face, armature)
    return face


@pytest.fixture
def rigify(scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """The face of a human that Blender's own Rigify generated, with the neck below it."""
    measuring.forget()
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    bpy.ops.object.mode_set(mode="EDIT")
    bones = bpy.context.object.data.edit_bones
    body = [b for b in bones if "face" not in {b.name, *(a.name for a in b.parent_recursive)}]
    for bone in body:
        if not bone.name.startswith("spine"):
            bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.pose.rigify_generate()
    yield bpy.context.object
    addon_utils.disable("rigify", default_set=True)


def hang(face: bpy.types.Object, bones: tuple[str, str]) -> None:
    """Let the eyeballs be carried by bones."""
    for bone, eye in zip(bones, SOURCE.eyes, strict=True):
        face.parent.data.bones[bone].use_deform = True
        (face.vertex_groups.get(bone) or face.vertex_groups.new(name=bone)).add(list(map(int, eye)), 1.0, "REPLACE")


def test_a_rigify_face_performs(rigify: bpy.types.Object) -> None:
    scene, face = bpy.context.scene, laid_over(rigify, ("MCH-eye.L", "MCH-eye.R"))
    hang(face, ("ORG-eye.L", "ORG-eye.R"))
    rig = detect_rig(rigify)
    assert (rig.object, rig.kind, rig.problem) == (face, "BONES", None)
    assert rig.bones["jaw"] == "jaw_master"
    assert {role: aim for role, (aim, _) in rig.aims.items()} == {"left_eye": "eye.L", "right_eye": "eye.R"}
    before = {bone.name: tuple(bone.location) for bone in rigify.pose.bones}
    mapping = mapping_for(rig, scenes.arkit_clip())
    assert {bone.name: tuple(bone.location) for bone in rigify.pose.bones} == before
    assert not any(name.startswith(("DEF-", "ORG-", "MCH-")) for name in mapping.controls)
    rig = detect_rig(face)
    assert (rig.kind, resolved(rig)) == ("CUSTOM", mapping), "the fit is kept"
    measuring.measure(scene, rig, unverified(rig))
    found = judged(rig, mapping)
    assert {channel: sentence(channel, v) for channel, v in found.items() if sentence(channel, v)} == {}
    assert len(found) == 54, "all but the tongue"
    Lines(scene, rig, mapping).add([scenes.arkit_clip()], 1, Style("BEZIER", 10.0), text="Hello")
    rest = np.array(rigify.pose.bones["jaw_master"].matrix)
    scene.frame_set(12)
    assert np.abs(np.array(rigify.pose.bones["jaw_master"].matrix) - rest).max() > 0.05


def test_keys_on_a_rigify_human_leave_its_eyes_to_the_bones(rigify: bpy.types.Object) -> None:
    face = laid_over(rigify, ("MCH-eye.L", "MCH-eye.R"), keys=True)
    hang(face, ("ORG-eye.L", "ORG-eye.R"))
    rig = detect_rig(face)
    assert rig.kind == "ARKIT"
    measuring.measure(bpy.context.scene, rig, unverified(rig))
    mapping = resolved(rig)
    assert mapping.controls.keys() == {"eye.L", "eye.R"}, "eyes look at what is moved"
    found = judged(rig, mapping)
    assert {found[f"eyeLook{way}{side}"].kind for way in ("In", "Out", "Up", "Down") for side in ("Left", "Right")} == {
        "RIGHT"
    }


def plain_bones(scene: bpy.types.Scene, spread: float = 1.0) -> bpy.types.Object:
    """An armature with bones of meaningless names in the skin of the face."""
    measuring.forget()
    places = {"spine": (0, 0.02, -0.5), "head": (0, 0.05, -0.05), "jaw": (0, 0.04, -0.04)}
    places |= {"eye.L": (0.0315, 0.007, 0.0005), "eye.R": (-0.0315, 0.007, 0.0005)}
    skin = SOURCE.vertices[:4941]
    spots = [(x, y) for y in (2.6, 1.0, -1.0, -3.5, -5.9, -7.2, -9.0, -10.8) for x in (-4.4, -2.6, 0, 2.6, 4.4)]
    for number, (x, y) in enumerate(spots):
        at = skin[((skin[:, :2] - np.array((0.01 * x, 0.01 * y))) ** 2).sum(1).argmin()]
        places[f"bone{number:02d}"] = tuple(spread * (rigs.Z_UP @ at))
    armature = scenes.armature_object("Rig", {name: tuple(map(float, place)) for name, place in places.items()})
    for bone in armature.data.bones:
        bone.use_deform = bone.name.startswith(("bone", "jaw", "head"))
    return armature


def test_plain_bones_in_the_skin_are_fitted(scene: bpy.types.Scene) -> None:
    armature = plain_bones(scene)
    face = laid_over(armature, ("eye.L", "eye.R"))
    hang(face, ("eye.L", "eye.R"))
    rig = detect_rig(face)
    assert rig.kind == "BONES"
    mapping = mapping_for(rig, scenes.arkit_clip())
    rig = detect_rig(face)
    measuring.measure(scene, rig, unverified(rig))
    found = judged(rig, mapping)
    good = [channel for channel, verdict in found.items() if verdict.kind == "RIGHT"]
    assert {"jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "eyeLookInLeft", "headYaw"} <= set(good)
    assert len(good) >= 40, "forty bones cannot do everything, and what they do not is said"


def test_bones_without_a_face_are_refused(scene: bpy.types.Scene) -> None:
    armature = plain_bones(scene)
    face = scenes.mesh_object("Ball", np.random.default_rng(1).normal(0, 0.05, (60, 3)).tolist(), [])
    face.shape_key_clear()
    scenes.skin(face, armature)
    rig = detect_rig(face)
    assert rig.kind == "BONES"
    with pytest.raises(MappingError, match="no face was found"):
        mapping_for(rig, scenes.arkit_clip())
