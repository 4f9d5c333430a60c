# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what was said in which recording: ``transcripts.csv``."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..direction.emotions import EMOTION_NAMES
from ..direction.requests import MAX_INTENSITY, clean_text
from ..errors import DataError, InputError
from ..reading import TABLE, reading
from .live_link import TRANSCRIPTS, take_name

_COLUMNS: Final = ("file", "text", "emotion", "intensity", "start", "end")
_EXAMPLE: Final = "file,text,emotion (emotion may be left out, and intensity, start, end added)"


@dataclass(frozen=True)
class Transcript:
    """One line of one recording.

    Attributes:
        row: in the table, for messages; the header is row 1.
        path: the recording.
        text: what was said, cleaned.
        emotion: a name of `EMOTION_NAMES`; None where the text must tell.
        intensity: 0..1.5, 1 where the table does not say.
        start, end: seconds from the recording's first frame; None for its beginning and end.
    """

    row: int
    path: Path
    text: str
    emotion: str | None
    intensity: float
    start: float | None
    end: float | None

    @property
    def where(self) -> str:
        """For messages."""
        return f"{TRANSCRIPTS}, row {self.row}"


def read_transcripts(folder: Path, recordings: list[Path]) -> list[Transcript]:
    """The rows of ``folder / transcripts.csv``: UTF-8, comma, semicolon or tab between its columns.

    ``file`` names a recording by its path in ``folder``, its name, or the name of the folder the app made for it; with
    or without ``.csv``.

    Raises:
        DataError: the message names row, column and reason.
    """
    path = folder / TRANSCRIPTS
    if not path.is_file():
        raise DataError(f"{path} is missing; write a table with the columns {_EXAMPLE}, one row per recorded line.")
    sentence = "{path} cannot be read ({why}); save it as CSV UTF-8."
    with reading(path, TABLE, lambda why: DataError(sentence.format(path=path, why=why))) as file:
        text = file.text()
        delimiter, header = _header(path, text.partition("\n")[0].rstrip("\r"))
        names = _names(folder, recordings)
        found: list[Transcript] = []
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        next(reader)
        for cells in file.each(reader):
            row = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header):
                raise DataError(
                    f"{path.name}, row {row}: it has {len(cells)} values for {len(header)} columns; put a text that "
                    f"holds {delimiter!r:.80} in double quotes."
                )
            found.append(_transcript(row, dict(zip(header, (c.strip() for c in cells), strict=False)), names))
    if not found:
        raise DataError(f"{path} has no rows; write one per recorded line.")
    return found


def _header(path: Path, line: str) -> tuple[str, list[str]]:
    """Delimiter and column names: the delimiter is the one that makes the header right, whatever the texts hold."""
    for delimiter in ",;\t":
        header = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
        if {"file", "text"} <= set(header):
            if unknown := [name for name in header if name and name not in _COLUMNS]:
                raise DataError(
                    f"{path.name}, row 1: there is no column {unknown[0]!r:.80}; it may have {', '.join(_COLUMNS)}."
                )
            if len(set(header)) < len(header):
                raise DataError(f"{path.name}, row 1: every column may be there once; found {', '.join(header):.300}.")
            return delimiter, header
    raise DataError(f"{path.name}, row 1: expected {_EXAMPLE}, found {line[:80]!r:.80}.")


def _names(folder: Path, recordings: list[Path]) -> dict[str, set[Path]]:
    """Every name a recording may be called by, lower case."""
    names: dict[str, set[Path]] = {}
    for recording in recordings:
        inside = recording.relative_to(folder)
        called = {inside.as_posix(), inside.with_suffix("").as_posix(), inside.name, inside.stem}
        called |= {take_name(inside), take_name(inside).removesuffix("_iPhone")}
        called |= {f"{take_name(inside)}.csv"}
        if inside.parent != Path():
            called |= {inside.parent.as_posix(), inside.parent.name}
        for name in called:
            names.setdefault(name.lower(), set()).add(recording)
    return names


def _transcript(row: int, cells: dict[str, str], names: dict[str, set[Path]]) -> Transcript:
    where = f"{TRANSCRIPTS}, row {row}"
    name = cells.get("file", "")
    if not name:
        raise DataError(f"{where}, column file: it is empty; name the recording.")
    paths = names.get(name.replace("\\", "/").removeprefix("./").strip("/").lower(), set())
    if not paths:
        raise DataError(f"{where}, column file: there is no recording {name!r:.80} in the folder.")
    if len(paths) > 1:
        raise DataError(
            f"{where}, column file: {len(paths)} recordings are called {name!r:.80}; write the folder before it."
        )
    try:
        text, _ = clean_text(cells.get("text", ""))
    except InputError as error:
        raise DataError(f"{where}, column text: {error}") from None
    emotion = cells.get("emotion", "").lower().replace(" ", "_") or None
    if emotion == "auto":
        emotion = None
    if emotion is not None and emotion not in EMOTION_NAMES:
        raise DataError(
            f"{where}, column emotion: there is no emotion {cells['emotion']!r:.80}; leave it empty or write one of "
            f"{', '.join(EMOTION_NAMES)}."
        )
    intensity = _number(where, "intensity", cells, MAX_INTENSITY)
    start, end = _number(where, "start", cells), _number(where, "end", cells)
    if end is not None and end <= (start or 0.0):
        raise DataError(f"{where}, column end: the line ends at {end:g} s, before it starts.")
    return Transcript(row, next(iter(paths)), text, emotion, 1.0 if intensity is None else intensity, start, end)


def _number(where: str, column: str, cells: dict[str, str], most: float = math.inf) -> float | None:
    text = cells.get(column, "")
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))  # spreadsheets of half of the world write 1,5
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not 0 <= value <= most:
        limit = f"from 0 to {most:g}" if math.isfinite(most) else "of seconds, 0 or more"
        raise DataError(f"{where}, column {column}: {text!r:.80} is not a number {limit}.")
    return value
