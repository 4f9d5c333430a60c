# SPDX-License-Identifier: GPL-3.0-or-later
"""The training objective (section 3.4): reconstruction + KL + latent guidance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.cteg import CTEG, InputNoise, StepOutput
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
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    guidance: Tensor


def compute(decoder: CTEG, batch: Batch, output: StepOutput, weights: Weights, rates: Tensor) -> Objective:
    """The objective of one batch; everything here is fp32. ``rates``: second of `batches.channel_motion`, (C,)."""
    config, target = decoder.config, output.target
    mask = batch.step_mask.float()
    # How much of the whole batch's steps this is: 1 unless the batch is a part of another.
    share = 1.0 if batch.whole is None else float(batch.step_mask.sum()) / batch.whole.steps

    def mean(values: Tensor) -> Tensor:
        return (values * mask).sum() / mask.sum() * share

    def likelihood(prediction: Tensor) -> Tensor:
        error = prediction - target
        terms = error / config.reconstruction_sigma
        if config.velocity_sigma:
            # An error that jumps from frame to frame shows as a tremor, the sooner the more steadily a channel moves.
            # The frame before the step is given, without one.
            jump = torch.diff(error, dim=2, prepend=torch.zeros_like(error[:, :, :1]))
            terms = torch.cat([terms, jump / (config.velocity_sigma * rates)], -1)
        return terms.square().sum((-1, -2)) / 2

    kl = target.new_zeros(())
    for posterior, prior, latent in zip(output.posterior, output.prior, output.latent, strict=True):
        kl = kl + mean(posterior.log_density(latent) - prior.log_density(latent))
    fit, guidance = mean(likelihood(output.prediction)), mean(likelihood(output.guided))
    per_value = config.frames_per_step * decoder.space.size
    total = (fit + weights.kl * kl + weights.guidance * guidance) / per_value
    return Objective(total, fit, kl, guidance)


def input_noise(
    shape: Sequence[int], generator: torch.Generator, white: float, drift: float, rates: Tensor
) -> InputNoise:
    """Noise for the frames the decoder reads, scaled, of ``shape`` (B, N, P, C): white, plus a slow drift.

    Per clip, the strength is uniform between 0 and ``white`` (times ``rates``, (C,)) or ``drift``. The drift is what
    free running accumulates.
    """
    batch, steps, p, channels = shape
    strength = torch.rand(2, batch, 1, 1, generator=generator)
    noise = white * rates * strength[0] * torch.randn(batch, steps * p, channels, generator=generator)
    knots = torch.randn(batch, channels, max(2, math.ceil(steps * p / 24) + 1), generator=generator)
    slow = F.interpolate(knots, size=steps * p, mode="linear", align_corners=True).transpose(1, 2)
    values = (noise + drift * strength[1] * slow).unflatten(1, (steps, p))
    return InputNoise(values, strength.flatten(1).T)
