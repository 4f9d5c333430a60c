# SPDX-License-Identifier: GPL-3.0-or-later
"""BERT's uncased WordPiece tokenizer (Devlin et al. 2019), equal to the ``tokenizers`` library in ids and offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from ..reading import TABLE, Reading
from .characters import PUNCTUATION, SPACE, Piece, normalised

#: Longer lines are cut here; `generator.direction.clauses` keeps passages well below it.
MAX_TOKENS: Final = 128
#: A longer word is unknown, unseen.
_LONGEST_WORD: Final = 100
_UNKNOWN, _BEFORE, _AFTER = "[UNK]", "[CLS]", "[SEP]"
#: Written in a line these are the tokens themselves, as in the library.
_SPECIAL: Final = ("[PAD]", _UNKNOWN, _BEFORE, _AFTER, "[MASK]")


@dataclass(frozen=True)
class Tokens:
    """A line in tokens.

    Attributes:
        ids: S of them, [CLS] first and [SEP] last.
        offsets: first character of each and the one after its last; (0, 0) for the two markers.
        cut: whether the line had more.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    cut: bool

    def middles(self, length: int) -> list[float]:
        """Relative position of each token's middle in its line of ``length`` characters, 0..1; [SEP] is at its end."""
        return [*((start + end) / 2 / max(length, 1) for start, end in self.offsets[:-1]), 1.0]


#: A word: its text, and the characters of the line that each of its own comes from.
_Word = tuple[str, Sequence[int]]


class WordPiece:
    """Text to tokens.

    Args:
        vocabulary: every token, in the order of their ids.
        max_tokens: a line is cut after so many, its two markers included.

    Raises:
        ValueError: a token that it cannot do without is missing.
    """

    def __init__(self, vocabulary: Sequence[str], max_tokens: int = MAX_TOKENS) -> None:
        self._ids = {token: index for index, token in enumerate(vocabulary)}
        for needed in (_UNKNOWN, _BEFORE, _AFTER):
            if needed not in self._ids:
                raise ValueError(f"the vocabulary has no {needed}")
        self._unknown = self._ids[_UNKNOWN]
        self._room = max_tokens - 2
        known = [re.escape(token) for token in _SPECIAL if token in self._ids]
        self._special = re.compile(f"({'|'.join(known)})")
        self._pieces: dict[str, list[tuple[int, int]]] = {}

    @classmethod
    def load(cls, path: Path, max_tokens: int = MAX_TOKENS) -> WordPiece:
        """From a ``vocab.txt``, a token a line."""
        # Not splitlines: a vocabulary may hold characters that it takes for the end of a line.
        text = Reading(path, TABLE).data().decode("utf-8")
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        return cls(lines, max_tokens)

    def __call__(self, line: str) -> Tokens:
        """The tokens of ``line``, between two markers, cut where the room ends."""
        found = list(self._tokens(line))
        kept = found[: self._room]
        return Tokens(
            [self._ids[_BEFORE], *(index for index, _, _ in kept), self._ids[_AFTER]],
            [(0, 0), *((start, end) for _, start, end in kept), (0, 0)],
            len(found) > len(kept),
        )

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1; 1 for a line without any."""
        ids = [index for index, _, _ in self._tokens(line)][: self._room + 2]
        return ids.count(self._unknown) / len(ids) if ids else 1.0

    def _tokens(self, line: str) -> Iterator[tuple[int, int, int]]:
        """Id, first character and the one after the last of every token."""
        at = 0
        for index, text in enumerate(self._special.split(line)):
            if index % 2:  # what separates is what was looked for
                yield self._ids[text], at, at + len(text)
            else:
                for word, places in _words(text):
                    first = 0
                    for token, size in self._split(word):
                        yield token, at + places[first], at + places[first + size - 1] + 1
                        first += size
            at += len(text)

    def _split(self, word: str) -> list[tuple[int, int]]:
        """Id and length of the pieces of a word: the longest that fits, from the left; unknown where none does."""
        if word not in self._pieces:
            if len(self._pieces) > 20_000:
                self._pieces.clear()
            self._pieces[word] = self._split_anew(word)
        return self._pieces[word]

    def _split_anew(self, word: str) -> list[tuple[int, int]]:
        pieces: list[tuple[int, int]] = []
        first = 0
        while first < len(word) <= _LONGEST_WORD:
            for last in range(len(word), first, -1):
                token = self._ids.get(f"##{word[first:last]}" if first else word[:last])
                if token is not None:
                    pieces.append((token, last - first))
                    first = last
                    break
            else:
                break
        return pieces if first == len(word) else [(self._unknown, len(word))]


def _words(text: str) -> Iterator[_Word]:
    """Words and punctuation marks of ``text``, normalised."""
    letters: list[str] = []
    places: list[int] = []
    for part, place in _parts(text):
        if part.kind == SPACE or part.kind == PUNCTUATION:
            if letters:
                yield "".join(letters), places
                letters, places = [], []
            if part.kind == PUNCTUATION:
                yield part.text, (place,)
        elif part.text:
            letters.append(part.text)
            places.append(place)
    if letters:
        yield "".join(letters), places


def _parts(text: str) -> Iterator[tuple[Piece, int]]:
    """What ``text`` is normalised to, and the character that each part is said to come from."""
    if text.isascii():
        yield from ((part, place) for place, character in enumerate(text) for part in normalised(character))
        return
    parts = [(part, place, not i) for place, c in enumerate(text) for i, part in enumerate(normalised(c))]
    _order(parts)
    # The library gives places away in the order of the result: the first part of a character takes the next place, a
    # further part that of the part before it, also where accents have changed places.
    firsts = iter(sorted(place for _, place, first in parts if first))
    place = 0
    for part, _, first in parts:
        place = next(firsts) if first else place
        yield part, place


def _order(parts: list[tuple[Piece, int, bool]]) -> None:
    """Sort runs of combining marks by their class (Unicode's canonical order), in place."""
    edges = [-1, *(i for i, (part, _, _) in enumerate(parts) if not part.combining), len(parts)]
    for before, after in pairwise(edges):
        if after - before > 2:
            parts[before + 1 : after] = sorted(parts[before + 1 : after], key=lambda entry: entry[0].combining)
