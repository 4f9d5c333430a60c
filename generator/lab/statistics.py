# SPDX-License-Identifier: GPL-3.0-or-later
"""What a few seeds can tell: paired differences, corrected for their number, and what could have been seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import nct, ttest_1samp
from scipy.stats import t as student

#: How surely a difference should be seen that is there, and how rarely one that is not.
POWER: Final = 0.8
LEVEL: Final = 0.05


@dataclass(frozen=True)
class Difference:
    """A variant beside the whole, over seeds.

    Attributes:
        mean: of the differences, variant minus whole.
        deviation: of the differences from seed to seed; NaN for one seed.
        p: two-sided paired t test, after Holm's correction for all differences that were looked at; NaN for one seed.
        detectable: the smallest true difference that so many seeds would show with `POWER` at the corrected level.
    """

    mean: float
    deviation: float
    p: float
    detectable: float

    @property
    def seen(self) -> bool:
        """Whether it is a difference."""
        return bool(self.p < LEVEL)


def differences(
    whole: Mapping[str, Sequence[float]], variants: Mapping[str, Mapping[str, Sequence[float]]]
) -> dict[str, dict[str, Difference]]:
    """Every variant and metric beside the whole; equal seeds stand in equal places."""
    keys = [(name, metric) for name, found in variants.items() for metric in found]
    gaps = {(n, m): np.subtract(variants[n][m], whole[m]) for n, m in keys}
    raw = {key: _p(gap) for key, gap in gaps.items()}
    order = sorted((key for key in keys if np.isfinite(raw[key])), key=raw.__getitem__)
    corrected, largest = dict.fromkeys(keys, float("nan")), 0.0
    for rank, key in enumerate(order):
        largest = max(largest, min(1.0, raw[key] * (len(order) - rank)))
        corrected[key] = largest
    result: dict[str, dict[str, Difference]] = {}
    for name, metric in keys:
        gap = gaps[name, metric]
        deviation = float(gap.std(ddof=1)) if len(gap) > 1 else float("nan")
        found = Difference(
            float(gap.mean()), deviation, corrected[name, metric], detectable(deviation, len(gap), len(keys))
        )
        result.setdefault(name, {})[metric] = found
    return result


def detectable(deviation: float, seeds: int, comparisons: int) -> float:
    """The smallest true difference that `seeds` paired runs show with `POWER`, at `LEVEL` over ``comparisons``."""
    if seeds < 2 or not np.isfinite(deviation):
        return float("nan")
    critical = student.ppf(1 - LEVEL / comparisons / 2, seeds - 1)
    low, high = 0.0, 1000.0 * critical
    for _ in range(60):  # the non-centrality at which the power is reached
        middle = (low + high) / 2
        missed = nct.cdf(critical, seeds - 1, middle)
        low, high = (middle, high) if not 1 - missed >= POWER else (low, middle)
    return float(high * deviation / np.sqrt(seeds))


def _p(gap: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    if len(gap) < 2:
        return float("nan")
    if np.allclose(gap, gap[0]):  # no spread: a difference of nothing, or of something at every seed alike
        return 1.0 if np.allclose(gap, 0) else 0.0
    return float(ttest_1samp(gap, 0.0).pvalue)
