# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion names and their blend weights over the basic emotions.

The decoder is conditioned on a weight vector, not on a name, so compound expressions (Du, Tao and Martinez 2014,
"Compound facial expressions of emotion") are blends of basic ones.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

#: Ekman's six basic emotions and neutral: the axes of the weight vector, in this order.
BASIC_EMOTIONS: Final[tuple[str, ...]] = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")

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
EMOTION_NAMES: Final[tuple[str, ...]] = BASIC_EMOTIONS + tuple(COMPOUND_EMOTIONS)


def emotion_weights(name: str) -> npt.NDArray[np.float32]:
    """Weights over `BASIC_EMOTIONS`, shape (7,), sum 1. KeyError for a name not in `EMOTION_NAMES`."""
    weights = np.zeros(len(BASIC_EMOTIONS), np.float32)
    if name in COMPOUND_EMOTIONS:
        for basic, weight in COMPOUND_EMOTIONS[name].items():
            weights[BASIC_EMOTIONS.index(basic)] = weight
    elif name in BASIC_EMOTIONS:
        weights[BASIC_EMOTIONS.index(name)] = 1.0
    else:
        raise KeyError(name)
    return weights
