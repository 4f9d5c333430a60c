# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the head that predicts how long a line takes: after training, to every clip at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning import Condition, length_features
from ..heads import LengthDistribution, LengthPredictor
from .batches import Batches
from .recipe import warm_cosine

#: Passes over the clips; over few clips more of them, until there are so many steps.
_EPOCHS: Final = 12
_FEWEST_STEPS: Final = 1000
_BATCH: Final = 256
_LEARNING_RATE: Final = 3e-3
_WARMUP: Final = 50
_WEIGHT_DECAY: Final = 0.01


@dataclass(frozen=True)
class Timed:
    """N clips as a length predictor reads them.

    Attributes:
        pooled: mean-pooled text features, (N, W).
        statistics: `line_statistics`, (N, `STATISTICS`).
        asked: `length_features`, (N, F).
        log_seconds: how long each clip is, (N,).
    """

    pooled: Tensor
    statistics: Tensor
    asked: Tensor
    log_seconds: Tensor

    @classmethod
    def of(cls, batches: Batches) -> Timed:
        """All clips of a split."""
        rows: list[tuple[Tensor, ...]] = []
        for indices in batches.order(0):
            batch = batches.collate(indices.tolist())
            seconds = batch.condition.frames / batches.clips.space.fps
            asked = length_features(_all_asked(batch.condition), batches.config)
            rows.append((batch.pooled, batch.statistics, asked, seconds.log()))
        return cls(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.log_seconds)

    def predicted(self, head: LengthPredictor, rows: Tensor | slice = slice(None)) -> LengthDistribution:
        """What ``head`` says of some of them."""
        device = head.output.weight.device
        out: LengthDistribution = head(*(part[rows].to(device) for part in (self.pooled, self.statistics, self.asked)))
        return out


def _all_asked(condition: Condition) -> Condition:
    """The same with nothing left open, which is how a performer asks (`generator.performing.asked.told`)."""
    direction = condition.direction
    if direction is None:
        return condition
    return replace(condition, direction=replace(direction, given=torch.ones_like(direction.given)))


def fit_length_predictor(
    train: Timed, dev: Timed, device: torch.device | str = "cpu"
) -> tuple[LengthPredictor, dict[str, float]]:
    """A new head, fitted to the train split by the likelihood of log seconds.

    While the decoder trains, a head is trained beside it, on batches of clips of similar length and on directions that
    are partly left open; fitted by itself, this one is nearer to what is asked of it.

    Returns:
        the head in eval mode, and of the dev split ``error_seconds`` (mean distance of the median length from the
        clip's) and ``clips``.
    """
    torch.manual_seed(0)
    head = LengthPredictor(train.pooled.shape[1], train.asked.shape[1]).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    per_epoch = -(-len(train) // _BATCH)
    epochs = max(_EPOCHS, -(-_FEWEST_STEPS // per_epoch))
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(train)).split(_BATCH):
            for group in optimizer.param_groups:
                group["lr"] = warm_cosine(step, epochs * per_epoch, _WARMUP, _LEARNING_RATE)
            length, seconds = train.predicted(head, rows), train.log_seconds[rows].to(device)
            surprise = F.gaussian_nll_loss(length.mean, seconds, length.deviation.square(), eps=1e-4, reduction="none")
            # Weighed so, clips of which little is known yet pull the mean as well (beta-NLL, Seitzer et al. 2022).
            loss = (surprise * length.deviation.detach()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    head.eval()
    with torch.no_grad():
        error = dev.predicted(head).mean.exp().cpu() - dev.log_seconds.exp()
    return head, {"error_seconds": round(float(error.abs().mean()), 4), "clips": float(len(dev))}
