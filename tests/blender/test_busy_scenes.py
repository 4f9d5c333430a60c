# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes as animators have them, with lines, treated roughly: without the lines every curve is as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.performance import strips
from blender_cteg.performance.finding import lines_of
from blender_cteg.performance.lines import LineError, Lines
from blender_cteg.performance.owners import curves_in
from blender_cteg.performance.record import Line, Region
from blender_cteg.performance.targets import bone_path, key_path

from . import scenes
from .test_lines import OUTSIDE, STYLE, add, busy, clip, lines_for, played, rows_of

HANDLES = ("AUTO", "AUTO_CLAMPED", "VECTOR", "ALIGNED", "FREE")


def two(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Two characters with animation of every kind: keys before, between and after lines, capture, a strip, a cycle."""
    faces = [busy(scene), busy(scene)]
    for number, face in enumerate(faces):
        key = face.data.shape_keys
        for name, first in (("mouthFunnel", 60), ("cheekPuff", 20)):
            scenes.animate_by_hand(key, key_path(name), {f: (f * 7 % 10) / 10 for f in range(first, 300, 40 + number)})
        action = key.animation_data.action
        for curve in curves_in(action, key.animation_data.action_slot):
            for k, point in enumerate(curve.keyframe_points):
                point.handle_left_type = point.handle_right_type = HANDLES[(k + number) % 5]
                point.interpolation = ("BEZIER", "LINEAR", "CONSTANT", "SINE")[k % 4]
            curve.update()
        curve = curves_in(action, key.animation_data.action_slot)[-1]
        curve.modifiers.new("CYCLES")
    bpy.context.view_layer.update()
    return faces


def everything(scene: bpy.types.Scene) -> dict[str, Any]:
    """All keys of all actions, what is stored on them, and the strips."""
    found: dict[str, Any] = {action.name: (rows_of(action), sorted(action.keys())) for action in bpy.data.actions}
    for obj in scene.objects:
        for owner in (obj, obj.data.shape_keys if obj.type == "MESH" else None):
            data = owner.animation_data if owner is not None else None
            if data is not None:
                tracks = [(track.name, track.mute, len(track.strips)) for track in data.nla_tracks]
                found[f"{owner.name} plays"] = (data.action and data.action.name, tracks)
    return found


def four(scene: bpy.types.Scene, faces: list[bpy.types.Object]) -> list[tuple[bpy.types.Object, Line]]:
    """Two lines that overlap on the first, two apart on the second."""
    starts = ((faces[0], 100, 0), (faces[0], 120, 3), (faces[1], 100, 5), (faces[1], 180, 7))
    return [(face, add(scene, face, start, seed, takes=2)) for face, start, seed in starts]


def _fps(scene: bpy.types.Scene, face: bpy.types.Object, _line: Line) -> None:
    for fps in (30, 24):
        scene.render.fps = fps
        lines_for(scene, face).rewrite()


def _strip_and_back(scene: bpy.types.Scene, face: bpy.types.Object, line: Line) -> None:
    strips.send(scene, detect_rig(face), lines_for(scene, face), line)
    strips.bring_back(scene, detect_rig(face), None)


def _drag_and_mark(scene: bpy.types.Scene, face: bpy.types.Object, line: Line) -> None:
    action = face.data.shape_keys.animation_data.action
    there = {(round(point.co.x, 3), point.co.y) for c in _curves(action) for point in c.keyframe_points}
    for by in (9, -9):
        for curve in _curves(action):
            for point in curve.keyframe_points:
                if point.type == "GENERATED":
                    for where in (point.co, point.handle_left, point.handle_right):
                        where.x += by
        lines_for(scene, face).mark(line.id, 0, favourite=True)
        found = next(one for one in lines_of(detect_rig(face)) if one.id == line.id)
        assert (found.start, found.end) == (line.start + max(by, 0), line.end + max(by, 0))
    assert there == {(round(point.co.x, 3), point.co.y) for c in _curves(action) for point in c.keyframe_points}


def _curves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    return [curve for slot in action.slots for curve in curves_in(action, slot)]


def _edit(scene: bpy.types.Scene, face: bpy.types.Object, line: Line) -> None:
    for action in {face.data.shape_keys.animation_data.action, face.parent.animation_data.action}:
        for curve in _curves(action):
            for point in curve.keyframe_points:
                if point.type == "GENERATED" and line.start < point.co.x < line.end:
                    point.co.y += 0.05
    found = next(one for one in lines_of(detect_rig(face), line.id) if one.id == line.id)
    assert found.edited
    lines_for(scene, face).keep_edit(line.id, "OWN_TAKE")


ROUGH: dict[str, Callable[[bpy.types.Scene, bpy.types.Object, Line], object]] = {
    "nothing": lambda *_: None,
    "every take and none": lambda scene, face, line: [
        lines_for(scene, face).show(line.id, take) for take in (1, -1, 0, -1, 1)
    ],
    "every region": lambda scene, face, line: [
        lines_for(scene, face).change(line.id, regions={name: Region(mode, 0.5, mute)})
        for name in ("mouth", "upper face", "head", "jaw")
        for mode, mute in (("TAKE", False), ("ADD", False), ("FILL", True))
    ],
    "moved over the other and back": lambda scene, face, line: [
        lines_for(scene, face).change(line.id, start=start) for start in (110, 60, 140, 185, 90)
    ],
    "stretched": lambda scene, face, line: [
        lines_for(scene, face).change(line.id, end=line.start + n) for n in (90, 7)
    ],
    "another rate": _fps,
    "to a strip and back": _strip_and_back,
    "dragged and marked": _drag_and_mark,
    "edited": _edit,
}


@pytest.mark.parametrize("how", ROUGH)
def test_four_lines_on_two_characters_leave_no_trace(scene: bpy.types.Scene, how: str) -> None:
    faces = two(scene)
    before = everything(scene)
    outside = [played(scene, face, OUTSIDE) for face in faces]
    made = four(scene, faces)
    for face, line in made:
        ROUGH[how](scene, face, line)
    for number, face in enumerate(faces):
        shown = [(line.start, line.end) for line in lines_of(detect_rig(face)) if line.take is not None]
        free = [f for f in OUTSIDE if not any(start - 1 < f < end + 1 for start, end in shown)]
        rows = [k for k, f in enumerate(OUTSIDE) if f in free]
        assert np.abs(played(scene, face, free) - outside[number][rows]).max() <= 2e-5
    for face in faces:
        for line in lines_of(detect_rig(face)):
            lines_for(scene, face).remove(line.id)
    assert everything(scene) == before


def test_four_lines_through_undo_and_redo(scene: bpy.types.Scene) -> None:
    names = [face.name for face in two(scene)]
    before = everything(scene)
    bpy.ops.ed.undo_push(message="Before")
    states = []
    for name in names:
        for start in (100, 120):
            face = bpy.data.objects[name]
            line = add(bpy.context.scene, face, start, takes=2)
            lines_for(bpy.context.scene, face).change(line.id, regions={"mouth": Region("TAKE")})
            bpy.ops.ed.undo_push(message="Line")
            states.append(everything(bpy.context.scene))
    for state in [*states[:-1][::-1], before]:
        bpy.ops.ed.undo()
        assert everything(bpy.context.scene) == state
    for state in states:
        bpy.ops.ed.redo()
        assert everything(bpy.context.scene) == state
    scene = bpy.context.scene
    for name in names:
        for line in lines_of(detect_rig(bpy.data.objects[name])):
            lines_for(scene, bpy.data.objects[name]).remove(line.id)
    assert everything(scene) == before


def test_keys_that_were_renamed_meanwhile_leave_no_trace_under_either_name(scene: bpy.types.Scene) -> None:
    faces = two(scene)
    before = everything(scene)
    made = four(scene, faces)
    for face in faces:
        for name in ("mouthFunnel", "jawOpen"):
            face.data.shape_keys.key_blocks[name].name = f"My {name}"
        face.parent.pose.bones["Head"].name = "Kopf"
    for face, line in made:
        lines_for(scene, face).show(line.id, 1)
    for face in faces:
        for name in ("mouthFunnel", "jawOpen"):
            face.data.shape_keys.key_blocks[f"My {name}"].name = name
        face.parent.pose.bones["Kopf"].name = "Head"
    for face, line in made:
        lines_for(scene, face).show(line.id, 0)
        lines_for(scene, face).remove(line.id)
    assert everything(scene) == before


def test_a_line_of_the_head_alone_is_shown_and_edited_in_the_action_of_the_armature(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    before = everything(scene)
    line = add(scene, face)
    muted = {name: Region(mute=True) for name in ("upper face", "eyes", "mouth", "jaw")}
    lines_for(scene, face).change(line.id, regions=muted)
    (found,) = lines_of(detect_rig(face), line.id)
    assert (found.shown, found.start, found.end, found.edited) == (0, 100, 130, False)
    action = face.parent.animation_data.action
    for by in (20, -20):
        for curve in _curves(action):
            for point in curve.keyframe_points:
                for where in (point.co, point.handle_left, point.handle_right) if point.type == "GENERATED" else ():
                    where.x += by
        assert lines_of(detect_rig(face))[0].start == 110 + by / 2
    for curve in _curves(action):
        for point in curve.keyframe_points:
            if "Head" in curve.data_path and 105 < point.co.x < 125:
                point.co.y += 0.1
    assert lines_of(detect_rig(face), line.id)[0].edited
    lines_for(scene, face).remove(line.id)
    assert everything(scene) == before


def test_a_line_of_which_nothing_is_left_to_move_can_be_hidden(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    line = add(scene, face)
    for block in face.data.shape_keys.key_blocks[1:]:
        block.name = f"Mine {block.name}"
    rig = detect_rig(face)
    if rig.problem is None:
        Lines(scene, rig, None).show(line.id, -1)
        assert lines_of(rig)[0].shown == -1


def test_a_line_that_cannot_become_a_strip_stays_where_it_is(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    line = add(scene, face)
    for owner, paths in (
        (face.data.shape_keys, [key_path(block.name) for block in face.data.shape_keys.key_blocks[1:]]),
        (face.parent, [bone_path(name) + "rotation_quaternion" for name in ("Head", "Neck")]),
    ):
        action = bpy.data.actions.new("All of it")
        slot = action.slots.new(id_type=owner.id_type, name=owner.name)
        bag = action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
        for path in paths:
            for index in range(4 if "rotation" in path else 1):
                bag.fcurves.new(path, index=index).keyframe_points.insert(1, 0.0)
        owner.animation_data.nla_tracks.new().strips.new("All of it", 1, action).action_slot = slot
    before, rig = everything(scene), detect_rig(face)
    kept = lines_of(rig)
    with pytest.raises(LineError, match="Nothing of this line is left"):
        strips.send(scene, rig, Lines(scene, rig), line)
    assert [one.id for one in lines_of(rig)] == [line.id] and len(kept) == 1
    after = everything(scene)
    assert set(after) == set(before), "an action was left behind"


def test_what_was_lost_while_a_line_was_a_strip_is_said_when_it_comes_back(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    line = add(scene, face)
    strips.send(scene, detect_rig(face), lines_for(scene, face), line)
    face.data.shape_keys.key_blocks["mouthPucker"].name = "Kuss"
    face.shape_key_remove(face.data.shape_keys.key_blocks["cheekPuff"])
    said = strips.bring_back(scene, detect_rig(face), None)
    assert any("mouthPucker (now Kuss) was renamed" in sentence for sentence in said)
    assert any("cheekPuff is not there any more" in sentence for sentence in said)


def test_tweak_mode_refuses_and_harms_nothing(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    clean = everything(scene)
    line, other = add(scene, face), add(scene, face, 200, seed=3)
    data = face.parent.animation_data
    data.nla_tracks.active = data.nla_tracks[0]
    data.nla_tracks[0].strips[0].select = True
    data.use_tweak_mode = True
    if not data.use_tweak_mode:
        pytest.skip("this Blender enters no tweak mode without a window")
    changes: list[Callable[[Lines], object]] = [
        lambda lines: lines.show(line.id, -1),
        lambda lines: lines.remove(other.id),
        lambda lines: lines.change(line.id, start=90),
        lambda lines: lines.add([clip(3)], 110, STYLE, text="Over it"),
    ]
    before = everything(scene)
    for change in changes:
        with pytest.raises(LineError, match="being tweaked"):
            change(lines_for(scene, face))
    lines = lines_for(scene, face)
    lines.rewrite()
    assert any("being tweaked" in sentence for sentence in lines.said)
    assert everything(scene) == before
    lines = lines_for(scene, face)
    apart = lines.add([clip(3)], 300, STYLE, text="Apart")
    assert any("being tweaked" in sentence for sentence in lines.said)
    data.use_tweak_mode = False
    assert [one.id for one in lines_of(detect_rig(face))] == [line.id, other.id, apart.id]
    for one in lines_of(detect_rig(face)):
        lines_for(scene, face).remove(one.id)
    assert everything(scene) == clean
