# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair combed back into a low knot: a shell grown from the scalp, the knot, and fine hairs at the hairline."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from blender_cteg.heads.demo_head.materials import MATERIALS

from .geometry import Floats, Geometry, Ints, clip, compact, normals, subdivide
from .grooming import strips
from .identity import Person
from .parts import smoothstep, with_material

#: The hairline in the side view of the base mesh, (z, y) in decimetres from the forehead back to the nape.
_HAIRLINE: Final = np.array(
    [
        [1.60, 7.97], [1.40, 7.955], [1.28, 7.93], [1.12, 7.84], [1.01, 7.70], [0.92, 7.56], [0.86, 7.40],
        [0.78, 7.25], [0.70, 7.20], [0.64, 7.26], [0.61, 7.37], [0.50, 7.41], [0.38, 7.38], [0.30, 7.22],
        [0.24, 6.95], [0.12, 6.68], [-0.10, 6.50], [-0.60, 6.45],
    ]
)  # fmt: skip
#: Where the hair is gathered, on the base mesh, and the knot's radii (across, up, back).
_KNOT: Final = np.array([0.0, 7.28, -0.50])
_KNOT_RADII: Final = np.array([0.36, 0.33, 0.24])
#: Middle of the skull on the base mesh: the combing runs over the sphere about it.
_CURVATURE: Final = 0.75  # radius of the skull in decimetres, roughly
_SKULL: Final = np.array([0.0, 7.45, 0.45])


def hairline_level(base: Floats) -> Floats:
    """Signed distance (n,) in decimetres to the hairline in the side view; positive where hair grows."""
    z, y = base[:, 2], base[:, 1]
    square = np.full(len(base), np.inf)
    for (z0, y0), (dz, dy) in zip(_HAIRLINE[:-1], np.diff(_HAIRLINE, axis=0), strict=True):
        u, v = z - z0, y - y0
        t = np.clip((u * dz + v * dy) / (dz * dz + dy * dy), 0, 1)
        square = np.minimum(square, (u - t * dz) ** 2 + (v - t * dy) ** 2)
    distance = np.sqrt(square)
    line = np.interp(z, _HAIRLINE[::-1, 0], _HAIRLINE[::-1, 1])
    result: Floats = np.where(y > line, distance, -distance)
    return result


def combing(base: Floats) -> tuple[Floats, Floats]:
    """Angle around the knot (-pi..pi) and angle away from it (0..pi) of base mesh points (n, 3)."""
    axis = (_KNOT - _SKULL) / np.linalg.norm(_KNOT - _SKULL)
    right = np.array([1.0, 0.0, 0.0])
    up = np.cross(axis, right)
    offset = base - _SKULL
    offset = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
    around = np.arctan2(offset @ right, offset @ up)
    away = np.arccos(np.clip(offset @ axis, -1, 1))
    return around, away


def _grooves(around: Floats, away: Floats) -> Floats:
    """Height -1..1 of combed locks: waves across the combing that wander slowly along it."""
    phase = 0.5 * np.sin(2.1 * away + 1.3) + 0.3 * np.sin(3.3 * away)
    lock = np.sin(23 * around + 3 * phase) * 0.6 + np.sin(41 * around - 4 * phase + 1.7) * 0.4
    result: Floats = lock * smoothstep(0.25, 0.6, away)
    return result


def _hair_uv(around: Floats, away: Floats, faces: Ints) -> Floats:
    corners = np.where(faces < 0, faces[:, :1], faces)
    angle = around[corners]
    angle -= 2 * np.pi * np.round((angle - angle[:, :1]) / (2 * np.pi))  # no polygon spans the seam
    return np.stack([0.5 + angle / (2 * np.pi), away[corners] / np.pi], axis=-1)


def shell(geometry: Geometry, volume: float) -> Geometry:
    """The hair's body: the scalp above the hairline, lifted with volume on top and grooves along the combing."""
    part = compact(geometry)
    ear = (np.abs(part.base[:, 0]) > 0.79) & (part.base[:, 1] < 7.45) & (part.base[:, 1] > 6.7)
    level = np.where(ear, -0.1, hairline_level(part.base))
    level[part.base[:, 1] < 6.3] = -1.0
    level[(part.masks < 0).any(axis=1)] = -1.0
    part = subdivide(subdivide(clip(part, level)))
    level = hairline_level(part.base)
    around, away = combing(part.base)
    rise = smoothstep(-0.02, 0.30, level)
    top = smoothstep(7.6, 8.4, part.base[:, 1])
    front = smoothstep(0.2, 1.2, part.base[:, 2])
    thickness = 0.012 + rise * volume * (0.055 + 0.10 * top + 0.06 * front * top)
    thickness += 0.016 * _grooves(around, away) * smoothstep(0.03, 0.35, level)
    rest = part.rest + normals(part.rest, part.faces) * thickness[:, None]
    return with_material(replace(part, rest=rest), "Hair", _hair_uv(around, away, part.faces))


