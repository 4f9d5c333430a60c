# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the engines take, on one thread, beside each other: reading a line, and decoding against issue 17's targets.

Run from the repository: ``OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.engine [--checkpoint FOLDER]``. Without a
checkpoint the decoder has random weights of the bundled shape, which cost as much as trained ones.

Two times: on the wall, and of the processor alone, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.measure import machine
from generator.direction.emotions import EMOTIONS
from generator.engine import Engine
from generator.engine.builtin import NumpyEngine
from generator.engine.conditioning import Asked, condition_of
from generator.engine.config import ModelConfig
from generator.model.checkpoint import Checkpoint, save_checkpoint
from generator.model.cteg import CTEG
from generator.model.heads import EmotionHead, EmotionReader
from generator.model.text import TextEncoder
from generator.model.torch_engine import TorchEngine
from generator.shared.spaces import SPACES

LINE = "You kept it? After all these years, you actually kept it!"
#: (takes, seconds of each, rounds in how many of the repeats): milliseconds they may take.
TARGETS = {(1, 5, 1.0): 75, (16, 5, 0.7): 400, (16, 60, 0.2): 6000}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # NumPy's BLAS reads it when it is imported
        parser.error("set OMP_NUM_THREADS=1, so that both engines have one thread")
    torch.set_num_threads(1)
    with checkpoint_folder(options.checkpoint) as folder:
        started = time.process_time()
        builtin = NumpyEngine.load(folder)
        print(f"{machine()}, numpy {np.__version__}; the built-in engine is loaded in "
              f"{1e3 * (time.process_time() - started):.0f} ms\n")  # fmt: skip
        engines = {"NumPy": builtin, "torch": TorchEngine.load(folder)}
    print("| | target ms | NumPy: wall, processor | torch: wall, processor | torch / NumPy |\n|---|---|---|---|---|")
    row("a line is read", "", {name: reading(engine) for name, engine in engines.items()}, options.repeats)
    for (takes, seconds, share), target in TARGETS.items():
        runs = {name: decoding(engine, takes, seconds) for name, engine in engines.items()}
        row(f"takes of {seconds} s: {takes}", str(target), runs, max(1, round(share * options.repeats)))


def row(label: str, target: str, runs: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Print medians of interleaved rounds; a first one warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            wall, own = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - own))
    medians = {name: [1e3 * median(column) for column in zip(*all_[1:], strict=True)] for name, all_ in times.items()}
    cells = [f"{wall:.0f}, {own:.0f}" for wall, own in medians.values()]
    print(f"| {label} | {target} | {' | '.join(cells)} | {medians['torch'][1] / medians['NumPy'][1]:.2f} |", flush=True)


def reading(engine: Engine) -> Callable[[], object]:
    """Reads a line that the engine has not read before."""
    count = iter(range(1_000_000))
    return lambda: engine.encode([f"{LINE} {next(count)}"])


def decoding(engine: Engine, takes: int, seconds: int) -> Callable[[], object]:
    """Decodes ``takes`` takes of `LINE` together."""
    config, rng = engine.config, np.random.default_rng(0)
    text = engine.encode([LINE]).take(0, takes)
    asked = Asked(round(seconds * SPACES[config.space].fps), np.eye(len(EMOTIONS), dtype=np.float32)[1])
    condition = condition_of(config, (text.hidden, text.mask, text.position), [asked] * takes)
    shape = (takes, condition.steps.shape[1], config.n_layers)
    noise = rng.standard_normal((*shape, config.d_latent)).astype(np.float32)
    gumbel = rng.gumbel(size=(*shape, config.choices)).astype(np.float32)
    return lambda: engine.decode(condition, noise, gumbel)


@contextmanager
def checkpoint_folder(given: Path | None) -> Iterator[Path]:
    """The checkpoint that was given, or one of random weights."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config, head = ModelConfig(), EmotionHead(layers=(3, 4, 5))
        emotion = EmotionReader(config.text_width, len(EMOTIONS), head)
        emotion.start_from(TextEncoder.load())
        save_checkpoint(Checkpoint(CTEG(config), emotion), Path(folder))
        yield Path(folder)


if __name__ == "__main__":
    main()
