# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion names and their weights.

Two vectors: `EMOTIONS` (14) is what the teacher acts and what a direction may ask for; `BASIC_EMOTIONS` (7) are the
first of them and the only ones that a decoder of the first generation knows. Every name has weights over both.
Compound expressions (Du, Tao and Martinez 2014, "Compound facial expressions of emotion") are blends.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

#: Ekman's six basic emotions and neutral: the axes of the weight vector, in this order.
BASIC_EMOTIONS: Final[tuple[str, ...]] = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")

#: Every emotion with recipes of its own: the basic ones, then the others. Only ever appended to.
EMOTIONS: Final[tuple[str, ...]] = (
    *BASIC_EMOTIONS,
    "contempt",
    "affection",
    "embarrassment",
    "confusion",
    "pride",
    "amusement",
    "boredom",
)

#: The nearest blend of basic emotions to each of the others, for decoders that know only those; each sums to 1.
NEAREST_BASIC: Final[MappingProxyType[str, MappingProxyType[str, float]]] = MappingProxyType(
    {
        "contempt": MappingProxyType({"disgust": 0.5, "anger": 0.3, "neutral": 0.2}),
        "affection": MappingProxyType({"joy": 0.6, "sadness": 0.15, "neutral": 0.25}),
        "embarrassment": MappingProxyType({"sadness": 0.35, "fear": 0.35, "neutral": 0.3}),
        "confusion": MappingProxyType({"surprise": 0.55, "fear": 0.1, "neutral": 0.35}),
        "pride": MappingProxyType({"joy": 0.7, "neutral": 0.3}),
        "amusement": MappingProxyType({"joy": 0.95, "surprise": 0.05}),
        "boredom": MappingProxyType({"neutral": 0.65, "sadness": 0.35}),
    }
)

#: Compound emotions as weights over the basic ones; each sums to 1.
COMPOUND_EMOTIONS: Final[MappingProxyType[str, MappingProxyType[str, float]]] = MappingProxyType(
    {
        "happily_surprised": MappingProxyType({"joy": 0.5, "surprise": 0.5}),
        "awed": MappingProxyType({"surprise": 0.7, "fear": 0.3}),
        "bittersweet": MappingProxyType({"joy": 0.5, "sadness": 0.5}),
        "sadly_angry": MappingProxyType({"sadness": 0.5, "anger": 0.5}),
        "sadly_fearful": MappingProxyType({"sadness": 0.5, "fear": 0.5}),
        "angrily_disgusted": MappingProxyType({"anger": 0.5, "disgust": 0.5}),
    }
)

#: Every name a request may use, apart from "auto" (let the text decide).
EMOTION_NAMES: Final[tuple[str, ...]] = EMOTIONS + tuple(COMPOUND_EMOTIONS)


def emotion_vector(name: str) -> npt.NDArray[np.float32]:
    """Weights over `EMOTIONS`, shape (14,), sum 1. KeyError for a name not in `EMOTION_NAMES`."""
    weights = np.zeros(len(EMOTIONS), np.float32)
    for part, weight in (COMPOUND_EMOTIONS.get(name) or {name: 1.0}).items():
        if part not in EMOTIONS:
            raise KeyError(name)
        weights[EMOTIONS.index(part)] = weight
    return weights


def emotion_weights(name: str) -> npt.NDArray[np.float32]:
    """Weights over `BASIC_EMOTIONS`, shape (7,), sum 1. KeyError for a name not in `EMOTION_NAMES`."""
    return basic_weights(emotion_vector(name))


def basic_weights(vector: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Weights over `EMOTIONS` (..., 14) as weights over `BASIC_EMOTIONS` (..., 7), by `NEAREST_BASIC`; same sum."""
    result: npt.NDArray[np.float32] = np.asarray(vector, np.float32) @ _TO_BASIC
    return result


def full_vector(weights: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Weights over `BASIC_EMOTIONS` (7,) or already over `EMOTIONS` (14,) as weights over `EMOTIONS` (14,).

    ValueError for another shape.
    """
    given = np.asarray(weights, np.float32)
    if given.shape not in ((len(BASIC_EMOTIONS),), (len(EMOTIONS),)):
        raise ValueError(f"weights must be {len(BASIC_EMOTIONS)} or {len(EMOTIONS)} numbers, not {weights!r}")
    vector = np.zeros(len(EMOTIONS), np.float32)
    vector[: len(given)] = given
    return vector


def _to_basic() -> npt.NDArray[np.float32]:
    matrix = np.zeros((len(EMOTIONS), len(BASIC_EMOTIONS)), np.float32)
    for row, name in enumerate(EMOTIONS):
        for basic, weight in NEAREST_BASIC.get(name, {name: 1.0}).items():
            matrix[row, BASIC_EMOTIONS.index(basic)] = weight
    return matrix


_TO_BASIC: Final = _to_basic()
