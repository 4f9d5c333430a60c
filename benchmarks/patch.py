# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of curves costs: one line of 55 channels, in an action with few lines and with 200.

Run from the repository, with any supported bpy: ``.venv/bin/python -m benchmarks.patch [--rounds 9]``. Milliseconds are
those of `quiet`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Mapping
from statistics import median

import bpy
import numpy as np

from blender_cteg.performance.curves import ActionPatch, Address, Span, slot_curves
from blender_cteg.performance.reduction import Keys

CHANNELS, LENGTH, APART = 55, 120, 150


class Scene:
    """An action with lines, and perhaps an animator's keys between them."""

    def __init__(self, lines: int, animated: bool) -> None:
        self.action = bpy.data.actions.new("Benchmark")
        self.slot = self.action.slots.new(id_type="KEY", name="Face")
        curves = slot_curves(self.action, self.slot)
        self.addresses: list[Address] = [(self.slot.handle, f'key_blocks["{k}"].value', 0) for k in range(CHANNELS)]
        for _, path, _ in self.addresses if animated else ():
            curve = curves.new(path, index=0)
            for frame in range(-20, lines * APART + 40, APART):
                curve.keyframe_points.insert(frame, 0.25 + frame % 7 / 10)
            curve.update()
        self.patch().replace([], [self.span(k, k) for k in range(lines)])

    def patch(self) -> ActionPatch:
        """Its spans, as they are now."""
        return ActionPatch(self.action)

    def span(self, line: int, seed: int, keys: int = 24, length: int = LENGTH) -> Span:
        """A take of a line."""
        start, rng = line * APART, np.random.default_rng(seed)
        curves = {}
        for address in self.addresses:
            inner = rng.choice(np.arange(start + 1, start + length), keys - 2, replace=False)
            frames = np.sort(np.append(inner, [start, start + length]))
            values, slopes = rng.random(keys), rng.normal(0, 0.05, keys)
            curves[address] = Keys(frames, values, np.stack([slopes, slopes], 1))
        return Span(f"line {line}", start, start + length, curves, {}, dict.fromkeys(self.addresses, 0.25))


def quiet(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """What runs take in milliseconds of a quiet machine, by name; they take turns.

    Machines are shared, and what else runs makes everything slower. So it is processor time, against a fixed piece of
    work that is done just before and after: reading one field of 20 keys counts as one microsecond. Medians of rounds.
    """
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            before, took, after = _unit(), timed(run), _unit()
            found[name].append(2 * took / (before + after))
    return {name: median(some) for name, some in found.items()}


def _unit() -> float:
    """Microseconds of reading one field of 20 keys; of a curve of its own, whatever the runs do to the file."""
    action = bpy.data.actions.new("Unit")
    points = slot_curves(action, action.slots.new(id_type="OBJECT", name="Unit")).new("location").keyframe_points
    points.add(20)
    flat = np.empty(40, np.float32)
    took = timed(lambda: [points.foreach_get("co", flat) for _ in range(1000)])
    bpy.data.actions.remove(action)
    return took


def timed(run: Callable[[], object]) -> float:
    """Milliseconds of processor time of one call."""
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e3


def cases(scene: Scene, line: int) -> dict[str, Callable[[], object]]:
    """What is done to one of a scene's lines, in this order."""
    name, ends, patch = f"line {line}", (line * APART, line * APART + LENGTH), scene.patch
    takes = {keys: [scene.span(line, 1000 * keys + k, keys) for k in range(4)] for keys in (24, 21)}
    shorter, count = scene.span(line, 5, length=LENGTH - 1), itertools.count()

    def bases() -> None:
        one = patch()
        for address in scene.addresses:
            one.base(address, *ends, [name])

    def found() -> None:
        one = patch()
        for span in one.spans:
            one.found(span)

    return {
        "a take for another, as many keys": lambda: patch().replace([], [takes[24][next(count) % 4]]),
        "a take for another, 21 or 24 keys": lambda: patch().replace([], [takes[(21, 24)[next(count) % 2]][0]]),
        "a take for a shorter one": lambda: patch().replace([], [shorter]),
        "back": lambda: patch().replace([], [takes[24][0]]),
        "out": lambda: patch().replace([name], []),
        "in": lambda: patch().replace([], [takes[24][1]]),
        "bases": bases,
        "edits": lambda: patch().edits(name),
        "all found": found,
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"bpy {bpy.app.version_string}\n\n| lines | animator's keys | what | ms |\n|---|---|---|---|")
    for lines, animated in ((1, False), (1, True), (3, True), (200, False), (200, True)):
        for what, took in quiet(cases(Scene(lines, animated), lines // 2), rounds).items():
            print(f"| {lines} | {'yes' if animated else 'no'} | {what} | {took:.1f} |")


if __name__ == "__main__":
    main()
