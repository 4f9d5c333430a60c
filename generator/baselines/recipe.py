# SPDX-License-Identifier: GPL-3.0-or-later
"""What the baselines' recipes share: data, AdamW with a cosine, checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from ..corpus.datasets import Performances
from ..errors import InputError
from ..model.text import TextEncoder
from ..training.batches import FeatureStore, require_clips
from ..training.recipe import Recipe, warm_cosine
from .checkpoint import save_baseline
from .data import BaselineBatch, BaselineBatches
from .model import BaselineModel


@dataclass(frozen=True)
class BaselineSettings:
    """What a run is made of.

    Attributes:
        steps: optimiser steps in all.
        batch_size: clips per step.
        learning_rate: highest of the schedule: linear warm-up over ``warmup`` steps, then a cosine to 2 % of it.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradients.
        max_frames: longer clips are cut, and longer ones cannot be performed.
        seed: of weights, batches and noise.
    """

    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    max_frames: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        self.require_at_least_one("batch_size", "max_frames")

    def require_at_least_one(self, *names: str) -> None:
        """InputError when one of these settings is less than 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise InputError(f"The setting {name} must be at least 1, not {getattr(self, name)}.")

    def require_heads_fit(self, width: int, heads: int) -> None:
        """InputError when ``width`` cannot be divided among ``heads``, or is odd."""
        if heads < 1 or width < 2 or width % heads or width % 2:
            raise InputError(f"The setting width ({width}) must be even and divisible by heads ({heads}).")


class BaselineRecipe(Recipe[BaselineBatch]):
    """A recipe over `BaselineBatch`; subclasses name their settings and build ``module``, which holds ``model``."""

    #: Class of the settings; ``train --set`` finds its options there.
    settings_type: ClassVar[type[BaselineSettings]]

    def __init__(
        self,
        train: Performances,
        dev: Performances,
        settings: BaselineSettings,
        encoder: TextEncoder,
        device: torch.device,
        cache: Path,
    ) -> None:
        """``cache`` is a folder for the text features; DataError when a split is empty."""
        require_clips(train=train, dev=dev)
        self._settings, self.encoder, self.device, self.space = settings, encoder, device, train.space
        self.steps, self.seed, self.clip_norm = settings.steps, settings.seed, settings.clip_norm
        self.train, self.dev = (
            BaselineBatches(
                clips,
                FeatureStore([clips.text(i) for i in range(len(clips))], encoder, cache),
                settings.batch_size,
                settings.seed,
                settings.max_frames,
            )
            for clips in (train, dev)
        )
        torch.manual_seed(settings.seed)
        self.module = self.build(train).to(device)

    def build(self, train: Performances) -> nn.Module:
        """The module to train: its ``model`` is what is saved."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """See `Recipe.settings`."""
        return {"model": self._model(self.module).config(), "training": asdict(self._settings)}

    def to(self, batch: BaselineBatch, device: torch.device) -> BaselineBatch:
        """See `Recipe.to`."""
        return batch.to(device)

    def optimizer(self) -> torch.optim.Optimizer:
        """See `Recipe.optimizer`."""
        s = self._settings
        return torch.optim.AdamW(self.module.parameters(), s.learning_rate, (0.9, 0.98), weight_decay=s.weight_decay)

    def learning_rate(self, step: int) -> float:
        """See `Recipe.learning_rate`."""
        s = self._settings
        return warm_cosine(step, s.steps, s.warmup, s.learning_rate)

    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """See `Recipe.save`; `generator.baselines.load_baseline` reads it."""
        save_baseline(self._model(module), self.encoder.name, folder, training)

    @staticmethod
    def _model(module: nn.Module) -> BaselineModel:
        model = module.model
        assert isinstance(model, BaselineModel)
        return model
