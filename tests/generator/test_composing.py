# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech over a performance: closures hold whatever either layer does."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from generator.shared.articulation import articulate, columns, seal_frames
from generator.shared.composing import compose, whole_face
from generator.shared.spaces import ARKIT55
from generator.shared.timeline import Timeline
from generator.speech.reading import read_line
from generator.speech.timing import time_line

RATES = (12.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0)
PARTING = (
    "mouthLowerDown*", "mouthUpperUp*", "mouthFunnel", "mouthShrugUpper", "tongueOut",
)  # fmt: skip


def timeline(text: str = "Pete bought my maple buffet, maybe?") -> Timeline:
    return time_line(read_line(text))


def frames(line: Timeline, fps: float) -> int:
    return round(line.seconds * fps) + 1


def opening(face: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """What parts the lips: the jaw that `mouthClose` does not cancel, and lips that are drawn apart."""
    parting = sum(face[:, column].astype(np.float64) for name in PARTING for column in columns(name))
    return np.asarray(face[:, columns("jawOpen")[0]] - face[:, columns("mouthClose")[0]] + parting)


@pytest.mark.parametrize("fps", RATES)
def test_every_bilabial_seals_the_lips_on_a_frame_at_every_rate(fps: float) -> None:
    line = timeline()
    speech = articulate(line, fps, frames(line, fps))
    sealed = seal_frames(line, fps)
    assert len(sealed) == sum(p.symbol in "PBM" for p in line.phonemes) or fps < 20
    assert (speech.seal[sealed] == 1.0).all()
    for performance in (np.zeros, np.ones):
        face = compose(performance((len(speech.seal), ARKIT55.size), np.float32), speech)
        assert opening(face)[sealed] == pytest.approx(0.0, abs=1e-6)
        # And between them they part again.
        between = (sealed[:-1] + sealed[1:]) // 2
        apart = np.diff(sealed) > 0.25 * fps
        assert (opening(face)[between][apart] > 0.1).all()


@pytest.mark.parametrize(("text", "rate"), [("Pa pa pa pa pa.", 1.5), ("Papa bought baby puppies.", 1.6)])
def test_lips_part_for_a_vowel_between_two_seals_however_fast(text: str, rate: float) -> None:
    line = time_line(read_line(text), rate=rate)
    for fps in (24.0, 30.0, 60.0):
        speech = articulate(line, fps, frames(line, fps))
        sealed = seal_frames(line, fps)
        assert (speech.seal[sealed] == 1.0).all()
        for before, after in itertools.pairwise(sealed):
            if after - before > 1:
                assert speech.seal[before + 1 : after].min() < 0.3, (fps, before, after)


@pytest.mark.parametrize("performance_scale", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("speech_scale", [0.0, 0.5, 1.0, 1.5])
def test_closures_hold_at_every_scale_of_either_layer(performance_scale: float, speech_scale: float) -> None:
    line, rng = timeline(), np.random.default_rng(0)
    speech = articulate(line, 24.0, frames(line, 24.0))
    sealed = seal_frames(line, 24.0)
    for _ in range(20):
        performance = rng.uniform(0.0, 1.0, ARKIT55.size) * np.ones((len(speech.seal), 1))
        face = compose(performance, speech, performance_scale=performance_scale, speech_scale=speech_scale)
        assert opening(face)[sealed] == pytest.approx(0.0, abs=1e-6)
        assert (face >= ARKIT55.lower).all() and (face <= ARKIT55.upper).all()


def test_speech_leaves_brows_eyes_and_head_alone() -> None:
    line = timeline()
    speech = articulate(line, 24.0, frames(line, 24.0))
    performance = np.random.default_rng(1).uniform(0.0, 0.7, (len(speech.seal), ARKIT55.size)).astype(np.float32)
    face = compose(performance, speech)
    untouched = [c for g in ("eyes", "head") for c in ARKIT55.groups[g]]
    untouched += [c for c in ARKIT55.groups["upper face"] if "noseSneer" not in ARKIT55.channels[c]]
    assert np.array_equal(face[:, untouched], performance[:, untouched])
    silent = speech.activity == 0.0
    assert silent.sum() > 6 and np.allclose(face[silent], performance[silent], atol=0.02)


def test_a_smile_survives_speech_and_rounding_bends_it() -> None:
    line = timeline("He sees me, you do too.")
    performance = np.zeros((frames(line, 24.0), ARKIT55.size), np.float32)
    smile = list(columns("mouthSmile*"))
    performance[:, smile] = 0.8
    face = whole_face(performance, line, 24.0)
    at = {w.text: round(w.vowel.centre * 24.0) for w in line.words}
    assert face[at["sees"], smile].min() > 0.6
    assert face[at["too"], smile].max() < 0.75 * face[at["sees"], smile].min()
    assert face[at["too"], columns("mouthPucker")[0]] > 0.3


def test_lips_meet_teeth_and_round_before_the_vowel() -> None:
    line = timeline("Even five shoes.")
    speech = articulate(line, 24.0, frames(line, 24.0))
    tuck, pucker = columns("mouthRollLower")[0], columns("mouthPucker")[0]
    touching = [round(p.centre * 24.0) for p in line.phonemes if p.symbol in "FV"]
    assert speech.shapes[touching, tuck].min() > 2.0 * np.median(speech.shapes[speech.activity > 0.9, tuck])
    vowel = next(p for p in line.phonemes if p.symbol == "UW")
    assert speech.shapes[round(vowel.start * 24.0) - 1, pucker] > 0.1


def test_nothing_said_is_nothing_changed() -> None:
    performance = np.random.default_rng(2).uniform(0.0, 1.0, (30, ARKIT55.size)).astype(np.float32)
    silent = Timeline("...", 1.25)
    assert np.array_equal(whole_face(performance, None, 24.0), performance)
    assert np.array_equal(whole_face(performance, silent, 24.0), performance)
    assert np.allclose(
        compose(performance, articulate(silent, 24.0, 30)), np.clip(performance, ARKIT55.lower, ARKIT55.upper)
    )
