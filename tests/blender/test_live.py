# SPDX-License-Identifier: GPL-3.0-or-later
"""Live directing: the shown take performed again with the same draws, newest wish first, one undo step, taken back."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg import cast
from blender_cteg.clip import Clip
from blender_cteg.operators import live
from blender_cteg.performance.directing import as_written, emphasis_of, emphasised, word_at
from blender_cteg.performance.lines import Lines, clip_of
from blender_cteg.performance.record import Line, Style
from blender_cteg.worker import session
from blender_cteg.worker.live import Live
from blender_cteg.worker.protocol import Cancelled, Done, Failed, Performed

from . import scenes
from .scenes import active, curve
from .test_operators import add_face

pytestmark = pytest.mark.usefixtures("generator")
TEXT = "I knew that you would come back one day."


@pytest.fixture
def face(scene: bpy.types.Scene) -> bpy.types.Object:
    scene.cteg.target, scene.cteg.text = add_face(), TEXT
    return scene.cteg.target


@pytest.fixture
def line(face: bpy.types.Object) -> Line:
    bpy.ops.cteg.perform(emotion="joy", takes=2, seed=3, spread=False, seconds=5.0, start_frame=10)
    return active()


def numbers() -> Clip:
    clip = clip_of(cast.character(bpy.context.scene).rig, active())
    assert clip is not None
    return clip


def fields() -> Any:
    return bpy.context.window_manager.cteg_live


def test_a_take_that_is_directed_as_it_was_is_the_same_take(line: Line) -> None:
    before = numbers()
    assert bpy.ops.cteg.direct_live(intensity=1.0) == {"FINISHED"}
    np.testing.assert_allclose(numbers().values, before.values, atol=2e-3)  # half precision, times to 0.1 ms
    assert active().takes == line.takes and active().shown == line.shown


def test_fields_show_what_the_take_was_asked_for_and_direct_it(line: Line) -> None:
    before, names = numbers(), [take.key for take in line.takes]
    assert (fields().emotion, fields().emotion_with, fields().energy) == ("joy", "none", 1.0)
    fields().intensity = 1.4
    now = active()
    assert live.directing is None and session.live is None
    assert ([take.key for take in now.takes], now.shown, now.start, now.end) == (names, 0, line.start, line.end)
    assert now.take.seed == 3 and now.take.settings["intensity"] == pytest.approx(1.4)
    assert fields().intensity == pytest.approx(1.4)
    change = np.abs(numbers().values - before.values)
    assert change.max() > 0.05
    # The same draws: what moves when it moved is alike; another seed's take is not.
    alike = np.corrcoef(np.diff(numbers().values, axis=0).ravel(), np.diff(before.values, axis=0).ravel())[0, 1]
    bpy.ops.cteg.show_take(take=1)
    other = np.corrcoef(np.diff(numbers().values, axis=0).ravel(), np.diff(before.values, axis=0).ravel())[0, 1]
    assert alike > 0.6 > other
    bpy.ops.cteg.show_take(take=0)
    fields().emotion = "anger"
    assert active().take.emotion == "anger" and active().take.settings["intensity"] == pytest.approx(1.4)
    fields().emotion_with = "sadness"
    fields().share = 0.8
    assert active().take.settings["share"] == pytest.approx(0.8)
    assert active().takes[1] == line.takes[1]


def test_a_word_is_emphasised_where_it_is_and_the_words_stay(line: Line) -> None:
    before = numbers()
    timeline = before.timeline
    assert timeline is not None
    place = next(k for k, word in enumerate(timeline.words) if word.text == "would")
    bpy.context.scene.frame_set(active().scene_frame(round(24 * timeline.words[place].vowel.centre)))
    assert fields().emphasis == pytest.approx(emphasis_of(timeline, place))
    fields().emphasis = 1.6
    after = numbers()
    assert after.timeline is not None and after.timeline.words == timeline.words
    assert fields().emphasis == pytest.approx(1.6)
    moved = np.abs(after.values - before.values).max(axis=1)
    at = round(24 * timeline.words[place].vowel.centre)
    assert moved[max(at - 6, 0) : at + 12].max() > 0.01


def test_a_line_looks_where_it_is_directed_and_its_take_stays(face: bpy.types.Object, line: Line) -> None:
    def looks() -> np.ndarray:
        out, inward = (curve(face, f"eyeLook{way}Left") for way in ("Out", "In"))
        return np.array([out.evaluate(frame) - inward.evaluate(frame) for frame in range(40, 100)])

    before, takes = looks(), active().takes
    bpy.context.scene.frame_set(70)
    assert fields().look_left == 0.0
    fields().look_left = 0.45
    assert live.directing is None and session.live is None
    assert active().takes == takes and fields().look_left == pytest.approx(0.45)
    # What the head leaves to the eyes, and what it does by itself.
    turned = 0.35 * 0.45 - numbers().channel("headYaw")[30:90].mean()
    assert (looks() - before).mean() == pytest.approx(turned / 0.5, abs=0.03)
    assert [glance.yaw for glance in active().gaze] == [0.0, pytest.approx(0.45), 0.0]
    assert bpy.ops.cteg.direct_live(look_left=-0.45, look_up=0.2, intensity=1.3) == {"FINISHED"}
    aimed = active().gaze[1]
    assert (aimed.yaw, aimed.pitch) == (pytest.approx(-0.45), pytest.approx(-0.2))
    assert active().take.settings["intensity"] == pytest.approx(1.3)
    bpy.ops.cteg.direct_live(intensity=1.0)
    assert active().gaze[1] == aimed


def test_where_a_line_looks_is_taken_back_with_the_rest(line: Line) -> None:
    bpy.context.scene.frame_set(70)
    live._wanted(bpy.context, "look_up", 0.3)
    now = live.directing
    assert now is not None and not now.settled
    assert now.update(bpy.context.scene) and now.settled
    assert active().gaze and active().gaze != line.gaze
    now.take_back(bpy.context.scene)
    live._end()
    assert active().gaze == line.gaze


def test_an_edit_by_hand_stays_on_what_is_performed(face: bpy.types.Object, line: Line) -> None:
    points = curve(face, "browInnerUp").keyframe_points
    edited = next(p for p in points if p.co[0] > 40)
    frame, was = edited.co[0], edited.co[1]
    edited.co[1] += 0.4
    fields().energy = 1.3
    assert active().layer
    directed = curve(face, "browInnerUp").evaluate(frame)
    bpy.ops.cteg.keep_edit(how="DISCARD")
    assert directed - curve(face, "browInnerUp").evaluate(frame) == pytest.approx(0.4, abs=0.02)
    assert was != pytest.approx(directed, abs=0.1)


def test_what_is_seen_comes_first_and_the_rest_is_as_it_was_until_it_comes(line: Line) -> None:
    scene, before = bpy.context.scene, numbers()
    scene.frame_set(10)
    live._wanted(bpy.context, "intensity", 1.5)
    now = live.directing
    assert now is not None
    while not now.update(scene, timeout=0.05):
        pass
    begun = numbers().values
    assert np.abs(begun[:36] - before.values[:36]).max() > 0.05
    np.testing.assert_array_equal(begun[48:], before.values[48:])
    assert np.abs(np.diff(begun[38:50], axis=0)).max() < 0.3  # the one becomes the other
    live._settle(bpy.context)
    assert now.updates == 2
    whole = numbers().values
    np.testing.assert_allclose(whole[:40], begun[:40], atol=2e-3)
    assert np.abs(whole[60:] - before.values[60:]).max() > 0.05


def test_what_is_taken_back_is_as_it_was(face: bpy.types.Object, line: Line) -> None:
    scene, before = bpy.context.scene, numbers()
    plays = [curve(face, "mouthSmileLeft").evaluate(frame) for frame in range(140)]
    live._wanted(bpy.context, "emotion", "anger")
    now = live.directing
    assert now is not None
    while not now.update(scene, timeout=0.05):
        pass
    assert [curve(face, "mouthSmileLeft").evaluate(frame) for frame in range(140)] != plays
    now.take_back(scene)
    live._end()
    assert active().takes == line.takes
    np.testing.assert_array_equal(numbers().values, before.values)
    np.testing.assert_allclose([curve(face, "mouthSmileLeft").evaluate(f) for f in range(140)], plays, atol=1e-5)
    assert session.live is None and session.job is None


def test_a_take_made_from_another_keeps_its_descent(line: Line) -> None:
    bpy.ops.cteg.perform(mode="VARY", takes=1, amount=0.3)
    vary, before = active().take.settings["vary"], numbers()
    bpy.ops.cteg.direct_live(intensity=1.0)
    np.testing.assert_allclose(numbers().values, before.values, atol=2e-3)
    bpy.ops.cteg.direct_live(intensity=0.6)
    assert active().take.settings["vary"] == vary


def test_it_is_one_undo_step(face: bpy.types.Object, line: Line) -> None:
    bpy.ops.ed.undo_push(message="Generate")
    before = numbers().values
    bpy.ops.cteg.direct_live(intensity=1.5)
    bpy.ops.ed.undo_push(message="Direct Live")
    after = numbers().values
    bpy.ops.ed.undo()
    np.testing.assert_array_equal(numbers().values, before)
    assert fields().intensity == 1.0
    bpy.ops.ed.redo()
    np.testing.assert_array_equal(numbers().values, after)


def test_a_line_that_cannot_be_written_is_left_and_let_go_of(face: bpy.types.Object, line: Line) -> None:
    before, animation = numbers(), face.data.shape_keys.animation_data
    animation.action_influence = 0.5
    with pytest.raises(RuntimeError, match=r"influence 0\.50") as told:
        bpy.ops.cteg.direct_live(intensity=0.5)
    assert "Traceback" not in str(told.value)
    assert live.directing is None and session.live is None
    animation.action_influence = 1.0
    np.testing.assert_array_equal(numbers().values, before.values)
    assert bpy.ops.cteg.direct_live(intensity=0.5) == {"FINISHED"}


def test_a_field_is_followed_in_its_own_window(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers know no window, and the first one may show another scene."""
    calls: list[Any] = []
    window, override = SimpleNamespace(), lambda **given: calls.append(given) or nullcontext()
    direct_live = SimpleNamespace(direct_live=calls.append)
    monkeypatch.setattr(live, "bpy", SimpleNamespace(
        app=SimpleNamespace(background=False, timers=SimpleNamespace(register=lambda follow, **_: follow())),
        context=SimpleNamespace(temp_override=override, window=None, window_manager=SimpleNamespace(windows=[None])),
        ops=SimpleNamespace(cteg=direct_live),
    ))  # fmt: skip
    context = SimpleNamespace(scene=bpy.context.scene, window=window, preferences=bpy.context.preferences)
    try:
        live.direct(context, "intensity", 0.5)
        assert calls == [{"window": window}, "INVOKE_DEFAULT"]
    finally:
        live._end()


