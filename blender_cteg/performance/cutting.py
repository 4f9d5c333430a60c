# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a curve: a key more on a frame, and it plays as before (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ..arrays import Floats
from .playing import (
    BACK,
    BEZIER,
    BOUNCE,
    CIRC,
    CONSTANT,
    EASING,
    ELASTIC,
    FRAME,
    FREE,
    GENERATED,
    INTERPOLATION,
    KIND,
    LEFT,
    LEFT_TYPE,
    LINEAR,
    NEAR,
    PERIOD,
    POINT,
    RIGHT,
    RIGHT_TYPE,
    SELECTED,
    VALUE,
    Oracle,
    Rows,
    controls,
    time_of,
)


def handles(keys: Rows, lengths: Floats, slopes: Floats) -> Floats:
    """Handles along slopes, (K, 2); their frames are rounded first, so that slopes survive single precision."""
    x = (keys[:, FRAME] + lengths).astype(np.float32)
    return np.stack([x, keys[:, VALUE] + slopes * (x - keys[:, FRAME])], 1)


def set_handle(key: Floats, side: slice, length: float, slope: float) -> None:
    """Set a handle along a slope, like `handles`."""
    x = float(np.float32(key[FRAME] + length))
    key[side] = x, key[VALUE] + slope * (x - key[FRAME])


def _split(a: Floats, b: Floats, frame: float) -> tuple[Floats, ...] | float:
    """A Bézier segment in two: a's new handle, the left handle, point and right handle between, b's new handle.

    Where Blender would shorten the new handles, because they overlap: the frame to cut first, where it is steepest.
    """
    q, r, s = controls(a, b)
    u, v, w = q[0], r[0] - q[0], s[0] - r[0]
    if v < 0 and u - 2 * v + w:
        t = (u - v) / (u - 2 * v + w)
        top = float(a[FRAME] + 3 * (1 - t) ** 2 * t * q[0] + 3 * (1 - t) * t * t * r[0] + t**3 * s[0])
        if 0 < t < 1 and abs(top - frame) > NEAR and a[FRAME] + NEAR < top < b[FRAME] - NEAR:
            return top
    t = time_of(float(q[0]), float(r[0]), float(s[0]), frame - float(a[FRAME]))
    pq, qr, rs = q * t, q + (r - q) * t, r + (s - r) * t
    left, right = pq + (qr - pq) * t, qr + (rs - qr) * t
    return tuple(a[POINT] + point for point in (pq, left, left + (right - left) * t, right, rs))


#: Moments of a segment at which it is compared with what it was, (M, 1), and what its handles count there, (M, 2).
_MOMENTS: Final = (np.arange(32)[:, None] + 0.5) / 32
_COUNT: Final = 3 * (1 - _MOMENTS) * _MOMENTS * np.hstack([1 - _MOMENTS, _MOMENTS])


def _rounded(a: Floats, q: Floats, r: Floats, b: Floats) -> Floats:
    """Both handles of a Bézier segment, (2, 2), on frames that single precision has: what these are off, values make up
    for, so that the segment plays as it did (least squares).
    """
    points, t = np.array([a, q, r, b]), _MOMENTS
    handles = points[1:3]
    off = handles[:, 0].astype(np.float32) - handles[:, 0]
    steps = np.diff(points, axis=0)
    run, rise = ((1 - t) ** 2 * steps[0] + 2 * (1 - t) * t * steps[1] + t**2 * steps[2]).T
    counts = run[:, None] * _COUNT
    squares = counts.T @ counts
    squares += np.eye(2) * (1e-12 * np.trace(squares) + 1e-30)  # a segment that goes nowhere
    more = np.linalg.solve(squares, counts.T @ (rise * (_COUNT @ off)))
    return handles + np.stack([off, more], 1)


#: Bézier points from values at 0, 1/3, 2/3 and 1.
_THROUGH: Final = np.array([[6, 0, 0, 0], [-5, 18, -9, 2], [2, -9, 18, -5], [0, 0, 0, 6]]) / 6
#: Where a cubic is compared with what it stands for, in thirds of it: an elastic one swings in no such steps.
_BETWEEN: Final = (0.37, 1.61, 2.23, 2.81)
#: Time, by the direction of the easing, under which CIRC, upright at an end, is smooth.
_ROUND: Final[dict[int, Callable[[Floats], Floats]]] = {
    1: lambda share: 1 - (1 - share) ** 2,
    2: lambda share: share**2,
    3: lambda share: np.where(share < 0.5, 1 - (1 - 2 * share) ** 2, 1 + (2 * share - 1) ** 2) / 2,
}


