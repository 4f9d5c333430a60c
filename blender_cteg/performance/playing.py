# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a curve as rows of numbers, and what they play (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..arrays import Floats, Ints, Mask
from ..sentences import told

#: Keys of a curve in order, (K, WIDTH): a key a row, all its fields as columns, whole numbers too.
Rows = Floats

FRAME, VALUE, OVERSHOOT, AMPLITUDE, PERIOD, LEFT_TYPE, RIGHT_TYPE, INTERPOLATION, EASING, KIND = 0, 1, *range(6, 14)
#: Overshoot, amplitude and period as Blender has them.
USUAL: Final = np.float32([1.70158, 0.8, 4.1])
POINT, LEFT, RIGHT, SELECTED = slice(0, 2), slice(2, 4), slice(4, 6), slice(14, 17)
WIDTH: Final = 17
#: Handle types, interpolations and the key type "generated" in numbers (measured, 4.5 to 5.3).
FREE, AUTO, VECTOR, ALIGNED = range(4)
CONSTANT, LINEAR, BEZIER, BACK, BOUNCE, CIRC, _, ELASTIC = range(8)
GENERATED: Final = 5
#: Amplitude and period, which only elastic keys use: the last bits of each say whose a key is, see `tag`.
TAG, _BITS = slice(AMPLITUDE, PERIOD + 1), 16
#: Blender's own threshold for a key on this frame.
NEAR: Final = 0.01
#: How exactly a key that nobody moved is on its frame, and one that was moved with its line where it should be.
SAME, MOVED = 2e-3, 2e-2
#: Under continuous acceleration a key changes handles many keys away; the influence falls by about 0.27 a key.
_RUN: Final = 16
NO_ROWS: Final = np.zeros((0, WIDTH))

#: Values on frames of the segment between two keys, asked of Blender.
Oracle = Callable[[Floats, Floats, Floats], Floats]


@dataclass(frozen=True)
class Shape:
    """What a curve is besides its keys.

    Attributes:
        linear: it goes on along its slopes, else it holds its first and last value.
        smooth: Blender calculates its handles with continuous acceleration.
        oracle: plays easings.
    """

    linear: bool
    smooth: bool
    oracle: Oracle

    @property
    def reach(self) -> int:
        """How many base keys beside a span are held at most; of a slope to go on along, both keys that make it."""
        return _RUN if self.smooth else 1 + self.linear


def ordered(parts: Sequence[Rows]) -> Rows:
    """All keys in the order of their frames."""
    rows = np.concatenate(parts)
    return rows[np.argsort(rows[:, FRAME], kind="stable")]


def within(rows: Rows, low: float, high: float) -> Rows:
    """The keys from one frame to another."""
    return rows[(rows[:, FRAME] >= low) & (rows[:, FRAME] <= high)]


def single(rows: Rows) -> Rows:
    """The keys as single precision keeps them."""
    return rows.astype(np.float32).astype(np.float64)


def tag(rows: Rows, number: int) -> Rows:
    """The keys, tagged with a number of 32 bits, which they keep wherever Blender moves, scales or copies them to."""
    high, low = divmod(number, 1 << _BITS)
    usual = USUAL[1:].view(np.uint32) >> _BITS << _BITS
    rows[:, TAG] = (usual | np.uint32([high, low])).view(np.float32)
    return rows


def tags(columns: npt.ArrayLike) -> Ints:
    """With which number keys are tagged, of their columns `TAG`; where nobody tagged them it is always the same."""
    bits = np.asarray(columns, np.float32).view(np.uint32) % (1 << _BITS)
    return np.asarray(bits[:, 0] << _BITS | bits[:, 1])


def pack(rows: Rows) -> bytes:
    """Keys as they are stored, with all their fields: 44 bytes a key."""
    return rows[:, :LEFT_TYPE].astype("<f4").tobytes() + rows[:, LEFT_TYPE:].astype(np.uint8).tobytes()


def unpack(data: bytes) -> Rows:
    """What `pack` made. ValueError for anything else."""
    count, rest = divmod(len(data), 4 * LEFT_TYPE + WIDTH - LEFT_TYPE)
    rows = np.zeros((count, WIDTH))
    rows[:, :LEFT_TYPE] = np.frombuffer(data, "<f4", count * LEFT_TYPE).reshape(count, LEFT_TYPE)
    rows[:, LEFT_TYPE:] = np.frombuffer(data, np.uint8)[count * LEFT_TYPE * 4 :].reshape(count, WIDTH - LEFT_TYPE)
    good = np.isfinite(rows).all() and (rows[:, LEFT_TYPE : KIND + 1] <= (4, 4, 12, 3, 5)).all()
    if rest or not good:
        raise ValueError(told("keys put aside are no keys"))
    return rows


def among(wanted: Floats, there: Floats) -> Mask:
    """Which frames are exactly among others, which are in order."""
    if not len(there):
        return np.zeros(len(wanted), np.bool_)
    return np.asarray(there[np.minimum(there.searchsorted(wanted), len(there) - 1)] == wanted)


