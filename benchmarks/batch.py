# SPDX-License-Identifier: GPL-3.0-or-later
"""What a batch job costs: lines together and one by one in the same run, memory on the way, bytes (docs/batch.md).

Run from the repository: ``.venv/bin/python -m benchmarks.batch [--lines N] [--format npz] [--cores 2]``. It performs N
of the lines that are written in `generator.corpus`, into a folder that is deleted, in parts; after each part some lines
are performed by themselves, with their files, so that a busy moment falls on both alike. Seconds are those of the
clock, so nothing else should be at work; what is loaded at the start counts for neither. More threads for the sums of a
line by itself do not make it faster (OMP_NUM_THREADS=2 before the command shows it).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported, as the command does

from generator.batch import FORMATS, Job, perform, running
from generator.batch.record import REPORT
from generator.batch.running import Progress, load
from generator.corpus import texts
from generator.writing import write_whole

#: Lines after which the most memory so far is told.
MARKS = (100, 1_000, 2_000, 5_000, 10_000, 100_000)


def lines_of_ours() -> list[str]:
    """Every written line of the repository's corpus once, in an order by chance that is always the same."""
    folder = Path(texts.__file__).parent
    files = sorted([folder / "lines.tsv", folder / "everyday.tsv", *folder.glob("situations/**/*.tsv")])
    rows = (row for path in files for row in path.read_text("utf-8").splitlines() if row and not row.startswith("#"))
    found = sorted({row.rpartition("\t")[2] for row in rows})
    random.Random(0).shuffle(found)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--format", choices=FORMATS, default="npz")
    parser.add_argument("--takes", type=int, default=1)
    parser.add_argument("--longest", type=int, default=1000, metavar="N", help="characters of a line at most")
    parser.add_argument("--alone", type=int, default=24, metavar="N", help="lines by themselves beside each part")
    parser.add_argument("--parts", type=int, default=3, metavar="N", help="parts in which the job is done")
    parser.add_argument("--cores", type=int, metavar="N", help="cores that are used; default all that a job uses")
    options = parser.parse_args()
    if options.cores is not None:
        running._cores = lambda: options.cores
    ours = [line for line in lines_of_ours() if len(line) <= options.longest]
    said = [ours[k % len(ours)] for k in range(options.lines)]
    job = Job.from_lines(said, {"seed": 7, "takes": options.takes}, form=options.format)
    single = load(job)
    loaded = itertools.cycle([single, load(job)])
    running.load = lambda job: next(loaded)
    spent, seconds, done, apart, alone_seconds, alone = 0.0, 0.0, 0, 0.0, 0.0, 0
    memory: dict[int, float] = {}

    def on_batch(progress: Progress) -> None:
        for mark in MARKS:
            if done + progress.done >= mark and mark not in memory:
                memory[mark] = peak()
                print(f"line {mark:,}: at most {memory[mark]:.0f} MB", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder, other = Path(name) / "together", Path(name) / "alone"
        other.mkdir()
        chosen = random.Random(0)
        for part in range(1, options.parts + 1):
            begun = time.perf_counter()
            report = perform(job, folder, part=(part, options.parts), on_batch=on_batch)
            spent += time.perf_counter() - begun
            done = report.done
            begun = time.perf_counter()
            for place in chosen.sample(range(len(said)), options.alone):
                single.forget()
                (clips,) = single.perform([job.request(place)])
                for path, data in clips.files(other / job.file(place)):
                    write_whole(path, data)
                alone, alone_seconds = alone + 1, alone_seconds + float(sum(clips.lengths)) / clips.space.fps
            apart += time.perf_counter() - begun
        rows = json.loads((folder / REPORT).read_text("utf-8"))["lines"]
        seconds = sum(sum(row["seconds"]) for row in rows)
        size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix == f".{options.format}")
    count, rate = len(said), seconds / spent
    print(f"{report.done:,} lines of {seconds / count:.2f} s on average, {size / count / 1e3:.1f} kB each")
    print(f"together: {1e3 * spent / count:.1f} ms a line, {rate:.0f} times real time")
    if alone:
        print(
            f"one by one: {1e3 * apart / alone:.1f} ms a line ({alone}), {alone_seconds / apart:.0f} times real time\n"
            f"together, a second of animation takes {rate * apart / alone_seconds:.2f} times less"
        )
    print(f"at most {peak():.0f} MB")


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
