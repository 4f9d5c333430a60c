# SPDX-License-Identifier: GPL-3.0-or-later
"""How the baselines are trained: their settings, batches, objectives and recipes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from ..baselines.checkpoint import save_baseline
from ..baselines.data import BaselineBatch, Lines, direction_vector
from ..baselines.lstm import LstmRegressor
from ..baselines.model import BaselineModel
from ..baselines.vq import VqPerformer
from ..corpus.datasets import Performances
from ..direction.spelling import FIRST_STATISTICS, line_statistics
from ..errors import InputError
from ..model.text import TextEncoder
from .batches import FeatureStore, channel_scale, require_clips, round_up, similar_lengths
from .recipe import Recipe, Terms, warm_cosine


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


class BaselineBatches:
    """Batches of clips of similar length (`generator.training.recipe.BatchSource`); longer clips are cut."""

    def __init__(self, clips: Performances, features: FeatureStore, size: int, seed: int, max_frames: int) -> None:
        self.clips, self.features, self.size, self.seed, self.max_frames = clips, features, size, seed, max_frames
        self._lengths = np.array([min(clips.length(i), max_frames) for i in range(len(clips))])

    def __len__(self) -> int:
        return -(-len(self.clips) // self.size)

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Clip indices of every batch of an epoch."""
        return similar_lengths(self._lengths, self.size, self.seed, epoch)

    def collate(self, indices: list[int]) -> BaselineBatch:
        """The batch of these clips, on the CPU."""
        lines = [self.clips.text(i) for i in indices]
        texts = [self.features.get(line) for line in lines]
        lengths = [int(self._lengths[i]) for i in indices]
        tokens, width = round_up(max(len(h) for h, _ in texts)), texts[0][0].shape[1]
        frames = np.zeros((len(indices), round_up(max(lengths)), self.clips.space.size), np.float32)
        hidden = np.zeros((len(indices), tokens, width), np.float32)
        place = np.zeros((len(indices), tokens), np.float32)
        mask = np.zeros((len(indices), tokens), bool)
        for row, (index, length, (h, q)) in enumerate(zip(indices, lengths, texts, strict=True)):
            frames[row, :length] = self.clips.frames(index)[:length]
            hidden[row, : len(h)], place[row, : len(h)], mask[row, : len(h)] = h, q, True
        directions = np.stack([direction_vector(self.clips.direction(i)) for i in indices])
        read = Lines(
            torch.from_numpy(hidden),
            torch.from_numpy(mask),
            torch.from_numpy(place),
            torch.from_numpy(directions),
            torch.tensor([line_statistics(line)[:FIRST_STATISTICS] for line in lines]),
        )
        return BaselineBatch(torch.from_numpy(frames), torch.tensor(lengths), read)


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


@dataclass(frozen=True)
class LstmSettings(BaselineSettings):
    """Settings of `LstmRecipe`.

    Attributes:
        width: of the LSTM's state.
        layers: LSTM layers.
        heads: of the attention over the text.
        input_noise: strength of the noise on the frames it reads while training, in standard deviations of a channel:
            without it the network copies the previous frame and stands still when it runs freely.
        length_weight: of the length's error in the objective.
    """

    width: int = 256
    layers: int = 1
    heads: int = 4
    input_noise: float = 0.5
    length_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least_one("layers")
        self.require_heads_fit(self.width, self.heads)


