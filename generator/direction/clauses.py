# SPDX-License-Identifier: GPL-3.0-or-later
"""Long lines cut into passages at the ends of sentences and clauses."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from .spelling import words_and_syllables

#: Longest speech, in seconds, that is performed in one go (with its silences it fills the ten seconds that checkpoints
#: have learned); a longer line is cut into passages of at most `PASSAGE_SECONDS`.
WHOLE_SECONDS: Final = 8.5
PASSAGE_SECONDS: Final = 6.0
#: A sentence shorter than this goes with the next one.
_SHORT_SECONDS: Final = 1.2

_CLOSERS: Final = "\"'”’»)]"
_SENTENCE: Final = re.compile(rf"[.!?…]+[{re.escape(_CLOSERS)}]*\s+")
#: Words before a full stop that does not end a sentence.
_ABBREVIATIONS: Final = frozenset(
    "mr mrs ms dr prof st jr sr vs etc eg e.g ie i.e no fig capt col gen lt sgt rev hon a.m p.m u.s u.k approx".split()
)
#: Weaker and weaker places to breathe within a sentence; a cut comes after the match.
_BREATHS: Final = (
    re.compile(r"(?:[;:—–…]|\.\.\.|\s-)\s*(?=\S)"),
    re.compile(r",\s+"),
    re.compile(r"\s+(?=(?:and|but|or|so|because|that|which|who|when|while|if|until|than|as)\s)", re.IGNORECASE),
    re.compile(r"\s+"),
)


def speech_seconds(text: str) -> float:
    """About how long ``text`` is spoken at a natural rate: 5.3 syllables per second, and its pauses."""
    _, syllables = words_and_syllables(text)
    pauses = sum(text.count(c) for c in ",;:—–") * 0.15 + len(_SENTENCE.findall(text)) * 0.35
    return syllables / 5.3 + pauses


def split_clauses(text: str, rate: float = 1.0) -> list[str]:
    """``text`` in passages of about `PASSAGE_SECONDS` of speech at ``rate`` (1 is natural); short ones stay whole.

    Joined with spaces the passages are the text again.
    """
    if speech_seconds(text) <= WHOLE_SECONDS * rate:
        return [text]
    pieces = [part for sentence in split_sentences(text) for part in _halved(sentence, PASSAGE_SECONDS * rate)]
    merged: list[str] = []
    for piece in pieces:
        if merged and _join(merged[-1], piece, rate):
            merged[-1] = f"{merged[-1]} {piece}"
        else:
            merged.append(piece)
    return merged


def split_sentences(text: str) -> list[str]:
    """The sentences of ``text``; abbreviations, initials and an ellipsis that goes on do not end one."""
    cuts = [m.end() for m in _SENTENCE.finditer(text) if _ends_sentence(text, m)]
    return _cut(text, cuts)


def _join(before: str, after: str, rate: float) -> bool:
    shorter = min(speech_seconds(before), speech_seconds(after)) < _SHORT_SECONDS * rate
    return shorter and speech_seconds(before) + speech_seconds(after) <= PASSAGE_SECONDS * rate


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    marks, following = match[0].strip(), text[match.end() : match.end() + 1]
    if "!" in marks or "?" in marks:
        return not following.islower()  # "No!" he said.
    if following.islower():
        return False
    if marks[0] == "." and not marks.startswith(".."):
        word = text[: match.start()].rsplit(None, 1)[-1].lstrip("(\"'“‘[") if match.start() else ""
        if word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I"):
            return False
    return True


def _halved(text: str, limit: float) -> list[str]:
    """``text`` cut at its best breath, again and again, until no piece is longer than ``limit`` seconds."""
    if speech_seconds(text) <= limit:
        return [text]
    for breath in _BREATHS:
        # Nearest to the middle, and never so near an end that a piece is a word or two.
        cuts = [m.end() for m in breath.finditer(text) if 0.2 < m.end() / len(text) < 0.8]
        if cuts:
            cut = min(cuts, key=lambda c: abs(c - len(text) / 2))
            return [part for half in _cut(text, [cut]) for part in _halved(half, limit)]
    return [text]


def _cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *cuts, len(text)]
    return [part for a, b in pairwise(edges) if (part := text[a:b].strip())]
