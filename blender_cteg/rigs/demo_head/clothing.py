# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain shirt: the bust below the neckline, lifted off the skin, with a hem and a closed underside."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from .geometry import Floats, Geometry, boundary_loops, clip, combine, compact, join, normals
from .materials import MATERIALS
from .parts import bust_level, with_material

#: How far the cloth stands off the skin and how thick the hem is, decimetres.
_STAND_OFF: Final = 0.045
_HEM: Final = 0.035


def neckline_level(base: Floats) -> Floats:
    """Positive (decimetres, roughly a distance) where the shirt covers the base mesh: lower in front."""
    height = np.interp(base[:, 2], [-0.6, -0.2, 0.3, 0.8, 1.2], [6.04, 6.02, 5.86, 5.58, 5.45])
    result: Floats = height - base[:, 1]
    return result


def shirt(geometry: Geometry) -> Geometry:
    """The shirt with rolled hem at the neck and the bust's underside closed."""
    part = compact(geometry)
    part = clip(part, np.minimum(bust_level(part.base), 1.0))
    part = clip(part, neckline_level(part.base))
    lifted = replace(part, rest=part.rest + normals(part.rest, part.faces) * _STAND_OFF)
    loops = sorted(boundary_loops(lifted.faces), key=lambda loop: -float(lifted.base[loop, 1].mean()))
    pieces = [with_material(lifted, "Shirt"), _hem(lifted, loops[0])]
    pieces += [_cap(lifted, loop) for loop in loops[1:] if len(loop) > 8]
    return join(pieces)


def _hem(cloth: Geometry, loop: list[int]) -> Geometry:
    """A rolled edge: a tube along ``loop``, open toward the cloth."""
    count = len(loop)
    points = cloth.rest[loop]
    out = normals(cloth.rest, cloth.faces)[loop]
    along = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = np.cross(along, out)
    up *= np.sign((up[:, 1]).sum())
    angles = np.radians([-100, -50, 0, 50, 100, 150, 190, 230])
    rows = np.tile(np.array(loop)[None, :, None], (len(angles), 1, 1)).reshape(-1, 1)
    faces = []
    for ring in range(len(angles) - 1):
        for i in range(count):
            j = (i + 1) % count
            faces.append([ring * count + i, ring * count + j, (ring + 1) * count + j, (ring + 1) * count + i])
    tube = combine(cloth, rows, np.ones((len(rows), 1)), np.array(faces))
    offset = [_HEM * (np.cos(a) * out + np.sin(a) * up) + _HEM * 0.6 * up - _HEM * 0.5 * out for a in angles]
    moved = replace(tube, rest=tube.rest + np.concatenate(offset))
    if (normals(moved.rest, moved.faces)[2 * count : 3 * count] * out).sum() < 0:
        moved = replace(moved, faces=moved.faces[:, ::-1].copy())
    return with_material(moved, "Shirt")


def _cap(cloth: Geometry, loop: list[int]) -> Geometry:
    """A fan that closes ``loop``."""
    count = len(loop)
    rows = np.zeros((count + 1, count), np.int64)
    factors = np.zeros((count + 1, count))
    rows[:count, 0], factors[:count, 0] = loop, 1
    rows[count], factors[count] = loop, 1 / count
    faces = np.array([[(i + 1) % count, i, count, -1] for i in range(count)])
    return with_material(combine(cloth, rows, factors, faces), np.full(count, MATERIALS.index("Shirt")))
