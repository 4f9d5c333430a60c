# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips and mappings, without Blender's data except where a mesh stores a mapping."""

from __future__ import annotations

import json
import math

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from blender_cteg.character.choose import mapping_for, resolved
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import MESH_PROPERTY, Mapping, MappingError
from blender_cteg.clip import Clip, ClipError
from blender_cteg.shared import ARKIT_CHANNELS, HEAD_CHANNELS
from generator.shared.spaces import ARKIT55, FLAME53

from . import characters, scenes

EXAMPLE = Mapping(
    "arkit55",
    {"Exp1": {"mouthSmileLeft": 0.8, "jawOpen": -0.25}, 'Grün "2"': {"browInnerUp": 1.5}},
    {"jaw": {"jawOpen": (0.4, 0.0, 0.01)}, "neck": {"headPitch": (1.0, 0.0, 0.0)}, "left_eye": {}},
    {"jawOpen": 0.7},
)


def test_channels_are_those_of_the_generator() -> None:
    assert ARKIT55.channels == ARKIT_CHANNELS + HEAD_CHANNELS
    assert scenes.flame_clip().channels == FLAME53.channels


def test_mapping_survives_json() -> None:
    assert Mapping.from_json(EXAMPLE.to_json()) == EXAMPLE
    with pytest.raises(MappingError, match="finite"):
        Mapping("arkit55", {"Exp1": {"jawOpen": math.inf}}).to_json()


def test_a_lone_surrogate_reaches_nothing_of_blenders(scene: bpy.types.Scene) -> None:
    # Blender crashes on text that is not UTF-8.
    broken = Mapping.from_json(EXAMPLE.to_json().replace("Exp1", "Exp\\ud8001"))
    assert "Exp?1" in broken.shape_keys
    face = scenes.flame_face()
    face.data[MESH_PROPERTY] = broken.to_json()
    assert detect_rig(face).problem is None
    assert resolved(detect_rig(face)) == broken
    assert Mapping("arkit55", {"A\ud800": {"jawOpen": 1.0}}).to_json().isascii()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 5}, "schema_version 5"),
        ({"source_space": None}, "source_space"),
        ({"shape_keys": []}, "shape_keys is []"),
        ({"shape_keys": {"Exp1": 0.5}}, "'Exp1' is 0.5"),
        ({"shape_keys": {"Exp1": {"jawOpen": "big"}}}, "Exp1 from jawOpen is 'big'"),
        ({"shape_keys": {"Exp1": {"jawOpen": math.nan}}}, "it holds NaN where a number belongs"),
        ({"shape_keys": {"Exp1": {"jawOpen": 10**400}}}, "a number of 401 digits"),
        ({"bones": {"tail": {}}}, "'tail'"),
        ({"bones": {"jaw": {"jawOpen": [1, 2]}}}, "jaw from jawOpen is [1, 2]"),
        ({"residual_mm": 3}, "residual_mm is 3"),
    ],
)
def test_damaged_mappings_are_named(change: dict[str, object], words: str) -> None:
    damaged = json.dumps(json.loads(EXAMPLE.to_json()) | change)
    with pytest.raises(MappingError, match=words.replace("[", r"\[").replace("]", r"\]")):
        Mapping.from_json(damaged)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, 7, None])
def test_what_is_no_mapping_at_all_is_said(text: object) -> None:
    with pytest.raises(MappingError, match=r"not (JSON|a JSON object)|nested too deeply|not text"):
        Mapping.from_json(text)


def test_apply_is_linear_and_lists_what_it_leaves_out() -> None:
    clip = scenes.arkit_clip()
    performance = EXAMPLE.apply(clip)
    smile, jaw = clip.channel("mouthSmileLeft"), clip.channel("jawOpen")
    np.testing.assert_allclose(performance.shape_keys["Exp1"], 0.8 * smile - 0.25 * jaw, atol=1e-6)
    np.testing.assert_allclose(performance.bones["jaw"], np.outer(jaw, (0.4, 0, 0.01)), atol=1e-6)
    driven = {"mouthSmileLeft", "jawOpen", "browInnerUp", "headPitch"}
    assert EXAMPLE.driving() == driven
    with pytest.raises(MappingError, match="flame53"):
        EXAMPLE.apply(scenes.flame_clip())


def test_head_angles_become_one_rotation() -> None:
    clip = scenes.arkit_clip()
    straight = {"headPitch": (1.0, 0.0, 0.0), "headYaw": (0.0, 1.0, 0.0), "headRoll": (0.0, 0.0, 1.0)}
    vectors = Mapping("arkit55", bones={"neck": straight}).apply(clip).bones["neck"]
    pitch, yaw, roll = (clip.channel(name) for name in HEAD_CHANNELS)
    for frame in range(clip.frames):
        # docs/architecture.md: R = Ry(yaw) Rx(pitch) Rz(roll).
        x, y, z = (Matrix.Rotation(a[frame], 3, axis) for a, axis in ((pitch, "X"), (yaw, "Y"), (roll, "Z")))
        np.testing.assert_allclose(scenes.turned(vectors[frame]), np.array(y @ x @ z), atol=1e-5)


