# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training run is made of: a recipe. `loop.Trainer` runs any of them.

A recipe brings its modules, data, objective and optimiser; the trainer brings the loop: epochs, accumulation, mixed
precision, several processes, the moving average of the weights, logs, exact resume.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)

#: Named scalars of one batch; "total" is minimised.
Terms = dict[str, Tensor]


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
            (distributed training wraps it, so the objective is computed inside).
        train, dev: the splits.
        steps: optimiser steps in all.
        clip_norm: gradients are scaled to at most this norm; None leaves them.
        average_decay: of the moving average of the weights that is kept for use; None keeps the weights themselves.
    """

    name: str
    module: nn.Module
    train: BatchSource[BatchT]
    dev: BatchSource[BatchT]
    steps: int
    clip_norm: float | None = None
    average_decay: float | None = None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What defines the run, JSON-able; a resumed run must have the same."""

    @abstractmethod
    def to(self, batch: BatchT, device: torch.device) -> BatchT:
        """``batch`` on ``device``."""

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """A new optimiser over ``module``'s parameters."""

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Learning rate of step 0, 1, …"""

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """How bad the dev split's mean terms are (less is better); None where they cannot be judged yet."""
        return terms["total"]

    @abstractmethod
    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """Write ``module`` as a checkpoint that `say` or `evaluate` can use; ``training`` is for its model card."""

    def finish(self, folder: Path) -> dict[str, float]:
        """Last touches to the best checkpoint after training; returns what was measured, for the log."""
        return {}
