# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe that reads the emotion off a clip's motion: is a requested emotion followed, do takes of a line agree?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..direction.emotions import EMOTIONS
from .distances import Clip, mean
from .motion import motion_features


class EmotionProbe:
    """Multinomial logistic regression on standardised `motion_features`."""

    def __init__(self, clips: Sequence[Clip], emotions: npt.NDArray[np.int64]) -> None:
        """Fit to clips whose emotion is known, ``emotions`` (n,) as indices of `EMOTIONS`."""
        features = np.stack([motion_features(c) for c in clips])
        self._mean, self._deviation = features.mean(0), features.std(0) + 1e-3
        # In double precision and to the end: what the probe reads must not depend on the machine's rounding.
        x = torch.from_numpy((features - self._mean) / self._deviation)
        y = torch.from_numpy(emotions)
        self._layer = torch.nn.Linear(x.shape[1], len(EMOTIONS), dtype=torch.float64)
        for parameter in self._layer.parameters():
            torch.nn.init.zeros_(parameter)
        optimizer = torch.optim.LBFGS(
            self._layer.parameters(),
            max_iter=500,
            tolerance_grad=1e-9,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            penalty = 1e-3 * self._layer.weight.square().sum()
            loss = F.cross_entropy(self._layer(x), y) + penalty
            loss.backward()
            return loss

        optimizer.step(closure)

    @torch.no_grad()
    def read(self, clips: Sequence[Clip]) -> npt.NDArray[np.int64]:
        """Index of the emotion each clip shows, (n,)."""
        features = (np.stack([motion_features(c) for c in clips]) - self._mean) / self._deviation
        guess: npt.NDArray[np.int64] = self._layer(torch.from_numpy(features)).argmax(-1).numpy()
        return guess


def followed(read: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]) -> float:
    """Emotion followed: share of clips in which the probe reads the emotion that was asked for, (n,) each -> 0..1.

    The ground truth's value is the probe's ceiling.
    """
    return float((read == asked).mean()) if len(read) else float("nan")


def balanced_accuracy(read: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    """The mean over the emotions in ``truth`` of the share of each that is read, (n,) each -> 0..1."""
    return float(np.mean([(read[truth == k] == k).mean() for k in np.unique(truth)]))


def consistency(read: Sequence[npt.NDArray[np.int64]]) -> float:
    """Emotion consistency: share of pairs of takes of a line in which the probe reads the same, then over lines, 0..1.

    Args:
        read: per line, the emotion read from each of its takes, (K,). Lines with one take do not count.
    """
    shares = []
    for line in read:
        if (count := len(line)) > 1:
            same = (np.unique(line, return_counts=True)[1] ** 2).sum() - count  # ordered pairs of two different takes
            shares.append(float(same / (count * (count - 1))))
    return mean(shares)
