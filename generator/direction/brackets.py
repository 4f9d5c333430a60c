# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage directions in a text: which brackets are one, the words each of them holds for, what stands between words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .actions import Action
from .notation import Kind, Meaning, read_notation
from .understanding import understand, understand_within

#: Brackets without brackets in them; what is not balanced is text. *sighs* is the same as (sighs).
_BRACKETS: Final = re.compile(r"\(([^()\[\]]+)\)|\[([^()\[\]]+)\]|(?<!\*)\*([^*()\[\]]{2,40})\*(?!\*)")
#: What a direction may come after: nothing, the end of a sentence or clause, or an opening quotation mark.
_BEFORE: Final = re.compile(r"(?:^|[.!?…,;:—–\-])[\"'“”‘’»«)\]]*\s*[\"'“‘«]?\s*$")
#: Marks that stand at the word before them.
_MARKS: Final = ".,!?;:…"
#: What is performed where a direction stands alone.
SILENCE: Final = "..."


@dataclass(frozen=True)
class StageDirection:
    """How words are felt or said: ``written`` in the text without its brackets, and what it was understood to mean."""

    written: str
    meaning: Meaning


@dataclass(frozen=True)
class Stage:
    """What stands beside the words: an action, or a note that is neither played nor spoken.

    Attributes:
        kind: "action" or "note".
        written: its bracket's content.
        at: where in the spoken text it stands, a character index.
        action: what is done; None for a note.
        to: whom a note says that the words are for.
    """

    kind: Kind
    written: str
    at: int
    action: Action | None = None
    to: str | None = None

    @property
    def name(self) -> str | None:
        """What is done, or whom the words are for; None where a face cannot play it, or nobody is named."""
        return self.to if self.action is None else self.action.name


@dataclass(frozen=True)
class Stretch:
    """Words, the direction they are said under (None before the first one), and what is done beside them."""

    text: str
    direction: StageDirection | None
    stage: tuple[Stage, ...] = ()


@dataclass
class _Open:
    """A stretch while it is read."""

    direction: StageDirection | None = None
    text: str = ""
    stage: list[Stage] = field(default_factory=list)

    def stretch(self) -> Stretch:
        return Stretch(self.text if _is_said(self.text) else SILENCE, self.direction, tuple(self.stage))


def read_directions(text: str, nearest: Callable[[str], Meaning | None] | None = None) -> list[Stretch]:
    """``text`` cut at directions of how it is said; each holds until the next one. Actions and notes cut nothing.

    Square brackets with an emotion's notation (``[joy 0.8 -> sadness]``, ``[joy + fear]``) are a direction wherever
    they stand, known actions (``(sighs)``) too. Others are one at the beginning of a sentence or clause, or alone, when
    `understand` says so. All others are spoken. A direction with nothing after it is a silent beat.

    Args:
        text: a cleaned line.
        nearest: what unknown words mean, or None when they are spoken; without it, unknown words are judged by their
            form alone.

    Raises:
        InputError: an intensity out of range.
    """
    done: list[Stretch] = []
    now, at = _Open(), 0
    for match in _BRACKETS.finditer(text):
        written = (match[1] or match[2] or match[3]).strip()
        before = _together(now.text, text[at : match.start()])
        meaning = _meaning(match, written, not _is_said(before) or _BEFORE.search(before) is not None, nearest)
        if meaning is None:
            continue
        now.text, at = before, match.end()
        if meaning.directs:
            direction = StageDirection(written, meaning)
            if _is_said(now.text):
                done.append(now.stretch())
                now = _Open(direction)
            elif now.direction:  # directions in a row are one: (softly) [joy]
                now.text, both = "", now.direction
                now.direction = StageDirection(f"{both.written}; {written}", both.meaning.then(meaning))
            else:
                now.text, now.direction = "", direction
        now.stage += _stage(meaning, written, len(now.text))
    now.text = _together(now.text, text[at:])
    if not done or now.direction or now.stage or _is_said(now.text):
        done.append(now.stretch())
    return done


def _meaning(
    match: re.Match[str], written: str, begins: bool, nearest: Callable[[str], Meaning | None] | None
) -> Meaning | None:
    """What a bracket directs; ``begins`` where a sentence or clause may."""
    if not written or (match[3] and not begins):
        return None
    if match[2] and (notation := read_notation(written)) is not None:
        return notation
    return understand(written, nearest) if begins and not match[3] else understand_within(written)


def _stage(meaning: Meaning, written: str, at: int) -> list[Stage]:
    actions = [Stage("action", written, at, action) for action in meaning.actions]
    # A direction that neither changes the words nor is done is shown all the same.
    rest = meaning.note or not (actions or meaning.directs)
    return [*actions, Stage("note", written, at, to=meaning.to)] if rest else actions


def _together(before: str, after: str) -> str:
    """Text with what stood between its halves taken out."""
    before, after = before.rstrip(), after.strip()
    if before[-1:] in "-–—" and before and after[:1] in "-–—":
        after = after.lstrip("-–— ")
    return f"{before}{'' if not before or after[:1] in _MARKS else ' '}{after}" if after else before


def _is_said(text: str) -> bool:
    return any(c.isalnum() for c in text) or "..." in text or "…" in text
