# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the bundled checkpoint performs: in layers and in one, cached or not, 1 and 16 takes, real-time factor.

Run from the repository: ``.venv/bin/python -m benchmarks.decoding [--seconds 5] [--repeats 7] [--threads 1]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from generator.performing.asked import Asked, told
from generator.performing.sampling import TakeSeed, sample_uncached

from benchmarks.measure import interleaved, machine
from generator.performing.cteg import CtegPerformer
from generator.performing.load import load_performer
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

    def perform(takes: int, layered: bool = True) -> Callable[[], object]:
        request = LineRequest(LINE, "joy", takes=takes, seconds=options.seconds, layered=layered).validated()

        def whole() -> object:
            (clips,) = performer.perform([request])
            return [clips.take(k) for k in range(takes)]

        return whole

    best = interleaved(
        {
            "one": perform(1),
            "one layer": perform(1, layered=False),
            "sixteen": perform(16),
            "sixteen in one layer": perform(16, layered=False),
            "uncached": uncached(performer, options.seconds),
        },
        options.repeats,
    )
    frames = options.seconds * 24
    print(f"{machine()}, {options.seconds:g} s line, medians of {options.repeats} interleaved rounds\n")
    print("| | ms | frames per second | times real time |\n|---|---|---|---|")
    for name, takes, label in (
        ("one", 1, "1 take that is said"),
        ("one layer", 1, "1 take in one layer, as 0.1.0"),
        ("sixteen", 16, "16 takes that are said"),
        ("sixteen in one layer", 16, "16 takes in one layer"),
        ("uncached", 1, "1 take in one layer, uncached"),
    ):
        seconds = best[name]
        rate, factor = takes * frames / seconds, takes * options.seconds / seconds
        print(f"| {label} | {seconds * 1e3:.0f} | {rate:.0f} | {factor:.0f} |")
    cached = best["uncached"] / best["one layer"]
    print(f"\nCached decoding is {cached:.1f} times as fast as decoding everything again.")
    one, sixteen = best["one"] / best["one layer"], best["sixteen"] / best["sixteen in one layer"]
    print(f"A line that is said takes {one:.2f} times as long as one layer, 16 takes of it {sixteen:.2f} times.")


def uncached(performer: CtegPerformer, seconds: float) -> Callable[[], object]:
    """One take with the same weights, decoding everything again at each step."""
    model = performer.checkpoint.generator.decoder
    features, frames = performer.encoder.encode([LINE]), torch.tensor([round(seconds * 24)])
    condition = told(model.config, features, [Asked(model.config.weights_of("joy"), 1.0)], frames, emphatic=True)
    return lambda: sample_uncached(model, condition, TakeSeed(0, LINE), 1.0)


if __name__ == "__main__":
    main()
