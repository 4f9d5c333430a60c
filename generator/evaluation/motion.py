# SPDX-License-Identifier: GPL-3.0-or-later
"""How takes move, against a reference: speed, jerk, amplitude, endings, blinks, regions, Fréchet distance. Our choice.

A clip is (T, C) in the units of its space; ``reference`` are clips of the ground truth. NaN: nothing to measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import wasserstein_distance

from ..shared.spaces import Space
from .distances import Clip, Floats, mean

#: Hz, the band of `RegionMotion.tremor`.
TREMOR: Final = (8.0, 12.0)
#: A clip ends at neutral when its last frame's norm is at most this share of the reference's `peak`.
NEUTRAL_SHARE: Final = 0.05
#: Mean lid closure above which a blink begins, and below which it is over.
LIDS_CLOSED: Final = 0.5
LIDS_OPEN: Final = 0.35


def speeds(clips: Sequence[Clip]) -> Floats:
    """|x_{t+1} - x_t| of every frame of every clip, in units per frame, (all frames,)."""
    return _differences(clips, 1)


def jerks(clips: Sequence[Clip]) -> Floats:
    """|third difference| of every frame of every clip, in units per frame^3, (all frames,)."""
    return _differences(clips, 3)


def jerk(clips: Sequence[Clip]) -> float:
    """Roughness: the mean over frames of |third difference|, then over clips, per frame^3."""
    return mean([float(np.linalg.norm(np.diff(clip, n=3, axis=0), axis=1).mean()) for clip in clips if len(clip) > 3])


def distribution_distance(values: Floats, reference: Floats) -> float:
    """Wasserstein-1 distance of two sets of numbers, in their unit.

    For `speeds` and `jerks`: two means may agree where one face freezes and jumps and the other flows.
    """
    return float(wasserstein_distance(values, reference)) if len(values) and len(reference) else float("nan")


def peak(clips: Sequence[Clip]) -> float:
    """Amplitude of the acting: the mean over clips of the 95th percentile of the frames' norms."""
    return mean([float(np.percentile(np.linalg.norm(clip, axis=1), 95)) for clip in clips])


def amplitude(clips: Sequence[Clip], points: int = 50) -> Floats:
    """Mean norm of the frame at ``points`` moments evenly spread over each clip, (points,)."""
    moments = np.linspace(0, 1, points)
    curves = [np.interp(moments, np.linspace(0, 1, len(c)), np.linalg.norm(c, axis=1)) for c in clips]
    return np.asarray(np.mean(curves, axis=0))


def end_norm(clips: Sequence[Clip]) -> float:
    """The mean norm of the last frame: 0 is the standard face."""
    return mean([float(np.linalg.norm(clip[-1])) for clip in clips])


def ends_at_neutral(clips: Sequence[Clip], reference_peak: float) -> float:
    """Share of clips whose last frame's norm is at most `NEUTRAL_SHARE` of ``reference_peak`` (`peak`), 0..1."""
    return mean([float(np.linalg.norm(clip[-1]) <= NEUTRAL_SHARE * reference_peak) for clip in clips])


def length_error(takes: Sequence[Sequence[Clip]], frames: Sequence[int], fps: float) -> float:
    """The mean over all takes of |length - ground truth's length|, in seconds; ``frames`` per line."""
    return mean([abs(len(t) - true) / fps for line, true in zip(takes, frames, strict=True) for t in line])


# Blinks --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blinks:
    """The blinks of some clips: per minute, and how long each closed the lids, in seconds (those that reopened)."""

    per_minute: float
    durations: Floats


def lid_columns(space: Space) -> tuple[int, int] | None:
    """Columns of the two lids; None where the space has none (FLAME's expression basis has no blink of its own)."""
    if "eyeBlinkLeft" not in space.channels:
        return None
    return space.column("eyeBlinkLeft"), space.column("eyeBlinkRight")


def blinks(clips: Sequence[Clip], lids: tuple[int, int], fps: float) -> Blinks:
    """Count blinks: the mean lid closure rises above `LIDS_CLOSED`, and the blink lasts until it is below `LIDS_OPEN`.

    Human: 15 to 20 per minute, 0.1 to 0.25 s.
    """
    count, frames, durations = 0, 0, []
    for clip in clips:
        began: int | None = None
        frames += len(clip)
        for t, closure in enumerate(clip[:, list(lids)].mean(axis=1)):
            if began is None and closure > LIDS_CLOSED:
                began, count = t, count + 1
            elif began is not None and closure < LIDS_OPEN:
                durations.append((t - began) / fps)
                began = None
    return Blinks(count / (frames / fps / 60) if frames else float("nan"), np.array(durations))


