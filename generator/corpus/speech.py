# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech timing: a line becomes phrases, words and phonemes with times, stress and emphasis.

Segment lengths follow Klatt 1976 in outline: stressed vowels are long, phrase-final syllables are stretched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from .curves import Floats
from .pronounce import Phone, phrase_phones
from .recipes import CUES, INTERJECTIONS, Numbers, table

_SPEECH: Final = Numbers("speech")
_VOWEL_SECONDS: Final[Mapping[str, float]] = table("speech")["vowels"]
_CONSONANT_SECONDS: Final[Mapping[str, float]] = table("speech")["consonants"]
#: Seconds of silence after a phrase that ends with this mark.
_PAUSES: Final[Mapping[str, float]] = table("speech")["pauses"]
#: Words by what they do to the voice and the head.
_FUNCTION_WORDS: Final = frozenset(table("speech")["function_words"].split())
_EMPHATIC: Final = frozenset(table("speech")["emphatic_words"].split())
_QUESTION_WORDS: Final = frozenset(table("speech")["question_words"].split())
_HESITATIONS: Final = frozenset(table("speech")["hesitations"].split())
NEGATIONS: Final = frozenset(table("speech")["negations"].split())
AGREEMENTS: Final = frozenset(table("speech")["agreements"].split())
#: Stage cues: *sighs*, (laughs), [gasps].
_CUE: Final = re.compile(r"\*([^*]{2,40})\*|\(([^)]{2,40})\)|\[([^\]]{2,40})\]")
_TOKEN: Final = re.compile(r"[A-Za-z0-9]+(?:['’][A-Za-z]+)*|\.{2,}|…|[.,;:!?]|\s[-–—]+\s?|[–—]|--+")


@dataclass(frozen=True)
class Word:
    """A word of the line before timing.

    Attributes:
        text: its spelling, lower case.
        phones: its phonemes.
        phrase: number of its phrase.
        stress: how likely and how strongly it carries emphasis, about 0.2..1.5.
        drawl: how much its main vowel is stretched ("sooo", "um"), 1 not at all.
    """

    text: str
    phones: tuple[Phone, ...]
    phrase: int
    stress: float
    drawl: float = 1.0


@dataclass(frozen=True)
class Script:
    """A parsed line.

    Attributes:
        words: in order.
        marks: the mark that ends each phrase (one of the keys of the pause table).
        cues: gestures written into the line, with the share of the words that come before each.
        asks_what: phrases that ask with a question word rather than for yes or no.
    """

    words: tuple[Word, ...]
    marks: tuple[str, ...]
    cues: tuple[tuple[str, float], ...] = ()
    asks_what: frozenset[int] = frozenset()

    def silent(self) -> Script:
        """The same line as a reaction without words: only its closing mark and its cues remain."""
        return Script((), self.marks[-1:], tuple((name, 0.0) for name, _ in self.cues))


@dataclass(frozen=True)
class Phrase:
    """A breath group in time: start and end in seconds, its closing mark, whether it asks what, who, why ..."""

    start: float
    end: float
    mark: str
    asks_what: bool = False


