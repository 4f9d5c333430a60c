# SPDX-License-Identifier: GPL-3.0-or-later
"""What else moves, or holds, a face while one channel is looked at: drivers, bones, other objects, modifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bmesh
import bpy
import numpy as np
import pytest
from mathutils import Vector

from benchmarks import rigs
from blender_cteg.character import measuring
from blender_cteg.character.choose import doubts, resolved
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.detection.naming import match_arkit
from blender_cteg.shared import ARKIT_CHANNELS

from .test_effects import SOURCE, called, complaints, drive, keyed, merging


@pytest.fixture
def rig(scene: bpy.types.Scene) -> rigs.Spoilt:
    """A sound ARKit face with eye bones, drawn by formulas."""
    measuring.forget()
    return rigs.sound(SOURCE)


def blocks(rig: rigs.Spoilt) -> Any:
    return rig.face.data.shape_keys.key_blocks


@pytest.mark.parametrize("value", [0.02, 0.3, 1.0])
def test_a_key_that_is_held_somewhere_says_nothing_of_the_others(rig: rigs.Spoilt, value: float) -> None:
    """As a jaw that a property opens, or a blink that the frame drives."""
    for channel in ("jawOpen", "eyeBlinkLeft"):
        blocks(rig)[channel].driver_add("value").driver.expression = str(value)
    assert complaints(rig) == {c: f"{c} moves nothing." for c in ("jawOpen", "eyeBlinkLeft")}
    assert len(keyed(rig)) == 52


def follower(rig: rigs.Spoilt, channels: tuple[str, ...]) -> Any:
    """A copy of what these channels move, as brows, lashes or teeth are objects of their own."""
    rest = np.array([vertex.co for vertex in rig.face.data.vertices])
    moved = [np.linalg.norm(np.array([p.co for p in blocks(rig)[c].data]) - rest, axis=1) for c in channels]
    own = np.flatnonzero(np.max([m / m.max() for m in moved], axis=0) > 0.3)
    mesh = bpy.data.meshes.new("Beside")
    mesh.from_pydata([*map(tuple, rest[own])], [], [(k, k + 1, k + 2) for k in range(0, len(own) - 2, 3)])
    obj = bpy.data.objects.new("Beside", mesh)
    bpy.context.scene.collection.objects.link(obj)
    obj.parent, obj.matrix_world = rig.face.parent, rig.face.matrix_world
    obj.shape_key_add(name="Basis")
    for channel in channels:
        block = obj.shape_key_add(name=channel, from_mix=False)
        for point, k in zip(block.data, own.tolist(), strict=True):
            point.co = blocks(rig)[channel].data[k].co
        block.value = 0.0
    return obj


@pytest.mark.parametrize("channels", [("browDownLeft", "browOuterUpLeft"), ("eyeBlinkLeft", "eyeBlinkRight")])
def test_another_object_whose_keys_are_crossed_is_named(rig: rigs.Spoilt, channels: tuple[str, str]) -> None:
    theirs = follower(rig, channels).data.shape_keys.key_blocks
    assert complaints(rig) == {}
    theirs[channels[0]].name, theirs[channels[1]].name = "…", channels[0]
    theirs["…"].name = channels[1]
    measuring.forget()
    assert complaints(rig) == {c: f"{c} does not move Beside as it moves the skin there." for c in channels}
    assert keyed(rig).keys() >= set(channels)


def test_teeth_that_a_driver_closes_as_the_jaw_opens_are_named(rig: rigs.Spoilt) -> None:
    teeth = follower(rig, ("jawOpen",)).data.shape_keys.key_blocks["jawOpen"]
    teeth.slider_min = -1.0
    curve = drive(teeth, "value", "v", "jawOpen", rig)
    assert complaints(rig) == {}
    curve.driver.expression = "-v"
    measuring.forget()
    assert complaints(rig) == {"jawOpen": "jawOpen does not move Beside as it moves the skin there."}


def with_a_jaw(rig: rigs.Spoilt) -> Any:
    """A jaw bone that carries what jawOpen moves, and whose key is empty then."""
    armature = rig.face.parent
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    edited = armature.data.edit_bones
    eyes = [edited[name].head.copy() for name in ("eye.L", "eye.R")]
    across, middle = (eyes[0] - eyes[1]).length, (eyes[0] + eyes[1]) / 2
    jaw = edited.new("mandible")
    jaw.head = middle + Vector((0.0, 1.1, -0.6)) * across
    jaw.tail, jaw.parent = jaw.head + Vector((0.0, -1.0, -0.5)) * across, edited["head"]
    bpy.ops.object.mode_set(mode="OBJECT")
    rest, opened = (np.array([p.co for p in blocks(rig)[name].data]) for name in ("Basis", "jawOpen"))
    far = np.linalg.norm(opened - rest, axis=1)
    weights = far / far.max()
    groups = rig.face.vertex_groups
    ours = groups.new(name="mandible")
    for k in np.flatnonzero(weights > 0.02).tolist():
        ours.add([k], float(weights[k]), "REPLACE")
        groups["head"].add([k], float(1.0 - weights[k]), "REPLACE")
    rigs._changed(rig, "jawOpen", 0.0)
    bone = armature.pose.bones["mandible"]
    bone.rotation_mode = "XYZ"
    return bone


def opening(bone: Any) -> np.ndarray:
    """The turn that opens it, about its own axes."""
    return 0.45 * np.array(bone.bone.matrix_local.to_3x3()).T @ (1.0, 0.0, 0.0)


def turned_by_key(bone: Any, channel: str, rig: rigs.Spoilt) -> None:
    for index, angle in enumerate(opening(bone)):
        drive(bone, "rotation_euler", f"v * {angle:.5f}", channel, rig, index)


def turned_by_property(bone: Any, channel: str, rig: rigs.Spoilt) -> None:
    armature = rig.face.parent
    armature["opened"] = 0.0
    drive(armature, '["opened"]', "v", channel, rig)
    for index, angle in enumerate(opening(bone)):
        curve = bone.driver_add("rotation_euler", index)
        variable = curve.driver.variables.new()
        variable.name, variable.targets[0].id, variable.targets[0].data_path = "v", armature, '["opened"]'
        curve.driver.expression = f"v * {angle:.5f}"


def turned_by_influence(bone: Any, channel: str, rig: rigs.Spoilt) -> None:
    constraint = bone.constraints.new("LIMIT_ROTATION")
    constraint.owner_space = "LOCAL"
    for axis, angle in zip("xyz", opening(bone), strict=True):
        setattr(constraint, f"use_limit_{axis}", True)
        setattr(constraint, f"min_{axis}", angle)
        setattr(constraint, f"max_{axis}", angle)
    drive(constraint, "influence", "v", channel, rig)


@pytest.mark.parametrize(
    ("channel", "turned"),
    [
        ("jawOpen", turned_by_key),
        ("jawOpen", turned_by_influence),
        ("cheekPuff", turned_by_property),
        ("cheekPuff", turned_by_influence),
    ],
)
def test_a_key_that_turns_a_bone_is_looked_at_with_it(
    rig: rigs.Spoilt, channel: str, turned: Callable[[Any, str, rigs.Spoilt], None]
) -> None:
    """As Character Creator's jaws: an empty key, and a driver that opens the bone."""
    turned(with_a_jaw(rig), channel, rig)
    said = complaints(rig)
    if channel == "jawOpen":
        assert said == {} and "jawOpen" in keyed(rig)
    else:
        assert said.keys() == {"jawOpen", "cheekPuff"} and "cheekPuff" not in keyed(rig)