def test_arkit_faces_map_by_name(scene: bpy.types.Scene) -> None:
    names = [c for c in ARKIT_CHANNELS if c not in ("browInnerUp", "tongueOut", "mouthSmileLeft", "mouthSmileRight")]
    face = scenes.arkit_face(
        [*names, "browInnerUp_L", "browInnerUp_R", "mouthSmile"], ["neck", "head", "eye.L", "eye.R"]
    )
    rig, clip = detect_rig(face), scenes.arkit_clip()
    mapping = mapping_for(rig, clip)
    performance = mapping.apply(clip)
    for half in ("browInnerUp_L", "browInnerUp_R"):
        np.testing.assert_array_equal(performance.shape_keys[half], clip.channel("browInnerUp"))
    both = (clip.channel("mouthSmileLeft") + clip.channel("mouthSmileRight")) / 2
    np.testing.assert_allclose(performance.shape_keys["mouthSmile"], both, atol=1e-6)
    # Eyes stay on their keys, so the eye bones stay the animator's.
    assert set(performance.bones) == {"head"}
    assert set(clip.channels) - mapping.driving() == {"tongueOut"}


def test_bones_stand_in_for_missing_arkit_keys(scene: bpy.types.Scene) -> None:
    names = [c for c in ARKIT_CHANNELS if not c.startswith(("jaw", "eyeLook"))]
    rig = detect_rig(scenes.arkit_face(names, ["neck", "jaw", "eye.L", "eye.R"]))
    performance = mapping_for(rig, scenes.arkit_clip()).apply(scenes.arkit_clip())
    assert set(performance.bones) == {"neck", "jaw", "left_eye", "right_eye"}
    assert (performance.bones["jaw"][:, 0] >= 0).all()


def test_flame_clips_drive_flame_faces_directly(scene: bpy.types.Scene) -> None:
    clip = scenes.flame_clip()
    performance = mapping_for(detect_rig(scenes.flame_face()), clip).apply(clip)
    np.testing.assert_array_equal(performance.shape_keys["Exp7"], clip.channel("exp7"))
    np.testing.assert_array_equal(performance.bones["jaw"], clip.values[:, 50:])


def test_a_stored_mapping_comes_first(scene: bpy.types.Scene) -> None:
    face = scenes.flame_face()
    face.data[MESH_PROPERTY] = EXAMPLE.to_json()
    assert mapping_for(detect_rig(face), scenes.arkit_clip()) == EXAMPLE
    # It says nothing about clips of another space.
    assert mapping_for(detect_rig(face), scenes.flame_clip()).source_space == "flame53"
    face.data[MESH_PROPERTY] = '{"schema_version": 9}'
    with pytest.raises(MappingError, match=r"stored on Face .*schema_version 9.*custom property"):
        mapping_for(detect_rig(face), scenes.arkit_clip())


def test_one_mapping_is_resolved_for_everybody(scene: bpy.types.Scene) -> None:
    armature = characters.arkit_character()
    rig, clip = detect_rig(armature), scenes.arkit_clip()
    assert resolved(rig) == mapping_for(rig, clip)
    assert {"left_eye", "right_eye", "head"} == set(resolved(rig).bones), "eyeballs that hang on bones are turned"
    assert "tongueOut" in resolved(rig).shape_keys, "the tongue is the teeth's"
    flame = detect_rig(scenes.flame_topology_face())
    assert resolved(flame) is None, "a fit takes its time"
    assert resolved(flame, "flame53") == mapping_for(flame, scenes.flame_clip())
    mapping_for(flame, clip)
    assert resolved(flame).origin == "fit"


def test_no_way_is_said(scene: bpy.types.Scene) -> None:
    with pytest.raises(MappingError, match="no face was found"):
        mapping_for(detect_rig(scenes.flame_face()), scenes.arkit_clip())
    with pytest.raises(MappingError, match="flame53 and Avatar is an ARKit face"):
        mapping_for(detect_rig(scenes.arkit_face()), scenes.flame_clip())
    with pytest.raises(MappingError, match="No face is chosen"):
        mapping_for(detect_rig(None), scenes.arkit_clip())


@pytest.mark.parametrize(
    ("values", "channels", "fps", "words"),
    [
        (np.zeros((0, 2)), ("a", "b"), 24, "at least one frame"),
        (np.zeros(3), ("a",), 24, "at least one frame"),
        (np.zeros((4, 2)), ("a",), 24, "2 columns but 1 channel"),
        (np.zeros((4, 2)), ("a", "a"), 24, "'a' twice"),
        (np.array([[0, 0], [0, np.nan]]), ("a", "b"), 24, "b is not a finite number at frame 1"),
        (np.zeros((4, 1)), ("a",), 0, "frames per second"),
    ],
)
def test_clips_refuse_what_cannot_be_performed(
    values: np.ndarray, channels: tuple[str, ...], fps: float, words: str
) -> None:
    with pytest.raises(ClipError, match=words):
        Clip(values, channels, fps, "arkit55")
