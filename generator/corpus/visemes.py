# SPDX-License-Identifier: GPL-3.0-or-later
"""Visual speech: phonemes to mouth shapes with coarticulation.

Every phoneme pulls each mouth channel towards its own target with its own dominance, and the mouth shows the
weighted mean (Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from .curves import Floats, minimum_jerk
from .speech import Utterance

#: What speech moves. "closure" is how far the lips are sealed whatever the jaw does.
SPEECH_CHANNELS: Final = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthSmile*", "mouthStretch*", "mouthRollLower", "mouthRollUpper",
    "mouthLowerDown*", "mouthUpperUp*", "mouthPress*", "tongueOut", "closure",
)  # fmt: skip

_SHAPES: Final[Mapping[str, Mapping[str, float]]] = {
    "AA": {"jawOpen": 0.55, "mouthLowerDown*": 0.22, "mouthUpperUp*": 0.08},
    "AE": {"jawOpen": 0.47, "mouthStretch*": 0.14, "mouthLowerDown*": 0.28, "mouthUpperUp*": 0.12},
    "AH": {"jawOpen": 0.33, "mouthLowerDown*": 0.18, "mouthUpperUp*": 0.05},
    "AO": {"jawOpen": 0.44, "mouthFunnel": 0.32, "mouthPucker": 0.12},
    "EH": {"jawOpen": 0.36, "mouthStretch*": 0.14, "mouthLowerDown*": 0.25, "mouthUpperUp*": 0.1},
    "ER": {"jawOpen": 0.23, "mouthFunnel": 0.3, "mouthPucker": 0.12, "mouthLowerDown*": 0.1},
    "IH": {"jawOpen": 0.22, "mouthStretch*": 0.12, "mouthLowerDown*": 0.22, "mouthUpperUp*": 0.08},
    "IY": {"jawOpen": 0.12, "mouthSmile*": 0.14, "mouthStretch*": 0.2, "mouthLowerDown*": 0.25, "mouthUpperUp*": 0.1},
    "OW": {"jawOpen": 0.33, "mouthFunnel": 0.3, "mouthPucker": 0.35},
    "UH": {"jawOpen": 0.17, "mouthFunnel": 0.26, "mouthPucker": 0.25},
    "UW": {"jawOpen": 0.11, "mouthFunnel": 0.2, "mouthPucker": 0.6},
    "B": {"jawOpen": 0.08, "mouthRollLower": 0.12, "mouthRollUpper": 0.08, "mouthPress*": 0.14, "closure": 1.0},
    "F": {"jawOpen": 0.08, "mouthRollLower": 0.38, "mouthUpperUp*": 0.2},
    "W": {"jawOpen": 0.08, "mouthPucker": 0.6, "mouthFunnel": 0.15},
    "R": {"jawOpen": 0.12, "mouthFunnel": 0.28, "mouthPucker": 0.18},
    "SH": {"jawOpen": 0.09, "mouthFunnel": 0.42, "mouthLowerDown*": 0.12, "mouthUpperUp*": 0.1},
    "S": {"jawOpen": 0.06, "mouthStretch*": 0.14, "mouthLowerDown*": 0.22, "mouthUpperUp*": 0.06},
    "T": {"jawOpen": 0.1, "mouthLowerDown*": 0.14},
    "L": {"jawOpen": 0.17, "mouthLowerDown*": 0.16, "tongueOut": 0.04},
    "TH": {"jawOpen": 0.14, "mouthLowerDown*": 0.16, "mouthUpperUp*": 0.05, "tongueOut": 0.14},
    "K": {"jawOpen": 0.16, "mouthLowerDown*": 0.12},
    "HH": {"jawOpen": 0.16, "mouthLowerDown*": 0.1},
}  # fmt: skip
_SAME_AS: Final = {
    "P": "B", "M": "B", "V": "F", "Z": "S", "ZH": "SH", "CH": "SH", "JH": "SH", "D": "T", "N": "T", "DH": "TH",
    "G": "K", "NG": "K", "Y": "IY",
}  # fmt: skip
#: Diphthongs glide: two shapes, with their share of the length.
_GLIDES: Final = {"AW": ("AA", "UW"), "AY": ("AA", "IY"), "EY": ("EH", "IY"), "OY": ("AO", "IY"), "OW": ("OW", "UW")}
#: Who insists on what: bilabials on closing, rounded sounds on rounding, sibilants on closed teeth.
_DOMINANCE: Final[Mapping[str, Mapping[str, float]]] = {
    "B": {"closure": 3.0, "jawOpen": 2.0, "mouthPress*": 2.0, "mouthLowerDown*": 2.5, "mouthUpperUp*": 2.5},
    "F": {"mouthRollLower": 5.0, "jawOpen": 2.5, "mouthUpperUp*": 3.0, "mouthLowerDown*": 4.0},
    "W": {"mouthPucker": 4.0, "jawOpen": 2.0},
    "UW": {"mouthPucker": 3.0, "mouthFunnel": 2.0},
    "OW": {"mouthPucker": 2.5, "mouthFunnel": 2.0},
    "AO": {"mouthFunnel": 2.0},
    "SH": {"mouthFunnel": 3.0, "jawOpen": 2.5},
    "S": {"jawOpen": 2.5},
    "TH": {"tongueOut": 4.0, "jawOpen": 1.5},
    "HH": dict.fromkeys(SPEECH_CHANNELS, 0.25),
    "K": {"mouthPucker": 0.4, "mouthFunnel": 0.4, "mouthStretch*": 0.4},
    "T": {"mouthPucker": 0.4, "mouthFunnel": 0.4, "mouthStretch*": 0.4, "jawOpen": 1.2},
}  # fmt: skip
_VOWELS: Final = frozenset({"AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "OW", "UH", "UW"})


def _tables() -> tuple[dict[str, int], Floats, Floats]:
    rows = {name: i for i, name in enumerate(_SHAPES)}
    targets = np.zeros((len(rows), len(SPEECH_CHANNELS)))
    dominance = np.ones_like(targets)
    for name, row in rows.items():
        for channel, value in _SHAPES[name].items():
            targets[row, SPEECH_CHANNELS.index(channel)] = value
        for channel, value in _DOMINANCE.get(name, {}).items():
            dominance[row, SPEECH_CHANNELS.index(channel)] = value
    return rows, targets, dominance


_ROWS, _TARGETS, _STRENGTHS = _tables()
_JAW, _CLOSURE = SPEECH_CHANNELS.index("jawOpen"), SPEECH_CHANNELS.index("closure")
_SEALED: Final = _ROWS["B"]
#: Dominance of the mouth at rest: the larger, the shorter a sound is prepared and released.
_SILENCE: Final = 0.2


@dataclass(frozen=True)
class MouthMotion:
    """Speech alone: ``values`` (T, len(SPEECH_CHANNELS)) in 0..1 and ``activity`` (T,), 1 while words are spoken."""

    values: Floats
    activity: Floats


def articulate(utterance: Utterance, t: Floats, fps: float) -> MouthMotion:
    """The mouth's motion at times ``t`` (T,); a bilabial's closure falls on a frame so that none is skipped."""
    rows: list[int] = []
    centres: list[float] = []
    lengths: list[float] = []
    loudness: list[float] = []
    for symbol, centre, length, loud in zip(
        utterance.symbols, utterance.centres, utterance.lengths, utterance.loudness, strict=True
    ):
        parts = _GLIDES.get(symbol, (_SAME_AS.get(symbol, symbol),))
        for k, part in enumerate(parts):
            if part not in _ROWS:
                continue
            rows.append(_ROWS[part])
            centres.append(centre + (k - 0.5) * 0.5 * length if len(parts) == 2 else centre)
            lengths.append(length / len(parts) * 1.15)
            loudness.append(loud if part in _VOWELS else 0.5 + 0.5 * loud)
    if not rows:
        return MouthMotion(np.zeros((len(t), len(SPEECH_CHANNELS))), np.zeros(len(t)))
    row = np.array(rows)
    centre_array = np.array(centres)
    sealed = row == _SEALED
    centre_array[sealed] = np.round(centre_array[sealed] * fps) / fps
    # Lips close fast: a seal that lingered would swallow the vowels around it.
    sigma = np.where(sealed, 0.25, 0.4) * np.array(lengths) + 0.014
    pull = np.exp(-0.5 * ((t[:, None] - centre_array) / sigma) ** 2)  # (T, n)
    strength = _STRENGTHS[row]
    target = _TARGETS[row].copy()
    target[:, _JAW] *= np.array(loudness)
    values = (pull @ (strength * target)) / (pull @ strength + _SILENCE)
    values[:, _CLOSURE] = minimum_jerk((values[:, _CLOSURE] - 0.1) / 0.68)
    activity = np.zeros(len(t))
    for phrase in utterance.phrases:
        on = minimum_jerk((t - phrase.start + 0.14) / 0.2) * (1.0 - minimum_jerk((t - phrase.end) / 0.25))
        activity = np.maximum(activity, on)
    return MouthMotion(values, activity)
