# SPDX-License-Identifier: GPL-3.0-or-later
"""How the paper's CTEG is trained: its optimiser, schedule and objective, on EmoAva or on files of its layout."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus.datasets import Performances, data_identity
from ..errors import InputError
from ..model.text import TextEncoder
from ..paper.batches import PaperBatch, collate
from ..paper.config import PaperConfig
from ..paper.model import PaperCTEG
from ..shared.spaces import FLAME53
from .batches import ClipBatches, FeatureStore, blocks, in_groups, require_clips
from .paper_objective import learning_rate as noam
from .paper_objective import losses, optimiser
from .recipe import Precision, Recipe, Terms, take_rows, take_weights, weights_identity

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..paper.checkpoint import PaperCheckpoint


@dataclass(frozen=True)
class PaperSettings:
    """What a run is made of; the defaults are those of the released training script.

    Attributes:
        steps: optimiser steps in all; the paper trains 100 epochs.
        batch_size: clips per step.
        learning_rate: None for the Noam schedule; otherwise constant after a linear warm-up.
        warmup: steps until the learning rate is highest.
        factor: on the Noam schedule (`paper_objective.learning_rate`).
        seed: of weights, batches and noise.
    """

    steps: int
    batch_size: int = 256
    learning_rate: float | None = None
    warmup: int = 4000
    factor: float = 2.0
    seed: int = 0


#: What fine-tuning changes: the schedule is made for fresh weights.
FINE_TUNING: dict[str, Any] = {"learning_rate": 1e-4, "warmup": 20}


@dataclass(frozen=True)
class Scored:
    """How many positions each term of `paper_objective.losses` is a mean over."""

    kl: int
    reconstruction: int
    guided: int
    first_frame: int

    @classmethod
    def of(cls, clips: PaperBatch, config: PaperConfig) -> Scored:
        """Counted as the objective masks them."""
        mask = clips.target_mask
        kl = mask[:, :-1].numel() if config.kl_over_padding else int(mask[:, :-1].sum())
        return cls(kl, int(mask[:, 1:].sum()), int(mask[:, 1:-1].sum()), len(mask))

    def share(self, whole: Scored) -> dict[str, float]:
        """The part's share of the whole batch's means, by term."""
        return {name: count / max(1, getattr(whole, name)) for name, count in vars(self).items()}


@dataclass(frozen=True)
class PaperLines:
    """A teacher-forcing batch.

    Attributes:
        clips: what the decoder reads and predicts.
        memory: text features, (B, S, D); ``memory_mask`` (B, S) is True at real tokens.
        whole: where this is a part of a batch, what the whole batch's terms are means over.
    """

    clips: PaperBatch
    memory: Tensor
    memory_mask: Tensor
    whole: Scored | None = None


class PaperBatches(ClipBatches):
    """Batches of one split. Clips of similar length go together, unless all are padded to the limit anyway."""

    def __init__(
        self, clips: Performances, features: FeatureStore, mean: Tensor, config: PaperConfig, size: int, seed: int
    ) -> None:
        super().__init__(clips, features, size, seed)
        self.mean, self.config = mean, config

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Clip indices of every batch of an epoch."""
        if not self.config.pad_clips:
            return super().order(epoch)
        return in_groups(np.random.default_rng([self.seed, epoch]).permutation(len(self.clips)), self.size)

    def collate(self, indices: list[int]) -> PaperLines:
        """One batch of the given clips."""
        memory, mask, _ = self.texts(indices, 1, self.config.max_text if self.config.pad_text else 0)
        frames = [torch.from_numpy(self.clips.frames(i)) for i in indices]
        return PaperLines(collate(frames, self.mean, self.config), torch.from_numpy(memory), torch.from_numpy(mask))


class PaperObjective(nn.Module):
    """`PaperCTEG` and its objective as one module, as a recipe wants it."""

    def __init__(self, model: PaperCTEG) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: PaperLines, step: int) -> Terms:
        """Teacher forcing with latents from the recognition network: total, kl, reconstruction, guidance, first_frame.

        In eval mode there is one term more, ``reconstruction_prior``: the same with latents from the prior, which is
        what the released evaluation reports.
        """
        clips, config = batch.clips, self.model.config
        share = Scored.of(clips, config).share(batch.whole) if batch.whole is not None else None
        share = share or dict.fromkeys(("kl", "reconstruction", "guided", "first_frame"), 1.0)
        output = self.model(clips, batch.memory, batch.memory_mask)
        with torch.autocast(batch.memory.device.type, enabled=False):
            found = losses(output, clips, config)
            kl, reconstruction = found.kl * share["kl"], found.reconstruction * share["reconstruction"]
            guidance = found.guided * share["guided"]
            terms = {
                "total": kl + reconstruction + guidance,
                "kl": kl,
                "reconstruction": reconstruction,
                "guidance": guidance,
                "first_frame": found.first_frame * share["first_frame"],
            }
        if not self.training:
            output = self.model(clips, batch.memory, batch.memory_mask, "prior")
            terms["reconstruction_prior"] = losses(output, clips, config).reconstruction * share["reconstruction"]
        return terms


