# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech timing: a line becomes phrases, words and phonemes with times, stress and emphasis.

Segment lengths follow Klatt 1976 in outline: stressed vowels are long, phrase-final syllables are stretched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from .curves import Floats
from .pronounce import Phone, phones

_VOWEL_SECONDS: Final = {
    "AA": 0.13, "AE": 0.13, "AH": 0.09, "AO": 0.13, "AW": 0.16, "AY": 0.16, "EH": 0.10, "ER": 0.12, "EY": 0.14,
    "IH": 0.085, "IY": 0.11, "OW": 0.14, "OY": 0.17, "UH": 0.085, "UW": 0.12,
}  # fmt: skip
_CONSONANT_SECONDS: Final = {
    "B": 0.075, "P": 0.085, "M": 0.08, "F": 0.09, "V": 0.065, "S": 0.10, "Z": 0.08, "SH": 0.10, "ZH": 0.08,
    "CH": 0.10, "JH": 0.09, "TH": 0.085, "DH": 0.05, "T": 0.065, "D": 0.055, "K": 0.075, "G": 0.065, "N": 0.06,
    "NG": 0.065, "L": 0.06, "R": 0.06, "W": 0.065, "Y": 0.05, "HH": 0.055,
}  # fmt: skip
#: Seconds of silence after a phrase that ends with this mark.
_PAUSES: Final = {",": 0.2, ";": 0.28, ":": 0.28, "-": 0.26, ".": 0.42, "!": 0.36, "?": 0.4, "…": 0.75, "": 0.3}
#: Unstressed in running speech.
_FUNCTION_WORDS: Final = frozenset(
    "a an the of to in on at by for with from and or but as is are was were be been am i you he she it we they me him "
    "her us them my your his its our their this that there here if so than then do does did have has had will would "
    "can could should shall may might must what who i'm you're it's i'll he's she's we're they're i've you've".split()
)
NEGATIONS: Final = frozenset(
    "no not never don't won't can't didn't doesn't isn't wasn't nothing nobody none nope nah".split()
)
AGREEMENTS: Final = frozenset(
    "yes yeah yep yup sure right okay ok exactly absolutely definitely indeed agreed true".split()
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9]+(?:['’][A-Za-z]+)*|\.{2,}|…|[.,;:!?]|\s[-–—]+\s?|[–—]|--+")


@dataclass(frozen=True)
class Word:
    """A word of the line before timing: its spelling, phonemes, phrase number and how likely it carries emphasis."""

    text: str
    phones: tuple[Phone, ...]
    phrase: int
    stress: float


@dataclass(frozen=True)
class Script:
    """A parsed line: words in order, and the mark that ends each phrase (one of the keys of the pause table)."""

    words: tuple[Word, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Phrase:
    """A breath group in time: start and end in seconds, its closing mark, its emphasised words' times (n,)."""

    start: float
    end: float
    mark: str


@dataclass(frozen=True)
class Utterance:
    """A line in time.

    Attributes:
        symbols: ARPAbet symbol per phoneme.
        centres, lengths, loudness: per phoneme (n,): seconds, seconds, 0.5..1.5 opening of the mouth.
        phrases: breath groups in order.
        accents: times of emphasised words' stressed vowels (m,), with accent_sizes 0.3..1.3.
        shakes, nods: times of spoken negations and agreements.
        start, end: when the voice begins and stops, seconds.
    """

    symbols: tuple[str, ...]
    centres: Floats
    lengths: Floats
    loudness: Floats
    phrases: tuple[Phrase, ...]
    accents: Floats
    accent_sizes: Floats
    shakes: Floats
    nods: Floats
    start: float
    end: float


@lru_cache(maxsize=8192)
def read_line(text: str) -> Script:
    """Splits a line into words and phrases; a line without words has no words and one mark."""
    words: list[Word] = []
    marks: list[str] = []
    open_phrase = False
    for token in _TOKEN.findall(text):
        token = token.strip()
        if token and token[0].isalnum():
            sounds = phones(token.replace("’", "'"))
            if not sounds:
                continue
            lower = token.lower().replace("’", "'")
            stress = 0.25 if lower in _FUNCTION_WORDS else 0.6 + 0.06 * min(len(token), 8)
            if len(token) > 1 and token.isupper():
                stress += 0.5
            if lower in NEGATIONS:
                stress += 0.3
            words.append(Word(lower, sounds, len(marks), stress))
            open_phrase = True
            continue
        mark = "…" if token == "…" or token.startswith("..") else "-" if token[:1] in "-–—" else token
        if open_phrase:
            marks.append(mark)
            open_phrase = False
        elif marks and (mark in "!?…") and marks[-1] not in "!?":
            marks[-1] = mark
        elif not marks and not words:
            marks = []
    if open_phrase:
        marks.append("")
    return Script(tuple(words), tuple(marks) or (text.strip()[-1:] if text.strip()[-1:] in "!?" else "…",))


def speak(script: Script, rate: float, start: float, jaw: float, rng: np.random.Generator) -> Utterance:
    """Puts a parsed line in time from ``start``; another generator state gives another reading.

    Args:
        rate: speech rate, 1 natural (about 12 phonemes a second).
        jaw: how far the mouth opens, 1 natural.
    """
    symbols: list[str] = []
    lengths: list[float] = []
    gaps: list[float] = []
    loudness: list[float] = []
    vowel_of_word: list[int] = []
    last_word = len(script.words) - 1
    phrase_of_phone: list[int] = []
    word_rates = (1.0 / rate) * np.exp(rng.normal(0.0, 0.09, len(script.words)))
    pause_scale = np.exp(rng.normal(0.0, 0.25, len(script.marks))) / rate**0.7
    for index, word in enumerate(script.words):
        final = index == last_word or script.words[index + 1].phrase != word.phrase
        vowels = [i for i, (s, _) in enumerate(word.phones) if s in _VOWEL_SECONDS]
        main = next((i for i in vowels if word.phones[i][1] == 1), vowels[0] if vowels else 0)
        vowel_of_word.append(len(symbols) + main)
        stress = min(word.stress, 1.3)
        for i, (symbol, degree) in enumerate(word.phones):
            seconds = _VOWEL_SECONDS.get(symbol) or _CONSONANT_SECONDS.get(symbol, 0.06)
            if symbol in _VOWEL_SECONDS:
                seconds *= (0.7 if degree == 0 else 1.0) * (0.8 + 0.35 * stress)
            if final and i >= (vowels[-1] if vowels else 0):
                seconds *= 1.35
            symbols.append(symbol)
            lengths.append(seconds * word_rates[index])
            gaps.append(0.0)
            loudness.append(jaw * (0.6 + 0.4 * stress) * (1.15 if i == main else 0.9))
            phrase_of_phone.append(word.phrase)
        if final and index != last_word:
            gaps[-1] = _PAUSES.get(script.marks[word.phrase], 0.3) * float(pause_scale[word.phrase])
    length = np.array(lengths)
    gap = np.array(gaps)
    begin = start + np.concatenate(([0.0], np.cumsum(length + gap)[:-1])) if len(length) else np.zeros(0)
    centre = begin + 0.5 * length
    owner = np.array(phrase_of_phone, int)
    phrases = tuple(
        Phrase(float(begin[owner == p][0]), float((begin + length)[owner == p][-1]), script.marks[p])
        for p in range(len(script.marks))
        if (owner == p).any()
    )
    accents, sizes = _accents(script, centre, vowel_of_word, rng)
    times = centre[np.array(vowel_of_word, int)] if len(length) else np.zeros(0)
    shakes = np.array([times[i] for i, w in enumerate(script.words) if w.text in NEGATIONS])
    nods = np.array([times[i] for i, w in enumerate(script.words) if w.text in AGREEMENTS])
    end = float(begin[-1] + length[-1]) if len(length) else start
    return Utterance(
        tuple(symbols), centre, length, np.array(loudness), phrases, accents, sizes, shakes, nods, start, end
    )  # fmt: skip


def _accents(script: Script, centres: Floats, vowels: list[int], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One or two emphasised words per phrase, drawn by stress; the last content word before "!" is favoured."""
    times: list[float] = []
    sizes: list[float] = []
    for phrase, mark in enumerate(script.marks):
        members = [i for i, w in enumerate(script.words) if w.phrase == phrase]
        if not members:
            continue
        score = np.array([script.words[i].stress for i in members]) + rng.gumbel(0.0, 0.22, len(members))
        if mark in "!?":
            score[-1] += 0.25
        for rank, at in enumerate(np.argsort(-score)[: 1 + len(members) // 4]):
            times.append(float(centres[vowels[members[int(at)]]]))
            sizes.append((1.0 if rank == 0 else 0.6) * (1.25 if mark == "!" else 1.0) * rng.uniform(0.7, 1.2))
    order = np.argsort(times) if times else np.zeros(0, int)
    return np.array(times)[order], np.array(sizes)[order]
