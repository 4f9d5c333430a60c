# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines as strips of the Nonlinear Animation editor, and back."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.performance import strips
from blender_cteg.performance.diagnosis import diagnose
from blender_cteg.performance.lines import LineError, Lines, lines_of
from blender_cteg.performance.store import LINES_PROPERTY

from .test_lines import OUTSIDE, STYLE, add, busy, character, clip, key_values, lifted, played, rows_of


def test_a_line_plays_the_same_as_a_strip_and_comes_back(scene: bpy.types.Scene) -> None:
    face = character()
    face.data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.2
    rig = detect_rig(face)
    first, second = add(scene, face, 100, takes=2), add(scene, face, 200, seed=4)
    whole = played(scene, face, range(90, 240))
    lines = Lines(scene, rig)
    for line in (first, second):
        strips.send(scene, rig, lines, line)
    assert lines_of(rig) == () and any("is a strip" in sentence for sentence in lines.said)
    tracks = [track.name for track in face.data.shape_keys.animation_data.nla_tracks]
    assert tracks == ["CTEG Rest", "CTEG Lines"]
    np.testing.assert_allclose(played(scene, face, range(90, 240)), whole, atol=1e-5)

    for owner in (face.data.shape_keys, face.parent):  # dragged in the editor
        owner.animation_data.nla_tracks["CTEG Lines"].lock = False
        owner.animation_data.nla_tracks["CTEG Lines"].strips[1].frame_start_ui = 210
    said = strips.bring_back(scene, rig, None)
    assert "2 lines are back" in said[-1]
    back = lines_of(rig)
    assert [(line.text, line.start, line.end, len(line.takes)) for line in back] == [
        (first.text, 100, 130, 2),
        (second.text, 210, 240, 1),
    ]
    np.testing.assert_allclose(played(scene, face, range(90, 190)), whole[:100], atol=0.012)
    assert not len(face.data.shape_keys.animation_data.nla_tracks)
    for line in back:
        Lines(scene, rig).remove(line.id)
    assert not bpy.data.actions


@pytest.mark.parametrize("only", ["", "mouth"])
def test_a_strip_whose_values_were_all_edited_comes_back_with_the_edit(scene: bpy.types.Scene, only: str) -> None:
    face = character(("Neck", "Head"))
    rig, line = detect_rig(face), add(scene, face, takes=2)
    strips.send(scene, rig, Lines(scene, rig), line)
    (action,) = (action for action in bpy.data.actions if LINES_PROPERTY in action)
    lifted(action, only)
    before = key_values(scene, face, "mouthPucker", range(106, 122))
    strips.bring_back(scene, rig, None)
    (back,) = lines_of(rig)
    assert back.shown == 0 and len(back.takes) == 2
    np.testing.assert_allclose(key_values(scene, face, "mouthPucker", range(106, 122)), before, atol=0.02)


def test_a_strip_leaves_the_animators_own_animation_alone(scene: bpy.types.Scene) -> None:
    face = busy(scene)
    rig = detect_rig(face)
    action = face.data.shape_keys.animation_data.action
    before, keys = played(scene, face, OUTSIDE), rows_of(action)
    line = add(scene, face)
    strips.send(scene, rig, Lines(scene, rig), line)
    assert rows_of(action) == keys and face.data.shape_keys.animation_data.action == action
    assert np.abs(played(scene, face, OUTSIDE) - before).max() <= 1e-5
    strips.bring_back(scene, rig, None)
    Lines(scene, rig).remove(line.id)
    np.testing.assert_array_equal(played(scene, face, OUTSIDE), before)


def test_there_is_a_sentence_where_nothing_can_be_sent_or_brought(scene: bpy.types.Scene) -> None:
    face = character()
    rig = detect_rig(face)
    with pytest.raises(LineError, match="No line of this character is a strip"):
        strips.bring_back(scene, rig, None)
    line = add(scene, face)
    lines = Lines(scene, rig)
    lines.show(line.id, -1)
    with pytest.raises(LineError, match="Show a take"):
        strips.send(scene, rig, lines, lines_of(rig)[0])