def test_a_bone_that_its_driver_turns_the_other_way_is_noticed(rig: rigs.Spoilt) -> None:
    bone = with_a_jaw(rig)
    bone.name = "jaw"
    turned_by_key(bone, "jawOpen", rig)
    assert complaints(rig) == {}
    for curve in rig.face.parent.animation_data.drivers:
        curve.driver.expression = f"-({curve.driver.expression})"
    assert "jawOpen" in complaints(rig)


def test_a_hidden_part_is_told(rig: rigs.Spoilt) -> None:
    beside = follower(rig, ("browDownLeft", "browOuterUpLeft"))
    beside.hide_set(True)
    assert complaints(rig) == {}
    (said,) = doubts(detect_rig(rig.face), resolved(detect_rig(rig.face)))
    assert said == "Hidden, so nobody could look whether it goes with the face: Beside."
    beside.hide_set(False)
    complaints(rig)
    assert doubts(detect_rig(rig.face), resolved(detect_rig(rig.face))) == []


def test_an_armature_that_is_being_edited_is_looked_at_when_that_is_over(rig: rigs.Spoilt) -> None:
    bpy.context.view_layer.objects.active = rig.face.parent
    bpy.ops.object.mode_set(mode="EDIT")
    complaints(rig)
    found = detect_rig(rig.face)
    said = "is being edited, so nobody can look whether its channels do what they are called."
    assert [sentence for sentence in doubts(found, resolved(found)) if said in sentence]
    bpy.ops.object.mode_set(mode="OBJECT")
    assert complaints(rig) == {}
    found = detect_rig(rig.face)
    assert doubts(found, resolved(found)) == [] and keyed(rig).keys() >= {"headYaw", "eyeLookInLeft"}


