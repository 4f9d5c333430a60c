# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator train``: options of a run. Nothing heavy is imported until it runs."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder made by 'corpus'")
    parser.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR", help="where the run lives")
    parser.add_argument("--steps", type=int, help="optimiser steps in all")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float, help="stop after this long; run again to go on")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides",
        help="any setting of the model or of training, e.g. --set frames_per_step=2 --set kl_weight=0.5",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Train, or resume."""
    import torch

    from ..config import ModelConfig
    from ..performer import choose_device
    from .loop import Trainer, TrainingSettings

    if options.threads:
        torch.set_num_threads(options.threads)
    training: dict[str, Any] = {
        name: value
        for name in ("steps", "batch_size", "learning_rate", "seed")
        if (value := getattr(options, name)) is not None
    }
    model: dict[str, Any] = {}
    for override in options.overrides:
        name, _, text = override.partition("=")
        for owner, kind in ((model, ModelConfig), (training, TrainingSettings)):
            default = next((f.default for f in fields(kind) if f.name == name), None)
            if default is not None:
                owner[name] = _parse(name, text, default)
                break
        else:
            raise InputError(f"There is no setting called {name!r}; see generator/config.py and training/loop.py.")
    try:
        config = ModelConfig(**model)
    except ValueError as error:
        raise InputError(f"These settings do not fit together: {error}.") from error
    trainer = Trainer(options.folder, options.data, config, TrainingSettings(**training), choose_device(options.device))
    trainer.train(options.minutes)
    print(trainer.finish())


def _parse(name: str, text: str, default: Any) -> Any:
    """``text`` as the type of the setting's default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        return type(default)(text)
    except (KeyError, ValueError):
        raise InputError(f"The setting {name} must look like {default!r}, not {text!r}.") from None
