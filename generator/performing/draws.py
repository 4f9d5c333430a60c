# SPDX-License-Identifier: GPL-3.0-or-later
"""Random numbers of a take: what its seed alone decides, and how a take branches off or varies another one."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..engine.config import ModelConfig, PerformConfig

#: Streams of random numbers that a take's seed opens (see `TakeSeed.rng`).
STREAM_LATENT, STREAM_LENGTH, STREAM_STAGE = 0, 1, 2
#: Keeps quantiles away from 0 and 1, where Gumbel draws are infinite.
_EDGE: Final = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TakeSeed:
    """What a take's random numbers come from.

    The line is part of it: with the seed alone, seed 1 would turn the head at the same moment in every line. Emotion
    and intensity are not, so that a take can be turned up without becoming another one.

    Attributes:
        seed: the take's own.
        line: the words it speaks.
        part: which passage of the line (`generator.performing.passages`), from 0.
    """

    seed: int
    line: str
    part: int = 0

    def rng(self, stream: int) -> np.random.Generator:
        """The numbers of one stream: NumPy's PCG64, the same on every platform, device and engine."""
        entropy = [self.seed, zlib.crc32(self.line.encode("utf-8")), stream]
        if self.part:
            entropy.append(self.part)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@dataclass(frozen=True)
class Draws:
    """Standard normal draws of one passage, (steps, layers, Z + G K): for the latent, and to choose its components."""

    standard: Floats

    @classmethod
    def of(cls, seed: TakeSeed, config: ModelConfig, steps: int) -> Draws:
        """Drawn step by step, so that a longer passage of the same seed starts with the same draws."""
        width = config.d_latent + config.choices
        return cls(seed.rng(STREAM_LATENT).standard_normal((steps, config.n_layers, width)))

    def varied(self, own: Draws, amount: float) -> Draws:
        """Near these draws: sqrt(1 - a^2) of them and a of ``own``, still standard; a = ``amount`` 0..1."""
        return Draws(np.sqrt(1 - amount**2) * self.standard + amount * own.standard)

    def spliced(self, own: Draws, step: int) -> Draws:
        """These draws before ``step``, ``own`` from there on."""
        return Draws(np.concatenate([self.standard[:step], own.standard[step:]]))

    def scaled(self, config: ModelConfig, perform: PerformConfig, temperature: float) -> tuple[Floats, Floats]:
        """Normal draws (steps, layers, Z) and Gumbel ones (steps, layers, G K), as large as they are used."""
        noise, choice = np.split(self.standard, [config.d_latent], axis=-1)
        quantile = np.clip(_normal_cdf(choice), _EDGE, 1 - _EDGE)
        gumbel = -np.log(-np.log(quantile))
        return temperature * perform.draw_scale * noise, temperature * gumbel


def _normal_cdf(x: Floats) -> Floats:
    """Φ, within 1e-7 (Abramowitz and Stegun 1964, 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(x))
    series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi) * series
    return np.asarray(np.where(x >= 0, 1 - upper, upper))
