# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions are performed as what they are, at their place: what each does to a face, measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from generator.direction.actions import Action, action_table, opposites
from generator.direction.brackets import Stage
from generator.direction.requests import LineRequest, Origin
from generator.performing.acting import Placed, act, gesture_of, natural_seconds, placed_between, variation
from generator.performing.cteg import CtegPerformer
from generator.performing.draws import TakeSeed
from generator.performing.load import load_performer
from generator.shared.articulation import columns
from generator.shared.composing import whole_face
from generator.shared.spaces import ARKIT55
from generator.speech.reading import read_line
from generator.speech.timing import time_line

FPS = ARKIT55.fps
STILL = np.zeros((144, 55), np.float32)
START = 1.0


def done(name: str, frames: npt.NDArray[np.float32] = STILL, draws: Any = 0.0, **how: Any) -> npt.NDArray[np.float32]:
    """Frames in which ``name`` is done after a second."""
    action = Action(name, **how)
    placed = [Placed(Stage("action", name, 0, action), START, natural_seconds(action))]
    return act(frames, placed, np.zeros((1, 4)) + draws, ARKIT55)


def channel(face: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    """A channel, the larger of its two sides where it ends in "*"."""
    return face[:, list(columns(name))].max(1)


def peaks(curve: npt.NDArray[np.float32], least: float) -> list[int]:
    """Frames of maxima that stand out by ``least`` from the valleys before and after them."""
    found, low, best = [], float(curve[0]), 0
    rising = True
    for at, value in enumerate(curve):
        if rising:
            if value > curve[best] or best == 0:
                best = at
            if curve[best] - value >= least and curve[best] - low >= least:
                found.append(best)
                rising, low = False, float(value)
        else:
            low = min(low, float(value))
            if value - low >= least:
                rising, best = True, at
    return found


def gaze(face: npt.NDArray[np.float32], side: str = "Left") -> npt.NDArray[np.float32]:
    """Pitch (down) and yaw (to the character's left) of an eye in the head, radians, (T, 2)."""
    outwards, inwards = ("Out", "In") if side == "Left" else ("In", "Out")
    look = {way: channel(face, f"eyeLook{way}{side}") for way in ("Down", "Up", "In", "Out")}
    return 0.52 * np.stack([look["Down"] - look["Up"], look[outwards] - look[inwards]], 1)


@pytest.mark.parametrize("name", action_table())
def test_every_action_stays_within_its_time_and_the_face(name: str) -> None:
    row = action_table()[name]
    assert 0.0 <= row["apart"] <= 1.0 and row["words"]
    crowded = np.tile(np.clip(np.linspace(0, 1, 55), ARKIT55.lower, ARKIT55.upper), (144, 1)).astype(np.float32)
    for side in (-1.5, 1.5):
        for frames in (STILL, crowded):
            face = done(name, frames, np.array([2.0, 2.0, 2.0, side]), size=1.5)
            assert np.isfinite(face).all() and (face >= ARKIT55.lower).all() and (face <= ARKIT55.upper).all()
            outside = np.r_[: round(START * FPS), round((START + natural_seconds(Action(name))) * FPS) + 1 : 144]
            np.testing.assert_array_equal(face[outside], frames[outside])
            # Nothing jumps: at 24 frames a second even a blink takes two.
            slow = [k for k, c in enumerate(ARKIT55.channels) if not c.startswith("eye")]
            assert np.abs(np.diff(face - frames, axis=0))[:, slow].max() < 0.75, name


def test_every_action_but_a_pause_is_seen() -> None:
    small = {
        name for name in action_table()
        if name not in ("pause", "beat", "silence", "look_at") and np.abs(done(name)).max() < 0.2
    }  # fmt: skip
    assert not small
    for name in ("pause", "beat", "silence"):
        np.testing.assert_array_equal(done(name), STILL)


def test_a_nod_goes_down_first_and_again() -> None:
    pitch = channel(done("nod"), "headPitch")
    dips = peaks(pitch, 0.08)
    assert len(dips) == 2 and pitch[dips[0]] > 0.15 and pitch[dips[0]] > pitch[dips[1]]
    assert pitch.min() > -0.06  # no chin goes up as far as it goes down
    assert channel(done("nod", size=0.6), "headPitch").max() < pitch.max()
    assert peaks(channel(done("nod", pace=0.72), "headPitch"), 0.08)[1] > dips[1]


def test_a_shaken_head_turns_to_both_sides() -> None:
    yaw = channel(done("shake_head"), "headYaw")
    assert yaw.max() > 0.15 and yaw.min() < -0.15
    assert len(peaks(yaw, 0.1)) + len(peaks(-yaw, 0.1)) >= 3
    np.testing.assert_allclose(yaw, -channel(done("shake_head", draws=-0.01), "headYaw"), atol=0.02)  # the other side


def test_eyes_stay_on_who_is_nodded_at() -> None:
    face = done("nod")
    pitch, looks = channel(face, "headPitch"), gaze(face)[:, 0]
    assert np.abs(pitch + looks).max() < 0.3 * pitch.max()


def test_rolling_eyes_go_up_and_around() -> None:
    face = done("roll_eyes")
    look = gaze(face)
    up = look[:, 0] < -0.25
    assert up.sum() >= 8 and look[:, 0].min() < -0.4
    assert look[up, 1].min() < -0.1 and look[up, 1].max() > 0.2  # across, while they are up
    np.testing.assert_allclose(gaze(face), gaze(face, "Right"), atol=1e-6)


def test_eyes_lead_and_the_head_follows() -> None:
    face = done("look_away")
    turned, looks = channel(face, "headYaw"), gaze(face)[:, 1] + channel(face, "headYaw")

    def when(curve: npt.NDArray[Any]) -> int:
        return int(np.argmax(curve > 0.7 * curve.max()))

    assert looks.max() > 0.4 and turned.max() > 0.12 and when(looks) + 3 <= when(turned)
    assert gaze(done("look_up"))[:, 0].min() < -0.2 and gaze(done("look_down"))[:, 0].max() > 0.2


def test_what_the_eyes_did_gives_way_to_a_look() -> None:
    away = STILL.copy()
    for name in ("eyeLookOutRight", "eyeLookInLeft"):
        away[:, columns(name)] = 0.8
    middle = round((START + 1.0) * FPS)
    assert gaze(done("look_away", away))[middle, 1] > 0.2  # not somewhere between
    assert abs(gaze(done("look_at", away))[middle, 1]) < 0.1


def test_lids() -> None:
    wink = done("wink")
    left, right = (channel(wink, f"eyeBlink{side}") for side in ("Left", "Right"))
    assert left.max() > 0.95 and right.max() < 0.1
    assert channel(done("wink", draws=-0.01), "eyeBlinkRight").max() > 0.95
    assert len(peaks(channel(done("blink"), "eyeBlink*"), 0.6)) == 2
    closed = (channel(done("close_eyes"), "eyeBlink*") > 0.95).sum() / FPS
    assert closed > 1.0
    blinking = np.tile(STILL[:1], (144, 1))
    blinking[:, columns("eyeBlinkRight")] = 0.9
    assert channel(done("wink", blinking), "eyeBlinkRight").min() < 0.2  # else it is a blink


def test_a_laugh_pulses_and_reaches_the_eyes() -> None:
    face = done("laugh")
    jaw, smile = channel(face, "jawOpen"), channel(face, "mouthSmile*")
    pulses = peaks(jaw, 0.03)
    assert 3.4 < (len(pulses) - 1) / ((pulses[-1] - pulses[0]) / FPS) < 5.5 and len(pulses) >= 4
    assert smile.max() > 0.6 and channel(face, "cheekSquint*").max() > 0.5 and jaw.max() > 0.35
    assert channel(done("chuckle"), "jawOpen").max() < 0.6 * jaw.max()


def test_a_cough_bursts_with_shut_eyes() -> None:
    face = done("cough")
    jaw, eyes = channel(face, "jawOpen"), channel(face, "eyeBlink*")
    bursts = peaks(jaw, 0.12)
    assert len(bursts) == 3 and (eyes[bursts] > 0.6).all() and (channel(face, "headPitch")[bursts] > 0.05).all()


def test_a_sigh_breathes_in_and_long_out() -> None:
    face = done("sigh")
    pitch = channel(face, "headPitch")
    up, down = int(pitch.argmin()), int(pitch.argmax())
    assert up < down and pitch[up] < -0.06 and pitch[down] > 0.08
    assert channel(face, "mouthFunnel").argmax() > up and channel(face, "cheekPuff").max() > 0.25


def test_a_gasp_is_quick_and_a_smile_is_not() -> None:
    def onset(name: str, part: str) -> float:
        curve = channel(done(name), part)
        return float(np.argmax(curve > 0.9 * curve.max()) - np.argmax(curve > 0.1 * curve.max())) / FPS

    assert onset("gasp", "jawOpen") <= 0.2 < onset("smile", "mouthSmile*")


def test_what_a_face_does_it_does_not_do_the_opposite_of() -> None:
    sad = STILL.copy()
    sad[:, columns("mouthFrown*")] = 0.8
    face = done("smile", sad)
    at = int(channel(face, "mouthSmile*").argmax())
    assert face[at, columns("mouthFrownLeft")[0]] < 0.25 and set(opposites()) <= {
        *(f"{c[:-4]}*" for c in ARKIT55.channels if c.endswith("Left")), *ARKIT55.channels,
    }  # fmt: skip


# In a line -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def performer() -> CtegPerformer:
    loaded = load_performer(device="numpy")
    assert isinstance(loaded, CtegPerformer)
    return loaded


def perform(performer: CtegPerformer, text: str, **fields: Any) -> Any:
    return performer.perform([LineRequest.from_json({"text": text, **fields})])[0]


def stage(clips: Any, take: int = 0) -> list[dict[str, Any]]:
    return [one for segment in clips.segments[take] for one in segment["stage"]]


def test_a_line_without_directions_is_what_it_was(performer: CtegPerformer, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).random((40, 55)).astype(np.float32)
    assert act(frames, (), np.zeros((0, 4)), ARKIT55) is frames
    note = [Placed(Stage("note", "to Anna", 0), 0.5), Placed(Stage("action", "sits", 0, Action(None)), 0.5)]
    assert act(frames, note, np.zeros((2, 4)), ARKIT55) is frames
    bare = perform(performer, "Take the stairs on the left.", seed=4)
    for text in ("(to Anna) Take the stairs on the left.", "[she gets up] Take the stairs on the left."):
        noted = perform(performer, text, seed=4)
        np.testing.assert_array_equal(noted.values, bare.values)
        assert noted.timelines == bare.timelines and noted.emotion == bare.emotion and len(stage(noted)) == 1
    assert stage(bare) == []


def test_time_is_made_where_voice_or_mouth_is_needed(performer: CtegPerformer) -> None:
    bare = perform(performer, "I thought you knew. Everybody knew.").timelines[0]
    sighed = perform(performer, "I thought you knew. (sighs) Everybody knew.")
    nodded = perform(performer, "I thought you knew. (nods) Everybody knew.")
    gaps = []
    for clips in (sighed, nodded):
        timeline, (one,) = clips.timelines[0], stage(clips)
        before, after = timeline.words[3], timeline.words[4]
        gaps.append(after.start - before.end)
        assert before.end <= one["start"] / FPS + 0.05 < after.start
        np.testing.assert_allclose(
            [p.end - p.start for p in timeline.phonemes], [p.end - p.start for p in bare.phonemes], atol=2e-4
        )
    (sigh,) = stage(sighed)
    assert sigh["end"] / FPS < sighed.timelines[0].words[4].start  # said after it
    assert gaps[0] > gaps[1] > bare.words[4].start - bare.words[3].end  # a nod goes on over the words
    long = perform(performer, "I thought you knew. (a long pause) Everybody knew.").timelines[0]
    short = perform(performer, "I thought you knew. (pause) Everybody knew.").timelines[0]
    assert long.seconds > short.seconds + 0.5 > bare.seconds + 1.0


def test_what_is_done_is_on_the_face_where_it_is_said_to_be(performer: CtegPerformer) -> None:
    clips = perform(performer, "I thought you knew. (coughs) Everybody knew.", emotion="neutral", seed=2)
    (one,) = stage(clips)
    face = whole_face(clips.performance(0), clips.timelines[0], FPS)
    during = slice(one["start"], one["end"])
    assert (one["kind"], one["name"], one["written"]) == ("action", "cough", "coughs")
    assert channel(face[during], "jawOpen").max() > 0.35 and channel(face[during], "eyeBlink*").max() > 0.6
    paused = perform(performer, "I thought you knew. (pause) Everybody knew.", emotion="neutral", seed=2)
    (pause,) = stage(paused)
    face = whole_face(paused.performance(0), paused.timelines[0], FPS)
    assert channel(face[pause["start"] : pause["end"]], "jawOpen").max() < 0.25


def test_an_action_within_a_clause_parts_its_words(performer: CtegPerformer) -> None:
    clips = perform(performer, "And then he (snorts) fell into the pool!")
    timeline, (one,) = clips.timelines[0], stage(clips)
    assert len(timeline.phrases) == 2 and timeline.phrases[0].end * FPS <= one["start"] + 1
    assert timeline.phrases[0].mark == "-" and timeline.phrases[1].mark == "!"
    assert clips.segments[0][0]["text"] == "And then he fell into the pool!"


def test_a_line_without_words_has_no_phrases() -> None:
    assert time_line(read_line("Well! No.").silent()).phrases == ()


def test_an_action_alone_is_a_performance(performer: CtegPerformer) -> None:
    clips = perform(performer, "(sighs, then nods slowly)", seed=1)
    sigh, nod = stage(clips)
    assert clips.timelines[0] is None and clips.segments[0][0]["text"] == "..."
    assert 0 < sigh["start"] < nod["start"] < nod["end"] < clips.lengths[0] - 5
    assert channel(clips.take(0)[nod["start"] : nod["end"]], "headPitch").max() > 0.08


def test_takes_do_it_differently_and_a_seed_does_it_again(performer: CtegPerformer) -> None:
    text = "I thought you knew. (shakes her head) Everybody knew."
    one = perform(performer, text, seed=5)
    np.testing.assert_array_equal(one.values, perform(performer, text, seed=5).values)
    placed = [Placed(Stage("action", "nods", 0, Action("nod")), t, 1.0) for t in (1.0, 3.0)]
    own = variation(TakeSeed(5, "words"), Origin(), placed, FPS)
    other = variation(TakeSeed(6, "words"), Origin(), placed, FPS)
    assert not np.allclose(own, other)
    branched = Origin.from_json({"branch": {"seed": 5, "frame": 48}, "vary": None})
    begun = variation(TakeSeed(6, "words"), branched, placed, FPS)
    np.testing.assert_array_equal(begun, [own[0], other[1]])  # what was begun goes on
    varied = Origin.from_json({"branch": None, "vary": {"seed": 5, "amount": 0.0}})
    np.testing.assert_allclose(variation(TakeSeed(6, "words"), varied, placed, FPS), own)


def test_a_pause_that_is_too_short_hurries_what_is_done() -> None:
    sigh = [Stage("action", "sighs", 0, Action("sigh"))]
    (free,), (hurried,) = (list(placed_between(sigh, 1.0, end)) for end in (4.0, 2.0))
    assert free.seconds == pytest.approx(natural_seconds(Action("sigh"))) and hurried.start + hurried.seconds < 2.0
    low, high = gesture_of("cough").seconds
    assert low < natural_seconds(Action("cough")) < high


def test_times_from_outside_are_kept(performer: CtegPerformer) -> None:
    made = perform(performer, "I thought you knew. Everybody knew.").timelines[0].to_json()
    clips = perform(performer, "I thought you knew. (sighs) Everybody knew.", timeline=made)
    assert clips.timelines[0].to_json()["words"] == made["words"]
    (one,) = stage(clips)
    assert one["end"] > one["start"]


def test_manners_change_the_words_and_what_is_denied_is_not_felt(performer: CtegPerformer) -> None:
    plain = perform(performer, "Put the bag on the floor.").timelines[0]
    slow = perform(performer, "(very slowly) Put the bag on the floor.").timelines[0]
    fast = perform(performer, "(in a hurry) Put the bag on the floor.").timelines[0]
    spans = [t.end - t.start for t in (slow, plain, fast)]
    assert spans[0] > 1.25 * spans[1] and spans[2] < 0.9 * spans[1]
    angry = "How dare you! You ruined everything, I hate you!"
    assert perform(performer, angry).emotion == "anger"
    assert perform(performer, f"(not angry) {angry}").emotion != "anger"
    assert perform(performer, f"(not angry) {angry}", emotion="anger").emotion == "neutral"
    assert perform(performer, f"(furious) {angry}").segments[0][0]["source"] == "direction"