def test_what_cannot_be_directed_is_said(face: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = bpy.context.scene
    with pytest.raises(RuntimeError, match="No take is shown"):
        bpy.ops.cteg.direct_live(intensity=0.5)
    now = cast.character(scene)
    clip = replace(scenes.speaking_clip(121), settings={"checkpoint": "default"})
    Lines(scene, now.rig, now.mapping).add([clip], 10, Style(), text=TEXT)
    cast.refresh(scene)
    with pytest.raises(RuntimeError, match="An earlier CTEG made the shown take"):
        bpy.ops.cteg.direct_live(intensity=0.5)
    clip = replace(scenes.speaking_clip(121), settings={"checkpoint": "mine", "ending": "rest"}, text=TEXT)
    clip = replace(clip, timeline=None)
    before = Lines(scene, now.rig, now.mapping).add([clip], 200, Style(), text=TEXT)
    cast.choose_line(scene, before.id)
    with pytest.raises(RuntimeError, match="choose mine to direct it"):
        bpy.ops.cteg.direct_live(intensity=0.5)
    assert active().takes == before.takes and live.directing is None and session.live is None
    with pytest.raises(RuntimeError, match=r"Intensity must be from 0 to 1\.5, not 7"):
        bpy.ops.cteg.direct_live(intensity=7.0)
    fields().energy = 1.55
    assert "choose mine to direct it" in cast.character(scene).refusal


# ------------------------------------------------------------------------------------------------ the newest wish


class Door:
    """A client that performs when it is told to."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.cancelled: list[int] = []
        self.events: list[Any] = []

    def submit(self, request: dict[str, Any]) -> int:
        self.asked.append(request["lines"][0])
        return len(self.asked)

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        self.events.append(Cancelled(number))

    def poll(self, timeout: float = 0.0) -> list[Any]:
        events, self.events = self.events, []
        return events

    def perform(self) -> None:
        clip = replace(scenes.arkit_clip(), seed=self.asked[-1]["seed"])
        self.events += [Performed(len(self.asked), clip, ()), Done(len(self.asked))]


def test_only_the_newest_wish_is_performed_and_then_the_rest_of_it() -> None:
    door = Door()
    asks = Live(door, {})  # type: ignore[arg-type]
    for seed in range(3):
        asks.wish({"seed": seed, "until": 48})
    assert asks.poll() is None and [line["seed"] for line in door.asked] == [2]
    for seed in (3, 4, 5):
        asks.wish({"seed": seed, "until": 48})
        assert asks.poll() is None
    door.perform()
    arrived = asks.poll()
    assert arrived is not None and (arrived[0].seed, arrived[1]) == (2, False)
    assert [line["seed"] for line in door.asked] == [2, 5] and not asks.settled
    door.perform()
    assert asks.poll() is not None and door.asked[-1] == {"seed": 5, "until": None}
    asks.wish({"seed": 6, "until": 48})  # nobody waits for the rest of the old one
    assert door.cancelled == [3]
    assert asks.poll() is None and door.asked[-1] == {"seed": 6, "until": 48}
    door.perform()
    asks.poll()
    door.perform()
    arrived = asks.poll()
    assert arrived is not None and arrived[1] and asks.settled


def test_a_hand_that_never_rests_is_followed_where_the_whole_take_is_seen() -> None:
    door = Door()
    asks = Live(door, {})  # type: ignore[arg-type]
    for seed in range(5):
        asks.wish({"seed": 2 * seed, "until": None})
        asks.poll()
        asks.wish({"seed": 2 * seed + 1, "until": None})
        door.perform()
        arrived = asks.poll()
        assert arrived is not None and arrived[1]
    assert door.cancelled == [] and [line["seed"] for line in door.asked] == [0, 1, 3, 5, 7, 9]


def test_a_refusal_ends_it_and_what_is_stopped_is_not_heard_of_again() -> None:
    door = Door()
    asks = Live(door, {})  # type: ignore[arg-type]
    asks.wish({"seed": 1, "until": None})
    asks.poll()
    door.events.append(Failed(1, "input", "The line is refused."))
    assert asks.poll() is None and asks.problem == "The line is refused." and asks.settled
    asks.wish({"seed": 2, "until": None})
    asks.poll()
    asks.stop()
    door.perform()
    assert door.cancelled == [2] and asks.poll() is None and asks.settled


# ------------------------------------------------------------------------------------------------ emphasis


def test_emphasis_of_a_word() -> None:
    timeline = scenes.timeline(5.0)
    assert timeline.accents == () and emphasis_of(timeline, 1) == 0.0
    strong = emphasised(timeline, 1, 1.2)
    assert emphasis_of(strong, 1) == 1.2 and emphasis_of(strong, 0) == 0.0 and strong.words == timeline.words
    assert emphasised(strong, 1, 0.0) == timeline
    both = emphasised(emphasised(strong, 0, 0.7), 1, 0.4)
    assert [accent.size for accent in both.accents] == [0.7, 0.4]
    middle = 0.5 * (timeline.words[1].start + timeline.words[1].end)
    assert word_at(timeline, middle) == 1 and word_at(timeline, 0.0) == 0
    assert word_at(timeline, 99.0) == len(timeline.words) - 1
    assert word_at(replace(timeline, words=()), 1.0) is None


def test_a_word_is_shown_as_the_line_writes_it() -> None:
    line = "You kept IT? Mr. O'Hara kept it at 5, McCoy."
    spoken = "you kept it mister o'hara kept it at five mccoy".split()
    words = tuple(replace(scenes.timeline(5.0).words[0], text=word) for word in spoken)
    timeline = replace(scenes.timeline(5.0), text=line, words=words)
    shown = [as_written(timeline, place) for place in range(len(words))]
    assert shown == ["You", "kept", "IT", "mister", "O'Hara", "kept", "it", "at", "five", "McCoy"]