def nearest(wanted: Floats, there: Floats) -> tuple[Ints, Floats]:
    """For each frame the index of the nearest of ``there`` (in order, not empty), and how far it is."""
    after = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    before = np.maximum(after - 1, 0)
    best = np.where(np.abs(there[before] - wanted) <= np.abs(there[after] - wanted), before, after)
    return best, np.abs(there[best] - wanted)


def controls(a: Floats, b: Floats) -> tuple[Any, Any, Any]:
    """Bézier points of segments a-b after the first, relative to it; no handle is longer than its segment (Blender)."""
    whole = b[..., POINT] - a[..., POINT]
    q, r = a[..., RIGHT] - a[..., POINT], b[..., LEFT] - b[..., POINT]
    for handle in (q, r):
        reach = np.maximum(np.abs(handle[..., 0]), 1e-30)
        handle *= np.minimum(whole[..., 0] / reach, 1.0)[..., None]
    return q, whole + r, whole


def time_of(x1: Any, x2: Any, x3: Any, x: Any) -> Any:
    """Where along a cubic from 0 its frame is x: by bisection, which no vertical tangent disturbs. Floats or arrays."""
    c1, c2, c3 = 3 * x1, 3 * (x2 - 2 * x1), x3 + 3 * (x1 - x2)
    t, step = 0.5 + 0 * x, 0.25
    for _ in range(54):
        t, step = t + step * (2 * (((c3 * t + c2) * t + c1) * t < x) - 1), step / 2
    return t


def slopes(rows: Rows, linear: bool) -> tuple[float, float]:
    """Slopes per frame before the first and after the last key, as Blender extrapolates."""
    if not linear or not len(rows):
        return 0.0, 0.0
    runs = []
    for key, other, side in ((rows[0], rows[1:2], LEFT), (rows[-1], rows[-2:-1], RIGHT)):
        line = key[INTERPOLATION] == LINEAR
        run, rise = key[POINT] - other[0, POINT] if line and len(other) else key[side] - key[POINT]
        runs.append(0.0 if key[INTERPOLATION] == CONSTANT or (line and not len(other)) or not run else rise / run)
    return float(runs[0]), float(runs[1])


def evaluated(rows: Rows, wanted: npt.ArrayLike, shape: Shape) -> Floats:
    """What keys play on frames, without modifiers; NaN of no keys."""
    at = np.asarray(wanted, np.float64)
    if not len(rows):
        return np.full(len(at), np.nan)
    k = np.searchsorted(rows[:, FRAME], at, "right") - 1
    first, last, (before, after) = rows[0], rows[-1], slopes(rows, shape.linear)
    values = np.where(k < 0, first[VALUE] + before * (at - first[FRAME]), last[VALUE] + after * (at - last[FRAME]))
    inside = np.flatnonzero((k >= 0) & (k < len(rows) - 1))
    a, b, k = rows[k[inside]], rows[k[inside] + 1], k[inside]
    kind, past = a[:, INTERPOLATION], at[inside] - a[:, FRAME]
    played, line, curve = a[:, VALUE].copy(), kind == LINEAR, kind == BEZIER
    played[line] += past[line] * ((b - a)[line, VALUE] / (b - a)[line, FRAME])
    if curve.any():
        q, r, s = controls(a[curve], b[curve])
        t = time_of(q[:, 0], r[:, 0], s[:, 0], past[curve])
        played[curve] += 3 * (1 - t) * t * ((1 - t) * q[:, 1] + t * r[:, 1]) + t**3 * s[:, 1]
    for segment in np.unique(k[kind > BEZIER]):
        played[k == segment] = shape.oracle(rows[segment], rows[segment + 1], at[inside[k == segment]])
    values[inside] = played
    return values


def changes(rows: Rows, start: float, end: float, linear: bool) -> bool:
    """Whether keys play more than one value between two frames."""
    if not len(rows):
        return False
    x, (before, after) = rows[:, FRAME], slopes(rows, linear)
    if (before and start < x[0] - NEAR) or (after and end > x[-1] + NEAR):
        return True
    first, last = max(int(np.searchsorted(x, start + NEAR)) - 1, 0), int(np.searchsorted(x, end - NEAR))
    a, b = rows[first : min(last, len(rows) - 1)], rows[first + 1 : last + 1]
    kind, curve = a[:, INTERPOLATION], a[:, INTERPOLATION] == BEZIER
    seen = (kind != CONSTANT) | (b[:, FRAME] < end - NEAR)
    levels = rows[first : first + 1, VALUE], b[seen, VALUE], a[curve, RIGHT][:, 1], b[curve, LEFT][:, 1]
    level = np.concatenate(levels)
    return bool(np.ptp(level) > 1e-6 * max(1.0, np.abs(level).max()) or (kind == ELASTIC).any())
