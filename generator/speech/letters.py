# SPDX-License-Identifier: GPL-3.0-or-later
"""Letter to sound: the phonemes of a word that no dictionary has, by a small network that runs in numpy.

Every letter says none, one or two phonemes (a *chunk*; Black, Lenzo and Pagel 1998, "Issues in building general letter
to sound rules", for the alignment). The network reads a window of letters, the chunks just said and whether the
primary stress has been spoken; a beam keeps the likeliest readings. `generator.training.letter_to_sound` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..shared.timeline import VOWELS
from .dictionary import Phone, Phones

__all__ = ["ALPHABET", "PREVIOUS", "WINDOW", "LetterModel", "by_letters"]

Floats = npt.NDArray[np.float32]

#: What the network reads: the first sign stands for everything before and after the word.
ALPHABET: Final = " abcdefghijklmnopqrstuvwxyz'"
#: Letters seen on either side.
WINDOW: Final = 6
#: Chunks seen before the letter.
PREVIOUS: Final = 3
#: Readings that are kept. More hardly read better, and products of more rows wake the threads of BLAS.
_BEAM: Final = 2
_PLACES: Final = np.arange(PREVIOUS)
_FILE: Final = Path(__file__).with_name("letters.npz")


@dataclass(frozen=True)
class _Reading:
    """A hypothesis: the log-probability of its chunks, the chunks, and whether one of them has the primary stress."""

    score: float
    chunks: tuple[int, ...]
    stressed: bool


@dataclass(frozen=True)
class LetterModel:
    """The network: C chunks, H hidden units, A signs of the alphabet.

    Attributes:
        chunks: what a letter may say, phonemes with stress, C of them; the first is silence.
        letters: (2 * WINDOW + 1, A, H) what each letter of the window adds to the first layer.
        previous: (PREVIOUS, C, H) what the chunks said before add, the last one first.
        stressed: (2, H) what is added before and after the primary stress; it holds the bias.
        hidden: (H, H) weights of the second layer, hidden_bias: (H,).
        output: (H, C) weights of the last layer, output_bias: (C,).
    """

    chunks: tuple[Phones, ...]
    letters: Floats
    previous: Floats
    stressed: Floats
    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats

    @classmethod
    def load(cls, path: Path = _FILE) -> LetterModel:
        """The network of a file: weights are 8-bit numbers with one scale for each row."""
        with np.load(path, allow_pickle=False) as file:
            weights = {name: _floats(file, name) for name in ("letters", "chunk", "previous", "hidden", "output")}
            chunks = tuple(_chunk(text) for text in file["chunks"].tolist())
            plain = {name: file[name].astype(np.float32) for name in ("stressed", "hidden_bias", "output_bias")}
        width = plain["hidden_bias"].size
        previous = weights["previous"].reshape(PREVIOUS, -1, width)
        return cls(
            chunks=chunks,
            letters=weights["letters"].reshape(2 * WINDOW + 1, len(ALPHABET), width),
            previous=np.einsum("ce,peh->pch", weights["chunk"], previous),
            hidden=weights["hidden"],
            output=weights["output"],
            **plain,
        )

    def read(self, word: str) -> Phones:
        """The likeliest phonemes of a lower-case word; signs that are not in the alphabet are silent."""
        signs = [ALPHABET.index(letter) for letter in word if letter in ALPHABET[1:]]
        if not signs:
            return ()
        padded = np.array([0] * WINDOW + signs + [0] * WINDOW)
        # (L, H): what the letters alone add, for every position at once.
        seen = np.stack([self.letters[k, padded[k : k + len(signs)]] for k in range(2 * WINDOW + 1)]).sum(0)
        beam = [_Reading(0.0, (0,) * PREVIOUS, False)]
        for letters in seen:
            beam = self._extended(beam, letters)
        best = [phone for chunk in beam[0].chunks[PREVIOUS:] for phone in self.chunks[chunk]]
        return _with_one_stress(best)

    def _extended(self, beam: list[_Reading], letters: Floats) -> list[_Reading]:
        """The best readings one letter further; ``letters`` (H,) is what the window of letters adds."""
        said = np.array([reading.chunks[: -PREVIOUS - 1 : -1] for reading in beam])  # (B, PREVIOUS)
        stressed = self.stressed[[int(reading.stressed) for reading in beam]]
        first = np.maximum(letters + stressed + self.previous[_PLACES, said].sum(1), 0.0)
        second = first + np.maximum(first @ self.hidden + self.hidden_bias, 0.0)
        scores = _log_softmax(second @ self.output + self.output_bias)
        scores += np.array([reading.score for reading in beam], np.float32)[:, None]
        best = [divmod(int(i), len(self.chunks)) for i in np.argsort(-scores, axis=None)[:_BEAM]]
        return [self._one_further(beam[row], chunk, float(scores[row, chunk])) for row, chunk in best]

    def _one_further(self, reading: _Reading, chunk: int, score: float) -> _Reading:
        stressed = reading.stressed or any(stress == 1 for _, stress in self.chunks[chunk])
        return _Reading(score, (*reading.chunks, chunk), stressed)


def _floats(file: Any, name: str) -> Floats:
    return file[name].astype(np.float32) * file[f"{name}_scale"].astype(np.float32)[:, None]


def _chunk(text: str) -> Phones:
    """Phonemes of a chunk as it is written in the file: ``"Y UW1"``; unlike the dictionary, the schwa is AX0."""
    return tuple((s[:-1], int(s[-1])) if s[-1].isdigit() else (s, 0) for s in text.split())


def _log_softmax(x: Floats) -> Floats:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _with_one_stress(phones: Sequence[Phone]) -> Phones:
    """The word with one primary stress if it has a vowel: its first, else a secondary one, else a full vowel."""
    vowels = [i for i, (symbol, _) in enumerate(phones) if symbol in VOWELS]
    if not vowels:
        return tuple(phones)
    rank = {1: 0, 2: 1}
    main = min(vowels, key=lambda i: (rank.get(phones[i][1], 3 if phones[i][0] == "AX" else 2), i))
    result = [(symbol, 2 if stress == 1 else stress) for symbol, stress in phones]
    # A stressed schwa is the vowel of "cup".
    result[main] = ("AH" if result[main][0] == "AX" else result[main][0], 1)
    return tuple(result)


@cache
def _model() -> LetterModel:
    return LetterModel.load()


@lru_cache(maxsize=8192)
def by_letters(word: str) -> Phones:
    """The phonemes of a lower-case word as its spelling suggests; other signs than a-z and ' are silent."""
    return _model().read(word)