# Regions -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RegionMotion:
    """How a region of the face moves, per second whatever the frame rate.

    Attributes:
        speed: mean over frames, then over clips, of the norm of its channels' change, in units per second.
        jerk: the same of the third difference, per second cubed.
        tremor: mean power of its channels from 8 to 12 Hz, units squared: what no muscle of the face does on purpose.
    """

    speed: float
    jerk: float
    tremor: float


def region_motion(clips: Sequence[Clip], columns: Sequence[int], fps: float) -> RegionMotion:
    """The motion of ``columns``; clips of fewer than 4 frames are left out."""
    parts = [clip[:, list(columns)].astype(np.float64) for clip in clips if len(clip) > 3]
    rates = [
        [float(np.linalg.norm(np.diff(part, n=order, axis=0), axis=1).mean()) * fps**order for part in parts]
        for order in (1, 3)
    ]
    return RegionMotion(mean(rates[0]), mean(rates[1]), mean([_band_power(part, fps, *TREMOR) for part in parts]))


def side_correlation(clips: Sequence[Clip], space: Space) -> float:
    """How alike left and right are: the correlation over all frames of each pair of channels, mean over the pairs.

    Living faces are below 1. Gaze is left out: eyes that look aside do so in different channels. NaN where the space
    has no sides.
    """
    pairs = [
        (column, space.channels.index(name.removesuffix("Left") + "Right"))
        for column, name in enumerate(space.channels)
        if name.endswith("Left") and not name.startswith(("eyeLook", "jaw")) and name != "mouthLeft"
    ]
    if not pairs or not clips:
        return float("nan")
    frames = np.concatenate(clips).astype(np.float64)
    moving = [(a, b) for a, b in pairs if min(frames[:, a].std(), frames[:, b].std()) > 1e-4]
    return mean([float(np.corrcoef(frames[:, a], frames[:, b])[0, 1]) for a, b in moving])


def effective_rank(clips: Sequence[Clip]) -> float:
    """In how many directions faces move: exp of the entropy of the covariance's eigenvalues (Roy and Vetterli 2007).

    The eigenvalues of the covariance of all frames over their sum are taken for probabilities; 1 to C.
    """
    if not clips:
        return float("nan")
    values = np.linalg.eigvalsh(np.cov(np.concatenate(clips).astype(np.float64), rowvar=False))
    values = values[values > 1e-12]
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(values) else float("nan")


def _band_power(values: Floats, fps: float, low: float, high: float) -> float:
    """Mean over channels of the power of ``values`` (T, C) from ``low`` to ``high`` Hz, Hann window."""
    window = np.hanning(len(values) + 2)[1:-1, None]
    spectrum = np.abs(np.fft.rfft((values - values.mean(0)) * window, axis=0)) ** 2
    frequency = np.fft.rfftfreq(len(values), 1.0 / fps)
    inside = (frequency >= low) & (frequency <= high)
    return float(2.0 * spectrum[inside].sum(0).mean() / (len(values) * (window**2).sum()))


# Fréchet distance ----------------------------------------------------------------------------------------------------


def motion_features(clip: Clip) -> Floats:
    """Features of a clip's motion, (4 C,): mean, deviation, peak and mean absolute change (x 5) per channel."""
    change = np.abs(np.diff(clip, axis=0)).mean(axis=0) * 5 if len(clip) > 1 else np.zeros(clip.shape[1])
    return np.concatenate([clip.mean(0), clip.std(0), np.abs(clip).max(0), change]).astype(np.float64)


def frechet(first: Sequence[Clip], second: Sequence[Clip]) -> float:
    """Fréchet distance of Gaussians fitted to `motion_features` (Heusel et al. 2017); 1e-3 is added to variances.

    Biased upward for few clips: compare numbers from equally many. NaN for fewer than two clips.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
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


def _differences(clips: Sequence[Clip], order: int) -> Floats:
    parts = [np.linalg.norm(np.diff(clip, n=order, axis=0), axis=1) for clip in clips if len(clip) > order]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)
