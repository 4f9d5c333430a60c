# SPDX-License-Identifier: GPL-3.0-or-later
"""Brows and lashes: tapered strips of hair rooted in the skin, so they follow every expression."""

from __future__ import annotations

from typing import Final

import numpy as np

from blender_cteg.character.axes import rotation_matrix
from blender_cteg.heads.demo_head.materials import MATERIALS

from .geometry import Floats, Geometry, Ints, join, normals
from .identity import Person
from .parts import EYE_RING, LASH_RING, Eye

#: Middle line of the left brow on the base mesh, (x, y) in decimetres from the nose outwards, and its half width. It
#: lies on the bone's edge above the eye; higher, faces at rest look frightened and frowns do not look stern.
_BROW_LINE: Final = np.array(
    [[0.105, 7.442], [0.17, 7.455], [0.26, 7.466], [0.36, 7.470], [0.45, 7.450], [0.535, 7.402]]
)
_BROW_HALF_WIDTH: Final = np.array([0.016, 0.022, 0.022, 0.019, 0.013, 0.005])
_BROW_HAIRS: Final = 230
#: Lashes per upper and lower lid.
_LASHES: Final = (54, 18)


def brow_distance(points: Floats) -> Floats:
    """How far base mesh points (n, 3) are from the brow's middle line, in half widths (1 is the edge); either side."""
    flat = np.stack([np.abs(points[:, 0]), points[:, 1]], axis=1)
    along = np.linspace(0, len(_BROW_LINE) - 1, 60)
    line, width = _along(_BROW_LINE, along), np.interp(along, range(len(_BROW_LINE)), _BROW_HALF_WIDTH)
    distance = np.linalg.norm(flat[:, None] - line[None], axis=2) / width
    result: Floats = distance.min(axis=1)
    return result


def _along(line: Floats, at: Floats) -> Floats:
    """Points on a polyline (k, c) at fractional indices ``at`` (n,)."""
    return np.stack([np.interp(at, range(len(line)), line[:, c]) for c in range(line.shape[1])], axis=-1)


class FrontSurface:
    """Looks up points of the face by their position in the front view of the base mesh.

    Args:
        geometry: geometry whose faces include the front of the head; part of it is searched.
        low, high: (2,) corners of the searched window in x (either side) and y, decimetres.
    """

    def __init__(self, geometry: Geometry, low: tuple[float, float], high: tuple[float, float]) -> None:
        quads = geometry.faces[geometry.faces[:, 3] >= 0]
        middle = geometry.base[quads].mean(axis=1)
        facing = normals(geometry.base, geometry.faces)[quads].mean(axis=1)[:, 2] > 0.1
        x, y = np.abs(middle[:, 0]), middle[:, 1]
        inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]) & (middle[:, 2] > 0.8) & facing
        outer = (geometry.masks[quads, EYE_RING] >= 0).all(axis=1)
        kept = quads[inside & outer]
        self._triangles = np.concatenate([kept[:, :3], kept[:, [0, 2, 3]]])
        self._corners = geometry.base[self._triangles]

    def find(self, points: Floats) -> tuple[Ints, Floats]:
        """Triangles (n, 3) and barycentric weights (n, 3) of the surface at ``points`` (n, 2)."""
        a, b, c = (self._corners[None, :, i, :2] for i in range(3))
        p = points[:, None]

        def cross(u: Floats, v: Floats) -> Floats:
            return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

        area = cross(b - a, c - a)
        area = np.where(np.abs(area) < 1e-9, 1e-9, area)
        weights = np.stack([cross(b - p, c - p), cross(c - p, a - p), cross(a - p, b - p)], axis=-1) / area[..., None]
        best = weights.min(axis=-1).argmax(axis=1)
        chosen = np.clip(weights[np.arange(len(points)), best], 0, None)
        return self._triangles[best], chosen / chosen.sum(axis=1, keepdims=True)


