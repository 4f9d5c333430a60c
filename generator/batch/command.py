# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator batch``: perform a whole script."""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from pathlib import Path

from ..direction.arguments import add_performance_arguments, performance_settings
from ..errors import InputError
from ..shared.scripts import SUFFIXES
from ..shared.terminal import Shown, tell
from .job import FORMATS, Job
from .record import Report
from .running import Engine, Progress, perform

_HELP = f"""
Performs every line of SCRIPT ({", ".join(SUFFIXES)}) and writes OUT_DIR/00001_anna.npz, 00002_tom.npz, ... with
report.json, which says of each line whether it is done, or why not. The same as JSON goes to stdout, a line for each,
as soon as it is written; progress goes to stderr.

  python -m generator batch scene.fountain out                     one take of each line
  python -m generator batch film.srt out --fit-times --format csv  as long as each subtitle, for Live Link Face
  python -m generator batch lines.csv out --takes 3 --seed 7       seeds 7, 8 and 9 of each line
  python -m generator batch lines.csv out --workers 8              in eight processes
  python -m generator batch lines.csv out --part 2/8               the second of eight machines

Whatever ends it, the same command goes on where it stopped. Exit status: 0 everything is done; 3 done, but some lines
were skipped (report.json says why); 1 it could not go on; 2 wrong usage; 130 interrupted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.dedent(_HELP).strip()
    parser.add_argument("script", type=_path, metavar="SCRIPT", help=f"a file that ends in {', '.join(SUFFIXES)}")
    parser.add_argument("folder", type=_path, metavar="OUT_DIR", help="gets the files and the report")
    parser.add_argument("--format", choices=FORMATS, default="npz", help="csv is for Live Link Face; default npz")
    parser.add_argument("--fit-times", action="store_true", help="lines last as long as the script's times say")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="K/N", help="do the K-th of N parts of the job")
    parser.add_argument(
        "--engine", choices=("here", "ray"), default="here", help="ray: on a Ray cluster (docs/batch.md)"
    )
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes that perform, on a core each; default this one on two cores, of Ray as many as it has cores",
    )
    add_performance_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Perform and report; returns the exit status."""
    job = Job.from_file(
        options.script, performance_settings(options), form=options.format, checkpoint=options.checkpoint,
        device=options.device, precision=options.precision, fit_times=options.fit_times,
    )  # fmt: skip
    for note in job.notes:
        tell(sys.stderr, f"{options.script}:{note.number}: {note.text}\n")
    shown = Shown(sys.stderr)
    try:
        report = perform(job, options.folder, part=options.part, engine=_engine(options), on_batch=Told(shown))
    except KeyboardInterrupt:
        shown.end()
        print("What is done stays; run the same command again to go on.", file=sys.stderr)
        raise
    except OSError as error:
        shown.end()
        why = error.strerror or str(error)
        raise InputError(
            f"{error.filename or options.folder} cannot be used ({why}). What is done stays; make room or name "
            "another folder, and run the same command again."
        ) from None
    shown.end()
    tell(sys.stderr, f"{_last_words(report)}\n")
    return report.code


def _last_words(report: Report) -> str:
    skipped = f", {report.skipped:,} skipped" if report.skipped else ""
    if report.path is None:
        return f"{report.done:,} lines done{skipped}; {report.missing:,} are left to the other parts."
    return f"{report.done:,} lines done{skipped}: {report.path}"


def _engine(options: argparse.Namespace) -> Engine | None:
    if options.engine == "ray":
        from .cluster import OnRay

        return OnRay(options.workers)
    if (options.workers or 1) > 1:
        from .processes import OnProcesses

        return OnProcesses(options.workers)
    return None


class Told:
    """Tells of each batch: its entries on stdout, how far the job is on stderr."""

    def __init__(self, shown: Shown) -> None:
        self._shown, self._begin = shown, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """A batch is written."""
        for entry in progress.entries:
            self._shown.row(entry)
        done, spent = progress.done + progress.skipped, max(time.monotonic() - self._begin, 1e-6)
        total = progress.before + progress.lines
        left = round(spent / done * (progress.lines - done))
        words = (
            f"{progress.before + done:,} of {total:,} lines, {progress.seconds / spent:.0f} times real time, "
            f"{left // 60}:{left % 60:02d} left"
        )
        self._shown.show((progress.before + done) / total, words)


def _path(text: str) -> Path:
    if not text or "\0" in text:  # a shell hands on a variable that nobody set
        raise argparse.ArgumentTypeError("the name is empty" if not text else "a name has no NUL in it")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers, such as 4")
    return int(text)


def _part(text: str) -> tuple[int, int]:
    k, _, n = text.partition("/")
    if not (k.isdecimal() and n.isdecimal()) or not 1 <= int(k) <= int(n):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, such as 2/8")
    return int(k), int(n)
