# SPDX-License-Identifier: GPL-3.0-or-later
"""Key reduction: few keys that play a curve within an error (no ``bpy``).

Segments are straight lines, or cubics whose two slopes fit the frames between best (least squares), and one that is
too far off is divided where it is farthest off (Schneider 1990, "An algorithm for automatically fitting digitized
curves"); then keys that are not needed go. All curves of a take are worked on together, segment by segment in arrays:
a take is swapped while the animator waits. Handles a third of the segment away make Blender's Bézier that very cubic in
time. Keys have the curve's own values, so where a key must be, nothing is lost: lips stay closed on the frames of p, b
and m, and lids on those of a blink.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..arrays import Floats, Ints, Mask
from ..clip import Clip
from ..shared import ARKIT_GROUPS, Timeline, seal_frames

#: What F-curves, in single precision, cannot tell from nothing.
_LEAST_ERROR: Final = 1e-6
#: How often needless keys are looked for, every other key at a time.
_PASSES: Final = 6
#: A lid that comes down at least so far has blinked; less is a squint or a look down.
_BLINK: Final = 0.3


@dataclass(frozen=True, eq=False)
class Keys:
    """Keys of one curve.

    Attributes:
        frames: in order, (K,).
        values: (K,).
        slopes: per frame, before and after each key, (K, 2); of straight lines, theirs.
    """

    frames: Ints
    values: Floats
    slopes: Floats


def exact_frames(face: Clip, timeline: Timeline | None) -> dict[str, Ints]:
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


def reduced(values: npt.ArrayLike, keep: Mask, errors: npt.ArrayLike, *, straight: bool = False) -> list[Keys]:
    """Keys that play curves within an error on every frame.

    Args:
        values: one row per frame, one column per curve, (T, C), T at least 2.
        keep: frames that get a key whatever the error, (T, C); the first and the last always do.
        errors: per curve, largest absolute deviation on a frame, (C,).
        straight: lines between the keys instead of cubics.
    """
    columns = np.asarray(values, np.float64).T
    frames = columns.shape[1]
    fit = _Fit(columns.ravel(), np.maximum(np.asarray(errors, np.float64), _LEAST_ERROR), frames, straight)
    must = keep.T.copy()
    must[:, [0, -1]] = True
    places = fit.thinned(fit.divided(must.ravel()), must.ravel())
    slopes = fit.aligned(places)
    found = np.split(np.arange(len(places)), np.flatnonzero(np.diff(places // frames)) + 1)
    return [Keys(places[k] % frames, fit.curve[places[k]], slopes[k]) for k in found]


#: What was reduced last, by everything it depends on: animators go to and fro between takes.
_reduced: dict[bytes, list[Keys]] = {}
_MOST_REDUCED: Final = 64


def remembered(
    values: Floats, keep: Mask, errors: Floats, straight: bool
) -> list[Keys]:  # fmt: skip
    """`reduced`, done once for the takes that were shown last."""
    parts = (np.ascontiguousarray(values).tobytes(), keep.tobytes(), errors.tobytes(), bytes([straight]))
    key = hashlib.blake2b(b"".join(parts), digest_size=16).digest()
    if key not in _reduced:
        while len(_reduced) >= _MOST_REDUCED:
            del _reduced[next(iter(_reduced))]
        _reduced[key] = reduced(values, keep, errors, straight=straight)
    return _reduced[key]


def every_frame(values: npt.ArrayLike, *, straight: bool = False) -> list[Keys]:
    """A key on each frame of curves, (T, C), the first and the last alone of those that never change."""
    columns = np.asarray(values, np.float64).T
    keys = []
    for column in columns:
        frames = np.arange(len(column)) if np.ptp(column) or len(column) < 2 else np.array([0, len(column) - 1])
        steps = np.diff(column[frames]) / np.maximum(np.diff(frames), 1) if len(frames) > 1 else np.zeros(1)
        before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
        # Level at a peak, else the harmonic mean, which does not overshoot (Fritsch and Carlson 1980).
        product, total = before * after, before + after
        even = np.where(product > 0, 2 * product / np.where(total == 0, 1, total), 0.0)
        slopes = np.stack([before, after] if straight else [even, even], axis=1)
        keys.append(Keys(frames, column[frames], slopes))
    return keys


@dataclass(frozen=True, eq=False)
class _Fit:
    """Segments of several curves, fitted together. Frames of all curves are counted on: curve c begins at c * frames.

    Attributes:
        curve: all values, (C * frames,).
        errors: per curve, (C,).
        frames: of each curve.
        straight: lines instead of cubics.
    """

    curve: Floats
    errors: Floats
    frames: int
    straight: bool

    def divided(self, must: Mask) -> Mask:
        """Which frames have a key: those that must, and where segments had to be divided."""
        keyed = must.copy()
        starts, ends = self.segments(np.flatnonzero(keyed))
        while len(starts):
            _, deviation, worst = self.fitted(starts, ends)
            far = deviation > self.errors[starts // self.frames]
            middle = worst[far]
            keyed[middle] = True
            starts, ends = np.concatenate([starts[far], middle]), np.concatenate([middle, ends[far]])
        return keyed

    def thinned(self, keyed: Mask, must: Mask) -> Ints:
        """The keys without those that one segment in place of two does not miss; their places."""
        for turn in range(_PASSES):
            places = np.flatnonzero(keyed)
            inner = np.arange(1 + turn % 2, len(places) - 1, 2)
            inner = inner[~must[places[inner]]]
            starts, ends = places[inner - 1], places[inner + 1]
            _, deviation, _ = self.fitted(starts, ends)
            keyed[places[inner[deviation <= self.errors[starts // self.frames]]]] = False
        return np.flatnonzero(keyed)

    def aligned(self, places: Ints) -> Floats:
        """Slopes before and after each key, (K, 2): one for both where the error allows it, which is easier to edit."""
        starts, ends = self.segments(places)
        own, _, _ = self.fitted(starts, ends)
        first = np.searchsorted(places, starts)
        slopes = np.zeros((len(places), 2))
        slopes[first, 1], slopes[first + 1, 0] = own[:, 0], own[:, 1]
        edge = np.ones(len(places), bool)
        edge[first[np.isin(first, first + 1)]] = False  # keys between two segments of their curve
        begins, stops = np.isin(np.arange(len(places)), first), np.isin(np.arange(len(places)), first + 1)
        slopes[~stops, 0], slopes[~begins, 1] = slopes[~stops, 1], slopes[~begins, 0]
        corner = edge | self.straight
        one = slopes.mean(axis=1, keepdims=True)
        while True:
            tried = np.where(corner[:, None], slopes, one)
            _, deviation, _ = self.fitted(starts, ends, np.stack([tried[first, 1], tried[first + 1, 0]], axis=1))
            far = first[deviation > self.errors[starts // self.frames]]
            if corner[far].all() and corner[far + 1].all():
                return tried
            corner[far] = corner[far + 1] = True

    def segments(self, places: Ints) -> tuple[Ints, Ints]:
        """First and last place of each segment between keys."""
        starts, ends = places[:-1], places[1:]
        same = starts // self.frames == ends // self.frames
        return starts[same], ends[same]

    def fitted(self, starts: Ints, ends: Ints, slopes: Floats | None = None) -> tuple[Floats, Floats, Ints]:
        """Slopes per frame of each segment, the best or given ones, (S, 2), how far it is off at most, and where."""
        lengths = (ends - starts).astype(np.float64)
        level = (self.curve[ends] - self.curve[starts]) / np.maximum(lengths, 1)
        chosen = np.stack([level, level], axis=1) if slopes is None else slopes
        deviation, worst = np.zeros(len(starts)), starts + 1
        some = np.flatnonzero(ends - starts > 1)
        if not len(some):
            return chosen, deviation, worst
        counts = ends[some] - starts[some] - 1
        begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
        of = np.repeat(np.arange(len(some)), counts)  # the segment of each frame between keys
        place = np.arange(len(of)) - begins[of] + 1
        at, reach = starts[some][of] + place, lengths[some][of]
        t = place / reach
        s = 1.0 - t
        out, back = t * s * s * reach, -t * t * s * reach  # what the slopes at both ends do (Hermite)
        first, last = self.curve[starts[some]][of], self.curve[ends[some]][of]
        ends_alone = (1 + 2 * t) * s * s * first + t * t * (3 - 2 * t) * last
        rest = self.curve[at] - ends_alone
        if slopes is None and not self.straight:
            chosen[some] = _least_squares(out, back, rest, begins, counts)
        off = np.abs(rest - out * chosen[some][of, 0] - back * chosen[some][of, 1])
        deviation[some] = np.maximum.reduceat(off, begins)
        farthest = np.flatnonzero(off == deviation[some][of])
        worst[some] = at[farthest[np.unique(of[farthest], return_index=True)[1]]]
        return chosen, deviation, worst


def _least_squares(out: Floats, back: Floats, rest: Floats, begins: Ints, counts: Ints) -> Floats:
    """Both slopes of each segment, (S, 2), from all its frames; the shortest solution where there is one frame."""
    total = np.add.reduceat
    oo, ob, bb = total(out * out, begins), total(out * back, begins), total(back * back, begins)
    o, b = total(out * rest, begins), total(back * rest, begins)
    several = counts > 1
    scale = np.where(several, oo * bb - ob * ob, oo + bb)
    cross = np.where(several, ob, 0.0)
    oo, bb = np.where(several, oo, 1.0), np.where(several, bb, 1.0)
    return np.asarray(np.stack([bb * o - cross * b, oo * b - cross * o], axis=1) / scale[:, None])
