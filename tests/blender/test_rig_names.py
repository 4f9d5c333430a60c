# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of rigs, each by the names that its exporters are publicly known to give to keys and bones, with the limits and
drivers that they come with: found without a manual step, and seen to do what they say. ``data/rig_names.json``: kind ->
key -> the channels that it is for, "-" before what it does below zero. Of others the presets that ship have the names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest

from benchmarks import rigs
from blender_cteg.character import measuring
from blender_cteg.character.choose import judged, mapping_for, resolved, unverified
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.detection.naming import match_arkit
from blender_cteg.character.direct import EYE_TURNS, JAW_TURNS
from blender_cteg.character.effects import sentence
from blender_cteg.character.mapping_edits import targets_of
from blender_cteg.character.presets import preset
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import Style
from blender_cteg.shared import ARKIT_CHANNELS

from . import scenes

KINDS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "data" / "rig_names.json").read_text(encoding="utf-8")
)
for _preset in map(preset, ("character_creator", "character_creator_extended", "ready_player_me", "vrm", "vroid")):
    KINDS[_preset.label] = {
        key: " ".join(f"-{channel}" if weight < 0 else channel for channel, weight in row.items())
        for key, row in _preset.mapping.shape_keys.items()
    }
SOURCE = rigs.plain_source()


def driving(kind: str) -> dict[str, set[tuple[str, bool]]]:
    """Channel -> its keys, and whether they go below zero."""
    found: dict[str, set[tuple[str, bool]]] = {}
    for name, channels in KINDS[kind].items():
        for channel in channels.split():
            found.setdefault(channel.removeprefix("-"), set()).add((name, channel.startswith("-")))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_names_is_understood(kind: str) -> None:
    found = match_arkit(KINDS[kind])
    assert {c: {(n, (c, n) in found.backwards) for n in of} for c, of in found.matched.items()} == driving(kind)


def built(kind: str) -> rigs.Spoilt:
    """A face of formulas under the names of a kind."""
    measuring.forget()
    rig = rigs.sound(SOURCE)
    face, keys = rig.face, rig.face.data.shape_keys.key_blocks
    parts = Counter(c.removeprefix("-") for channels in KINDS[kind].values() for c in channels.split())
    for name, channels in KINDS[kind].items():
        offsets = np.zeros_like(SOURCE.vertices)
        for channel in channels.split():
            one = channel.removeprefix("-")
            action = SOURCE.actions[ARKIT_CHANNELS.index(one)] / parts[one]
            offsets += -action if channel.startswith("-") else action
        block = face.shape_key_add(name=name)
        block.data.foreach_set("co", ((SOURCE.vertices + offsets) @ rigs.Z_UP.T).astype(np.float32).ravel())
        block.value = 0.0
    for channel in set(rig.truth) - KINDS[kind].keys():
        face.shape_key_remove(keys[channel])
    return rig


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_names_is_seen_to_do_what_it_says(scene: bpy.types.Scene, kind: str) -> None:
    face = built(kind).face
    found = detect_rig(face)
    assert (found.kind, found.problem) == ("ARKIT", None)
    measuring.measure(scene, found, unverified(found))
    mapping = resolved(found)
    wrong = {c: sentence(c, v) for c, v in judged(found, mapping).items() if sentence(c, v) and c != "tongueOut"}
    assert wrong == {}
    driven = mapping.driving()
    assert driven >= driving(kind).keys() - {"tongueOut"}
    weights = {c: [t.value for t in targets_of(mapping, c) if t.kind == "KEY"] for c in driving(kind)}
    assert {c for c, row in weights.items() if any(w < 0 for w in row)} == {
        c for c, of in driving(kind).items() if any(back for _, back in of) and c != "tongueOut"
    }


def test_half_a_shape_is_no_whole_one() -> None:
    halves = [f"facs_bs_{name}" for name in ("MouthRollLowerLeft", "MouthRollLowerRight", "BrowDownLeft", "JawOpen")]
    assert match_arkit(halves).matched["mouthRollLower"] == tuple(halves[:2])
    assert match_arkit(["mouthFunnelUpperLeft", "mouthFunnelUpperRight"]).matched == {
        "mouthFunnel": ("mouthFunnelUpperLeft", "mouthFunnelUpperRight")
    }


def _limited(rig: rigs.Spoilt, bones: dict[str, str], keys: dict[str, list[str]]) -> None:
    """What Daz's figures bring along: limits about each axis, and no bone that moves."""
    for name in bones.values():
        bone = rig.face.parent.pose.bones[name]
        bone.lock_location, bone.rotation_mode = (True, True, True), "YZX"
        limit = bone.constraints.new("LIMIT_ROTATION")
        limit.owner_space = "LOCAL"
        for axis in "xyz":
            setattr(limit, f"use_limit_{axis}", True)
            setattr(limit, f"min_{axis}", -0.7)
            setattr(limit, f"max_{axis}", 0.7)


def _driven(rig: rigs.Spoilt, bones: dict[str, str], keys: dict[str, list[str]]) -> None:
    """What tools for Character Creator add: jaw and eyes that the keys' values turn."""
    armature = rig.face.parent
    for role, turns in {**EYE_TURNS, "jaw": {"jawOpen": JAW_TURNS["jawOpen"]}}.items():
        bone = armature.pose.bones[bones[role]]
        bone.rotation_mode = "XYZ"
        into = np.array(bone.bone.matrix_local.to_3x3()).T @ rigs.Z_UP
        for axis in range(3):
            driver, terms = bone.driver_add("rotation_euler", axis).driver, []
            for channel, turn in turns.items():
                for name in keys[channel]:
                    variable = driver.variables.new()
                    variable.targets[0].id_type, variable.targets[0].id = "KEY", rig.face.data.shape_keys
                    variable.targets[0].data_path = f'key_blocks["{name}"].value'
                    terms.append(f"{variable.name} * {(into @ turn)[axis] / len(keys[channel]):.4f}")
            driver.expression = " + ".join(terms)


