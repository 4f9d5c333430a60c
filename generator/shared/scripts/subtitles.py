# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtitles: SubRip (.srt) and WebVTT (.vtt, https://www.w3.org/TR/webvtt1/).

pysubs2, the parser that is maintained, was weighed: it drops the numbers of lines, takes WebVTT's notes and names of
cues for words of the subtitle before them, and says nothing of what it could not read. All three are asked for here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from .markup import TIMING
from .script import Reading, ScriptError, ScriptLine

_VOICE: Final = re.compile(r"<v(?:\.[^<>\s]{0,100})?\s([^<>]{1,100})>")
_DASH: Final = re.compile(r"\s*(?:<[^<>]{1,40}>|\{[^{}]{1,40}\})*\s*(?:-{1,2}|[–—])\s*\S")
#: Blocks of WebVTT that are no subtitle.
_REMARKS: Final = ("NOTE", "STYLE", "REGION")
#: Characters of a row: what somebody says at once has as many at most, as typed.
_LONGEST_ROW: Final = 20_000
#: Only what is heard: [DOOR SLAMS], (MUSIC PLAYING).
_SOUND: Final = re.compile(r"(?:[(\[][^()\[\]a-z]*[)\]]\s*)+")


def looks_like_subtitles(text: str) -> bool:
    """Whether a text of unknown form is subtitles: it begins with a time, its number, or WEBVTT."""
    return text.lstrip().startswith("WEBVTT") or TIMING.search(text, 0, 2000) is not None


def seconds_of(clock: str) -> float:
    """``1:02:03,456``, ``02:03.4`` or ``3.5`` in seconds; a fourth part counts frames, 24 a second.

    ValueError for another text.
    """
    whole, _, rest = clock.strip().replace(",", ".").replace(";", ".").partition(".")
    if len(clock) > 30 or not (whole + rest).replace(":", "").isdecimal():
        raise ValueError(clock)
    *parts, last = [int(part) for part in whole.split(":")]
    if len(parts) == 3:
        return 3600.0 * parts[0] + 60 * parts[1] + parts[2] + last / 24
    seconds = float(last)
    for part, unit in zip(reversed(parts), (60, 3600), strict=False):
        seconds += unit * part
    if len(parts) > 3:
        raise ValueError(clock)
    return seconds + (int(rest) / 10 ** len(rest) if rest else 0.0)


def read_subtitles(text: str, name: str, reading: Reading) -> None:
    """Add what subtitles say, each with its times; two who speak in one of them are two lines.

    Raises:
        ScriptError: there is no time in it.
    """
    lines = text.split("\n")
    if not any(map(_is_timing, lines)):
        raise ScriptError(f"{name} has no times such as 00:00:01,000 --> 00:00:02,500; is it a file of subtitles?")
    at = next(k for k, line in enumerate(lines) if line.strip())
    if lines[at].startswith("WEBVTT"):
        at = _end_of(lines, at + 1)
    while at < len(lines):
        line = lines[at].strip()
        if _is_timing(line):
            stop = _end_of(lines, at + 1)
            _cue(lines, at, stop, reading)
            at = stop
        elif line.split(" ")[0] in _REMARKS and not lines[at - 1].strip():
            at = _end_of(lines, at + 1)
        else:
            before_time = at + 1 < len(lines) and _is_timing(lines[at + 1])  # the name of what follows
            if line and not line.isdecimal() and not before_time:
                reading.note(at + 1, f"“{line[:60]}” is in no subtitle: there is no time above it. It was not read.")
            at += 1


def _is_timing(line: str) -> bool:
    return "->" in line and ("-->" in line or TIMING.fullmatch(line) is not None)


def _end_of(lines: list[str], at: int) -> int:
    """Where a block ends: before an empty line, or before the number and the time of the next subtitle."""
    begin = at
    while at < len(lines) and lines[at].strip() and not _is_timing(lines[at]):
        at += 1
    closed = at == len(lines) or not lines[at].strip()
    return at if closed or at == begin or not lines[at - 1].strip().isdecimal() else at - 1


def _cue(lines: list[str], at: int, stop: int, reading: Reading) -> None:
    start = end = None
    if found := TIMING.search(lines[at]):
        start, end = seconds_of(found[1]), seconds_of(found[2])
        if end <= start:
            reading.note(at + 1, f"It ends before it begins ({lines[at].strip()[:60]}); its end was not read.")
            end = None
    else:
        reading.note(at + 1, f"“{lines[at].strip()[:60]}” is no time; its words were read without one.")
    anything = False
    for number, words in _utterances(lines, at + 1, stop, reading):
        voice = _VOICE.search(words)
        speaker, said = reading.speaker_of(words)
        if said and not _SOUND.fullmatch(said):
            reading.say(ScriptLine(number, voice[1].strip() if voice else speaker, said, start, end))
        elif said:
            reading.note(number, f"{said[:60]} is a sound, which nobody says; it was not read.")
        anything = anything or bool(said)
    if not anything:
        reading.note(at + 1, "Nothing is said in this subtitle.")


def _utterances(lines: list[str], start: int, stop: int, reading: Reading) -> Iterator[tuple[int, str]]:
    """What each speaker of a subtitle says, with the number of its first line."""
    for k in range(start, stop):
        if len(lines[k]) > _LONGEST_ROW:
            reading.note(k + 1, f"The row has {len(lines[k]):,} characters; more than {_LONGEST_ROW:,} are not read.")
    dashed = (row for _, row in reading.each(_rows(lines, start, stop)) if _DASH.match(row))
    dialogue = len(list(islice(dashed, 2))) == 2
    begun, words = 0, list[str]()
    for number, row in reading.each(_rows(lines, start, stop)):
        fresh = _VOICE.match(row) or (dialogue and _DASH.match(row)) or (":" in row and reading.speaker_of(row)[0])
        if fresh or not words:
            if words:
                yield begun, " ".join(words)
            begun, words = number, []
        words.append(row)
    if words:
        yield begun, " ".join(words)


def _rows(lines: list[str], start: int, stop: int) -> Iterator[tuple[int, str]]:
    """The rows of a subtitle, with their numbers; each voice begins a row of its own."""
    for k in range(start, stop):
        if len(lines[k]) <= _LONGEST_ROW:
            yield from ((k + 1, row) for row in _VOICE.sub(r"\n\g<0>", lines[k]).split("\n") if row.strip())
