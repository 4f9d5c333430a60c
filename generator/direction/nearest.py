# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unknown direction means: the emotions whose words are nearest to it in the text encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .notation import Meaning
from .vocabulary import ASIDES, EMOTION_WORDS, MANNERS, mixture_name

#: Mean-pooled text features of n lines, (n, W).
Embed = Callable[[list[str]], npt.NDArray[np.float32]]

#: Examples averaged for a class: a class is as near as its nearest few words.
_NEIGHBOURS: Final = 3
#: Least cosine at which words are a direction at all, and by how much directions must be nearer than spoken asides.
_LEAST: Final = 0.3
_MARGIN: Final = 0.1
#: Who speaks of these is speaking: a direction has no "I" and no "you".
_SPOKEN: Final = frozenset("i you he she we they me us my your our its i'm you're he's she's it's don't is was".split())
#: Two emotions closer than this in cosine are a mixture, where there is a name for it.
_TIE: Final = 0.02


class NearestDirection:
    """Compares bracketed words with the known words, by the cosine of their mean-pooled features."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._examples: npt.NDArray[np.float32] | None = None
        self._asides = len(ASIDES)
        self._labels: list[tuple[str | None, Any]] = [
            *EMOTION_WORDS.values(), *((None, factors) for factors in MANNERS.values()),
        ]  # fmt: skip

    def find(self, words: str) -> Meaning | None:
        """The nearest meaning of ``words``; None when they read like spoken words."""
        if _SPOKEN & set(words.lower().replace("’", "'").replace(",", " ").split()):
            return None
        if self._examples is None:
            self._examples = _unit(self._embed([*ASIDES, *EMOTION_WORDS, *MANNERS]))
        cosines = self._examples @ _unit(self._embed([words]))[0]
        asides, known = cosines[: self._asides], cosines[self._asides :]
        if _top(known) < _LEAST or _top(known) - _top(asides) < _MARGIN:
            return None
        if named := _named(words):
            return Meaning(named)
        emotions: dict[str | None, list[float]] = {}
        for (name, _), cosine in zip(self._labels, known, strict=True):
            emotions.setdefault(name, []).append(float(cosine))
        ranked = sorted(((_top(np.array(c)), name) for name, c in emotions.items()), key=lambda r: -r[0])
        (best, first), (next_best, second) = ranked[:2]
        if first is None:
            manners = [(cosine, said) for (name, said), cosine in zip(self._labels, known, strict=True) if not name]
            factor, rate, energy = max(manners)[1]
            return Meaning(None, factor, rate=rate, energy=energy)
        if second is not None and best - next_best < _TIE and (mixture := mixture_name(first, second)):
            return Meaning(mixture)
        return Meaning(first)


def _named(words: str) -> str | None:
    """The emotion that one of ``words`` names, when they name no other one and deny nothing."""
    tokens = words.lower().split()
    if {"not", "no", "without", "trying", "hardly"} & set(tokens):
        return None
    named = {EMOTION_WORDS[token][0] for token in tokens if token in EMOTION_WORDS}
    return named.pop() if len(named) == 1 else None


def _top(cosines: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> float:
    return float(np.sort(cosines)[-_NEIGHBOURS:].mean())


def _unit(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    norm: npt.NDArray[np.float32] = np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9)
    return features / norm
