# SPDX-License-Identifier: GPL-3.0-or-later
"""A job is performed: batch after batch, each written and remembered before the next one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

from ..direction.requests import LineRequest
from ..errors import GeneratorError, InputError
from ..performing.clips import Clips
from ..performing.load import load_performer
from ..performing.performer import Performer
from ..performing.performer import Progress as OnProgress
from ..writing import write_whole
from .job import Job
from .record import REPORT, Entry, Record, Report


@dataclass(frozen=True)
class Batch:
    """A batch that was performed: its entries, and the files of each line by their names."""

    number: int
    entries: tuple[Entry, ...]
    files: tuple[tuple[str, bytes], ...]


@dataclass
class Progress:
    """How far a job is.

    Attributes:
        lines: how many there are to do in this run.
        before: how many an earlier run has done.
        done, skipped: how many were done in this run.
        seconds: of animation, all takes.
    """

    lines: int
    before: int
    done: int = 0
    skipped: int = 0
    seconds: float = 0.0
    entries: tuple[Entry, ...] = field(default=(), repr=False)


#: Performs batches of a job, in any order; closed, it stops.
Engine = Callable[[Job, Iterable[int]], Generator[Batch, None, None]]
OnBatch = Callable[[Progress], None]


def perform(
    job: Job,
    folder: Path,
    *,
    part: tuple[int, int] = (1, 1),
    engine: Engine | None = None,
    on_batch: OnBatch | None = None,
) -> Report:
    """Perform what of a job is not done yet, and report on it.

    Args:
        job: the lines.
        folder: gets a file (or, as .csv, one for each take) for every line, and the report. A job that was begun there
            goes on.
        part: (k, n) for the k-th of n that share the job, with the same folder or with folders of their own.
        engine: who performs; by default this process.
        on_batch: called when a batch is written; may raise, to stop.

    Raises:
        InputError: the folder is another job's (`JobChanged`), or there is no such part.
        CheckpointError, EnvironmentProblem: from what is loaded. OSError: the folder cannot be written; what was
            written before stays.
    """
    k, n = part
    if not 1 <= k <= n:
        raise InputError(f"There is no part {k} of {n}; choose 1 to {max(n, 1)}.")
    record = Record(job, folder, part)
    own = [number for number in range(len(job.batches)) if number % n == k - 1]
    left = [number for number in own if number not in record]
    counts = [sum(len(job.batches[number]) for number in numbers) for numbers in (own, left)]
    progress = Progress(counts[1], counts[0] - counts[1])
    _sweep(job, folder, left)
    if left:
        with closing((engine or in_this_process)(job, left)) as batches:
            for batch in batches:
                for name, data in batch.files:
                    # A run that ended between its files and its memory of them has written this one.
                    if not (path := folder / name).is_file() or path.read_bytes() != data:
                        _write(path, data)
                record.add(batch.number, batch.entries)
                for entry in batch.entries:
                    progress.done += entry["status"] == "done"
                    progress.skipped += entry["status"] == "skipped"
                    progress.seconds += sum(entry["seconds"])
                progress.entries = batch.entries
                if on_batch is not None:
                    on_batch(progress)
    return record.finish()


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except FileNotFoundError:  # another run of the job began just now, and swept away what was being written
        write_whole(path, data)


def _sweep(job: Job, folder: Path, left: Iterable[int]) -> None:
    """Remove what a run that was killed had begun to write of these batches."""
    begun = list(folder.glob(".*"))
    if begun:
        names = {job.file(place).partition(".")[0] for number in left for place in job.batches[number]}
        for path in begun:
            # `write_whole` calls them .NAME.SUFFIX.RANDOM; a .csv of several takes is NAME_1.csv.
            name = path.name[1:].partition(".")[0]
            if name in names or name.rpartition("_")[0] in names or path.name.startswith(f".{REPORT}."):
                path.unlink(missing_ok=True)


class _Stopped(BaseException):
    """Nobody asks for what is being performed any more; no line is to blame."""


def in_this_process(job: Job, numbers: Iterable[int]) -> Generator[Batch, None, None]:
    """Batches in their order, performed here: one for each core, as far as the kind of performer gains by it."""
    first = load(job)
    left = deque(numbers)
    count = min(first.side_by_side, _cores(), len(left))
    idle: SimpleQueue[Performer] = SimpleQueue()
    for performer in [first, *(load(job) for _ in range(1, count))]:
        idle.put(performer)
    stopped = Event()

    def stop(*_: Any) -> None:
        if stopped.is_set():
            raise _Stopped

    def one(number: int) -> Batch:
        performer = idle.get()
        try:
            return perform_batch(job, number, performer, stop)
        finally:
            idle.put(performer)

    begun: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(max(count, 1)) as threads:
        try:
            while left or begun:
                # One waits, so that nobody does while this thread writes.
                while left and len(begun) <= count:
                    begun.append(threads.submit(one, left.popleft()))
                yield begun.popleft().result()
        finally:
            stopped.set()
            threads.shutdown(cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load(job: Job) -> Performer:
    """What performs a job's lines."""
    return load_performer(job.checkpoint, job.device, precision=job.precision)  # type: ignore[arg-type]


