# SPDX-License-Identifier: GPL-3.0-or-later
"""How the baselines are trained: their settings, batches, objectives and recipes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..baselines.checkpoint import save_baseline
from ..baselines.data import BaselineBatch, Lines, direction_vector, line_statistics
from ..baselines.lstm import LstmRegressor
from ..baselines.model import BaselineModel
from ..baselines.vq import VqPerformer
from ..corpus.datasets import Performances, data_identity
from ..errors import InputError
from ..model.text import TextEncoder
from .batches import ClipBatches, FeatureStore, channel_scale, require_clips, round_up
from .recipe import Descent, DescentSettings, Terms, warm_cosine


@dataclass(frozen=True)
class BaselineSettings(DescentSettings):
    """`DescentSettings`, and ``max_frames``: longer clips are cut, and longer ones cannot be performed."""

    steps: int = 4000
    batch_size: int = 64
    max_frames: int = 256

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


class BaselineBatches(ClipBatches):
    """Of the baselines; clips are cut to ``max_frames``."""

    def __init__(self, clips: Performances, features: FeatureStore, size: int, seed: int, max_frames: int) -> None:
        super().__init__(clips, features, size, seed)
        self._lengths = self._lengths.clip(max=max_frames)

    def collate(self, indices: list[int]) -> BaselineBatch:
        """The batch of these clips, on the CPU."""
        lines = [self.clips.text(i) for i in indices]
        lengths = self._lengths[indices]
        frames = np.zeros((len(indices), round_up(int(lengths.max())), self.clips.space.size), np.float32)
        for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            frames[row, :length] = self.clips.frames(index)[:length]
        directions = np.stack([direction_vector(self.clips.direction(i)) for i in indices])
        hidden, mask, place = map(torch.from_numpy, self.texts(indices))
        read = Lines(
            hidden,
            mask,
            place,
            torch.from_numpy(directions),
            torch.tensor([line_statistics(line) for line in lines]),
        )
        return BaselineBatch(torch.from_numpy(frames), torch.from_numpy(lengths), read)


class BaselineRecipe(Descent[BaselineBatch]):
    """A recipe over `BaselineBatch`; subclasses build ``module``, which holds ``model``."""

    _settings: BaselineSettings

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
                clips, FeatureStore.of(clips, encoder, cache), settings.batch_size, settings.seed, settings.max_frames
            )
            for clips in (train, dev)
        )
        self._data = data_identity(train)[:16]
        torch.manual_seed(settings.seed)
        self.module = self.build(train).to(device)

    def build(self, train: Performances) -> nn.Module:
        """The module to train: its ``model`` is what is saved."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """See `Recipe.settings`."""
        model, training = self._model(self.module).config(), asdict(self._settings)
        return {"model": model, "training": training, "data": self._data}

    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """See `Recipe.save`; `generator.baselines.load_baseline` reads it."""
        save_baseline(self._model(module), self.encoder.name, folder, training)

    @staticmethod
    def _model(module: nn.Module) -> BaselineModel:
        model = module.model
        assert isinstance(model, BaselineModel)
        return model


def _over_clips(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over clips of the mean over what belongs to each: ``values`` (B, N) where ``mask`` (B, N) is 1."""
    return ((values * mask).sum(1) / mask.sum(1)).mean()


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
        reconstruction = _over_clips(error, batch.mask())
        length = model.length.loss(batch.lines, batch.lengths)
        total = reconstruction + settings.length_weight * length
        return {"total": total, "reconstruction": reconstruction, "length": length}


class LstmRecipe(BaselineRecipe):
    """How the LSTM regressor is trained."""

    name = "lstm"
    _settings: LstmSettings

    def build(self, train: Performances) -> nn.Module:
        """See `BaselineRecipe.build`."""
        s = self._settings
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
        reconstruction = _over_clips(error, mask)
        commitment = _over_clips((found.latent - found.nearest.detach()).square().mean(-1), code_mask)
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
        cross_entropy = _over_clips(surprise, read)
        return {"total": cross_entropy, "cross_entropy": cross_entropy}


class VqRecipe(BaselineRecipe):
    """How the discrete baseline is trained: first the VQ-VAE, then the transformer over its codes."""

    name = "vq"
    _settings: VqSettings

    def build(self, train: Performances) -> nn.Module:
        """See `BaselineRecipe.build`."""
        s = self._settings
        model = VqPerformer(
            train.space, self.encoder.width, s.codes, s.code_width, s.window, s.autoencoder_width, s.width, s.layers,
            s.heads, s.inner, s.max_frames, s.temperature, s.dropout,
        )  # fmt: skip
        model.scale.copy_(channel_scale(train))
        return VqObjective(model, s)

    def learning_rate(self, step: int) -> float:
        """Each stage has its own warm-up and cosine."""
        s, first = self._settings, autoencoder_steps(self._settings)
        stage, length = (step, first) if step < first else (step - first, s.steps - first)
        return warm_cosine(stage, length, min(s.warmup, length // 4 + 1), s.learning_rate)

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """The transformer's cross-entropy; the VQ-VAE alone performs nothing."""
        return terms.get("cross_entropy")


def autoencoder_steps(settings: VqSettings) -> int:
    """Steps of the first stage."""
    return round(settings.autoencoder_share * settings.steps)
