# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaze: eyes first, the head after them, within their limits; and where the eyes of a real head look in the scene."""

from __future__ import annotations

import math
from itertools import pairwise

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.direct import EYE_TURNS
from blender_cteg.clip import Clip
from blender_cteg.dialogue.looking import Attention, Sight, glances, is_out_of_reach
from blender_cteg.heads.demo_head.assemble import add_demo_head
from blender_cteg.performance import gaze
from blender_cteg.performance.gaze import Glance, looking, reach
from blender_cteg.performance.lines import Lines, lines_of
from blender_cteg.performance.record import Style
from blender_cteg.shared import ARKIT55
from tests.blender.scenes import arkit_clip, arkit_face, curve

STILL = np.zeros((97, 55), np.float32)


def column(face: np.ndarray, name: str) -> np.ndarray:
    return face[:, ARKIT55.channels.index(name)]


def eyes(face: np.ndarray) -> np.ndarray:
    """How far the left eye is turned to the left, radians."""
    return 0.5 * (column(face, "eyeLookOutLeft") - column(face, "eyeLookInLeft"))


def test_angles_are_those_of_the_mappings_by_names() -> None:
    left = EYE_TURNS["left_eye"]
    assert left["eyeLookOutLeft"][1] == -left["eyeLookInLeft"][1] == gaze._SIDE
    assert (left["eyeLookDownLeft"][0], -left["eyeLookUpLeft"][0]) == (gaze._DOWN, gaze._UP)


def test_eyes_are_there_first_and_come_back_as_the_head_follows() -> None:
    face = looking(STILL, [Glance(0.0, 0.0, 0.0), Glance(1.0, 0.4, 0.0)], 24.0)
    head, both = column(face, "headYaw"), column(face, "headYaw") + eyes(face)
    assert (both[:25] == 0).all()
    assert both[27:] == pytest.approx(np.full(len(both) - 27, 0.4), abs=1e-3)  # there within a tenth of a second
    assert head[27] < 0.05 and head[45:] == pytest.approx(np.full(52, 0.65 * 0.4), abs=1e-3)
    assert eyes(face)[27] > 0.35 > 0.2 > eyes(face)[45]
    assert column(face, "eyeLookInRight") == pytest.approx(column(face, "eyeLookOutLeft"))  # both the same way
    assert np.abs(np.diff(head)).max() < 0.05  # the head does not jerk


def test_looking_down_and_to_the_right_is_the_other_way() -> None:
    face = looking(STILL, [Glance(0.0, -0.3, 0.2)], 24.0)
    assert column(face, "headYaw")[0] < 0 < column(face, "headPitch")[0]
    assert column(face, "eyeLookInLeft")[0] > 0 == column(face, "eyeLookOutLeft")[0]
    assert column(face, "eyeLookDownLeft")[0] > 0 == column(face, "eyeLookUpLeft")[0]


def test_nothing_goes_further_than_it_can() -> None:
    face = looking(STILL, [Glance(0.0, 2.5, -1.4)], 24.0)
    assert (face >= ARKIT55.lower).all() and (face <= ARKIT55.upper).all()
    assert column(face, "headYaw")[0] == pytest.approx(0.55, abs=1e-3)
    assert is_out_of_reach(2.5, 0.0) and not is_out_of_reach(reach()[0], reach()[1])


def test_the_acting_of_the_head_stays_and_the_eyes_make_up_for_it() -> None:
    acted = STILL.copy()
    acted[:, ARKIT55.channels.index("headYaw")] = 0.1 * np.sin(np.arange(97) / 8)
    face = looking(acted, [Glance(0.0, 0.3, 0.0)], 24.0)
    assert np.ptp(column(face, "headYaw")) == pytest.approx(np.ptp(column(acted, "headYaw")), abs=1e-4)
    assert column(face, "headYaw") + eyes(face) == pytest.approx(np.full(97, 0.3), abs=1e-3)


def test_without_a_glance_a_take_is_as_it_was() -> None:
    assert looking(STILL, (), 24.0) is STILL


