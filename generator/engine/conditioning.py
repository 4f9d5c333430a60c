# SPDX-License-Identifier: GPL-3.0-or-later
"""What a decoder is told besides its past: numbers for the whole performance and for each of its steps (no torch).

Training and every engine that performs read what is made here. Shapes: B clips, N decoder steps, P frames per step,
S text tokens, W their width, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ..direction import ENDINGS, ROLES
from ..direction.emotions import EMOTIONS
from ..shared.easing import minimum_jerk
from ..shared.spaces import SPACES
from .config import ModelConfig
from .moments import MOMENTS, Moments

Floats = npt.NDArray[np.float32]
#: Arrays of numpy, or tensors.
Array = TypeVar("Array")

#: How long the decoder is told that an emotion takes to move on; the teacher's takes 0.5 to 0.9 s.
TURN_SECONDS: Final = 0.8
#: Width of `Asked.features`: two emotions, intensity, energy, role, ending, and which of them are given.
DIRECTION: Final = 2 * len(EMOTIONS) + 2 + len(ROLES) + len(ENDINGS) + 3
#: Sine and cosine pairs of `fourier`, and its width.
_BANDS: Final = 6
FOURIER: Final = 2 * _BANDS + 1


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of one performance.

    Attributes:
        frames: its length.
        emotion: weights over `EMOTIONS`, (14,), times how much of the intensity they are.
        towards: of the emotion that it moves to; None where it stays.
        turn: seconds at which it is halfway there.
        intensity: 0..1.5; 1 is natural.
        energy: 0.4..1.6; 1 is natural.
        role: one of `ROLES`.
        ending: one of `ENDINGS`.
        start: the face before its first frame, (C,) in the space's units; None for the standard face.
        moments: what is said when; None where nobody speaks, or nobody knows.
        given: whether emotion (with ``towards``), intensity and energy are asked for; what is not, the model chooses.
    """

    frames: int
    emotion: Floats
    towards: Floats | None = None
    turn: float = np.inf
    intensity: float = 1.0
    energy: float = 1.0
    role: str = ROLES[0]
    ending: str = ENDINGS[0]
    start: Floats | None = None
    moments: Moments | None = field(default=None, repr=False)
    given: tuple[bool, bool, bool] = (True, True, True)

    def emphasised(self, by: float) -> Asked:
        """The same with its emotions told ``by`` times as strongly, the intensity as it is."""
        return replace(self, emotion=self.emotion * by, towards=None if self.towards is None else self.towards * by)

    def features(self) -> Floats:
        """The whole of it, (`DIRECTION`,). Weights are times intensity: calm joy lies between neutral and joy."""
        emotion, strength, energy = self.given
        felt = emotion * (self.intensity if strength else 1.0)
        towards = self.emotion if self.towards is None else self.towards
        kinds = [float(name == one) for names, one in ((ROLES, self.role), (ENDINGS, self.ending)) for name in names]
        rest = [self.intensity * strength, self.energy * energy, *kinds, *map(float, self.given)]
        return np.concatenate([self.emotion * felt, towards * felt, np.array(rest, np.float32)]).astype(np.float32)


@dataclass(frozen=True)
class Condition(Generic[Array]):
    """What a decoder is told of B performances.

    Attributes:
        text: hidden states of the frozen text encoder, (B, S, W).
        text_mask: True where a token is real, (B, S).
        text_position: relative position of each token in its line, 0..1, (B, S).
        direction: `Asked.features`, (B, `DIRECTION`).
        steps: what each step is told, (B, N, `step_width`).
        start: the face before the first frame, in the space's units, (B, C).
        frames: length of each, (B,).
    """

    text: Array
    text_mask: Array
    text_position: Array
    direction: Array
    steps: Array
    start: Array
    frames: Array

    def rows(self, order: npt.NDArray[np.int64]) -> Condition[Array]:
        """The performances ``order`` of these."""
        return Condition(*(getattr(self, each.name)[order] for each in fields(self)))

    def emphasised(self, by: float, config: ModelConfig) -> Condition[Array]:
        """What a decoder of ``config`` is told instead where emotions are told ``by`` times as strongly."""

        def louder(told: Any) -> Any:
            told = told * 1  # a copy, of an array as of a tensor
            told[..., : 2 * len(EMOTIONS)] *= by  # of both emotions
            return told

        steps = louder(self.steps) if config.direction_conditioning else self.steps
        return replace(self, direction=louder(self.direction), steps=steps)


