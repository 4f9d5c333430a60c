# SPDX-License-Identifier: GPL-3.0-or-later
"""What the words of a line say about its takes: the timeline of the mouth, and when each passage begins."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction.brackets import SILENCE, Stage
from ..direction.requests import MAX_LINE_SECONDS, LineRequest, Origin
from ..direction.script import Part
from ..errors import InputError
from ..shared.timeline import Timeline
from ..speech.reading import ReadWord, Script, language_of, read_line
from ..speech.timing import completed, fitted, silent_beat, speaking_rate, time_line
from .acting import Placed, placed_between, seconds_apart, within

#: A passage's emotion begins so many seconds before its first word.
_AHEAD: Final = 0.3
#: Frames that a passage has for itself at least, where there are so many.
_FEWEST: Final = 6
#: Longest passage, in seconds. One whose words leave it longer (a slow recording, a long silence) goes on in silent
#: passages of `_SILENT` at most.
_LONGEST, _SILENT = 8.5, 5.0
#: What is done before the first word takes so much of the silence that is there, in seconds.
_LEAD: Final = 0.3
#: Speech that lasts less than this share of its natural time is said to be hurried.
_HURRIED: Final = 0.6


@dataclass(frozen=True)
class Spoken:
    """A line that is said.

    Attributes:
        timeline: when the mouth does what.
        parts: the passages, with silent ones where nothing is said for long.
        own: frames that each of them has for itself.
        placed: what is done and noted beside the words, in order.
        warnings: what the user should know.
    """

    timeline: Timeline
    parts: tuple[Part, ...]
    own: tuple[int, ...]
    placed: tuple[Placed, ...] = ()
    warnings: tuple[str, ...] = ()


def read_parts(request: LineRequest, parts: Sequence[Part]) -> Script:
    """The words of a line without its directions.

    Raises:
        InputError: a language that cannot be pronounced.
    """
    text = " ".join(part.text for part in parts if part.text != SILENCE)
    # With a timeline nothing has to be pronounced.
    if request.timeline is not None or not any(c.isalpha() for c in text):
        return read_line(text)
    return read_line(text, language_of(text, request.language))


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
    if request.timeline is not None:
        script = _as_in(request.timeline, script)
    firsts = list(_first_words(script, parts))
    stage = _by_word(script, parts)
    warnings = []
    if request.timeline is not None:
        timeline = completed(request.timeline, script, seed)
        asked = request.seconds is not None or request.rate != 1.0 or request.vary_timing or request.timing != 0
        if asked and request.origin == Origin():  # a take that is made from a take has that one's settings
            warnings.append("Length, speaking rate and timing have no effect where a timeline is given.")
    else:
        beats: dict[int, float] = {}
        for part, first in zip(parts, firsts, strict=True):
            if part.text == SILENCE:
                beats[first] = beats.get(first, 0.0) + silent_beat()
        for at, group in stage.items():
            # Before the first word there is some silence in any case.
            if (apart := seconds_apart(group, request.energy) - (0.0 if at else _LEAD)) > 0.0:
                beats[at] = beats.get(at, 0.0) + apart
        rates = request.rate * request.energy**0.3 * _felt_rates(script, parts, firsts, request.speaking)
        timeline = natural = time_line(script, seed, rates, beats)
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
    edges = _edges(starts, frames, fps)
    placed = within(
        [one for at, group in stage.items() for one in _placed(timeline, at, group, request.energy)], frames / fps
    )
    return Spoken(timeline, *_filled(parts, edges, fps, script, timeline), tuple(placed), tuple(warnings))


def _by_word(script: Script, parts: Sequence[Part]) -> dict[int, list[Stage]]:
    """What is done beside the words, by the index of the word that comes after it."""
    found: dict[int, list[Stage]] = {}
    offset = 0
    for part in parts:
        silent = part.text == SILENCE
        for one in part.stage:
            first = sum(word.at < offset + (0 if silent else one.at) for word in script.words)
            found.setdefault(first, []).append(one)
        offset += 0 if silent else len(part.text) + 1
    return dict(sorted(found.items()))


def _placed(timeline: Timeline, first: int, stage: Sequence[Stage], energy: float) -> Iterator[Placed]:
    """What is done before the word of index ``first``, in time."""
    before = timeline.words[first - 1].end if first else 0.0
    after = timeline.words[first].start if first < len(timeline.words) else timeline.seconds
    return placed_between(stage, before, after, energy)


def _felt_rates(script: Script, parts: Sequence[Part], firsts: Sequence[int], speaks: bool) -> npt.NDArray[np.float64]:
    """How fast each word is said for what is felt at it, 1 natural; a listener changes nothing of it."""
    rates = np.ones(len(script.words))
    for part, begin, end in zip(parts, firsts, [*firsts[1:], len(rates)], strict=True) if speaks else ():
        manner = part.rate * part.energy**0.3
        felt = speaking_rate(part.emotion, part.intensity)
        if part.emotion_with is not None:
            felt += part.share * (speaking_rate(part.emotion_with, part.intensity) - felt)
        then = felt if part.emotion_to is None else speaking_rate(part.emotion_to, part.intensity_to)
        rates[begin:end] = np.linspace(felt, then, max(end - begin, 0)) * manner
    return rates


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
    if any(one.at == 0 for one in part.stage):  # what is done first is done under its emotion
        return min(before + 0.05, timeline.words[first].start) if first else 0.0
    return max(timeline.words[first].start - _AHEAD, before)


def _edges(starts: Sequence[float], frames: int, fps: float) -> list[int]:
    """Frames at which passages begin, the first at 0, and the end of the last; each has a few frames for itself."""
    few = min(_FEWEST, frames // len(starts))
    edges = [0]
    for k, start in enumerate(starts[1:], 1):
        edges.append(min(max(round(start * fps), edges[-1] + few), frames - few * (len(starts) - k)))
    return [*edges, frames]


def _filled(
    parts: tuple[Part, ...], edges: Sequence[int], fps: float, script: Script, timeline: Timeline
) -> tuple[tuple[Part, ...], tuple[int, ...]]:
    """Passages and their frames, none longer than `_LONGEST`; each has the words that begin in it."""
    filled: list[Part] = []
    own: list[int] = []
    offset = 0
    for part, (begin, end) in zip(parts, pairwise(edges), strict=True):
        count = 1 if end - begin <= _LONGEST * fps else math.ceil((end - begin) / (_SILENT * fps))
        cuts = [int(cut) for cut in np.linspace(begin, end, count + 1).round()]
        own += np.diff(cuts).tolist()
        if count == 1 or part.text == SILENCE:
            filled += [part] * count
        else:
            filled += [replace(part, text=text) for text in _words_in(part.text, offset, cuts, fps, script, timeline)]
        offset += 0 if part.text == SILENCE else len(part.text) + 1
    return tuple(filled), tuple(own)


def _words_in(
    text: str, offset: int, cuts: Sequence[int], fps: float, script: Script, timeline: Timeline
) -> Iterator[str]:
    """The words of a part, which stands at ``offset`` in the line, that begin between ``cuts``; silence for none."""
    own = [
        (read.at - offset, word.start * fps)
        for read, word in zip(script.words, timeline.words, strict=True)
        if 0 <= read.at - offset < len(text)
    ]
    at = [0, *(next((at for at, frame in own if frame >= cut), len(text)) for cut in cuts[1:-1]), len(text)]
    for begin, end in pairwise(at):
        yield text[begin:end].strip() or SILENCE


def _as_in(timeline: Timeline, script: Script) -> Script:
    """The line read with the words of a timeline from outside, one for one.

    One word may stand for several ("FBI", "well-known") and several for one, as long as their letters are the same.

    Raises:
        InputError: the timeline is of another line.
    """
    ours = "".join(_plain(word.text) for word in script.words)
    owner = [k for k, word in enumerate(script.words) for _ in _plain(word.text)]
    words: list[ReadWord] = []
    at = 0
    for number, word in enumerate(timeline.words, 1):
        letters = _plain(word.text)
        if not letters or ours[at : at + len(letters)] != letters:
            known = script.words[owner[at]].text if at < len(ours) else "nothing more"
            raise InputError(
                f"The timeline is of another line: its word {number} is {word.text!r:.40}, and the line has "
                f"{known!r:.40}. Make it from this line, numbers and abbreviations in words."
            )
        meant = [script.words[k] for k in dict.fromkeys(owner[at : at + len(letters)])]
        words.append(replace(meant[-1], at=meant[0].at, text=word.text, stress=max(w.stress for w in meant)))
        at += len(letters)
    if at < len(ours):
        raise InputError(
            f"The timeline ends before the line does: {script.words[owner[at]].text!r:.40} is missing in it. Make it "
            "from this line, numbers and abbreviations in words."
        )
    return replace(script, words=tuple(words))


def _plain(word: str) -> str:
    """The letters by which a word is known; aligners number what is said in more than one way: "was(2)"."""
    word = re.sub(r"\(\d+\)$", "", unicodedata.normalize("NFKC", word).lower())
    return re.sub(r"[\W_]", "", word)
