# SPDX-License-Identifier: GPL-3.0-or-later
"""The cached character and what is drawn of it: looked at when something changed, and never while drawing."""

from __future__ import annotations

import math
from pathlib import Path

import bpy
import pytest

from benchmarks import redraw
from blender_cteg import cast
from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection import detect
from blender_cteg.dialogue import board
from blender_cteg.performance import curves, lines, targets
from blender_cteg.performance.lines import Lines, Style
from blender_cteg.performance.record import Line, Region
from blender_cteg.performance.store import LINES_PROPERTY

from . import characters, scenes


def perform(target: bpy.types.Object, start: float = 1, takes: int = 1, text: str = "I missed you.") -> Line:
    scene, rig = bpy.context.scene, detect.detect_rig(target)
    clips = [scenes.speaking_clip(49, seed) for seed in range(takes)]
    line = Lines(scene, rig, mapping_for(rig, clips[0])).add(clips, start, Style(), text=text)
    cast.refresh(scene)
    return line


def fields() -> bpy.types.PropertyGroup:
    return bpy.context.scene.cteg_fields


def interface() -> bpy.types.PropertyGroup:
    return bpy.context.window_manager.cteg


# ---------------------------------------------------------------------------------------------- drawing


def test_drawing_and_polls_look_at_nothing(stage: bpy.types.Scene) -> None:
    stage.cteg.target = characters.arkit_character()
    for start in (1, 60, 120):
        perform(stage.cteg.target, start, takes=3)
    looked = ((detect, "detect_rig"), (lines, "lines_of"), (targets, "targets_of"), (curves, "ActionPatch"))
    names = [name for name in dir(bpy.ops.cteg) if not name.startswith("_")]
    redraw.redraw()
    with redraw.counted(*looked, (cast, "_active_at")) as counts:
        drawn = redraw.redraw()
        for name in names:
            getattr(bpy.ops.cteg, name).poll()
    assert set(counts.values()) == {0}
    assert "CTEG_UL_lines: 3 rows, active 0" in drawn
    assert "CTEG_UL_takes: 3 rows, active 0" in drawn
    assert "CTEG_UL_mapping: 55 rows, active 0" in drawn


