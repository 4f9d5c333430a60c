# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator refit-motion``: how far each region of the face is moved per step, set so that takes move as
finely as the clips do that it learned from.

A decoder learns one step at a time and performs thousands, each from what it wrote itself; what it does with every step
a little too timidly, or too eagerly, adds up. Where a region's power from 8 to 12 Hz is not within a tenth of the
teacher's takes of lines of the train split, what the decoder writes of it is scaled. Our choice.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import InputError
from ..shared.spaces import SPACES
from ..training.data_source import DataSource
from .entries import checkpoints, ground_truth
from .lines import Settings, choose_lines
from .motion import region_motion
from .rollouts import perform

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

#: Ratios of power that are left alone.
_NEAR: Final = (0.9, 1.1)
#: Power goes with the fourth power of the scale or so, as a step goes on from what the last one wrote.
_EXPONENT: Final = -0.25
#: What is written is scaled by so much at most: more takes too much of how fast the mouth moves, on dev lines.
_MOST: Final = 0.035
#: What was done to a checkpoint, in its ``training``.
_FITTED: Final = "motion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("checkpoint", type=Path, help="a folder made by 'train'")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the corpus that it learned from")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the result goes; by default it replaces this one"
    )
    parser.add_argument("--lines", type=int, default=150, help="lines of the train split (default: 150)")
    parser.add_argument("--takes", type=int, default=4, help="takes of each (default: 4)")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(options: argparse.Namespace) -> None:
    """Measure, write, and print what was found and done.

    Raises:
        InputError: the checkpoint was fitted already, or the data are no corpus.
        CheckpointError, DataError, EnvironmentProblem: from what is opened.
    """
    from ..model.checkpoint import load_checkpoint, save_checkpoint
    from ..performing.devices import use_threads

    use_threads(options.threads)
    checkpoint = load_checkpoint(options.checkpoint)
    if _FITTED in checkpoint.training:
        raise InputError(f"The motion of {options.checkpoint} is fitted already; begin with what 'train' made.")
    source = DataSource.parse(str(options.data))
    if source.kind != "corpus":
        raise InputError(
            "refit-motion compares takes with what the teacher acted; --data takes a folder made by 'corpus'."
        )
    settings = Settings(options.lines, options.takes, "train", baselines=False, device=options.device).validated()
    ratios = measured(options.checkpoint, source, settings)
    scales = {region: scale_of(ratio) for region, ratio in ratios.items()}
    save_checkpoint(scaled(checkpoint, scales), options.out or options.checkpoint)
    for region, ratio in ratios.items():
        print(f"{region}: {ratio:.3f} of the power from 8 to 12 Hz, scaled by {scales[region]:.3f}")


def measured(folder: Path, source: DataSource, settings: Settings) -> dict[str, float]:
    """Power from 8 to 12 Hz of a checkpoint's takes over that of what it learned from, by region."""
    clips = source.open(settings.split)
    lines, space = choose_lines(clips, settings).lines, clips.space
    powers = []
    for entry in (ground_truth(source, clips), *checkpoints([folder], space.name, settings)):
        with TemporaryDirectory(ignore_cleanup_errors=True) as kept:
            takes = [take.acted for line in perform(entry, lines, settings.takes, Path(kept)) for take in line]
        powers.append({name: region_motion(takes, group, space.fps).tremor for name, group in space.groups.items()})
    theirs, ours = powers
    return {name: ours[name] / max(theirs[name], 1e-12) for name in theirs}


def scale_of(ratio: float) -> float:
    """By how much a region is scaled whose power is so many times what it should be."""
    if not np.isfinite(ratio) or ratio <= 0 or _NEAR[0] <= ratio <= _NEAR[1]:
        return 1.0
    return float(np.clip(ratio**_EXPONENT, 1 - _MOST, 1 + _MOST))


def scaled(checkpoint: Checkpoint, scales: Mapping[str, float]) -> Checkpoint:
    """A checkpoint that moves regions of the face so much further with every step; the given one stays as it is."""
    import torch

    space = SPACES[checkpoint.decoder.config.space]
    by = torch.ones(space.size)
    for region, scale in scales.items():
        by[list(space.groups[region])] = scale
    decoder = copy.deepcopy(checkpoint.decoder)
    frames = decoder.frames
    with torch.no_grad():
        for values in (frames.weight, frames.bias):
            values.mul_(by.to(values).repeat(len(values) // space.size).view(-1, *[1] * (values.dim() - 1)))
    rounded = {region: round(scale, 4) for region, scale in scales.items()}
    return replace(checkpoint, decoder=decoder, training={**checkpoint.training, _FITTED: rounded})
