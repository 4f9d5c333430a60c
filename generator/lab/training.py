# SPDX-License-Identifier: GPL-3.0-or-later
"""Models trained for an experiment: small ones, on a part of the data, with equal seeds; by the trainer that trains
all.

A run lies beside the page ("report-runs" for "report"), so that an interrupted command goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine.config import ModelConfig
from ..errors import DataError
from ..evaluation.lines import spread
from ..model.checkpoint import Checkpoint
from ..model.pretrained import TextModel
from ..model.text import TextEncoder
from ..paper.checkpoint import PaperCheckpoint
from ..paper.config import PaperConfig
from ..training.default import DefaultRecipe, DefaultSettings
from ..training.loop import Options, Trainer
from ..training.paper import PaperObjective, PaperRecipe, PaperSettings
from ..training.recipe import Recipe
from .models import DefaultInside, Inside, PaperInside
from .study import Chosen, Study


class Narrow:
    """A text encoder's states in fewer numbers: the paper's model is as wide as its text, and a small one should be
    quick.

    A fixed orthonormal picture of them, so distances are kept on average.
    """

    def __init__(self, model: TextModel, width: int) -> None:
        self._model = model
        basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((model.width, width)))
        self._basis = torch.from_numpy(basis.astype(np.float32) * (model.width / width) ** 0.5)

    @property
    def width(self) -> int:
        """W, width of the states."""
        return int(self._basis.shape[1])

    def to(self, device: torch.device) -> Narrow:
        """The same on ``device``."""
        self._basis = self._basis.to(device)
        return self

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `TextModel`."""
        return self._model(ids, mask) @ self._basis


class Bench:
    """Small models on a part of a study's data.

    Args:
        study: with sizes "train_clips", "steps", "batch_size", "width".
    """

    def __init__(self, study: Study) -> None:
        self.study, self.size = study, study.size
        self.runs = study.out.with_name(f"{study.out.name}-runs")

    @cached_property
    def train(self) -> Chosen:
        """The part of the train split that is learned from."""
        return self._part("train", int(self.size["train_clips"]))

    @cached_property
    def dev(self) -> Chosen:
        """A part of the dev split, by which the trainer judges."""
        return self._part("dev", max(8, int(self.size["train_clips"]) // 8))

    @cached_property
    def encoder(self) -> TextEncoder:
        """The default text encoder, for the paper's model as narrow as it is."""
        wide = TextEncoder.load(exact=False)
        if self.study.kind == "default":
            return wide
        width = int(self.size["width"])
        return wide.through(lambda model: Narrow(model, width), f"{wide.name} in {width}")

    def default(self, seed: int, overrides: Mapping[str, Any], training: Mapping[str, Any]) -> DefaultInside:
        """The default model, trained with ``overrides`` of its config and ``training`` of its settings."""
        width = int(self.size["width"])
        small = {"d_model": width, "d_inner": 2 * width, "d_latent": max(8, width // 4), "n_head": 4}
        config = ModelConfig(**{**small, **overrides})
        settings = DefaultSettings(**{**self._common(seed), "warmup": 20, "kl_warmup_share": 0.2, **training})
        device, cache = torch.device("cpu"), self.runs / "cache"
        recipe = DefaultRecipe(self.train, self.dev, settings, self.encoder, device, cache, config)
        module = self._trained(recipe)
        decoder = module.decoder.eval()
        return DefaultInside(Checkpoint(decoder, None, self.encoder.name, "trained here"), self.encoder)

    def paper(
        self, seed: int, overrides: Mapping[str, Any], prepare: Callable[[Any], None] | None = None,
        objective: Callable[[Any], PaperObjective] | None = None,
    ) -> PaperInside:  # fmt: skip
        """The paper's model, trained with ``overrides`` of its config.

        Args:
            seed: of weights, batches and draws.
            overrides: of `PaperConfig`.
            prepare: changes the fresh model before it is trained.
            objective: makes another objective of the model.
        """
        width = int(self.size["width"])
        small = {"d_model": width, "n_head": 4, "d_key": width // 4, "d_value": width // 4, "d_inner": 2 * width}
        config = PaperConfig(**{**small, **overrides})
        settings = PaperSettings(**self._common(seed), warmup=20)
        device, cache = torch.device("cpu"), self.runs / "cache"
        recipe = PaperRecipe(self.train, self.dev, settings, self.encoder, device, cache, config)
        name = ""
        if prepare is not None:
            prepare(recipe.module.model)
            name += prepare.__name__
        if objective is not None:
            recipe.module = objective(recipe.module.model)
            name += objective.__name__
        module = self._trained(recipe, name)
        return PaperInside(PaperCheckpoint(module.model.eval(), recipe.mean, self.encoder, "trained here"))

    def _common(self, seed: int) -> dict[str, Any]:
        return {
            "steps": int(self.size["steps"]),
            "batch_size": int(self.size["batch_size"]),
            "learning_rate": 1e-3,
            "seed": seed,
        }

    def _trained(self, recipe: Recipe[Any], how: str = "") -> Any:
        """The recipe's module after its run; what is kept of a moving average, where there is one."""
        told = json.dumps(
            [recipe.name, recipe.settings(), how, self.study.source.folder.resolve().name], sort_keys=True
        )
        folder = self.runs / hashlib.sha256(told.encode()).hexdigest()[:16]
        trainer = Trainer(folder, recipe, Options(evaluate_every=recipe.steps, save_every=max(recipe.steps // 4, 1)))
        trainer.train()
        return trainer.state.average or recipe.module

    def _part(self, split: str, count: int) -> Chosen:
        data = self.study.data(split)
        chosen = Chosen(data, spread(len(data), count))
        if len(chosen) < 4:
            raise DataError(
                f"The {split} split has {len(chosen)} clips and lab {self.study.name} trains models: give it more."
            )
        return chosen


def free_takes(inside: Inside, clips: Chosen, seed: int, takes: int = 2) -> list[list[Any]]:
    """``takes`` free takes of every clip's line under the clip's own conditions, as long as it."""
    found: list[list[Any]] = []
    for part in clips.parts(16):
        batch = inside.batch(part)
        found += map(list, zip(*(inside.free(batch, 1000 * seed + k) for k in range(takes)), strict=True))
    return found


def scored(inside: Inside, clips: Chosen, seed: int) -> float:
    """Error of the next frames under teacher forcing with z from the prior, rms, mean over frames."""
    errors = []
    for part in clips.parts(16):
        batch = inside.batch(part)
        mask, _ = inside.mask(batch)
        errors.append(inside.errors(batch, seed)["prior"][mask])
    return float(np.concatenate(errors).mean())
