# SPDX-License-Identifier: GPL-3.0-or-later
"""A line before it is timed: its words with their sounds, its phrases, the words that matter, what is done beside them.

English is read by the CMU dictionary and letter-to-sound (`pronunciation`), other languages by espeak-ng where it is
installed (`espeak`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from ..errors import InputError
from ..shared.timeline import LANGUAGES
from . import espeak
from .dictionary import Phone
from .emphasis import italics, weigh
from .language import guess, is_latin
from .pronunciation import is_sound, pronounce, word_phones
from .saying import Said, say


@cache
def words_table() -> Mapping[str, Any]:
    """``words.toml``: lengths, pauses, and the words that matter."""
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


_WORDS: Final[Mapping[str, frozenset[str]]] = {k: frozenset(v.split()) for k, v in words_table()["words"].items()}
#: Languages whose words are not listed.
_NO_WORDS: Final[Mapping[str, frozenset[str]]] = dict.fromkeys(_WORDS, frozenset())
_EMPHASIS: Final[Mapping[str, float]] = words_table()["emphasis"]
#: Words that shake or nod the head, and those that look for the next word.
NEGATIONS: Final = _WORDS["negations"]
AGREEMENTS: Final = _WORDS["agreements"]
HESITATIONS: Final = _WORDS["hesitations"]
#: Words that ask for something other than yes or no.
QUESTION_WORDS: Final = _WORDS["questions"]
#: Word -> what is done with it.
INTERJECTIONS: Final[Mapping[str, str]] = {
    word: name for name, words in words_table()["interjections"].items() for word in words.split()
}
#: Start of the word of a stage cue -> what is done.
CUES: Final[Mapping[str, str]] = words_table()["cues"]
#: Stage cues: *sighs*, (laughs), [gasps]; three words at most.
_CUE: Final = re.compile(r"\*([^*]{2,40})\*|\(([^()]{2,40})\)|\[([^\[\]]{2,40})\]")
_LONGEST_CUE: Final = 3


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A word before it is timed.

    Attributes:
        text: as it is spoken, lower case ("three" of "$3").
        at: where it is written in the line, a character index.
        phones: its sounds, at least one.
        phrase: number of its phrase.
        stress: how likely and how strongly it carries emphasis, about 0.2..1.5.
        drawl: how much its main vowel is stretched ("sooo", "um"), 1 not at all.
    """

    text: str
    at: int
    phones: tuple[Phone, ...]
    phrase: int
    stress: float
    drawl: float = 1.0


@dataclass(frozen=True)
class Script:
    """A line that has been read.

    Attributes:
        text: the line.
        words: in order.
        marks: the mark that ends each phrase.
        cues: things written into the line that are done: name, and the number of words before it.
        language: ISO 639-1 code of what it is pronounced in.
    """

    text: str
    words: tuple[ReadWord, ...]
    marks: tuple[str, ...]
    cues: tuple[tuple[str, int], ...] = ()
    language: str = "en"

    def silent(self) -> Script:
        """The same line as a reaction without words: only its closing mark and its cues remain."""
        return Script(self.text, (), self.marks[-1:], tuple((name, 0) for name, _ in self.cues), self.language)


def language_of(text: str, language: str = "auto") -> str:
    """The language that ``text`` is pronounced in.

    Raises:
        InputError: it is in a language, or was asked for in one, that this Python cannot pronounce.
    """
    found = guess(text) if language == "auto" else language
    latin = is_latin(text)
    if found == "en" and latin:
        return found
    if found != "en" and found in LANGUAGES and espeak.available():
        return found
    name = LANGUAGES.get(found)
    if name is None:
        raise InputError(
            "The line is in a script that cannot be pronounced; write it in Latin letters, or turn Speak off for a "
            "silent reaction."
        )
    if found == "en":
        raise InputError(
            "English sounds are read from Latin letters; write the line in them, choose its own language, or turn "
            "Speak off for a silent reaction."
        )
    otherwise = (
        "choose the language English to have it said with English sounds" if latin else "write it in Latin letters"
    )
    how = "seems to be" if language == "auto" else "is to be spoken in"
    raise InputError(
        f"The line {how} {name}, which needs espeak-ng: install the packages espeakng-loader and phonemizer-fork into "
        f"the Python that runs the generator, {otherwise}, or turn Speak off for a silent reaction."
    )