def step_width(config: ModelConfig) -> int:
    """How many numbers a step is told."""
    direction = DIRECTION if config.direction_conditioning else 0
    timeline = MOMENTS + FOURIER if config.timeline_conditioning else 0
    return direction + timeline + (4 * FOURIER if config.length_conditioning else 0)


def steps_of(config: ModelConfig, frames: int) -> int:
    """Decoder steps that write at least ``frames`` frames."""
    return -(-frames // config.frames_per_step)


def condition_of(
    config: ModelConfig, text: tuple[Floats, npt.NDArray[np.bool_], Floats], asked: Sequence[Asked], steps: int = 0
) -> Condition[npt.NDArray[Any]]:
    """The condition of B performances.

    Args:
        config: of the decoder.
        text: hidden states (B, S, W), mask (B, S) and positions (B, S) of their lines.
        asked: of each.
        steps: N at least; by default as many as the longest needs.
    """
    steps = max(steps, *(steps_of(config, one.frames) for one in asked))
    still = np.zeros(SPACES[config.space].size, np.float32)
    return Condition(
        *text,
        np.stack([one.features() for one in asked]),
        np.stack([_steps(config, one, steps) for one in asked]),
        np.stack([still if one.start is None else one.start for one in asked]).astype(np.float32),
        np.array([one.frames for one in asked]),
    )


def turned(since: npt.NDArray[np.floating[Any]]) -> Floats:
    """How far an emotion has moved on, 0..1, at seconds ``since`` the middle of its turn, negative before it."""
    return minimum_jerk(since / TURN_SECONDS + 0.5).astype(np.float32)


def fourier(x: npt.NDArray[np.floating[Any]]) -> Floats:
    """``x`` in about 0..1, (…,) -> (…, `FOURIER`): x and sine/cosine pairs of doubling frequency."""
    angles = x[..., None] * (np.pi * 2.0 ** np.arange(_BANDS))
    return np.concatenate([x[..., None], np.sin(angles), np.cos(angles)], -1).astype(np.float32)


def _steps(config: ModelConfig, asked: Asked, steps: int) -> Floats:
    """What each step of a performance is told, (N, `step_width`)."""
    fps, size = SPACES[config.space].fps, config.frames_per_step
    middle = (np.arange(steps) * size + 0.5 * (size - 1)) / fps
    parts: list[Floats] = []
    if config.direction_conditioning:
        parts.append(_direction(asked, middle))
    if config.timeline_conditioning:
        moments = asked.moments or Moments.none()
        parts += [moments.at(middle, size / fps), fourier(moments.position(middle))]
    if config.length_conditioning:
        elapsed, total = np.arange(steps) * size / fps, asked.frames / fps
        left, share = np.maximum(total - elapsed, 0.0), np.minimum(elapsed / total, 1.0)
        parts += [fourier(x) for x in (elapsed / 10, left / 10, share, np.full(steps, total / 10))]
    return np.concatenate(parts, 1) if parts else np.zeros((steps, 0), np.float32)


def _direction(asked: Asked, middle: npt.NDArray[np.float64]) -> Floats:
    """`Asked.features` in each step, its first emotion that of the moment, (N, `DIRECTION`)."""
    features = np.tile(asked.features(), (len(middle), 1))
    if asked.towards is not None:
        count, moved = len(EMOTIONS), turned(middle - asked.turn)[:, None]
        features[:, :count] += moved * (features[:, count : 2 * count] - features[:, :count])
    return features
