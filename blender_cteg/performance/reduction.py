# SPDX-License-Identifier: GPL-3.0-or-later
"""Key reduction: few keys that play a curve within an error (no ``bpy``).

From each key the next one is as far away as one segment reaches: a straight line, or a cubic whose two slopes fit the
frames between best (least squares; Schneider 1990, "An algorithm for automatically fitting digitized curves"). Handles
a third of the segment away make Blender's Bézier that very cubic in time. Keys have the curve's own values, so where a
key must be, nothing is lost: lips stay closed on the frames of p, b and m, and lids on those of a blink.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from ..shared import ARKIT_GROUPS, Timeline, seal_frames
from .clip import Clip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: What F-curves, in single precision, cannot tell from nothing.
_LEAST_ERROR: Final = 1e-6
#: A lid that comes down at least so far has blinked; less is a squint or a look down.
_BLINK: Final = 0.3


@dataclass(frozen=True, eq=False)
class Keys:
    """Keys of one curve.

    Attributes:
        frames: whole frames from 0, in order, (K,).
        values: (K,).
        slopes: per frame, before and after each key, (K, 2); of straight lines, theirs.
    """

    frames: Ints
    values: Floats
    slopes: Floats

    @property
    def aligned(self) -> npt.NDArray[np.bool_]:
        """Keys that the curve passes without a corner, (K,)."""
        return np.asarray(self.slopes[:, 0] == self.slopes[:, 1])

    def handles(self) -> Floats:
        """Frame and value of the left and of the right handle of each key, (K, 2, 2)."""
        lengths = np.diff(self.frames) / 3.0
        reach = np.stack([-np.concatenate([lengths[:1], lengths]), np.concatenate([lengths, lengths[-1:]])], axis=1)
        return np.stack([self.frames[:, None] + reach, self.values[:, None] + self.slopes * reach], axis=-1)


def exact_frames(face: Clip, timeline: Timeline | None) -> Mapping[str, Ints]:
    """Channel -> frames of ``face`` on which its curve must be exact: lips that seal, lids that have come down."""
    frames: dict[str, Ints] = {}
    if timeline is not None:
        seals = seal_frames(timeline, face.fps)
        seals = seals[seals < face.frames]
        frames = {channel: seals for channel, group in ARKIT_GROUPS.items() if group in ("mouth", "jaw")}
    for name in {"eyeBlinkLeft", "eyeBlinkRight"}.intersection(face.channels):
        before, lid, after = (face.channel(name)[k : face.frames - 2 + k] for k in range(3))
        frames[name] = 1 + np.flatnonzero((lid >= before) & (lid > after) & (lid > _BLINK))
    return frames


def reduced(values: npt.ArrayLike, keep: Iterable[int], error: float, *, straight: bool = False) -> Keys:
    """Keys that play a curve within ``error`` on every frame.

    Args:
        values: one value per frame, (T,), T at least 2.
        keep: frames that get a key whatever the error; the first and the last always do.
        error: largest absolute deviation on a frame.
        straight: lines between the keys instead of cubics.
    """
    curve, error = np.asarray(values, np.float64), max(error, _LEAST_ERROR)
    frames, ends = [0], []
    for stop in sorted({*(int(frame) for frame in keep), len(curve) - 1} - {0}):
        while frames[-1] < stop:
            length, slopes = _farthest(curve, frames[-1], stop, error, straight)
            frames.append(frames[-1] + length)
            ends.append(slopes)
    after = np.array(ends)
    slopes = np.concatenate([after[:1, :1], after[:, 1:]]), np.concatenate([after[:, :1], after[-1:, 1:]])
    keys = Keys(np.array(frames), curve[frames], np.concatenate(slopes, axis=1))
    if not straight:
        _align(curve, keys, error)
    return keys


def _farthest(curve: Floats, start: int, stop: int, error: float, straight: bool) -> tuple[int, Floats]:
    """The longest segment found from ``start`` within the error: its length, and the slopes at its ends, (2,)."""
    reached, beyond, step = 1, stop - start + 1, 2
    best = _fit(curve, start, start + 1, straight)[1]
    while reached + 1 < beyond:  # twice as far each time, then between the last two
        length = min(step, (reached + beyond) // 2)
        deviation, slopes = _fit(curve, start, start + length, straight)
        if deviation <= error:
            reached, best, step = length, slopes, 2 * length
        else:
            beyond = length
    return reached, best


def _fit(curve: Floats, start: int, end: int, straight: bool) -> tuple[float, Floats]:
    """How far the best segment between two frames is off at most, and its slopes per frame, (2,)."""
    length = end - start
    line = np.full(2, (curve[end] - curve[start]) / length)
    if length == 1:
        return 0.0, line
    slopes = line if straight else _solver(length) @ _rest(curve, start, end)
    return _deviation(curve, start, end, slopes), slopes


def _deviation(curve: Floats, start: int, end: int, slopes: Floats) -> float:
    """How far a segment with these slopes at its ends is off at most, on the frames between."""
    if end - start == 1:
        return 0.0
    return float(np.abs(_rest(curve, start, end) - _basis(end - start)[:, 2:] @ slopes).max())


def _rest(curve: Floats, start: int, end: int) -> Floats:
    """What the slopes have to explain of the frames between, (L - 1,)."""
    return np.asarray(curve[start + 1 : end] - _basis(end - start)[:, :2] @ curve[[start, end]])


@lru_cache(maxsize=512)
def _basis(length: int) -> Floats:
    """Hermite's cubics at the frames inside a segment, (L - 1, 4): of its two values and its two slopes per frame."""
    u = np.arange(1, length) / length
    values = (1 + 2 * u) * (1 - u) ** 2, u**2 * (3 - 2 * u)
    return np.stack([*values, length * u * (1 - u) ** 2, length * u**2 * (u - 1)], axis=1)


@lru_cache(maxsize=512)
def _solver(length: int) -> Floats:
    """The least-squares slopes of a segment from what they have to explain, (2, L - 1)."""
    return np.linalg.pinv(_basis(length)[:, 2:])


def _align(curve: Floats, keys: Keys, error: float) -> None:
    """Give both sides of a key one slope where the error allows it: a curve without corners is easier to edit."""
    frames, slopes = keys.frames, keys.slopes
    for k in range(1, len(frames) - 1):
        one = slopes[k].mean()
        before = _deviation(curve, frames[k - 1], frames[k], np.array([slopes[k - 1, 1], one]))
        after = _deviation(curve, frames[k], frames[k + 1], np.array([one, slopes[k + 1, 0]]))
        if max(before, after) <= error:
            slopes[k] = one