def test_the_pose_under_the_playhead_does_not_become_the_rest(scene: bpy.types.Scene) -> None:
    face = character()
    rig = detect_rig(face)
    before = played(scene, face, OUTSIDE)
    made = [add(scene, face, 100), add(scene, face, 200, seed=3)]
    scene.frame_set(112)
    lines = Lines(scene, rig)
    for line in made:
        strips.send(scene, rig, lines, line)
    np.testing.assert_allclose(played(scene, face, OUTSIDE), before, atol=1e-6)
    scene.frame_set(215)
    strips.bring_back(scene, rig, None)
    for line in made:
        Lines(scene, rig).remove(line.id)
    np.testing.assert_allclose(played(scene, face, OUTSIDE), before, atol=1e-6)


@pytest.mark.parametrize("trouble", ["tweak", "blended", "damaged", "record", "patch"])
def test_strips_that_cannot_be_brought_back_stay(scene: bpy.types.Scene, trouble: str) -> None:
    face = character()
    rig = detect_rig(face)
    strips.send(scene, rig, Lines(scene, rig), add(scene, face))
    data = face.data.shape_keys.animation_data
    track = data.nla_tracks["CTEG Lines"]
    if trouble == "tweak":
        track.lock = False
        data.nla_tracks.active = track
        track.strips[0].select = True
        data.use_tweak_mode = True
        if not data.use_tweak_mode:
            pytest.skip("this Blender enters no tweak mode without a window")
    elif trouble == "blended":
        data.action = bpy.data.actions.new("Mine")
        data.action_slot = data.action.slots.new(id_type="KEY", name="Mine")
        data.action_influence = 0.5
    elif trouble == "patch":
        track.strips[0].action["cteg_patch"] = 3
    elif trouble == "record":
        stored = track.strips[0].action["cteg_lines"]
        stored[next(iter(stored.keys()))]["record"] = "x"
    else:
        stored = track.strips[0].action["cteg_lines"]
        del stored[next(iter(stored.keys()))]["clips"]["1"]
    with pytest.raises(LineError):
        strips.bring_back(scene, rig, None)
    assert len(data.nla_tracks["CTEG Lines"].strips) == 1
    assert len(face.parent.animation_data.nla_tracks["CTEG Lines"].strips) == 1


def test_the_animators_own_strips_stay_and_what_was_done_to_ours_is_said(scene: bpy.types.Scene) -> None:
    face = character()
    rig = detect_rig(face)
    strips.send(scene, rig, Lines(scene, rig), add(scene, face))
    track = face.data.shape_keys.animation_data.nla_tracks["CTEG Lines"]
    track.lock = False
    mine = bpy.data.actions.new("Mine")
    track.strips.new("Mine", 300, mine)
    track.strips[0].use_reverse = True
    said = strips.bring_back(scene, rig, None)
    assert any("reversed" in sentence for sentence in said)
    assert [strip.action for strip in face.data.shape_keys.animation_data.nla_tracks["CTEG Lines"].strips] == [mine]


def test_tracks_may_have_any_name(scene: bpy.types.Scene) -> None:
    face = character()
    rig = detect_rig(face)
    first, second = add(scene, face, 100), add(scene, face, 200, seed=4)
    whole = played(scene, face, range(90, 240))
    strips.send(scene, rig, Lines(scene, rig), first)
    for owner in (face.data.shape_keys, face.parent):
        for track in owner.animation_data.nla_tracks:
            track.name = f"Act 1, {track.name}"
    strips.send(scene, rig, Lines(scene, rig), second)
    np.testing.assert_allclose(played(scene, face, range(90, 240)), whole, atol=1e-5)
    assert [track.name for track in face.data.shape_keys.animation_data.nla_tracks].count("Act 1, CTEG Rest") == 1
    assert not [sentence for sentence in diagnose(rig, None, lines_of(rig)) if "no action plays" in sentence]
    strips.bring_back(scene, rig, None)
    assert [line.start for line in lines_of(rig)] == [100, 200]
    np.testing.assert_allclose(played(scene, face, range(90, 240)), whole, atol=0.012)


