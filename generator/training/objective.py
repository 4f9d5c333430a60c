# SPDX-License-Identifier: GPL-3.0-or-later
"""The training objective (section 3.4): reconstruction + KL + latent guidance, and the heads' own terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import Generator
from ..conditioning import length_features
from ..model import InputNoise, StepOutput
from .batches import Batch


@dataclass(frozen=True)
class Weights:
    """Weights of the objective's terms.

    Attributes:
        kl: β of the KL term (warmed up from 0).
        guidance: weight of the latent-guidance term (the paper uses 1 with a Gaussian prior; a prior that may say
            "blink or not" must not be pulled to the mean of both, hence less by default).
    """

    kl: float
    guidance: float


@dataclass(frozen=True)
class Objective:
    """Terms of the objective, means over steps that hold frames; of a part of a batch, its share of those means.

    Attributes:
        total: what is minimised.
        reconstruction: negative log likelihood of the frames without its constant, nats per step.
        kl: KL(q || p), one Monte-Carlo sample, nats per step.
        guidance: as reconstruction, for the prior sample alone.
        length: negative log likelihood of log seconds.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    guidance: Tensor
    length: Tensor


def compute(generator: Generator, batch: Batch, output: StepOutput, weights: Weights) -> Objective:
    """The objective of one batch; everything here is fp32."""
    decoder = generator.decoder
    target = batch.frames / decoder.scale
    mask = batch.step_mask.float()
    sigma = decoder.config.reconstruction_sigma
    # How much of the whole batch's steps and clips this is: 1 unless the batch is a part of another.
    steps = clips = 1.0
    if batch.whole is not None:
        steps, clips = float(batch.step_mask.sum()) / batch.whole.steps, len(batch.frames) / batch.whole.clips

    def likelihood(prediction: Tensor) -> Tensor:
        error = (prediction - target).square().sum((-1, -2)) / (2 * sigma**2)
        return (error * mask).sum() / mask.sum() * steps

    kl = target.new_zeros(())
    for posterior, prior, latent in zip(output.posterior, output.prior, output.latent, strict=True):
        divergence = posterior.log_density(latent) - prior.log_density(latent)
        kl = kl + (divergence * mask).sum() / mask.sum() * steps
    condition = batch.condition
    length = generator.length(batch.pooled, batch.statistics, length_features(condition, decoder.config))
    seconds = (condition.frames / decoder.space.fps).log()
    length_loss = F.gaussian_nll_loss(length.mean, seconds, length.deviation.square(), eps=1e-4) * clips
    reconstruction, guidance = likelihood(output.prediction), likelihood(output.guided)
    per_value = decoder.config.frames_per_step * decoder.space.size
    total = (reconstruction + weights.kl * kl + weights.guidance * guidance) / per_value + 0.1 * length_loss
    return Objective(total, reconstruction, kl, guidance, length_loss)


def input_noise(shape: Sequence[int], generator: torch.Generator, white: float, drift: float) -> InputNoise:
    """Noise for the frames the decoder reads, scaled, of ``shape`` (B, N, P, C): white, plus a slow drift.

    Per clip, the strength is uniform between 0 and ``white`` / ``drift``. The drift is what free running accumulates.
    """
    batch, steps, p, channels = shape
    strength = torch.rand(2, batch, 1, 1, generator=generator)
    noise = white * strength[0] * torch.randn(batch, steps * p, channels, generator=generator)
    knots = torch.randn(batch, channels, max(2, math.ceil(steps * p / 24) + 1), generator=generator)
    slow = F.interpolate(knots, size=steps * p, mode="linear", align_corners=True).transpose(1, 2)
    values = (noise + drift * strength[1] * slow).unflatten(1, (steps, p))
    return InputNoise(values, strength.flatten(1).T)
