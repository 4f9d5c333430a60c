# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit of a FLAME mesh's expression keys to ARKit actions."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_cteg.character.axes import rotation_matrix
from blender_cteg.character.choose import mapping_for, resolved
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.fitting.actions import SOURCES, action_displacements
from blender_cteg.character.fitting.fit import (
    Fitted,
    face_points,
    fit_mapping,
    flame_landmarks,
    residual_percent,
)
from blender_cteg.character.fitting.fitted import FIT_PROPERTY, fit_lines, fit_summary, refit, residual_table
from blender_cteg.character.geometry import LANDMARKS_PROPERTY, face_geometry
from blender_cteg.character.mapping import MESH_PROPERTY, Mapping, MappingError

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
    # mouthClose is a displacement of the open mouth: the jaw carries it along.
    opened = face.jaw_weights[marks][:, None] * (arms @ rotation_matrix(turn).T - arms)
    jaw = face.jaw_weights[marks][:, None, None] * (rotation_matrix(turn) - np.eye(3)) + np.eye(3)
    closed = np.einsum("pab,pb->pa", jaw, smile)
    actions = {"mouthSmileLeft": smile, "mouthClose": closed, "jawOpen": opened}
    mapping = fit_mapping(face, actions={c: moved / eye_distance for c, moved in actions.items()}, noise=1e-6)
    for channel in ("mouthSmileLeft", "mouthClose"):
        found = {key: row[channel] for key, row in mapping.shape_keys.items() if channel in row}
        assert found == {"Exp2": pytest.approx(0.7, abs=1e-3), "Exp9": pytest.approx(-1.2, abs=1e-3)}
    np.testing.assert_allclose(mapping.bones["jaw"]["jawOpen"], turn, atol=1e-4)
    assert list(mapping.residual_mm) == list(actions)
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


def test_the_fit_is_reported_kept_and_made_again_when_keys_change(scene: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face()
    rig, clip = detect_rig(face), scenes.arkit_clip()
    mapping = mapping_for(rig, clip)
    assert mapping.residual_mm.keys() == action_displacements().keys()
    percent = residual_percent(mapping)
    # Random expression keys explain something of every action and all of none.
    assert all(0 < value <= 101 for value in percent.values())
    assert mapping.bones["jaw"]["jawOpen"][0] > 0.1
    assert mapping.bones["left_eye"]["eyeLookDownLeft"][0] > 0
    assert set(clip.channels) - mapping.driving() == {"tongueOut"}
    stored = face.data[MESH_PROPERTY]
    assert Mapping.from_json(stored) == mapping
    assert mapping_for(rig, clip) == mapping
    mark = int(flame_landmarks()[54])
    face.data.shape_keys.key_blocks["Exp1"].data[mark].co.x += 0.01
    changed = mapping_for(rig, clip)
    assert changed != mapping
    assert face.data[MESH_PROPERTY] == changed.to_json()


def test_an_edited_mapping_is_kept_and_the_panel_says_so(scene: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face()
    rig, clip = detect_rig(face), scenes.arkit_clip()
    mapping_for(rig, clip)
    edited = Mapping("arkit55", {"Exp1": {"jawOpen": 2.0}}, residual_mm={"jawOpen": 1.0})
    face.data[MESH_PROPERTY] = edited.to_json()
    assert mapping_for(rig, clip) == edited
    assert len(fit_lines(rig, resolved(rig))) == 1
    face.data.shape_keys.key_blocks["Exp1"].data[0].co.x += 0.01
    assert mapping_for(rig, clip) == edited
    assert "Fit Again" in fit_lines(rig, resolved(rig))[1]
    again = refit(rig)
    assert again != edited
    assert mapping_for(rig, clip) == again
    assert len(fit_lines(rig, resolved(rig))) == 1
    # What somebody else stored was never a fit.
    del face.data[FIT_PROPERTY]
    face.data[MESH_PROPERTY] = edited.to_json()
    face.data.shape_keys.key_blocks["Exp1"].data[0].co.x += 0.01
    assert mapping_for(rig, clip) == edited


def test_the_summary_names_the_weakest() -> None:
    percent = {"jawOpen": 5.0, "cheekPuff": 60.0, "mouthRollLower": 40.0, "browInnerUp": 30.0}
    sizes = residual_percent(Mapping("arkit55", residual_mm=dict.fromkeys(percent, 1.0)))
    mapping = Mapping("arkit55", residual_mm={c: value / sizes[c] for c, value in percent.items()})
    assert fit_summary(mapping) == ["Fit: 1 of 4 actions within 20 %; weakest: cheekPuff, mouthRollLower and 1 more"]
    assert [row[0] for row in residual_table(mapping)][:2] == ["cheekPuff", "mouthRollLower"]
    assert fit_summary(Mapping("arkit55")) == []


def test_landmarks_come_from_the_mesh_where_it_lists_them(scene: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face(extra=1)  # not FLAME's topology
    rig, clip = detect_rig(face), scenes.arkit_clip()
    with pytest.raises(MappingError, match="'cteg_landmarks'"):
        mapping_for(rig, clip)
    assert MESH_PROPERTY not in face.data
    for wrong in ([1, 2, 3], [0] * 68, "what", list(range(10**6, 10**6 + 68))):
        face.data[LANDMARKS_PROPERTY] = wrong
        with pytest.raises(MappingError, match="'cteg_landmarks'"):
            mapping_for(rig, clip)
    face.data[LANDMARKS_PROPERTY] = flame_landmarks().tolist()
    assert mapping_for(detect_rig(face), clip).bones["jaw"]["jawOpen"][0] > 0.1


@pytest.mark.parametrize("source", SOURCES)
def test_displacements_are_those_of_a_face(source: str) -> None:
    actions = action_displacements(source)
    # FLAME axes: y up, x to the character's left. Landmark 8 is the chin, 54 and 48 the left and right mouth corners.
    assert actions["jawOpen"][8, 1] < -0.3
    assert actions["mouthSmileLeft"][54, 1] > 0.1 > actions["mouthSmileLeft"][48, 1]
    assert actions["mouthSmileLeft"][54, 0] > 0 > actions["mouthSmileRight"][48, 0]
    assert actions["jawLeft"][8, 0] > 0.05
    assert actions["browInnerUp"][[21, 22], 1].min() > 0.04


def test_a_point_is_where_its_vertices_are(scene: bpy.types.Scene) -> None:
    face = face_geometry(detect_rig(scenes.flame_topology_face()))
    points = face_points(face)  # random vertices have no skin: the landmarks alone
    np.testing.assert_array_equal(points.of(face.vertices), face.vertices[flame_landmarks()])
    assert Fitted.of(face, points).basis.shape == (3 * 68, len(face.offsets))


def test_broken_geometry_is_refused_and_nothing_is_kept(scene: bpy.types.Scene) -> None:
    face = scenes.flame_topology_face()
    rig, clip = detect_rig(face), scenes.arkit_clip()
    block = face.data.shape_keys.key_blocks["Exp3"]
    mark = int(flame_landmarks()[30])
    block.data[mark].co.x = float("nan")
    with pytest.raises(MappingError, match="not a number"):
        mapping_for(rig, clip)
    block.data[mark].co.x = 0.0
    face.data.shape_keys.reference_key.data.foreach_set("co", np.zeros(3 * len(face.data.vertices), np.float32))
    with pytest.raises(MappingError, match="one place"):
        mapping_for(rig, clip)
    assert MESH_PROPERTY not in face.data
