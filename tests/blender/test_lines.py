# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines: patches on the animator's own curves, which leave everything else as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg import cast
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.clip import Clip
from blender_cteg.performance import lines as lines_module
from blender_cteg.performance.diagnosis import diagnose
from blender_cteg.performance.lines import LineError, Lines, lines_of
from blender_cteg.performance.owners import curves_in
from blender_cteg.performance.record import Line, Region, Style
from blender_cteg.performance.store import LINES_PROPERTY
from blender_cteg.performance.targets import bone_path, key_path
from blender_cteg.versions import CURRENT

from . import scenes
from .test_patch import reversed_about

STYLE = Style()
OUTSIDE = [*range(-20, 100), *range(131, 200), *range(231, 320), 1000, 2000]


def clip(seed: int = 0, frames: int = 31, text: str = "I missed you.") -> Clip:
    """A take of a line that speaks; every seed moves in its own way."""
    made = scenes.speaking_clip(frames, seed=seed)
    rng = np.random.default_rng(seed)
    values = made.values * (0.3 + 0.3 * rng.random(55, np.float32))
    return replace(made, values=values, text=text, seed=seed)


def character(bones: Iterable[str] = ("Hips", "Neck", "Head")) -> bpy.types.Object:
    face = scenes.arkit_face(bones=bones)
    bpy.context.view_layer.update()
    return face


def lines_for(scene: bpy.types.Scene, face: bpy.types.Object) -> Lines:
    return Lines(scene, detect_rig(face))


def add(scene: bpy.types.Scene, face: bpy.types.Object, start: float = 100, seed: int = 0, takes: int = 1) -> Line:
    clips = [clip(seed + k) for k in range(takes)]
    return lines_for(scene, face).add(clips, start, STYLE, text=f"Line at {start}")


def played(scene: bpy.types.Scene, face: bpy.types.Object, frames: Iterable[int]) -> np.ndarray:
    """Everything that moves, as Blender evaluates it: key values and bone matrices, one row per frame."""
    rows = []
    for frame in frames:
        scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        row = [block.value for block in face.data.shape_keys.evaluated_get(depsgraph).key_blocks]
        armature = face.find_armature()
        if armature is not None:
            for bone in armature.evaluated_get(depsgraph).pose.bones:
                row += [value for column in bone.matrix_basis for value in column]
        rows.append(row)
    return np.array(rows)


def key_values(scene: bpy.types.Scene, face: bpy.types.Object, name: str, frames: Iterable[int]) -> np.ndarray:
    place = list(face.data.shape_keys.key_blocks.keys()).index(name)
    return played(scene, face, frames)[:, place]


def rows_of(action: bpy.types.Action) -> list[Any]:
    """Every key of an action with everything that Blender stores of it, selection aside."""
    found = []
    for slot in action.slots:
        for curve in curves_in(action, slot):
            keys = [
                (
                    tuple(p.co), tuple(p.handle_left), tuple(p.handle_right), p.handle_left_type, p.handle_right_type,
                    p.interpolation, p.easing, p.type, p.back, p.amplitude, p.period,
                )
                for p in curve.keyframe_points
            ]  # fmt: skip
            found.append((slot.identifier, curve.data_path, curve.array_index, curve.extrapolation, keys))
    return sorted(found)


def busy(scene: bpy.types.Scene) -> bpy.types.Object:
    """A character in a scene: the animator's keys on the face, capture on the body, a strip below, set values."""
    face = character()
    key, armature = face.data.shape_keys, face.find_armature()
    key.key_blocks["mouthSmileLeft"].value = 0.2  # set, never keyed
    armature.pose.bones["Head"].rotation_quaternion = (0.98, 0.2, 0.0, 0.0)
    scenes.animate_by_hand(key, key_path("browInnerUp"), {1: 0.0, 25: 1.0, 60: 0.1, 180: 0.7, 260: 0.3})
    scenes.animate_by_hand(key, key_path("jawOpen"), {40: 0.4})
    path = bone_path("Hips") + "location"
    scenes.animate_by_hand(armature, path, {f: float(np.sin(f / 7)) for f in range(1, 301)}, 1)
    data = armature.animation_data
    strip_action = bpy.data.actions.new("Breathing")
    slot = strip_action.slots.new(id_type="OBJECT", name=armature.name)
    bag = strip_action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
    curve = bag.fcurves.new(bone_path("Neck") + "location", index=2)
    for frame, value in ((1, 0.0), (50, 0.1), (100, 0.0)):
        curve.keyframe_points.insert(frame, value)
    strip = data.nla_tracks.new().strips.new("Breathing", 1, strip_action)
    strip.action_slot = slot
    return face


