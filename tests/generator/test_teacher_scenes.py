# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher in scenes: it listens, thinks, begins from the last line's face, and ends in three ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from generator.corpus.direction import ActingDirection, Ending, Role
from generator.corpus.teacher import Acted, act_timed
from generator.corpus.utterance import Utterance
from generator.direction.emotions import EMOTIONS
from generator.shared.spaces import ARKIT55
from generator.speech.reading import read_line
from generator.speech.timing import speak

LINE = "I went to see your sister yesterday. She never told me about the baby!"
BLINKS = [ARKIT55.column("eyeBlinkLeft"), ARKIT55.column("eyeBlinkRight")]
STILL = [i for i, name in enumerate(ARKIT55.channels) if not name.startswith(("eyeBlink", "eyeLook", "head"))]


def acted(emotion: str, seed: int = 0, line: str = LINE, **how: object) -> Acted:
    return act_timed(line, ActingDirection.named(emotion, **how), seed)  # type: ignore[arg-type]


def channel(frames: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    return frames[:, ARKIT55.column(name)]


# --- endings and beginnings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_trace_is_less_than_what_is_held_and_more_than_rest(emotion: str) -> None:
    last: dict[Ending, float] = {}
    endings: tuple[Ending, ...] = ("rest", "trace", "held")
    for ending in endings:
        takes = [acted(emotion, seed, ending=ending) for seed in range(8)]
        last[ending] = float(np.mean([np.linalg.norm(t.performance[-1, STILL]) for t in takes]))
        assert all(t.ending == ending for t in takes)
        if ending != "rest":
            # It lives to the end, and is never taken for the standard face.
            for take in takes:
                assert np.abs(np.diff(take.performance[-12:], axis=0)).max() > 1e-3
                assert np.linalg.norm(take.performance[-1]) > ARKIT55.standard_face_norm
    assert last["rest"] < 0.1 < last["trace"] and last["trace"] < last["held"] + 0.02
    if emotion not in ("neutral", "surprise", "boredom"):
        assert 0.2 * last["held"] < last["trace"] < 0.75 * last["held"]


def test_a_performance_continues_from_any_face() -> None:
    roles: tuple[Role, ...] = ("speaking", "listening", "silent")
    for number, emotion in enumerate(EMOTIONS):
        before = acted(emotion, number, ending="held").performance
        for role in roles:
            take = acted(EMOTIONS[number - 5], number, role=role, start=tuple(before[-1].tolist()))
            assert np.array_equal(take.start, before[-1])
            usual = float(np.quantile(np.linalg.norm(np.diff(take.performance, axis=0), axis=1), 0.9))
            assert np.linalg.norm(take.performance[0] - before[-1]) < usual
            assert np.linalg.norm(take.performance[-1]) < ARKIT55.standard_face_norm
    assert not acted("joy").start.any()


def test_what_is_left_of_the_last_emotion_goes_within_two_seconds() -> None:
    smile = acted("joy", 3, ending="held").performance[-1]
    left = np.array(
        [channel(acted("sadness", s, start=tuple(smile.tolist())).performance, "mouthSmileLeft")[:60] for s in range(8)]
    )
    at = smile[ARKIT55.column("mouthSmileLeft")]
    assert (left[:, 4] > 0.7 * at).all() and (left[:, 48:] < 0.2 * at).all()


def test_a_start_in_a_blink_opens_its_eyes() -> None:
    face = np.zeros(ARKIT55.size, np.float32)
    face[BLINKS] = 0.95
    lids = acted("neutral", 2, start=tuple(face.tolist()), role="silent").performance[:, BLINKS]
    assert lids[0].min() > 0.75 and lids[6:9].max() < 0.6


# --- listening and silence ----------------------------------------------------------------------------------------


def test_a_listener_does_not_mouth_the_words() -> None:
    for seed, emotion in enumerate(EMOTIONS):
        take = acted(emotion, seed, role="listening")
        assert take.said is None and take.timeline is not None and take.timeline.words
        assert np.array_equal(take.frames, take.performance)
        assert channel(take.frames, "mouthClose").max() == 0.0
    assert acted("joy", role="silent").timeline is None


def test_the_feeling_of_a_listener_comes_after_what_is_said() -> None:
    late = []
    for seed in range(16):
        take = acted("sadness", seed, role="listening", ending="held")
        assert take.timeline is not None
        brow = channel(take.performance, "mouthFrownLeft")
        middle = round(0.5 * (take.timeline.start + take.timeline.accents[0].time) * ARKIT55.fps)
        late.append(brow[: max(middle, 1)].max() < 0.5 * brow.max())
    assert np.mean(late) > 0.8


def test_a_listener_looks_at_who_speaks_and_nods_at_the_ends_of_phrases() -> None:
    away = {
        role: float(np.mean([np.abs(acted("joy", s, role=role).performance[:, 8:16]).mean() for s in range(16)]))
        for role in ("listening", "speaking")
    }
    assert away["listening"] < away["speaking"]
    timeline = speak(read_line(LINE), np.random.default_rng(0))
    heard = Utterance.listened(timeline, 1.0, np.random.default_rng(1))
    ends = np.array([phrase.end for phrase in timeline.phrases])
    assert len(heard.nods) == len(ends) and (np.abs(heard.nods - ends) < 0.3).all()
    assert not heard.phrases and not len(heard.shakes) and len(heard.accents) <= len(timeline.accents)
    assert not len(Utterance.listened(timeline, 0.0, np.random.default_rng(1)).nods)


@pytest.mark.parametrize("role", ["listening", "silent"])
def test_a_neutral_face_is_never_frozen(role: Role) -> None:
    for seed in range(10):
        frames = acted("neutral", seed, role=role, ending="held", seconds=8.0).performance
        seconds = np.array_split(frames[:, :52], len(frames) // 36)
        assert all(np.abs(np.diff(part, axis=0)).max() > 0.004 for part in seconds)


# --- sizes and accents --------------------------------------------------------------------------------------------


def test_natural_intensity_is_conversational() -> None:
    peaks = [
        np.quantile(acted(emotion, seed).performance[:, STILL], 0.9, axis=0).max()
        for emotion in EMOTIONS
        for seed in range(6)
    ]
    assert 0.35 < np.mean(peaks) < 0.62
    posters = [
        acted(emotion, seed, intensity=1.4).performance[:, STILL].max() for emotion in EMOTIONS for seed in (0, 1)
    ]
    assert np.mean(posters) > 0.75


def test_anger_does_not_stare_and_sadness_does_not_bow() -> None:
    angry = [acted("anger", seed).performance for seed in range(12)]
    assert max(channel(take, "eyeWideLeft").max() for take in angry) < 0.3
    assert np.mean([channel(take, "eyeSquintLeft").max() for take in angry]) > 0.35
    sad = [acted("sadness", seed).performance for seed in range(12)]
    assert np.mean([channel(take, "headPitch").mean() for take in sad]) < 0.1
    assert np.mean([channel(take, "browInnerUp").max() for take in sad]) > 0.5


@pytest.mark.parametrize(
    ("line", "strong", "weak"),
    [
        ("It's not the money, it's you.", "you", "it's"),
        ("You stayed, and I left.", "left", "and"),
        ("Why would you do that?", "why", "would"),
        ("He is so beautiful.", "so", "is"),
        ("I DO care.", "do", "i"),
        ("I really do love you.", "really", "you"),
        ("What did you do with my car? That car was new!", "new", "was"),
        ("She never told me about the baby.", "never", "about"),
        ("I thought *you* were my friend.", "you", "thought"),
        ("Do you want tea or coffee?", "coffee", "want"),
    ],
)
def test_accents_follow_meaning(line: str, strong: str, weak: str) -> None:
    stress = {word.text: word.stress for word in read_line(line).words}
    assert stress[strong] > stress[weak] + 0.1
    rng = np.random.default_rng(0)
    times = [speak(read_line(line), rng) for _ in range(40)]
    hit = {
        name: np.mean(
            [any(w.text == name and w.start <= a.time <= w.end for w in t.words for a in t.accents) for t in times]
        )
        for name in (strong, weak)
    }
    assert hit[strong] > hit[weak]


def test_what_was_said_before_is_given() -> None:
    words = read_line("What did you do with my car? That car was new!").words
    first, second = (word.stress for word in words if word.text == "car")
    assert second < first - 0.2


@pytest.mark.parametrize("wrong", [{"role": "singing"}, {"ending": "cut"}, {"start": (0.0,) * 54}])
def test_nonsense_scenes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"role|ending|start"):
        ActingDirection.named("joy", **wrong)  # type: ignore[arg-type]
