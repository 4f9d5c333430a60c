# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of each passage, as the decoder and the length predictor are told it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..conditioning import Condition, Direction, step_means
from ..config import ModelConfig
from ..text import TextFeatures

#: What decoding is told of a silent reaction; training says 0. At 0 the jaw moves 1.6 times as much as the teacher's
#: does in one, at -1 as much, at -2 the emotion suffers (dev split, surprise).
SILENT: Final = -1.0

#: A move is exaggerated as `ModelConfig.emphasis` exaggerates an emotion: told so far before and after it, on a scale
#: where training has 0 and 1. At 0 and 1 the emotion moved to is read in 0.76 of second halves, at these in 0.94; the
#: one before it in 0.88 and 0.96 of first halves (dev split).
MOVED_FROM, MOVED_TO = -0.3, 2.0

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of one passage.

    Attributes:
        emotion: weights over the model's emotions, (K,).
        intensity: 0 to 1.5; 1 is natural.
        energy: 0.4 to 1.6; 1 is natural.
        speaking: 1 where it is said, 0 where it is silent, less (`SILENT`) where that must be clear.
        end: what it moves on to, where the decoder is told when; None where it stays.
        moved: how far it has moved on to ``end``, 0..1 for every frame, (T,).
    """

    emotion: Floats
    intensity: float
    energy: float = 1.0
    speaking: float = 1.0
    end: Asked | None = None
    moved: Floats | None = None

    def halfway(self, other: Asked) -> Asked:
        """Between this and what it moves to."""
        emotion = np.float32(0.5) * (self.emotion + other.emotion)
        return Asked(emotion, (self.intensity + other.intensity) / 2, self.energy, self.speaking)


def told(
    config: ModelConfig, features: TextFeatures, asked: list[Asked], frames: Tensor, *, emphatic: bool = False
) -> Condition:
    """The condition of B passages that last ``frames`` (B,).

    A model that knows no directions is told neither energy nor silence. ``emphatic`` asks for an emotion
    (`ModelConfig.emphasis`) and for silence (`Asked.speaking`) more clearly than training did, as decoding needs it.
    """
    device = frames.device
    goals = [a.end or a for a in asked]
    # One intensity per passage: the larger one, and each end's share of it is in its weights.
    intensity = [max(float(a.intensity), float(b.intensity)) for a, b in zip(asked, goals, strict=True)]
    emotion, towards = (
        (config.emphasis if emphatic else 1.0) * torch.from_numpy(_weights(ends, intensity)).to(device)
        for ends in (asked, goals)
    )
    felt = torch.tensor(intensity, device=device)
    condition = Condition(features.hidden, features.mask, features.position, emotion, felt, frames)
    if config.conditioning != "direction":
        return condition
    energy = torch.tensor([a.energy for a in asked], device=device)
    least = SILENT if emphatic else 0.0
    speaking = torch.tensor([max(float(a.speaking), least) for a in asked], device=device)
    # All of it is asked for; nothing is left open.
    given = torch.ones(len(asked), 3, device=device)
    moved = _moved(config, asked, device)
    if moved is not None and emphatic:
        moved = MOVED_FROM + (MOVED_TO - MOVED_FROM) * moved  # where the emotion stays, both ends are the same
    return replace(condition, direction=Direction(towards, energy, speaking, given, moved))


def _weights(ends: list[Asked], intensity: list[float]) -> Floats:
    """Weights of one end of each passage, as a share of ``intensity``, (B, K)."""
    shares = [float(e.intensity) / whole if whole else 1.0 for e, whole in zip(ends, intensity, strict=True)]
    return np.stack([share * end.emotion for share, end in zip(shares, ends, strict=True)]).astype(np.float32)


def _moved(config: ModelConfig, asked: list[Asked], device: torch.device) -> Tensor | None:
    """How far each passage has moved on in every step, (B, N); None where all of them stay."""
    if not config.knows_when or all(a.moved is None for a in asked):
        return None
    curves = [np.zeros(1, np.float32) if a.moved is None else a.moved for a in asked]
    longest = max(map(len, curves))
    padded = np.stack([np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in curves])
    return step_means(torch.from_numpy(padded).to(device), config)