def test_outside_two_lines_nothing_changes_and_without_them_everything_is_as_before(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    key_action, body_action = face.data.shape_keys.animation_data.action, face.parent.animation_data.action
    before, keys_before, body_before = played(scene, face, OUTSIDE), rows_of(key_action), rows_of(body_action)
    everything = played(scene, face, range(90, 240))

    first, second = add(scene, face, 100), add(scene, face, 200, seed=3)
    assert (first.start, first.end, second.start, second.end) == (100, 130, 200, 230)
    assert np.abs(played(scene, face, OUTSIDE) - before).max() <= 1e-5
    assert np.abs(played(scene, face, range(105, 125)) - everything[15:35]).max() > 0.3, "the line is not seen"

    lines = lines_for(scene, face)
    lines.remove(first.id)
    assert (
        np.abs(played(scene, face, [*OUTSIDE, *range(100, 131)]) - np.concatenate([before, everything[10:41]])).max()
        <= 1e-5
    )
    lines.remove(second.id)
    assert rows_of(key_action) == keys_before and rows_of(body_action) == body_before
    np.testing.assert_array_equal(played(scene, face, OUTSIDE), before)
    assert LINES_PROPERTY not in key_action and not lines_of(detect_rig(face))


def test_the_judge_sees_what_the_first_edition_did(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    before = played(scene, face, OUTSIDE)
    curve = curves_in(face.data.shape_keys.animation_data.action, face.data.shape_keys.animation_data.action_slot)[0]
    for frame in (100, 115, 130):
        curve.keyframe_points.insert(frame, 0.9)
    assert np.abs(played(scene, face, OUTSIDE) - before).max() > 0.05


def test_a_line_fills_what_is_not_animated_and_leaves_the_rest(scene: bpy.types.Scene) -> None:
    face = character()
    key = face.data.shape_keys
    sync = {f: 0.5 + 0.5 * np.sin(f) for f in range(1, 200)}
    scenes.animate_by_hand(key, key_path("mouthFunnel"), sync)
    baked = scenes.animate_by_hand(key, key_path("mouthPucker"), dict.fromkeys(range(1, 200), 0.25))
    before = rows_of(baked)
    line = add(scene, face)
    np.testing.assert_allclose(
        key_values(scene, face, "mouthFunnel", range(100, 131)), [sync[f] for f in range(100, 131)], atol=1e-6
    )
    assert "mouthFunnel (keys)" in line.theirs and "mouthPucker (keys)" not in line.theirs
    assert np.ptp(key_values(scene, face, "mouthPucker", range(100, 131))) > 0.1, (
        "baked keys that never change give way"
    )
    np.testing.assert_allclose(key_values(scene, face, "mouthPucker", [50, 99, 131, 150]), 0.25, atol=1e-6)

    lines = lines_for(scene, face)
    filled = played(scene, face, range(100, 131))
    lines.change(line.id, regions={"mouth": Region("TAKE")})
    taken = key_values(scene, face, "mouthFunnel", range(100, 131))
    assert np.abs(taken - [sync[f] for f in range(100, 131)]).max() > 0.2
    lines.change(line.id, regions={"mouth": Region("ADD")})
    added = key_values(scene, face, "mouthFunnel", range(108, 120))
    rest = taken[8:20] + [sync[f] for f in range(108, 120)]
    assert np.abs(added - rest).max() < 0.02
    lines.change(line.id, regions={})
    np.testing.assert_allclose(played(scene, face, range(100, 131)), filled, atol=1e-6)
    lines.remove(line.id)
    assert rows_of(baked) == before


def test_muted_and_scaled_regions_and_layers(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    lines = lines_for(scene, face)
    lines.change(line.id, regions={"upper face": Region(mute=True), "eyes": Region(scale=0.5)})
    assert not key_values(scene, face, "browInnerUp", range(100, 131)).any()
    half = key_values(scene, face, "eyeSquintLeft", range(110, 120))
    lines.change(line.id, regions={})
    assert np.abs(2 * half - key_values(scene, face, "eyeSquintLeft", range(110, 120))).max() < 0.02
    lines.change(line.id, intensity=0.0, speech=0.0)
    assert np.abs(played(scene, face, [115]) - played(scene, face, [50])).max() < 1e-6
    lines.change(line.id, intensity=0.0, speech=1.0)
    assert key_values(scene, face, "jawOpen", range(100, 131)).max() > 0.02, "the words alone"


def test_takes_change_places_and_come_back_the_same(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=3)
    assert (line.shown, [take.seed for take in line.takes]) == (0, [0, 1, 2])
    first = played(scene, face, range(95, 140))
    lines = lines_for(scene, face)
    lines.show(line.id, 2)
    assert np.abs(played(scene, face, range(95, 140)) - first).max() > 0.1
    lines.show(line.id, 0)
    np.testing.assert_allclose(played(scene, face, range(95, 140)), first, atol=1e-6)
    lines.show(line.id, -1)
    assert np.ptp(played(scene, face, range(95, 140)), axis=0).max() == 0
    lines.show(line.id, 1)
    lines.remove_take(line.id, 1)
    (line,) = lines_of(detect_rig(face))
    assert [take.seed for take in line.takes] == [0, 2] and line.shown == 1
    lines.remove_take(line.id, 0)
    lines.remove_take(line.id, 0)
    assert lines_of(detect_rig(face)) == () and not bpy.data.actions


def test_what_is_written_is_seen_at_once(scene: bpy.types.Scene) -> None:
    """Without another frame: the viewport shows what the curves say."""
    face = character()
    line = add(scene, face, takes=2)
    lines, rest = lines_for(scene, face), 0.0
    key = face.data.shape_keys.key_blocks["jawOpen"]
    scene.frame_set(115)
    for change in (
        lambda: lines.show(line.id, 1),
        lambda: lines.change(line.id, start=107.0, end=137.0),
        lambda: lines.remove(line.id),
    ):
        before = key.value
        change()
        bpy.context.view_layer.update()
        seen = key.value
        scene.frame_set(115)
        assert seen == key.value != before
    assert key.value == rest


def test_a_take_that_is_asked_for_again_is_there_once(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=2)
    again = lines_for(scene, face).add([clip(1), clip(7)], 100, STYLE, text=line.text, line=line.id)
    assert ([take.seed for take in again.takes], again.shown) == ([0, 1, 7], 1)


def test_lines_that_overlap_blend(scene: bpy.types.Scene) -> None:
    face = character()
    first, second = add(scene, face, 100), add(scene, face, 118, seed=5)
    curve = key_values(scene, face, "jawOpen", range(90, 160))
    smooth = np.abs(np.diff(curve, 2)).max()
    lines = lines_for(scene, face)
    alone = played(scene, face, range(131, 149))
    lines.remove(first.id)
    np.testing.assert_allclose(played(scene, face, range(131, 149)), alone, atol=0.012)
    (rest,) = lines_of(detect_rig(face))
    assert (rest.id, rest.start, rest.end) == (second.id, 118, 148)
    assert smooth < 0.5, "a jump where one line meets the next"
    lines.remove(second.id)
    assert not bpy.data.actions


def move_keys(action: bpy.types.Action, by: Callable[[float], float], after: float = -1e9, until: float = 1e9) -> None:
    """As an animator in the Dope Sheet: all keys from a frame on, handles with them."""
    for slot in action.slots:
        for curve in curves_in(action, slot):
            for point in curve.keyframe_points:
                if after <= point.co.x <= until:
                    left, right = point.handle_left.x, point.handle_right.x
                    point.co.x, point.handle_left.x, point.handle_right.x = by(point.co.x), by(left), by(right)
            curve.update()


@pytest.mark.parametrize(("name", "by", "start", "end"), [
    ("moved", lambda frame: frame + 37, 137, 167),
    ("stretched", lambda frame: 1.5 * frame, 150, 195),
])  # fmt: skip
def test_keys_that_were_moved_by_hand_take_the_line_along(
    scene: bpy.types.Scene, name: str, by: Callable[[float], float], start: int, end: int
) -> None:
    face = character()
    line = add(scene, face, takes=2)
    action = face.data.shape_keys.animation_data.action
    move_keys(action, by)
    (found,) = lines_of(detect_rig(face))
    assert (round(found.start), round(found.end)) == (start, end)
    lines = lines_for(scene, face)
    lines.show(line.id, 1)
    (found,) = lines_of(detect_rig(face))
    assert (found.start, found.end, found.shown) == (start, end, 1)
    values = played(scene, face, range(90, 210))
    moving = np.flatnonzero(np.abs(np.diff(values, axis=0)).max(1) > 1e-4) + 90
    assert moving.min() >= start - 1 and moving.max() <= end
    lines.remove(line.id)
    assert not bpy.data.actions


def edit(face: bpy.types.Object, name: str, by: float) -> None:
    """Raise the keys of a shape key that are well inside the line at 100 to 130."""
    data = face.data.shape_keys.animation_data
    curve = next(c for c in curves_in(data.action, data.action_slot) if c.data_path == key_path(name))
    for point in curve.keyframe_points:
        if 106 < point.co.x < 124:
            point.co.y += by
            point.handle_left.y += by
            point.handle_right.y += by
    curve.update()


def test_a_hand_edit_stays_as_a_layer_or_becomes_a_take(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=2)
    plain = key_values(scene, face, "noseSneerLeft", range(100, 131))
    assert not lines_of(detect_rig(face), line.id)[0].edited
    edit(face, "noseSneerLeft", 0.3)
    assert lines_of(detect_rig(face), line.id)[0].edited
    edited = key_values(scene, face, "noseSneerLeft", range(100, 131))
    assert np.abs(edited - plain).max() > 0.25

    lines = lines_for(scene, face)
    lines.show(line.id, 1)
    assert any("by hand" in sentence for sentence in lines.said)
    lines.show(line.id, 0)
    np.testing.assert_allclose(key_values(scene, face, "noseSneerLeft", range(100, 131)), edited, atol=0.02)
    assert lines_of(detect_rig(face))[0].layer
    lines.keep_edit(line.id, "DISCARD")
    np.testing.assert_allclose(key_values(scene, face, "noseSneerLeft", range(100, 131)), plain, atol=0.012)

    edit(face, "noseSneerLeft", 0.3)
    lines.keep_edit(line.id, "OWN_TAKE")
    (found,) = lines_of(detect_rig(face))
    assert (len(found.takes), found.shown, found.takes[2].edit, found.layer) == (3, 2, True, False)
    np.testing.assert_allclose(key_values(scene, face, "noseSneerLeft", range(100, 131)), edited, atol=0.02)
    lines.show(line.id, 0)
    np.testing.assert_allclose(key_values(scene, face, "noseSneerLeft", range(100, 131)), plain, atol=0.012)


def lifted(action: bpy.types.Action, only: str = "", by: float = 0.05, every: int = 1) -> None:
    """All keys of lines on some curves get other values; of every few one stays."""
    for curve in (curve for slot in action.slots for curve in curves_in(action, slot) if only in curve.data_path):
        keys = [k for k, point in enumerate(curve.keyframe_points) if point.type == "GENERATED"]
        for k in keys:
            point = curve.keyframe_points[k]
            for where in (point.co, point.handle_left, point.handle_right):
                where.y += by
        for k in sorted(set(keys) - set(keys[::every]) - set(keys[-1:]), reverse=True):
            curve.keyframe_points.remove(curve.keyframe_points[k], fast=True)
        curve.update()


@pytest.mark.parametrize(("only", "every"), [("", 1), ("mouth", 1), ("", 3)])
@pytest.mark.parametrize("by", [0, 40])
def test_a_line_whose_values_were_all_edited_is_found_by_its_keys(
    scene: bpy.types.Scene, only: str, every: int, by: int
) -> None:
    """Lifted, or smoothed and thinned: a whole mouth, or everything; and slid as well."""
    face = character(("Neck", "Head"))
    line = add(scene, face, takes=2)
    action = face.data.shape_keys.animation_data.action
    lifted(action, only, every=every)
    move_keys(action, lambda x: x + by)
    frames = range(106 + by, 122 + by)  # on its first and last frame it plays what is around it
    before = key_values(scene, face, "mouthPucker", frames)
    (found,) = lines_of(detect_rig(face), line.id)
    assert (found.start, found.end, found.shown, found.edited) == (100 + by, 130 + by, 0, True)
    lines_for(scene, face).rewrite()
    np.testing.assert_allclose(key_values(scene, face, "mouthPucker", frames), before, atol=0.02)
    lines_for(scene, face).keep_edit(line.id, "DISCARD")
    assert np.abs(key_values(scene, face, "mouthPucker", frames) - before).max() > 0.03


def test_a_line_is_where_it_was_when_keys_at_its_ends_were_deleted_and_the_rest_edited(scene: bpy.types.Scene) -> None:
    face = character(("Neck", "Head"))
    line = add(scene, face)
    action = face.data.shape_keys.animation_data.action
    lifted(action)
    for curve in (curve for slot in action.slots for curve in curves_in(action, slot)):
        for k in reversed(range(len(curve.keyframe_points))):
            if not 108 < curve.keyframe_points[k].co.x < 127:
                curve.keyframe_points.remove(curve.keyframe_points[k], fast=True)
    (found,) = lines_of(detect_rig(face), line.id)
    assert (found.start, found.end, found.shown, found.edited) == (100, 130, 0, True)


@pytest.mark.parametrize("how", ["duplicate", "blend"])
def test_where_one_owner_of_an_action_cannot_be_written_its_part_of_a_line_stays(
    scene: bpy.types.Scene, how: str
) -> None:
    """Face and armature share an action, as lines make it; then a linked duplicate plays it too, or it is added."""
    face = character(("Neck", "Head"))
    line = add(scene, face, takes=2)
    if how == "duplicate":
        bpy.ops.object.select_all(action="DESELECT")
        face.select_set(True)
        face.parent.select_set(True)
        bpy.ops.object.duplicate(linked=True)
    else:
        face.parent.animation_data.action_blend_type = "ADD"
    before = rows_of(face.data.shape_keys.animation_data.action)
    for change in (
        lambda: lines_for(scene, face).show(line.id, 1),
        lambda: lines_for(scene, face).remove(line.id),
        lambda: add(scene, face, 120),
    ):
        with pytest.raises(LineError, match=r"also moves|is blended"):
            change()
    lines_for(scene, face).rewrite()
    assert rows_of(face.data.shape_keys.animation_data.action) == before


@pytest.mark.parametrize(("start", "to"), [(281, 269), (209, 32)])
def test_a_line_that_is_moved_alone_changes_no_curve_beside_it(scene: bpy.types.Scene, start: int, to: int) -> None:
    """Off a key of the animator's that is put aside for it, on a slope; and before keys that nothing follows."""
    face = character(("Neck", "Head"))
    keyed = {60: 0.9, 309: 0.2} if start == 281 else {60: 0.6, 112: 0.5}
    scenes.animate_by_hand(face.data.shape_keys, key_path("jawOpen"), keyed)
    wanted = [frame for frame in range(0, 400) if not any(first <= frame <= first + 30 for first in (start, to))]
    before = key_values(scene, face, "jawOpen", wanted)
    line = add(scene, face, start)
    lines_for(scene, face).change(line.id, regions={"jaw": Region("TAKE")})
    lines_for(scene, face).move({line.id: {"start": float(to)}})
    np.testing.assert_allclose(key_values(scene, face, "jawOpen", wanted), before, atol=2e-5)
    frames = [point.co.x for point in scenes.curve(face, "jawOpen").keyframe_points]
    assert frames == sorted(frames)
    lines_for(scene, face).remove(line.id)
    np.testing.assert_array_equal(key_values(scene, face, "jawOpen", wanted), before)


def test_an_elastic_key_swings_beside_a_line_as_it_did_whatever_the_distance(scene: bpy.types.Scene) -> None:
    """What stands for its swings is compared with them at steps none of which is as long as a swing."""
    face = character(("Neck", "Head"))
    for name, last in (("jawOpen", 267), ("jawLeft", 263), ("jawRight", 240), ("jawForward", 229)):
        scenes.animate_by_hand(face.data.shape_keys, key_path(name), {68: 0.132, last: 0.171})
        scenes.curve(face, name).keyframe_points[0].interpolation = "ELASTIC"
    wanted = [*np.arange(68.0, 100.0, 0.5), *np.arange(130.5, 270.0, 0.5)]
    names = ("jawOpen", "jawLeft", "jawRight", "jawForward")
    before = [[scenes.curve(face, name).evaluate(frame) for frame in wanted] for name in names]
    line = add(scene, face)
    lines_for(scene, face).change(line.id, regions={"jaw": Region("TAKE")})
    after = [[scenes.curve(face, name).evaluate(frame) for frame in wanted] for name in names]
    np.testing.assert_allclose(after, before, atol=1e-4)


@pytest.mark.parametrize("backup", [False, True])
def test_a_line_that_goes_is_taken_out_of_a_body_action_that_plays_no_more(
    scene: bpy.types.Scene, backup: bool
) -> None:
    """But for what a copy of the face's action still has."""
    face = busy(scene)
    body = face.parent.animation_data
    first, keys = body.action, rows_of(body.action)
    line = add(scene, face)
    written, second = rows_of(first), first.copy()
    body.action, body.action_slot = second, second.slots[0]
    if backup:
        face.data.shape_keys.animation_data.action.copy()
    lines = lines_for(scene, face)
    lines.remove(line.id)
    assert rows_of(second) == keys
    assert rows_of(first) == (written if backup else keys)
    assert any("not active on this character" in sentence for sentence in lines.said) != backup


def test_a_hand_edit_is_of_the_line_in_which_it_lies(scene: bpy.types.Scene) -> None:
    face = character()
    first = add(scene, face, takes=2)
    second = add(scene, face, takes=2, start=int(first.end) - 4)
    edit(face, "noseSneerLeft", 0.3)
    lines = lines_for(scene, face)
    lines.show(first.id, 1)
    assert sum("by hand" in sentence for sentence in lines.said) == 1
    assert {line.id: line.layer for line in lines_of(detect_rig(face))} == {first.id: True, second.id: False}


@pytest.mark.parametrize("where", [0, 1])
def test_beside_an_overlap_only_the_line_whose_keys_were_edited_is_marked(scene: bpy.types.Scene, where: int) -> None:
    face = character()
    lines = [add(scene, face, takes=2), add(scene, face, 120, seed=3, takes=2)]
    data = face.data.shape_keys.animation_data
    curves = curves_in(data.action, data.action_slot)
    for curve in curves:  # the last key that is of the first line alone, or the first that is of the second
        points = [point for point in curve.keyframe_points if (110 < point.co.x < 120) == (where == 0)]
        points = [point for point in points if point.co.x > 110]
        for point in points[-1:] if where == 0 else points[:1]:
            point.co.y += 0.2
        curve.update()
    edited = played(scene, face, range(121, 125))
    marked = [next(one for one in lines_of(detect_rig(face), line.id) if one.id == line.id).edited for line in lines]
    assert marked == [where == 0, where == 1]
    lines_for(scene, face).show(lines[1 - where].id, 0)
    layers = {line.id: line.layer for line in lines_of(detect_rig(face))}
    assert layers[lines[where].id] and (where == 1 or not layers[lines[1].id])
    np.testing.assert_allclose(played(scene, face, range(121, 125)), edited, atol=0.02)


def test_what_was_edited_where_a_shorter_line_is_over_already_is_kept(scene: bpy.types.Scene) -> None:
    face = character()
    first = add(scene, face, takes=2)
    lines_for(scene, face).change(first.id, end=160)
    add(scene, face, 105, seed=3)
    data = face.data.shape_keys.animation_data
    for curve in curves_in(data.action, data.action_slot):
        for point in curve.keyframe_points:
            if 145 < point.co.x < 155:
                point.co.y += 0.2
        curve.update()
    edited = played(scene, face, range(148, 153))
    lines_for(scene, face).rewrite()
    np.testing.assert_allclose(played(scene, face, range(148, 153)), edited, atol=0.02)


def test_takes_that_go_on_from_a_frame_keep_the_edit_until_there(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    edit(face, "noseSneerLeft", 0.3)
    edited = key_values(scene, face, "noseSneerLeft", range(100, 131))
    lines = lines_for(scene, face)
    same = replace(clip(0), seed=9)
    lines.add([same], 100, STYLE, text=line.text, line=line.id, edits_until=115)
    went_on = key_values(scene, face, "noseSneerLeft", range(100, 131))
    np.testing.assert_allclose(went_on[:14], edited[:14], atol=0.02)
    assert np.abs(went_on[17:24] - edited[17:24]).max() > 0.1
    lines.show(line.id, 0)
    np.testing.assert_allclose(key_values(scene, face, "noseSneerLeft", range(100, 131)), edited, atol=0.02)


def test_deleted_keys_leave_the_line_in_the_list(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=2)
    whole = played(scene, face, range(100, 131))
    data = face.data.shape_keys.animation_data
    for curve in curves_in(data.action, data.action_slot):
        curve.keyframe_points.clear()
    (found,) = lines_of(detect_rig(face))
    assert (found.shown, len(found.takes)) == (-1, 2)
    lines_for(scene, face).show(line.id, 0)
    np.testing.assert_allclose(played(scene, face, range(100, 131)), whole, atol=1e-5)


def test_a_duplicate_has_lines_of_its_own(scene: bpy.types.Scene) -> None:
    face = character(bones=())
    line = add(scene, face, takes=2)
    copy = face.copy()
    copy.data = face.data.copy()
    scene.collection.objects.link(copy)
    data = copy.data.shape_keys.animation_data
    assert data.action == face.data.shape_keys.animation_data.action
    with pytest.raises(LineError, match="also moves"):
        lines_for(scene, copy).show(line.id, 1)
    slot = data.action_slot.identifier
    data.action = data.action.copy()  # as Shift+D does by itself in Blender's interface
    data.action_slot = data.action.slots[slot]
    lines_for(scene, copy).show(line.id, 1)
    face.name = "Renamed"
    assert lines_of(detect_rig(copy))[0].shown == 1 and lines_of(detect_rig(face))[0].shown == 0


def test_renamed_keys_and_bones_keep_their_lines(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=2)
    face.data.shape_keys.key_blocks["jawOpen"].name = "JawOpen"
    face.parent.pose.bones["Head"].name = "head"
    (found,) = lines_of(detect_rig(face))
    assert (found.start, found.end) == (100, 130)
    lines_for(scene, face).show(line.id, 1)
    assert np.ptp(key_values(scene, face, "JawOpen", range(100, 131))) > 0.05
    action = face.data.shape_keys.animation_data.action
    paths = [(c.data_path, c.array_index) for slot in action.slots for c in curves_in(action, slot)]
    assert len(paths) == len(set(paths)), "two curves for one property"
    lines_for(scene, face).remove(line.id)
    assert not bpy.data.actions


def _remove_bone(face: bpy.types.Object) -> None:
    bpy.context.view_layer.objects.active = face.parent
    bpy.ops.object.mode_set(mode="EDIT")
    bones = face.parent.data.edit_bones
    bones.remove(bones["Head"])
    bpy.ops.object.mode_set(mode="OBJECT")


def _blocks(face: bpy.types.Object) -> Any:
    return face.data.shape_keys.key_blocks


def _drive(*curves: bpy.types.FCurve) -> None:
    for curve in curves:
        curve.driver.expression = "frame / 100"


def _rename_keys(face: bpy.types.Object) -> None:
    for block in (_blocks(face)["jawOpen"], _blocks(face)["mouthClose"]):
        block.name = f"My {block.name}"


#: What was done to a character since -> what the next write says of it.
SINCE: dict[str, tuple[Callable[[bpy.types.Object], object], str]] = {
    "key renamed": (
        lambda face: setattr(_blocks(face)["jawOpen"], "name", "Kiefer"),
        "jawOpen (now Kiefer) was renamed, and the mapping does not lead there. Give it back its name, or choose it as "
        "a target in the Mapping panel; then write the lines again.",
    ),
    "keys renamed": (
        _rename_keys,
        "jawOpen (now My jawOpen), mouthClose (now My mouthClose) were renamed, and the mapping does not lead there. "
        "Give them back their names, or choose them as targets in the Mapping panel; then write the lines again.",
    ),
    "key removed": (
        lambda face: face.shape_key_remove(_blocks(face)["jawOpen"]),
        "jawOpen is not there any more, and the lines play without it. Bring it back or choose another target in the "
        "Mapping panel; then write the lines again.",
    ),
    "keys removed": (
        lambda face: [face.shape_key_remove(_blocks(face)[name]) for name in ("jawOpen", "mouthClose")],
        "jawOpen, mouthClose are not there any more, and the lines play without them. Bring them back or choose other "
        "targets in the Mapping panel; then write the lines again.",
    ),
    "key driven": (
        lambda face: _drive(_blocks(face)["jawOpen"].driver_add("value")),
        "jawOpen is driven by a driver (frame / 100) and keeps it. Delete the driver to let takes move it.",
    ),
    "bone renamed": (
        lambda face: setattr(face.parent.pose.bones["Head"], "name", "Other"),
        "Head (now Other) was renamed, and the mapping does not lead there. Give it back its name, or choose it as a "
        "target in the Mapping panel; then write the lines again.",
    ),
    "bone removed": (
        _remove_bone,
        "Head is not there any more, and the lines play without it. Bring it back or choose another target in the "
        "Mapping panel; then write the lines again.",
    ),
    "bone driven": (
        lambda face: _drive(*face.parent.pose.bones["Head"].driver_add("rotation_quaternion")),
        "Head is driven by a driver (frame / 100) and keeps it. Delete the driver to let takes move it.",
    ),
}  # fmt: skip
WRITES: dict[str, Callable[[Lines, Line], object]] = {
    "show": lambda lines, line: lines.show(line.id, 1),
    "mute": lambda lines, line: lines.change(line.id, regions={"eyes": Region(mute=True)}),
    "scale": lambda lines, line: lines.change(line.id, regions={"mouth": Region(scale=0.5)}),
    "intensity": lambda lines, line: lines.change(line.id, intensity=0.7),
    "move": lambda lines, line: lines.change(line.id, start=110),
    "stretch": lambda lines, line: lines.change(line.id, end=145),
    "style": lambda lines, line: lines.change(line.id, style=Style("LINEAR", 0.0)),
    "rewrite": lambda lines, _line: lines.rewrite(),
    "another take": lambda lines, line: lines.add([clip(9)], 100, STYLE, text=line.text, line=line.id),
    "the take removed": lambda lines, line: lines.remove_take(line.id, 0),
}


@pytest.mark.parametrize("what", SINCE)
def test_each_write_says_what_was_renamed_removed_or_driven_since(scene: bpy.types.Scene, what: str) -> None:
    do, sentence = SINCE[what]
    for write in WRITES if what == "key renamed" else ("show", "rewrite"):
        scene = scenes.empty()
        face = character()
        line, _ = add(scene, face, takes=2), add(scene, face, 200)  # a sentence for both
        unchanged = lines_for(scene, face)
        WRITES[write](unchanged, line)
        assert not unchanged.said, (write, "nothing had changed")
        lines_for(scene, face).rewrite()
        do(face)
        bpy.context.view_layer.update()
        line = next(one for one in lines_of(detect_rig(face)) if one.start < 200)
        lines = lines_for(scene, face)
        WRITES["intensity" if write == "the take removed" else write](lines, line)
        assert lines.said == [sentence], write
        again = lines_for(scene, face)
        again.change(line.id, intensity=0.9)
        assert not again.said, (write, "it was said")


#: Ways in which a hidden line is shown again, and with others.
SHOWINGS: dict[str, Callable[[Lines, Line], object]] = {
    "show": lambda lines, line: lines.show(line.id, 1),
    "the same take": lambda lines, line: lines.show(line.id, 0),
    "another take": lambda lines, line: lines.add([clip(9)], 100, STYLE, text=line.text, line=line.id),
    "changed": lambda lines, line: lines.change(line.id, shown=0, intensity=0.7),
    "moved": lambda lines, line: lines.move({line.id: {"shown": 1, "start": 120}}),
}


@pytest.mark.parametrize("what", SINCE)
def test_a_line_that_was_hidden_says_what_it_lost_when_it_is_shown_again(scene: bpy.types.Scene, what: str) -> None:
    do, sentence = SINCE[what]
    for show in SHOWINGS if what == "key removed" else ("show",):
        scene = scenes.empty()
        face = character()
        line = add(scene, face, takes=2)
        hiding = lines_for(scene, face)
        hiding.show(line.id, -1)
        hiding.show(line.id, 0)
        hiding.show(line.id, -1)
        assert not hiding.said, "nothing had changed"
        do(face)
        bpy.context.view_layer.update()
        line = lines_of(detect_rig(face))[0]
        lines = lines_for(scene, face)
        SHOWINGS[show](lines, line)
        if "renamed" in what:  # nothing of it is left that could be found under another name
            names = [name.split(" (now")[0] for name in sentence.split(" w")[0].split(", ")]
            assert len(lines.said) == 1 and all(name in lines.said[0] for name in names)
            assert "not there any more" in lines.said[0]
        else:
            assert lines.said == [sentence], show
        again = lines_for(scene, face)
        again.change(line.id, intensity=0.9)
        assert not again.said and not lines_of(detect_rig(face))[0].moved, (show, "it was said")


def test_what_was_renamed_before_a_line_was_hidden_is_said_then_and_a_known_name_never(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    _blocks(face)["jawOpen"].name = "Kiefer"
    lines = lines_for(scene, face)
    lines.show(line.id, -1)
    assert lines.said == [SINCE["key renamed"][1]]
    _blocks(face)["mouthClose"].name = "MouthClose"  # a name that is known
    lines = lines_for(scene, face)
    lines.show(line.id, 0)
    assert not lines.said
    assert np.ptp(key_values(scene, face, "MouthClose", range(100, 131))) > 0.05


def test_what_was_renamed_moves_again_with_its_old_name_and_its_hand_edits(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    edit(face, "jawOpen", 0.3)
    lines_for(scene, face).rewrite()
    edit(face, "jawOpen", 0.1)
    before = key_values(scene, face, "jawOpen", range(100, 131))
    keys = _blocks(face)
    keys["jawOpen"].name = "Kiefer"
    lines_for(scene, face).rewrite()
    assert np.ptp(key_values(scene, face, "Kiefer", range(95, 135))) == 0
    keys["Kiefer"].name = "jawOpen"
    lines_for(scene, face).rewrite()
    np.testing.assert_allclose(key_values(scene, face, "jawOpen", range(100, 131)), before, atol=0.02)
    keys["jawOpen"].name = "JawOpen"  # a name that is known
    for _ in range(2):
        lines = lines_for(scene, face)
        lines.rewrite([line.id])
        assert not lines.said
        np.testing.assert_allclose(key_values(scene, face, "JawOpen", range(100, 131)), before, atol=0.02)


@pytest.mark.parametrize("again", [False, True])
def test_keys_and_hand_edits_stay_with_the_shape_keys_that_swap_names(scene: bpy.types.Scene, again: bool) -> None:
    """Two keys had each other's name: the animator, who had keyed and raised one of them, gives them the right ones."""
    face = character()
    names, frames = ("noseSneerLeft", "cheekPuff"), [*range(-20, 100), *range(100, 131)]
    keyed, other = names
    scenes.animate_by_hand(face.data.shape_keys, key_path(keyed), {20: 0.5, 60: 0.5, 180: 0.5})
    line = add(scene, face, takes=2)
    plain = {name: key_values(scene, face, name, frames) for name in names}
    edit(face, keyed, 0.3)
    if again:  # it is a layer by then
        lines_for(scene, face).rewrite()
    raised = key_values(scene, face, keyed, frames) - plain[keyed]
    keys = _blocks(face)
    keys[keyed].name, keys[other].name, keys["x"].name = "x", keyed, other
    assert lines_of(detect_rig(face), line.id)[0].edited != again
    for take in (1, 0):
        lines_for(scene, face).show(line.id, take)
    after = {name: key_values(scene, face, name, frames) for name in names}
    lines_for(scene, face).keep_edit(line.id, "DISCARD")
    performed = {name: key_values(scene, face, name, frames) for name in names}
    assert raised.max() > 0.29 and np.abs(after[other] - performed[other] - raised).max() < 0.02
    assert np.abs(after[keyed] - performed[keyed]).max() < 0.012
    assert np.abs(performed[other][:120] - 0.5).max() < 1e-5 and not performed[keyed][:120].any()
    middle = slice(128, 144)  # where the line is, and neither leaves from nor returns to what is around it
    assert all(np.abs(performed[name] - plain[name])[middle].max() < 0.03 for name in names), "what each name is to do"
    lines_for(scene, face).remove(line.id)
    assert key_values(scene, face, other, [25, 110, 200]) == pytest.approx(0.5)
    assert not key_values(scene, face, keyed, [25, 110, 200]).any()


@pytest.mark.parametrize("taken", [0, 1])
@pytest.mark.parametrize("again", [False, True])
def test_nothing_stays_on_the_curves_of_shape_keys_that_swap_names(
    scene: bpy.types.Scene, again: bool, taken: int
) -> None:
    """One of the two is the animator's, beside lines that move the other alone, or after one that takes it."""
    face = character(())
    key, path = face.data.shape_keys, key_path("jawLeft")
    action = scenes.animate_by_hand(key, key_path("jawOpen"), {20: 0.2, 110: 0.3, 115: 0.4, 118: 0.5, 210: 0.6})
    ((_, _, *as_it_was),) = rows_of(action)
    lines = [add(scene, face, start, seed, takes=2) for seed, start in enumerate((100, 200))]
    if taken:
        lines_for(scene, face).change(lines[0].id, regions={"mouth": Region("TAKE"), "jaw": Region("TAKE")})
    keys = _blocks(face)
    keys["jawOpen"].name, keys["jawLeft"].name, keys["x"].name = "x", "jawOpen", "jawLeft"
    for line in lines:
        assert not any(found.edited for found in lines_of(detect_rig(face), line.id)), "nobody edited a key"
    if again:
        rewriting = lines_for(scene, face)
        rewriting.rewrite()
        assert not any("by hand" in sentence for sentence in rewriting.said)
    for line in lines:
        lines_for(scene, face).remove(line.id)
    assert [(at, *rest) for _, at, *rest in rows_of(action)] == [(path, *as_it_was)]


@pytest.mark.parametrize("second", [120, 131])
def test_lines_that_overlap_or_meet_are_found_where_they_were_turned_around(
    scene: bpy.types.Scene, second: int
) -> None:
    face = character(())
    keyed = {20: 0.2, 60: 0.3, 110: 0.4, 115: 0.5, 170: 0.6, 260: 0.7}
    action = scenes.animate_by_hand(face.data.shape_keys, key_path("jawOpen"), keyed)
    line = add(scene, face, 100, 2, takes=2)
    add(scene, face, second, 52)
    for one in curves_in(action, action.slots[0]):
        reversed_about(one, 150)
    places = [(270 - second, 300 - second, 0), (170, 200, 0)]
    assert [(found.start, found.end, found.shown) for found in lines_of(detect_rig(face))] == places
    outside = [*range(30, 270 - second), *range(201, 300)]
    before = played(scene, face, outside)
    lines_for(scene, face).show(line.id, 1)
    found = lines_of(detect_rig(face))
    assert [(one.start, one.end) for one in found] == [place[:2] for place in places]
    assert {one.shown for one in found if one.id == line.id} == {1}
    assert np.abs(played(scene, face, outside) - before).max() < 1e-5
    for one in found:
        lines_for(scene, face).remove(one.id)
    (curve,) = curves_in(action, action.slots[0])
    there = [tuple(point.co) for point in curve.keyframe_points]
    assert there == [pytest.approx((300 - frame, value)) for frame, value in reversed(keyed.items())]


def test_another_frame_rate(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    scene.render.fps = 60
    assert any("another rate" in note for note in cast.found(scene, face).notes)
    lines = lines_for(scene, face)
    lines.rewrite()
    assert not any("another rate" in note for note in cast.found(scene, face).notes)
    (found,) = lines_of(detect_rig(face))
    assert (found.start, found.end) == (100, 100 + 75)
    scene.render.fps_base = 0.0001
    with pytest.raises(LineError, match="keys on each curve"):
        lines_for(scene, face).add([clip(3)], 400, STYLE, text="Too many")
    assert [one.id for one in lines_of(detect_rig(face))] == [line.id]


def test_stretching_keeps_closures_on_frames(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    lines_for(scene, face).change(line.id, end=190)
    (found,) = lines_of(detect_rig(face))
    assert (found.start, found.end) == (100, 190)
    jaw = key_values(scene, face, "jawOpen", range(100, 191))
    close = key_values(scene, face, "mouthClose", range(100, 191))
    assert (np.abs(jaw - close)[jaw > 0.02] < 1e-3).any(), "no frame on which the lips are shut"
    with pytest.raises(LineError, match="two frames"):
        lines_for(scene, face).change(line.id, end=90)


# ---------------------------------------------------------------------------------------------------- hard cases


def test_a_linked_action_is_refused(scene: bpy.types.Scene, tmp_path: Path) -> None:
    action = scenes.animate_by_hand(character(()).data.shape_keys, key_path("jawOpen"), {1: 0.5})
    bpy.data.libraries.write(str(tmp_path / "a.blend"), {action})
    scenes.empty()
    face = character(())
    with bpy.data.libraries.load(str(tmp_path / "a.blend"), link=True) as (there, wanted):
        wanted.actions = list(there.actions)
    data = face.data.shape_keys.animation_data_create()
    data.action = wanted.actions[0]
    data.action_slot = data.action.slots[0]
    with pytest.raises(LineError, match="linked from another file"):
        add(bpy.context.scene, face)


def test_tweak_mode_influence_and_blending_are_refused_with_what_to_do(scene: bpy.types.Scene) -> None:
    face = character(())
    action = scenes.animate_by_hand(face.data.shape_keys, key_path("jawOpen"), {1: 0.5})
    data = face.data.shape_keys.animation_data
    data.action_influence = 0.5
    with pytest.raises(LineError, match="Set it to 1 and Replace"):
        add(scene, face)
    data.action_influence, data.action_blend_type = 1.0, "ADD"
    with pytest.raises(LineError, match="Set it to 1 and Replace"):
        add(scene, face)
    data.action_blend_type = "REPLACE"
    slot = data.action_slot
    data.action = None
    strip = data.nla_tracks.new().strips.new("Strip", 1, action)
    strip.action_slot = slot
    data.nla_tracks.active = data.nla_tracks[0]
    strip.select = True
    data.use_tweak_mode = True
    if data.use_tweak_mode:
        with pytest.raises(LineError, match="tweak mode"):
            add(scene, face)
        data.use_tweak_mode = False
    data.action_extrapolation = "NOTHING"
    assert "jawOpen (NLA)" in add(scene, face, 400).theirs


def test_curves_with_modifiers_drivers_and_mutes_are_theirs(scene: bpy.types.Scene) -> None:
    face = character()
    key = face.data.shape_keys
    for name in ("jawOpen", "mouthPucker", "browInnerUp"):
        scenes.animate_by_hand(key, key_path(name), {1: 0.2, 11: 0.2})
    curves = {c.data_path: c for c in curves_in(key.animation_data.action, key.animation_data.action_slot)}
    curves[key_path("jawOpen")].modifiers.new("CYCLES")
    curves[key_path("mouthPucker")].mute = True
    curves[key_path("browInnerUp")].modifiers.new("NOISE")
    key.key_blocks["cheekPuff"].driver_add("value").driver.expression = "0.3"
    face.parent.pose.bones["Head"].constraints.new("TRACK_TO").target = face
    before = rows_of(key.animation_data.action)
    line = add(scene, face)
    assert set(line.theirs) >= {
        "jawOpen (modifier)", "mouthPucker (muted)", "browInnerUp (noise)", "cheekPuff (driver)", "Head (constraint)",
    }  # fmt: skip
    after = {row[1]: row for row in rows_of(key.animation_data.action)}
    assert all(after[row[1]] == row for row in before)
    lines_for(scene, face).change(line.id, regions={"upper face": Region("TAKE")})
    (line,) = lines_of(detect_rig(face))
    assert "browInnerUp (noise)" not in line.theirs and "jawOpen (modifier)" in line.theirs


@pytest.mark.parametrize("how", ["constant", "driven", "keyed", "in a strip", "in a muted strip"])
def test_a_constraint_that_comes_and_goes_leaves_the_keys_beneath_it(scene: bpy.types.Scene, how: str) -> None:
    face = character()
    constraint = face.parent.pose.bones["Head"].constraints.new("DAMPED_TRACK")
    constraint.target = face
    if how == "driven":
        constraint.driver_add("influence").driver.expression = "0.5"
    elif how == "keyed":
        constraint.keyframe_insert("influence", frame=50)
    elif "strip" in how:
        constraint.keyframe_insert("influence", frame=50)
        data = face.parent.animation_data
        action, slot, data.action = data.action, data.action_slot, None
        data.nla_tracks.new().strips.new("Gaze", 1, action).action_slot = slot
        data.nla_tracks[0].mute = "muted" in how
    bpy.context.view_layer.update()
    assert constraint.influence > 0
    line = add(scene, face)
    assert ("Head (constraint)" in line.theirs) == (how in ("constant", "in a muted strip"))
    paths = {c.data_path for action in bpy.data.actions for slot in action.slots for c in curves_in(action, slot)}
    assert (bone_path("Head") + "rotation_quaternion" in paths) == (how not in ("constant", "in a muted strip"))


def test_an_action_with_several_slots_and_one_that_was_swapped(scene: bpy.types.Scene) -> None:
    face = character()
    key, armature = face.data.shape_keys, face.parent
    action = scenes.animate_by_hand(key, key_path("jawOpen"), {1: 0.2})
    armature.animation_data_create().action = action
    armature.animation_data.action_slot = action.slots.new(id_type="OBJECT", name="Body")
    line = add(scene, face)
    assert armature.animation_data.action == action and len(action.slots) == 2
    assert np.ptp(played(scene, face, range(100, 131))[:, -16:], axis=0).max() > 0.01, "the head is still"
    key.animation_data.action = None
    assert lines_of(detect_rig(face)) == ()
    key.animation_data.action = action
    key.animation_data.action_slot = next(slot for slot in action.slots if slot.target_id_type == "KEY")
    assert [one.id for one in lines_of(detect_rig(face))] == [line.id]


def test_save_and_open_keeps_lines_exactly(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = busy(scene)
    line = add(scene, face, takes=2)
    whole, name = played(scene, face, range(95, 135)), face.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    scene, face = bpy.context.scene, bpy.data.objects[name]
    np.testing.assert_array_equal(played(scene, face, range(95, 135)), whole)
    (found,) = lines_of(detect_rig(face), line.id)
    assert found == line and not found.edited
    lines_for(scene, face).show(line.id, 1)
    lines_for(scene, face).show(line.id, 0)
    np.testing.assert_allclose(played(scene, face, range(95, 135)), whole, atol=1e-5)


@pytest.mark.parametrize("damage", ["text", "clips", "digits", "nan", "group", "surrogate"])
def test_damaged_records_are_named_and_harm_nothing(scene: bpy.types.Scene, damage: str) -> None:
    face = character()
    good, bad = add(scene, face, 200), add(scene, face, 100, takes=2)
    action = face.data.shape_keys.animation_data.action
    stored = action[LINES_PROPERTY][bad.id]
    record = stored["record"]
    if damage == "clips":
        del stored["clips"]["2"]
        with pytest.raises(LineError, match="Generate the line again"):
            lines_for(scene, face).show(bad.id, 1)
        assert {line.id for line in lines_of(detect_rig(face))} == {good.id, bad.id}
        return
    if damage == "group":
        del action[LINES_PROPERTY][bad.id]
        action[LINES_PROPERTY][bad.id] = 3
    elif damage == "surrogate":
        stored["record"] = record.replace("Line at 100", "\\ud800")
    else:
        stored["record"] = {
            "text": "{not JSON",
            "digits": record.replace('"seed":0', f'"seed":{"9" * 4300}'),
            "nan": record.replace('"fps":24.0', '"fps":NaN'),
        }[damage]
    lines = {line.id: line for line in lines_of(detect_rig(face))}
    assert lines[good.id].takes and (damage == "surrogate" or not lines[bad.id].takes)
    lines[bad.id].text.encode()
    before = played(scene, face, range(195, 235))
    lines_for(scene, face).remove(bad.id)
    np.testing.assert_array_equal(played(scene, face, range(195, 235)), before)
    assert np.ptp(played(scene, face, range(95, 135)), axis=0).max() == 0


@pytest.mark.parametrize("damage", ["newer", "text", "record deleted"])
def test_a_line_that_cannot_be_read_is_named_where_another_would_be_written_over_it(
    scene: bpy.types.Scene, damage: str
) -> None:
    face = character()
    bad, good = add(scene, face, 100), add(scene, face, 200, takes=2)
    action = face.data.shape_keys.animation_data.action
    stored = action[LINES_PROPERTY]
    if damage == "record deleted":
        del stored[bad.id]
    else:
        record = stored[bad.id]["record"]
        newer = record.replace(f'"schema_version":{CURRENT["line"]}', '"schema_version":99', 1)
        stored[bad.id]["record"] = newer if damage == "newer" else "{"
    before, said = rows_of(action), []
    for write in (
        lambda lines: lines.add([clip(3)], 110, STYLE, text="New"),
        lambda lines: lines.change(good.id, start=120),
        lambda lines: lines.change(good.id, start=125, end=300),
    ):
        with pytest.raises(LineError, match=f"{bad.id}.* It is on frames 100 to 130, .* delete that one") as refused:
            write(lines_for(scene, face))
        said.append(str(refused.value))
    assert all(("update this one" in one) == (damage == "newer") and one.endswith(".") for one in said)
    assert rows_of(action) == before
    lines_for(scene, face).show(good.id, 1)
    lines_for(scene, face).add([clip(3)], 140, STYLE, text="Beside it")
    move_keys(action, lambda frame: frame + 40, after=-100)
    with pytest.raises(LineError, match="on frames 140 to 170"):
        lines_for(scene, face).add([clip(3)], 150, STYLE, text="Where it is now")
    lines_for(scene, face).remove(bad.id)
    lines_for(scene, face).add([clip(3)], 150, STYLE, text="In its place")


# ------------------------------------------------------------------------------------------------- between jobs


def _data(face: bpy.types.Object) -> bpy.types.AnimData:
    return face.data.shape_keys.animation_data


def _delete_some_keys(face: bpy.types.Object) -> None:
    for curve in curves_in(_data(face).action, _data(face).action_slot)[::2]:
        for point in list(curve.keyframe_points)[len(curve.keyframe_points) // 2 :: -2]:
            if 100 < point.co.x < 130:
                curve.keyframe_points.remove(point)
        curve.update()


def _delete_curves(face: bpy.types.Object) -> None:
    bag = _data(face).action.layers[0].strips[0].channelbag(_data(face).action_slot)
    for curve in [curve for curve in bag.fcurves if "mouth" in curve.data_path]:
        bag.fcurves.remove(curve)


def _single_user(face: bpy.types.Object) -> None:
    _data(face).action = _data(face).action.copy()


def _remove_keys(face: bpy.types.Object) -> None:
    for name in ("mouthClose", "eyeBlinkLeft"):
        face.shape_key_remove(face.data.shape_keys.key_blocks[name])


def _remove_slot(face: bpy.types.Object) -> None:
    _data(face).action.slots.remove(_data(face).action_slot)


def _strip_of_it(face: bpy.types.Object) -> None:
    data, action, slot = _data(face), _data(face).action, _data(face).action_slot
    data.action = None
    data.nla_tracks.new().strips.new("Pushed", 1, action).action_slot = slot


MEANWHILE: dict[str, Callable[[bpy.types.Object], object]] = {
    "some keys deleted": _delete_some_keys,
    "curves deleted": _delete_curves,
    "action unlinked": lambda face: setattr(_data(face), "action", None),
    "action deleted": lambda face: bpy.data.actions.remove(_data(face).action),
    "action renamed": lambda face: setattr(_data(face).action, "name", "Other"),
    "action made single-user": _single_user,
    "action pushed down": _strip_of_it,
    "slot renamed": lambda face: setattr(_data(face).action_slot, "name_display", "Renamed"),
    "slot removed": _remove_slot,
    "slot not chosen": lambda face: setattr(_data(face), "action_slot", None),
    "keys removed": _remove_keys,
    "key driven": lambda face: face.data.shape_keys.key_blocks["jawOpen"].driver_add("value"),
    "bone renamed": lambda face: setattr(face.parent.pose.bones["Head"], "name", "Other"),
    "rotation mode": lambda face: setattr(face.parent.pose.bones["Head"], "rotation_mode", "XYZ"),
    "rotation locked": lambda face: setattr(face.parent.pose.bones["Head"], "lock_rotation", (True, True, True)),
    "armature deleted": lambda face: bpy.data.objects.remove(face.parent),
    "animation cleared": lambda face: face.data.shape_keys.animation_data_clear(),
    "records deleted": lambda face: _data(face).action.pop(LINES_PROPERTY),
    "patches deleted": lambda face: _data(face).action.pop("cteg_patch"),
    "patches damaged": lambda face: _data(face).action.__setitem__("cteg_patch", {"version": 1, "spans": 7}),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_whatever_was_done_meanwhile_there_is_a_sentence_and_nothing_of_the_animators_is_lost(
    scene: bpy.types.Scene, what: str
) -> None:
    face = character()
    mine = {60: 0.3, 90: 0.8, 150: 0.1, 260: 0.6}
    action = scenes.animate_by_hand(face.data.shape_keys, key_path("browInnerUp"), mine)
    line, other = add(scene, face, 100, takes=2), add(scene, face, 200, takes=2)
    keep = action.copy()  # for comparison
    MEANWHILE[what](face)
    bpy.context.view_layer.update()
    said: list[str] = []
    for act in (
        lambda lines: lines.show(line.id, 1),
        lambda lines: lines.rewrite(),
        lambda lines: lines.change(line.id, start=105),
        lambda lines: lines.remove(line.id),
        lambda lines: lines.remove(other.id),
        lambda lines: lines.add([clip(3)], 100, STYLE, text="Another"),
    ):
        try:
            act(lines_for(scene, face))
        except LineError as refusal:
            said.append(str(refusal))
        lines_of(detect_rig(face), line.id)
    assert all(sentence.endswith(".") for sentence in said), said
    left = [action for action in bpy.data.actions if action != keep]
    if what != "action deleted":
        curves = [
            c for a in left for slot in a.slots for c in curves_in(a, slot) if c.data_path == key_path("browInnerUp")
        ]
        strips = [strip for a in left for layer in a.layers for strip in layer.strips]
        curves += [c for strip in strips for bag in strip.channelbags if bag.slot is None for c in bag.fcurves]
        values = {round(p.co.x): p.co.y for c in curves for p in c.keyframe_points}
        if what != "slot removed":
            assert {frame: pytest.approx(value, abs=1e-6) for frame, value in mine.items()}.items() <= values.items()


def test_undo_and_redo_bring_lines_back(scene: bpy.types.Scene) -> None:
    face = character()
    bpy.ops.ed.undo_push(message="Before")
    line = add(scene, face, takes=2)
    bpy.ops.ed.undo_push(message="Line")
    name = face.name
    first = played(scene, face, range(100, 131))
    lines_for(scene, face).show(line.id, 1)
    bpy.ops.ed.undo_push(message="Take")
    second = played(bpy.context.scene, bpy.data.objects[name], range(100, 131))
    bpy.ops.ed.undo()
    face = bpy.data.objects[name]
    assert lines_of(detect_rig(face))[0].shown == 0
    np.testing.assert_array_equal(played(bpy.context.scene, face, range(100, 131)), first)
    bpy.ops.ed.redo()
    face = bpy.data.objects[name]
    np.testing.assert_array_equal(played(bpy.context.scene, face, range(100, 131)), second)
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    assert lines_of(detect_rig(bpy.data.objects[name])) == ()


def test_a_line_takes_little_room_in_a_file(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = character()
    path = tmp_path / "a.blend"
    sizes = [0, 0]
    for k in range(2):
        for start in range(100, 1100, 250):
            if k:
                takes = [smooth(start + n) for n in range(3)]
                lines_for(scene, face).add(takes, start, STYLE, text=f"Line at {start}")
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
        sizes[k] = path.stat().st_size
    action = face.data.shape_keys.animation_data.action
    clips = [bytes(data) for line in action[LINES_PROPERTY].values() for data in line["clips"].values()]
    assert len(clips) == 12 and max(map(len, clips)) <= 20_000
    assert (sizes[1] - sizes[0] - sum(map(len, clips))) / 4 <= 120_000


def smooth(seed: int) -> Clip:
    """Five seconds in which every channel moves as a face does."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 5, 121)[:, None]
    waves = [rng.uniform(0, 0.25, 55) * np.sin(rng.uniform(0.5, 6, 55) * time + rng.uniform(0, 6, 55)) for _ in "abc"]
    return replace(clip(seed, 121), values=np.clip(0.25 + sum(waves), 0, 1).astype(np.float32))


# --------------------------------------------------------------------------------- what was found by breaking it


def test_straight_lines_before_the_first_key_of_a_curve_that_goes_on(scene: bpy.types.Scene) -> None:
    face = character()
    scenes.animate_by_hand(face.data.shape_keys, key_path("mouthFunnel"), {100: 0.3})
    curves_in(_data(face).action, _data(face).action_slot)[0].extrapolation = "LINEAR"
    before = played(scene, face, range(-50, 100))
    lines_for(scene, face).add([clip(1)], 100, Style("LINEAR"), text="Straight")
    np.testing.assert_allclose(played(scene, face, range(-50, 100)), before, atol=1e-6)


def test_lines_that_were_dragged_onto_each_other_blend_and_are_no_hand_edit(scene: bpy.types.Scene) -> None:
    face = character()
    first, second = add(scene, face, 100), add(scene, face, 150, seed=3)
    lines_for(scene, face).change(first.id, start=140)
    wanted = played(scene, face, range(130, 190))
    lines_for(scene, face).change(first.id, start=100)
    for slot in _data(face).action.slots:
        for curve in curves_in(_data(face).action, slot):
            for point in curve.keyframe_points:
                if point.co.x <= 131:
                    point.co.x, point.handle_left.x, point.handle_right.x = (
                        x + 40 for x in (point.co.x, point.handle_left.x, point.handle_right.x)
                    )
            curve.keyframe_points.sort()
            curve.keyframe_points.handles_recalc()
    lines = lines_for(scene, face)
    lines.rewrite()
    assert not any(line.layer for line in lines_of(detect_rig(face)))
    assert (np.abs(played(scene, face, range(130, 190)) - wanted).max(axis=1) < 0.02).mean() > 0.9
    lines.remove(first.id)
    lines.remove(second.id)
    assert not bpy.data.actions


@pytest.mark.parametrize("shift", [5, 40])
def test_a_line_of_which_half_was_moved_leaves_nothing_behind(scene: bpy.types.Scene, shift: int) -> None:
    face = character()
    before = played(scene, face, OUTSIDE)
    line = add(scene, face, takes=2)
    for slot in _data(face).action.slots:
        for curve in curves_in(_data(face).action, slot)[::2]:
            for point in curve.keyframe_points:
                point.co.x, point.handle_left.x, point.handle_right.x = (
                    x + shift for x in (point.co.x, point.handle_left.x, point.handle_right.x)
                )
    lines_for(scene, face).show(line.id, 1)
    lines_for(scene, face).remove(line.id)
    assert not bpy.data.actions
    np.testing.assert_array_equal(played(scene, face, OUTSIDE), before)


def _with_teeth() -> tuple[bpy.types.Object, bpy.types.Object]:
    face = character()
    teeth = scenes.mesh_object("Teeth", [(0, 0, 0), (0, 0, 1), (0, 1, 0)], ["jawOpen", "mouthClose"])
    scenes.skin(teeth, face.parent)
    return face, teeth


def test_followers_keep_what_they_are_set_to(scene: bpy.types.Scene) -> None:
    face, teeth = _with_teeth()
    face.data.shape_keys.key_blocks["jawOpen"].value = 0.1
    teeth.data.shape_keys.key_blocks["jawOpen"].value = 0.4
    line = add(scene, face)
    jaws = [obj.data.shape_keys.key_blocks["jawOpen"] for obj in (face, teeth)]
    scene.frame_set(50)
    assert [jaw.value for jaw in jaws] == [pytest.approx(0.1), pytest.approx(0.4)]
    scene.frame_set(115)
    assert jaws[0].value == pytest.approx(jaws[1].value, abs=0.01)
    lines_for(scene, face).remove(line.id)
    assert [jaw.value for jaw in jaws] == [pytest.approx(0.1), pytest.approx(0.4)]
    assert teeth.data.shape_keys.animation_data is None


def test_a_follower_that_is_renamed_keeps_its_hand_edits(scene: bpy.types.Scene) -> None:
    face, teeth = _with_teeth()
    line = add(scene, face, takes=2)
    edit(teeth, "jawOpen", 0.3)
    lines_for(scene, face).show(line.id, 1)
    edited = key_values(scene, teeth, "jawOpen", range(100, 131))
    teeth.name = "Gums"
    other = scenes.mesh_object("Teeth", [(0, 0, 0), (0, 0, 1), (0, 1, 0)], ["jawOpen"])  # another one has its name
    scenes.skin(other, face.parent)
    lines_for(scene, face).rewrite()
    np.testing.assert_allclose(key_values(scene, teeth, "jawOpen", range(100, 131)), edited, atol=1e-6)
    plain = key_values(scene, face, "jawOpen", range(100, 131))
    np.testing.assert_allclose(key_values(scene, other, "jawOpen", range(100, 131)), plain, atol=0.012)
    edit(teeth, "jawOpen", 0.1)
    lines_for(scene, face).rewrite()
    raised = key_values(scene, teeth, "jawOpen", range(100, 131)) - edited
    assert raised[10:20] == pytest.approx(0.1, abs=0.02) and np.abs(raised[:5]).max() < 0.02
    lines_for(scene, face).remove(line.id)
    assert not [*teeth.data.shape_keys.keys(), *other.data.shape_keys.keys()]


@pytest.mark.parametrize("fields", [
    {"intensity": 11.0}, {"intensity": float("nan")}, {"blend": 20_000}, {"start": -2e6}, {"end": 1e8},
    {"speech": float("nan")}, {"regions": {"mouth": Region(scale=float("nan"))}}, {"style": Style(reduction=-1.0)},
])  # fmt: skip
def test_what_a_line_cannot_be_is_refused_before_anything_is_written(
    scene: bpy.types.Scene, fields: dict[str, Any]
) -> None:
    face = character()
    line = add(scene, face)
    before = rows_of(_data(face).action)
    with pytest.raises(LineError):
        lines_for(scene, face).change(line.id, **fields)
    assert rows_of(_data(face).action) == before and lines_of(detect_rig(face)) == (line,)


def test_a_copy_of_a_whole_character_leaves_no_records_behind(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    copy, rig = face.copy(), face.parent.copy()
    copy.data = face.data.copy()
    for obj in (copy, rig):
        scene.collection.objects.link(obj)
    copy.parent = copy.modifiers[0].object = rig
    for data in (copy.data.shape_keys.animation_data, rig.animation_data):  # as Shift+D does
        slot = data.action_slot.identifier
        data.action = data.action.copy()
        data.action_slot = data.action.slots[slot]
    lines_for(scene, copy).remove(line.id)
    assert not any(LINES_PROPERTY in data.action for data in (rig.animation_data,) if data and data.action)
    assert [one.id for one in lines_of(detect_rig(face))] == [line.id]


def test_a_key_beside_a_line_that_is_dragged_has_its_own_handles_again(scene: bpy.types.Scene) -> None:
    face = character()
    action = scenes.animate_by_hand(face.data.shape_keys, key_path("browInnerUp"), {40: 0.1, 60: 0.7, 150: 0.7})
    line = add(scene, face)
    curve = next(c for c in curves_in(action, action.slots[0]) if c.data_path == key_path("browInnerUp"))
    point = next(point for point in curve.keyframe_points if round(point.co.x) == 60)
    assert (point.handle_left_type, point.handle_right_type) == ("FREE", "FREE")
    point.co.x, point.handle_left.x, point.handle_right.x = 70, point.handle_left.x + 10, point.handle_right.x + 10
    lines_for(scene, face).remove(line.id)
    types = {round(p.co.x): (p.handle_left_type, p.handle_right_type) for p in curve.keyframe_points}
    assert types == dict.fromkeys((40, 70, 150), ("AUTO_CLAMPED", "AUTO_CLAMPED"))


def test_nothing_is_written_while_blender_renders(scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    face = character()
    line = add(scene, face)
    monkeypatch.setattr(lines_module, "rendering", lambda: "render")
    with pytest.raises(LineError, match="Wait for the render to end"):
        lines_for(scene, face).remove(line.id)
    assert lines_of(detect_rig(face)) == (line,)


def test_hiding_one_of_two_lines_that_overlap_leaves_the_length_of_the_other(scene: bpy.types.Scene) -> None:
    face = character()
    first, second = add(scene, face, 100, takes=2), add(scene, face, 115, seed=4, takes=2)
    for _ in range(3):
        lines_for(scene, face).show(second.id, -1)
        lines_for(scene, face).rewrite()
        found = {line.id: (line.start, line.end, line.shown) for line in lines_of(detect_rig(face))}
        assert found[first.id] == (100, 130, 0) and found[second.id] == (115, 145, -1)
        lines_for(scene, face).show(second.id, 0)
        found = {line.id: (line.start, line.end, line.shown) for line in lines_of(detect_rig(face))}
        assert found == {first.id: (100, 130, 0), second.id: (115, 145, 0)}


def test_every_region_may_be_muted(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    muted = {name: Region(mute=True) for name in ("upper face", "eyes", "mouth", "jaw", "head")}
    lines_for(scene, face).change(line.id, regions=muted)
    assert np.ptp(played(scene, face, range(95, 135)), axis=0).max() == 0
    lines_for(scene, face).change(line.id, regions={})
    assert np.ptp(played(scene, face, range(95, 135)), axis=0).max() > 0.1


def test_a_hidden_line_keeps_its_length_where_it_is_moved(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face)
    lines_for(scene, face).show(line.id, -1)
    lines_for(scene, face).change(line.id, start=500)
    (hidden,) = lines_of(detect_rig(face))
    assert (hidden.start, hidden.end) == (500, 530)
    lines_for(scene, face).change(line.id, end=540)
    lines_for(scene, face).show(line.id, 0)
    (shown,) = lines_of(detect_rig(face))
    assert (shown.start, shown.end) == (500, 540)


def test_an_action_of_two_characters_has_lines_of_one(scene: bpy.types.Scene) -> None:
    """As Blender's Merge Animation makes it: a slot each."""
    faces, action = [character(), character()], bpy.data.actions.new("Shot")
    for face in faces:
        for datablock in (face.data.shape_keys, face.parent):
            data = datablock.animation_data_create()
            data.action = action
            data.action_slot = action.slots.new(id_type=datablock.id_type, name=datablock.name)
    bpy.context.view_layer.update()
    line = add(scene, faces[0])
    before = scenes.describe_action(action)
    with pytest.raises(LineError, match=r"The action Shot has lines of .* as well"):
        add(scene, faces[1], 200)
    assert scenes.describe_action(action) == before
    lines_for(scene, faces[0]).rewrite()
    lines_for(scene, faces[0]).remove(line.id)
    assert add(scene, faces[1], 200).start == 200


@pytest.mark.parametrize("what", ["lock", "mute", "modifier"])
def test_what_an_animator_gives_a_curve_of_a_line_stays_on_it(scene: bpy.types.Scene, what: str) -> None:
    face = character()
    line = add(scene, face)

    def given() -> bool:
        curve = scenes.curve(face, "mouthPucker")
        return len(curve.modifiers) == 1 if what == "modifier" else getattr(curve, what)

    curve = scenes.curve(face, "mouthPucker")
    if what == "modifier":
        curve.modifiers.new("NOISE")
    else:
        setattr(curve, what, True)
    for mute in (True, False):
        lines_for(scene, face).change(line.id, regions={"mouth": Region(mute=mute)})
        assert given()
    lines_for(scene, face).show(line.id, -1)
    lines_for(scene, face).show(line.id, 0)
    assert given()


def test_a_locked_curve_that_lines_move_stays_as_it_is(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=2)
    edit(face, "cheekPuff", 0.1)
    locked, head = scenes.curve(face, "cheekPuff"), bone_path("Head") + "rotation_quaternion"
    body = face.parent.animation_data
    turn = [curve for curve in curves_in(body.action, body.action_slot) if curve.data_path == head]
    locked.lock = turn[1].lock = True

    def keys() -> list[Any]:
        return [[(*p.co, *p.handle_left, *p.handle_right) for p in c.keyframe_points] for c in (locked, *turn)]

    before, freely = keys(), key_values(scene, face, "jawOpen", range(100, 131))
    lines_for(scene, face).show(line.id, 1)
    lines_for(scene, face).rewrite()
    assert keys() == before and np.abs(key_values(scene, face, "jawOpen", range(100, 131)) - freely).max() > 0.05
    (found,) = lines_of(detect_rig(face), line.id)
    assert {"cheekPuff (locked)", "Head (locked)"} <= set(found.theirs) and found.layer and not found.edited
    lines = lines_for(scene, face)
    lines.change(line.id, start=300.0)
    (said,) = [sentence for sentence in lines.said if "ocked" in sentence]
    assert said == "Locked channels are written all the same, as the line is on other frames now: cheekPuff, Head."
    assert min(point.co.x for point in locked.keyframe_points) == 300
    assert not any("locked" in word for word in lines_of(detect_rig(face))[0].theirs)
    lines_for(scene, face).remove(line.id)
    assert not len(locked.keyframe_points) and not len(turn[1].keyframe_points)


def test_a_line_of_which_all_is_locked_stays(scene: bpy.types.Scene) -> None:
    face = character(())
    line = add(scene, face, takes=2)
    action = _data(face).action
    for curve in curves_in(action, action.slots[0]):
        curve.lock = True
    before = rows_of(action)
    lines_for(scene, face).show(line.id, 1)
    assert rows_of(action) == before
    (found,) = lines_of(detect_rig(face))
    assert (found.start, found.end, found.shown) == (100, 130, 1)
    lines_for(scene, face).remove(line.id)
    assert not any(len(curve.keyframe_points) for curve in curves_in(action, action.slots[0]))


def test_what_of_hand_edits_cannot_be_kept_is_told(scene: bpy.types.Scene) -> None:
    face = character()
    line = add(scene, face, takes=2)
    action = face.data.shape_keys.animation_data.action
    scenes.curve(face, "jawOpen").keyframe_points.insert(line.start, 0.7)
    scenes.curve(face, "jawOpen").update()
    doomed = scenes.curve(face, "mouthPucker")
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    next(bag for bag in bags if doomed in [*bag.fcurves]).fcurves.remove(doomed)
    lines = lines_for(scene, face)
    lines.show(line.id, 1)
    said = " ".join(lines.said)
    assert "What was deleted by hand is written again: mouthPucker." in said
    assert "On its first and last frame" in said and "a frame inside the line" in said


def test_lines_that_separate_slots_leaves_behind_are_told(scene: bpy.types.Scene) -> None:
    face = character()
    add(scene, face)
    found = detect_rig(face)
    assert diagnose(found, None, lines_of(found)) == []
    bpy.context.view_layer.objects.active = face.parent
    face.parent.select_set(True)
    bpy.ops.anim.separate_slots()
    found = detect_rig(face)
    (said,) = diagnose(found, None, lines_of(found))
    assert said.startswith("“Line at 100” is kept in the action") and "Undo that" in said
