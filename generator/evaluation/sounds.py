# SPDX-License-Identifier: GPL-3.0-or-later
"""The sounds a line must show, read by somebody else: espeak-ng pronounces its words, the timeline says when.

What performs reads with the CMU dictionary and its own letters. A judge who took those sounds for the truth would not
notice a word that is read wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from ..shared.timeline import BILABIALS, LABIODENTALS, VOWELS, Phoneme, Timeline, Word
from ..speech.espeak import available as can_read
from ..speech.espeak import english_phrase

__all__ = ["aligned", "can_read", "reference_sounds"]

#: Cost of leaving a sound out, and of taking one for another: a vowel, a consonant, one of each.
_LEFT_OUT: Final = 0.8
_VOWEL, _CONSONANT, _MIXED = 0.5, 1.0, 1.7
#: Sounds that look alike are the likelier partners.
_ALIKE: Final = 0.3
_LOOKS: Final = (BILABIALS, LABIODENTALS, frozenset("S Z T D N DX".split()), frozenset("SH ZH CH JH".split()),
                 frozenset("K G NG".split()), frozenset("AH AX IH".split()), frozenset("R ER".split()))  # fmt: skip


@lru_cache(maxsize=4096)
def reference_sounds(timeline: Timeline) -> tuple[Phoneme, ...]:
    """The sounds of a timeline's words as espeak-ng reads them, at the times of the timeline's own.

    Within a word, both readings are aligned by edit distance: partners share their time, a sound that the timeline
    lacks takes no time, between its neighbours. Words that espeak-ng leaves out, and other languages than English, keep
    the timeline's sounds. Needs espeak-ng (`can_read`).
    """
    if timeline.language != "en":
        return timeline.phonemes
    sounds: list[Phoneme] = []
    for words in _phrases(timeline):
        for word, read in zip(words, _read(tuple(word.text for word in words)), strict=True):
            sounds += aligned(word, read) if read else word.phonemes
    return tuple(sounds)


def aligned(word: Word, read: Sequence[tuple[str, int]]) -> list[Phoneme]:
    """``read``, (symbol, stress) of each sound, at the times of the word's own sounds."""
    own = word.phonemes
    cost = np.zeros((len(read) + 1, len(own) + 1))
    cost[:, 0], cost[0] = _LEFT_OUT * np.arange(len(read) + 1), _LEFT_OUT * np.arange(len(own) + 1)
    for i, (symbol, _) in enumerate(read, 1):
        for j, phoneme in enumerate(own, 1):
            both = cost[i - 1, j - 1] + _difference(symbol, phoneme.symbol)
            cost[i, j] = min(both, cost[i - 1, j] + _LEFT_OUT, cost[i, j - 1] + _LEFT_OUT)
    result: list[Phoneme] = []
    i, j = len(read), len(own)
    while i:
        symbol, stress = read[i - 1]
        if j and np.isclose(cost[i, j], cost[i - 1, j - 1] + _difference(symbol, own[j - 1].symbol)):
            result.append(replace(own[j - 1], symbol=symbol, stress=stress))
            i, j = i - 1, j - 1
        elif j and np.isclose(cost[i, j], cost[i, j - 1] + _LEFT_OUT):
            j -= 1
        else:
            between = own[j].start if j < len(own) else word.end
            result.append(Phoneme(symbol, stress, between, between))
            i -= 1
    return result[::-1]


def _difference(first: str, second: str) -> float:
    if first == second:
        return 0.0
    if any(first in look and second in look for look in _LOOKS):
        return _ALIKE
    vowels = (first in VOWELS) + (second in VOWELS)
    return (_CONSONANT, _MIXED, _VOWEL)[vowels]


def _phrases(timeline: Timeline) -> list[list[Word]]:
    """The words by phrase: espeak-ng gives "the" and "to" their weak forms by what stands beside them."""
    starts = np.array([phrase.start for phrase in timeline.phrases]) - 1e-3
    result: list[list[Word]] = [[] for _ in range(len(starts) + 1)]
    for word in timeline.words:
        result[int(np.searchsorted(starts, word.start, side="right"))].append(word)
    return [words for words in result if words]


@lru_cache(maxsize=16384)
def _read(words: tuple[str, ...]) -> tuple[tuple[tuple[str, int], ...], ...]:
    read = english_phrase(words)
    assert read is not None  # `can_read`
    return tuple(tuple(sounds) for sounds in read)
