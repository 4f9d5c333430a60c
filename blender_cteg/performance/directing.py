# SPDX-License-Identifier: GPL-3.0-or-later
"""Directing: the animator corrects how a line was understood and what is emphasised in it (no ``bpy``).

A correction is an inline direction, such as ``[joy]``, written into the line itself: it is seen, edited and undone
like every other word, and it is still there when the line is performed again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..segments import Segment, SegmentError
from ..shared import Accent, Timeline

#: A direction with the name of an emotion, and any direction or words in brackets, each with the space after it.
_NOTATION: Final = re.compile(r"\[[^()\[\]]*\]\s*")
_BRACKETS: Final = re.compile(r"(?:\([^()\[\]]*\)|\[[^()\[\]]*\])\s*")
#: What may stand between two words of a segment: actions and notes are no part of it.
_BETWEEN: Final = r"(?:\s|\([^()\[\]]*\)|\[[^()\[\]]*\]|\*[^*()\[\]]*\*)*"


def directed(line: str, segments: Sequence[Segment], index: int, emotion: str) -> str:
    """The line with a direction for one of its segments; an emotion that was directed there is replaced.

    A direction holds until the next one, so segments that follow get one too where they would change with it. So do
    those before it whose emotion is not the likeliest of their words: they have it from their neighbours.

    Args:
        line: the text as the animator typed it.
        segments: all segments of a take of this line, in order.
        index: which segment is to be played differently.
        emotion: a name of `emotions.NAMES`.

    Raises:
        SegmentError: a segment is not found in the line, because the line was changed.
    """
    line = unicodedata.normalize("NFC", line)
    gaps = _gaps(line, segments)
    start, end = gaps[index]
    # An emotion in square brackets goes; "(softly)" stays, unless it was what decided the emotion.
    gap = _Gap(line[start:end], segments)
    by_name = gap.has(_NOTATION)
    old = _NOTATION if by_name else _BRACKETS
    replaced = by_name or (segments[index].source == "direction" and gap.has(old))
    before = gap.without(old) if replaced else line[start:end]
    changes = [(start, end, f"{before}[{emotion}] ")]
    if not replaced:  # what is replaced went on to hold for the next segments, and so does what takes its place
        first, last = _undirected(line, gaps, segments, index)
        changes += _kept(line, gaps, segments, range(index + 1, last), emotion)
        by_name = _Gap(line[slice(*gaps[first])], segments).has(_NOTATION)
        if not by_name and any(s.alternatives and s.emotion != _likeliest(s) for s in segments[first:index]):
            changes += _kept(line, gaps, segments, range(first, index), None)
    for begin, end, text in sorted(changes, reverse=True):
        line = f"{line[:begin]}{text}{line[end:]}"
    return line.rstrip()


def is_line_of(line: str, segments: Sequence[Segment]) -> bool:
    """Whether these segments are in the line, whatever directions stand between them."""
    try:
        return bool(_gaps(unicodedata.normalize("NFC", line), segments))
    except SegmentError:
        return False


def word_at(timeline: Timeline, seconds: float) -> int | None:
    """The word that is said at a moment, else the one after it, else the last; None where nothing is said."""
    later = (place for place, word in enumerate(timeline.words) if seconds < word.end)
    return next(later, len(timeline.words) - 1 if timeline.words else None)


def as_written(timeline: Timeline, place: int) -> str:
    """A word as the line writes it; as it is spoken where the line writes it otherwise: "five" of a 5."""
    found, at = None, 0
    for word in timeline.words[: place + 1]:
        found = re.compile(rf"(?<!\w){re.escape(word.text)}(?!\w)", re.IGNORECASE).search(timeline.text, at)
        at = found.end() if found else at
    return found[0] if found else timeline.words[place].text


def emphasis_of(timeline: Timeline, place: int) -> float:
    """How much a word is emphasised: 0 not at all, 1 naturally."""
    word = timeline.words[place]
    return max((accent.size for accent in timeline.accents if word.start <= accent.time <= word.end), default=0.0)


def emphasised(timeline: Timeline, place: int, size: float) -> Timeline:
    """The timeline with another emphasis on a word, on the vowel that carries its stress; 0: none."""
    word = timeline.words[place]
    others = [accent for accent in timeline.accents if not word.start <= accent.time <= word.end]
    own = [Accent(word.vowel.centre, size)] if size > 0 else []
    return replace(timeline, accents=tuple(sorted([*others, *own], key=lambda accent: accent.time)))


def _undirected(line: str, gaps: Sequence[tuple[int, int]], segments: Sequence[Segment], index: int) -> tuple[int, int]:
    """First and last (exclusive) of the segments around ``index`` that no direction separates from it."""
    marked = [_Gap(line[start:end], segments).has(_BRACKETS) for start, end in gaps]
    last = next((k for k in range(index + 1, len(segments)) if marked[k]), len(segments))
    first = next((k for k in range(index, -1, -1) if marked[k]), 0)
    return first, last


def _kept(
    line: str, gaps: Sequence[tuple[int, int]], segments: Sequence[Segment], which: range, playing: str | None
) -> list[tuple[int, int, str]]:
    """Directions that keep some segments as they are, each with the place in the line where it goes, twice."""
    found = []
    for index in which:
        if segments[index].emotion != playing:
            place, playing = gaps[index][1], segments[index].emotion
            found.append((place, place, f"{_again(line, gaps, segments, index)} "))
    return found


def _likeliest(segment: Segment) -> str:
    return max(segment.alternatives, key=lambda name: segment.alternatives[name])


def _again(line: str, gaps: Sequence[tuple[int, int]], segments: Sequence[Segment], index: int) -> str:
    """The directions under which a segment is played now, to be written again before it."""
    segment = segments[index]
    written = [_Gap(line[start:end], segments).directions() for start, end in gaps[: index + 1]]
    held: list[str] = [] if written[-1] else next((found for found in reversed(written) if found), [])
    if segment.source != "direction":
        held = [*held, _notation_of(segment)]
    return " ".join(direction.strip() for direction in held)


def _notation_of(segment: Segment) -> str:
    """The direction that plays a segment as it was played; what is mixed in is left out where it moves on."""
    if segment.emotion_to:
        return f"[{segment.emotion} -> {segment.emotion_to}]"
    if segment.emotion_with:
        # Numbers after the names would be intensities, and the request's shall go on to hold.
        return f"[{segment.emotion} + {segment.emotion_with}]"
    return f"[{segment.emotion}]"


class _Gap:
    """What stands before a segment's words: directions, and what is done or noted, which no direction replaces."""

    def __init__(self, text: str, segments: Sequence[Segment]) -> None:
        self.text = text
        directed = {part for s in segments for part in (s.direction or "").strip("()[] ").split("; ")}
        self._beside = {one.written for s in segments for one in s.stage} - directed

    def has(self, kind: re.Pattern[str]) -> bool:
        """Whether a direction of that kind is in it."""
        return any(self._directs(match) for match in kind.finditer(self.text))

    def without(self, kind: re.Pattern[str]) -> str:
        """The text without directions of that kind."""
        return kind.sub(lambda match: "" if self._directs(match) else match[0], self.text)

    def directions(self) -> list[str]:
        """All directions in it, with their brackets."""
        return [match[0] for match in _BRACKETS.finditer(self.text) if self._directs(match)]

    def _directs(self, match: re.Match[str]) -> bool:
        return match[0].strip()[1:-1].strip() not in self._beside


def _gaps(line: str, segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """What stands before each segment's words, directions for instance: where it starts and ends in the line."""
    gaps, at = [], 0
    for index, segment in enumerate(segments):
        words = unicodedata.normalize("NFC", segment.text).split()
        found = re.compile(_BETWEEN.join(map(re.escape, words))).search(line, at) if words else None
        if found is not None:
            gaps.append((at, found.start()))
            at = found.end()
        elif index == len(segments) - 1 and _BRACKETS.search(line, at) and not any(c.isalnum() for c in segment.text):
            gaps.append((at, len(line)))  # a silent beat: a direction without words after it
        else:
            raise SegmentError("The line has changed since this take; generate it again, then direct it.")
    return gaps
