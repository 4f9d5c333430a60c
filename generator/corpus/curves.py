# SPDX-License-Identifier: GPL-3.0-or-later
"""Curves a face moves along: minimum-jerk moves, pulses, slow drift, soft limits.

All functions are vectorised over time; times and durations are in seconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ..shared.easing import minimum_jerk, track

__all__ = ["Floats", "drift", "pulses", "soft_limit", "track"]

Floats = npt.NDArray[np.float64]

_DRIFT_PARTS: Final = 5


def pulses(t: Floats, centres: Floats, rise: Floats | float, fall: Floats | float, heights: Floats) -> Floats:
    """Sum of bumps that peak at ``centres``: up in ``rise`` seconds, down in ``fall`` seconds; shape of ``t``."""
    if not len(centres):
        return np.zeros(t.shape)
    x = t[..., None] - centres
    result: Floats = (minimum_jerk(x / rise + 1.0) - minimum_jerk(x / fall)) @ heights
    return result


def drift(rng: np.random.Generator, t: Floats, count: int, low: float = 0.12, high: float = 0.9) -> Floats:
    """``count`` independent slow wanderings with about unit variance, no faster than ``high`` Hz; shape (count, T)."""
    frequency = low * (high / low) ** rng.random((count, _DRIFT_PARTS, 1))
    # Slower parts are larger: a living hold, not a tremor.
    size = frequency**-0.5
    size *= np.sqrt(2.0 / np.sum(size * size, axis=1, keepdims=True))
    phase = 2.0 * np.pi * rng.random((count, _DRIFT_PARTS, 1))
    result: Floats = (size * np.sin(2.0 * np.pi * frequency * t + phase)).sum(axis=1)
    return result


def soft_limit(x: Floats, knee: float = 0.7) -> Floats:
    """Leaves 0..knee as it is and bends everything above towards 1; x >= 0.

    The arc tangent bends late: an extreme hold still shows its life instead of sticking to a wall.
    """
    over = np.maximum(x - knee, 0.0) / (1.0 - knee)
    bent = knee + (1.0 - knee) * (2.0 / np.pi) * np.arctan(0.5 * np.pi * over)
    return np.where(x > knee, bent, np.maximum(x, 0.0))
