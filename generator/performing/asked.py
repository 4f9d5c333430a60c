# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of each passage, as the decoder and the length predictor are told it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import ModelConfig
from ..model import Condition, Direction
from ..text import TextFeatures

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of one passage.

    Attributes:
        emotion: weights over the model's emotions, (K,).
        intensity: 0 to 1.5; 1 is natural.
        energy: 0.4 to 1.6; 1 is natural.
        speaking: False for a silent reaction.
    """

    emotion: Floats
    intensity: float
    energy: float = 1.0
    speaking: bool = True

    def halfway(self, other: Asked) -> Asked:
        """Between this and what it moves to."""
        return Asked(
            (self.emotion + other.emotion) / 2, (self.intensity + other.intensity) / 2, self.energy, self.speaking
        )


def told(
    config: ModelConfig, features: TextFeatures, asked: list[Asked], frames: Tensor, emphasis: float = 1.0
) -> Condition:
    """The condition of B passages that last ``frames`` (B,).

    A model that knows no directions is told neither energy nor silence. ``emphasis`` multiplies the emotion's weights
    (`ModelConfig.emphasis`).
    """
    device = frames.device
    emotion = emphasis * torch.from_numpy(np.stack([a.emotion for a in asked])).to(device)
    intensity = torch.tensor([float(a.intensity) for a in asked], device=device)
    condition = Condition(features.hidden, features.mask, features.position, emotion, intensity, frames)
    if config.conditioning != "direction":
        return condition
    energy = torch.tensor([a.energy for a in asked], device=device)
    speaking = torch.tensor([float(a.speaking) for a in asked], device=device)
    # All of it is asked for, and the emotion stays: where it moves on, see `continuity`.
    direction = Direction(emotion, energy, speaking, torch.ones(len(asked), 3, device=device))
    return replace(condition, direction=direction)