def strips(
    geometry: Geometry, rows: Ints, factors: Floats, offsets: Floats, sides: Floats, extra: Floats, material: str
) -> Geometry:
    """Tapered ribbons through bound points.

    Args:
        geometry: what the points are bound to.
        rows, factors: (n, k, 3) vertices and barycentric weights of each of k points of n hairs, root first.
        offsets: (n, k, 3) from the bound point to the ribbon's middle, decimetres, on the identity.
        sides: (n, k, 3) from the middle to one edge; the last point is the tip, where it is ignored.
        extra: (n, k, A * 3) displacement added to the bound point's own.
        material: material name.
    """
    hairs, count = rows.shape[:2]

    def bound(values: Floats) -> Floats:
        result: Floats = np.einsum("nkt,nktc->nkc", factors, values[rows])
        return result

    def ribbon(values: Floats, spread: Floats | float = 0.0) -> Floats:
        edges = np.stack([values[:, :-1] - spread, values[:, :-1] + spread], axis=2).reshape(hairs, -1, values.shape[2])
        return np.concatenate([edges, values[:, -1:]], axis=1).reshape(-1, values.shape[2])

    rest = ribbon(bound(geometry.rest) + offsets, sides[:, :-1])
    pattern = [[2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2] for i in range(count - 2)]
    pattern.append([2 * count - 4, 2 * count - 3, 2 * count - 2, -1])
    per_hair = 2 * count - 1
    faces = np.array(pattern)[None] + np.arange(hairs)[:, None, None] * per_hair
    faces = np.where(np.array(pattern)[None] < 0, -1, faces).reshape(-1, 4)
    return Geometry(
        ribbon(bound(geometry.base)), rest, ribbon(bound(geometry.deltas) + extra), ribbon(bound(geometry.weights)),
        np.zeros((len(rest), geometry.masks.shape[1])), faces, np.zeros((len(faces), 4, 2)),
        np.full(len(faces), MATERIALS.index(material)),
    )  # fmt: skip


