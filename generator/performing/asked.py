# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of each passage, as the decoder and the length predictor are told it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import ModelConfig
from ..model import Condition, Direction
from ..text import TextFeatures

#: What decoding is told of silence; training says 0. At 0 the jaw moves 1.6 times as much as the teacher's does in a
#: silent reaction, at -1 as much, at -2 the emotion suffers (dev split, surprise).
SILENT: Final = -1.0

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
    config: ModelConfig, features: TextFeatures, asked: list[Asked], frames: Tensor, *, emphatic: bool = False
) -> Condition:
    """The condition of B passages that last ``frames`` (B,).

    A model that knows no directions is told neither energy nor silence. ``emphatic`` asks for an emotion
    (`ModelConfig.emphasis`) and for silence more clearly than training did, as decoding needs it.
    """
    device = frames.device
    emotion = (config.emphasis if emphatic else 1.0) * torch.from_numpy(np.stack([a.emotion for a in asked])).to(device)
    intensity = torch.tensor([float(a.intensity) for a in asked], device=device)
    condition = Condition(features.hidden, features.mask, features.position, emotion, intensity, frames)
    if config.conditioning != "direction":
        return condition
    energy = torch.tensor([a.energy for a in asked], device=device)
    silent = SILENT if emphatic else 0.0
    speaking = torch.tensor([1.0 if a.speaking else silent for a in asked], device=device)
    # All of it is asked for, and the emotion stays: where it moves on, see `continuity`.
    direction = Direction(emotion, energy, speaking, torch.ones(len(asked), 3, device=device))
    return replace(condition, direction=direction)