class PaperRecipe(Recipe[PaperLines]):
    """The paper's CTEG: Adam and Noam schedule, the released objective, quirks as the config says, fp32.

    Args:
        train, dev: the splits, in the space flame53.
        settings: of the run.
        encoder: the frozen text encoder; the model is as wide as it is.
        device: where it is trained.
        cache: folder for text features (half precision: lines are encoded once).
        config: of a new model; its width is filled in.
        start: a checkpoint to go on from instead: its weights and its mean face; ``config`` may switch its quirks.

    Raises:
        DataError: an empty split.
        InputError: data of another space, a config that does not fit the encoder or ``start``.
    """

    name = "paper"
    precision: Precision = "fp32"
    module: PaperObjective
    train: PaperBatches
    dev: PaperBatches

    def __init__(
        self,
        train: Performances,
        dev: Performances,
        settings: PaperSettings,
        encoder: TextEncoder,
        device: torch.device,
        cache: Path,
        config: PaperConfig | None = None,
        start: PaperCheckpoint | None = None,
    ) -> None:
        require_clips(train=train, dev=dev)
        for clips in (train, dev):
            if clips.space.name != FLAME53.name:
                raise InputError(
                    f"The paper's model speaks flame53 (EmoAva) and this data {clips.space.name}; train --model "
                    "default on it."
                )
        self._settings, self._encoder = settings, encoder
        self.seed, self.steps = settings.seed, settings.steps
        self._begins = None if start is None else weights_identity(start.model)
        if start is not None:
            self.config = config or start.model.config
        else:
            self.config = replace(config or PaperConfig(), d_model=encoder.width)
        if self.config.channels != FLAME53.size or self.config.d_model != encoder.width:
            raise InputError(
                f"The model reads {self.config.channels} channels and text features {self.config.d_model} wide, and "
                f"the data has {FLAME53.size}, the text encoder {encoder.width}; choose those that fit together."
            )
        self.mean = start.mean.cpu() if start is not None else mean_face(train)
        size, seed = settings.batch_size, settings.seed
        self.train, self.dev = (
            PaperBatches(c, FeatureStore.of(c, encoder, cache), self.mean, self.config, size, seed)
            for c in (train, dev)
        )
        torch.manual_seed(settings.seed)
        model = PaperCTEG(self.config)
        if start is not None:
            take_weights(model, start.model, start.name)
        self.module = PaperObjective(model.to(device))

    def settings(self) -> dict[str, Any]:
        """Model, training, text encoder, what data there are, and what was trained before."""
        return {
            "model": self.config.to_json(),
            "training": asdict(self._settings),
            "text_encoder": self._encoder.name,
            "clips": [len(self.train.clips), len(self.dev.clips)],
            "data": data_identity(self.train.clips)[:16],
            "from": self._begins,
        }

    def part(self, batch: PaperLines, rows: slice) -> tuple[PaperLines, float]:
        """Some clips of ``batch``; `PaperObjective` weighs their terms."""
        whole = Scored.of(batch.clips, self.config)
        return replace(take_rows(batch, rows, len(batch.memory)), whole=whole), 1.0

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam(0.9, 0.98, 1e-9)."""
        return optimiser(self.module)

    def learning_rate(self, step: int) -> float:
        """The Noam schedule; or, where a learning rate is set, that one after a linear warm-up."""
        s = self._settings
        if s.learning_rate is not None:
            return s.learning_rate * min(1.0, (step + 1) / max(1, s.warmup))
        return noam(step + 1, self.config.d_model, s.warmup, s.factor)

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """Reconstruction + KL: the objective without guidance, which is a help to training and no aim of its own."""
        return terms["reconstruction"] + terms["kl"]

    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """A checkpoint of the paper's model."""
        from ..paper.checkpoint import PaperCheckpoint, save_paper_checkpoint

        assert isinstance(module, PaperObjective)
        training = {"step": training["step"], "settings": asdict(self._settings), "dev": training["dev"]}
        save_paper_checkpoint(PaperCheckpoint(module.model, self.mean, self._encoder, folder.name, training), folder)


def mean_face(train: Performances) -> Tensor:
    """The mean face every clip starts from, (E,): EmoAva's own, otherwise the mean over the training split."""
    mean = getattr(train, "mean", None)
    if mean is None:
        total, count = np.zeros(train.space.size), 0
        for frames in blocks(train):
            total, count = total + frames.sum(0), count + len(frames)
        mean = total / count
    return torch.from_numpy(np.array(mean, np.float32))
