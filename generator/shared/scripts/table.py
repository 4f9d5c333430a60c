# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of lines: comma- or tab-separated, a row for each line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final

from .markup import clean
from .script import Reading, ScriptError, ScriptLine
from .subtitles import seconds_of

_DELIMITERS: Final = ",;\t|"
#: What a column may be called.
_NAMES: Final = {
    "text": "text line dialogue dialog words said speech utterance sentence subtitle transcript script".split(),
    "speaker": "speaker character who role actor name voice".split(),
    "start": [
        "start",
        "begin",
        "in",
        "from",
        "start time",
        "time",
        "timecode",
        "timecode in",
        "tc in",
        "start seconds",
    ],
    "end": ["end", "stop", "out", "to", "end time", "timecode out", "tc out"],
    "direction": "direction directions parenthetical emotion mood how".split(),
}
#: A row goes over so many lines of the file at most; a quotation mark that nobody closed would take all of them.
_LONGEST_ROW: Final = 100


def read_table(text: str, name: str, tabs: bool, reading: Reading) -> None:
    """Add the lines of a table, whose first row names the columns; without names they are words, or names and words.

    Raises:
        ScriptError: no column can be the words.
    """
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    delimiter = "\t" if tabs else max(_DELIMITERS, key=lambda mark: _outside_quotes(first).count(mark))
    rows = _rows(lines, delimiter, reading)
    head = next(rows, None)
    if head is None:
        return
    columns = _columns(head[1])
    if "text" not in columns:
        if columns or len(head[1]) > 2:
            raise ScriptError(
                f"{name} has no column for the words; call one of them 'text' ({', '.join(head[1])[:200]})."
            )
        columns = {"text": 0} if len(head[1]) == 1 else {"speaker": 0, "text": 1}
        _row(*head, columns, reading)
    for number, row in rows:
        _row(number, row, columns, reading)


def _row(number: int, row: list[str], columns: dict[str, int], reading: Reading) -> None:
    def cell(column: str) -> str:
        place = columns.get(column, -1)
        return row[place].strip() if 0 <= place < len(row) else ""

    if not any(value.strip() for value in row):
        return
    speaker = clean(cell("speaker"))
    # "Coffee: Black." is all said where a cell names who says it.
    found, said = reading.speaker_of(cell("text"), speaker)
    if not said:
        reading.note(number, "This row has no words; it was not read.")
        return
    if direction := cell("direction").strip("()[] "):
        said = f"({direction}) {said}"
    times: dict[str, float | None] = {"start": None, "end": None}
    for column in times:
        if written := cell(column):
            try:
                times[column] = seconds_of(written)
            except ValueError:
                reading.note(number, f"The {column} {written[:40]!r} is no time; the row was read without it.")
    start, end = times["start"], times["end"]
    if start is not None and end is not None and end <= start:
        reading.note(number, f"It ends before it begins ({cell('start')}, {cell('end')}); its end was not read.")
        end = None
    reading.say(ScriptLine(number, speaker or found, said, start, end))


def _columns(head: list[str]) -> dict[str, int]:
    """Which column is what; the first of several that could be."""
    names = [" ".join(value.casefold().replace("_", " ").split()) for value in head]
    found = {}
    for column, known in _NAMES.items():
        place = next((names.index(name) for name in known if name in names), None)
        if place is not None:
            found[column] = place
    return found


def _rows(lines: list[str], delimiter: str, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the number of their first line; quotation marks that do not fit are left out."""
    at = 0
    while at < len(lines):
        reader = csv.reader(
            (f"{lines[k]}\n" for k in range(at, min(at + _LONGEST_ROW, len(lines)))), delimiter=delimiter,
            strict=True, skipinitialspace=delimiter != "\t",
        )  # fmt: skip
        try:
            row, used = next(reader, []), max(reader.line_num, 1)
        except csv.Error as error:
            reading.note(at + 1, f"The quotation marks of this row do not fit ({error}); it was read without them.")
            row, used = [value.strip().strip('"') for value in lines[at].split(delimiter)], 1
        if row:
            yield at + 1, row
        at += used


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])
