# SPDX-License-Identifier: GPL-3.0-or-later
"""Mouths that say something else than they should: what a judge of speech must notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from generator.shared.timeline import Timeline, Word

#: What is said, and another line -> what the wrong mouth says.
Wrong = Callable[[Timeline, Timeline], Timeline]


def another_line(said: Timeline, other: Timeline) -> Timeline:
    """The other line, from the first to the last sound of this one."""
    scale = (said.end - said.start) / (other.end - other.start)
    return other.moved(lambda time: max(said.start + scale * (time - other.start), 0.0), said.seconds)


def late(said: Timeline, _: Timeline, seconds: float = 0.5) -> Timeline:
    """The line ``seconds`` late."""
    return said.moved(lambda time: time + seconds, said.seconds + seconds)


def swapped(said: Timeline, _: Timeline) -> Timeline:
    """Its second half first: of its phrases, or of the words of its one phrase."""
    phrases = said.phrases[len(said.phrases) // 2 :] if len(said.phrases) > 1 else ()
    first = next((k for k, w in enumerate(said.words) if phrases and w.start >= phrases[0].start), len(said.words) // 2)
    if not 0 < first < len(said.words):
        return said
    ahead = said.words[first].start - said.start
    back = said.end - said.words[first - 1].end
    words = (*_moved(said.words[first:], -ahead), *_moved(said.words[:first], back))
    return replace(said, words=words)


def _moved(words: Sequence[Word], seconds: float) -> list[Word]:
    return [
        Word(w.text, tuple(replace(p, start=p.start + seconds, end=p.end + seconds) for p in w.phonemes)) for w in words
    ]


#: What is wrong -> how it is made.
WRONG: Final[Mapping[str, Wrong]] = {
    "another line's mouth": another_line,
    "half a second late": late,
    "halves swapped": swapped,
}
