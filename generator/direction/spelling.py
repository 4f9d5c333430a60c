# SPDX-License-Identifier: GPL-3.0-or-later
"""What the spelling of a line says about its speaking time: a stand-in for its phonemes that needs no dictionary."""

from __future__ import annotations

import re
from typing import Final

_VOWELS: Final = re.compile(r"[aeiouy]+", re.IGNORECASE)
_WORDS: Final = re.compile(r"[A-Za-z]+")
#: Spellings whose sounds are longer, shorter or fewer than their letters'.
_SPELLINGS: Final = (
    "th", "sh", "ch", "ng", "ck", "ee", "oo", "ea", "ou", "ai", "ay", "ow", "igh", "ll", "ss", "tt", "pp", "er", "or",
    "ar", "qu", "ph", "wh", "tion", "kn", "gh",
)  # fmt: skip
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
#: Marks at which a speaker pauses, in the order of `_pauses`; an ellipsis and a dash have many forms.
_MARKS: Final = ",;:-.!?…"
_MARK: Final = re.compile(r"\.{2,}|…|[.,;:!?]|\s[-–—]+\s?|[–—]|--+")

#: Width of `line_statistics`.
STATISTICS: Final = 7 + len(_LETTERS) + len(_SPELLINGS) + 2 + len(_MARKS)
#: The first of them, which were all that checkpoints before schema 3 read.
FIRST_STATISTICS: Final = 7


def line_statistics(text: str) -> list[float]:
    """Numbers that speaking time depends on, each scaled to about 0..2.

    Returns:
        `STATISTICS` numbers: characters, words, syllables (vowel groups) and their root, marks of three kinds; letters
        a to z; spellings of `_SPELLINGS`; digits; words in capitals; pauses within the line by `_MARKS`.
    """
    words, syllables = words_and_syllables(text)
    lower = text.lower()
    return [
        len(text) / 50,
        words / 10,
        syllables / 15,
        (syllables + 1) ** 0.5 / 4,
        sum(text.count(c) for c in ",;:-—") / 3,
        sum(text.count(c) for c in ".?!") / 3,
        float(text.count("...") + text.count("…")),
        *(lower.count(letter) / 5 for letter in _LETTERS),
        *(lower.count(spelling) / 3 for spelling in _SPELLINGS),
        sum(c.isdigit() for c in text) / 3,
        sum(len(word) > 1 and word.isupper() for word in _WORDS.findall(text)) / 3,
        *(count / 2 for count in _pauses(text)),
    ]


def words_and_syllables(text: str) -> tuple[int, int]:
    """How many words and syllables a line has, by spaces and by groups of vowels."""
    words = [w for w in text.split() if any(c.isalnum() for c in w)]
    return len(words), sum(max(1, len(_VOWELS.findall(w))) for w in words)


def _pauses(text: str) -> list[int]:
    """How many pauses of each of `_MARKS` lie between words; what ends the line is none."""
    found = dict.fromkeys(_MARKS, 0)
    spoken = [at for at, c in enumerate(text) if c.isalnum()]
    first, last = (spoken[0], spoken[-1]) if spoken else (0, 0)
    for match in _MARK.finditer(text, first, last):
        mark = match[0].strip()
        found["…" if mark.startswith(("..", "…")) else "-" if mark[0] in "-–—" else mark] += 1
    return list(found.values())
