# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit of a FLAME mesh's expression keys to ARKit actions."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_cteg.rigs.choose import mapping_for
from blender_cteg.rigs.detect import detect_rig
from blender_cteg.rigs.fit import action_displacements, fit_mapping, flame_landmarks, residual_percent, rotation_matrix
from blender_cteg.rigs.geometry import face_geometry
from blender_cteg.rigs.mapping import MESH_PROPERTY, Mapping

from . import scenes


@pytest.mark.parametrize("axes", [scenes.Z_UP, scenes.Y_UP], ids=["z up", "y up"])
def test_known_coefficients_are_found_again(scene: bpy.types.Scene, axes: np.ndarray) -> None:
    face = face_geometry(detect_rig(scenes.flame_topology_face(axes=axes)))
    marks = flame_landmarks()
    points = face.vertices[marks]
    eye_distance = np.linalg.norm(points[42:48].mean(0) - points[36:42].mean(0))
    smile = 0.7 * face.offsets["Exp2"][marks] - 1.2 * face.offsets["Exp9"][marks]
    assert face.jaw_weights is not None
    turn = np.array([0.3, 0.05, -0.02])
    arms = points - face.jaw_joint
    opened = face.jaw_weights[marks][:, None] * (arms @ rotation_matrix(turn).T - arms)
    actions = {"mouthSmileLeft": smile / eye_distance, "jawOpen": opened / eye_distance}
    mapping = fit_mapping(face, actions=actions, noise=1e-6)
    found = {key: row["mouthSmileLeft"] for key, row in mapping.shape_keys.items() if "mouthSmileLeft" in row}
    assert found == {"Exp2": pytest.approx(0.7, abs=1e-3), "Exp9": pytest.approx(-1.2, abs=1e-3)}
    np.testing.assert_allclose(mapping.bones["jaw"]["jawOpen"], turn, atol=1e-4)
    assert all(residual < 0.01 for residual in mapping.residual_mm.values())


def test_a_jaw_key_stands_in_for_a_jaw_bone(scene: bpy.types.Scene) -> None:
    obj = scenes.flame_topology_face()
    obj.parent.data.bones["jaw"].name = "chin"
    obj.shape_key_add(name="jawOpen").data.foreach_set("co", np.zeros(3 * len(obj.data.vertices), np.float32))
    face = face_geometry(detect_rig(obj))
    # The key pulls all points to the origin; the action does that and a little of Exp3.
    points = face.vertices[flame_landmarks()]
    eye_distance = np.linalg.norm(points[42:48].mean(0) - points[36:42].mean(0))
    action = (-points + 0.5 * face.offsets["Exp3"][flame_landmarks()]) / eye_distance
    mapping = fit_mapping(face, actions={"jawOpen": action}, noise=1e-6)
    assert "jaw" not in mapping.bones
    assert mapping.shape_keys.keys() == {"jawOpen", "Exp3"}
    assert mapping.shape_keys["jawOpen"]["jawOpen"] == 1.0
    assert mapping.shape_keys["Exp3"]["jawOpen"] == pytest.approx(0.5, abs=1e-3)


def test_the_fit_is_reported_kept_and_used_again(scene: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face()
    rig, clip = detect_rig(face), scenes.arkit_clip()
    mapping = mapping_for(rig, clip)
    assert mapping.residual_mm.keys() == action_displacements().keys()
    percent = residual_percent(mapping)
    # Random expression keys explain something of every action and all of none.
    assert all(0 < value <= 101 for value in percent.values())
    assert mapping.bones["jaw"]["jawOpen"][0] > 0.1
    assert mapping.bones["left_eye"]["eyeLookDownLeft"][0] > 0
    assert mapping.unmatched(clip.channels) == ("tongueOut",)
    assert Mapping.from_json(face.data[MESH_PROPERTY]) == mapping
    face.data.shape_keys.key_blocks["Exp1"].data[0].co.x += 1.0
    assert mapping_for(rig, clip) == mapping


def test_displacements_are_those_of_a_face() -> None:
    actions = action_displacements()
    # FLAME axes: y up, x to the character's left. Landmark 8 is the chin, 54 and 48 the left and right mouth corners.
    assert actions["jawOpen"][8, 1] < -0.3
    assert actions["mouthSmileLeft"][54, 1] > 0.1 > actions["mouthSmileLeft"][48, 1]
    assert actions["mouthSmileLeft"][54, 0] > 0 > actions["mouthSmileRight"][48, 0]
    assert actions["jawLeft"][8, 0] > 0.05
    assert actions["browInnerUp"][[21, 22], 1].min() > 0.04