def test_what_cannot_be_compared_is_told(rig: rigs.Spoilt) -> None:
    called(rig, "jawOpen", "browInnerUp")
    rig.face.modifiers.new("Merge", "NODES").node_group = merging(0.02 * max(rig.face.dimensions))
    complaints(rig)
    found = detect_rig(rig.face)
    assert [said for said in doubts(found, resolved(found)) if "makes more or fewer vertices when it moves" in said]


@pytest.mark.parametrize("place", [np.nan, 1e3])
def test_one_vertex_that_is_nowhere_hides_nothing(scene: bpy.types.Scene, place: float) -> None:
    measuring.forget()
    actions = np.concatenate([SOURCE.actions, np.zeros((len(SOURCE.actions), 1, 3))], 1)
    vertices = np.vstack([SOURCE.vertices, np.full((1, 3), place)])
    rig = rigs.sound(rigs.Source(vertices, SOURCE.polygons, actions, SOURCE.eyes))
    called(rig, "jawOpen", "browInnerUp")
    assert complaints(rig).keys() == {"jawOpen", "browInnerUp"}


@pytest.mark.parametrize("degrees", [30.0, 45.0])
def test_a_head_that_leans_and_is_locked_keeps_what_is_left(rig: rigs.Spoilt, degrees: float) -> None:
    armature = rig.face.parent
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    head = armature.data.edit_bones["head"]
    way = Vector((0.0, -np.sin(np.radians(degrees)), np.cos(np.radians(degrees))))
    head.tail, head.roll = head.head + way * head.length, 0.0
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.pose.bones["head"].lock_rotation = (False, True, False)
    said = complaints(rig)
    pairs = (("headYaw", "headRoll"), ("headRoll", "headYaw"))
    told = {one: f"{one} moves what {other} should move as well." for one, other in pairs}
    assert said and said.items() <= told.items()
    assert keyed(rig).keys() >= {"headPitch", "headYaw", "headRoll"}


def _pushed(rig: rigs.Spoilt) -> None:
    """A smile that pushes an eye out of its socket."""
    rest = np.array([vertex.co for vertex in rig.face.data.vertices])
    eye = rig.face.vertex_groups["eye.L"].index
    for vertex in rig.face.data.vertices:
        if any(group.group == eye and group.weight > 0.5 for group in vertex.groups):
            blocks(rig)["mouthSmileLeft"].data[vertex.index].co.y -= 0.1 * float(np.ptp(rest[:, 0]))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rig: rigs._changed(rig, "mouthPucker", 4.0), "mouthPucker goes much farther than on other faces."),
        (_pushed, "mouthSmileLeft moves an eye out of its place."),
    ],
)
def test_what_goes_too_far_is_named(rig: rigs.Spoilt, spoil: Callable[[rigs.Spoilt], None], said: str) -> None:
    spoil(rig)
    assert complaints(rig) == {said.split()[0]: said}


def test_a_driver_that_says_something_else_is_noticed(rig: rigs.Spoilt) -> None:
    curve = drive(blocks(rig)["mouthShrugLower"], "value", "v * 0.0", "mouthPucker", rig)
    assert complaints(rig).keys() == {"mouthShrugLower"}
    curve.driver.expression = "v * 0.5"
    assert complaints(rig).keys() == {"mouthShrugLower", "mouthPucker"}


@pytest.fixture(scope="module")
def mira() -> rigs.Source:
    return rigs.demo_source()


