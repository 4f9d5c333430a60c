# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of each passage, as the decoder and the length predictor are told it."""

from __future__ import annotations

from dataclasses import dataclass

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
        begin, end: weights over the model's emotions at its beginning and at its end, (K,).
        intensity: at its beginning and at its end.
        energy: 0.4 to 1.6; 1 is natural.
        speaking: False for a silent reaction.
    """

    begin: Floats
    end: Floats
    intensity: tuple[float, float]
    energy: float = 1.0
    speaking: bool = True


def told(config: ModelConfig, features: TextFeatures, asked: list[Asked], frames: Tensor) -> Condition:
    """The condition of B passages that last ``frames`` (B,).

    A model that knows no directions is told the mean of both ends, and neither energy nor silence.
    """
    device = frames.device
    intensity = np.array([a.intensity for a in asked], np.float32)
    mean = intensity.mean(1)
    # The decoder knows one intensity and reads weights times intensity, so each end's own goes into its weights.
    relative = np.divide(intensity, mean[:, None], out=np.ones_like(intensity), where=mean[:, None] > 0)
    begin = relative[:, :1] * np.stack([a.begin for a in asked])
    end = relative[:, 1:] * np.stack([a.end for a in asked])
    text = features.hidden, features.mask, features.position
    strength = torch.from_numpy(mean).to(device)
    if config.conditioning != "direction":
        emotion = torch.from_numpy(((begin + end) / 2).astype(np.float32)).to(device)
        return Condition(*text, emotion, strength, frames)
    direction = Direction(
        torch.from_numpy(end.astype(np.float32)).to(device),
        torch.tensor([a.energy for a in asked], device=device),
        torch.tensor([float(a.speaking) for a in asked], device=device),
        torch.ones(len(asked), 3, device=device),
    )
    return Condition(*text, torch.from_numpy(begin.astype(np.float32)).to(device), strength, frames, direction)
