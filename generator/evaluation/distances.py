# SPDX-License-Identifier: GPL-3.0-or-later
"""How far apart two clips are. A clip is (T, C) float in the units of its space.

No learned encoder of expressions is released, so clips are compared by their raw coefficients; numbers of papers that
embed clips with a trained encoder (text-to-motion does) are on another scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

Clip = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
#: A clip as one vector: the ``f`` of docs/metrics.md.
Feature = Callable[[Clip], Floats]

#: Frames compared; longer clips are cut, shorter ones padded with the standard face (zeros).
WINDOW: Final = 64


def windowed(clip: Clip) -> Floats:
    """The first `WINDOW` frames over sqrt(`WINDOW`), (WINDOW C,).

    The distance of two of these is the root mean square over frames of the frames' distance, whatever the window.
    """
    frames = np.zeros((WINDOW, clip.shape[1]))
    frames[: min(WINDOW, len(clip))] = clip[:WINDOW]
    return frames.ravel() / np.sqrt(WINDOW)


def time_mean(clip: Clip) -> Floats:
    """The mean frame, (C,): blind to motion, the second choice for ``f``."""
    return np.asarray(clip.mean(axis=0, dtype=np.float64))


def distance(a: Clip, b: Clip, feature: Feature = windowed) -> float:
    """Euclidean distance of two clips' features, in the units of the space."""
    return float(np.linalg.norm(feature(a) - feature(b)))


def mean_pairwise(clips: Sequence[Clip], feature: Feature = windowed) -> float:
    """2 / (n (n - 1)) times the sum over pairs i < j of `distance`; NaN for fewer than two clips."""
    return mean(pdist(np.stack([feature(clip) for clip in clips])) if clips else np.empty(0))


def mean(values: Sequence[float] | Floats) -> float:
    """The mean, or NaN where there is nothing to average."""
    return float(np.mean(values)) if len(values) else float("nan")
