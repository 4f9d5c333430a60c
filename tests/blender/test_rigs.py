# SPDX-License-Identifier: GPL-3.0-or-later
"""Which faces are recognised, and what is said about those that are not."""

from __future__ import annotations

import re
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_cteg.character.axes import axes_from_eyes
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.detection.naming import match_arkit, match_bones, match_flame
from blender_cteg.shared import ARKIT_CHANNELS

from . import scenes


def _apple_order(channel: str) -> str:
    words = "_".join(word.capitalize() for word in re.findall(r"[A-Z]?[a-z]+", channel))
    return f"A{ARKIT_CHANNELS.index(channel) + 1:02d}_{words}"


def _side_letter(channel: str) -> str:
    return re.sub("Left$", "_L", re.sub("Right$", "_R", channel))


SPELLINGS = {
    "ARKit": str,
    "upper camel case": lambda c: c[0].upper() + c[1:],
    "side letters": _side_letter,
    "side letters with a dot": lambda c: _side_letter(c).replace("_", "."),
    "snake case": lambda c: re.sub(r"(?=[A-Z])", "_", c).lower(),
    "Apple's order": _apple_order,
    "numbered": lambda c: f"AK_{ARKIT_CHANNELS.index(c) + 1:02d}_{c[0].upper()}{c[1:]}",
    "MPFB": lambda c: f"!ex-{c}",
    "mesh name before": lambda c: f"head_geo.{c}",
    "namespace before": lambda c: f"Character:{c}",
    "a copy": lambda c: f"{c}.001",
    "lower case": str.lower,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_channel_is_found_in_every_spelling(spelling: str) -> None:
    names = {channel: SPELLINGS[spelling](channel) for channel in ARKIT_CHANNELS}
    found = match_arkit(names.values())
    assert found.matched == {channel: (name,) for channel, name in names.items()}
    assert found.ignored == ()


def test_split_channels_take_both_halves_unless_there_is_a_whole() -> None:
    assert match_arkit(["browInnerUp_L", "browInnerUp_R"]).matched == {
        "browInnerUp": ("browInnerUp_L", "browInnerUp_R")
    }
    whole = match_arkit(["cheekPuff_L", "cheekPuff", "cheekPuff_R"])
    assert whole.matched == {"cheekPuff": ("cheekPuff",)}
    assert whole.ignored == ("cheekPuff_L", "cheekPuff_R")


def test_a_key_for_both_sides_stands_in_only_where_no_side_has_one() -> None:
    # Ready Player Me ships mouthSmile beside mouthSmileLeft and mouthSmileRight.
    beside = match_arkit(["mouthSmile", "mouthSmileLeft", "mouthSmileRight", "eyesClosed"])
    assert beside.matched["mouthSmileLeft"] == ("mouthSmileLeft",)
    assert beside.matched["eyeBlinkLeft"] == beside.matched["eyeBlinkRight"] == ("eyesClosed",)
    assert beside.ignored == ("mouthSmile",)
    assert match_arkit(["mouthSmile", "mouthSmileLeft"]).matched == {"mouthSmileLeft": ("mouthSmileLeft",)}


def test_words_that_are_not_a_channel_are_ignored() -> None:
    names = ["viseme_aa", "mouthOpen", "smile", "jawOpenCorrective", "eyelidLeft", "mouth"]
    found = match_arkit(names)
    assert found.matched == {}
    assert found.ignored == tuple(names)


@pytest.mark.parametrize(
    ("pattern", "first"),
    [("Exp{}", 1), ("Exp{:03d}", 0), ("exp_{:02d}", 1), ("EXP.{:03d}", 0), ("expression {}", 1), ("Expr-{}", 0)],
)
def test_flame_expressions_count_from_one_or_zero(pattern: str, first: int) -> None:
    names = [f"Shape{i}" for i in range(3)] + [pattern.format(i + first) for i in range(100)]
    found = match_flame(names)
    assert found.matched == {f"exp{i + 1}": (pattern.format(i + first),) for i in range(50)}
    assert found.ignored == tuple(names[:3] + names[53:])


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ("root neck jaw left_eye right_eye", "- neck jaw left_eye right_eye"),
        ("mixamorig:Neck mixamorig:Head mixamorig:HeadTop_End mixamorig:LeftEye", "neck head - left_eye"),
        ("DEF-jaw jaw_master MCH-eye.L eye.L DEF-eye.R lid.L eyebrow.R eyes", "- jaw - left_eye right_eye - - -"),
        ("neck_02 neck_01 head left_eye_smplhf right_eye_smplhf", "- neck head left_eye right_eye"),
        ("CC_Base_NeckTwist01 CC_Base_JawRoot CC_Base_L_Eye CC_Base_R_Eye", "neck jaw left_eye right_eye"),
        ("J_Bip_C_Head J_Adj_L_FaceEye J_Adj_R_FaceEye c_jawbone.x", "head left_eye right_eye jaw"),
        ("neckLower neckUpper head lowerJaw lEye rEye lEyelidUpper", "neck - head jaw left_eye right_eye -"),
        ("spine4 neck1 neck2 head lowerjaw l_eye r_eye l_eyelidupper", "- neck - head jaw left_eye right_eye -"),
        ("spine_05 neck_01 neck_02 head clavicle_l", "- neck - head -"),
        ("head FACIAL_C_Jaw FACIAL_L_Eye FACIAL_R_Eye FACIAL_L_EyeParallel", "head jaw left_eye right_eye -"),
        ("head.x c_head.x jawbone.x c_jawbone.x c_eye.l c_eye_target.l eyelid_top.l", "- head - jaw left_eye - -"),
        ("c_head.x head.x c_jawbone.x jawbone.x c_eye.r c_eye_offset.r", "head - jaw - right_eye -"),
        ("FK-Head DEF-Head FK-Neck Jaw LowerJaw-Jaw CTR-Eye.L AIM-Eye.L TGT-Eye.L", "head - neck jaw - left_eye - -"),
        ("LeftEye RightEye LeftEyeLid eye_target jawline necklace", "left_eye right_eye - - - -"),
    ],
)  # fmt: skip
def test_bones_are_found_by_role(names: str, roles: str) -> None:
    wanted = {role: name for name, role in zip(names.split(), roles.split(), strict=True) if role != "-"}
    assert match_bones(names.split()) == wanted


