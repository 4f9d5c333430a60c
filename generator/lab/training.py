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
from ..writing import write_whole
from .models import BATCH, DefaultInside, Inside, PaperInside
from .study import Chosen, Study

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
#: Clips decoded together.
TOGETHER: Final = 64


class Narrow(nn.Module):
    """A text encoder's states in ``width`` numbers: the paper's model is as wide as its text, and a small one quick.

    A fixed orthonormal picture of them, so distances are kept on average.
    """

    def __init__(self, model: TextModel, width: int) -> None:
        super().__init__()
        self.width, self._model = width, model
        basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((model.width, width)))
        self.basis: Tensor
        self.register_buffer("basis", torch.from_numpy(basis.astype(np.float32) * (model.width / width) ** 0.5))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `TextModel`."""
        return self._model(ids, mask) @ self.basis


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
            write_whole(path, json.dumps(judge(self.inside)).encode())
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
        kept = []
        for part in _TOLD:
            if getattr(other.config, part):
                alone: dict[str, Any] = {name: name == part for name in _TOLD}
                kept += [getattr(model.config, part)] * step_width(replace(other.config, **alone))
        given["told.weight"] = given["told.weight"][:, torch.tensor(kept)]
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(own | fitting)


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
        wide, width = TextEncoder.load(exact=False), int(self.size["width"])
        if self.study.kind == "default" or width == wide.width:
            return wide
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
        if prepare is not None:
            prepare(_decoder(recipe))
        if objective is not None:
            recipe.module = objective(recipe.module.model)
        begins = "fresh" if self.start is None else checkpoint_identity(self.study.folder)
        changed = [change.__name__ for change in (prepare, objective) if change is not None]
        told = [recipe.name, recipe.settings(), changed, begins, self.study.source.folder.resolve().name]
        folder = self.runs / _digest(told)
        trainer = Trainer(folder, recipe, Options(evaluate_every=recipe.steps, save_every=max(recipe.steps // 2, 1)))
        trainer.train()
        module: Any = trainer.state.average or recipe.module
        records = map(json.loads, (folder / LOG).read_text("utf-8").splitlines())
        bound = recipe.score([record for record in records if record["kind"] == "dev"][-1], recipe.steps)
        assert bound is not None  # the run is over, and with it the warm-up
        if self.study.kind == "default":
            checkpoint = Checkpoint(module.decoder.eval(), None, self.encoder.name, "trained here")
            if isinstance(self.start, DefaultInside):  # it performs as what it goes on from does
                checkpoint = replace(checkpoint, perform=self.start.checkpoint.perform)
            return Trained(DefaultInside(checkpoint, self.encoder), bound, folder)
        paper = PaperCheckpoint(module.model.eval(), recipe.mean, self.encoder, "trained here")
        return Trained(PaperInside(paper), bound, folder)

    def _recipe(self, seed: int, config: Mapping[str, Any] = _NOTHING, training: Mapping[str, Any] = _NOTHING) -> Any:
        """A fresh recipe, with weights of ``seed``."""
        size, width = self.study.size, int(self.size["width"])
        how: dict[str, Any] = {"steps": int(size["steps"]), "batch_size": int(size["batch_size"]), "warmup": 5}
        how |= {"learning_rate": float(size["learning_rate"]), "seed": seed}
        shape: dict[str, Any] = {"d_model": width, "n_head": 4, "d_inner": 2 * width}
        kind: Any
        fresh: Any
        settings: Any
        if self.study.kind == "default":
            # Trained weights are neither to be warmed up nor to forget their prior; few steps are of one kind.
            how |= {"kl_warmup_share": 0.2 if self.start is None else 0.0, "average_decay": 0.98}
            how |= {"free_running": 0.0, **training}
            kind, settings, fresh = DefaultRecipe, DefaultSettings(**how), ModelConfig(**shape, d_latent=width)
        else:
            fresh = PaperConfig(**shape, d_key=width // 4, d_value=width // 4)
            kind, settings = PaperRecipe, PaperSettings(**how)
        own: Any = fresh if self.start is None else self.start.module.config
        cpu, cache = torch.device("cpu"), self.runs / "cache"
        return kind(self.train, self.dev, settings, self.encoder, cpu, cache, replace(own, **config))

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
    errors = [inside.errors(inside.batch(part), seed, ("prior",))["prior"] for part in clips.parts(BATCH)]
    return float(np.concatenate(errors).mean())
