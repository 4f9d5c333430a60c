# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips that touch and do not go into each other, however they are moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .geometry import Bools, Floats, Geometry, Ints
from .parts import INNER, LIP_RING, MOUTH_RING, smoothstep

#: Decimetres: how near a surface is looked for, how much deeper than at rest lips may lie in each other (0.5 % of the
#: eye distance), and how far a push spreads.
_REACH, _ALLOWED, _SPREAD = 0.04, 0.003, 0.02
#: Triangles that are tried for each vertex; rounds of pushing, of which each is a little more than is needed.
_NEAREST: Final = 8
_ROUNDS: Final = 18
_STEPS: Final = (0.25, 0.45, 0.65, 0.85, 1.0)
_EAGER: Final = 1.15
#: How far the middle of a triangle may be from its corners, decimetres.
_TRIANGLE: Final = 0.03


@dataclass(frozen=True)
class Touch:
    """How one lip lies in the other.

    Attributes:
        own: (m,) its vertices.
        corners, weights: (m, 3) the triangle of the other lip that is nearest to each, and where on it (barycentric).
        way: (m, 3) from each vertex there.
        depth: (m,) how deep each is inside, 0 where it is not.
    """

    own: Ints
    corners: Ints
    weights: Floats
    way: Floats
    depth: Floats


class Lips:
    """The red of both lips and the skin around it."""

    def __init__(self, head: Geometry, vertices: Ints, opened: Floats) -> None:
        """``vertices`` (n,) of the lips and around them, and what an open jaw does to them, (n, 3): it leaves the upper
        lip above."""
        self._rest, ring = head.rest[vertices], head.masks[vertices, MOUTH_RING]
        place = np.full(head.size, -1)
        place[vertices] = np.arange(len(vertices))
        faces = head.faces[(head.faces >= 0).all(axis=1)]
        red = (head.masks[faces, MOUTH_RING] <= LIP_RING).all(axis=1) & (head.masks[faces, INNER] == 0).all(axis=1)
        faces = place[faces[red]]
        faces = faces[(faces >= 0).all(axis=1)]
        lips = np.unique(faces)
        x, drop = self._rest[:, 0], opened[:, 1]
        places = np.linspace(x[lips].min(), x[lips].max(), 25)
        beside = [drop[lips[np.abs(x[lips] - place) < 0.03]] for place in places]
        upper: Bools = drop > np.interp(x, places, [(way.min() + way.max()) / 2 for way in beside])
        base = head.base[vertices]
        near = ((base[:, None] - base[None]) ** 2).sum(axis=2)
        same = upper[:, None] == upper[None]
        self._kernel = np.where(same, np.exp(-near / _SPREAD**2), 0.0) * (1 - smoothstep(5.0, 10.0, ring))[:, None]
        self._sides = []
        for side in (upper, ~upper):
            quads = faces[side[faces].all(axis=1)]
            self._sides.append((lips[side[lips]], np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])))
        # What is not told apart at rest must not look as if it came of an action: at rest more counts as inside.
        self._before = [touch.depth for touch in self._touching(self._rest, 2 * _REACH, 0.1)]

    def apart(self, deltas: Floats, start: Floats | float = 0.0) -> Floats:
        """(n, 3) what must be added to ``deltas`` (n, 3), so that lips lie no deeper in each other than at rest.

        They are moved step by step from ``start``, displacements as well: lips that meet on their way stay on their
        own side.
        """
        added = np.zeros_like(deltas)
        if not self._push(self._rest + deltas)[0].any():
            return added
        for step in _STEPS:
            moved = self._rest + start + step * (deltas - start)
            best, least = added, np.inf
            for _ in range(_ROUNDS if step == 1 else 2):
                push, worst = self._push(moved + added)
                if worst < least:
                    best, least = added, worst
                hit = np.flatnonzero(push.any(axis=1))
                if not len(hit):
                    break
                kernel = self._kernel[:, hit]
                share = kernel * np.linalg.norm(push[hit], axis=1)  # the deepest say most
                way = share @ push[hit] / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
                added = added + kernel.max(axis=1, keepdims=True) * way
            added = best
        return added

    def _push(self, points: Floats) -> tuple[Floats, float]:
        """(n, 3) where those of ``points`` must go that lie too deep, half of the way for each lip; how deep one is."""
        push, worst = np.zeros_like(points), 0.0
        touching = self._touching(points, _REACH, 0.7)
        for before, touch in zip(self._before, touching, strict=True):
            beyond = touch.depth - before
            deep = np.flatnonzero(beyond > _ALLOWED)
            worst = max(worst, float(beyond.max()))
            share = (_EAGER * (beyond[deep] - 0.5 * _ALLOWED) / touch.depth[deep])[:, None] * touch.way[deep] / 2
            _most(push, touch.own[deep], share)
            for corner in range(3):
                away = -share * np.minimum(2 * touch.weights[deep, corner, None], 1)
                _most(push, touch.corners[deep, corner], away)
        return push, worst

    def _touching(self, points: Floats, reach: float, straight: float) -> list[Touch]:
        """What lies in what, of each lip: within ``reach`` of a surface and rather below it than beside (a cosine)."""
        found = []
        for (own, _), (_, triangles) in zip(self._sides, self._sides[::-1], strict=True):
            nearest, weights, way, normal = _nearest(points[own], points[triangles], reach)
            far = np.linalg.norm(way, axis=1)
            inside = ((way * normal).sum(axis=1) > straight * far) & (far < reach)
            found.append(Touch(own, triangles[nearest], weights, way, np.where(inside, far, 0.0)))
        return found


