# SPDX-License-Identifier: GPL-3.0-or-later
"""How the default CTEG is trained: from scratch on a corpus, or further on one's own captures."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..corpus.datasets import Performances, data_identity
from ..corpus.reader import Corpus
from ..engine.config import ModelConfig, PerformConfig
from ..errors import InputError
from ..model.checkpoint import PERFORMANCE, WHOLE, Checkpoint, load_checkpoint, save_checkpoint
from ..model.cteg import CTEG, InputNoise
from ..model.text import TextEncoder
from .batches import Batch, Batches, FeatureStore, Whole, channel_motion, channel_reach, channel_scale, require_clips
from .classifier import Labelled, ReaderSettings, fit_emotion_reader
from .free_running import free_running
from .objective import Weights, compute, input_noise
from .recipe import Descent, DescentSettings, Precision, Terms, take_rows, take_weights, warm_cosine, weights_identity


@dataclass(frozen=True)
class DefaultSettings(DescentSettings):
    """`DescentSettings`, and of the default model:

    Attributes:
        kl_weight: β; reached after ``kl_warmup_share`` of all steps.
        guidance_weight: of latent guidance (`objective.Weights`).
        white_noise, drift_noise: on the frames that the decoder reads, in the rms of a channel's second difference and
            in its scale (`objective.input_noise`).
        free_running: share of the energy score of takes that run free in what is minimised
            (`free_running.free_running`); at 1 it is all, and no past of the teacher's is read.
        free_from: after which share of the steps. Where that is not the first, the learning rate descends a second
            time, from a fifth (Loshchilov and Hutter 2017, "SGDR").
        emphasis: how much more strongly such takes are told their emotions, in training as when they are performed
            (`PerformConfig`); that of a checkpoint that is trained further stays.
        kept: how much of the weights that training began from is in those that are saved (Wortsman et al. 2022,
            "Robust fine-tuning of zero-shot models"), of a checkpoint that is trained further.
        open_emotion, open_intensity, open_energy: in what share of the clips each is not told to the model.
        average_decay: of the moving average of the weights.
        emotion_steps: optimiser steps of what reads emotions from words, fitted afterwards where lines are labelled.
    """

    steps: int = 12_000
    batch_size: int = 32
    warmup: int = 200
    kl_weight: float = 1.0
    kl_warmup_share: float = 0.2
    guidance_weight: float = 0.01
    white_noise: float = 0.2
    drift_noise: float = 0.2
    free_running: float = 0.05
    free_from: float = 0.95
    emphasis: float = 1.2
    kept: float = 0.0
    open_emotion: float = 0.1
    open_intensity: float = 0.15
    open_energy: float = 0.3
    average_decay: float = 0.997
    emotion_steps: int = ReaderSettings().steps


#: What fine-tuning changes: the weights are good already, and β must not let them forget their prior.
FINE_TUNING: dict[str, Any] = {
    "learning_rate": 1e-4, "warmup": 20, "kl_warmup_share": 0.0, "free_running": 0.0, "free_from": 0.0,
}  # fmt: skip


class DefaultObjective(nn.Module):
    """The decoder and its objective as one module, as a recipe wants it."""

    def __init__(self, decoder: CTEG, settings: DefaultSettings, rates: Tensor, emphasis: float) -> None:
        super().__init__()
        self.decoder, self.settings, self._emphasis = decoder, settings, emphasis
        self._free_from = first_free_step(settings)
        #: Noise is drawn on the CPU; read back from a device, these would be waited for at every step.
        self._drawn_in = rates
        self.rates: Tensor
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, batch: Batch, step: int) -> Terms:
        """Teacher forcing, with input noise in train mode only; the terms are those of `objective.Objective`.

        Where takes run free, with a term for them, which at a share of 1 is the only one.
        """
        share = self.settings.free_running
        if step < self._free_from:
            return self._forced(batch, step)
        with torch.autocast(batch.frames.device.type, enabled=False):
            score = free_running(self.decoder, batch, self.rates, self._emphasis)
        if share == 1:
            return {"total": score, "free_running": score}
        terms = self._forced(batch, step)
        return {**terms, "total": (1 - share) * terms["total"] + share * score, "free_running": score}

    def _forced(self, batch: Batch, step: int) -> Terms:
        settings, decoder = self.settings, self.decoder
        scaled = batch.frames / decoder.scale
        noise = self._noise(batch, step) if self.training else None
        # On the CPU the fused attention's backward is slower than the plain one at these sizes.
        cpu = scaled.device.type == "cpu"
        with sdpa_kernel([SDPBackend.MATH] if cpu else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            output = decoder(scaled, batch.condition, noise)
        warm = max(1, round(settings.kl_warmup_share * settings.steps))
        weights = Weights(settings.kl_weight * min(1.0, step / warm), settings.guidance_weight)
        with torch.autocast(scaled.device.type, enabled=False):
            return dict(vars(compute(decoder, batch, output, weights, self.rates)))

    def _noise(self, batch: Batch, step: int) -> InputNoise:
        """Input noise of this step; a part of a batch gets its rows of the whole batch's noise."""
        settings, (clips, *rest) = self.settings, batch.frames.shape
        whole = batch.whole or Whole(clips, 0, 0.0)
        rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        noise = input_noise((whole.clips, *rest), rng, settings.white_noise, settings.drift_noise, self._drawn_in)
        rows, device = slice(whole.first, whole.first + clips), batch.frames.device
        return InputNoise(noise.values[rows].to(device), noise.level[rows].to(device))


