# SPDX-License-Identifier: GPL-3.0-or-later
"""Visual speech: a timeline becomes the motion of lips and jaw, at any frame rate.

Every sound pulls each channel towards its own target with its own dominance, and the mouth shows the weighted mean
(Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech"). What is not negotiable stands beside
that mean: p, b and m seal the lips on a frame, whatever the frame rate, and f and v meet the teeth on one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .easing import minimum_jerk
from .spaces import ARKIT55
from .timeline import BILABIALS, LABIODENTALS, VOWELS, Phoneme, Timeline

Floats = npt.NDArray[np.float64]


@cache
def mouth_table() -> Mapping[str, Any]:
    """``mouth.toml``: shapes of sounds and how they meet a face."""
    return tomllib.loads(Path(__file__).with_name("mouth.toml").read_text(encoding="utf-8"))


@cache
def columns(name: str) -> tuple[int, ...]:
    """Columns of a channel of arkit55; a name that ends in "*" gives the left and the right one."""
    if name.endswith("*"):
        return ARKIT55.column(name[:-1] + "Left"), ARKIT55.column(name[:-1] + "Right")
    return (ARKIT55.column(name),)


def channel_row(values: Mapping[str, float], default: float = 0.0) -> Floats:
    """A number for each channel of arkit55, (55,), from a section of ``mouth.toml``."""
    row = np.full(ARKIT55.size, default)
    for name, value in values.items():
        row[list(columns(name))] = value
    return row


_COARTICULATION: Final[Mapping[str, float]] = mouth_table()["coarticulation"]
_SEAL: Final[Mapping[str, float]] = mouth_table()["seal"]
_SAME_AS: Final[Mapping[str, str]] = mouth_table()["same_viseme"]
#: Diphthongs glide: two shapes.
_GLIDES: Final[Mapping[str, Sequence[str]]] = mouth_table()["glides"]
_VISEMES: Final = {name: i for i, name in enumerate(mouth_table()["visemes"])}
#: Of each viseme, (visemes, 55): where it pulls each channel, and how much it insists on that.
_TARGETS: Final = np.stack([channel_row(shape) for shape in mouth_table()["visemes"].values()])
_DOMINANCE: Final = np.stack([channel_row(mouth_table()["dominance"].get(name, {}), 1.0) for name in _VISEMES])
_JAW: Final = columns("jawOpen")[0]
_ROUNDING: Final = [columns("mouthPucker")[0], columns("mouthFunnel")[0]]
_ROUNDED: Final = _TARGETS[:, _ROUNDING].sum(1) > 0.45
_MOVED: Final = np.flatnonzero(_TARGETS.any(0))


@dataclass(frozen=True, eq=False)
class Speech:
    """The speech layer of a clip, at one frame rate.

    Attributes:
        shapes: what the sounds do to each channel of arkit55, (T, 55), 0..1; zero outside mouth and jaw.
        seal: how far p, b and m close the lips, (T,), 0..1.
        activity: 1 while words are spoken, 0 in silence, (T,).
    """

    shapes: Floats
    seal: Floats
    activity: Floats


def articulate(timeline: Timeline, fps: float, frames: int) -> Speech:
    """The speech layer of ``frames`` frames at ``fps`` frames per second, the first at 0 s."""
    t = np.arange(frames) / fps
    loudness = _loudness(timeline)
    parts = [
        (_VISEMES[viseme], centre, length, loud, phoneme)
        for phoneme, loud in zip(timeline.phonemes, loudness, strict=True)
        for viseme, centre, length in _parts(phoneme)
    ]
    if not parts:
        return Speech(np.zeros((frames, ARKIT55.size)), np.zeros(frames), np.zeros(frames))
    row = np.array([part[0] for part in parts])
    length = np.array([part[2] for part in parts])
    touches = np.array([part[4].symbol in BILABIALS | LABIODENTALS for part in parts])
    centre = np.array([part[1] for part in parts])
    centre[touches] = np.round(centre[touches] * fps) / fps
    loud = np.array([part[3] for part in parts])
    sealed = np.array([part[4].symbol in BILABIALS for part in parts])
    # A clip ends where its performance ends, however late a hurried line is over.
    held = minimum_jerk((t[-1] - t) / _COARTICULATION["let_go"])
    return Speech(
        held[:, None] * _blended(t, row, centre, length, loud, sealed),
        _seal(t, centre[sealed], length[sealed], _reach(parts, centre, sealed)),
        held * _activity(t, timeline),
    )


def seal_frames(timeline: Timeline, fps: float) -> npt.NDArray[np.int64]:
    """The frames on which p, b and m seal the lips, in order, (n,)."""
    centres = [p.centre for p in timeline.phonemes if p.symbol in BILABIALS]
    return np.unique(np.round(np.array(centres) * fps).astype(np.int64))


def _parts(phoneme: Phoneme) -> list[tuple[str, float, float]]:
    """The shapes of a sound: viseme, centre and length in seconds. Lengths overlap a little."""
    length = phoneme.end - phoneme.start
    glide = _GLIDES.get(phoneme.symbol)
    if glide is None:
        return [(_SAME_AS.get(phoneme.symbol, phoneme.symbol), phoneme.centre, 1.15 * length)]
    return [
        (name, phoneme.centre + side * length, 0.575 * length) for name, side in zip(glide, (-0.25, 0.25), strict=True)
    ]


def _loudness(timeline: Timeline) -> list[float]:
    """How far each sound opens the mouth, 1 natural."""
    by_stress = [_COARTICULATION[name] for name in ("unstressed", "stressed", "secondary")]
    result = []
    for word in timeline.words:
        accent = sum(a.size for a in timeline.accents if word.start <= a.time <= word.end)
        for phoneme in word.phonemes:
            size = by_stress[phoneme.stress] + (_COARTICULATION["accented"] * accent if phoneme.stress == 1 else 0.0)
            result.append(size if phoneme.symbol in VOWELS else 0.5 + 0.5 * size)
    return result


def _blended(
    t: Floats, row: npt.NDArray[np.int64], centre: Floats, length: Floats, loud: Floats, sealed: npt.NDArray[np.bool_]
) -> Floats:
    """Weighted means of the targets over time, (T, 55)."""
    target, strength = _TARGETS[row].copy(), _DOMINANCE[row]
    target[:, _JAW] *= loud
    offset = (t[:, None] - centre) ** 2
    least, silence = _COARTICULATION["reach_least"], _COARTICULATION["silence"]
    values = np.zeros((len(t), ARKIT55.size))
    # The lips' rounding has a wider dominance of its own. Lips close fast: a seal that lingered would swallow the
    # vowels around it.
    usual = np.where(sealed, _COARTICULATION["reach_sealed"], _COARTICULATION["reach"])
    rounded = np.where(_ROUNDED[row], _COARTICULATION["reach_rounded"], _COARTICULATION["reach"])
    for chosen, reach in ((_MOVED, usual), (_ROUNDING, rounded)):
        pull = np.exp(-0.5 * offset / (reach * length + least) ** 2)  # (T, n)
        weight = strength[:, chosen]
        values[:, chosen] = (pull @ (weight * target[:, chosen])) / (pull @ weight + silence)
    return values


def _reach(parts: Sequence[Any], centre: Floats, sealed: npt.NDArray[np.bool_]) -> Floats:
    """Seconds from its centre after which each seal must have parted: well before halfway to the next one, (n,).

    Only where a vowel is said between two seals: "bumper" parts the lips twice, "mb" not at all.
    """
    at = np.flatnonzero(sealed)
    reach = np.full(len(at), np.inf)
    for k, (before, after) in enumerate(pairwise(at)):
        if any(part[4].symbol in VOWELS for part in parts[before:after]):
            half = 0.4 * (centre[after] - centre[before])
            reach[k], reach[k + 1] = min(reach[k], half), min(reach[k + 1], half)
    return reach


def _seal(t: Floats, centre: Floats, length: Floats, reach: Floats) -> Floats:
    """Lips close, stay closed around each centre, and part again, (T,)."""
    if not len(centre):
        return np.zeros(len(t))
    hold, move = _SEAL["hold"] * length, _SEAL["move"]
    pace = np.minimum(1.0, reach / (hold + move))
    # A tenth of a millisecond more: a frame that lies exactly on the centre must not be lost to rounding.
    beyond = np.abs(t[:, None] - centre) - hold * pace - 1e-4
    return np.asarray((1.0 - minimum_jerk(beyond / np.maximum(move * pace, 1e-4))).max(1))


def _activity(t: Floats, timeline: Timeline) -> Floats:
    """1 from the first to the last word of what is said without a pause, (T,)."""
    activity = np.zeros(len(t))
    for start, end in timeline.stretches:
        begins = minimum_jerk((t - start + _COARTICULATION["lead_in"]) / 0.2)
        ends = minimum_jerk((t - end) / _COARTICULATION["lead_out"])
        activity = np.maximum(activity, begins * (1.0 - ends))
    return activity
