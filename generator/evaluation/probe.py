# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe that reads the emotion off a clip's motion, to measure whether a requested emotion is followed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..emotions import BASIC_EMOTIONS
from .metrics import Clip, motion_features


class EmotionProbe:
    """Multinomial logistic regression on standardised `motion_features`."""

    def __init__(self, clips: Sequence[Clip], emotions: npt.NDArray[np.int64]) -> None:
        """Fit to clips whose emotion is known, ``emotions`` (n,) as indices of `BASIC_EMOTIONS`."""
        features = np.stack([motion_features(c) for c in clips])
        self._mean, self._deviation = features.mean(0), features.std(0) + 1e-3
        x = torch.from_numpy((features - self._mean) / self._deviation).float()
        y = torch.from_numpy(emotions)
        self._layer = torch.nn.Linear(x.shape[1], len(BASIC_EMOTIONS))
        torch.nn.init.zeros_(self._layer.weight)
        optimizer = torch.optim.LBFGS(self._layer.parameters(), max_iter=100)

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
        guess: npt.NDArray[np.int64] = self._layer(torch.from_numpy(features).float()).argmax(-1).numpy()
        return guess
