# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher: what a take must do whatever its line, emotion and seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from generator.corpus.recipes import (
    ACTION_UNITS,
    COMPOUNDS,
    GESTURES,
    MANNERS,
    VARIANTS,
    unit_of,
)
from generator.corpus.teacher import perform
from generator.corpus.texts import builtin_lines
from generator.direction.emotions import COMPOUND_EMOTIONS, EMOTION_NAMES, EMOTIONS, emotion_vector
from generator.shared.spaces import ARKIT55
from generator.speech.reading import CUES, INTERJECTIONS

Clip = npt.NDArray[np.float32]
LINES = [
    "I can't believe you kept it!",
    "Well... should we go, then?",
    "...",
    "Hm.",
    "No! I told you not to touch that.",
]


def act(text: str, emotion: str, seed: int, intensity: float = 1.0, seconds: float | None = None) -> Clip:
    return perform(text, emotion_vector(emotion), intensity, seed, seconds)


def channel(clip: Clip, name: str) -> npt.NDArray[np.float64]:
    if name.endswith("*"):
        return 0.5 * (channel(clip, name[:-1] + "Left") + channel(clip, name[:-1] + "Right"))
    return clip[:, ARKIT55.column(name)].astype(np.float64)


@pytest.mark.parametrize("emotion", EMOTION_NAMES)
def test_every_take_is_a_clip_that_ends_at_the_standard_face(emotion: str) -> None:
    for text in LINES:
        for seed, intensity in ((0, 0.2), (1, 1.0), (2, 1.5), (3, 1.0)):
            clip = act(text, emotion, seed, intensity)
            assert clip.dtype == np.float32 and clip.shape[1] == ARKIT55.size and 24 <= len(clip) <= 240
            assert np.isfinite(clip).all()
            assert (clip >= ARKIT55.lower).all() and (clip <= ARKIT55.upper).all()
            norm = np.linalg.norm(clip, axis=1)
            assert norm[-1] < ARKIT55.standard_face_norm
            # Never the standard face before the take is over: that would end it.
            assert (norm[6:-8] > ARKIT55.standard_face_norm).all()
            # No frame jumps: blinks and plosives are the fastest things a face does.
            assert np.abs(np.diff(clip, axis=0)).max() < 0.85


def test_a_seed_is_a_take() -> None:
    first = act(LINES[0], "joy", 7)
    assert np.array_equal(first, act(LINES[0], "joy", 7))
    for other in (8, 9, 10):
        second = act(LINES[0], "joy", other)
        shared = min(len(first), len(second))
        assert np.linalg.norm(first[:shared] - second[:shared], axis=1).mean() > 0.3


@pytest.mark.parametrize("seconds", [1.0, 2.5, 10.0])
def test_a_length_can_be_asked_for(seconds: float) -> None:
    for text in LINES:
        clip = act(text, "sadness", 1, seconds=seconds)
        assert len(clip) == round(seconds * ARKIT55.fps)
        assert np.linalg.norm(clip[-1]) < ARKIT55.standard_face_norm


def test_longer_lines_take_longer() -> None:
    short, long = LINES[0], "I can't believe you kept it, after all these years, in that little box under the stairs."
    lengths = [[len(act(text, "neutral", seed)) for seed in range(8)] for text in (short, long)]
    assert np.mean(lengths[1]) > 1.4 * np.mean(lengths[0])
    assert len(set(lengths[0])) > 3
    slow, fast = (np.mean([len(act(long, e, s)) for s in range(8)]) for e in ("sadness", "anger"))
    assert slow > 1.15 * fast


SIGNATURES = {
    "joy": ("mouthSmile*", "cheekSquint*"),
    "sadness": ("browInnerUp", "mouthFrown*"),
    "anger": ("browDown*", "eyeSquint*"),
    "fear": ("browInnerUp", "eyeWide*", "mouthStretch*"),
    "disgust": ("noseSneer*", "mouthUpperUp*"),
    "surprise": ("browInnerUp", "browOuterUp*", "eyeWide*", "jawOpen"),
}


@pytest.mark.parametrize("emotion", SIGNATURES)
def test_each_emotion_moves_the_muscles_that_define_it(emotion: str) -> None:
    def peaks(name: str, feeling: str, intensity: float = 1.0) -> float:
        takes = (act(LINES[0], feeling, seed, intensity) for seed in range(12))
        return float(np.mean([np.quantile(channel(take, name), 0.9) for take in takes]))

    for name in SIGNATURES[emotion]:
        assert peaks(name, emotion) > peaks(name, "neutral") + (0.05 if name == "jawOpen" else 0.15), name
    assert peaks(SIGNATURES[emotion][0], emotion, 1.3) > 1.2 * peaks(SIGNATURES[emotion][0], emotion, 0.4)


def test_compounds_combine_two_feelings() -> None:
    def mean(emotion: str, name: str) -> float:
        return float(np.mean([np.quantile(channel(act(LINES[0], emotion, s), name), 0.8) for s in range(12)]))

    assert mean("happily_surprised", "mouthSmile*") > 0.3 < mean("happily_surprised", "browOuterUp*")
    assert mean("sadly_angry", "browDown*") > 0.4 and mean("sadly_angry", "mouthFrown*") > 0.3
    assert mean("angrily_disgusted", "browDown*") > 0.4 and mean("angrily_disgusted", "noseSneer*") > 0.4
    for name, parts in COMPOUND_EMOTIONS.items():
        assert frozenset(parts) in COMPOUNDS, name


