# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script is once it has been read, whatever it was written in."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

_T = TypeVar("_T")

#: What one script may take: lines that somebody says, notes that are kept, seconds of this thread's work.
MOST_LINES: Final = 200_000
MOST_NOTES: Final = 1_000
MOST_SECONDS: Final = 8.0


class ScriptError(ValueError):
    """A script that cannot be read; the message is a sentence with the file's name that says what to do."""


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """Something somebody says.

    Attributes:
        number: of the line of the file that its words begin in, from 1.
        speaker: as the script writes the name; "" where it does not tell.
        text: what is said, with its stage directions in brackets and without markup.
        start, end: when, in seconds; None where the script does not tell.
    """

    number: int
    speaker: str
    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about line ``number`` of the file, from 1: what was not read, and why."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was read: its lines and notes in the order of the file.

    Attributes:
        format: "fountain", "fdx", "srt", "vtt", "csv", "tsv" or "text".
        lines: what is said.
        notes: what was not read.
    """

    format: str
    lines: tuple[ScriptLine, ...]
    notes: tuple[Note, ...] = ()


class Unaffordable(ValueError):
    """A script takes more than `MOST_LINES` or `MOST_SECONDS`; the message is the end of a sentence."""


@dataclass
class Reading:
    """What a reader has found so far. Every method raises `Unaffordable`.

    Attributes:
        words: what stands before a colon and is nobody's name.
    """

    words: Collection[str] = ()
    lines: list[ScriptLine] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    unkept: int = 0
    _until: float = field(default_factory=lambda: time.thread_time() + MOST_SECONDS)

    def say(self, line: ScriptLine) -> None:
        """Somebody says something."""
        if len(self.lines) == MOST_LINES:
            raise Unaffordable(f"more than {MOST_LINES:,} lines are said in it")
        self.lines.append(line)
        self.afford(len(self.lines))

    def speaker_of(self, text: str, speaker: str = "") -> tuple[str, str]:
        """Who says a line, "" where it does not tell, and the line without markup; ``speaker`` where that is known."""
        from .markup import speaker_of  # here, because enabling the extension does not need it

        return speaker_of(text, (speaker,) if speaker else None, self.words)

    def note(self, number: int, text: str) -> None:
        """Remember that something was not read; of many, how many there are."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(Note(number, text))
        else:
            self.unkept += 1
        self.afford(len(self.notes) + self.unkept)

    def afford(self, count: int) -> None:
        """Look at the clock now and then: when the ``count``-th thing is read."""
        if count % 64 == 0 and time.thread_time() > self._until:
            raise Unaffordable(f"reading it takes longer than {MOST_SECONDS:g} s")

    def each(self, items: Iterable[_T]) -> Iterator[_T]:
        """``items``, for as long as there is time."""
        for count, item in enumerate(items):
            self.afford(count)
            yield item

    def summary(self, numbers: Iterable[int], what: str) -> None:
        """One note about lines that are nobody's words, at the first of them; none where there are none."""
        found = sorted(numbers)
        if found:
            one = f"1 line of {what}: not read, because nobody says it."
            many = f"{len(found):,} lines of {what} from here on: not read, because nobody says them."
            self.note(found[0], one if len(found) == 1 else many)


def joined(pieces: Iterable[str]) -> str:
    """Pieces of what somebody says as one text; before a direction in brackets stands a comma, if no other mark."""
    text = ""
    for piece in pieces:
        unmarked = piece.startswith("(") and text[-1:].isalnum()
        text = f"{text}{',' * unmarked} {piece}" if text else piece
    return text