def _eased(a: Floats, b: Floats, oracle: Oracle) -> Rows:
    """A segment with an easing as Bézier keys: cubics through four points of a stretch, halved where they are off."""
    kind, mode, length = a[INTERPOLATION], int(a[EASING]), b[FRAME] - a[FRAME]
    mode = mode or (2 if kind in (BACK, BOUNCE, ELASTIC) else 1)  # in, out, both
    corners = [7 / 11, 3 / 11, 1 / 11] if kind == BOUNCE else []
    if kind == ELASTIC:
        corners = [1 - (a[PERIOD] or length * (0.45 if mode == 3 else 0.3)) / 4 / length]
    corners = [corner if mode != 2 else 1 - corner for corner in corners if 0 < corner < 1]
    if mode == 3:
        corners = [*(corner / 2 for corner in corners), 0.5, *(1 - corner / 2 for corner in corners)]
    warp = _ROUND[mode] if kind == CIRC else lambda share: share
    keys, todo = [a.copy()], list(pairwise([0.0, *sorted(corners), 1.0]))[::-1]
    while todo:
        low, high = todo.pop()
        share = np.array([0, 1, 2, 3, *_BETWEEN]) / 3
        x = a[FRAME] + length * warp(low + (high - low) * share)
        y = oracle(a, b, x)
        points, t = _THROUGH @ np.stack([x[:4], y[:4]], 1), share[4:, None]
        cubic = np.hstack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3]) @ points[:, 1]
        if np.abs(cubic - y[4:]).max() > 5e-6 * max(1.0, abs(b[VALUE] - a[VALUE])) and x[3] - x[0] > 4 * NEAR:
            todo += [((low + high) / 2, high), (low, (low + high) / 2)]
            continue
        keys[-1][RIGHT], keys[-1][INTERPOLATION] = points[1], BEZIER
        keys.append(b.copy() if high == 1.0 else free_key(a, points[3]))
        keys[-1][LEFT] = points[2]
    return np.array(keys)


def free_key(like: Floats, point: npt.ArrayLike) -> Floats:
    """A new key with free handles, the rest as of another."""
    key = like.copy()
    key[POINT], key[LEFT_TYPE], key[RIGHT_TYPE], key[KIND], key[SELECTED] = point, FREE, FREE, GENERATED, 0
    return key


def cut(rows: Rows, frame: float, outer: tuple[float, float], oracle: Oracle) -> Rows:
    """The keys with one on the frame, if none is near; they play as before."""
    if np.abs(rows[:, FRAME] - frame).min() <= NEAR:
        return rows
    rows, i, count = rows.copy(), int(np.searchsorted(rows[:, FRAME], frame)), len(rows)
    a, b, inside = rows[max(i - 1, 0)], rows[min(i, count - 1)], 0 < i < count
    if inside and a[INTERPOLATION] > BEZIER:
        eased = np.concatenate([rows[: i - 1], _eased(a, b, oracle), rows[i + 1 :]])
        return cut(eased, frame, outer, oracle)
    if inside and a[INTERPOLATION] == BEZIER:
        parts = _split(a, b, frame)
        if isinstance(parts, float):
            return cut(cut(rows, parts, outer, oracle), frame, outer, oracle)
        key = free_key(a, (frame, parts[2][1]))
        a[RIGHT], key[LEFT] = _rounded(a[POINT], parts[0], parts[1], key[POINT])
        key[RIGHT], b[LEFT] = _rounded(key[POINT], parts[3], parts[4], b[POINT])
        return np.concatenate([rows[:i], key[None], rows[i:]])
    run, slope = frame - a[FRAME], outer[i > 0]
    if inside:
        slope = 0.0 if a[INTERPOLATION] == CONSTANT else (b[VALUE] - a[VALUE]) / (b[FRAME] - a[FRAME])
    key, reach = free_key(a, (frame, a[VALUE] + slope * run)), run / 3 if i == count else 1.0
    set_handle(key, LEFT, -reach, slope)
    set_handle(key, RIGHT, 1.0, slope)
    if i == 0:
        key[INTERPOLATION] = LINEAR
    elif i == count and a[INTERPOLATION] != CONSTANT:
        a[INTERPOLATION] = key[INTERPOLATION] = BEZIER
        set_handle(a, RIGHT, reach, slope)
        if count == 1:
            set_handle(a, LEFT, -1.0, outer[0])
    return np.concatenate([rows[:i], key[None], rows[i:]])
