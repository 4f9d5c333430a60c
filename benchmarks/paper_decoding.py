# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's CTEG at its published size: our decoder against decoding everything again for every frame.

Run from the repository: ``.venv/bin/python -m benchmarks.paper_decoding [--rounds 5] [--threads 1] [--frames 256]``.

Weights are random: speed does not depend on them. The yardstick is the released procedure, `decode_serial` under
`PaperConfig.reference()` (text padded to 128 tokens); "no padding" is the same over the real tokens alone. Decoding a
whole clip that way takes minutes, so its frames are timed at 16 evenly spaced lengths and added up.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import interleaved, machine, timed
from generator.lab.serial import unfinished
from generator.paper.config import PaperConfig
from generator.paper.decoding import Stepper, decode, draw_noise
from generator.paper.model import PaperCTEG
from generator.paper.projections import PRECISIONS

ROOT = Path(__file__).resolve().parent.parent
#: Room for 256 frames after the start marker; the released setting (256 positions) stops one frame earlier.
POSITIONS = 260
TOKENS = 16
LENGTHS = (64, 128, 256)
SAMPLES = 16


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, nargs="+", default=LENGTHS, help="lengths of clips")
    parser.add_argument("--memory-of", metavar="DECODER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(peak_memory(options.memory_of))
        return
    print(f"{machine()}, {TOKENS} text tokens, medians of {options.rounds} interleaved rounds")
    bench = Bench()
    for batch in (1, 8):
        speed(bench, batch, options.rounds, options.frames)
    for batch in (1, 8):
        flatness(bench, batch, options.rounds)
    floor(bench, options.rounds)
    reading(options.rounds)
    memory(options.threads)


class Bench:
    """The model, its text and its noise."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.reference = PaperCTEG(PaperConfig.reference(max_positions=POSITIONS)).eval()
        self.config = self.reference.config
        self.steppers = {str(precision): Stepper(self.reference, precision) for precision in PRECISIONS}
        self.mean = 0.3 * torch.randn(self.config.channels)
        self.line = torch.randn(1, TOKENS, self.config.d_model)

    def text(self, batch: int, padded: int = TOKENS) -> tuple[Tensor, Tensor]:
        """One line for every row, as for several takes of it."""
        memory = torch.zeros(batch, padded, self.config.d_model)
        memory[:, :TOKENS] = self.line
        return memory, (torch.arange(padded) < TOKENS).expand(batch, -1)

    def lines(self, batch: int) -> tuple[Tensor, Tensor]:
        """A line of its own for every row."""
        rng = torch.Generator().manual_seed(1)
        memory = torch.randn(batch, TOKENS, self.config.d_model, generator=rng)
        return memory, torch.ones(batch, TOKENS, dtype=torch.bool)

    def noise(self, batch: int, frames: int) -> Tensor:
        """Draws, (batch, frames, 1, 2, D)."""
        return draw_noise(self.config, [np.random.default_rng(row) for row in range(batch)], frames)

    def ours(self, text: tuple[Tensor, Tensor], noise: Tensor, way: str) -> Tensor:
        """Frames by our decoder."""
        return decode(self.steppers[way], *text, self.mean, noise).frames

    def one_frame_again(self, text: tuple[Tensor, Tensor], length: int) -> Callable[[], object]:
        """What decoding everything again does for the frame at ``length``: two frames are one such call."""
        batch = len(text[0])
        clip = torch.randn(batch, length, self.config.channels)

        def run() -> None:
            with torch.inference_mode():
                self.reference(unfinished(clip), *text, "prior")

        return run


def speed(bench: Bench, batch: int, rounds: int, lengths: Sequence[int]) -> None:
    """Table (a): a whole clip, ours against decoding everything again."""
    padded, plain = bench.text(batch, 128), bench.text(batch)
    print(f"\n**{batch} row(s)**\n")
    print(
        "| frames | decoder | ms per frame | times as fast as released | as released without padding | rms difference |"
    )
    print("|---|---|---|---|---|---|")
    for frames in lengths:
        noise = bench.noise(batch, frames)
        exact = bench.ours(plain, noise, "fp32")
        again: dict[str, Callable[[], object]] = {}
        steps = np.linspace(2, frames, SAMPLES).round().astype(int)
        for name, text in (("released", padded), ("no padding", plain)):
            for length in steps:
                again[f"{name} {length}"] = bench.one_frame_again(text, int(length))
        runs: dict[str, Callable[[], object]] = {}
        texts = {"one line": plain} if batch == 1 else {"one line": plain, "a line each": bench.lines(batch)}
        for way in PRECISIONS:
            for kind, text in texts.items():
                runs[f"{way}, {kind}"] = partial(bench.ours, text, noise, way)
        result = interleaved({**runs, **again}, rounds)
        # Mean over evenly spaced lengths: the cost grows with the length, and so does the number of frames.
        released, unpadded = (
            float(np.mean([result[f"{name} {length}"] for length in steps])) for name in ("released", "no padding")
        )
        print(f"| {frames} | everything again, released | {released * 1e3:.1f} | 1 | | |")
        print(f"| {frames} | everything again, no padding | {unpadded * 1e3:.1f} | {released / unpadded:.1f} | 1 | |")
        for name in runs:
            per_frame = result[name] / frames
            error = ""
            if name.startswith("int8") and name.endswith("one line"):
                difference = bench.ours(plain, noise, name.removesuffix(", one line")) - exact
                error = f"{float(difference.square().mean().sqrt() / exact.square().mean().sqrt()):.2%}"
            print(
                f"| {frames} | ours, {name} | {per_frame * 1e3:.2f} | {released / per_frame:.1f} | "
                f"{unpadded / per_frame:.1f} | {error} |"
            )


def flatness(bench: Bench, batch: int, rounds: int) -> None:
    """How much more a late frame costs than an early one."""
    print(f"\n| decoder, {batch} row(s) | ms at frames 28–36 | ms at frames 252–260 | ratio |\n|---|---|---|---|")
    text = bench.text(batch)
    noise = bench.noise(batch, POSITIONS).permute(1, 2, 3, 0, 4).flatten(1, 2)  # (positions, 2 L, B, D)
    for way in PRECISIONS:
        stepper = bench.steppers[way]

        def clip(stepper: Stepper = stepper) -> list[float]:
            state = stepper.start(*text, POSITIONS)
            frame = bench.mean.expand(batch, -1)
            times: list[float] = []
            for position in range(POSITIONS):
                before = frame if position else None
                times.append(timed(partial(stepper.step, state, before, noise[position])))
            return times

        table = np.array([clip() for _ in range(rounds + 1)])[1:]
        early, late = (float(np.median(table[:, at : at + 8])) for at in (28, 252))
        print(f"| {way} | {early * 1e3:.2f} | {late * 1e3:.2f} | {late / early:.2f} |")


def floor(bench: Bench, rounds: int) -> None:
    """Table (e): the time to read the weights once, and how far a step is from it."""
    config, model = bench.config, bench.reference
    layer = model.decoder_layers[0]
    text = [m.weight.numel() for a in (layer.text_attention, layer.text_attention_second) for m in (a.key, a.value)]
    unused = sum(p.numel() for m in (layer.recognition, layer.guidance) if m is not None for p in m.parameters())
    weights = sum(p.numel() for p in layer.parameters()) - unused - sum(text)
    weights += sum(m.weight.numel() for m in (model.frame_embedding, model.frames))
    folded = weights - 4 * config.d_model**2 + 4 * TOKENS * config.n_head * config.d_model
    buffer = torch.randn(weights)
    text_one, noise = bench.text(1), bench.noise(1, 256)
    runs: dict[str, Callable[[], object]] = {"read": buffer.sum}
    for way in PRECISIONS:
        runs[way] = partial(bench.ours, text_one, noise, way)
    result = interleaved(runs, rounds)
    bandwidth = 4 * weights / result["read"]
    step = result["fp32"] / 256
    print(
        f"\nA step needs {weights / 1e6:.1f} M weights, {4 * weights / 1e6:.0f} MB in fp32. Read at the measured "
        f"{bandwidth / 1e9:.1f} GB/s that takes {result['read'] * 1e3:.2f} ms: the floor of an fp32 step.\n"
        f"Ours takes {step * 1e3:.2f} ms, {step / result['read']:.2f} times the floor; with the text folded into its "
        f"keys and values it reads {folded / 1e6:.1f} M numbers, {step / (4 * folded / bandwidth):.2f} times their own "
        f"floor.\nWith 8-bit weights it takes {result['int8'] / 256 * 1e3:.2f} ms."
    )


def reading(rounds: int) -> None:
    """How fast memory is read again and again: slower once it no longer fits what the host gives of its last cache."""
    print("\n| MB | GB/s |\n|---|---|")
    for size in (20, 40, 50, 60, 80, 120):
        buffer = torch.randn(size * 250_000)
        seconds = interleaved({"read": buffer.sum}, max(10 * rounds, 1000 // size))["read"]
        print(f"| {size} | {size / 1e3 / seconds:.1f} |")


def memory(threads: int) -> None:
    """Table (d): peak memory of a process that decodes 256 frames, 8 rows."""
    print("\n| 256 frames, 8 rows | peak memory above the loaded model, MB |\n|---|---|")
    for decoder in (*PRECISIONS, "everything again"):
        command = [sys.executable, "-m", "benchmarks.paper_decoding", "--threads", str(threads), "--memory-of", decoder]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        print(f"| {decoder} | {float(out):.0f} |")


def peak_memory(decoder: str) -> float:
    """Growth of this process's peak memory in MB while decoding."""
    bench = Bench()
    noise = bench.noise(8, 256)
    before = high_water()
    if decoder == "everything again":
        bench.one_frame_again(bench.text(8, 128), 256)()
    else:
        bench.ours(bench.text(8), noise, "int8" if decoder == "int8" else "fp32")
    return high_water() - before


def high_water() -> float:
    """Peak resident memory of this process in MB."""
    if (status := Path("/proc/self/status")).is_file():  # what getrusage says starts with the parent's peak here
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


if __name__ == "__main__":
    main()
