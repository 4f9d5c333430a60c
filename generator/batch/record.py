# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a job is done, on disk: an entry for each line, kept as soon as its batch is written."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import InputError
from ..writing import write_whole
from .job import Job

REPORT: Final = "report.json"
_PROGRESS: Final = "progress*.jsonl"
_SCHEMA: Final = 1

#: What became of a line; see docs/batch.md.
Entry = dict[str, Any]


class JobChanged(InputError):
    """The folder holds what another job has made."""


@dataclass(frozen=True)
class Report:
    """What became of a job.

    Attributes:
        done, skipped: how many lines.
        missing: lines that other parts of the job have still to perform.
        path: of the report; None while lines are missing.
    """

    done: int
    skipped: int
    missing: int
    path: Path | None

    @property
    def code(self) -> int:
        """What a command exits with: 0, or 3 where a line was skipped."""
        return 3 if self.skipped else 0


class Record:
    """Which batches of a job are done. Batches are remembered whole: one line of a file of JSON lines each.

    Args:
        job: whose.
        folder: where its files are.
        part: (k, n): this is the k-th of n that share the job, each with a file of its own.

    Raises:
        JobChanged: the folder is another job's. OSError: it cannot be written.
    """

    def __init__(self, job: Job, folder: Path, part: tuple[int, int] = (1, 1)) -> None:
        self._job, self._folder = job, folder
        self._path = folder / ("progress.jsonl" if part == (1, 1) else f"progress.{part[0]}-of-{part[1]}.jsonl")
        self._known: dict[int, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in (self._path, folder / REPORT):
            if path.is_symlink() or (path.exists() and not path.is_file()):  # a pipe would be waited for
                raise InputError(f"{path} is no file; choose another folder, or empty this one.")
        self._recall()

    def __contains__(self, number: int) -> bool:
        return number in self._known

    def add(self, number: int, entries: Sequence[Entry]) -> None:
        """Remember batch ``number``, after its files were written."""
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
        row = f'{{"job":"{self._job.identity}","batch":{number},"entries":{text}}}\n'
        with self._path.open("ab+") as file:
            if file.tell() and _last_byte(file) != b"\n":  # an earlier run ended within a row
                row = "\n" + row
            file.write(row.encode())
            file.flush()
            os.fsync(file.fileno())
        self._known[number] = text

    def finish(self) -> Report:
        """The report, where every batch is done; it takes the place of what was remembered on the way."""
        self._recall()  # what other parts have done meanwhile
        found: list[Entry | None] = [None] * len(self._job.lines)
        states = {"done": 0, "skipped": 0}
        for text in self._known.values():
            for entry in json.loads(text):
                states[entry["status"]] += 1
                found[entry["place"] - 1] = entry
        missing = found.count(None)
        if missing:
            return Report(states["done"], states["skipped"], missing, None)
        told = {
            "schema_version": _SCHEMA,
            "job": self._job.identity,
            "script": self._job.name,
            **states,
            "notes": [{"line": note.number, "text": note.text} for note in self._job.notes],
        }
        rows = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in found)
        head = json.dumps(told, ensure_ascii=False, indent=1)[:-2]
        path = self._folder / REPORT
        data = f'{head},\n "lines": [\n{rows}\n ]\n}}\n'.encode()
        if not path.is_file() or path.read_bytes() != data:
            write_whole(path, data)
        for remembered in self._folder.glob(_PROGRESS):
            remembered.unlink(missing_ok=True)
        return Report(states["done"], states["skipped"], 0, path)

    def _recall(self) -> None:
        """Know what is remembered on disk, as far as its files are there."""
        for number, text in self._remembered():
            if all((self._folder / name).is_file() for entry in json.loads(text) for name in entry["files"]):
                self._known[number] = text

    def _remembered(self) -> Iterator[tuple[int, str]]:
        """Batches that this or another part has done, or the whole job."""
        for path in sorted(filter(Path.is_file, self._folder.glob(_PROGRESS))):
            # Gone: another part has finished just now, and its report, which is read last, has everything.
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                for row in file:
                    try:
                        fields = json.loads(row)
                        job, number, entries = fields["job"], fields["batch"], fields["entries"]
                    except (ValueError, KeyError, TypeError, RecursionError):
                        continue  # written when the disk was full, or the computer went off
                    self._check(job, path)
                    if self._is_whole(number, entries):
                        yield number, json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
        if (self._folder / REPORT).is_file():
            yield from self._reported()

    def _reported(self) -> Iterator[tuple[int, str]]:
        path = self._folder / REPORT
        try:
            report = json.loads(path.read_bytes())
            job, lines = report["job"], {entry["place"] - 1: entry for entry in report["lines"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise JobChanged(f"{path} is no report of a batch; choose another folder.") from None
        self._check(job, path)
        for number, places in enumerate(self._job.batches):
            entries = [lines.get(place) for place in places]
            if self._is_whole(number, entries):
                yield number, json.dumps(entries, ensure_ascii=False, separators=(",", ":"))

    def _is_whole(self, number: Any, entries: Any) -> bool:
        """Whether these are the entries of a batch, as `add` remembers them."""
        try:
            places = [entry["place"] - 1 for entry in entries]
            sound = all(entry["status"] in ("done", "skipped") for entry in entries) and not any(
                Path(name).name != name for entry in entries for name in entry["files"]
            )
            return sound and number >= 0 and places == list(self._job.batches[number])
        except (KeyError, TypeError, IndexError):
            return False

    def _check(self, job: str, path: Path) -> None:
        if job != self._job.identity:
            raise JobChanged(
                f"{path} is of another job: the script, its settings, the checkpoint or CTEG's version were others. "
                "Choose another folder, or empty this one."
            )


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    return bytes(file.read(1))
