# SPDX-License-Identifier: GPL-3.0-or-later
"""What a batch job is: lines, settings, and which lines are performed together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from .. import __version__
from ..direction.requests import MAX_LINE_SECONDS, MIN_SECONDS, LineRequest
from ..engine.files import DEFAULT_CHECKPOINT
from ..errors import InputError
from ..reading import SCRIPT, reading
from ..shared.scripts import Note, ScriptError, ScriptLine, read_script, speaker_of

#: What lines can be written as.
FORMATS: Final = ("npz", "json", "csv")
#: Takes that are decoded together, as many as a performer takes at once; more would only cost memory.
_TOGETHER: Final = 64


@dataclass(frozen=True)
class Job:
    """Lines to perform.

    Attributes:
        lines: in the order of the script.
        settings: fields of `LineRequest` that all lines share, but for the text.
        form: what is written for each line, one of `FORMATS`.
        checkpoint: a folder; None for the bundled one.
        device, precision: as `generator.performing.load.load_performer` takes them.
        fit_times: lines whose times the script tells last that long.
        name: of the script.
        notes: what of the script was not read.
    """

    lines: tuple[ScriptLine, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    form: str = "npz"
    checkpoint: Path | None = None
    device: str = "auto"
    precision: str = "fp32"
    fit_times: bool = False
    name: str = "lines"
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise InputError(f"There is no format {self.form!r}; choose {', '.join(FORMATS)}.")
        known = {field.name for field in dataclasses.fields(LineRequest)} - {"text", "warnings"}
        if unknown := sorted(set(self.settings) - known):
            raise InputError(f"A line has no setting {unknown[0]!r}; it may have {', '.join(sorted(known))}.")
        LineRequest("Yes.", **self.settings).validated()

    @classmethod
    def from_file(cls, path: Path, settings: Mapping[str, Any] | None = None, **options: Any) -> Job:
        """The lines of a script.

        Args:
            path: a file of one of `generator.shared.scripts.SUFFIXES`.
            settings: see `Job`. options: other attributes of `Job`.

        Raises:
            InputError: the script cannot be read, nobody says anything in it, or a setting is out of its range.
        """
        with reading(path, SCRIPT, lambda why: InputError(f"{path} cannot be read ({why}); name a script.")) as file:
            data = file.data()
        try:
            script = read_script(data, path.name)
        except ScriptError as error:
            raise InputError(str(error)) from None
        if not script.lines:
            why = " ".join(f"Line {note.number}: {note.text}" for note in script.notes[:3])
            raise InputError(
                f"{path.name} has no line that somebody says. Give each line its speaker: NAME: What is said. {why}"
            )
        return cls(script.lines, settings or {}, name=path.name, notes=script.notes, **options)

    @classmethod
    def from_lines(cls, lines: Iterable[str], settings: Mapping[str, Any] | None = None, **options: Any) -> Job:
        """Lines of nobody in particular, numbered from 1. See `from_file`."""
        numbered = (ScriptLine(number, "", text) for number, text in enumerate(lines, 1))
        return cls(tuple(numbered), settings or {}, **options)

    def request(self, place: int) -> LineRequest:
        """What is asked for line ``place``, from 0. InputError where that cannot be performed."""
        line = self.lines[place]
        request = LineRequest(line.text, **{"names": self._named(line.text), **self.settings})
        if self.fit_times and line.start is not None and line.end is not None:
            seconds = min(max(line.end - line.start, MIN_SECONDS), MAX_LINE_SECONDS)
            request = dataclasses.replace(request, seconds=seconds)
        return request.validated()

    def _named(self, text: str) -> tuple[str, ...] | None:
        """Whose name ``text`` may begin with: nobody's of "Coffee: Black, please."; None where no speaker is known."""
        if not self._speakers or ":" not in text:
            return None
        name = speaker_of(text)[0] or text.partition(":")[0].strip()
        return (name,) if name.casefold() in self._speakers else ()

    @cached_property
    def _speakers(self) -> frozenset[str]:
        return frozenset(line.speaker.casefold() for line in self.lines if line.speaker)

    def file(self, place: int) -> str:
        """The name of what is written for line ``place``: ``00012_anna.npz``."""
        plain = unicodedata.normalize("NFKD", self.lines[place].speaker).encode("ascii", "ignore").decode()
        speaker = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:24]
        return f"{place + 1:05d}{'_' * bool(speaker)}{speaker}.{self.form}"

    @cached_property
    def batches(self) -> tuple[tuple[int, ...], ...]:
        """Places of the lines that are performed together: those of like length, so that few wait for others.

        The longest come first: what memory a job needs, it needs at once.
        """
        count = max(1, _TOGETHER // LineRequest("", **self.settings).drawn)
        order = sorted(range(len(self.lines)), key=lambda place: -len(self.lines[place].text))
        return tuple(tuple(order[k : k + count]) for k in range(0, len(order), count))

    @cached_property
    def identity(self) -> str:
        """What decides every byte that is written, as 64 hexadecimal digits."""
        told = hashlib.sha256()
        folder = self.checkpoint or DEFAULT_CHECKPOINT
        settings = {name: repr(value) for name, value in sorted(self.settings.items())}
        parts = (__version__, self.form, self.device, self.precision, self.fit_times, settings)
        told.update(json.dumps((*parts, self.batches)).encode())
        for line in self.lines:
            told.update(json.dumps(dataclasses.astuple(line)).encode("utf-8", "surrogatepass"))
        for path in sorted(folder.glob("*")):
            if path.suffix in (".json", ".safetensors"):
                told.update(path.name.encode())
                with path.open("rb") as file:
                    told.update(hashlib.file_digest(file, "sha256").digest())
        return told.hexdigest()