@lru_cache(maxsize=256)  # a line has ten kilobytes, and a batch comes to each of its lines more than once
def read_line(text: str, language: str = "en") -> Script:
    """Reads a line; one without words has no words and one mark.

    Args:
        text: a cleaned line. Cues such as ``*sighs*`` are done, not spoken.
        language: as `language_of` gives it.
    """
    said, cues = _without_cues(text)
    phrases: list[list[tuple[Said, str]]] = [[]]
    marks: list[str] = []
    for token in say(said, language):
        if not token.mark:
            phrases[-1] += [(token, word) for word in token.words]
        elif phrases[-1]:
            marks.append("?" if (language, token.mark) == ("el", ";") else token.mark)  # Greek asks with it
            phrases.append([])
        elif marks and token.mark in "!?…" and marks[-1] not in "!?":
            marks[-1] = token.mark
    if phrases[-1]:
        marks.append("")
    slanted = italics(text)
    read = [
        (number, token, word, phones)
        for number, phrase in enumerate(phrases)
        for (token, word), phones in zip(phrase, _pronounced([word for _, word in phrase], language), strict=True)
        if phones
    ]
    large = [
        (len(token.text) > 1 and token.text.isupper() and not token.text.isdigit())
        or any(start <= token.start < end for start, end in slanted)
        for _, token, _, _ in read
    ]
    lists = _WORDS if language == "en" else _NO_WORDS
    stress = weigh(
        [word for _, _, word, _ in read], [number for number, _, _, _ in read], [*marks, ""], large, lists, _EMPHASIS
    )
    words = [
        _read(token, word, phones, number, degree)
        for (number, token, word, phones), degree in zip(read, stress, strict=True)
    ]
    kept = sorted({word.phrase for word in words})  # a phrase without a sound is none
    closing = text.strip()[-1:] if text.strip()[-1:] in ("!", "?") else "…"
    return Script(
        text,
        tuple(replace(word, phrase=kept.index(word.phrase)) for word in words),
        tuple(marks[number] for number in kept) or (closing,),
        tuple((name, sum(word.at < at for word in words)) for name, at in cues),
        language,
    )


def _without_cues(text: str) -> tuple[str, list[tuple[str, int]]]:
    """The line with blanks where its cues stood, and the cues with their places. *Emphasis* is spoken."""
    cues: list[tuple[str, int]] = []

    def blank(match: re.Match[str]) -> str:
        words = next(group for group in match.groups() if group).lower().split()
        found = [CUES[stem] for word in words for stem in CUES if word.startswith(stem)]
        if not found or len(words) > _LONGEST_CUE:
            return match[0].replace("*", " ")
        cues.append((found[0], match.start()))
        return " " * len(match[0])

    return _CUE.sub(blank, text), cues


def _pronounced(words: list[str], language: str) -> list[tuple[Phone, ...]]:
    if language == "en" or not words:
        return pronounce(words)
    read = espeak.phrase(words, language) or pronounce(words)
    # "Hm", "pst" and "haha" are no words of any language.
    return [word_phones(word) if is_sound(word) else phones for word, phones in zip(words, read, strict=True)]


def _read(token: Said, word: str, phones: tuple[Phone, ...], phrase: int, stress: float) -> ReadWord:
    drawn = re.search(r"([a-z])\1{2,}", word) is not None
    drawl = 1.9 if drawn else words_table()["lengths"]["hesitation_lengthening"] if word in HESITATIONS else 1.0
    return ReadWord(word, token.start, phones, phrase, stress + (0.3 if drawn else 0.0), drawl)