@dataclass(frozen=True)
class Utterance:
    """A line in time.

    Attributes:
        symbols: ARPAbet symbol per phoneme, with AX for the schwa and DX for the flap.
        centres, lengths, loudness: per phoneme (n,): seconds, seconds, 0.5..1.5 opening of the mouth.
        phrases: breath groups in order.
        accents: times of emphasised words' stressed vowels (m,), with accent_sizes 0.3..1.6.
        shakes, nods, hesitations: times of spoken negations, agreements and fillers.
        events: (gesture, time) that the words themselves call for: laughter, "oh", stage cues.
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
    hesitations: Floats
    events: tuple[tuple[str, float], ...]
    start: float
    end: float


@lru_cache(maxsize=8192)
def read_line(text: str) -> Script:
    """Splits a line into words and phrases; a line without words has no words and one mark."""
    phrases: list[list[str]] = [[]]
    marks: list[str] = []
    cues: list[tuple[str, int]] = []
    spoken = 0
    for piece, cue in _pieces(text):
        if cue:
            cues.append((cue, spoken))
            continue
        for token in _TOKEN.findall(piece):
            token = token.strip()
            if token and token[0].isalnum():
                phrases[-1].append(token.replace("’", "'"))
                spoken += 1
                continue
            mark = "…" if token == "…" or token.startswith("..") else "-" if token[:1] in "-–—" else token
            if phrases[-1]:
                marks.append(mark)
                phrases.append([])
            elif marks and (mark in "!?…") and marks[-1] not in "!?":
                marks[-1] = mark
    if phrases[-1]:
        marks.append("")
    words = [
        _word(token, sounds, number)
        for number, phrase in enumerate(phrases)
        for token, sounds in zip(phrase, phrase_phones(phrase), strict=True)
        if sounds
    ]
    # A phrase without a sound is none.
    kept = sorted({word.phrase for word in words})
    words = [replace(word, phrase=kept.index(word.phrase)) for word in words]
    asks = frozenset(kept.index(n) for n in kept if marks[n] == "?" and phrases[n][0].lower() in _QUESTION_WORDS)
    closing = text.strip()[-1:] if text.strip()[-1:] in ("!", "?") else "…"
    placed = tuple((name, count / max(spoken, 1)) for name, count in cues)
    return Script(tuple(words), tuple(marks[n] for n in kept) or (closing,), placed, asks)


def _pieces(text: str) -> list[tuple[str, str]]:
    """The line cut at stage cues: (words, "") and ("", gesture); cues that name no gesture are dropped."""
    result: list[tuple[str, str]] = []
    at = 0
    for match in _CUE.finditer(text):
        said = next(group for group in match.groups() if group)
        found = [CUES[stem] for word in said.lower().split() for stem in CUES if word.startswith(stem)]
        if match.group(1) and not found:
            continue  # *emphasis* is spoken
        result += [(text[at : match.start()], ""), *(("", name) for name in found[:1])]
        at = match.end()
    return [*result, (text[at:], "")]


def _word(token: str, sounds: tuple[Phone, ...], phrase: int) -> Word:
    lower = token.lower()
    stress = 0.25 if lower in _FUNCTION_WORDS else 0.6 + 0.06 * min(len(token), 8)
    if len(token) > 1 and token.isupper():
        stress += 0.5
    if lower in NEGATIONS or lower in _EMPHATIC:
        stress += 0.3
    drawn = re.search(r"([a-z])\1{2,}", lower) is not None
    drawl = 1.9 if drawn else _SPEECH["hesitation_lengthening"] if lower in _HESITATIONS else 1.0
    return Word(lower, sounds, phrase, stress + (0.3 if drawn else 0.0), drawl)


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
    word_rates = (1.0 / rate) * np.exp(rng.normal(0.0, _SPEECH["word_rate_jitter"], len(script.words)))
    pause_scale = np.exp(rng.normal(0.0, _SPEECH["pause_jitter"], len(script.marks))) / rate**0.7
    openings = np.exp(rng.normal(0.0, _SPEECH["jaw_jitter"], len(script.words)))
    for index, word in enumerate(script.words):
        final = index == last_word or script.words[index + 1].phrase != word.phrase
        vowels = [i for i, (s, _) in enumerate(word.phones) if s in _VOWEL_SECONDS]
        main = next((i for i in vowels if word.phones[i][1] == 1), vowels[0] if vowels else 0)
        vowel_of_word.append(len(symbols) + main)
        stress = min(word.stress, 1.3)
        for i, (symbol, degree) in enumerate(word.phones):
            seconds = _VOWEL_SECONDS.get(symbol) or _CONSONANT_SECONDS.get(symbol, 0.06)
            if symbol in _VOWEL_SECONDS:
                weak = (_SPEECH["unstressed"], 1.0, _SPEECH["secondary"])[degree]
                seconds *= weak * (0.8 + 0.35 * stress)
            if final and i >= (vowels[-1] if vowels else 0):
                seconds *= _SPEECH["final_lengthening"]
            if i == main:
                seconds *= word.drawl
            symbols.append(symbol)
            lengths.append(seconds * word_rates[index])
            gaps.append(0.0)
            size = 1.15 if i == main else 0.78 if degree == 0 else 0.9
            loudness.append(jaw * openings[index] * (0.6 + 0.4 * stress) * size)
            phrase_of_phone.append(word.phrase)
        if final and index != last_word:
            gaps[-1] = _PAUSES.get(script.marks[word.phrase], 0.3) * float(pause_scale[word.phrase])
    length = np.array(lengths)
    gap = np.array(gaps)
    begin = start + np.concatenate(([0.0], np.cumsum(length + gap)[:-1])) if len(length) else np.zeros(0)
    centre = begin + 0.5 * length
    owner = np.array(phrase_of_phone, int)
    phrases = tuple(
        Phrase(
            float(begin[owner == p][0]), float((begin + length)[owner == p][-1]), script.marks[p], p in script.asks_what
        )
        for p in range(len(script.marks))
        if (owner == p).any()
    )
    accents, sizes = _accents(script, centre, vowel_of_word, rng)
    times = centre[np.array(vowel_of_word, int)] if len(length) else np.zeros(0)
    end = float(begin[-1] + length[-1]) if len(length) else start
    return Utterance(
        tuple(symbols), centre, length, np.array(loudness), phrases, accents, sizes,
        _times(script, times, NEGATIONS), _times(script, times, AGREEMENTS), _times(script, times, _HESITATIONS),
        _events(script, times, start, end), start, end,
    )  # fmt: skip


def _times(script: Script, times: Floats, words: frozenset[str]) -> Floats:
    return np.array([times[i] for i, word in enumerate(script.words) if word.text in words])


def _events(script: Script, times: Floats, start: float, end: float) -> tuple[tuple[str, float], ...]:
    """Gestures that words and cues call for, each with the time at which it begins."""
    found: list[tuple[str, float]] = []
    for i, word in enumerate(script.words):
        if word.text in INTERJECTIONS:
            found.append((INTERJECTIONS[word.text], max(float(times[i]) - 0.15, 0.0)))
    for name, share in script.cues:
        at = min(int(share * len(script.words) + 0.5), len(script.words))
        if not len(times):
            begin = start
        elif at == 0:
            begin = max(float(times[0]) - 0.9, 0.05)
        elif at == len(script.words):
            begin = end + 0.1
        else:
            begin = float(times[at]) - 0.3
        found.append((name, begin))
    return tuple(found)


def _accents(script: Script, centres: Floats, vowels: list[int], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One or two emphasised words per phrase, drawn by stress; the last content word before "!" is favoured."""
    times: list[float] = []
    sizes: list[float] = []
    for phrase, mark in enumerate(script.marks):
        members = [i for i, w in enumerate(script.words) if w.phrase == phrase]
        if not members:
            continue
        score = np.array([script.words[i].stress for i in members]) + rng.gumbel(0.0, 0.22, len(members))
        # The last content word of a phrase carries the main accent unless another one is stronger.
        content = [k for k, i in enumerate(members) if script.words[i].stress > 0.3]
        if content:
            score[content[-1]] += 0.25 if mark in ("!", "?") else 0.15
        for rank, at in enumerate(np.argsort(-score)[: 1 + len(members) // 4]):
            times.append(float(centres[vowels[members[int(at)]]]))
            strong = min(max(script.words[members[int(at)]].stress, 0.5), 1.5) ** 0.5
            sizes.append((1.0 if rank == 0 else 0.6) * (1.25 if mark == "!" else 1.0) * strong * rng.uniform(0.7, 1.2))
    order = np.argsort(times) if times else np.zeros(0, int)
    return np.array(times)[order], np.array(sizes)[order]