def test_a_flame_face_is_described(scene: bpy.types.Scene) -> None:
    rig = detect_rig(scenes.flame_face(keys=53))
    assert rig.kind == "FLAME"
    assert rig.problem is None
    assert rig.summary() == [
        "FLAME, 50 of 50 expression keys, jaw bone, eyes, neck",
        "Ignored: Exp51, Exp52, Exp53",
    ]


def test_an_arkit_face_says_what_is_missing(scene: bpy.types.Scene) -> None:
    rig = detect_rig(scenes.arkit_face([c for c in ARKIT_CHANNELS if c != "tongueOut"] + ["viseme_O"], ["head"]))
    assert rig.kind == "ARKIT"
    assert rig.summary() == ["ARKit, 51 of 52 shape keys, head; tongueOut not found", "Ignored: viseme_O"]


def test_the_armature_leads_to_its_face(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    body = scenes.mesh_object("Body", [(0, 0, 0), (1, 0, 0), (0, 1, 0)], ["Smaller"])
    scenes.skin(body, face.parent)
    rig = detect_rig(face.parent)
    assert (rig.object, rig.armature, rig.problem) == (face, face.parent, None)


def test_a_mesh_with_the_same_keys_follows(scene: bpy.types.Scene) -> None:
    face = scenes.arkit_face(bones=["head"])
    for name, key in (("Teeth", "jawOpen"), ("Hat", "Feather")):
        scenes.skin(scenes.mesh_object(name, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [key]), face.parent)
    assert detect_rig(face).summary()[-1] == "Also moves: Teeth"


def test_what_cannot_be_driven_is_said_in_a_sentence(scene: bpy.types.Scene) -> None:
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    deleted = bpy.data.objects.new("Gone", None)
    bpy.data.objects.remove(deleted)
    for obj, words in [
        (None, "No face is chosen"),
        (lamp, "Lamp (Light) is not a mesh"),
        (scenes.mesh_object("Plain", points, []), "Plain has no shape keys"),
        (scenes.mesh_object("Other", points, ["Smile", "jawOpen"]), "Smile, jawOpen"),
        (scenes.armature_object("Bones", {"a": (0, 0, 0)}), "deforms no mesh"),
        (bpy.data.objects.new("Nothing", None), "Nothing is an empty"),
        (deleted, "was deleted"),
    ]:
        rig = detect_rig(obj)
        assert words in (rig.problem or "")
        assert rig.summary() == [rig.problem]
        assert rig.kind == "NONE"


def test_a_linked_face_is_refused_until_it_is_overridden(scene: bpy.types.Scene, tmp_path: Path) -> None:
    linked = scenes.link_face(scenes.flame_face(), tmp_path)
    problem = detect_rig(linked).problem or ""
    assert "Face is linked from hero.blend" in problem
    assert "Library Override" in problem
    override = scenes.override(linked)
    assert "mesh of Face is still linked" in (detect_rig(override).problem or "")
    override.data.override_create(remap_local_usages=True)
    assert detect_rig(override).problem is None


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.parametrize("axes", [scenes.Y_UP, scenes.Z_UP], ids=["y up", "z up"])
def test_axes_follow_the_eyes(axes: np.ndarray, turn: int) -> None:
    # The character may look along any axis: turned about the up axis by quarter turns.
    angle = turn * np.pi / 2
    spin = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    wanted = np.round(axes @ spin)
    left, right, neck = (wanted @ np.array(scenes.JOINTS[name]) for name in ("left_eye", "right_eye", "neck"))
    assert np.array_equal(np.array(axes_from_eyes(left, right, neck)), wanted)


def test_axes_are_measured_on_the_rig(scene: bpy.types.Scene) -> None:
    assert np.array_equal(detect_rig(scenes.flame_face(axes=scenes.Y_UP)).axes, scenes.Y_UP)
    assert np.array_equal(detect_rig(scenes.flame_face(axes=scenes.Z_UP)).axes, scenes.Z_UP)
    assert np.array_equal(detect_rig(scenes.flame_topology_face(axes=scenes.Y_UP)).axes, scenes.Y_UP)
