# SPDX-License-Identifier: GPL-3.0-or-later
"""What the words of a line say about its takes: the timeline of the mouth, and when each passage begins."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from ..direction.brackets import SILENCE
from ..direction.script import Part
from ..errors import InputError
from ..requests import MAX_LINE_SECONDS, LineRequest
from ..shared.timeline import Timeline
from ..speech.reading import Script, language_of, read_line
from ..speech.timing import completed, fitted, silent_beat, time_line

#: A passage's emotion begins so many seconds before its first word.
_AHEAD: Final = 0.3
#: Frames that a passage has for itself at least, where there are so many.
_FEWEST: Final = 6
#: Longest passage, in seconds. One whose words leave it longer (a slow recording, a long silence) goes on in silent
#: passages of `_SILENT` at most.
_LONGEST, _SILENT = 8.5, 5.0
#: Speech that lasts less than this share of its natural time is said to be hurried.
_HURRIED: Final = 0.6


@dataclass(frozen=True)
class Spoken:
    """A line that is said.

    Attributes:
        timeline: when the mouth does what.
        parts: the passages, with silent ones where nothing is said for long.
        own: frames that each of them has for itself.
        warnings: what the user should know.
    """

    timeline: Timeline
    parts: tuple[Part, ...]
    own: tuple[int, ...]
    warnings: tuple[str, ...] = ()


def read_parts(request: LineRequest, parts: Sequence[Part]) -> Script:
    """The words of a line without its directions.

    Raises:
        InputError: a language that cannot be pronounced.
    """
    text = " ".join(part.text for part in parts if part.text != SILENCE)
    return read_line(text, language_of(text, request.language) if any(c.isalpha() for c in text) else "en")


def say_parts(request: LineRequest, parts: tuple[Part, ...], seed: int, fps: float) -> Spoken:
    """The passages of a line in time; at least one of them has a word to say.

    Args:
        request: validated.
        parts: from `generator.direction.script.write_script`.
        seed: of the timing.
        fps: of the frames.

    Raises:
        InputError: the request's timeline is of another line; a language that cannot be pronounced.
    """
    script = read_parts(request, parts)
    firsts = list(_first_words(script, parts))
    warnings = []
    if request.timeline is not None:
        timeline = completed(_of_this_line(request.timeline, script), script, seed)
        if request.seconds is not None or request.rate != 1.0:
            warnings.append("Length and speaking rate have no effect where a timeline is given.")
    else:
        beats: dict[int, float] = {}
        for part, first in zip(parts, firsts, strict=True):
            if part.text == SILENCE:
                beats[first] = beats.get(first, 0.0) + silent_beat()
        timeline = natural = time_line(script, seed, request.rate * request.energy**0.3, beats)
        wanted = request.seconds or min(natural.seconds, MAX_LINE_SECONDS)
        if wanted != natural.seconds:
            timeline = fitted(natural, wanted)
            pace = (timeline.end - timeline.start) / (natural.end - natural.start)
            if request.seconds is None or pace < _HURRIED:
                warnings.append(
                    f"The line is hurried: at its own pace it takes {natural.seconds:.1f} s, and it has {wanted:g} s; "
                    f"{'split it into several lines' if request.seconds is None else 'give it more time'}."
                )
    starts = [_start(timeline, part, first) for part, first in zip(parts, firsts, strict=True)]
    frames = max(round(timeline.seconds * fps), len(parts))
    return Spoken(timeline, *_filled(parts, _edges(starts, frames, fps), fps), tuple(warnings))


def _first_words(script: Script, parts: Sequence[Part]) -> Iterator[int]:
    """For each part the index of its first word; for a silent one that of the word after it."""
    offset = 0
    for part in parts:
        yield sum(word.at < offset for word in script.words)
        offset += 0 if part.text == SILENCE else len(part.text) + 1


def _start(timeline: Timeline, part: Part, first: int) -> float:
    """The second at which a passage begins to show."""
    before = timeline.words[first - 1].end if first else 0.0
    if part.text == SILENCE or first == len(timeline.words):
        return before + 0.1 if first else 0.0
    return max(timeline.words[first].start - _AHEAD, before)


def _edges(starts: Sequence[float], frames: int, fps: float) -> list[int]:
    """Frames at which passages begin, the first at 0, and the end of the last; each has a few frames for itself."""
    few = min(_FEWEST, frames // len(starts))
    edges = [0]
    for k, start in enumerate(starts[1:], 1):
        edges.append(min(max(round(start * fps), edges[-1] + few), frames - few * (len(starts) - k)))
    return [*edges, frames]


def _filled(parts: tuple[Part, ...], edges: Sequence[int], fps: float) -> tuple[tuple[Part, ...], tuple[int, ...]]:
    """Passages and their frames, none longer than `_LONGEST`."""
    filled: list[Part] = []
    own: list[int] = []
    for part, (begin, end) in zip(parts, pairwise(edges), strict=True):
        count = 1 if end - begin <= _LONGEST * fps else math.ceil((end - begin) / (_SILENT * fps))
        filled += [part, *[replace(part, text=SILENCE)] * (count - 1)]
        own += [int(n) for n in np.diff(np.linspace(begin, end, count + 1).round())]
    return tuple(filled), tuple(own)


def _of_this_line(timeline: Timeline, script: Script) -> Timeline:
    """A timeline from outside, if its words are those of the line."""
    ours, theirs = [_plain(w.text) for w in script.words], [_plain(w.text) for w in timeline.words]
    for number, (own, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if own != other:
            raise InputError(
                f"The timeline is of another line: its word {number} is {timeline.words[number - 1].text!r:.40}, and "
                f"the line has {script.words[number - 1].text!r:.40}. Make it from this line, numbers in words."
            )
    if len(ours) != len(theirs):
        raise InputError(
            f"The timeline has {len(theirs)} words and the line has {len(ours)}; make it from this line, numbers in "
            "words."
        )
    return timeline


def _plain(word: str) -> str:
    return re.sub(r"[^\w]|\(\d\)$", "", word.lower())