def brows(geometry: Geometry, thickness: float) -> Geometry:
    """Both brows: short hairs that lie on the skin, upright near the nose and sweeping outwards."""
    random = np.random.default_rng(7)
    at = np.sort(random.beta(1.0, 1.05, _BROW_HAIRS)) * (len(_BROW_LINE) - 1.05)
    across = random.uniform(-1, 1, _BROW_HAIRS)
    width = np.interp(at, range(len(_BROW_LINE)), _BROW_HALF_WIDTH)
    middle, ahead = _along(_BROW_LINE, at), _along(_BROW_LINE, at + 0.05)
    tangent = (ahead - middle) / np.linalg.norm(ahead - middle, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    root = middle + normal * (across * width)[:, None]
    lift = np.interp(at, [0, 1, 2.5, 5], [0.95, 0.65, 0.32, 0.05]) - 0.35 * across + random.normal(0, 0.12, _BROW_HAIRS)
    direction = tangent * np.cos(lift)[:, None] + normal * np.sin(lift)[:, None]
    length = np.interp(at, [0, 1, 3, 5], [0.045, 0.062, 0.066, 0.045]) * random.uniform(0.8, 1.15, _BROW_HAIRS)
    steps = np.array([0.0, 0.5, 1.0])
    straight = direction[:, None] * (length[:, None] * steps)[..., None]
    bend = (tangent * (length * 0.25)[:, None])[:, None] * (steps**2)[:, None]
    points = root[:, None] + straight + bend
    surface = FrontSurface(geometry, (0.0, 7.25), (0.75, 7.75))
    vertex_normals = normals(geometry.rest, geometry.faces)
    both = []
    for sign in (1.0, -1.0):
        flat = (points * (sign, 1.0)).reshape(-1, 2)
        rows, factors = surface.find(flat)
        rows, factors = rows.reshape(_BROW_HAIRS, 3, 3), factors.reshape(_BROW_HAIRS, 3, 3)
        out = np.einsum("nkt,nktc->nkc", factors, vertex_normals[rows])
        bound = np.einsum("nkt,nktc->nkc", factors, geometry.rest[rows])
        forward = bound[:, 2:] - bound[:, :1]
        side = np.cross(out, forward)
        side /= np.maximum(np.linalg.norm(side, axis=2, keepdims=True), 1e-9)
        thick = np.array([0.0012, 0.0029, 0.0])[None, :, None] * sign * thickness
        extra = np.zeros((_BROW_HAIRS, 3, geometry.deltas.shape[1]))
        lifted = out * np.array([0.006, 0.012, 0.008])[:, None]
        both.append(strips(geometry, rows, factors, lifted, side * thick, extra, "Brows"))
    return join(both)


def lashes(geometry: Geometry, eye: Eye, size: float, count: int) -> list[Geometry]:
    """Upper and lower lashes of one eye, between the first ``count`` vertices of its rim; they turn with the lid about
    the eyeball, so a closed lid points down."""
    near = np.linalg.norm(geometry.rest - eye.centre, axis=1) < 1.5 * eye.radius  # further is the other eye's corner
    ring = np.flatnonzero(((geometry.masks[:, EYE_RING] == LASH_RING) & near)[:count])
    offset = geometry.rest[ring] - eye.centre
    corners = offset[[offset[:, 0].argmin(), offset[:, 0].argmax()]]
    corner_y = np.interp(offset[:, 0], corners[:, 0], corners[:, 1])
    random = np.random.default_rng(11)
    outward = 1.0 if eye.centre[0] > 0 else -1.0
    result = []
    for upper, hairs in ((True, _LASHES[0]), (False, _LASHES[1])):
        edge = ring[(offset[:, 1] > corner_y - 1e-6) == upper]
        edge = edge[np.argsort((geometry.rest[edge, 0] - eye.centre[0]) * outward)]
        way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(geometry.rest[edge], axis=0), axis=1)))
        first, last = np.interp([1.5 if upper else 3.0, len(edge) - 1.05], range(len(edge)), way)
        at = np.interp(np.linspace(first, last, hairs), way, range(len(edge)))
        low, part = at.astype(int), at - at.astype(int)
        fraction = np.linspace(0.1, 1.0, hairs)
        rows = np.stack([edge[low], edge[low + 1], edge[low]], axis=1)
        factors = np.stack([1 - part, part, 0 * part], axis=1)
        root = np.einsum("nt,ntc->nc", factors, geometry.rest[rows])
        fan = outward * np.interp(fraction, [0, 0.5, 1], [-0.25, 0.15, 0.95])
        length = np.interp(fraction, [0, 0.35, 0.8, 1], [0.35, 0.75, 1.0, 0.7]) * (0.078 if upper else 0.026) * size
        length, fan = length * random.uniform(0.8, 1.1, hairs), fan + random.normal(0, 0.06, hairs)
        lift = np.array([0.0, 0.10, 0.62]) if upper else np.array([0.0, -0.35, -0.75])
        reach = np.array([0.0, 0.55, 0.88]) if upper else np.array([0.0, 0.45, 0.75])
        curve = np.stack(
            [fan[:, None] * np.array([0, 0.45, 0.8]), np.tile(lift, (hairs, 1)), np.tile(reach, (hairs, 1))], axis=2
        )
        curve *= length[:, None, None]
        side = np.zeros_like(curve)
        side[..., 0] = 0.0027 if upper else 0.0012
        extra = _turn_with_lid(geometry, rows, factors, root - eye.centre, curve)
        roots, shares = np.repeat(rows[:, None], 3, axis=1), np.repeat(factors[:, None], 3, axis=1)
        result.append(strips(geometry, roots, shares, curve, side * outward, extra, "Lashes"))
    return result


def _turn_with_lid(geometry: Geometry, rows: Ints, factors: Floats, root: Floats, curve: Floats) -> Floats:
    """(n, k, A * 3): how ``curve`` moves when each root turns about the eyeball's horizontal axis with its lid."""
    moved = np.einsum("nt,ntc->nc", factors, geometry.deltas[rows]).reshape(len(rows), -1, 3)
    target = root[:, None] + moved
    angle = np.arctan2(root[:, 1], root[:, 2])[:, None] - np.arctan2(target[..., 1], target[..., 2])
    extra = np.zeros((*curve.shape[:2], moved.shape[1], 3))
    for hair in range(len(curve)):
        for action in np.flatnonzero(np.abs(angle[hair]) > 1e-4):
            turn = rotation_matrix(np.array([angle[hair, action] * 1.1, 0.0, 0.0]))
            extra[hair, :, action] = curve[hair] @ turn.T - curve[hair]
    return extra.reshape(*curve.shape[:2], -1)


def all_parts(geometry: Geometry, eyes: list[Eye], person: Person, count: int) -> list[Geometry]:
    """Brows, and lashes between the ``count`` vertices of the base mesh."""
    lids = [part for eye in eyes for part in lashes(geometry, eye, person.lashes, count)]
    return [brows(geometry, person.brows), *lids]
