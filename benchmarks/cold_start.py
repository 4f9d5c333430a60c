# SPDX-License-Identifier: GPL-3.0-or-later
"""What an animator waits for: from starting the worker to the first take, and for the next one.

Run from the repository: ``.venv/bin/python -m benchmarks.cold_start [--repeats 3]``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cold, warm = [], []
    for _ in range(options.repeats):
        started = time.perf_counter()
        worker = subprocess.Popen(
            [sys.executable, "-m", "generator", "serve"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        first_take(worker, 1, "You kept it?")
        cold.append(time.perf_counter() - started)
        started = time.perf_counter()
        first_take(worker, 2, "After all these years, you actually kept it!")
        warm.append(time.perf_counter() - started)
        worker.communicate()
    print("| | seconds |\n|---|---|")
    print(f"| start of the worker to first take | {median(cold):.2f} |")
    print(f"| next line to its take | {median(warm):.2f} |")


def first_take(worker: subprocess.Popen[str], number: int, text: str) -> None:
    """Ask for one 5-second take and wait for it."""
    assert worker.stdin is not None and worker.stdout is not None
    line: dict[str, Any] = {"text": text, "emotion": "joy", "seconds": 5.0}
    worker.stdin.write(json.dumps({"id": number, "op": "generate", "lines": [line]}) + "\n")
    worker.stdin.flush()
    while json.loads(worker.stdout.readline())["event"] != "done":
        pass


if __name__ == "__main__":
    main()
