# SPDX-License-Identifier: GPL-3.0-or-later
"""What a few seeds can tell: paired differences, corrected for their number, and what could have been seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, ttest_1samp
from scipy.stats import t as student

from .page import Page

#: How surely a difference should be seen that is there, and how rarely one that is not.
POWER: Final = 0.8
LEVEL: Final = 0.05


@dataclass(frozen=True)
class Difference:
    """A variant beside the whole, over seeds.

    Attributes:
        mean: of the differences, variant minus whole.
        deviation: of the differences from seed to seed; NaN for one seed.
        p: two-sided paired t test, after Holm's correction for all differences that were tested; NaN for one seed.
        detectable: the smallest true difference that so many seeds would show with `POWER` at the corrected level.
        tested: whether it was to be tested; otherwise ``p`` and ``detectable`` are NaN.
    """

    mean: float
    deviation: float
    p: float
    detectable: float
    tested: bool

    @property
    def seen(self) -> bool:
        """Whether it is a difference."""
        return bool(self.p < LEVEL)


def differences(
    whole: Mapping[str, Sequence[float]], variants: Mapping[str, Mapping[str, Sequence[float]]],
    tested: Collection[tuple[str, str]] | None = None,
) -> dict[str, dict[str, Difference]]:  # fmt: skip
    """Every variant and metric beside the whole; equal seeds stand in equal places.

    ``tested``: the pairs (variant, metric) that were chosen beforehand to be tested; None for all.
    """
    keys = [(name, metric) for name, found in variants.items() for metric in found]
    chosen = [key for key in keys if tested is None or key in tested]
    gaps = {(n, m): np.subtract(variants[n][m], whole[m]) for n, m in keys}
    corrected = dict(zip(chosen, holm([_p(gaps[key]) for key in chosen]), strict=True))
    result: dict[str, dict[str, Difference]] = {}
    for key in keys:
        gap, known = gaps[key], key in corrected
        deviation = spread_of(gap.tolist())
        least = detectable(deviation, len(gap), len(chosen)) if known else float("nan")
        result.setdefault(key[0], {})[key[1]] = Difference(
            float(gap.mean()), deviation, corrected.get(key, float("nan")), least, known
        )
    return result


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given (Holm 1979); NaN stays NaN and is not counted."""
    order = sorted((k for k, p in enumerate(values) if np.isfinite(p)), key=values.__getitem__)
    corrected, largest = [float("nan")] * len(values), 0.0
    for rank, k in enumerate(order):
        corrected[k] = largest = max(largest, min(1.0, values[k] * (len(order) - rank)))
    return corrected


def spread_of(values: Sequence[float]) -> float:
    """Deviation from seed to seed; NaN for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def seeds_for(difference: float, deviation: float, comparisons: int) -> str:
    """How many paired seeds would show ``difference`` with `POWER`; "over 100" where nobody would wait for them."""
    enough = (n for n in range(2, 101) if detectable(deviation, n, comparisons) <= abs(difference))
    return str(next(enough, "over 100"))


def detectable(deviation: float, seeds: int, comparisons: int) -> float:
    """The smallest true difference that `seeds` paired runs show with `POWER`, at `LEVEL` over ``comparisons``."""
    if seeds < 2 or not np.isfinite(deviation):
        return float("nan")
    critical = student.ppf(1 - LEVEL / comparisons / 2, seeds - 1)
    # The non-centrality at which the power is reached.
    reached = brentq(lambda far: 1 - nct.cdf(critical, seeds - 1, far) - POWER, 0.0, 10.0 * critical)
    return float(reached * deviation / np.sqrt(seeds))


def differ(
    page: Page, found: Mapping[str, Mapping[str, Difference]], metrics: Sequence[str], seeds: int, comparisons: int,
    corner: str,
) -> None:  # fmt: skip
    """A table of differences, which ``lab.json`` holds too; a dash where nothing was measured."""
    page.table(
        (corner, *metrics),
        [(name, *(_said(one.get(metric)) for metric in metrics)) for name, one in found.items()],
        f"Differences are paired by seed. In brackets, where one was to be tested: the smallest that {seeds} seeds "
        f"would show with a power of {POWER:.0%}, corrected for {comparisons} comparisons (Holm); * where "
        f"p < {LEVEL:g} after correction.",
    )
    page.result["differences"] = {name: {m: vars(d) for m, d in one.items()} for name, one in found.items()}


def _said(difference: Difference | None) -> str:
    if difference is None or np.isnan(difference.mean):
        return "–"
    bracket = f" (±{difference.detectable:.2g})" if difference.tested else ""
    return f"{difference.mean:+.3g}{'*' if difference.seen else ''}{bracket}"


def _p(gap: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    if len(gap) < 2:
        return float("nan")
    if np.allclose(gap, gap[0]):  # no spread: a difference of nothing, or of something at every seed alike
        return 1.0 if np.allclose(gap, 0) else 0.0
    return float(ttest_1samp(gap, 0.0).pvalue)
