# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training run is made of: a recipe. `loop.Trainer` runs any of them.

A recipe brings its modules, data, objective and optimiser; the trainer brings the loop: epochs, accumulation, mixed
precision, several processes, the moving average of the weights, logs, exact resume.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..errors import InputError

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)

#: Named scalars of one batch; "total" is minimised.
Terms = dict[str, Tensor]
#: What a module computes in; "bf16" and "fp16" are autocast, the weights stay fp32.
Precision = Literal["fp32", "bf16", "fp16"]


class BatchSource(Protocol[BatchT_co]):
    """One split of a data set as batches. The order of an epoch depends on (seed, epoch) only."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Clip indices of every batch of an epoch."""
        ...

    def collate(self, indices: list[int]) -> BatchT_co:
        """The batch of these clips, on the CPU."""
        ...


class Recipe(ABC, Generic[BatchT]):
    """A model and how it is trained.

    Attributes:
        name: of the recipe, as ``train --model`` calls it.
        module: everything that is trained, on its device; called as ``module(batch, step)`` it returns `Terms`
            (distributed training wraps it, so the objective is computed inside). It runs under autocast when the
            run's precision says so; what needs fp32 disables it for itself. Noise comes from ``torch.randn_like`` and
            ``torch.rand_like`` with the clips as the first axis: then parts of a batch draw what the whole would.
        train, dev: the splits.
        steps: optimiser steps in all.
        seed: of the noise drawn while training.
        precision: what the run computes in unless it is told otherwise.
        clip_norm: gradients are scaled to at most this norm; None leaves them.
        average_decay: of the moving average of the weights that is kept for use; None keeps the weights themselves.
    """

    name: str
    module: nn.Module
    train: BatchSource[BatchT]
    dev: BatchSource[BatchT]
    steps: int
    seed: int = 0
    precision: Precision = "fp32"
    clip_norm: float | None = None
    average_decay: float | None = None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What defines the run, JSON-able; a resumed run must have the same (``steps`` apart)."""

    def to(self, batch: BatchT, device: torch.device) -> BatchT:
        """``batch`` on ``device``."""
        return mapped(batch, lambda tensor: tensor.to(device))

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """A new optimiser over ``module``'s parameters."""

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Learning rate of step 0, 1, …"""

    def size(self, batch: BatchT) -> int:
        """Number of clips in ``batch``; by default the first axis of its first tensor."""
        return len(next(_tensors(batch)))

    def part(self, batch: BatchT, rows: slice) -> tuple[BatchT, float]:
        """Some clips of ``batch`` and the factor on their terms, such that the terms of parts add up to the whole's.

        By default every tensor whose first axis is as long as the batch is cut, and a part weighs what its clips do.
        That is exact for terms that are means over clips; a recipe whose terms are means over frames, of which a part
        may hold more or fewer, weighs its terms itself.
        """
        size = self.size(batch)
        return take_rows(batch, rows, size), len(range(*rows.indices(size))) / size

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """How bad the dev split's mean terms are (less is better); None where they cannot be judged yet."""
        return terms["total"]

    @abstractmethod
    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """Write ``module`` as a checkpoint that `say` or `evaluate` can use; ``training`` is for its model card."""

    def finish(self, folder: Path) -> dict[str, float]:
        """Last touches to the best checkpoint after training; returns what was measured, for the log."""
        return {}


@dataclass(frozen=True)
class DescentSettings:
    """What a run is made of. Stored in its folder; resuming with others is refused (``steps`` may grow).

    Attributes:
        steps: optimiser steps in all.
        batch_size: clips per step.
        learning_rate: highest of the schedule: linear warm-up over ``warmup`` steps, then a cosine to 2 % of it.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradients.
        seed: of weights, batches and noise.
    """

    steps: int
    batch_size: int
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0


class Descent(Recipe[BatchT]):
    """A recipe whose optimiser is AdamW on `warm_cosine`."""

    _settings: DescentSettings

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW."""
        s = self._settings
        return torch.optim.AdamW(self.module.parameters(), s.learning_rate, (0.9, 0.98), weight_decay=s.weight_decay)

    def learning_rate(self, step: int) -> float:
        """See `warm_cosine`."""
        s = self._settings
        return warm_cosine(step, s.steps, s.warmup, s.learning_rate)


ValueT = TypeVar("ValueT")


def mapped(value: ValueT, change: Callable[[Tensor], Tensor]) -> ValueT:
    """``value`` with all tensors in it (dataclasses, dicts, tuples, lists) changed."""
    out: Any = value
    if isinstance(value, Tensor):
        out = change(value)
    elif is_dataclass(value) and not isinstance(value, type):
        out = replace(value, **{f.name: mapped(getattr(value, f.name), change) for f in fields(value)})
    elif isinstance(value, dict):
        out = {key: mapped(item, change) for key, item in value.items()}
    elif isinstance(value, tuple | list):
        out = type(value)(mapped(item, change) for item in value)
    return out


def take_rows(value: ValueT, rows: slice, size: int) -> ValueT:
    """``value`` with all tensors in it whose first axis is ``size`` cut to ``rows``."""
    return mapped(value, lambda tensor: tensor[rows] if tensor.ndim and tensor.shape[0] == size else tensor)


def warm_cosine(step: int, steps: int, warmup: int, highest: float) -> float:
    """Learning rate of ``step`` of ``steps``: linear warm-up, then a cosine to 2 % of ``highest``."""
    if step < warmup:
        return highest * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return highest * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def take_weights(module: nn.Module, held: nn.Module, name: str) -> None:
    """Give ``module`` the weights of the checkpoint ``name``; InputError when its settings make it another shape."""
    try:
        module.load_state_dict(held.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"The weights of {name} do not fit the settings given with --set; set nothing that changes their shapes "
            "when a checkpoint is trained further."
        ) from error


def weights_identity(module: nn.Module) -> str:
    """A module's weights in a word: the beginning of their SHA-256."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
    elif isinstance(value, dict | tuple | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
