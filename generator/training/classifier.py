# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the head that reads emotions from words: soft labels, held-out calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..heads import EmotionClassifier, EmotionHead
from ..text import TextEncoder
from .batches import FeatureStore
from .recipe import warm_cosine

_EPOCHS: Final = 6
_BATCH: Final = 256
_LEARNING_RATE: Final = 1e-3
_WARMUP: Final = 100
_WEIGHT_DECAY: Final = 0.05
#: An emotion's weight is its frequency to the power of minus this, at least this frequency: what is known from a few
#: lines only must not be heard everywhere. Neutral counts a little more, so that plain lines stay plain.
_BALANCE: Final = 0.5
_RAREST: Final = 5e-3
_NEUTRAL: Final = 1.3
_TEMPERATURES: Final = (0.25, 4.0, 151)
_BINS: Final = 12


@dataclass(frozen=True)
class Labelled:
    """Labelled lines.

    Attributes:
        texts: L distinct lines.
        labels: their weights over the emotions to be read, (L, K).
        features: of all of them.
    """

    texts: list[str]
    labels: Tensor
    features: FeatureStore

    @classmethod
    def of(cls, lines: Mapping[str, npt.NDArray[np.float32]], encoder: TextEncoder, cache: Path) -> Labelled | None:
        """``lines`` and their weights over `EMOTIONS`; None without lines."""
        if not lines:
            return None
        return cls(list(lines), torch.from_numpy(np.stack(list(lines.values()))), FeatureStore(lines, encoder, cache))

    def batches(self, size: int, rng: np.random.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Token features (B, S, W) and rows (B,), every line once; in random order where there is an ``rng``.

        The lines of a batch have the same number of tokens, so nothing is padded.
        """
        counts = np.array([len(self.features.get(text)[1]) for text in self.texts])
        order = np.arange(len(counts)) if rng is None else rng.permutation(len(counts))
        order = order[np.argsort(counts[order], kind="stable")]
        groups = np.split(order, np.flatnonzero(np.diff(counts[order])) + 1)
        rows = [group[i : i + size] for group in groups for i in range(0, len(group), size)]
        for number in range(len(rows)) if rng is None else rng.permutation(len(rows)):
            hidden = np.stack([self.features.get(self.texts[i])[0] for i in rows[number]])
            yield torch.from_numpy(hidden.astype(np.float32)), torch.from_numpy(rows[number])


def fit_emotion_classifier(
    train: Labelled, dev: Labelled, device: torch.device | str = "cpu", shape: EmotionHead | None = None
) -> tuple[EmotionClassifier, dict[str, float]]:
    """A new head, fitted to the train split's labelled lines, calibrated and judged on the dev split's.

    Emotions are weighted by inverse square-root frequency, so that rare ones are heard without drowning neutral. The
    probabilities are calibrated for lines in which the emotions are as frequent as that makes them: with the
    collections of this project, neutral is one line in four.

    Returns:
        the head in eval mode, and of the dev split ``accuracy``, ``balanced_accuracy`` (mean recall over the emotions
        present), ``neutral_recall`` where there are neutral lines, ``calibration_error`` and ``lines`` (`judge`).
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    width = train.features.get(train.texts[0])[0].shape[1]
    head = EmotionClassifier(width, train.labels.shape[1], shape or EmotionHead()).to(device)
    weight = _weights(train.labels).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    per_epoch, step = sum(1 for _ in train.batches(_BATCH)), 0
    for _ in range(_EPOCHS):
        for hidden, rows in train.batches(_BATCH, rng):
            for group in optimizer.param_groups:
                group["lr"] = warm_cosine(step, _EPOCHS * per_epoch, min(_WARMUP, per_epoch), _LEARNING_RATE)
            loss = _surprise(_logits(head, hidden.to(device)), train.labels[rows].to(device), weight).sum() / _BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    head.eval()
    return head, _calibrate_and_judge(head, dev, weight)


def _logits(head: EmotionClassifier, hidden: Tensor) -> Tensor:
    out: Tensor = head(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device))
    return out


def _weights(labels: Tensor) -> Tensor:
    """What an emotion counts, (K,); on average over the lines 1."""
    frequency = labels.mean(0)
    weight = frequency.clamp(min=_RAREST) ** -_BALANCE
    weight[0] *= _NEUTRAL
    return weight / (weight * frequency).sum()


def _surprise(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Weighted cross-entropy of each line, (B,)."""
    return -(labels * weight * logits.log_softmax(-1)).sum(-1)


@torch.no_grad()
def _calibrate_and_judge(head: EmotionClassifier, dev: Labelled, weight: Tensor) -> dict[str, float]:
    """Temperature scaling (Guo et al. 2017): the divisor of the logits that fits held-out labels best; then `judge`."""
    logits = torch.empty(dev.labels.shape, device=weight.device)
    for hidden, rows in dev.batches(_BATCH):
        logits[rows] = _logits(head, hidden.to(weight.device))
    labels = dev.labels.to(weight.device)
    candidates = torch.linspace(*_TEMPERATURES, device=weight.device)
    losses = torch.stack([_surprise(logits / t, labels, weight).mean() for t in candidates])
    head.calibration.copy_(candidates[losses.argmin()])
    return judge((logits / head.calibration).softmax(-1).cpu().numpy(), dev.labels.numpy(), weight.cpu().numpy())


def judge(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]
) -> dict[str, float]:
    """How well probabilities (L, K) fit labels (L, K); ``weight`` (K,) of the emotions counts for the calibration only.

    Recalls ask for the label's largest weight. The expected calibration error compares how sure the likeliest emotion
    is with its share of the label: a line may be half joy.
    """
    guess, confidence, truth = probabilities.argmax(-1), probabilities.max(-1), labels.argmax(-1)
    recalls = {int(k): float((guess[truth == k] == k).mean()) for k in np.unique(truth)}
    weighted = labels * weight
    gap = confidence * weighted.sum(-1) - weighted[np.arange(len(guess)), guess]
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    measured = {
        "accuracy": float((guess == truth).mean()),
        "balanced_accuracy": float(np.mean(list(recalls.values()))),
        "calibration_error": sum(abs(float(gap[bins == b].sum())) for b in range(_BINS)) / float(weighted.sum()),
        "lines": float(len(truth)),
    }
    if 0 in recalls:
        measured["neutral_recall"] = recalls[0]
    return {name: round(value, 4) for name, value in measured.items()}
