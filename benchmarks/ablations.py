# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the default model earns its place: each is switched off, trained and judged beside the whole.

    python -m benchmarks.ablations --data data/corpus --out runs/ablations --steps 1000 --batch-size 32 --seeds 3

Every variant and seed is a run as ``python -m generator train`` makes it, so an interrupted one goes on where it was.
Then ``python -m generator evaluate`` judges all variants of a seed on the same held-out lines, and `benchmarks.quality`
says whether they can move on to a second emotion. Seeds are the outer loop: stopped early, the table holds whole seeds.
Two processes can share the work with ``--only``; a last one without it finds everything trained and performed.
Results: ``ablations.json`` and ``ablations.md`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch

from benchmarks.quality import Stage, fit_probe
from generator.training.data_source import DataSource
from generator.training.loop import Options, Trainer
from generator.training.models import Choice, make_recipe

#: Variant -> settings that differ from the default's.
VARIANTS: Final = MappingProxyType(
    {
        "whole": (),
        "one Gaussian (K = 1)": ("prior_components=1",),
        "no direction": ("direction_conditioning=false",),
        "no length": ("length_conditioning=false",),
        "no text progress": ("text_progress=false",),
        "no input noise": ("white_noise=0", "drift_noise=0", "noise_conditioning=false"),
        "noise not told": ("noise_conditioning=false",),
        "not told when": ("timeline_conditioning=false",),
        "recognition of next state": ("recognition=next_state",),
        "no EwA": ("ewa=off",),
        "no LTA": ("lta=false",),
        "no latent guidance": ("guidance_weight=0",),
        "no feed-forward before LTA": ("state_ffn=false",),
        "4 frames per step": ("frames_per_step=4",),
        "8 frames per step": ("frames_per_step=8",),
    }
)
#: Metrics of the evaluation's report, and of `Stage.moves`, that are shown, in this order.
SHOWN: Final = (
    "frechet", "mmodality_all", "peak", "velocity_ratio", "jerk_ratio", "blinks_per_minute", "emotion_followed",
    "moves_second",
)  # fmt: skip


def main() -> None:
    """Train and judge all variants for all seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=100, help="held-out lines that are judged")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="these variants alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    probe = fit_probe(options.data)
    variants = {name: VARIANTS[name] for name in options.only or VARIANTS}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    truth: list[dict[str, float]] = []
    for seed in range(options.seeds):
        folders = [_train(options, name, settings, seed) for name, settings in variants.items()]
        report = _judge(options, folders, seed)
        moves = [Stage(folder, options.data, "test", probe).moves(seed) for folder in folders]
        truth.append({**report[0]["metrics"], "moves_second": moves[0]["moves_second_teacher"]})
        for name, row, moved in zip(variants, report[1:], moves, strict=True):
            rows[name].append({**row["metrics"], **moved})
        result = {"steps": options.steps, "batch_size": options.batch_size, "ground truth": truth, "variants": rows}
        (options.out / "ablations.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        (options.out / "ablations.md").write_text(table(truth, rows), encoding="utf-8")
        print(table(truth, rows), flush=True)


def _train(options: argparse.Namespace, name: str, settings: tuple[str, ...], seed: int) -> Path:
    """The run's checkpoint. Its heads on the text are not fitted by themselves: no variant changes them."""
    folder: Path = options.out / f"seed{seed}" / "".join(c if c.isalnum() else "_" for c in name)
    if not (folder / "finished").is_file():
        training = {"batch_size": options.batch_size, "seed": seed}
        source = DataSource.parse(options.data)
        choice = Choice(source, folder, "default", steps=options.steps, training=training, overrides=settings)
        how = Options(evaluate_every=options.steps, save_every=100)
        Trainer(folder, make_recipe(choice, torch.device("cpu")), how).train()
        (folder / "finished").touch()
    return folder / "best"


def _judge(options: argparse.Namespace, folders: list[Path], seed: int) -> list[dict[str, Any]]:
    out = options.out / f"seed{seed}" / "report"
    command = [sys.executable, "-m", "generator", "evaluate", *map(str, folders), "--data", options.data]
    command += ["--out", str(out), "--lines", str(options.lines), "--no-baselines", "--seed", str(seed)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    systems: list[dict[str, Any]] = json.loads((out / "report.json").read_text("utf-8"))["systems"]
    return systems


def table(truth: list[dict[str, float]], rows: dict[str, list[dict[str, float]]]) -> str:
    """Mean and standard deviation over seeds of the metrics in `SHOWN`, as Markdown."""
    lines = [f"| {len(truth)} seeds | {' | '.join(SHOWN)} |", f"|---{'|---' * len(SHOWN)}|"]
    for name, seeds in {"ground truth": truth, **rows}.items():
        lines.append(f"| {name} | {' | '.join(_cell([seed.get(metric) for seed in seeds]) for metric in SHOWN)} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{np.mean(known):.3g}"
    return mean if len(known) < 2 else f"{mean} ± {np.std(known, ddof=1):.2g}"


if __name__ == "__main__":
    main()
