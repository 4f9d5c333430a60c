# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces made of bones: Rigify's from Blender's own add-on, and plain bones in the skin."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from benchmarks import bone_faces
from benchmarks.bone_faces import hang, laid_over, plain_bones
from blender_cteg.character import measuring
from blender_cteg.character.choose import judged, mapping_for, resolved, unverified
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.effects import sentence
from blender_cteg.character.fitting.bones import eye_distance
from blender_cteg.character.fitting.portable import for_other_faces, on_face, shipped
from blender_cteg.character.mapping import MESH_PROPERTY, Mapping, MappingError
from blender_cteg.character.mapping_edits import targets_of
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import Style

from . import scenes


@pytest.fixture
def rigify(scene: bpy.types.Scene) -> bpy.types.Object:
    measuring.forget()
    return bone_faces.rigify()


def test_a_rigify_face_performs(rigify: bpy.types.Object) -> None:
    scene, face = bpy.context.scene, laid_over(rigify, ("MCH-eye.L", "MCH-eye.R"))
    hang(face, ("ORG-eye.L", "ORG-eye.R"))
    bone_faces.with_tongue(face, "DEF-tongue", "DEF-tongue.001", "DEF-tongue.002")
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
    assert len(found) == 55
    portable_tests(face, mapping)
    Lines(scene, rig, mapping).add([scenes.arkit_clip()], 1, Style("BEZIER", 10.0), text="Hello")
    rest = np.array(rigify.pose.bones["jaw_master"].matrix)
    scene.frame_set(12)
    assert np.abs(np.array(rigify.pose.bones["jaw_master"].matrix) - rest).max() > 0.05


def portable_tests(face: bpy.types.Object, mapping: Mapping) -> None:
    """The mapping for other faces comes back as it was, and the set that ships does what it says here too."""
    rig = detect_rig(face)
    others = Mapping.from_json(for_other_faces(rig, mapping).to_json())
    assert others.relative and others.controls.keys().isdisjoint({"eye.L", "eye.R"})
    face.data[MESH_PROPERTY] = others.to_json()
    with pytest.raises(MappingError, match="Load Mapping"):
        unverified(rig)
    face.data[MESH_PROPERTY] = mapping.to_json()
    back = on_face(rig, others)
    unit = eye_distance(rig)
    for channel in mapping.driving():
        then, now = (
            {
                (t.name, t.value.property, t.value.axis): t.value.amount
                for t in targets_of(m, channel)
                if t.kind == "BONE"
            }
            for m in (mapping, back)
        )
        for move in then.keys() | now.keys():
            length = unit if move[1] == "LOCATION" else 1.0
            assert abs(then.get(move, 0.0) - now.get(move, 0.0)) < 0.004 * length, (channel, move)
    ready = shipped(rig)
    assert (ready.origin, ready.relative, ready.driving()) == ("preset:Rigify", False, mapping.driving())
    measuring.measure(bpy.context.scene, rig, ready)
    kinds = [verdict.kind for verdict in measuring.verdicts_of(rig, ready).values()]
    assert len(kinds) == 55 and kinds.count("RIGHT") > 50, "made on another face"


def test_a_face_like_no_other_gets_the_poses_that_ship(rigify: bpy.types.Object) -> None:
    """A box with eyes: nothing can be fitted to its skin."""
    points = np.random.default_rng(1).normal(0, 0.05, (60, 3)) + rigify.data.bones["MCH-eye.L"].head_local
    face = scenes.mesh_object("Box", points.tolist(), [])
    face.shape_key_clear()
    scenes.skin(face, rigify)
    mapping = mapping_for(detect_rig(face), scenes.arkit_clip())
    assert mapping.origin == "preset:Rigify" and "jaw_master" not in mapping.controls
    assert {"lip.T", "brow.T.L"} & mapping.controls.keys() and "jawOpen" in mapping.driving()


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


def test_rigifys_modular_face_performs(scene: bpy.types.Scene) -> None:
    """What *Upgrade Face Rig* makes of it: chains of skin, a hundred controls, and lids that limits hold."""
    measuring.forget()
    armature = bone_faces.rigify(modular=True)
    face = laid_over(armature, ("MCH-eye.L", "MCH-eye.R"))
    hang(face, ("DEF-eye.L", "DEF-eye.R"))
    rig = detect_rig(armature)
    assert (rig.object, rig.kind, rig.problem, rig.bones["jaw"]) == (face, "BONES", None, "jaw_master")
    assert {role: aim for role, (aim, _) in rig.aims.items()} == {"left_eye": "eye.L", "right_eye": "eye.R"}
    mapping = mapping_for(rig, scenes.arkit_clip())
    assert not any(name.startswith(("DEF-", "ORG-", "MCH-")) for name in mapping.controls)
    assert {"lip.T", "lip.B", "lip.T.L.001", "lip.T.R.001", "brow.T.L.001"} <= mapping.controls.keys()
    rig = detect_rig(face)
    measuring.measure(scene, rig, unverified(rig))
    found = judged(rig, mapping)
    assert {channel: said for channel, v in found.items() if (said := sentence(channel, v))} == {}
    assert len(found) == 54, "all but the tongue, which this skin lacks"


def test_plain_bones_in_the_skin_are_fitted(scene: bpy.types.Scene) -> None:
    armature = plain_bones()
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
    armature = plain_bones()
    face = scenes.mesh_object("Ball", np.random.default_rng(1).normal(0, 0.05, (60, 3)).tolist(), [])
    face.shape_key_clear()
    scenes.skin(face, armature)
    rig = detect_rig(face)
    assert rig.kind == "BONES"
    with pytest.raises(MappingError, match="no face was found"):
        mapping_for(rig, scenes.arkit_clip())


@pytest.mark.parametrize("kind", ["arp moved jaw", "arp turned jaw", "cloudrig"])
def test_a_face_of_another_builder_performs(scene: bpy.types.Scene, kind: str) -> None:
    measuring.forget()
    if kind == "cloudrig":
        armature, eyes = bone_faces.cloudrig(), ("DEF-Eye.L", "DEF-Eye.R")
        roles = {"head": "FK-Head", "neck": "FK-Neck", "jaw": "Jaw", "left_eye": "CTR-Eye.L", "right_eye": "CTR-Eye.R"}
    else:
        armature, eyes = bone_faces.auto_rig_pro("MOVED" if "moved" in kind else "TURNED"), ("c_eye.l", "c_eye.r")
        roles = {"head": "c_head.x", "neck": "c_neck.x", "jaw": "c_jawbone.x", "left_eye": "c_eye.l",
                 "right_eye": "c_eye.r"}  # fmt: skip
    face = laid_over(armature, eyes)
    hang(face, eyes)
    rig = detect_rig(armature)
    assert (rig.kind, rig.problem, rig.bones) == ("BONES", None, roles)
    mapping = mapping_for(rig, scenes.arkit_clip())
    assert ("jaw" in mapping.bones) == ("moved" not in kind), "a jaw that is moved is no jaw that turns"
    led = {"eyelid_top.l", "jawbone.x", "c_lips_smile_offset.l", "c_eye_ref_track.l"}
    assert led.isdisjoint(mapping.controls) and not any(n.startswith(("P-", "DEF-", "AIM-")) for n in mapping.controls)
    rig = detect_rig(face)
    measuring.measure(scene, rig, unverified(rig))
    found = judged(rig, mapping)
    wrong = {channel: said for channel, v in found.items() if (said := sentence(channel, v))}
    assert wrong == {}
