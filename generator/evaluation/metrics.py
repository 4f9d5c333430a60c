# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics over clips, one function each. A clip is (T, C) float in the units of its space.

The paper names Diversity, MModality, Variation and FgD and gives no formulas; the definitions here are our reading,
after Guo et al. 2022 (HumanML3D) and Ng et al. 2023 (LM-Listener).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

Clip = npt.NDArray[np.float32]

#: Frames compared by the distances; shorter clips are padded with the standard face (zeros).
WINDOW: Final = 64


def _window(clip: Clip) -> npt.NDArray[np.float64]:
    frames = np.zeros((WINDOW, clip.shape[1]))
    frames[: min(WINDOW, len(clip))] = clip[:WINDOW]
    return frames.ravel() / np.sqrt(WINDOW)


def distance(a: Clip, b: Clip) -> float:
    """Root mean over the first `WINDOW` frames of the squared Euclidean distance between frames."""
    return float(np.linalg.norm(_window(a) - _window(b)))


def diversity(clips: Sequence[Clip], pairs: int = 300, seed: int = 0) -> float:
    """Diversity: mean `distance` over random pairs of clips of different lines, one take each."""
    rng = np.random.default_rng(seed)
    first, second = (rng.choice(len(clips), min(pairs, len(clips)), replace=False) for _ in range(2))
    chosen = [distance(clips[a], clips[b]) for a, b in zip(first, second, strict=True) if a != b]
    return float(np.mean(chosen))


def multimodality(takes: Sequence[Sequence[Clip]]) -> float:
    """MModality: mean `distance` over all pairs of takes of one line, then over lines. Identical takes give 0."""
    return float(np.mean([np.mean([distance(a, b) for a, b in combinations(line, 2)]) for line in takes]))


def variation(clips: Sequence[Clip]) -> float:
    """Variation: population variance over a clip's frames, mean over channels, mean over clips."""
    return float(np.mean([clip.var(axis=0).mean() for clip in clips]))


def frame_change(clips: Sequence[Clip]) -> float:
    """FgD: mean Euclidean norm of the frame-to-frame change, mean over clips."""
    return float(np.mean([np.linalg.norm(np.diff(clip, axis=0), axis=1).mean() for clip in clips]))


def jerk(clips: Sequence[Clip]) -> float:
    """Mean Euclidean norm of the third difference, per frame^3, mean over clips: roughness."""
    return float(np.mean([np.linalg.norm(np.diff(clip, n=3, axis=0), axis=1).mean() for clip in clips]))


def peak(clips: Sequence[Clip]) -> float:
    """Mean over clips of the 95th percentile of the frames' Euclidean norm: amplitude of the acting."""
    return float(np.mean([np.percentile(np.linalg.norm(clip, axis=1), 95) for clip in clips]))


def blinks_per_minute(clips: Sequence[Clip], blink_columns: tuple[int, int], fps: float) -> float:
    """Blinks per minute: rises of the mean lid closure above 0.5 after having been below 0.35."""
    blinks, frames = 0, 0
    for clip in clips:
        closed, frames = False, frames + len(clip)
        for value in clip[:, list(blink_columns)].mean(axis=1):
            if not closed and value > 0.5:
                blinks, closed = blinks + 1, True
            elif closed and value < 0.35:
                closed = False
    return blinks / (frames / fps / 60)


def end_norm(clips: Sequence[Clip]) -> float:
    """Mean Euclidean norm of the last frame: 0 is the standard face."""
    return float(np.mean([np.linalg.norm(clip[-1]) for clip in clips]))


def motion_features(clip: Clip) -> npt.NDArray[np.float64]:
    """Features of a clip's motion, (4 C,): mean, deviation, peak and mean absolute change per channel."""
    change = np.abs(np.diff(clip, axis=0)).mean(axis=0) * 5
    return np.concatenate([clip.mean(0), clip.std(0), np.abs(clip).max(0), change]).astype(np.float64)


def frechet(first: Sequence[Clip], second: Sequence[Clip]) -> float:
    """Fréchet distance of Gaussians fitted to `motion_features` (Heusel et al. 2017); 1e-3 is added to variances."""
    means, covariances = [], []
    for clips in (first, second):
        features = np.stack([motion_features(c) for c in clips])
        means.append(features.mean(0))
        covariances.append(np.cov(features, rowvar=False) + 1e-3 * np.eye(features.shape[1]))
    # trace sqrt(A B) from the eigenvalues of the symmetric sqrt(A) B sqrt(A): no complex square root needed.
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ covariances[1] @ root), 0, None)).sum()
    shift = float(((means[0] - means[1]) ** 2).sum())
    return shift + float(np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * cross)
