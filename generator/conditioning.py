# SPDX-License-Identifier: GPL-3.0-or-later
"""What a performance is conditioned on besides its past, and how the decoder reads it: numbers per clip and per step.

Shapes: B clips, N decoder steps, P frames per step, S text tokens, F features of what is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .config import ModelConfig
from .emotions import BASIC_EMOTIONS, EMOTIONS
from .shared.easing import minimum_jerk

#: How long the decoder is told that an emotion takes to move on, in training and when it performs; the teacher's takes
#: 0.5 to 0.9 s.
TURN_SECONDS: Final = 0.8


@dataclass(frozen=True)
class Direction:
    """What may be asked of B clips beyond emotion and intensity.

    Attributes:
        towards: weights of the emotion that the line moves to, (B, 14); the emotion itself where it stays.
        energy: 0.4..1.6, (B,); 1 is natural.
        speaking: 1 where the line is said, 0 where it is reacted to in silence, (B,).
        given: 1 where emotion (with ``towards``), intensity and energy are asked for, 0 where the model is to choose,
            (B, 3). Left open, a value is not read.
        moved: how far the emotion has moved on to ``towards`` in each decoder step, 0..1, (B, N), and after the last of
            them as in the last; None where it stays.
    """

    towards: Tensor
    energy: Tensor
    speaking: Tensor
    given: Tensor
    moved: Tensor | None = None

    @classmethod
    def natural(cls, emotion: Tensor) -> Direction:
        """Spoken with natural energy, staying with ``emotion`` (B, 14), everything asked for."""
        ones = emotion.new_ones(len(emotion))
        return cls(emotion, ones, ones, emotion.new_ones(len(emotion), 3))


@dataclass(frozen=True)
class Condition:
    """What a clip is conditioned on.

    Attributes:
        text: hidden states of the frozen text encoder, (B, S, text_width).
        text_mask: True where a token is real, (B, S).
        text_position: relative position of each token in its line, 0..1, (B, S).
        emotion: weights over the config's emotions, (B, 7) or (B, 14).
        intensity: 0..1.5, (B,).
        frames: length of the clip in frames, (B,).
        direction: what else is asked for; read where the config says "direction".
    """

    text: Tensor
    text_mask: Tensor
    text_position: Tensor
    emotion: Tensor
    intensity: Tensor
    frames: Tensor
    direction: Direction | None = None


def direction_width(config: ModelConfig) -> int:
    """F, the width of `direction_features`."""
    return 2 * len(EMOTIONS) + 6 if config.conditioning == "direction" else len(BASIC_EMOTIONS) + 1


def length_features(condition: Condition, config: ModelConfig) -> Tensor:
    """What is asked for, as the length predictor reads it, (B, F); ``condition.frames`` is not read."""
    if config.conditioning == "direction":
        return direction_features(condition, config)
    return torch.cat([condition.emotion, condition.intensity[:, None]], -1)


def direction_features(condition: Condition, config: ModelConfig) -> Tensor:
    """What is asked for, (B, F). Weights are times intensity, so that calm joy lies between neutral and joy."""
    intensity = condition.intensity[:, None]
    if config.conditioning == "emotion":
        return torch.cat([condition.emotion * intensity, intensity], -1)
    direction = condition.direction or Direction.natural(condition.emotion)
    emotion, strength, energy = direction.given.unbind(-1)
    # An intensity that is left open reads as a natural one, and its flag says that it was not asked for.
    felt = torch.where(strength[:, None] > 0, intensity, 1.0)
    weights = torch.cat([condition.emotion, direction.towards], -1) * felt * emotion[:, None]
    open_or_asked = [intensity[:, 0] * strength, direction.energy * energy, direction.speaking]
    return torch.cat([weights, torch.stack(open_or_asked, -1), direction.given], -1)


def step_features(condition: Condition, config: ModelConfig, first: int, count: int) -> Tensor:
    """What is asked for in steps ``first`` to ``first + count``, (B, 1 or count, F): the emotion of the moment."""
    features = direction_features(condition, config).unsqueeze(1)
    moved = None if condition.direction is None else condition.direction.moved
    if not config.knows_when or moved is None:
        return features
    begin, towards, rest = features.expand(-1, count, -1).split([len(EMOTIONS), len(EMOTIONS), 6], -1)
    # A clip that is decoded beside longer ones stays where it ended.
    steps = torch.arange(first, first + count, device=moved.device).clamp(max=moved.shape[1] - 1)
    now = torch.lerp(begin, towards, moved[:, steps, None].to(features.dtype))
    return torch.cat([now, towards, rest], -1)


def turned(since: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """How far an emotion has moved on, 0..1, at seconds ``since`` the middle of its turn, negative before it."""
    return minimum_jerk(since / TURN_SECONDS + 0.5).astype(np.float32)


def step_means(frames: Tensor, config: ModelConfig) -> Tensor:
    """Mean of a number per frame (B, T) over each decoder step's frames, (B, N); the last one fills a step up."""
    size = config.frames_per_step
    missing = -frames.shape[1] % size
    return torch.cat([frames, frames[:, -1:].expand(-1, missing)], 1).unflatten(1, (-1, size)).mean(-1)
