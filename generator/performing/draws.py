# SPDX-License-Identifier: GPL-3.0-or-later
"""Random numbers of a take: what its seed alone decides, and how a take branches off or varies another one."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from ..config import ModelConfig

#: Streams of random numbers that a take's seed opens (see `TakeSeed.rng`).
STREAM_LATENT, STREAM_LENGTH = 0, 1
#: Keeps uniform draws away from 0 and 1, where their quantiles are infinite.
_EDGE: Final = 1e-12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TakeSeed:
    """What a take's random numbers come from.

    The line is part of it: with the seed alone, seed 1 would turn the head at the same moment in every line. Emotion
    and intensity are not, so that a take can be turned up without becoming another one.

    Attributes:
        seed: the take's own.
        line: the words it speaks.
        part: which passage of the line (`generator.performing.continuity`), from 0.
    """

    seed: int
    line: str
    part: int = 0

    def rng(self, stream: int) -> np.random.Generator:
        """The numbers of one stream: NumPy's PCG64, the same on every platform, device and torch version."""
        entropy = [self.seed, zlib.crc32(self.line.encode("utf-8")), stream]
        if self.part:
            entropy.append(self.part)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@dataclass(frozen=True)
class Draws:
    """Standard draws of one passage: ``normal`` (steps, layers, Z) and ``gumbel`` (steps, layers, K)."""

    normal: Floats
    gumbel: Floats

    @classmethod
    def of(cls, seed: TakeSeed, config: ModelConfig, steps: int) -> Draws:
        """Drawn step by step, so that a longer passage of the same seed starts with the same draws."""
        z, k = config.d_latent, config.prior_components
        uniform = seed.rng(STREAM_LATENT).random((steps, config.n_layers, 2 * z + k))
        # Box-Muller, so that one uniform array per step keeps prefixes equal.
        radius = np.sqrt(-2 * np.log1p(-uniform[..., :z]))
        normal = radius * np.cos(2 * np.pi * uniform[..., z : 2 * z])
        return cls(normal, -np.log(-np.log(np.clip(uniform[..., 2 * z :], _EDGE, 1 - _EDGE))))

    def varied(self, own: Draws, amount: float) -> Draws:
        """Near these draws: sqrt(1 - a^2) of them and a of ``own``, still standard; a = ``amount`` 0..1.

        Gumbel draws are mixed as the normal draws of the same quantile.
        """
        if amount <= 0:
            return self
        if amount >= 1:
            return own
        keep = np.sqrt(1 - amount**2)
        quantile = torch.special.ndtr(
            torch.from_numpy(keep * _normal_of_gumbel(self.gumbel) + amount * _normal_of_gumbel(own.gumbel))
        ).numpy()
        gumbel = -np.log(-np.log(np.clip(quantile, _EDGE, 1 - _EDGE)))
        return Draws(keep * self.normal + amount * own.normal, gumbel)

    def spliced(self, own: Draws, step: int) -> Draws:
        """These draws before ``step``, ``own`` from there on."""
        return Draws(
            np.concatenate([self.normal[:step], own.normal[step:]]),
            np.concatenate([self.gumbel[:step], own.gumbel[step:]]),
        )


def _normal_of_gumbel(gumbel: Floats) -> Floats:
    quantile = np.clip(np.exp(-np.exp(-gumbel)), _EDGE, 1 - _EDGE)
    normal: Floats = torch.special.ndtri(torch.from_numpy(quantile)).numpy()
    return normal


def stacked(draws: list[Draws], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The draws of B rows as tensors on ``device``: (B, steps, layers, Z) and (B, steps, layers, K)."""
    normal = torch.from_numpy(np.stack([d.normal for d in draws])).float().to(device)
    return normal, torch.from_numpy(np.stack([d.gumbel for d in draws])).float().to(device)