class LstmObjective(nn.Module):
    """`LstmRegressor` with its objective."""

    def __init__(self, model: LstmRegressor, settings: LstmSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings

    def forward(self, batch: BaselineBatch, step: int) -> Terms:
        """Means over clips: ``reconstruction``, per value and in units of `scale`; ``length``, squared log seconds."""
        model, settings = self.model, self.settings
        target = batch.frames / model.scale
        previous = F.pad(target[:, :-1], (0, 0, 1, 0))
        if self.training:
            strength = torch.rand_like(target[:, :1, :1]) * settings.input_noise
            previous = previous + strength * torch.randn_like(previous)
        error = (model(previous, batch.lengths, batch.lines) - target).square().mean(-1)
        reconstruction = ((error * batch.mask()).sum(1) / batch.lengths).mean()
        length = model.length.loss(batch.lines, batch.lengths)
        total = reconstruction + settings.length_weight * length
        return {"total": total, "reconstruction": reconstruction, "length": length}


class LstmRecipe(BaselineRecipe):
    """How the LSTM regressor is trained."""

    name = "lstm"
    settings_type = LstmSettings

    def build(self, train: Performances) -> nn.Module:
        """See `BaselineRecipe.build`."""
        s = self._settings
        assert isinstance(s, LstmSettings)
        model = LstmRegressor(train.space, self.encoder.width, s.width, s.layers, s.heads, s.max_frames)
        model.scale.copy_(channel_scale(train))
        return LstmObjective(model, s)


@dataclass(frozen=True)
class VqSettings(BaselineSettings):
    """Settings of `VqRecipe`.

    Attributes:
        codes: size of the codebook.
        code_width: dimensions of a code.
        window: frames per code.
        autoencoder_width: channels of the VQ-VAE's convolutions.
        width, layers, heads, inner: of the transformer.
        autoencoder_share: share of all steps that train the VQ-VAE; then it is frozen and its codes are learned.
        commitment: weight of what pulls latents to their codes (van den Oord et al. 2017: 0.25).
        temperature: of sampling codes.
        dropout: in the transformer.
    """

    codes: int = 256
    code_width: int = 16
    window: int = 4
    autoencoder_width: int = 128
    width: int = 256
    layers: int = 3
    heads: int = 4
    inner: int = 512
    autoencoder_share: float = 0.4
    commitment: float = 0.25
    temperature: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least_one("codes", "code_width", "autoencoder_width", "layers", "inner")
        self.require_heads_fit(self.width, self.heads)
        if self.window not in (2, 4, 8):
            raise InputError(f"The setting window must be 2, 4 or 8 frames, not {self.window}.")
        if not 0 <= self.dropout < 1 or self.temperature < 0:
            raise InputError("The setting dropout must be from 0 to below 1, and temperature not negative.")
        if not 0 < self.autoencoder_share < 1:
            raise InputError(f"The setting autoencoder_share must be between 0 and 1, not {self.autoencoder_share}.")


class VqObjective(nn.Module):
    """`VqPerformer` with its two objectives, one after the other."""

    def __init__(self, model: VqPerformer, settings: VqSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings

    def forward(self, batch: BaselineBatch, step: int) -> Terms:
        """The VQ-VAE's terms before step ``autoencoder_steps``, then the transformer's; means over clips."""
        if step < autoencoder_steps(self.settings):
            return self._autoencoder_terms(batch)
        return self._code_terms(batch)

    def _autoencoder_terms(self, batch: BaselineBatch) -> Terms:
        model, target = self.model, batch.frames / self.model.scale
        mask, code_mask, found = batch.mask(), model.code_mask(batch), model.quantise(batch)
        # Straight-through: the decoder's gradient passes the choice of a code as if it had not been made.
        passed = found.latent + (found.nearest - found.latent).detach()
        error = (model.autoencoder.frames(passed, code_mask) - target).square().mean(-1)
        reconstruction = ((error * mask).sum(1) / batch.lengths).mean()
        away = (found.latent - found.nearest.detach()).square().mean(-1)
        commitment = ((away * code_mask).sum(1) / code_mask.sum(1)).mean()
        total = reconstruction + self.settings.commitment * commitment
        if self.training:
            model.autoencoder.follow(found, code_mask)
        return {"total": total, "reconstruction": reconstruction, "commitment": commitment}

    def _code_terms(self, batch: BaselineBatch) -> Terms:
        model = self.model
        with torch.no_grad():
            codes = model.quantise(batch).codes
        counts = model.code_mask(batch).sum(1)
        place = torch.arange(codes.shape[1] + 1, device=codes.device)
        target = torch.where(place < counts[:, None], F.pad(codes, (0, 1)), model.end)
        logits = model.logits(codes, batch.lines)
        surprise = F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none").view_as(target)
        read = (place <= counts[:, None]).to(surprise)
        cross_entropy = ((surprise * read).sum(1) / (counts + 1)).mean()
        return {"total": cross_entropy, "cross_entropy": cross_entropy}


class VqRecipe(BaselineRecipe):
    """How the discrete baseline is trained: first the VQ-VAE, then the transformer over its codes."""

    name = "vq"
    settings_type = VqSettings

    def build(self, train: Performances) -> nn.Module:
        """See `BaselineRecipe.build`."""
        s = self._vq
        model = VqPerformer(
            train.space, self.encoder.width, s.codes, s.code_width, s.window, s.autoencoder_width, s.width, s.layers,
            s.heads, s.inner, s.max_frames, s.temperature, s.dropout,
        )  # fmt: skip
        model.scale.copy_(channel_scale(train))
        return VqObjective(model, s)

    def learning_rate(self, step: int) -> float:
        """Each stage has its own warm-up and cosine."""
        s, first = self._vq, autoencoder_steps(self._vq)
        stage, length = (step, first) if step < first else (step - first, s.steps - first)
        return warm_cosine(stage, length, min(s.warmup, length // 4 + 1), s.learning_rate)

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """The transformer's cross-entropy; the VQ-VAE alone performs nothing."""
        return terms.get("cross_entropy")

    @property
    def _vq(self) -> VqSettings:
        assert isinstance(self._settings, VqSettings)
        return self._settings


def autoencoder_steps(settings: VqSettings) -> int:
    """Steps of the first stage."""
    return round(settings.autoencoder_share * settings.steps)
