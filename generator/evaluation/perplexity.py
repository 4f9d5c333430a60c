# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous perplexity of teacher-forced predictions: the released formula and a true box probability.

A prediction m of a frame g is read as a Gaussian N(m, DEVIATION² I); its covariance being diagonal, its joint CDF is a
product of normal CDFs, so the released code's numerical integral has a closed form.
Shapes: B clips, T positions, E channels. ``mask`` is True where a position has a target; its leading run counts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

#: Standard deviation of the Gaussian around a prediction, and half the edge of the box around the true frame.
DEVIATION: Final = 0.2
HALF_EDGE: Final = 0.8
#: The released code floors every probability here.
FLOOR: Final = 1e-10


def cppl(predicted: Floats, gold: Floats, mask: Flags) -> float:
    """Continuous perplexity as released: 2 to the mean over clips of the mean bits of `corner_probability`.

    It is one-sided: a prediction far below the truth costs nothing. (B, T, E), (B, T, E), (B, T) -> float >= 1.
    """
    return perplexity(corner_bits(predicted, gold, mask))


def cppl_box(predicted: Floats, gold: Floats, mask: Flags, floor: float | None = FLOOR) -> float:
    """Continuous perplexity with the probability of the box gold ± HALF_EDGE; ``floor`` None: exact, in log space."""
    return perplexity(box_bits(predicted, gold, mask, floor))


def corner_bits(predicted: Floats, gold: Floats, mask: Flags) -> npt.NDArray[np.float64]:
    """Mean bits per frame of each clip for `cppl`, (B,); batches of different lengths are joined at this point."""
    with np.errstate(divide="ignore"):
        return _mean_bits(np.log2(np.maximum(corner_probability(predicted, gold), FLOOR)), mask)


def box_bits(predicted: Floats, gold: Floats, mask: Flags, floor: float | None = FLOOR) -> npt.NDArray[np.float64]:
    """Mean bits per frame of each clip for `cppl_box`, (B,)."""
    bits = box_log_probability(predicted, gold) / np.log(2)
    return _mean_bits(bits if floor is None else np.maximum(bits, np.log2(floor)), mask)


def perplexity(bits: npt.NDArray[np.float64]) -> float:
    """2 to the mean over clips of their mean bits, (n,) -> float; infinite where a float cannot hold it."""
    with np.errstate(over="ignore"):
        return float(np.exp2(bits.mean()))


def corner_probability(predicted: Floats, gold: Floats) -> npt.NDArray[np.float64]:
    """The released p = F(gold + HALF_EDGE) - F(gold - HALF_EDGE) with F the joint CDF around ``predicted``.

    The difference of two corner values, not the mass of a box. (…, E), (…, E) -> (…,), 0..1.
    """
    offset = gold.astype(np.float64) - predicted
    upper, lower = (np.exp(log_ndtr((offset + edge) / DEVIATION).sum(-1)) for edge in (HALF_EDGE, -HALF_EDGE))
    return np.asarray(upper - lower)


def box_log_probability(predicted: Floats, gold: Floats) -> npt.NDArray[np.float64]:
    """Natural log of the mass that the Gaussian around ``predicted`` has within gold ± HALF_EDGE: (…, E) -> (…,)."""
    offset = np.abs(gold.astype(np.float64) - predicted)  # symmetric, and the left tail is where log_ndtr is exact
    upper, lower = (log_ndtr((edge - offset) / DEVIATION) for edge in (HALF_EDGE, -HALF_EDGE))
    return np.asarray((upper + np.log1p(-np.exp(lower - upper))).sum(-1))


def _mean_bits(log_probability: npt.NDArray[np.float64], mask: Flags) -> npt.NDArray[np.float64]:
    leading = np.logical_and.accumulate(np.asarray(mask, bool), axis=1)
    counts = leading.sum(1)
    if not counts.all():
        clip = int(np.flatnonzero(counts == 0)[0])
        raise ValueError(f"clip {clip} has no frame to score: its mask starts with False")
    return np.asarray(-np.where(leading, log_probability, 0).sum(1) / counts)
