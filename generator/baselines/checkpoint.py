# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines on disk and in use: a folder with ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..clips import write_atomically
from ..datasets import Direction
from ..errors import CheckpointError
from ..sampling import TakeSeed
from ..spaces import SPACES, Space
from ..text import TextEncoder
from .data import Lines

FORMAT: Final = "cteg-baseline"
_SCHEMA: Final = 1
#: Takes performed together at most.
_BATCH: Final = 64


class Asked(Protocol):
    """What is asked of a system: `generator.evaluation.systems.Asked` is one."""

    @property
    def text(self) -> str:
        """The line."""
        ...

    @property
    def direction(self) -> Direction | None:
        """The emotion to show, where the data set says."""
        ...

    @property
    def seed(self) -> int:
        """Take k uses seed + k."""
        ...


class BaselineModel(nn.Module, ABC):
    """A model that performs lines.

    Attributes:
        kind: of the baseline, in its checkpoint.
        title: its row in a report.
        scale: divides every channel, (C,).
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    scale: Tensor
    space: Space

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Arguments that build an empty model of this shape, JSON-able."""

    @abstractmethod
    def perform(self, lines: Lines, seeds: list[TakeSeed]) -> list[Tensor]:
        """One take per line, (T_i, C) in the space's units; what is random comes from the line's own seed only."""


class Baseline:
    """A trained baseline, ready to perform (`generator.evaluation.systems.System`)."""

    def __init__(self, model: BaselineModel, encoder: TextEncoder) -> None:
        self.model, self.encoder = model, encoder

    @property
    def name(self) -> str:
        """Its row in the report."""
        return self.model.title

    @torch.inference_mode()
    def perform(self, lines: Sequence[Asked], takes: int) -> list[list[npt.NDArray[np.float32]]]:
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


def save_baseline(model: BaselineModel, text_encoder: str, folder: Path, training: dict[str, Any]) -> None:
    """Write ``folder``; ``training`` says how it was trained and what was measured."""
    config = {
        "format": FORMAT,
        "schema_version": _SCHEMA,
        "kind": model.kind,
        "space": model.space.name,
        "text_encoder": text_encoder,
        "model": model.config(),
        "training": training,
    }
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", lambda file: file.write(save(state)))
    write_atomically(folder / "config.json", lambda file: file.write(json.dumps(config, indent=1).encode()))


def load_baseline(folder: Path, device: str = "cpu") -> Baseline:
    """A baseline from the folder that training wrote, on ``device``.

    Raises:
        CheckpointError: missing or damaged files, another format or version.
        EnvironmentProblem: its text encoder is not there.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"There is no baseline in {folder} ({name} is missing); train one with --model.")
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if config["format"] != FORMAT or config["schema_version"] != _SCHEMA:
            raise CheckpointError(
                f"{folder} holds {config['format']!r}, schema {config['schema_version']!r}, which is no baseline of "
                "this version; train it again."
            )
        model = _empty(config["kind"], {"space": SPACES[config["space"]], **config["model"]})
        state = load((folder / "model.safetensors").read_bytes())
        model.load_state_dict(state)
        encoder_name = str(config["text_encoder"])
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"The baseline in {folder} is damaged ({reason}); train it again.") from error
    if not all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"The baseline in {folder} holds weights that are not finite; train it again.")
    return Baseline(model.to(device).eval(), TextEncoder.load(encoder_name, device))


def _empty(kind: str, arguments: dict[str, Any]) -> BaselineModel:
    from .lstm import LstmRegressor
    from .vq import VqPerformer

    models: dict[str, type[BaselineModel]] = {m.kind: m for m in (LstmRegressor, VqPerformer)}
    return models[kind](**arguments)
