# SPDX-License-Identifier: GPL-3.0-or-later
"""Visual speech: phonemes to mouth shapes with coarticulation.

Every phoneme pulls each mouth channel towards its own target with its own dominance, and the mouth shows the
weighted mean (Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..easing import minimum_jerk
from .curves import Floats
from .recipes import Numbers, table
from .speech import Utterance

#: What speech moves. "closure" is how far the lips are sealed whatever the jaw does.
SPEECH_CHANNELS: Final = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthSmile*", "mouthStretch*", "mouthRollLower", "mouthRollUpper",
    "mouthLowerDown*", "mouthUpperUp*", "mouthPress*", "tongueOut", "closure",
)  # fmt: skip

_SHAPES: Final[Mapping[str, Mapping[str, float]]] = table("visemes")
_SAME_AS: Final[Mapping[str, str]] = table("same_viseme")
#: Diphthongs glide: two shapes.
_GLIDES: Final[Mapping[str, Sequence[str]]] = table("glides")
#: Who insists on what: bilabials on closing, rounded sounds on rounding, sibilants on closed teeth.
_DOMINANCE: Final[Mapping[str, Mapping[str, float]]] = table("dominance")
_SPREAD: Final = Numbers("coarticulation")
_VOWELS: Final = frozenset({"AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "OW", "UH", "UW", "AX"})


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
_LIP_TEETH: Final = _ROWS["F"]
_PUCKER, _FUNNEL = SPEECH_CHANNELS.index("mouthPucker"), SPEECH_CHANNELS.index("mouthFunnel")
_ROUNDED: Final = _TARGETS[:, _PUCKER] + _TARGETS[:, _FUNNEL] > 0.45


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
    # Seals and lip-teeth contacts fall on a frame, or a camera of 24 frames would miss them.
    touching = (row == _SEALED) | (row == _LIP_TEETH)
    centre_array[touching] = np.round(centre_array[touching] * fps) / fps
    length = np.array(lengths)
    # Lips close fast: a seal that lingered would swallow the vowels around it.
    reach = np.where(row == _SEALED, _SPREAD["reach_sealed"], _SPREAD["reach"]) * length + _SPREAD["reach_least"]
    offset = (t[:, None] - centre_array) ** 2
    pull = np.exp(-0.5 * offset / reach**2)  # (T, n)
    strength = _STRENGTHS[row]
    target = _TARGETS[row].copy()
    target[:, _JAW] *= np.array(loudness)
    silence = _SPREAD["silence"]
    values = (pull @ (strength * target)) / (pull @ strength + silence)
    # Rounding reaches far into its neighbours (Lubker and Gay 1982): the lips' own, wider dominance.
    wide = np.where(_ROUNDED[row], _SPREAD["reach_rounded"], _SPREAD["reach"]) * length + _SPREAD["reach_least"]
    spread = np.exp(-0.5 * offset / wide**2)
    for channel in (_PUCKER, _FUNNEL):
        weight = strength[:, channel]
        values[:, channel] = (spread @ (weight * target[:, channel])) / (spread @ weight + silence)
    values[:, _CLOSURE] = minimum_jerk((values[:, _CLOSURE] - _SPREAD["seal_from"]) / _SPREAD["seal_span"])
    activity = np.zeros(len(t))
    before, after = _SPREAD["lead_in"], _SPREAD["lead_out"]
    for phrase in utterance.phrases:
        on = minimum_jerk((t - phrase.start + before) / 0.2) * (1.0 - minimum_jerk((t - phrase.end) / after))
        activity = np.maximum(activity, on)
    return MouthMotion(values, activity)