def _most(push: Floats, rows: Ints, share: Floats) -> None:
    """Set ``push`` at ``rows`` (k,) to ``share`` (k, 3) where that is more."""
    order = np.argsort((share**2).sum(axis=1), kind="stable")
    rows, share = rows[order], share[order]
    longer = (share**2).sum(axis=1) > (push[rows] ** 2).sum(axis=1)
    push[rows[longer]] = share[longer]


def _nearest(points: Floats, corners: Floats, reach: float) -> tuple[Ints, Floats, Floats, Floats]:
    """Of triangles (t, 3, 3) the nearest to each of ``points`` (m, 3): row (m,), barycentric weights (m, 3), the way
    there (m, 3), long where it is clearly beyond ``reach``, and its unit normal (m, 3)."""
    points, corners = points.astype(np.float32), corners.astype(np.float32)  # half as many bytes
    middle = corners.mean(axis=1)
    apart = (middle**2).sum(axis=1) - 2 * points @ middle.T
    close = np.flatnonzero(apart.min(axis=1) + (points**2).sum(axis=1) < (reach + _TRIANGLE) ** 2)
    near = np.argpartition(apart[close], _NEAREST, axis=1)[:, :_NEAREST]
    chosen = corners[near]
    shares = closest(points[close, None], chosen)
    ways = (shares[..., None] * chosen).sum(axis=2) - points[close, None]
    best = (ways**2).sum(axis=2).argmin(axis=1)
    rows = np.arange(len(close))
    triangle = chosen[rows, best]
    cross = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    row, weights = np.zeros(len(points), np.int64), np.zeros_like(points)
    way, normal = np.full_like(points, 9.0), np.zeros_like(points)
    row[close], weights[close], way[close] = near[rows, best], shares[rows, best], ways[rows, best]
    normal[close] = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)
    return row, weights, way, normal


def closest(p: Floats, corners: Floats) -> Floats:
    """Barycentric weights of the points of triangles (..., 3, 3) that are nearest to ``p`` (..., 3)."""
    a, b, c = (corners[..., i, :] for i in range(3))
    e1, e2, d = b - a, c - a, p - a
    g11, g12, g22 = (e1 * e1).sum(-1), (e1 * e2).sum(-1), (e2 * e2).sum(-1)
    h1, h2 = (e1 * d).sum(-1), (e2 * d).sum(-1)
    det = np.maximum(g11 * g22 - g12 * g12, 1e-18)
    v, w = (g22 * h1 - g12 * h2) / det, (g11 * h2 - g12 * h1) / det
    options = [np.stack([1 - v - w, v, w], -1)]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = corners[..., j, :] - corners[..., i, :]
        start = p - corners[..., i, :]
        t = np.clip((start * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-18), 0, 1)
        on = np.zeros((*t.shape, 3))
        on[..., i], on[..., j] = 1 - t, t
        options.append(on)
    stacked = np.stack(options)
    distance = np.linalg.norm((stacked[..., None] * corners).sum(-2) - p, axis=-1)
    distance[0] = np.where(stacked[0].min(-1) >= -1e-9, distance[0], np.inf)
    best = distance.argmin(axis=0)
    result: Floats = np.take_along_axis(stacked, best[None, ..., None], 0)[0]
    return result
