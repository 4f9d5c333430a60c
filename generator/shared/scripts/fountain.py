# SPDX-License-Identifier: GPL-3.0-or-later
"""Fountain, the plain-text form of a screenplay (https://fountain.io/syntax)."""

from __future__ import annotations

import re
from typing import Final

from .markup import clean
from .script import Reading, ScriptLine, joined

_HEADING: Final = re.compile(r"(?:INT|EXT|EST|INT\./EXT|INT/EXT|I/E)[. ]|\.(?!\.)", re.IGNORECASE)
_TITLE_KEY: Final = re.compile(
    r"(?:title|credit|authors?|source|notes|draft date|date|contact|copyright|revision|format)\s*:", re.IGNORECASE
)
_EXTENSIONS: Final = re.compile(r"\s*\([^()]*\)\s*")
#: A name alone on a line: capitals, then what is said of the voice, then ^ where two speak at once.
_CUE: Final = re.compile(r"(?P<name>@?[^\s()!>~=#.][^()]{0,80}?)(?P<notes>(?:\s*\([^()]{0,60}\)){0,4})\s*(?P<dual>\^?)")
#: Whether a text is Fountain: a scene's heading.
_SCENE: Final = re.compile(r"^(?:INT|EXT|EST|INT\./EXT|I/E)[. ]+\S", re.MULTILINE)
_CUES: Final = re.compile(
    r"(?:\A|\n)[ \t]*\n?[ \t]*[A-ZÀ-Þ][A-ZÀ-Þ0-9 .'’-]{1,40}(?:\([^()\n]{1,40}\))?\n[ \t]*[(\w\"“¿¡.…-]"
)


def looks_like_fountain(text: str) -> bool:
    """Whether a text of unknown form is a screenplay: it has a title page, or headings of scenes."""
    return bool(_SCENE.search(text) or (_TITLE_KEY.match(text.lstrip()) and _CUES.search(text)))


def read_fountain(text: str, reading: Reading) -> None:
    """Add what a screenplay's characters say."""
    lines = _without_remarks(text, reading).split("\n")
    others: list[int] = []
    at = _after_title_page(lines)
    blank = True  # before the first line
    while at < len(lines):
        line = lines[at].strip()
        cue = _cue(line) if blank and line and at + 1 < len(lines) and lines[at + 1].strip() else None
        if cue is None:
            if line:
                others.append(at + 1)
            blank = not line
            at += 1
            continue
        begin, pieces = at, []
        at = _end_of(lines, at + 1)
        blank = True
        for number, piece in enumerate(lines[begin + 1 : at], begin + 2):
            if piece.strip():
                pieces.append((number, piece.strip().removeprefix("~").strip()))
        name, together = cue
        if said := clean(joined(piece for _, piece in pieces)):
            reading.say(ScriptLine(pieces[0][0], name, said))
        else:
            reading.note(begin + 1, f"{name} says nothing here.")
        if together and len(reading.lines) > 1:
            other = reading.lines[-2].speaker
            reading.note(begin + 1, f"{name} speaks at the same time as {other}; the times of both are left to you.")
    reading.summary(others, "headings, action and transitions")


def _end_of(lines: list[str], at: int) -> int:
    """Where a speech ends: at an empty line; one of two blanks goes on."""
    while at < len(lines) and (lines[at].strip() or (len(lines[at]) >= 2 and at + 1 < len(lines))):
        at += 1
    return at


def _cue(line: str) -> tuple[str, bool] | None:
    """A speaker's name and whether they speak at the same time as the one before; None for another line."""
    if len(line) > 120 or (_HEADING.match(line) and not line.startswith("@")):
        return None
    found = _CUE.fullmatch(line)
    if found is None:
        return None
    name = found["name"]
    forced = name.startswith("@")
    if not forced and (name != name.upper() or not any(c.isalpha() for c in name) or name.endswith(("TO:", "OUT."))):
        return None
    return name.removeprefix("@").strip(), bool(found["dual"])


def name_of(cue: str) -> str:
    """A speaker's name without what stands in brackets after it."""
    return " ".join(_EXTENSIONS.sub(" ", cue).removesuffix("^").split()).strip(" :")


def _after_title_page(lines: list[str]) -> int:
    """The place after a title page, which goes from the first line to the first empty one."""
    first = next((k for k, line in enumerate(lines) if line.strip()), len(lines))
    if first == len(lines) or not _TITLE_KEY.match(lines[first].strip()):
        return 0
    return next((k for k in range(first, len(lines)) if not lines[k].strip()), len(lines))


def _without_remarks(text: str, reading: Reading) -> str:
    """Without /* what was struck out */ and [[notes]]; line breaks stay, so that lines keep their numbers."""
    for begin, end, what in (("/*", "*/", "What is struck out"), ("[[", "]]", "The note")):
        pieces: list[str] = []
        at = 0
        while (start := text.find(begin, at)) >= 0:
            stop = text.find(end, start + 2)
            if stop < 0:
                number = text.count("\n", 0, start) + 1
                reading.note(number, f"{what} from {begin} on has no {end}; it was read as if it were not there.")
                break
            pieces += (text[at:start], "\n" * text.count("\n", start, stop))
            at = stop + 2
        text = "".join((*pieces, text[at:].replace(begin, "") if text.find(begin, at) >= 0 else text[at:]))
    return text
