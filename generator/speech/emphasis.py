# SPDX-License-Identifier: GPL-3.0-or-later
"""Which words of a line matter, from what it says: scores that the accents of a timeline are drawn by.

A word is stressed for its content, less so once it has been said (given before new: Halliday 1967; Prince 1981), more
so where it stands against another one ("not the red, the blue"; "you stayed, I left"), where it denies, where it is
asked for, where it intensifies, and where its writer says so (CAPITALS, *italics*). English only; in other languages
every word counts as content, and only what was said before and what is written large is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

#: The lists and the weights of ``words.toml``.
Words = Mapping[str, frozenset[str]]
Weights = Mapping[str, float]

_ITALICS: Final = re.compile(r"(?<!\w)([*_])(?=\S)([^*_]{1,40}?)(?<=\S)\1(?!\w)")
_ENDINGS: Final = ("'s", "ing", "ed", "es", "s", "ly")


def italics(text: str) -> list[tuple[int, int]]:
    """Where a line is written in *italics* or _italics_: spans of characters."""
    return [(m.start(2), m.end(2)) for m in _ITALICS.finditer(text)]


def weigh(
    texts: Sequence[str],
    phrases: Sequence[int],
    marks: Sequence[str],
    written_large: Sequence[bool],
    words: Words,
    weights: Weights,
) -> list[float]:
    """How likely and how strongly each word of a line carries emphasis.

    Args:
        texts: words as they are spoken, lower case (n,).
        phrases: number of each word's phrase (n,); marks: the mark that ends each phrase.
        written_large: in capitals or italics (n,).
        words: function, pronouns, negations, intensifiers, questions, light, alternatives.
        weights: see ``words.toml``.

    Returns:
        scores (n,), about 0.2..1.6; a function word has 0.25, a plain content word 0.9.
    """
    scores = [_alone(text, words, weights) for text in texts]
    content = [score > weights["function"] + 0.1 for score in scores]
    seen: set[str] = set()
    for i, text in enumerate(texts):
        root = _root(text)
        # "No, no, no" insists; "the car ... my car" does not.
        if content[i] and root in seen and text not in words["negations"] and texts[i - 1] != text:
            scores[i] -= weights["given"]
        seen.add(root)
    for i, gain in _by_neighbours(texts, phrases, marks, content, words, weights):
        scores[i] += gain
    for i, gain in _contrasts(texts, phrases, content, words, weights):
        scores[i] += gain
    if not all(written_large):
        scores = [s + weights["written"] * large for s, large in zip(scores, written_large, strict=True)]
    return [min(max(score, 0.15), 1.6) for score in scores]


def _alone(text: str, words: Words, weights: Weights) -> float:
    if text in words["negations"] or text in words["intensifiers"]:
        return weights["content"] + weights["marked"]
    if text in words["function"] or text in words["pronouns"] or text in words["questions"]:
        return weights["function"]
    if text in words["light"]:
        return weights["content"] - weights["light"]
    # Long words are rare ones, and rare ones tell more.
    return weights["content"] + weights["letter"] * min(len(text), 8)


def _by_neighbours(
    texts: Sequence[str],
    phrases: Sequence[int],
    marks: Sequence[str],
    content: Sequence[bool],
    words: Words,
    weights: Weights,
) -> list[tuple[int, float]]:
    """What a word gains by its place: what is intensified or asked for, what insists ("I do care")."""
    gains: list[tuple[int, float]] = []
    for i, text in enumerate(texts):
        first = i == 0 or phrases[i - 1] != phrases[i]
        following = i + 1 if i + 1 < len(texts) and phrases[i + 1] == phrases[i] else None
        asks = marks[phrases[i]] == "?"
        if text in ("so", "such", "too") and following is not None and content[following] and not first:
            gains += [(i, weights["marked"] + weights["content"] - weights["function"]), (following, 0.1)]
        elif text in words["intensifiers"] and following is not None and content[following]:
            gains.append((following, 0.1))
        if text in words["questions"] and asks and first:
            alone = following is None or not any(
                content[k] for k in range(i + 1, len(texts)) if phrases[k] == phrases[i]
            )
            gains.append((i, weights["asked"] + (0.4 if alone else 0.0)))
        insists = text in ("do", "does", "did") and not asks and not first and following is not None
        if insists and texts[i - 1] in words["pronouns"] and following is not None and content[following]:
            gains.append((i, weights["insists"]))
        if text == "own" or (text == "than" and following is not None):
            gains.append((i if text == "own" else i + 1, weights["marked"]))
    return gains


def _contrasts(
    texts: Sequence[str], phrases: Sequence[int], content: Sequence[bool], words: Words, weights: Weights
) -> list[tuple[int, float]]:
    """Words that stand against each other: "not X but Y", "X or Y?", "you ..., I ..."."""
    gains: list[tuple[int, float]] = []
    gain, count = weights["contrast"], len(texts)

    def next_content(start: int, pronouns: bool = False) -> int | None:
        stop = next((k for k in range(start, count) if phrases[k] != phrases[start]), count) if start < count else count
        found = (k for k in range(start, stop) if content[k] or (pronouns and texts[k] in words["pronouns"]))
        return next(found, None)

    for i, text in enumerate(texts):
        negated = text == "not" or text.endswith("n't")
        if negated:
            but = next((k for k in range(i + 2, min(i + 9, count)) if texts[k] in ("but", "it's", "that's")), None)
            denied = next_content(i + 1, pronouns=but is not None)
            claimed = None if but is None else next_content(but + 1, pronouns=True)
            if denied is not None and claimed is not None:
                gains += [(denied, 0.6 * gain), (claimed, gain)]
            elif i + 1 < count and texts[i + 1] in words["pronouns"] and text == "not":
                gains.append((i + 1, gain))
        if text == "or" and 0 < i < count - 1:
            other = next_content(i + 1)
            if content[i - 1] and other is not None:
                gains += [(i - 1, 0.5 * gain), (other, 0.5 * gain)]
    # Clauses that begin with different persons.
    heads = [
        (i, texts[i])
        for i in range(count)
        if texts[i] in words["persons"]
        and (i == 0 or phrases[i - 1] != phrases[i] or texts[i - 1] in ("and", "but", "while", "because"))
    ]
    for (here, person), (there, another) in pairwise(heads):
        if person[:2] != another[:2] and there - here < 8:
            gains += [(here, 0.7 * gain), (there, gain)]
    return gains


def _root(text: str) -> str:
    for ending in _ENDINGS:
        if text.endswith(ending) and len(text) - len(ending) >= 3:
            return text[: -len(ending)]
    return text
