# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain text: ``NAME: what they say``, a line each, or lines that nobody is named for."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from .markup import MAX_NAME, clean, leads_on
from .script import Reading, ScriptLine, joined

#: Any short words before a colon; a name if the text has them again and again.
_LABEL: Final = re.compile(rf"\s*[*_]{{0,3}}([^\W\d_][\w.'’&/# -]{{0,{MAX_NAME - 1}}})[*_]{{0,3}}:[*_]{{0,3}}(?=\s|$)")
#: Nobody's words: a line that is all brackets, and a rule.
_REMARK: Final = re.compile(r"(?:\[[^\[\]]*\]|={3,}|-{3,}|\*{3,}|#{1,6} .*)")


def read_plain(text: str, reading: Reading) -> None:
    """Add the lines of a text. A line without a name goes on with the one above it, where that has one."""
    lines = text.split("\n")
    labels = Counter(_name(found) for line in reading.each(lines) if (found := _LABEL.match(line)))
    names = {name for name, count in labels.items() if count > 1 and len(name.split()) < 5 and not leads_on(name)}
    # Who writes names in capitals, or has them again and again, does not write "Coffee: Black, please." of a speaker.
    given = {reading.speaker_of(line)[0] for line in reading.each(lines) if ":" in line}
    large = {name.casefold() for name in given if name and name.upper() == name}
    if len(large) > 1:
        reading.words = {*reading.words, *(n for n in labels if n not in names and n.casefold() not in large)}
    names -= {*reading.words}
    remarks: list[int] = []
    speeches: list[tuple[int, str, list[str]]] = []
    goes_on = False
    for number, line in enumerate(reading.each(lines), 1):
        if not line.strip() or _REMARK.fullmatch(line.strip()):
            remarks += [number] * bool(line.strip())
            goes_on = False
            continue
        found = _LABEL.match(line)
        if found and _name(found) in names:
            speaker, said = _name(found), clean(line[found.end() :])
        else:
            speaker, said = reading.speaker_of(line)
        if goes_on and not speaker:
            speeches[-1][2].append(said)
        else:
            speeches.append((number, speaker, [said]))
            goes_on = bool(speaker)
    for number, speaker, pieces in speeches:
        if said := joined(filter(None, pieces)):
            reading.say(ScriptLine(number, speaker, said))
        else:
            reading.note(number, f"{speaker} says nothing here." if speaker else "This line has no words.")
    reading.summary(remarks, "headings and remarks")


def _name(label: re.Match[str]) -> str:
    return " ".join(label[1].split())
