# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the bundled checkpoint performs: cached against uncached decoding, 1 and 16 takes, real-time factor.

Run from the repository: ``.venv/bin/python -m benchmarks.decoding [--seconds 5] [--repeats 7] [--threads 1]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from benchmarks.measure import interleaved, machine
from generator.performing.asked import Asked, told
from generator.performing.cteg import CtegPerformer
from generator.performing.load import load_performer
from generator.performing.sampling import TakeSeed, sample_uncached
from generator.requests import LineRequest

LINE = "You kept it? After all these years, you actually kept it!"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    performer = load_performer(device="cpu")
    assert isinstance(performer, CtegPerformer)

    def perform(takes: int) -> Callable[[], object]:
        request = LineRequest(LINE, "joy", takes=takes, seconds=options.seconds).validated()
        return lambda: performer.perform([request])

    one, sixteen, again = perform(1), perform(16), uncached(performer, options.seconds)
    best = interleaved({"one": one, "sixteen": sixteen, "uncached": again}, options.repeats)
    frames = options.seconds * 24
    print(f"{machine()}, {options.seconds:g} s line, medians of {options.repeats} interleaved rounds\n")
    print("| | ms | frames per second | times real time |\n|---|---|---|---|")
    for name, takes, label in (("one", 1, "1 take"), ("sixteen", 16, "16 takes"), ("uncached", 1, "1 take, uncached")):
        seconds = best[name]
        rate, factor = takes * frames / seconds, takes * options.seconds / seconds
        print(f"| {label} | {seconds * 1e3:.0f} | {rate:.0f} | {factor:.0f} |")
    print(f"\nCached decoding is {best['uncached'] / best['one']:.1f} times as fast as decoding everything again.")


def uncached(performer: CtegPerformer, seconds: float) -> Callable[[], object]:
    """One take with the same weights, decoding everything again at each step."""
    model = performer.checkpoint.generator.decoder
    features, frames = performer.encoder.encode([LINE]), torch.tensor([round(seconds * 24)])
    condition = told(model.config, features, [Asked(model.config.weights_of("joy"), 1.0)], frames, emphatic=True)
    return lambda: sample_uncached(model, condition, TakeSeed(0, LINE), 1.0)


if __name__ == "__main__":
    main()