def knot(geometry: Geometry, near: Ints, size: float) -> Geometry:
    """The knot: an ellipsoid with a spiral of locks, fixed to the head."""
    shift = (geometry.rest[near] - geometry.base[near]).mean(axis=0)
    rows, columns = 20, 40
    polar = np.linspace(0, np.pi, rows)[1:-1]
    turn = np.arange(columns) * 2 * np.pi / columns
    theta, phi = np.repeat(polar, columns), np.tile(turn, rows - 2)
    direction = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), -np.cos(theta)], axis=1)
    direction = np.concatenate([[[0, 0, -1.0]], direction, [[0, 0, 1.0]]])
    lock = np.sin(5 * phi + 7 * theta) * 0.05 + np.sin(9 * phi + 12 * theta + 1) * 0.02
    radius = 1 + np.concatenate([[0.0], lock * np.sin(theta), [0.0]])
    points = _KNOT + shift + direction * _KNOT_RADII * size * radius[:, None]
    points += (_SKULL - _KNOT) * max(1 - size, 0) * 0.5  # a small one is inside the skull
    last = len(points) - 1
    faces = []
    for i in range(columns):
        j = (i + 1) % columns
        faces.append([0, 1 + j, 1 + i, -1])
        for row in range(rows - 3):
            a, b = 1 + row * columns, 1 + (row + 1) * columns
            faces.append([a + i, a + j, b + j, b + i])
        a = 1 + (rows - 3) * columns
        faces.append([a + i, a + j, last, -1])
    face_array = np.array(faces)
    weights = np.zeros((len(points), 5))
    weights[:, 1] = 1
    spiral = np.concatenate([[0.0], (5 * phi + 7 * theta) / 25, [0.0]])
    depth = np.concatenate([[0.0], theta / np.pi, [1.0]])
    corners = np.where(face_array < 0, face_array[:, :1], face_array)
    uv = np.stack([spiral[corners], 0.35 + 0.3 * depth[corners]], axis=-1)
    return Geometry(
        points, points, np.zeros((len(points), geometry.deltas.shape[1])), weights, np.zeros((len(points), 3)),
        face_array, uv, np.full(len(face_array), MATERIALS.index("Hair")),
    )  # fmt: skip


def fine_hairs(geometry: Geometry) -> Geometry:
    """Thin hairs rooted on the skin before the hairline, combed back over its edge."""
    random = np.random.default_rng(3)
    faces = geometry.faces[(geometry.masks[geometry.faces] >= 0).all(axis=(1, 2)) & (geometry.faces[:, 3] >= 0)]
    triangles = np.concatenate([faces[:, :3], faces[:, [0, 2, 3]]])
    middle = geometry.base[triangles].mean(axis=1)
    level = hairline_level(middle)
    pool = np.flatnonzero((level > -0.10) & (level < 0.10) & (middle[:, 1] > 6.45))
    ear = (np.abs(middle[pool, 0]) > 0.66) & (middle[pool, 1] < 7.62) & (middle[pool, 2] < 0.85)
    pool = pool[~ear]
    corners = geometry.base[triangles[pool]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    count = 2600
    chosen = pool[random.choice(len(pool), count, p=area / area.sum())]
    bary = random.dirichlet((1, 1, 1), count)
    base = np.einsum("nt,ntc->nc", bary, geometry.base[triangles[chosen]])
    near = hairline_level(base)
    keep = (near > -0.045) & (near < 0.03) & (random.random(count) < np.where(near < -0.02, 0.35, 1.0))
    chosen, bary, base = chosen[keep], bary[keep], base[keep]
    rows = np.repeat(triangles[chosen][:, None], 3, axis=1)
    factors = np.repeat(bary[:, None], 3, axis=1)
    vertex_normals = normals(geometry.rest, geometry.faces)
    out = np.einsum("nt,ntc->nc", bary, vertex_normals[triangles[chosen]])
    away = _KNOT - base
    flow = away - (away * out).sum(axis=1, keepdims=True) * out
    flow /= np.linalg.norm(flow, axis=1, keepdims=True)
    flow = flow + random.normal(0, 0.12, flow.shape)
    length = random.uniform(0.12, 0.24, len(base))[:, None]
    side = np.cross(out, flow)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    heights = np.array([0.002, 0.03, 0.05])
    bow = length**2 / (2 * _CURVATURE)
    steps = zip((0.0, 0.5, 1.0), heights, strict=True)
    offsets = np.stack([flow * length * s + out * (h - bow * s * s) for s, h in steps], axis=1)
    sides = np.repeat(side[:, None], 3, axis=1) * 0.0026
    extra = np.zeros((len(base), 3, geometry.deltas.shape[1]))
    result = strips(geometry, rows, factors, offsets, sides, extra, "Hair")
    around, angle = combing(np.repeat(base, 5, axis=0))
    return replace(result, uv=_hair_uv(around, angle, result.faces))


def all_parts(geometry: Geometry, person: Person) -> list[Geometry]:
    """Shell, knot and fine hairs."""
    near = np.flatnonzero((np.linalg.norm(geometry.base - _KNOT, axis=1) < 0.5) & (geometry.base[:, 1] > 6.9))
    return [shell(geometry, person.volume), knot(geometry, near, person.knot), fine_hairs(geometry)]