def test_a_strip_of_the_animators_on_our_track_is_theirs_when_lines_come_back(scene: bpy.types.Scene) -> None:
    face = character()
    rig = detect_rig(face)
    strips.send(scene, rig, Lines(scene, rig), add(scene, face))
    keys = face.data.shape_keys
    track = keys.animation_data.nla_tracks["CTEG Lines"]
    track.lock = False
    mine = bpy.data.actions.new("Mine")
    slot = mine.slots.new(id_type="KEY", name="Mine")
    bag = mine.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
    curve = bag.fcurves.new('key_blocks["mouthSmileLeft"].value')
    curve.keyframe_points.insert(300, 0.25)
    curve.keyframe_points.insert(310, 0.75)
    strip = track.strips.new("Mine", 300, mine)
    strip.action_slot, strip.extrapolation = slot, "NOTHING"
    before = played(scene, face, range(300, 311))
    strips.bring_back(scene, rig, None)
    assert len(lines_of(rig)) == 1 and not strip.mute
    np.testing.assert_allclose(played(scene, face, range(300, 311)), before, atol=1e-6)


def sent(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    """The first line of a character becomes a strip."""
    rig = detect_rig(face)
    strips.send(scene, rig, Lines(scene, rig), lines_of(rig)[0])


def ours(face: bpy.types.Object) -> list[bpy.types.NlaTrack]:
    """The tracks of strips of a character."""
    tracks = [track for owner in (face.data.shape_keys, face.parent) for track in owner.animation_data.nla_tracks]
    return [track for track in tracks if track.name == "CTEG Lines"]


def test_copies_of_a_strip_are_lines_of_their_own_again_and_again(scene: bpy.types.Scene) -> None:
    face = character(("Neck", "Head"))
    add(scene, face, takes=2)
    for frame in (200, 300):
        sent(scene, face)
        for track in ours(face):
            copy = track.strips.new("copy", frame, track.strips[0].action)
            copy.action_slot = track.strips[0].action_slot
        strips.bring_back(scene, detect_rig(face), None)
    assert [(line.start, len(line.takes)) for line in lines_of(detect_rig(face))] == [(100, 2), (200, 2), (300, 2)]


def test_what_is_refused_leaves_no_action_on_the_character(scene: bpy.types.Scene) -> None:
    face, other = character(("Neck", "Head")), character(("Neck", "Head"))
    add(scene, face)
    sent(scene, face)
    (action,) = (action for action in bpy.data.actions if LINES_PROPERTY in action)
    copy = other.data.shape_keys.animation_data_create().nla_tracks.new().strips.new("Line", 150, action)
    copy.action_slot = action.slots[0]
    with pytest.raises(LineError, match="The strip's action"):
        strips.bring_back(scene, detect_rig(face), None)
    assert face.data.shape_keys.animation_data.action is face.parent.animation_data.action is None
    alone = action.copy()  # as the sentence says
    for track in ours(face):
        track.strips[0].action = alone
    strips.bring_back(scene, detect_rig(face), None)
    assert [line.start for line in lines_of(detect_rig(face))] == [100]


def test_nothing_holds_a_face_whose_strips_were_deleted(scene: bpy.types.Scene) -> None:
    face = character(("Neck", "Head"))
    add(scene, face)
    sent(scene, face)
    lines = Lines(scene, detect_rig(face))
    lines.add([clip(3)], 200, STYLE, text="What?")
    assert any("Send it to a strip as well" in sentence for sentence in lines.said)
    for track in ours(face):
        track.lock = False
        for strip in list(track.strips):
            track.strips.remove(strip)
    strips.bring_back(scene, detect_rig(face), None)
    face.data.shape_keys.key_blocks["jawOpen"].value = 0.7
    scene.frame_set(50)
    assert face.data.shape_keys.key_blocks["jawOpen"].value == pytest.approx(0.7)
    lines.rewrite()
    assert np.ptp(played(scene, face, range(195, 235)), axis=0).max() > 0.3
    with pytest.raises(LineError, match="No line of this character is a strip"):
        strips.bring_back(scene, detect_rig(face), None)


def test_a_muted_track_is_told(scene: bpy.types.Scene) -> None:
    face = character(("Neck", "Head"))
    add(scene, face)
    sent(scene, face)
    for track in ours(face):
        track.mute = True
    assert any("muted" in sentence for sentence in strips.bring_back(scene, detect_rig(face), None))
