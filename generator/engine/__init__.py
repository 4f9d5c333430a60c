# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines: what computes a performance. `builtin` needs NumPy and nothing else, `torch_engine` is what it must equal.

An engine reads lines and decodes frames. Draws, lengths, endings and speech are made outside (`generator.performing`),
once for all engines, so that a seed gives the same take on each.

Shapes: B lines or performances, S text tokens, W their width, N decoder steps, P frames per step, C channels, L decoder
layers, Z latent width, G parts of it, K prior components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .conditioning import Condition
from .config import ModelConfig, PerformConfig

Floats = npt.NDArray[np.float32]
#: A condition in arrays of numpy.
ArrayCondition = Condition[npt.NDArray[Any]]
#: Called with (steps done, steps in all); what it raises ends the work.
OnStep = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """What the decoder reads of B lines.

    Attributes:
        hidden: last hidden states, those of the two markers included, 0 where there is no token, (B, S, W).
        mask: True where a token is real, (B, S).
        position: relative position of each token's middle in its line, 0..1, (B, S).
    """

    hidden: Floats
    mask: npt.NDArray[np.bool_]
    position: Floats

    def pooled(self) -> Floats:
        """Mean over real tokens, (B, W)."""
        mean: Floats = self.hidden.sum(1) / self.mask.sum(1, keepdims=True, dtype=np.float32)
        return mean

    def take(self, row: int, count: int) -> TextFeatures:
        """``count`` times the line ``row``: what as many takes of it read."""
        rows = np.full(count, row)
        return TextFeatures(self.hidden[rows], self.mask[rows], self.position[rows])


class Engine(Protocol):
    """What computes a performance with the weights of one checkpoint."""

    @property
    def config(self) -> ModelConfig:
        """The decoder's shape."""

    @property
    def perform(self) -> PerformConfig:
        """How the weights perform; applied by who makes the draws."""

    def encode(self, lines: list[str]) -> TextFeatures:
        """Features of ``lines``, padded to the longest."""

    def emotions(self, lines: list[str]) -> Floats:
        """Calibrated probabilities of `generator.direction.emotions.EMOTIONS`, (B, 14).

        Raises:
            CheckpointError: the checkpoint reads none.
        """

    def pooled(self, lines: list[str]) -> Floats:
        """Mean over the real tokens of each line, (B, W)."""

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1."""

    def forget(self) -> None:
        """Forget the lines that were read: what is remembered was computed among others, which moves its last bits."""

    def is_cut(self, line: str) -> bool:
        """Whether the line has more tokens than the encoder reads."""

    def decode(self, condition: ArrayCondition, noise: Floats, gumbel: Floats, on_step: OnStep | None = None) -> Floats:
        """Decode B performances together.

        Args:
            condition: what each is told; ``condition.steps`` has N steps at least.
            noise: normal draws, scaled by temperature and `PerformConfig`, (B, N, L, Z).
            gumbel: Gumbel draws, scaled likewise, (B, N, L, G K).
            on_step: called after every step.

        Returns:
            Frames in the space's units and limits, (B, N P, C); 0 after the step in which a take ends (`own_steps`).
        """


def own_steps(config: ModelConfig, condition: ArrayCondition, steps: int) -> npt.NDArray[np.int64]:
    """How many of N steps each performance is decoded for: until its frames are there, (B,)."""
    return np.minimum(-(-condition.frames // config.frames_per_step), steps)


def check_draws(config: ModelConfig, condition: ArrayCondition, noise: Floats, gumbel: Floats) -> int:
    """N, the steps that the draws are for; ValueError where shapes do not fit together."""
    rows, steps = noise.shape[:2]
    for name, array, last in (("noise", noise, config.d_latent), ("gumbel", gumbel, config.choices)):
        if array.shape != (rows, steps, config.n_layers, last):
            raise ValueError(f"{name} has shape {array.shape}, not {(rows, steps, config.n_layers, last)}")
    if len(condition.text) != rows or condition.steps.shape[0] != rows or condition.steps.shape[1] < steps:
        raise ValueError(f"{rows} rows of {steps} steps are drawn; the condition has {condition.steps.shape[:2]}")
    return steps
