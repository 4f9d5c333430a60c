# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage directions in a text: which brackets are one, and the words each of them holds for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .notation import Meaning, read_notation, read_words

#: Brackets without brackets in them; what is not balanced is text.
_BRACKETS: Final = re.compile(r"\(([^()\[\]]+)\)|\[([^()\[\]]+)\]")
#: What a direction may come after: nothing, the end of a sentence or clause, or an opening quotation mark.
_BEFORE: Final = re.compile(r"(?:^|[.!?…,;:—–\-])[\"'“”‘’»«)\]]*\s*[\"'“‘«]?\s*$")
#: Longest direction, in words.
_MAX_WORDS: Final = 6
#: What is performed where a direction stands alone.
SILENCE: Final = "..."


@dataclass(frozen=True)
class StageDirection:
    """A stage direction: ``written`` in the text without its brackets, and what it was understood to mean."""

    written: str
    meaning: Meaning


@dataclass(frozen=True)
class Stretch:
    """Words and the direction they are said under (None before the first one)."""

    text: str
    direction: StageDirection | None


def read_directions(text: str, nearest: Callable[[str], Meaning | None] | None = None) -> list[Stretch]:
    """``text`` cut at its stage directions; each holds until the next one.

    Square brackets with an emotion's notation (``[joy 0.8 -> sadness]``, ``[joy + fear]``) are a direction wherever
    they stand. Others are one at the beginning of a sentence or clause, or alone, when they hold an emotion's name,
    known words (``(angrily)``), or up to six words that ``nearest`` can place (``(with a forced smile)``). All others
    are spoken. A direction with nothing after it is a silent beat.

    Args:
        text: a cleaned line.
        nearest: what unknown words mean, or None when they are spoken; without it, unknown words are spoken.

    Raises:
        InputError: an intensity out of range.
    """
    stretches: list[Stretch] = []
    begin, current = 0, None
    for match in _BRACKETS.finditer(text):
        before = text[begin : match.start()]
        if begin and not before.strip():
            pass  # straight after another direction
        elif not _BEFORE.search(before) and not (match[2] and read_notation(match[2])):
            continue  # an aside within a sentence is spoken; the notation of emotions never is
        meaning = _meaning(match[1] or match[2], nearest)
        if meaning is None:
            continue
        if before.strip() or current is not None:
            stretches.append(Stretch(before.strip(), current))
        begin, current = match.end(), StageDirection((match[1] or match[2]).strip(), meaning)
    stretches.append(Stretch(text[begin:].strip(), current))
    return [s if _is_said(s.text) else Stretch(SILENCE, s.direction) for s in _merged(stretches)]


def _merged(stretches: list[Stretch]) -> list[Stretch]:
    """Directions in a row are one: ``(softly) [joy]``; the later one decides what both say."""
    result: list[Stretch] = []
    carried: StageDirection | None = None
    for index, stretch in enumerate(stretches):
        direction = stretch.direction
        if carried and direction:
            one, other = carried.meaning, direction.meaning
            whole = Meaning(
                other.emotion or one.emotion, one.factor * other.factor, other.emotion_to,
                other.intensity if other.intensity is not None else one.intensity, other.intensity_to,
                *((other.emotion_with, other.share) if other.emotion else (one.emotion_with, one.share)),
            )  # fmt: skip
            direction = StageDirection(f"{carried.written}; {direction.written}", whole)
        carried = None
        if not _is_said(stretch.text) and direction and index + 1 < len(stretches) and stretches[index + 1].direction:
            carried = direction
        elif _is_said(stretch.text) or direction:
            result.append(Stretch(stretch.text, direction))
    return result or stretches


def _is_said(text: str) -> bool:
    return any(c.isalnum() for c in text) or "..." in text or "…" in text


def _meaning(words: str, nearest: Callable[[str], Meaning | None] | None) -> Meaning | None:
    if (meaning := read_words(words) or read_notation(words)) is not None:
        return meaning
    count = len(words.split())
    if nearest is None or count > _MAX_WORDS or not words[0].isalpha() or any(c.isdigit() for c in words):
        return None
    if words.isupper():  # a placeholder: [NAME]
        return None
    return nearest(words)
