# SPDX-License-Identifier: GPL-3.0-or-later
"""The judges of speech are content with the right mouth, and each of them notices what is wrong with another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.wrong_mouths import WRONG
from generator.evaluation.distances import Clip
from generator.evaluation.lips import CLOSED, faces, lips_of
from generator.evaluation.shares import share_of, wilson
from generator.evaluation.sounds import aligned, can_read, reference_sounds
from generator.evaluation.speaking import Watched, accents_answered, closures, judge_speech
from generator.shared.composing import whole_face
from generator.shared.spaces import ARKIT55
from generator.shared.timeline import Accent, Phoneme, Phrase, Timeline, Word
from generator.speech.reading import read_line
from generator.speech.timing import time_line

pytestmark = pytest.mark.skipif(not can_read(), reason="espeak-ng, which reads for the judges, is not installed")

FPS = 24.0
LINES = (
    "Stop interrupting me, please, I am talking to my brother.",
    "We never saw it again. It was gone, like a dream.",
    "Five of the villages have a very old river, and few of us love it.",
    "Maybe my mother will bring back the big blue boat, but perhaps not.",
    "Who knows what the kid really heard? Is it safe to go there?",
    "He put the map upon a table. Both of them began to laugh.",
    "You choose a shoe, and I shall push the door for you soon.",
    "Listen, nothing is easier: they sing, it rains, he runs.",
)


def say(text: str, seed: int = 0) -> Timeline:
    return time_line(read_line(text), seed)


def face(timeline: Timeline, pose: dict[str, float] | None = None) -> Clip:
    """A face that holds ``pose`` and says the line."""
    still = np.zeros((round(timeline.seconds * FPS), ARKIT55.size), np.float32)
    for channel, value in (pose or {"mouthSmileLeft": 0.4, "mouthSmileRight": 0.4, "jawOpen": 0.05}).items():
        still[:, ARKIT55.column(channel)] = value
    return whole_face(still, timeline, FPS)


@pytest.fixture(scope="module")
def said() -> list[list[Timeline]]:
    return [[say(text, seed) for seed in (0, 1)] for text in LINES]


@pytest.fixture(scope="module")
def right(said: list[list[Timeline]]) -> dict[str, float]:
    return judge_speech([[(face(t), t) for t in line] for line in said], FPS)


# The right mouth -------------------------------------------------------------------------------------------------


def test_the_right_mouth_passes(right: dict[str, float]) -> None:
    assert right["closure_recall"] >= 0.95 and right["closure_precision"] >= 0.97 and right["closure_events"] >= 0.95
    assert right["closures_elsewhere"] == 0 and right["closure_counts"] > 0.9
    assert right["closing"] > 0.4 and right["closing_ahead"] > 0.35 and right["same_line"] > 0.5
    assert right["teeth_on_lip"] > 0.9 and right["rounding"] > 0.85


# Wrong mouths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mouth_that_says_something_else_is_noticed(
    wrong: str, said: list[list[Timeline]], right: dict[str, float]
) -> None:
    lines = []
    for k, line in enumerate(said):
        others = said[(k + 3) % len(said)]
        lines.append([(face(WRONG[wrong](t, o)), t) for t, o in zip(line, others, strict=True)])
    values = judge_speech(lines, FPS)
    assert values["closure_recall"] < 0.7 and values["closure_precision"] < 0.6 and values["closure_events"] < 0.7
    assert values["closing"] < 0.2 and values["closing_ahead"] < 0.2
    assert values["teeth_on_lip"] < 0.75 and values["rounding"] < 0.75
    if wrong == "another line's mouth":
        assert values["closure_counts"] < 0.6 and values["closures_elsewhere"] > 0.3


def test_a_mouth_that_says_another_line_each_time_is_noticed(said: list[list[Timeline]]) -> None:
    """Two takes of a line must have the same lips, and other lines other lips."""
    lines = [
        [(face(WRONG["another line's mouth"](t, said[(k + 1 + n) % len(said)][n])), t) for n, t in enumerate(line)]
        for k, line in enumerate(said)
    ]
    assert judge_speech(lines, FPS)["same_line"] < 0.2


@pytest.mark.parametrize(
    "pose", [{}, {"jawOpen": 0.4}, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "browInnerUp": 0.5}]
)
def test_a_static_pose_says_nothing(pose: dict[str, float], said: list[list[Timeline]]) -> None:
    still = np.zeros(ARKIT55.size, np.float32)
    for channel, value in pose.items():
        still[ARKIT55.column(channel)] = value
    lines = [[(np.tile(still, (round(t.seconds * FPS), 1)), t) for t in line] for line in said]
    values = judge_speech(lines, FPS)
    for key in ("closing", "closing_ahead", "closure_counts", "same_line"):
        assert abs(values[key]) < 0.4, key
    assert values["teeth_on_lip"] == values["rounding"] == 0.5
    shut = values["closure_recall"] == 1.0
    assert shut != ("jawOpen" in pose)
    if shut:  # what is always closed makes every closure, and is wrong nearly always
        assert values["closure_precision"] < 0.35 and values["closures_elsewhere"] >= 1


def test_a_word_that_is_read_wrongly_is_noticed() -> None:
    """The mouth does what its own reading says; the judge reads for itself."""
    timeline = say("The bomb.")
    the, bomb = timeline.words
    misread = [replace(p, symbol={"B": "D", "M": "N"}.get(p.symbol, p.symbol)) for p in bomb.phonemes]
    wrong = replace(timeline, words=(the, Word("bomb", tuple(misread))))
    for spoken, wanted in ((timeline, 1.0), (wrong, 0.0)):
        for name in faces():
            counted = closures([Watched(lips_of(face(spoken), name), spoken, FPS)])
            assert counted.wanted == 2 and counted.recall == wanted


def test_lips_that_only_come_near_are_not_closed() -> None:
    timeline = say("Maybe my mama.")
    open_face = face(timeline)
    open_face[:, ARKIT55.column("jawOpen")] += 0.1
    for name in faces():
        assert closures([Watched(lips_of(face(timeline), name), timeline, FPS)]).recall == 1
        assert closures([Watched(lips_of(open_face, name), timeline, FPS)]).recall < 0.5


# Lips ------------------------------------------------------------------------------------------------------------


def shown(**channels: float) -> Clip:
    frame = np.zeros((1, ARKIT55.size), np.float32)
    for channel, value in channels.items():
        frame[0, ARKIT55.column(channel)] = value
    return frame


@pytest.mark.parametrize("name", faces())
def test_lips_move_as_the_channels_say(name: str) -> None:
    rest, jaw = lips_of(shown(), name), lips_of(shown(jawOpen=0.5), name)
    assert rest.closed.all() and rest.gap[0] == 0 and not jaw.closed.any() and jaw.gap[0] > 5 * CLOSED
    assert lips_of(shown(jawOpen=0.5, mouthClose=0.5), name).closed.all()
    assert lips_of(shown(mouthPucker=0.7), name).width[0] < -0.05
    assert lips_of(shown(mouthStretchLeft=1.0), name).width[0] > 0.05
    assert lips_of(shown(mouthPucker=0.7), name).protrusion[0] > 0.03
    assert lips_of(shown(mouthRollLower=0.6), name).tuck[0] > 0.02


@pytest.mark.parametrize("name", faces())
def test_left_and_right_swapped_are_noticed(name: str) -> None:
    left, right = (lips_of(shown(**{f"mouthSmile{side}": 0.8}), name).tilt[0] for side in ("Left", "Right"))
    assert left > 0.03 and right < -0.03


# Sounds ----------------------------------------------------------------------------------------------------------


def word(text: str, *symbols: str) -> Word:
    return Word(text, tuple(Phoneme(s, 0, 0.1 * k, 0.1 * (k + 1)) for k, s in enumerate(symbols)))


def test_readings_are_aligned_by_edit_distance() -> None:
    own = word("lampshade", "L", "AE", "M", "P", "SH", "EY", "D")
    read = [(s, 0) for s in ("L", "AE", "M", "SH", "EY", "DX")]  # without a P, and a flap
    by_symbol = {p.symbol: (round(p.start, 3), round(p.end, 3)) for p in aligned(own, read)}
    assert by_symbol["M"] == (0.2, 0.3) and by_symbol["SH"] == (0.4, 0.5) and by_symbol["DX"] == (0.6, 0.7)
    more = aligned(word("on", "AA", "N"), [("AA", 1), ("M", 0), ("N", 0)])
    assert [p.symbol for p in more] == ["AA", "M", "N"] and more[1].start == more[1].end == pytest.approx(0.1)


def test_other_languages_keep_their_own_sounds() -> None:
    spoken = replace(say("Maybe."), language="de")
    assert reference_sounds(spoken) == spoken.phonemes


# Accents ---------------------------------------------------------------------------------------------------------


def nodding(seconds: float, moments: list[float]) -> Clip:
    """A head that turns down quickly at ``moments``, and drifts a little."""
    t = np.arange(round(seconds * FPS)) / FPS
    clip = np.zeros((len(t), ARKIT55.size), np.float32)
    clip[:, ARKIT55.column("headPitch")] = sum(0.1 / (1 + np.exp(-(t - m) / 0.03)) for m in moments)
    return clip


def test_accents_must_be_answered_when_they_come() -> None:
    times = [0.7, 1.6, 2.9, 4.2, 5.0]
    timeline = Timeline(
        "", 6.0, (word("a", "AA"), Word("b", (Phoneme("AA", 1, 0.3, 5.7),))), (Phrase(0.3, 5.7, "."),),
        tuple(Accent(t, 1.0) for t in times),
    )  # fmt: skip

    def excess(moments: list[float]) -> float:
        answered, chance = accents_answered([nodding(6.0, moments)], [timeline], FPS)
        return answered - chance

    assert excess(times) > 0.6
    assert excess([t + 0.45 for t in times]) < 0 and excess([]) == 0
    rng = np.random.default_rng(0)
    assert abs(np.mean([excess(sorted(rng.uniform(0.3, 5.7, 5))) for _ in range(40)])) < 0.1


# Shares ----------------------------------------------------------------------------------------------------------


def test_a_share_of_few_looks_is_an_interval() -> None:
    assert wilson(21, 24) == pytest.approx((0.690, 0.957), abs=1e-3)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1 and share_of(21, 24) == "21 of 24 (0.69–0.96)"
    for seen, looks in ((1, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match="no share"):
            wilson(seen, looks)