def test_a_line_keeps_where_it_looks_with_its_character(scene: bpy.types.Scene) -> None:
    face = arkit_face()
    rig = detect_rig(face)
    where = (Glance(0.0, 0.1, 0.0), Glance(0.5, 0.3, -0.1))
    line = Lines(scene, rig).add([arkit_clip(48)], 10, Style(), text="Hello.", gaze=where)
    assert lines_of(rig)[0].gaze == where
    looked = curve(face, "eyeLookOutLeft").evaluate(50)
    Lines(scene, rig).move({line.id: {"gaze": (), "start": 30.0}})
    after = lines_of(rig)[0]
    assert (after.gaze, after.start) == ((), 30.0)
    assert curve(face, "eyeLookOutLeft").evaluate(70) < looked


def points(face: bpy.types.Object) -> dict[str, list[float]]:
    """Frames and values of all keys, and their handles, by data path."""
    data = face.data.shape_keys.animation_data
    bag = data.action.layers[0].strips[0].channelbag(data.action_slot)
    return {
        c.data_path: [v for p in c.keyframe_points for v in (*p.co, *p.handle_left, *p.handle_right)]
        for c in bag.fcurves
    }  # fmt: skip


def test_a_look_goes_over_from_line_to_line_and_ends_with_the_last(scene: bpy.types.Scene) -> None:
    face = arkit_face()
    lines, still = Lines(scene, detect_rig(face)), Clip(STILL[:49], ARKIT55.channels, 24.0, "arkit55")
    where = (Glance(0.0, 0.4, 0.0),)
    key = face.data.shape_keys.key_blocks["browInnerUp"]  # the animator has keys of this one
    for frame, value in ((1, 0.2), (55, 0.4), (150, 0.1)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    one = lines.add([still], 10, Style(), text="One.", gaze=where)
    alone = points(face)
    held = curve(face, "eyeLookOutLeft").evaluate(40)
    other = lines.add([still], one.end + 1.0, Style(), text="Two.", gaze=where)

    def looks(first: float, last: float) -> list[float]:
        return [curve(face, "eyeLookOutLeft").evaluate(frame) for frame in np.arange(first, last + 0.5)]

    assert held > 0.2
    assert looks(40, 80) == pytest.approx([held] * 41, abs=0.02)
    assert looks(1, 10) + looks(other.end, 150) == [0.0] * len(looks(1, 10) + looks(other.end, 150))
    lines.change(other.id, gaze=(Glance(0.0, 0.2, 0.0),))  # it comes in from where the one before looks
    assert looks(one.end, other.start) == pytest.approx([held] * 2, abs=0.02) and looks(80, 80)[0] < 0.6 * held
    assert np.abs(np.diff(looks(one.end, 80))).max() < 0.3 * held
    for move in (lambda at: lines.change(other.id, start=at), lambda at: lines.move({other.id: {"start": at}})):
        move(one.end + 20.0)
        assert looks(one.end, one.end + 20.0) == pytest.approx([0.0] * 21, abs=1e-6)
        move(one.end + 1.0)
        assert min(looks(40, 80)) > 0.4 * held
    assert not any(line.edited or line.layer for line in lines_of(detect_rig(face)))
    lines.remove(other.id)
    after = points(face)
    assert after.keys() == alone.keys()
    assert all(after[path] == pytest.approx(alone[path], abs=1e-5) for path in alone)


def facing(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Two heads that stand askew before each other."""
    heads = []
    for person, place, turn in (("mira", (-0.3, 0.1, 0.05), 1.0), ("tomas", (0.3, -0.1, -0.1), -1.3)):
        head = add_demo_head(bpy.context, person.capitalize(), person)
        head.parent.location, head.parent.rotation_euler.z = place, turn
        heads.append(head)
    bpy.context.view_layer.update()
    return heads


def off(head: bpy.types.Object, target: Vector) -> float:
    """Degrees between where the eyes of a head look, in the evaluated scene, and a point."""
    rig = head.parent.evaluated_get(bpy.context.evaluated_depsgraph_get())
    places = [rig.matrix_world @ rig.pose.bones[name].matrix for name in ("left_eye", "right_eye")]
    ahead = sum((place.to_3x3() @ Vector((0.0, 1.0, 0.0)) for place in places), Vector()).normalized()
    middle = (places[0].translation + places[1].translation) / 2
    return math.degrees(ahead.angle(target - middle))


def test_a_head_looks_at_another_in_the_scene(scene: bpy.types.Scene) -> None:
    mira, tomas = facing(scene)
    sight, rigs = Sight(scene), [detect_rig(head) for head in (mira, tomas)]
    still = Clip(STILL, ARKIT55.channels, 24.0, "arkit55")
    for head, rig, other in ((mira, rigs[0], rigs[1]), (tomas, rigs[1], rigs[0])):
        where = glances(sight, rig, [Attention(0, other)], 1, 97, 24.0, goes_on=True, is_gone_on=True)
        Lines(scene, rig).add([still], 1, Style(), text="...", gaze=where)
        scene.frame_set(50)
        assert off(head, sight.eyes(other)) < 4.0
        Lines(scene, rig).change(lines_of(rig)[0].id, gaze=tuple(Glance(g.seconds, -g.yaw, g.pitch) for g in where))
        scene.frame_set(50)
        assert off(head, sight.eyes(other)) > 15.0  # what this measures would tell


def test_a_target_that_moves_is_looked_at_where_it_is_then(scene: bpy.types.Scene) -> None:
    mira, _ = facing(scene)
    lamp = bpy.data.objects.new("Lamp", None)
    scene.collection.objects.link(lamp)
    ahead = mira.parent.matrix_world.to_3x3() @ Vector((0.0, -1.0, 0.0))
    lamp.location = mira.parent.location + ahead + Vector((0.0, 0.0, 0.3))
    lamp.keyframe_insert("location", frame=1)
    lamp.location = lamp.location + mira.parent.matrix_world.to_3x3() @ Vector((0.5, 0.0, 0.0))
    lamp.keyframe_insert("location", frame=50)
    scene.frame_set(20)
    sight, rig, now = Sight(scene), detect_rig(mira), scene.frame_current
    first, then = sight.direction(rig, lamp, 1), sight.direction(rig, lamp, 50)
    assert first[0] == pytest.approx(0.0, abs=0.02) and 0.4 < then[0] < 0.65
    scene.frame_set(50)
    line = Lines(scene, rig).add(
        [Clip(STILL, ARKIT55.channels, 24.0, "arkit55")], 30, Style(), text="...",
        gaze=glances(sight, rig, [Attention(0, lamp)], 50, 97, 24.0, goes_on=True, is_gone_on=True),
    )  # fmt: skip
    scene.frame_set(60)
    assert line.gaze and off(mira, lamp.matrix_world.translation) < 4.0
    scene.frame_set(20)
    assert scene.frame_current == now


def test_faces_without_eye_bones_look_from_their_lids(scene: bpy.types.Scene) -> None:
    face = arkit_face()
    key = face.data.shape_keys.key_blocks
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        for vertex, point in enumerate(key[name].data):
            point.co = key["Basis"].data[vertex].co + Vector((0.0, 0.0, -0.01 * (vertex == 4)))
    face.matrix_world = Matrix.Translation((1.0, 2.0, 3.0))
    bpy.context.view_layer.update()
    assert Sight(scene).eyes(detect_rig(face)) == face.matrix_world @ key["Basis"].data[4].co


def test_who_begins_at_rest_looks_up_a_moment_later_and_away_at_its_end(scene: bpy.types.Scene) -> None:
    mira, tomas = facing(scene)
    sight, rig, other = Sight(scene), detect_rig(mira), detect_rig(tomas)
    attention = [Attention(1, other)]
    alone = glances(sight, rig, attention, 1, 97, 24.0, goes_on=False, is_gone_on=False)
    assert [(one.yaw == 0.0) for one in alone] == [True, False, True]
    assert all(before.seconds < after.seconds for before, after in pairwise(alone))
    within = glances(sight, rig, attention, 1, 97, 24.0, goes_on=True, is_gone_on=True)
    assert len(within) == 1 and within[0].seconds == 0.0
