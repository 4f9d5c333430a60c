# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a checkpoint performs a line that is said: 1 and 16 takes, real-time factor.

Run from the repository: ``.venv/bin/python -m benchmarks.decoding [--device auto] [--seconds 5] [--repeats 7]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import interleaved, machine
from generator.direction.requests import LineRequest
from generator.performing.load import load_performer

LINE = "You kept it? After all these years, you actually kept it!"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="auto", help="auto: NumPy; cpu, cuda, mps: torch")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    performer = load_performer(options.checkpoint, options.device)

    def perform(takes: int) -> Callable[[], object]:
        request = LineRequest(LINE, "joy", takes=takes, seconds=options.seconds).validated()

        def whole() -> object:
            (clips,) = performer.perform([request])
            return [clips.take(k) for k in range(takes)]

        return whole

    counts = {"1 take": 1, "16 takes": 16}
    best = interleaved({name: perform(takes) for name, takes in counts.items()}, options.repeats)
    frames = options.seconds * 24
    print(f"{machine()}, {options.seconds:g} s line, medians of {options.repeats} interleaved rounds\n")
    print("| | ms | frames per second | times real time |\n|---|---|---|---|")
    for name, takes in counts.items():
        seconds = best[name]
        rate, factor = takes * frames / seconds, takes * options.seconds / seconds
        print(f"| {name} | {seconds * 1e3:.0f} | {rate:.0f} | {factor:.0f} |")


if __name__ == "__main__":
    main()