def without(rig: rigs.Spoilt, vertices: np.ndarray) -> None:
    """Delete some vertices of the face."""
    made = bmesh.new()
    made.from_mesh(rig.face.data)
    made.verts.ensure_lookup_table()
    bmesh.ops.delete(made, geom=[made.verts[k] for k in vertices.tolist()], context="VERTS")
    made.to_mesh(rig.face.data)
    made.free()


def test_half_a_face_in_a_mirror_looks_the_way_the_whole_one_does(scene: bpy.types.Scene, mira: rigs.Source) -> None:
    whole = rigs.sound(mira)
    axes = detect_rig(whole.face).axes
    without(whole, np.flatnonzero(mira.vertices[:, 0] < -1e-4))
    assert not np.allclose(detect_rig(whole.face).axes, axes, atol=0.1), "half a face is aslant"
    whole.face.modifiers.new("Mirror", "MIRROR")
    assert np.allclose(detect_rig(whole.face).axes, axes, atol=1e-6)


def test_lids_that_look_where_no_eye_is_are_named(scene: bpy.types.Scene, mira: rigs.Source) -> None:
    """As where the eyes stand beside the rig."""
    measuring.forget()
    rig = rigs.sound(mira)
    without(rig, np.concatenate(mira.eyes))
    for side in "LR":
        rig.face.parent.pose.bones[f"eye.{side}"].name = f"none.{side}"
    looks = {c for c in ARKIT_CHANNELS if c.startswith("eyeLook")}
    assert complaints(rig) == {c: f"{c} moves the lids, and the eye does not turn." for c in looks}
    assert keyed(rig).keys() >= looks


@pytest.mark.parametrize(("wide", "long"), [(1.0, 1.5), (1.4, 1.4)])
def test_long_faces_and_eyes_close_together_are_looked_at_as_others_are(
    scene: bpy.types.Scene, mira: rigs.Source, wide: float, long: float
) -> None:
    measuring.forget()
    eyes = float(np.mean([mira.vertices[eye, 1].mean() for eye in mira.eyes]))
    across = float(np.ptp([mira.vertices[eye, 0].mean() for eye in mira.eyes]))

    def stretched(points: np.ndarray) -> np.ndarray:
        down = np.clip((eyes - points[..., 1]) / across, 0.0, None)
        return np.stack([
            points[..., 0] * (1 + (wide - 1) * np.minimum(2 * down, 1.0)),
            np.where(down > 0, eyes - long * down * across, points[..., 1]),
            points[..., 2],
        ], -1)  # fmt: skip

    rest = stretched(mira.vertices)
    rig = rigs.sound(rigs.Source(rest, mira.polygons, stretched(mira.vertices + mira.actions) - rest, mira.eyes))
    assert complaints(rig) == {}
    called(rig, "mouthRollUpper", "mouthShrugUpper")
    measuring.forget()
    assert complaints(rig).keys() == {"mouthRollUpper", "mouthShrugUpper"}


def test_another_shape_in_one_side_is_named(scene: bpy.types.Scene, mira: rigs.Source) -> None:
    measuring.forget()
    rig = rigs.sound(mira)
    rigs._add(rig, "jawOpen", "mouthFrownLeft", 1.0)
    assert complaints(rig).keys() == {"jawOpen"}


def test_a_face_that_stands_apart_on_the_same_armature_is_told(rig: rigs.Spoilt) -> None:
    mesh, twin = rig.face, rig.face.copy()
    twin.data = mesh.data.copy()
    bpy.context.scene.collection.objects.link(twin)
    bpy.context.view_layer.update()
    assert detect_rig(mesh).followers == (twin,) and not detect_rig(mesh).notes, "brows and teeth lie within"
    twin.location.x += 3 * mesh.dimensions.x
    bpy.context.view_layer.update()
    (note,) = detect_rig(mesh).notes
    assert note == f"{twin.name} moves along, though it stands apart: it is looked at when you choose it itself."


def test_a_key_goes_before_its_in_betweens() -> None:
    found = match_arkit(["JawOpen_50", "JawOpen", "MouthPucker_50", "MouthPucker"])
    assert found.matched == {"jawOpen": ("JawOpen",), "mouthPucker": ("MouthPucker",)}
