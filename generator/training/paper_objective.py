# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's objective (section 3) and its learning rate: reconstruction + KL + latent guidance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..paper.batches import PaperBatch
from ..paper.config import PaperConfig
from ..paper.model import PaperOutput


@dataclass(frozen=True)
class PaperLosses:
    """Scalars, in the units of the frames and in nats.

    Attributes:
        kl: KL(recognition || prior), mean over channels, positions and layers.
        reconstruction: mean distance of prediction and target, position 0 left out.
        guided: the same for latent guidance; zero without it.
        first_frame: mean distance at position 0, for the log: it is not trained.
    """

    kl: Tensor
    reconstruction: Tensor
    guided: Tensor
    first_frame: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.kl + self.reconstruction + self.guided


def losses(output: PaperOutput, batch: PaperBatch, config: PaperConfig) -> PaperLosses:
    """The terms of the objective for one teacher-forced pass."""
    scored = batch.target_mask.clone()
    scored[:, 0] = False
    distance = frame_distance(output.prediction, batch.target, config)
    guided = distance.new_zeros(())
    if output.guided is not None:
        guided = _mean(frame_distance(output.guided, batch.target[:, :-1], config), scored[:, :-1])
    return PaperLosses(divergence(output, batch, config), _mean(distance, scored), guided, distance[:, 0].mean())


def frame_distance(predicted: Tensor, target: Tensor, config: PaperConfig) -> Tensor:
    """Euclidean distance of frames (…, E) with the jaw weighted by ``config.jaw_weight``: (…,)."""
    weight = predicted.new_ones(config.channels)
    weight[config.expression_channels :] = config.jaw_weight
    return ((predicted - target) * weight).square().sum(-1).sqrt()


def divergence(output: PaperOutput, batch: PaperBatch, config: PaperConfig) -> Tensor:
    """KL term: the mean over channels, layers and positions, with or without padding (`kl_over_padding`)."""
    pairs = zip(output.recognition, output.prior, strict=True)
    per_position = torch.stack([q.divergence(p).mean(-1) for q, p in pairs]).mean(0)  # (B, T - 1)
    if config.kl_over_padding:
        return per_position.mean()
    return _mean(per_position, batch.target_mask[:, :-1])  # z_i explains the target of position i


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask``; zero, with a gradient, where nothing is left."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def learning_rate(step: int, d_model: int, warmup: int = 4000, factor: float = 2.0) -> float:
    """Noam schedule at ``step`` = 1, 2, …: factor * d_model^-1/2 * min(step^-1/2, step * warmup^-3/2)."""
    return float(factor * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5))


def optimiser(model: nn.Module) -> torch.optim.Adam:
    """Adam as in the paper; set `learning_rate` before every step."""
    return torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)