def test_recipes_name_only_what_exists() -> None:
    every = [v for group in (VARIANTS, COMPOUNDS) for variants in group.values() for v in variants]
    for variant in every:
        units = {unit_of(name)[0] for part in (variant.upper, variant.lower, variant.extreme) for name in part}
        assert units <= set(ACTION_UNITS), variant.name
        assert set(variant.sounds) | set(variant.moves) <= set(GESTURES), variant.name
    for emotion in EMOTIONS:
        assert len(VARIANTS[emotion]) >= 5
        assert set(MANNERS[emotion].moves) <= set(GESTURES)
    assert set(INTERJECTIONS.values()) | set(CUES.values()) <= set(GESTURES)
    channels = set(ARKIT55.channels) | {"gazePitch", "gazeYaw"}
    for name, gesture in GESTURES.items():
        for channel in (*gesture.tracks, *gesture.beats):
            both = {channel[:-1] + "Left", channel[:-1] + "Right"} if channel.endswith("*") else {channel}
            assert both <= channels, (name, channel)
    assert len({v.name for v in every}) == len(every)


def test_blinks_come_as_often_and_as_fast_as_peoples() -> None:
    blinks, frames, lengths = 0, 0, []
    for seed, line in enumerate(builtin_lines().lines):
        clip = perform(line.text, line.feelings, 1.0, seed)
        left, right = channel(clip, "eyeBlinkLeft"), channel(clip, "eyeBlinkRight")
        closed = left > 0.6
        assert (np.abs(left - right) < 0.35).all()
        starts = np.flatnonzero(closed[1:] & ~closed[:-1])
        blinks += len(starts)
        frames += len(clip)
        for start in starts:
            above = left[start - 3 : start + 9] > 0.45
            lengths.append(above.sum() / ARKIT55.fps)
    assert 15.0 < blinks / (frames / ARKIT55.fps / 60.0) < 25.0
    assert 0.1 < np.mean(lengths) < 0.25


def test_both_eyes_look_at_one_point() -> None:
    for seed in range(10):
        clip = act(LINES[4], "fear", seed)
        assert np.array_equal(channel(clip, "eyeLookInLeft"), channel(clip, "eyeLookOutRight"))
        assert np.array_equal(channel(clip, "eyeLookOutLeft"), channel(clip, "eyeLookInRight"))
        assert not (np.minimum(channel(clip, "eyeLookInLeft"), channel(clip, "eyeLookOutLeft")) > 1e-3).any()


@pytest.mark.parametrize("emotion", ["neutral", "joy", "surprise"])
def test_lips_close_on_bilabials_and_open_on_vowels(emotion: str) -> None:
    for seed in range(6):
        clip = act("Mama papa mama papa.", emotion, seed)
        jaw, close = channel(clip, "jawOpen"), channel(clip, "mouthClose")
        parted = np.maximum(channel(clip, "mouthLowerDown*"), channel(clip, "mouthUpperUp*"))
        sealed = (close > 0.03) & (close > 0.85 * jaw) & (parted < 0.15)
        seals = int((sealed[1:] & ~sealed[:-1]).sum())
        # Eight bilabials; the very first may be formed from a mouth that was closed anyway.
        assert 6 <= seals <= 9, seals
        opened = (jaw - close > 0.15) & ~sealed
        assert int((opened[1:] & ~opened[:-1]).sum()) >= 4


def test_rounded_vowels_round_the_lips_and_a_smile_survives_speech() -> None:
    rounded = np.mean([channel(act("You do too.", "neutral", s), "mouthPucker").max() for s in range(6)])
    spread = np.mean([channel(act("He sees me.", "neutral", s), "mouthPucker").max() for s in range(6)])
    assert rounded > 0.3 > 0.1 > spread
    for seed in range(6):
        clip = act("Look at her, she is taking her first steps!", "joy", seed)
        # The second half: a smile may dawn late.
        spoken = channel(clip, "mouthSmile*")[len(clip) // 2 : -20]
        assert spoken.min() > 0.1 and spoken.mean() > 0.2


def test_a_question_lifts_the_brows_and_a_statement_does_not() -> None:
    def last_lift(text: str) -> float:
        clips = [act(text, "neutral", seed) for seed in range(16)]
        return float(np.mean([channel(c, "browOuterUp*")[len(c) // 2 : -12].max() for c in clips]))

    assert last_lift("They are going home?") > last_lift("They are going home.") + 0.1


@pytest.mark.parametrize(
    ("weights", "intensity"),
    [
        ([0.0] * 7, 1.0),
        ([1.0] * 6, 1.0),
        ([1.0] + [-0.1] * 6, 1.0),
        ([1.0] + [0.0] * 6, 2.0),
        ([1.0] + [0.0] * 6, -1.0),
    ],
)
def test_nonsense_is_refused(weights: list[float], intensity: float) -> None:
    with pytest.raises(ValueError, match=r"weights|intensity"):
        perform("Hello.", weights, intensity, 0)
