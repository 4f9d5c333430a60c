# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain shirt: the bust below the neckline, lifted off the skin, with a hem and a closed underside."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from blender_cteg.heads.demo_head.materials import MATERIALS

from .geometry import Floats, Geometry, boundary_loops, clip, combine, compact, join, normals
from .parts import bust_level, neckline_level, with_material

#: How far the cloth stands off the skin and how thick the hem is, decimetres.
_STAND_OFF: Final = 0.045
_HEM: Final = 0.035
_HEM_SEGMENTS: Final = 96


def shirt(geometry: Geometry) -> Geometry:
    """The shirt with rolled hem at the neck and the bust's underside closed."""
    part = compact(geometry)
    # Normals are taken before cutting and carried along: slivers at a cut have none worth using.
    out = normals(part.rest, part.faces)
    part = replace(part, rest=part.rest + out * _STAND_OFF, masks=np.concatenate([part.masks, out], axis=1))
    part = clip(part, np.minimum(bust_level(part.base), 1.0))
    cloth = clip(part, neckline_level(part.base))
    loops = sorted(boundary_loops(cloth.faces), key=lambda loop: -float(cloth.base[loop, 1].mean()))
    pieces = [with_material(cloth, "Shirt"), _hem(cloth, loops[0])]
    pieces += [_cap(cloth, loop) for loop in loops[1:] if len(loop) > 8]
    return join([replace(piece, masks=piece.masks[:, :-3]) for piece in pieces])


def _hem(cloth: Geometry, loop: list[int]) -> Geometry:
    """A rolled edge: a tube along ``loop``, resampled evenly."""
    count = _HEM_SEGMENTS
    length = np.linalg.norm(cloth.rest[loop] - cloth.rest[np.roll(loop, -1)], axis=1)
    place = np.interp(
        np.arange(count) / count, np.concatenate([[0.0], np.cumsum(length)]) / length.sum(), np.arange(len(loop) + 1)
    )
    low, part = place.astype(int) % len(loop), place % 1
    pair = np.stack([np.array(loop)[low], np.array(loop)[(low + 1) % len(loop)]], axis=1)
    share = np.stack([1 - part, part], axis=1)
    points = np.einsum("nk,nkc->nc", share, cloth.rest[pair])
    out = _smooth_loop(np.einsum("nk,nkc->nc", share, cloth.masks[pair][..., -3:]), points)
    along = np.roll(points, -2, axis=0) - np.roll(points, 2, axis=0)
    along = _smooth_loop(along / np.linalg.norm(along, axis=1, keepdims=True), points)
    out -= (out * along).sum(axis=1, keepdims=True) * along
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    up = np.cross(along, out)
    up *= np.sign((up[:, 1]).sum())
    angles = np.radians([-100, -50, 0, 50, 100, 150, 190, 230])
    faces = []
    for ring in range(len(angles) - 1):
        for i in range(count):
            j = (i + 1) % count
            faces.append([ring * count + i, ring * count + j, (ring + 1) * count + j, (ring + 1) * count + i])
    tube = combine(cloth, np.tile(pair, (len(angles), 1)), np.tile(share, (len(angles), 1)), np.array(faces))
    offset = [_HEM * (np.cos(a) * out + np.sin(a) * up) + _HEM * 0.6 * up - _HEM * 0.5 * out for a in angles]
    moved = replace(tube, rest=tube.rest + np.concatenate(offset))
    if (normals(moved.rest, moved.faces)[2 * count : 3 * count] * out).sum() < 0:
        moved = replace(moved, faces=moved.faces[:, ::-1].copy())
    return with_material(moved, "Shirt")


def _smooth_loop(vectors: Floats, points: Floats) -> Floats:
    """Unit ``vectors`` (n, 3) averaged along the closed loop of ``points`` over about 4 mm to each side."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    result = np.exp(-((distance / 0.06) ** 2)) @ vectors
    return result / np.linalg.norm(result, axis=1, keepdims=True)


def _cap(cloth: Geometry, loop: list[int]) -> Geometry:
    """A fan that closes ``loop``."""
    count = len(loop)
    rows = np.zeros((count + 1, count), np.int64)
    factors = np.zeros((count + 1, count))
    rows[:count, 0], factors[:count, 0] = loop, 1
    rows[count], factors[count] = loop, 1 / count
    faces = np.array([[(i + 1) % count, i, count, -1] for i in range(count)])
    return with_material(combine(cloth, rows, factors, faces), np.full(count, MATERIALS.index("Shirt")))