def _jaw(rig: rigs.Spoilt, name: str) -> bpy.types.Object:
    """Teeth that hang on a jaw bone of this name."""
    armature = rig.face.parent
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    jaw = armature.data.edit_bones.new(name)
    jaw.head, jaw.tail, jaw.parent = (0, 0.05, -0.03), (0, -0.01, -0.1), armature.data.edit_bones["head"]
    bpy.ops.object.mode_set(mode="OBJECT")
    places = [(0.01 * x, -0.003 * z, -0.07 - 0.004 * y) for x in (-2, -1, 0, 1, 2) for y in (0, 1) for z in (0, 1)]
    teeth = bpy.data.objects.new("Teeth", bpy.data.meshes.new("Teeth"))
    teeth.data.from_pydata(places, [], [(i, i + 1, i + 3, i + 2) for i in range(0, 16, 2)])
    bpy.context.scene.collection.objects.link(teeth)
    scenes.skin(teeth, armature)
    teeth.vertex_groups.new(name=name).add(range(len(places)), 1.0, "REPLACE")
    return teeth


Dress = Callable[[rigs.Spoilt, dict[str, str], dict[str, list[str]]], None]
#: Kind of names, the bones of head, neck, eyes and jaw ("-" without one), and what else such rigs have.
SKELETONS: dict[str, tuple[str, str, Dress | None]] = {
    "Daz Genesis 8": ("Daz Genesis 8.1, FACS, in Blender", "head neckLower lEye rEye lowerJaw", _limited),
    "Daz Genesis 9": ("Daz Genesis 9, FACS, after the figure's name", "head neck1 l_eye r_eye lowerjaw", _limited),
    "Character Creator": (
        "Character Creator, A01_", "CC_Base_Head CC_Base_NeckTwist01 CC_Base_L_Eye CC_Base_R_Eye CC_Base_JawRoot",
        None,
    ),
    "Character Creator, with drivers": (
        "Character Creator, extended", "CC_Base_Head CC_Base_NeckTwist01 CC_Base_L_Eye CC_Base_R_Eye CC_Base_JawRoot",
        _driven,
    ),
    "VRoid": ("VRoid, Fcl_", "J_Bip_C_Head J_Bip_C_Neck J_Adj_L_FaceEye J_Adj_R_FaceEye -", None),
    "Ready Player Me": ("Ready Player Me", "Head Neck LeftEye RightEye -", None),
    "Mixamo": ("Face Cap", "mixamorig:Head mixamorig:Neck mixamorig:LeftEye mixamorig:RightEye -", None),
    "MetaHuman": ("MetaHuman, FBX", "head neck_01 FACIAL_L_Eye FACIAL_R_Eye FACIAL_C_Jaw", None),
    "Unreal": ("SRanipal", "head neck_01 - - -", None),
    "SMPL-X": ("Meta Quest", "head neck left_eye_smplhf right_eye_smplhf jaw", None),
}  # fmt: skip


@pytest.mark.parametrize("kind", SKELETONS)
def test_every_kind_of_skeleton_turns_with_its_keys(scene: bpy.types.Scene, kind: str) -> None:
    names, bones, dress = SKELETONS[kind]
    rig, of = built(names), dict(zip(("head", "neck", "left_eye", "right_eye", "jaw"), bones.split(), strict=True))
    face, armature = rig.face, rig.face.parent
    of = {role: name for role, name in of.items() if name != "-"}
    teeth = _jaw(rig, of["jaw"]) if "jaw" in of else None
    for before, role in (("head", "head"), ("neck", "neck"), ("eye.L", "left_eye"), ("eye.R", "right_eye")):
        armature.data.bones[before].name = of.get(role, f"spare {before}")
    if dress is not None:
        dress(rig, of, {channel: [name for name, _ in named] for channel, named in driving(names).items()})
    found = detect_rig(face)
    assert (found.kind, found.problem, found.bones) == ("ARKIT", None, of)
    measuring.measure(scene, found, unverified(found))
    mapping = mapping_for(found, scenes.arkit_clip())
    said = {c: sentence(c, v) for c, v in judged(found, mapping).items() if sentence(c, v)}
    if "left_eye" not in of:  # the eyes that these keys do not turn
        said = {c: why for c, why in said.items() if "the eye does not turn" not in why}
    assert said.keys() <= {"tongueOut"}
    Lines(scene, found, mapping).add([scenes.arkit_clip()], 1, Style("BEZIER", 0.0), text="Hello", widen=True)
    scene.frame_set(12)
    posed = scenes.evaluated(armature).pose.bones
    turned = {role for role, name in of.items() if posed[name].matrix_basis.to_quaternion().angle > 0.03}
    assert turned >= of.keys() - {"neck"}
    if teeth is not None:
        places = scenes.evaluated(teeth).data.vertices
        assert min(v.co.z for v in places) < min(v.co.z for v in teeth.data.vertices) - 0.005, "they open with the jaw"
