# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a line at its end, as the curves play it: it stays, and goes over into the line that follows."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.clip import Clip
from blender_cteg.performance import strips
from blender_cteg.performance.lines import Line, Lines, lines_of
from blender_cteg.performance.record import Region, Style
from blender_cteg.performance.targets import of_lines
from blender_cteg.shared import ARKIT55
from tests.blender.scenes import arkit_face, curve

SMILE, BROW = "mouthSmileLeft", "browInnerUp"


def take(first: float, last: float, ending: str, frames: int = 49, channel: str = SMILE, seed: int = 1) -> Clip:
    """A channel from one value to another within the first half; the others tremble, as those of takes do."""
    values = np.random.default_rng(seed).uniform(0.0, 0.05, (frames, 55)).astype(np.float32)
    course = np.interp(np.arange(frames), [0, frames // 2], [first, last])
    values[:, ARKIT55.channels.index(channel)] = course
    return Clip(values, ARKIT55.channels, 24.0, "arkit55", settings={"ending": ending})


@pytest.fixture
def face(scene: bpy.types.Scene) -> bpy.types.Object:
    return arkit_face()


@pytest.fixture
def lines(scene: bpy.types.Scene, face: bpy.types.Object) -> Lines:
    return Lines(scene, detect_rig(face))


@pytest.fixture
def say(lines: Lines) -> Callable[[Clip, float], Line]:
    return lambda clip, start: lines.add([clip], start, Style(), text=f"From {start:g}.")


def curves(face: bpy.types.Object) -> list[bpy.types.FCurve]:
    data = face.data.shape_keys.animation_data
    action = None if data is None else data.action
    return [] if action is None else list(action.layers[0].strips[0].channelbag(data.action_slot).fcurves)


def played(face: bpy.types.Object, first: float, last: float, channel: str = SMILE) -> np.ndarray:
    """What a channel plays, frame by frame."""
    return np.array([curve(face, channel).evaluate(frame) for frame in np.arange(first, last + 0.5)])


@pytest.mark.parametrize("ending", ["held", "trace"])
@pytest.mark.parametrize("gap", [-8, -3, 0, 1, 2, 12, 24, 100])
def test_what_is_left_stays_until_the_next_line_is_there(
    face: bpy.types.Object, say: Callable[[Clip, float], Line], gap: int, ending: str
) -> None:
    one = say(take(0.0, 0.8, ending), 10)
    other = say(take(0.8, 0.8, "rest"), one.end + gap)
    assert played(face, 10, 11)[0] == 0.0, "it comes in as before"
    assert played(face, 40, other.start + 20) == pytest.approx(0.8, abs=0.01), "the face never drops between"
    assert played(face, other.end, other.end + 50) == pytest.approx(0.0, abs=1e-6), "and comes to rest after both"


@pytest.mark.parametrize("gap", [-3, 0, 1, 12])
def test_a_line_that_comes_to_rest_does_as_before(
    face: bpy.types.Object, say: Callable[[Clip, float], Line], gap: int
) -> None:
    """The same, where nothing is to be held: what the test above must be able to see."""
    one = say(take(0.0, 0.8, "rest"), 10)
    say(take(0.8, 0.8, "rest"), one.end + gap)
    assert played(face, 40, one.end + 20).min() < (0.85 if gap < 0 else 0.05)


@pytest.mark.parametrize("gap", [0, 1, 20, 100])
def test_what_comes_next_comes_in_from_there(
    face: bpy.types.Object, say: Callable[[Clip, float], Line], gap: int
) -> None:
    """Whatever face it begins with itself: one that was there first, or was made by another checkpoint."""
    other = say(take(0.2, 0.2, "rest"), 10 + 48 + gap)
    one = say(take(0.0, 0.8, "held"), 10)
    assert played(face, 40, other.start) == pytest.approx(0.8, abs=0.01)
    course = played(face, other.start, other.start + 8)
    assert (np.diff(course) < 1e-6).all() and np.abs(np.diff(course)).max() < 0.2, "down, and no jump"
    assert course[-1] == pytest.approx(0.2, abs=0.01) and one.end + gap == other.start


def test_where_nothing_follows_it_stays(
    lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line]
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    assert played(face, 40, one.end + 200) == pytest.approx(0.8, abs=0.01)
    assert played(face, 0, 10) == pytest.approx(0.0)
    other = say(take(0.8, 0.0, "rest"), one.end + 30)
    assert played(face, 40, other.start) == pytest.approx(0.8, abs=0.01)
    assert played(face, other.end, other.end + 50) == pytest.approx(0.0, abs=1e-6)
    lines.remove(other.id)
    assert played(face, 40, one.end + 200) == pytest.approx(0.8, abs=0.01)
    lines.remove(one.id)
    assert not curves(face)
    assert face.data.shape_keys.key_blocks[SMILE].value == 0.0


def test_another_ending_another_place_and_what_lies_between(
    lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line]
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    third = say(take(0.8, 0.8, "rest"), one.end + 100)
    between = say(take(0.3, 0.3, "held", 25), one.end + 20)
    assert played(face, 40, between.start) == pytest.approx(0.8, abs=0.01)
    assert played(face, between.start + 6, third.start) == pytest.approx(0.3, abs=0.01), "from the new one"
    lines.remove(between.id)
    assert played(face, 40, third.start) == pytest.approx(0.8, abs=0.01), "into the one after that again"
    lines.move({third.id: {"start": one.end + 40.0}})
    assert played(face, 40, one.end + 60) == pytest.approx(0.8, abs=0.01)
    lines.move({third.id: {"start": 1.0 - 60.0}})  # before it
    assert played(face, 40, one.end + 90) == pytest.approx(0.8, abs=0.01)
    assert played(face, -10, 10) == pytest.approx(0.0, abs=1e-6)
    lines.add([take(0.0, 0.8, "rest")], 10, Style(), text=one.text, line=one.id)
    assert played(face, one.end, one.end + 90) == pytest.approx(0.0, abs=1e-6), "this take comes to rest"


def test_where_the_animator_has_keys_these_play(
    scene: bpy.types.Scene, face: bpy.types.Object, lines: Lines, say: Callable[[Clip, float], Line]
) -> None:
    key = face.data.shape_keys.key_blocks[BROW]
    for frame, value in ((1, 0.2), (120, 0.4), (150, 0.1)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    before = played(face, 1, 150, BROW)
    one = say(take(0.0, 0.8, "held"), 10)
    other = say(take(0.8, 0.8, "held"), one.end + 12)
    after = played(face, 1, 150, BROW)
    outside = np.r_[0:9, int(one.end) : int(other.start) - 1, int(other.end) : 150]
    assert after[outside] == pytest.approx(before[outside], abs=1e-5)
    assert played(face, 40, other.start) == pytest.approx(0.8, abs=0.01), "and the others are held all the same"


def test_regions_that_the_next_line_leaves_out_come_to_rest(
    face: bpy.types.Object, lines: Lines, say: Callable[[Clip, float], Line]
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    other = say(take(0.8, 0.8, "rest"), one.end + 12)
    lines.change(other.id, regions={"mouth": Region(mute=True)})
    assert played(face, one.end, other.end) == pytest.approx(0.0, abs=1e-6)
    lines.change(other.id, regions={"upper face": Region(mute=True)})
    assert played(face, 40, other.start + 20) == pytest.approx(0.8, abs=0.01), "those alone"
    lines.change(other.id, regions={"mouth": Region(scale=0.5)})
    assert played(face, 40, other.start) == pytest.approx(0.8, abs=0.01)
    assert played(face, other.start + 6, other.start + 9) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("gap", [0, 12])
def test_glances_and_blinks_end_unless_the_next_line_is_near(
    lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line], gap: int
) -> None:
    one = say(take(0.0, 0.8, "held", channel="eyeLookDownLeft"), 10)
    assert played(face, one.end, one.end + 90, "eyeLookDownLeft") == pytest.approx(0.0, abs=1e-6)
    other = say(take(0.8, 0.8, "rest", channel="eyeLookDownLeft"), one.end + gap)
    assert played(face, 40, other.start + 20, "eyeLookDownLeft") == pytest.approx(0.8, abs=0.01)
    lines.move({other.id: {"start": one.end + 60}})
    assert played(face, one.end, one.end + 60, "eyeLookDownLeft") == pytest.approx(0.0, abs=1e-6)
    lines.move({other.id: {"start": one.end + gap}})
    assert played(face, 40, one.end + gap + 20, "eyeLookDownLeft") == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("gap", [0, 1, 12])
def test_what_is_changed_by_hand_at_the_end_is_kept(
    lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line], gap: int
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    for point in curve(face, SMILE).keyframe_points:
        if point.co.x > 30:
            for spot in (point.co, point.handle_left, point.handle_right):
                spot.y -= 0.3
    other = say(take(0.5, 0.5, "rest"), one.end + gap)
    assert played(face, 40, other.start + 20) == pytest.approx(0.5, abs=0.02)
    assert not any("not kept" in sentence for sentence in lines.said)


def test_a_line_that_is_dragged_away_by_hand(
    lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line]
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    other = say(take(0.8, 0.8, "rest"), one.end + 12)
    for c in curves(face):
        for point in c.keyframe_points:
            if point.co.x > one.end + 6:
                for spot in (point.co, point.handle_left, point.handle_right):
                    spot.x += 40
        c.update()
    assert [(line.id, line.start) for line in lines_of(detect_rig(face))] == [
        (one.id, 10),
        (other.id, other.start + 40),
    ]
    assert played(face, 40, other.start + 60) == pytest.approx(0.8, abs=0.01)
    lines.change(one.id, intensity=0.5)
    assert played(face, 40, one.end)[0] == pytest.approx(0.4, abs=0.01)
    assert played(face, one.end, other.start + 40) == pytest.approx(0.4, abs=0.01)
    assert played(face, other.start + 46, other.start + 60) == pytest.approx(0.8, abs=0.01)
    assert not any(line.edited or line.layer for line in lines_of(detect_rig(face)))


def test_a_line_whose_keys_were_deleted_by_hand_stays_away(
    lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line]
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    other = say(take(0.8, 0.8, "rest", seed=2), one.end + 12)
    for c in curves(face):
        for point in [point for point in c.keyframe_points if point.co.x < one.end + 6][::-1]:
            c.keyframe_points.remove(point)
        c.update()
    lines.change(other.id, intensity=1.0)
    assert played(face, 1, other.start) == pytest.approx(0.0, abs=1e-6)
    lines.remove(other.id)
    assert not curves(face)


def test_in_a_strip_of_its_own_a_line_ends_with_the_strip(
    scene: bpy.types.Scene, lines: Lines, face: bpy.types.Object, say: Callable[[Clip, float], Line]
) -> None:
    one = say(take(0.0, 0.8, "held"), 10)
    strips.send(scene, detect_rig(face), lines, one)
    tracks = face.data.shape_keys.animation_data.nla_tracks
    assert [of_lines(strip) for track in tracks for strip in track.strips].count(True) >= 1
    shown = []
    for frame in (40, one.end - 1, one.end, one.end + 1):
        scene.frame_set(round(frame))
        shown.append(face.data.shape_keys.key_blocks[SMILE].value)
    assert shown[0] == pytest.approx(0.8, abs=0.01) and shown[2:] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert 0.0 < shown[1] < 0.2, "no jump"
    strips.bring_back(scene, detect_rig(face), None)
    assert played(face, 40, one.end + 90) == pytest.approx(0.8, abs=0.01)
