# SPDX-License-Identifier: GPL-3.0-or-later
"""Models trained for an experiment: small ones, on a part of the data, with equal seeds; by the trainer that trains
all.

A run lies beside the page ("report-runs" for "report"), so that an interrupted command goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..engine.conditioning import step_width
from ..engine.config import ModelConfig
from ..errors import DataError
from ..evaluation.lines import spread
from ..evaluation.rollouts import checkpoint_identity
from ..model.checkpoint import Checkpoint
from ..model.cteg import CTEG
from ..model.pretrained import TextModel
from ..model.text import TextEncoder
from ..paper.checkpoint import PaperCheckpoint
from ..paper.config import PaperConfig
from ..training.default import DefaultRecipe, DefaultSettings
from ..training.loop import LOG, Options, Trainer
from ..training.paper import PaperRecipe, PaperSettings
from ..training.recipe import Recipe
from ..writing import write_atomically
from .models import DefaultInside, Inside, PaperInside
from .study import Chosen, Study

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
#: Clips decoded together.
TOGETHER: Final = 64


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


@dataclass(frozen=True)
class Trained:
    """A model that was trained here.

    Attributes:
        inside: to be looked into.
        bound: what its trainer scores it by on the dev split (`Recipe.score`): reconstruction and KL.
        folder: of its run.
    """

    inside: Inside
    bound: float
    folder: Path

    def judged(self, how: Any, judge: Callable[[Inside], dict[str, Any]]) -> dict[str, Any]:
        """What ``judge`` says of it, kept in its folder under ``how``, anything JSON-able: judging takes time too."""
        path = self.folder / f"judged-{_digest([__version__, how])}.json"
        if not path.is_file():
            text = json.dumps(judge(self.inside))
            write_atomically(path, lambda file: file.write(text.encode()))
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found


#: What steps may be told, in the order in which they are (`engine.conditioning`).
_TOLD: Final = ("direction_conditioning", "timeline_conditioning", "length_conditioning")


def begin_alike(model: nn.Module, other: nn.Module) -> None:
    """``model`` takes the weights of ``other`` that it has a place of the same name and shape for.

    One that its steps are told less takes the columns of what it is told.
    """
    own, given = model.state_dict(), other.state_dict()
    if isinstance(model, CTEG) and isinstance(other, CTEG) and "told.weight" in given:
        kept = [
            np.full(step_width(_told_only(other.config, part)), getattr(model.config, part))
            for part in _TOLD
            if getattr(other.config, part)
        ]
        given["told.weight"] = given["told.weight"][:, torch.from_numpy(np.concatenate(kept))]
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(own | fitting)


def _told_only(config: ModelConfig, part: str) -> ModelConfig:
    told: dict[str, Any] = {name: name == part for name in _TOLD}
    return replace(config, **told)


class Bench:
    """Models that are trained on a part of a study's data.

    Args:
        study: with sizes "train_clips", "dev_clips", "steps", "batch_size", "width" and "learning_rate"; the width is
            that of fresh models.
        start: a trained model to go on from, in its own width; None for fresh ones.
    """

    def __init__(self, study: Study, start: Inside | None = None) -> None:
        self.study, self.size, self.start = study, study.size, start
        self.runs = study.out.with_name(f"{study.out.name}-runs")

    @cached_property
    def train(self) -> Chosen:
        """The part of the train split that is learned from."""
        return self.part("train", int(self.size["train_clips"]))

    @cached_property
    def dev(self) -> Chosen:
        """A part of the dev split, by which the trainer judges."""
        return self.part("dev", int(self.size["dev_clips"]))

    @cached_property
    def encoder(self) -> TextEncoder:
        """That of the model to go on from; otherwise the default one, for the paper's model as narrow as it is."""
        if self.start is not None:
            return self.start.encoder
        wide = TextEncoder.load(exact=False)
        if self.study.kind == "default":
            return wide
        width = int(self.size["width"])
        return wide.through(lambda model: Narrow(model, width), f"{wide.name} in {width}")

    def model(
        self, seed: int, config: Mapping[str, Any] = _NOTHING, training: Mapping[str, Any] = _NOTHING,
        prepare: Callable[[Any], None] | None = None, objective: Callable[[Any], Any] | None = None,
    ) -> Trained:  # fmt: skip
        """The study's kind of model, trained.

        What it has in common with the model without these changes begins with the same weights, reads the same batches
        and draws the same noise: differences are then those of the part that was changed, and few seeds show them.

        Args:
            seed: of weights, batches and draws.
            config: what differs in the config of the model.
            training: the same in its training's settings.
            prepare: changes the fresh decoder before it is trained.
            objective: makes another objective of the paper's model.
        """
        recipe = self._recipe(seed, config, training)
        begin_alike(_decoder(recipe), _decoder(self._recipe(seed)) if self.start is None else self.start.module)
        name = ""
        if prepare is not None:
            prepare(_decoder(recipe))
            name += prepare.__name__
        if objective is not None:
            recipe.module = objective(recipe.module.model)
            name += objective.__name__
        folder, module, dev = self._trained(recipe, name)
        bound = recipe.score(dev, recipe.steps)
        assert bound is not None  # the run is over, and with it the warm-up
        if self.study.kind == "default":
            checkpoint = Checkpoint(module.decoder.eval(), None, self.encoder.name, "trained here")
            return Trained(DefaultInside(checkpoint, self.encoder), bound, folder)
        paper = PaperCheckpoint(module.model.eval(), recipe.mean, self.encoder, "trained here")
        return Trained(PaperInside(paper), bound, folder)

    def _recipe(self, seed: int, config: Mapping[str, Any] = _NOTHING, training: Mapping[str, Any] = _NOTHING) -> Any:
        """A fresh recipe, with weights of ``seed``."""
        size, device, cache = self.study.size, torch.device("cpu"), self.runs / "cache"
        width = int(size["width"])
        how: dict[str, Any] = {"steps": int(size["steps"]), "batch_size": int(size["batch_size"]), "warmup": 5}
        how |= {"learning_rate": float(size["learning_rate"]), "seed": seed}
        # Trained weights are neither to be warmed up nor to forget their prior.
        warm_up = 0.2 if self.start is None else 0.0
        if self.study.kind == "default":
            settings = DefaultSettings(**{**how, "kl_warmup_share": warm_up, "average_decay": 0.98, **training})
            shape: dict[str, Any] = {"d_model": width, "d_inner": 2 * width, "d_latent": width, "n_head": 4}
            own: Any = ModelConfig(**shape) if self.start is None else self.start.module.config
            return DefaultRecipe(self.train, self.dev, settings, self.encoder, device, cache, replace(own, **config))
        shape = {"d_model": width, "n_head": 4, "d_key": width // 4, "d_value": width // 4, "d_inner": 2 * width}
        own = PaperConfig(**shape) if self.start is None else self.start.module.config
        paper = PaperSettings(**how)
        return PaperRecipe(self.train, self.dev, paper, self.encoder, device, cache, replace(own, **config))

    def _trained(self, recipe: Recipe[Any], how: str = "") -> tuple[Path, Any, dict[str, float]]:
        """Folder of the recipe's run, its module (of a moving average, that), the trainer's own judgement on dev."""
        begins = "fresh" if self.start is None else checkpoint_identity(self.study.folder)
        data = self.study.source.folder.resolve().name
        folder = self.runs / _digest([recipe.name, recipe.settings(), how, begins, data])
        trainer = Trainer(folder, recipe, Options(evaluate_every=recipe.steps, save_every=max(recipe.steps // 2, 1)))
        trainer.train()
        records = map(json.loads, (folder / LOG).read_text("utf-8").splitlines())
        dev = [record for record in records if record["kind"] == "dev"][-1]
        return folder, trainer.state.average or recipe.module, dev

    def part(self, split: str, count: int) -> Chosen:
        """``count`` performances of a split, evenly spread; of those alone that are not above "longest" frames."""
        data = self.study.data(split)
        longest = int(self.size.get("longest", 1 << 30))
        short = [i for i in range(len(data)) if data.length(i) <= longest]
        chosen = Chosen(data, [short[k] for k in spread(len(short), count)])
        if len(chosen) < 4:
            raise DataError(
                f"The {split} split has {len(chosen)} clips and lab {self.study.name} trains models: give it more."
            )
        return chosen


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _decoder(recipe: Any) -> nn.Module:
    """What is trained, without its objective."""
    found: nn.Module = getattr(recipe.module, "decoder", None) or recipe.module.model
    return found


def free_takes(inside: Inside, clips: Chosen, seed: int, takes: int = 2) -> list[list[Any]]:
    """``takes`` free takes of every clip's line under the clip's own conditions, as long as it."""
    found: list[list[Any]] = []
    for part in clips.parts(TOGETHER):
        batch = inside.batch(part)
        found += map(list, zip(*(inside.free(batch, 1000 * seed + k) for k in range(takes)), strict=True))
    return found


def scored(inside: Inside, clips: Chosen, seed: int) -> float:
    """Error of the next frames under teacher forcing with z from the prior, rms, mean over frames."""
    errors = []
    for part in clips.parts(16):
        batch = inside.batch(part)
        mask, _ = inside.mask(batch)
        errors.append(inside.errors(batch, seed, ("prior",))["prior"][mask])
    return float(np.concatenate(errors).mean())
