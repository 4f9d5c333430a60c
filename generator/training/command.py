# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator train``: options of a run. Nothing heavy is imported until it runs.

The same command runs in many processes: ``torchrun --nproc-per-node N -m -- generator train ...`` (without ``--``
torchrun takes ``--run`` for an option of its own).
"""

from __future__ import annotations

import argparse
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

from ..errors import InputError
from .data_source import DataSource

#: How long processes wait for the first one, which reads all lines of the data.
_PATIENCE: Final = timedelta(hours=4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = "In N processes: torchrun --nproc-per-node N -m -- generator train ... (mind the two dashes)."
    parser.add_argument(
        "--data", required=True, metavar="DIR",
        help="a folder made by 'corpus'; emoava:DIR with EmoAva's files; captures:DIR with Live Link Face recordings",
    )  # fmt: skip
    parser.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR", help="where the run lives")
    parser.add_argument(
        "--model", "--config", choices=("default", "paper", "lstm", "vq"),
        help="default for a corpus and captures, paper for EmoAva; lstm and vq are baselines",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="start", metavar="DIR",
        help="train this checkpoint further instead of fresh weights; the word default is the bundled one",
    )  # fmt: skip
    parser.add_argument(
        "--text-encoder", metavar="NAME",
        help="a folder or a Hugging Face name; all-MiniLM-L6-v2, for EmoAva bert-base-cased, with --from its own",
    )  # fmt: skip
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="optimiser steps in all")
    length.add_argument("--epochs", type=float, help="passes over the data in all (paper: 100)")
    parser.add_argument("--batch-size", type=int, help="clips per step, of all processes together")
    parser.add_argument("--accumulate", type=int, default=1, metavar="N", help="compute a batch in N parts")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16", "fp16"), help="default: bf16 for the default model, fp32 for the others"
    )
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--evaluate-every", type=int, default=500, metavar="STEPS", help="judge on the dev split")
    parser.add_argument("--save-every", type=int, metavar="STEPS", help="save more often than it is judged")
    parser.add_argument("--minutes", type=float, help="stop after this long; run again to go on")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--reference", action="store_true", help="paper: with all quirks of the released code")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides",
        help="any setting of the model or of training, e.g. --set frames_per_step=2, --set ewa=sequence",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Train, or resume."""
    _check(options)
    source = DataSource.parse(options.data)

    from accelerate import PartialState

    from ..performing.devices import choose_device, use_threads
    from .loop import Options, Trainer, check_precision
    from .models import Choice, make_recipe

    processes = PartialState(cpu=choose_device(options.device).type == "cpu", timeout=_PATIENCE)
    use_threads(options.threads)
    how = Options(options.precision, options.accumulate, options.evaluate_every, options.save_every)
    check_precision(how.precision, processes.device)  # before all lines are read
    given = {name: getattr(options, name) for name in ("batch_size", "learning_rate", "seed")}
    choice = Choice(
        source, options.folder, options.model, options.start, options.text_encoder, options.steps, options.epochs,
        {name: value for name, value in given.items() if value is not None}, options.overrides, options.reference,
    )  # fmt: skip
    # The first process computes text features; the others find them.
    with processes.main_process_first():
        recipe = make_recipe(choice, processes.device)
    trainer = Trainer(options.folder, recipe, how)
    if processes.is_main_process:
        resumed = f", going on from step {trainer.step}" if trainer.step else ""
        print(
            f"training {recipe.name}: {recipe.steps} steps, {len(recipe.train)} per epoch, "
            f"{how.precision or recipe.precision}, {processes.num_processes} x {processes.device.type}{resumed}",
            file=sys.stderr,
        )
    trainer.train(options.minutes)
    best = trainer.finish() if trainer.step == recipe.steps else options.folder / "best"
    if processes.is_main_process:
        print(best)
    processes.destroy_process_group()


def _check(options: argparse.Namespace) -> None:
    """Numbers that no run can have."""
    for name in ("steps", "epochs", "batch_size", "learning_rate"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} must be a finite number above 0, not {value}.")
    if options.seed is not None and options.seed < 0:
        raise InputError(f"--seed must be 0 or more, not {options.seed}.")
    if options.minutes is not None and not options.minutes >= 0:
        raise InputError(f"--minutes must not be negative, as {options.minutes} is.")