def first_free_step(settings: DefaultSettings) -> int:
    """The first step at which takes run free; ``steps`` where they never do."""
    return round(settings.free_from * settings.steps) if settings.free_running else settings.steps


class DefaultRecipe(Descent[Batch]):
    """The default CTEG: AdamW with a cosine schedule, a moving average of the weights, bf16.

    Args:
        train, dev: the splits; where they do not say which emotion a clip shows, it counts as neutral.
        settings: of the run.
        encoder: the frozen text encoder.
        device: where it is trained.
        cache: folder for text features.
        config: of the model; of a new one the data's space and the encoder's width are filled in.
        start: a checkpoint to go on from: its weights, its scale and its emotion classifier.

    Raises:
        DataError: an empty split.
        InputError: the data, the text encoder or the config does not fit ``start``.
    """

    name = "default"
    precision: Precision = "bf16"
    module: DefaultObjective
    _settings: DefaultSettings
    train: Batches
    dev: Batches

    def __init__(
        self,
        train: Performances,
        dev: Performances,
        settings: DefaultSettings,
        encoder: TextEncoder,
        device: torch.device,
        cache: Path,
        config: ModelConfig | None = None,
        start: Checkpoint | None = None,
    ) -> None:
        require_clips(train=train, dev=dev)
        self._settings, self._encoder, self._cache, self._start = settings, encoder, cache, start
        self.seed, self.steps = settings.seed, settings.steps
        self._begins = None if start is None else weights_identity(start.decoder)
        self.clip_norm, self.average_decay = settings.clip_norm, settings.average_decay
        if start is not None:
            _check_fit(start, train, encoder)
            self.config = config or start.decoder.config
        else:
            self.config = replace(config or ModelConfig(), text_width=encoder.width, space=train.space.name)
        size, seed = settings.batch_size, settings.seed
        left_open = settings.open_emotion, settings.open_intensity, settings.open_energy
        self.train, self.dev = (
            Batches(c, FeatureStore.of(c, encoder, cache), self.config, size, seed, some)
            for c, some in ((train, left_open), (dev, (0.0, 0.0, 0.0)))
        )
        torch.manual_seed(settings.seed)
        decoder = CTEG(self.config).to(device)
        reach = channel_reach(train).to(device)
        if start is None:
            decoder.scale.copy_(channel_scale(train))
        else:
            take_weights(decoder, start.decoder, start.name)
            reach = torch.stack([torch.minimum(reach[0], decoder.reach[0]), torch.maximum(reach[1], decoder.reach[1])])
        decoder.reach.copy_(reach)
        pace, rates = channel_motion(train, decoder.scale.cpu())
        if start is None:
            _set_in_motion(decoder, pace, rates)
        # What runs free in training is told what it will be told when it performs.
        self._perform = PerformConfig(emphasis=settings.emphasis) if start is None else start.perform
        self.module = DefaultObjective(decoder, settings, rates, self._perform.emphasis).to(device)
        # Processors without instructions for bf16 compute in it three times more slowly than in fp32.
        if device.type == "cpu" and not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
            self.precision = "fp32"

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

    def learning_rate(self, step: int) -> float:
        """One descent, and another where takes begin to run free on the way."""
        s, free = self._settings, first_free_step(self._settings)
        if not 0 < free <= step:
            return warm_cosine(step, free or s.steps, s.warmup, s.learning_rate)
        return warm_cosine(step - free, s.steps - free, s.warmup // 10, s.learning_rate / 5)

    def part(self, batch: Batch, rows: slice) -> tuple[Batch, float]:
        """Some clips of ``batch``; `objective.compute` weighs their terms."""
        size = len(batch.frames)
        whole = Whole(size, rows.indices(size)[0], float(batch.step_mask.sum()))
        return replace(take_rows(batch, rows, size), whole=whole), 1.0

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """The negative evidence lower bound, what β = 1 minimises; None while β is warming up: it is loose then.

        Where takes run free, or will, their energy score.
        """
        if "free_running" in terms:
            return terms["free_running"]
        if self._settings.free_running or step < self._settings.kl_warmup_share * self._settings.steps:
            return None
        return terms["reconstruction"] + terms["kl"]

    def save(self, module: nn.Module, folder: Path, training: dict[str, Any]) -> None:
        """A checkpoint for `say` and the worker."""
        assert isinstance(module, DefaultObjective)
        training = {"step": training["step"], "settings": asdict(self._settings), "dev": training["dev"]}
        # A corpus's faces have no words: a computed speech is laid over them. Recordings keep the actor's own mouth.
        layers = PERFORMANCE if isinstance(self.train.clips, Corpus) else WHOLE
        start = self._start
        emotion = None if start is None else start.emotion
        name = self._encoder.name
        decoder = module.decoder
        if start is not None and self._settings.kept:
            decoder = copy.deepcopy(decoder)
            for new, old in zip(decoder.parameters(), start.decoder.parameters(), strict=True):
                new.data.lerp_(old.data.to(new), self._settings.kept)
        save_checkpoint(Checkpoint(decoder, emotion, name, folder.name, training, layers, self._perform), folder)

    def finish(self, folder: Path) -> dict[str, float]:
        """Fit what reads emotions from words, where there are labelled lines, in ``emotion/`` beside ``folder``.

        A fine-tuned checkpoint keeps the one that it came with.
        """
        train, dev = (self._labelled(self.train.clips, "train"), self._labelled(self.dev.clips, "dev"))
        if self._start is not None or train is None or dev is None:
            return {}
        checkpoint = load_checkpoint(folder, next(self.module.parameters()).device)
        settings = ReaderSettings(steps=self._settings.emotion_steps, seed=self._settings.seed)
        return refit_emotion(checkpoint, folder, train, dev, self._encoder, folder.parent / "emotion", settings)

    def _labelled(self, clips: Performances, split: str) -> Labelled | None:
        """Lines that their source labels with an emotion, and ours; only a corpus has them."""
        lines = clips.labelled() if isinstance(clips, Corpus) else {}
        return Labelled.of(lines, split) if lines else None


def refit_emotion(
    checkpoint: Checkpoint, folder: Path, train: Labelled, dev: Labelled, encoder: TextEncoder, run: Path,
    settings: ReaderSettings | None = None,
) -> dict[str, float]:  # fmt: skip
    """Write ``checkpoint`` to ``folder`` with a new emotion reader; returns what `fit_emotion_reader` measured.

    The fitting goes on where it was interrupted in ``run``.
    """
    reader, measured = fit_emotion_reader(
        train, dev, encoder, run, settings, device=checkpoint.decoder.scale.device
    )  # fmt: skip
    training = {**checkpoint.training, "emotion_from_text": measured}
    save_checkpoint(replace(checkpoint, emotion=reader, training=training), folder)
    return measured


@torch.no_grad()
def _set_in_motion(decoder: CTEG, pace: Tensor, turns: Tensor) -> None:
    """Pace and inertia of channels whose changes, and the changes of those, have such rms: see `channel_motion`."""
    decoder.pace.copy_(pace)
    if decoder.carry is not None:
        kept = (1 - (turns / pace).square() / 2).clamp(0, 1)  # correlation of a change with the next one
        decoder.carry.copy_(torch.stack([kept ** (k + 1) for k in range(len(decoder.carry))]).cumsum(0))


def _check_fit(start: Checkpoint, train: Performances, encoder: TextEncoder) -> None:
    """InputError when data or text encoder do not fit a checkpoint."""
    config = start.decoder.config
    if config.space != train.space.name:
        raise InputError(
            f"The checkpoint {start.name} speaks {config.space} and the data {train.space.name}; choose a checkpoint "
            "that speaks the data's space, or leave out --from."
        )
    if config.text_width != encoder.width:
        raise InputError(
            f"The checkpoint {start.name} was trained with the text encoder {start.text_encoder}; leave out "
            "--text-encoder to use it."
        )
