# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's metrics of variety: Diversity, MModality, Variation, FgD. Sources and doubts: docs/metrics.md.

The paper names them and gives no formulas, so the definitions are our reading: after Guo et al. 2022 (HumanML3D) and
Ng et al. 2023 (LM-Listener), whose measures it appears to take up. "Own reading" below marks what is not certain.

Clips are free-running takes without a given first frame, (T, C) in the units of their space. ``takes[i][k]`` is take
k of line i, ``clips`` one take of each line. All are in the units of the space, so compare them within one data set.
A metric that its clips are too few or too short for is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from .distances import Clip, Feature, distance, mean, mean_pairwise, windowed

#: HumanML3D's numbers: pairs for Diversity; lines and pairs of takes for MModality (of 30 takes there).
DIVERSITY_PAIRS: Final = 300
MMODALITY_LINES: Final = 100
MMODALITY_PAIRS: Final = 10


def diversity(clips: Sequence[Clip], pairs: int = DIVERSITY_PAIRS, seed: int = 0, feature: Feature = windowed) -> float:
    """Diversity: 1/S sum_s |f(X_a(s)) - f(X_b(s))|, clips of different lines, one take each.

    Both index sets, a and b, hold S = min(``pairs``, n) clips drawn without replacement (Guo et al. 2022; the choice
    of f is our own reading). Where a(s) = b(s) the pair is left out, so that the expectation is `diversity_all`.
    """
    rng = np.random.default_rng(seed)
    first, second = (rng.choice(len(clips), min(pairs, len(clips)), replace=False) for _ in range(2))
    return mean([distance(clips[a], clips[b], feature) for a, b in zip(first, second, strict=True) if a != b])


def diversity_all(clips: Sequence[Clip], feature: Feature = windowed) -> float:
    """Diversity without sampling: 2 / (n (n - 1)) sum_{i<j} |f(X_i) - f(X_j)|.

    Also what a second-hand note on the paper describes as DoT (own reading).
    """
    return mean_pairwise(clips, feature)


def mmodality(
    takes: Sequence[Sequence[Clip]], lines: int = MMODALITY_LINES, pairs: int = MMODALITY_PAIRS, seed: int = 0
) -> float:
    """MModality: 1/(C S) sum_c sum_s |f(X_c,a(s)) - f(X_c,b(s))|, takes of the same line (own reading: HumanML3D's).

    C = ``lines`` lines drawn without replacement; per line S = ``pairs`` takes a and S takes b, each without
    replacement. As in Guo et al.'s code a take may meet itself and then counts as 0: with K takes the expectation is
    (1 - 1/K) of `mmodality_all`. NaN unless every line has more than ``pairs`` takes (HumanML3D has 30).
    """
    if not takes or min(map(len, takes)) <= pairs:
        return float("nan")
    rng = np.random.default_rng(seed)
    values = []
    for line in rng.choice(len(takes), min(lines, len(takes)), replace=False):
        first, second = (rng.choice(len(takes[line]), pairs, replace=False) for _ in range(2))
        values += [distance(takes[line][a], takes[line][b]) for a, b in zip(first, second, strict=True)]
    return mean(values)


def mmodality_all(takes: Sequence[Sequence[Clip]]) -> float:
    """MModality without sampling: the mean over all pairs of takes of a line, then over lines.

    0 when the takes are the same: the direct test that a model uses its latent. Lines with one take do not count.
    """
    return mean([mean_pairwise(line) for line in takes if len(line) > 1])


def variation(clips: Sequence[Clip], columns: Sequence[int] | None = None) -> float:
    """Variation: 1/n sum_i 1/C sum_d Var_t(X_i[t, d]), population variance over a clip's frames.

    LM-Listener's ``var``; very likely the paper's. ``columns`` chooses channels: jaw angles in radians hardly weigh
    beside expression coefficients, so the two are also reported apart.
    """
    chosen = slice(None) if columns is None else list(columns)
    return mean([float(clip[:, chosen].var(axis=0, dtype=np.float64).mean()) for clip in clips])


def fgd(clips: Sequence[Clip]) -> float:
    """FgD: the mean over frames of |x_{t+1} - x_t|, then over clips; also the mean speed, in units per frame.

    After a second-hand note on the paper (own reading). Noise raises it without limit: shuffled frames have the most.
    """
    return mean([float(np.linalg.norm(np.diff(clip, axis=0), axis=1).mean()) for clip in clips if len(clip) > 1])


def fgd_sync(takes: Sequence[Sequence[Clip]]) -> float:
    """FgD read as frame-synchronous MModality: mean_c mean_{t <= min T} mean_{k<l} |x_ckt - x_clt| (own reading)."""
    values = []
    for line in takes:
        if len(line) > 1:
            shortest = min(map(len, line))
            pairs = combinations([clip[:shortest] for clip in line], 2)
            values.append(mean([float(np.linalg.norm(a - b, axis=1).mean()) for a, b in pairs]))
    return mean(values)


def in_clip_diversity(clips: Sequence[Clip], seed: int = 0) -> float:
    """LM-Listener's ``diversity``: the mean distance of S random pairs of frames of one clip, then over clips.

    S = 30 for clips of more than 30 frames, else 10 (fewer where a clip has fewer frames), two sets without
    replacement. Certain for LM-Listener; as the paper's FgD it is a candidate only (own reading).
    """
    rng = np.random.default_rng(seed)
    values = []
    for clip in clips:
        pairs = min(30 if len(clip) > 30 else 10, len(clip))
        first, second = (clip[rng.choice(len(clip), pairs, replace=False)] for _ in range(2))
        values.append(float(np.linalg.norm(first - second, axis=1).mean()))
    return mean(values)
