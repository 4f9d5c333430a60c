# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained baselines in use: from a checkpoint folder to takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..corpus.datasets import Shown
from ..engine.arrays import read_arrays
from ..errors import CheckpointError
from ..model.checkpoint import made_to_hold
from ..model.text import TextEncoder
from ..performing.draws import TakeSeed
from ..reading import SETTINGS, Reading, refusing
from ..shared.spaces import SPACES, Space
from .checkpoint import FORMAT, SCHEMA
from .data import Lines
from .lstm import LstmRegressor
from .model import BaselineModel
from .vq import VqPerformer

#: Sizes beyond these are damage: making such a model would take all memory there is.
_MOST: Final = 65_536
_MOST_LAYERS: Final = 64
#: Takes performed together at most.
_BATCH: Final = 64


class LineToPerform(Protocol):
    """What is asked of a system: `generator.evaluation.systems.HeldOutLine` is one."""

    @property
    def text(self) -> str:
        """The line."""
        ...

    @property
    def direction(self) -> Shown | None:
        """The emotion to show, where the data set says."""
        ...

    @property
    def seed(self) -> int:
        """Take k uses seed + k."""
        ...


class Baseline:
    """A trained baseline, ready to perform (`generator.evaluation.systems.System`)."""

    def __init__(self, model: BaselineModel, encoder: TextEncoder) -> None:
        self.model, self.encoder = model, encoder

    @property
    def name(self) -> str:
        """Its row in the report."""
        return self.model.title

    @torch.inference_mode()
    def perform(self, lines: Sequence[LineToPerform], takes: int) -> list[list[npt.NDArray[np.float32]]]:
        """``takes`` clips (T, C) of each line within the space's limits; take k of a line has the seed + k."""
        wanted = [(line, take) for line in lines for take in range(takes)]
        lower, upper = self.model.space.lower, self.model.space.upper
        clips: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            read = Lines.encode(self.encoder, [a.text for a, _ in batch], [a.direction for a, _ in batch])
            seeds = [TakeSeed(a.seed + take, a.text) for a, take in batch]
            clips += [np.clip(take.cpu().numpy(), lower, upper) for take in self.model.perform(read, seeds)]
        return [clips[row * takes : (row + 1) * takes] for row in range(len(lines))]


def load_baseline(folder: Path, device: str = "cpu") -> Baseline:
    """A baseline from the folder that training wrote, on ``device``.

    Raises:
        CheckpointError: missing or damaged files, another format or version.
        EnvironmentProblem: its text encoder is not there.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"There is no baseline in {folder} ({name} is missing); train one with --model.")
    with refusing(lambda why: CheckpointError(f"The baseline in {folder} is damaged ({why}); train it again.")):
        config = Reading(folder / "config.json", SETTINGS).json()
        if config["format"] != FORMAT or config["schema_version"] != SCHEMA:
            raise CheckpointError(
                f"{folder} holds {config['format']!r:.60}, schema {config['schema_version']!r:.20}, which is no "
                "baseline of this version; train it again."
            )
        make = partial(_empty, config["kind"], SPACES[config["space"]], config["model"])
        model = made_to_hold(make, (folder / "model.safetensors").stat().st_size)
        state = {name: torch.from_numpy(value) for name, value in read_arrays(folder / "model.safetensors").items()}
        model.load_state_dict(state)
        encoder_name = str(config["text_encoder"])
    if not all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"The baseline in {folder} holds weights that are not finite; train it again.")
    return Baseline(model.to(device).eval(), TextEncoder.load(encoder_name, device, online=False))


def _empty(kind: str, space: Space, sizes: dict[str, Any]) -> BaselineModel:
    if (
        any(not 1 <= size <= _MOST for size in sizes.values() if not isinstance(size, float))
        or sizes.get("layers", 1) > _MOST_LAYERS
    ):
        raise ValueError(f"its sizes are not from 1 to {_MOST}, or it has more than {_MOST_LAYERS} layers")
    models: dict[str, type[BaselineModel]] = {m.kind: m for m in (LstmRegressor, VqPerformer)}
    return models[kind](space=space, **sizes)
