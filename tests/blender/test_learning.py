# SPDX-License-Identifier: GPL-3.0-or-later
"""Make It Learn: an animator poses a few expressions, and the rest follows from them."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from benchmarks.bone_faces import auto_rig_pro, hang, laid_over, plain_bones
from blender_cteg import cast
from blender_cteg.character import measuring
from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.fitting.learning import _mirrored
from blender_cteg.character.mapping import MESH_PROPERTY, NEUTRAL, Control
from blender_cteg.character.mapping_edits import HANDFUL, Target, targets_of, taught
from blender_cteg.character.stage import Stage
from blender_cteg.clip import Clip
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import REGIONS, Region, Style
from blender_cteg.shared import ARKIT55

from . import scenes


@pytest.fixture(autouse=True)
def _nothing_measured(stage: bpy.types.Scene) -> None:
    measuring.forget()


def unknown_face() -> tuple[bpy.types.Object, dict[str, tuple[Target, ...]]]:
    """A face on bones whose names say nothing, and what an animator would pose on it: a fit where names were known."""
    armature = plain_bones()
    face = laid_over(armature, ("eye.L", "eye.R"))
    hang(face, ("eye.L", "eye.R"))
    mapping = mapping_for(detect_rig(face), scenes.arkit_clip())
    poses = {channel: targets_of(mapping, channel) for channel in HANDFUL}
    del face.data[MESH_PROPERTY]
    for number, name in enumerate(("head", "eye.L", "eye.R", "spine")):
        armature.data.bones[name].name = f"part{number}"
    measuring.forget()
    return face, poses


def pose(face: bpy.types.Object, targets: tuple[Target, ...]) -> None:
    """Pose a face as an animator does."""
    for bone in face.parent.pose.bones:
        bone.matrix_basis.identity()
        bone.location, bone.rotation_quaternion = (0, 0, 0), (1, 0, 0, 0)
    for target in targets:
        if target.kind == "BONE":
            face.parent.pose.bones[target.name].location["XYZ".index(target.value.axis)] += target.value.amount
    bpy.context.view_layer.update()


def test_a_face_that_nobody_knows_learns_from_a_handful_of_poses() -> None:
    scene, (face, poses) = bpy.context.scene, unknown_face()
    scene.cteg.target = face
    assert detect_rig(face).kind == "NONE", "no eyes, no head: names lead nowhere"
    with pytest.raises(RuntimeError, match="is at rest"):
        bpy.ops.cteg.learn_pose(channel="mouthSmileLeft")
    assert MESH_PROPERTY not in face.data, "nothing was kept"
    chosen = [channel for channel in HANDFUL if channel != "jawOpen"]
    for count, channel in enumerate(chosen):
        if count == 2:
            with pytest.raises(RuntimeError, match="Pose at least 3 expressions first, such as jawOpen"):
                bpy.ops.cteg.learn()
        pose(face, poses[channel])
        assert bpy.ops.cteg.learn_pose(channel=channel) == {"FINISHED"}
    pose(face, ())
    assert set(taught(cast.refresh(scene).mapping)) == set(chosen)
    assert bpy.ops.cteg.learn() == {"FINISHED"}
    mapping = cast.refresh(scene).mapping
    for channel in chosen:
        kept = {(t.name, t.value.axis): t.value.amount for t in targets_of(mapping, channel)}
        assert kept == pytest.approx({(t.name, t.value.axis): t.value.amount for t in poses[channel]}, abs=2e-6)
    rig = detect_rig(face)
    measuring.measure(scene, rig, mapping)
    effects = {c: measuring.known(rig).effects[p].skin for c, p in measuring.poses_of(mapping).items()}
    verdicts = measuring.verdicts_of(rig, mapping)
    good = {channel for channel, verdict in verdicts.items() if verdict.kind == "RIGHT"}
    assert good >= {"mouthSmileRight", "mouthFrownRight", "eyeBlinkRight", "browDownRight", "mouthStretchLeft"}
    assert len(good) > 35, "the rest of the face was never posed"
    assert np.linalg.norm(effects["mouthSmileRight"]) == pytest.approx(
        np.linalg.norm(effects["mouthSmileLeft"]), rel=0.2
    )


def test_who_smiles_broadly_frowns_broadly() -> None:
    scene, (face, poses) = bpy.context.scene, unknown_face()
    scene.cteg.target = face
    sizes = {}
    for size in (0.7, 1.4):
        face.data.pop(MESH_PROPERTY, None)
        for channel in ("mouthSmileLeft", "eyeBlinkLeft", "browInnerUp", "mouthPucker"):
            pose(face, tuple(Target(t.kind, t.name, t.value) for t in poses[channel]))
            for bone in face.parent.pose.bones:
                bone.location *= size
            bpy.context.view_layer.update()
            bpy.ops.cteg.learn_pose(channel=channel)
        pose(face, ())
        bpy.ops.cteg.learn()
        sizes[size] = sum(abs(t.value.amount) for t in targets_of(cast.refresh(scene).mapping, "mouthFrownLeft"))
    assert sizes[1.4] == pytest.approx(2 * sizes[0.7], rel=0.25)


def test_the_other_side_is_the_mirror_image() -> None:
    armature = auto_rig_pro()
    face = laid_over(armature, ("c_eye.l", "c_eye.r"))
    hang(face, ("c_eye.l", "c_eye.r"))
    rig = detect_rig(face)
    blink = targets_of(mapping_for(rig, scenes.arkit_clip()), "eyeBlinkLeft")
    twin = tuple(_mirrored(rig, blink))
    assert {t.name for t in twin} == {bpy.utils.flip_name(t.name) for t in blink}
    assert {t.value.property for t in twin} == {"LOCATION", "ROTATION"}
    stage, fields = Stage(bpy.context.scene, rig), []
    with stage.at_rest(posed=True):
        for targets in (blink, twin):
            moved = stage.moved((targets, 1.0))
            fields.append(np.zeros_like(stage.rests[True]))
            fields[-1][moved.vertices] = moved.by
    rest, some = stage.rests[True], np.arange(0, 4900, 7)
    mirrored = ((rest[:4941, None, :2] - rest[None, some, :2] * (-1, 1)) ** 2).sum(2).argmin(0)
    apart = np.abs(fields[1][mirrored] * (-1, 1, 1) - fields[0][some]).max()
    assert apart < 0.1 * np.abs(fields[0]).max()


def test_a_neutral_that_is_not_the_rest_pose() -> None:
    """All expressions go from it, whenever it is kept, and lines show it where nothing is expressed."""
    scene, (face, poses) = bpy.context.scene, unknown_face()
    scene.cteg.target = face
    neutral = (Target("BONE", "bone00", Control("LOCATION", "X", 0.004)), *poses["mouthPucker"])
    added = lambda channel: (*neutral, *(Target(t.kind, t.name, t.value) for t in poses[channel]))  # noqa: E731
    pose(face, added("mouthSmileLeft"))
    bpy.ops.cteg.learn_pose(channel="mouthSmileLeft")
    pose(face, neutral)
    bpy.ops.cteg.learn_pose(channel=NEUTRAL)
    with pytest.raises(RuntimeError, match="is as its neutral is"):
        bpy.ops.cteg.learn_pose(channel="jawOpen")
    for channel in ("eyeBlinkLeft", "browInnerUp"):
        pose(face, added(channel))
        bpy.ops.cteg.learn_pose(channel=channel)
    wanted = {bone.name: tuple(bone.location) for bone in face.parent.pose.bones}
    pose(face, neutral)
    rest = {bone.name: tuple(bone.location) for bone in face.parent.pose.bones}
    bpy.ops.cteg.learn()
    mapping = cast.refresh(scene).mapping
    assert NEUTRAL not in mapping.driving() and set(taught(mapping)) == {
        "mouthSmileLeft",
        "eyeBlinkLeft",
        "browInnerUp",
    }
    for channel in taught(mapping):
        kept = {(t.name, t.value.axis): t.value.amount for t in targets_of(mapping, channel)}
        assert kept == pytest.approx({(t.name, t.value.axis): t.value.amount for t in poses[channel]}, abs=1e-5)
    values = np.zeros((30, 55), np.float32)
    values[12:18, ARKIT55.channels.index("browInnerUp")] = 1.0
    clip = Clip(values, ARKIT55.channels, 24.0, "arkit55")
    rig = detect_rig(face)
    for mode in ("TAKE", "ADD"):
        lines = Lines(scene, rig, mapping)
        line = lines.add([clip], 1, Style("BEZIER", 0.0), text=mode)
        lines.change(line.id, regions={name: Region(mode) for name in REGIONS})
        for frame, poses_then in ((8, rest), (15, wanted)):
            scene.frame_set(frame)
            bones = face.parent.pose.bones
            for name, place in poses_then.items():
                assert tuple(bones[name].location) == pytest.approx(place, abs=2e-4), (mode, frame, name)
        lines.remove(line.id)
