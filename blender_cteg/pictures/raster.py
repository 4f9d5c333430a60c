# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws triangles into a small picture, with NumPy alone: the same with and without a window (no ``bpy``).

Every triangle is strewn with points, as many as its size in the picture asks for, and of those in one pixel the nearest
is seen. That is quick where triangles are about as large as pixels, as those of faces are in small pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

#: Pixels of the drawing beside one of the picture, in each direction, and points for each of them on triangles that are
#: seen from outside, and from inside: most of these are behind others.
_FINER: Final = 2
_POINTS: Final = 2.5
_POINTS_BEHIND: Final = 1.2
#: Most points for one triangle.
_MOST: Final = 4000
#: What lies so far behind both its neighbours, in halves of the picture, is seen through a hole.
_HOLE: Final = 0.04
#: Where the light comes from, seen by who looks: left, above, in front; and how much there is of it everywhere.
_LIGHT: Final = np.array([-0.35, 0.45, 0.82], np.float32) / np.float32(np.linalg.norm([-0.35, 0.45, 0.82]))
_AMBIENT: Final = 0.3
#: A sequence that fills a square evenly (Roberts 2018, R2).
_STEPS: Final = np.array([0.7548776662466927, 0.5698402909980532])


def picture(points: Floats, triangles: Ints, colours: Floats, size: int) -> Floats:
    """Draw triangles as seen from the front.

    Args:
        points: (V, 3): x to the right and y upwards, -1 to 1 within the picture, z towards who looks.
        triangles: places of their corners, (F, 3); they are seen from both sides.
        colours: of each, linear RGB, (F, 3).
        size: pixels of a side.

    Returns:
        RGBA as Blender stores images: (size, size, 4), sRGB 0 to 1, the lowest row first; clear where nothing is.
    """
    fine = size * _FINER
    near = (np.abs(points[:, :2]) < 1.1).all(1)
    inside = near[triangles].any(1)
    triangles, colours = triangles[inside], colours[inside]
    corners, (normals, shades) = points[triangles], lit(points, triangles)
    shades = shades[triangles]
    wanted = np.where(normals[:, 2] > 0, _POINTS, _POINTS_BEHIND) * np.abs(normals[:, 2]) * (0.125 * fine**2)
    lot = np.arange(len(wanted)) * _STEPS[0] % 1.0  # of triangles that are smaller than a point, some have one
    counts = np.minimum(wanted + lot, _MOST).astype(np.intp)
    of = np.repeat(np.arange(len(counts)), counts)
    shares = _shares(np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts))
    across, up, depths = (_mean(shares, corners[..., axis], of) for axis in range(3))
    light = _mean(shares, shades, of)
    columns, rows = (((place + 1.0) * (0.5 * fine)).astype(np.int32) for place in (across, up))
    seen = np.flatnonzero((columns >= 0) & (columns < fine) & (rows >= 0) & (rows < fine))
    seen = seen[np.argsort(depths[seen])]  # the nearest last: of several in one pixel it stays
    at = rows[seen] * fine + columns[seen]
    drawn, depth = np.zeros((fine * fine, 4), np.float32), np.full(fine * fine, -np.inf, np.float32)
    drawn[at, :3] = colours[of[seen]] * light[seen, None]
    drawn[at, 3], depth[at] = 1.0, depths[seen]
    drawn = _closed(drawn.reshape(fine, fine, 4), depth.reshape(fine, fine))
    cells = drawn.reshape(size, _FINER, size, _FINER, 4).sum((1, 3))
    result = np.zeros((size, size, 4), np.float32)
    result[..., :3] = srgb(cells[..., :3] / np.maximum(cells[..., 3:], 1.0))
    result[..., 3] = cells[..., 3] / _FINER**2
    return result


def _closed(drawn: Floats, depth: Floats) -> Floats:
    """Without the holes between points, through which what is far behind is seen: pixels between two nearer ones."""
    beside = [np.full_like(depth, -np.inf) for _ in range(4)]
    beside[0][1:], beside[1][:-1], beside[2][:, 1:], beside[3][:, :-1] = (
        depth[:-1],
        depth[1:],
        depth[:, :-1],
        depth[:, 1:],
    )
    across = np.maximum(np.minimum(beside[0], beside[1]), np.minimum(beside[2], beside[3]))
    rows, columns = np.nonzero(across > depth + _HOLE)
    upright = np.minimum(beside[0], beside[1])[rows, columns] >= np.minimum(beside[2], beside[3])[rows, columns]
    closed = drawn.copy()
    closed[rows, columns] = np.where(
        upright[:, None],
        drawn[np.maximum(rows - 1, 0), columns],
        drawn[rows, np.maximum(columns - 1, 0)],
    )
    return closed


def _mean(shares: Sequence[Floats], corners: Floats, of: Ints) -> Floats:
    """What points have of a number at the corners of their triangles, (N,)."""
    parts: list[Floats] = [share * corners[:, k][of] for k, share in enumerate(shares)]
    return parts[0] + parts[1] + parts[2]


def lit(points: Floats, triangles: Ints, *, ahead: bool = True) -> tuple[Floats, Floats]:
    """Normals of triangles, (F, 3), as long as they are large, and how light each point is, (V,): of the triangles
    around it the larger ones count more. ``ahead``: seen from where the light is, so that what turns away is an inside.
    """
    corners = points[triangles]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normals = np.stack([one[:, k - 2] * other[:, k - 1] - one[:, k - 1] * other[:, k - 2] for k in range(3)], axis=1)
    across = [
        np.bincount(triangles.ravel(), np.repeat(normals[:, axis], 3), len(points)).astype(np.float32)
        for axis in range(3)
    ]
    smooth = np.stack(across, axis=1)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)
    smooth *= np.where(ahead & (smooth[:, 2:] < 0), np.float32(-1.0), np.float32(1.0))  # it is lit there
    light: Floats = _AMBIENT + (1.0 - _AMBIENT) * np.maximum(smooth @ _LIGHT, 0.0)
    return normals, light


def _shares(number: Ints) -> tuple[Floats, Floats, Floats]:
    """Barycentric coordinates of the points of triangles, by their numbers in them, (N,) each."""
    one, other = _SQUARE[:, number % len(_SQUARE[0])]
    return 1.0 - one - other, one, other


def _strewn() -> Floats:
    """Points in the triangle under the diagonal of a square, the first in its middle, (2, n)."""
    square = (0.5 + np.arange(_MOST)[None] * _STEPS[:, None]) % 1.0
    square = np.where(square.sum(0) > 1.0, 1.0 - square, square)
    square[:, 0] = 1.0 / 3.0
    return square.astype(np.float32)


_SQUARE: Final = _strewn()


def srgb(linear: Floats) -> Floats:
    """Linear colours as screens and Blender's images have them."""
    linear = np.clip(linear, 0.0, 1.0)
    encoded: Floats = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded
