# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the text emotion classifier: soft labels, held-out calibration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..emotions import basic_weights, full_vector
from ..heads import EmotionClassifier
from .batches import FeatureStore

_EPOCHS: Final = 12
_BATCH: Final = 512

#: Mean-pooled features (L, W) and label weights (L, K) of lines.
Labelled = tuple[Tensor, Tensor]


def fit_emotion_classifier(classifier: EmotionClassifier, train: Labelled, dev: Labelled) -> dict[str, float]:
    """Fit ``classifier`` on the train split's labelled lines; calibrate and judge it on the dev split's.

    Classes are weighted by inverse square-root frequency, so that rare emotions are heard without drowning neutral.

    Returns:
        ``accuracy``, ``balanced_accuracy`` (mean recall over the emotions present) and ``lines`` of the dev split,
        where the reference is the label's largest weight.
    """
    torch.manual_seed(0)
    device = classifier.calibration.device
    features, labels = (t.to(device) for t in train)
    frequency = labels.mean(0).clamp(min=1e-3)
    weight = frequency.rsqrt() / frequency.rsqrt().mean()
    optimizer = torch.optim.AdamW(classifier.parameters(), 1e-3, weight_decay=0.05)
    classifier.train()
    classifier.calibration.fill_(1.0)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(features), device=device).split(_BATCH):
            log_probability = classifier(features[rows]).log_softmax(-1)
            loss = -(labels[rows] * weight * log_probability).sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    classifier.eval()
    held_features, held_labels = (t.to(device) for t in dev)
    with torch.no_grad():
        _calibrate(classifier, held_features, held_labels)
        guess, truth = classifier(held_features).argmax(-1), held_labels.argmax(-1)
    recalls = [float((guess[truth == k] == k).float().mean()) for k in range(labels.shape[1]) if (truth == k).any()]
    return {
        "accuracy": round(float((guess == truth).float().mean()), 4),
        "balanced_accuracy": round(float(np.mean(recalls)), 4),
        "lines": float(len(truth)),
    }


def labelled_lines(lines: Iterable[dict[str, Any]], features: FeatureStore, emotions: int) -> Labelled | None:
    """The distinct labelled ones of a corpus split's lines; None when there are none. ``emotions``: K, 7 or 14."""
    labels = {line["text"]: line.get("feelings", line["weights"]) for line in lines if line["labelled"]}
    if not labels:
        return None
    pooled = np.stack([features.get(text)[0].astype(np.float32).mean(0) for text in labels])
    weights = np.stack([full_vector(label) for label in labels.values()])
    return torch.from_numpy(pooled), torch.from_numpy(
        weights if emotions == weights.shape[1] else basic_weights(weights)
    )


def _calibrate(classifier: EmotionClassifier, features: Tensor, labels: Tensor) -> None:
    """Temperature scaling (Guo et al. 2017): the divisor of the logits that fits held-out labels best."""
    logits = classifier(features)
    candidates = torch.linspace(0.5, 3.0, 51, device=logits.device)
    losses = torch.stack([-(labels * F.log_softmax(logits / t, -1)).sum(-1).mean() for t in candidates])
    classifier.calibration.copy_(candidates[losses.argmin()])