@pytest.mark.parametrize("make", ["nothing", "arkit", "own names", "flame", "plain", "lines", "edited", "several"])
def test_everything_can_be_drawn(stage: bpy.types.Scene, make: str) -> None:
    if make in ("arkit", "lines", "edited"):
        stage.cteg.target = characters.arkit_character()
    elif make == "own names":
        stage.cteg.target = scenes.arkit_face(["Smile_L", "JawDown"], ("neck",))
    elif make == "flame":
        stage.cteg.target = scenes.flame_face()
    elif make == "plain":
        stage.cteg.target = scenes.mesh_object("Plain", [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [])
    elif make == "several":
        stage.cteg.target = characters.crowd(2)[0]
    if make in ("lines", "edited"):
        perform(stage.cteg.target, takes=2)
        perform(stage.cteg.target, 30)
    if make == "edited":
        action = bpy.data.objects["Head"].data.shape_keys.animation_data.action
        curve = next(c for c in action.layers[0].strips[0].channelbags[0].fcurves if "jawOpen" in c.data_path)
        point = curve.keyframe_points[len(curve.keyframe_points) // 2]
        point.co.y += 0.3
        curve.update()
        cast.refresh(stage)
        assert "[Keep as a Take]" in redraw.redraw()
    assert redraw.redraw()
    if make == "nothing":
        assert "[cteg.add_head]" in redraw.redraw()


def test_takes_say_how_long_they_are_where_that_tells_them_apart(stage: bpy.types.Scene) -> None:
    target = stage.cteg.target = characters.arkit_character()
    perform(target, takes=3)
    rows = redraw.redraw()
    assert rows.count("11") == 3 and "2.0 s  11" not in rows
    rig, clips = detect.detect_rig(target), [scenes.speaking_clip(frames, seed) for seed, frames in enumerate((49, 61))]
    lines.Lines(stage, rig, mapping_for(rig, clips[0])).add(clips, 80, Style(), text="Slowly.")
    cast.refresh(stage)
    bpy.context.window_manager.cteg.line = 1
    assert {"2.0 s  11", "2.5 s  11"} <= set(redraw.redraw())


def test_what_is_left_to_others_is_listed_by_what_decides_there(stage: bpy.types.Scene) -> None:
    stage.cteg.target = characters.arkit_character()
    face = cast.refresh(stage).rig.object
    assert face is not None
    key = face.data.shape_keys
    for name in ("mouthFunnel", "jawOpen"):
        scenes.animate_by_hand(key, f'key_blocks["{name}"].value', {1: 0.0, 20: 0.6, 90: 0.1})
    key.key_blocks["browInnerUp"].driver_add("value")
    perform(face)
    cast.refresh(stage)
    assert "Left to others: jawOpen, mouthFunnel (keys); browInnerUp (driver)" in " ".join(redraw.redraw())


# ---------------------------------------------------------------------------------------------- when it is looked at


def test_what_changes_is_seen(stage: bpy.types.Scene) -> None:
    armature = characters.arkit_character()
    stage.cteg.target = armature
    assert cast.character(stage).summary[0] == "ARKit, 52 of 52 shape keys, eyes, neck, head"
    head = bpy.data.objects["Head"]
    head.data.shape_keys.key_blocks["jawOpen"].name = "Open Wide"
    bpy.data.objects["Teeth"].data.shape_keys.key_blocks["jawOpen"].name = "Open Wide"
    bpy.context.view_layer.update()
    assert "jawOpen not found" in cast.character(stage).summary[0]
    armature.pose.bones["Head"].lock_rotation = (True, True, True)
    bpy.context.view_layer.update()
    assert any("Head is locked" in note for note in cast.character(stage).notes)
    bpy.data.objects.remove(bpy.data.objects["Teeth"])
    assert cast.character(stage).rig.followers == ()
    bpy.data.objects.remove(head)
    assert "deforms no mesh with shape keys" in cast.character(stage).problem
    bpy.data.objects.remove(armature)
    assert "Choose the face" in cast.character(stage).problem
    assert redraw.redraw()


def test_undo_and_loading_leave_no_dead_references(stage: bpy.types.Scene, tmp_path: Path) -> None:
    stage.cteg.target = scenes.arkit_face()
    bpy.ops.ed.undo_push(message="face")
    perform(stage.cteg.target)
    bpy.ops.ed.undo_push(message="line")
    bpy.ops.ed.undo()
    assert cast.character(bpy.context.scene).lines == ()
    assert redraw.redraw()
    bpy.ops.ed.redo()
    assert len(cast.character(bpy.context.scene).lines) == 1
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert [line.text for line in cast.character(bpy.context.scene).lines] == ["I missed you."]
    assert redraw.redraw()
    scenes.empty()
    assert "Choose the face" in cast.character(bpy.context.scene).problem


def test_an_object_is_told_from_another_of_its_name(stage: bpy.types.Scene, tmp_path: Path) -> None:
    linked = scenes.link_face(scenes.arkit_face(bones=["Head"]), tmp_path)
    scene = bpy.context.scene
    local = scenes.arkit_face()
    local.name = linked.name
    assert local.name == linked.name
    for target in (local, linked):
        scene.cteg.target = target
        assert cast.character(scene).rig.object == target
    assert "is linked" in cast.character(scene).problem
    elsewhere = bpy.data.scenes.new("Elsewhere")
    elsewhere.cteg.target = local
    assert "not in this scene" in cast.character(elsewhere).problem
    with pytest.raises(RuntimeError, match="not in this scene"), bpy.context.temp_override(scene=elsewhere):
        bpy.ops.cteg.rewrite_lines()


def test_a_copy_of_a_character_is_its_own(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    stage.cteg.target = face
    perform(face)
    shared = face.copy()
    stage.collection.objects.link(shared)
    assert "Avatar.001 has the same mesh" in " ".join(cast.refresh(stage).notes)
    copy = face.copy()
    copy.data = face.data.copy()
    copy.data.shape_keys.animation_data.action = face.data.shape_keys.animation_data.action.copy()
    stage.collection.objects.link(copy)
    stage.cteg.target = copy
    copied = cast.character(stage)
    assert [line.text for line in copied.lines] == ["I missed you."]
    perform(copy, 100, text="Me too.")
    assert len(cast.character(stage).lines) == 2
    face.name, stage.cteg.target = "Renamed", face
    assert len(cast.refresh(stage).lines) == 1


# ---------------------------------------------------------------------------------------------- the active line


def test_the_active_line_follows_clicks_and_the_playhead(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    stage.cteg.target = face
    assert cast.active_line(stage) is None
    first, second, third = (perform(face, start) for start in (10, 100, 200))
    for frame, line in ((1, first), (10, first), (70, first), (120, second), (190, second), (900, third)):
        stage.frame_set(frame)
        assert cast.active_line(stage).id == line.id, frame
    interface().line = 0
    assert cast.active_line(stage).id == first.id
    assert interface().line == 0
    stage.frame_set(170)
    assert cast.active_line(stage).id == first.id, "between lines it stays chosen"
    stage.frame_set(110)
    assert cast.active_line(stage).id == second.id
    cast.choose_line(stage, third.id)
    assert stage.cteg_fields.start == 200
    bpy.ops.cteg.delete_line()
    assert cast.active_line(stage).id == second.id


def test_whoever_chooses_an_entry_waits_for_one_look_at_its_character(stage: bpy.types.Scene) -> None:
    mira, tomas = scenes.arkit_face(), scenes.arkit_face()
    for face in (mira, tomas):
        stage.cteg.target = face
        said = [perform(face, start) for start in (1, 100, 200)]
        for line in said:
            entry = stage.cteg_dialogue.entries.add()
            entry.actor, entry.line = face, line.id
    for place in (0, 1, 5):  # another character, and another line
        stage.cteg_dialogue.entry = place
        with redraw.counted((cast, "found")) as counts:
            board._show_chosen(stage)
            assert cast.active_line(stage).id == stage.cteg_dialogue.entries[place].line
        assert counts == {"found": 1}


def test_fields_change_the_line_and_never_raise(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face(bones=["Head"])
    stage.cteg.target = face
    line = perform(face, 10, takes=3)
    cast.choose_line(stage, line.id)
    fields().take = 2
    assert fields().take == cast.active_line(stage).shown == 2
    fields().start = 30
    assert (fields().start, fields().end) == (30, 78)
    fields().end = 126
    assert (fields().start, fields().end) == (30, 126)
    fields().intensity, fields().speech, fields().blend = 0.5, 0.25, 3
    fields().reduction, fields().interpolation = 0.0, "LINEAR"
    fields().mouth_scale, fields().mouth_mode, fields().upper_face_mute = 0.5, "TAKE", True
    now = cast.active_line(stage)
    assert (now.intensity, now.speech, now.blend) == (0.5, 0.25, 3)
    assert now.style == Style("LINEAR", 0.0)
    assert now.regions == {"mouth": Region("TAKE", 0.5), "upper face": Region(mute=True)}
    assert (fields().mouth_mode, fields().interpolation) == ("TAKE", "LINEAR")
    assert not stage.get("cteg_fields") or not list(stage["cteg_fields"].keys()), "nothing is kept in the file"

    for name, value in (("take", 9), ("end", 3)):
        before = cast.active_line(stage)
        setattr(fields(), name, value)
        assert cast.character(stage).refusal
        assert cast.character(stage).refusal in " ".join(redraw.redraw())
        assert cast.active_line(stage) == before
    track = face.data.shape_keys.animation_data.nla_tracks.new()
    strip = track.strips.new("Work", 500, bpy.data.actions.new("Work"))
    strip.select, track.select = True, True
    fields().intensity = 1.0
    assert cast.character(stage).refusal == ""


def test_a_click_while_a_strip_is_tweaked_is_refused_in_the_panel(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    stage.cteg.target = face
    perform(face, takes=2)
    data = face.data.shape_keys.animation_data
    action, slot = data.action, data.action_slot
    strip_action = bpy.data.actions.new("Strip")
    strip_slot = strip_action.slots.new(id_type="KEY", name="Key")
    track = data.nla_tracks.new()
    strip = track.strips.new("Strip", 300, strip_action)
    strip.action_slot = strip_slot
    strip.select = track.select = True
    data.nla_tracks.active = track
    data.use_tweak_mode = True
    assert data.use_tweak_mode and (data.action, data.action_slot) != (action, slot)
    cast.refresh(stage)
    fields().take = 1
    fields().mouth_mute = True
    data.use_tweak_mode = False
    assert cast.refresh(stage).lines[0].shown == 0


def test_notes_say_what_hides_a_line(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face(bones=["Head"])
    stage.cteg.target = face
    perform(face)
    key, armature = face.data.shape_keys, face.parent
    data = key.animation_data

    def notes() -> str:
        return " ".join(cast.refresh(stage).notes)

    assert notes() == ""
    track = data.nla_tracks.new()
    for change, back, words in (
        (lambda: setattr(track, "is_solo", True), lambda: setattr(track, "is_solo", False), "plays solo"),
        (
            lambda: setattr(data, "action_influence", 0.5),
            lambda: setattr(data, "action_influence", 1.0),
            "influence 0.50",
        ),
        (
            lambda: setattr(key.key_blocks["jawOpen"], "mute", True),
            lambda: setattr(key.key_blocks["jawOpen"], "mute", False),
            "turned off: jawOpen",
        ),
        (lambda: setattr(face, "hide_viewport", True), lambda: setattr(face, "hide_viewport", False), "disabled"),
        (
            lambda: setattr(face, "show_only_shape_key", True),
            lambda: setattr(face, "show_only_shape_key", False),
            "one shape key only",
        ),
        (
            lambda: setattr(armature.data, "pose_position", "REST"),
            lambda: setattr(armature.data, "pose_position", "POSE"),
            "rest position",
        ),
        (
            lambda: setattr(armature.pose.bones["Head"], "rotation_mode", "XYZ"),
            lambda: setattr(armature.pose.bones["Head"], "rotation_mode", "QUATERNION"),
            "rotation mode of Head",
        ),
        (
            lambda: setattr(key.key_blocks["jawOpen"], "slider_max", 0.1),
            lambda: setattr(key.key_blocks["jawOpen"], "slider_max", 1.0),
            "cuts the keys off: jawOpen",
        ),
    ):
        change()
        assert words in notes()
        back()
        assert notes() == "", words
    curve = next(c for c in data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves)
    curve.mute = True
    assert "Channels are muted" in notes()
    curve.mute = False
    constraint = armature.pose.bones["Head"].constraints.new("COPY_ROTATION")
    assert "Constraints act on top" in notes()
    armature.pose.bones["Head"].constraints.remove(constraint)
    driver = key.key_blocks["jawLeft"].driver_add("value").driver
    driver.expression = "0.5"
    assert "jawLeft is driven by a driver" in notes()


def test_tight_sliders_are_widened(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    stage.cteg.target = face
    for name in ("jawOpen", "mouthClose"):
        face.data.shape_keys.key_blocks[name].slider_max = 0.1
    rig = detect.detect_rig(face)
    clip = scenes.arkit_clip()
    Lines(stage, rig).add([clip], 1, Style(), text="Wide", widen=False)
    assert set(cast.refresh(stage).tight) == {"jawOpen", "mouthClose"}
    assert "[cteg.widen_sliders]" in redraw.redraw()
    bpy.ops.cteg.widen_sliders()
    assert cast.character(stage).tight == ()
    assert "[cteg.widen_sliders]" not in redraw.redraw()
    with pytest.raises(RuntimeError, match="wide enough"):
        bpy.ops.cteg.widen_sliders()


def test_damaged_lines_are_told_and_break_nothing(stage: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    stage.cteg.target = face
    line = perform(face)
    action = face.data.shape_keys.animation_data.action
    whole = action[LINES_PROPERTY][line.id]["record"]
    for damage in (
        "{",
        whole.replace('"intensity":1.0', '"intensity":NaN'),
        whole.replace(":0,", f":{'9' * 4300},", 1),
    ):
        action[LINES_PROPERTY][line.id]["record"] = damage
        now = cast.refresh(stage)
        assert any("cannot be read" in note for note in now.notes)
        assert redraw.redraw()
    action[LINES_PROPERTY][line.id]["record"] = whole
    assert cast.refresh(stage).lines[0].text == "I missed you."
    assert math.isfinite(cast.character(stage).lines[0].end)