def perform_batch(job: Job, number: int, performer: Performer, progress: OnProgress | None = None) -> Batch:
    """One batch, as if nothing had been performed before it; lines that cannot be performed are skipped.

    ``progress`` is told as `Performer.perform` tells it; what it raises that is no `Exception` ends the batch.
    """
    performer.forget()
    outcomes: dict[int, LineRequest | Clips | str] = {}
    for place in job.batches[number]:
        try:
            outcomes[place] = job.request(place)
        except InputError as error:
            outcomes[place] = str(error)
    asked = {place: one for place, one in outcomes.items() if isinstance(one, LineRequest)}
    outcomes |= dict(zip(asked, _together(performer, list(asked.values()), progress), strict=True))
    entries, files = [], []
    for place, outcome in outcomes.items():
        written: list[tuple[Path, bytes]] = []
        if isinstance(outcome, Clips):
            try:
                written = outcome.files(Path(job.file(place)))
            except ValueError as error:
                raise InputError(str(error)) from None
        files += [(path.name, data) for path, data in written]
        entries.append(_entry(job, place, outcome, [path.name for path, _ in written]))
    return Batch(number, tuple(entries), tuple(files))


def _entry(job: Job, place: int, outcome: Any, files: list[str]) -> Entry:
    line = job.lines[place]
    entry = {
        "place": place + 1, "line": line.number, "speaker": line.speaker, "text": line.text, "start": line.start,
        "status": "done", "why": "", "warnings": [], "emotion": "", "seconds": [], "files": files,
    }  # fmt: skip
    if isinstance(outcome, str):
        return entry | {"status": "skipped", "why": outcome}
    return entry | {
        "warnings": list(outcome.warnings),
        "emotion": outcome.emotion,
        "seconds": [round(int(frames) / outcome.space.fps, 3) for frames in outcome.lengths],
    }


class _Fine(Exception):
    """Unwinds a performance of which nothing but its beginning was asked for."""


def _together(performer: Performer, requests: list[LineRequest], progress: OnProgress | None) -> list[Clips | str]:
    """Takes of each line, performed together; a sentence where that is not possible."""
    if not requests:
        return []
    try:
        return list(performer.perform(requests, progress))
    except Exception as error:
        why = _sentence(error)
        if len(requests) == 1:
            return [why]
    # Which of them cannot be performed? The others are, together.
    refused = {k: why for k, request in enumerate(requests) if (why := _refusal(performer, request))}
    if not refused:  # not one by itself: too much at once
        return [_together(performer, [request], progress)[0] for request in requests]
    rest = iter(_together(performer, [request for k, request in enumerate(requests) if k not in refused], progress))
    return [refused[k] if k in refused else next(rest) for k in range(len(requests))]


def _refusal(performer: Performer, request: LineRequest) -> str:
    """Why a line cannot be performed, "" where its performance begins."""

    def stop(_: float, stage: str) -> None:
        if stage == "performing":
            raise _Fine

    try:
        performer.perform([request], stop)
    except _Fine:
        pass
    except Exception as error:
        return _sentence(error)
    return ""


def _sentence(error: Exception) -> str:
    """What went wrong with a line; what would go wrong with every line is raised."""
    if isinstance(error, GeneratorError):
        if error.kind in ("checkpoint", "environment"):
            raise error
        return str(error)
    if isinstance(error, MemoryError):
        return "The computer ran out of memory; ask for fewer takes."
    return f"The generator failed ({type(error).__name__}: {error}); report it."
