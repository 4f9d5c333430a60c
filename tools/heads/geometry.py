# SPDX-License-Identifier: GPL-3.0-or-later
"""Geometry that carries its animation: every new vertex is a linear combination of vertices of the base mesh.

So whatever is cut, subdivided or bound inherits the displacement of all ARKit actions and the bone weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Geometry:
    """Vertices with everything that moves with them, and the polygons between them.

    Attributes:
        base: (V, 3) position on the unchanged base mesh in decimetres: where to paint and cut.
        rest: (V, 3) position on the finished identity in decimetres.
        deltas: (V, A * 3) displacement per ARKit action in decimetres.
        weights: (V, 5) bone weights: root, neck, jaw, left eye, right eye.
        masks: (V, M) painting masks.
        faces: (F, 4) vertex indices, -1 in the fourth column of a triangle.
        uv: (F, 4, 2) texture coordinates per corner.
        materials: (F,) index into `materials.MATERIALS`.
    """

    base: Floats
    rest: Floats
    deltas: Floats
    weights: Floats
    masks: Floats
    faces: Ints
    uv: Floats = field(default_factory=lambda: np.zeros((0, 4, 2)))
    materials: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def size(self) -> int:
        """Number of vertices."""
        return len(self.rest)


def combine(geometry: Geometry, rows: Ints, factors: Floats, faces: Ints) -> Geometry:
    """New geometry of n vertices, each ``factors`` (n, k) times the vertices ``rows`` (n, k), with ``faces``."""

    def blend(values: Floats) -> Floats:
        result: Floats = np.einsum("nk,nkc->nc", factors, values[rows])
        return result

    return Geometry(
        blend(geometry.base), blend(geometry.rest), blend(geometry.deltas), blend(geometry.weights),
        blend(geometry.masks), faces,
    )  # fmt: skip


def compact(geometry: Geometry) -> Geometry:
    """Without the vertices that no face uses."""
    used, inverse = np.unique(geometry.faces, return_inverse=True)
    inverse = inverse.reshape(geometry.faces.shape)
    if used[0] == -1:
        used, inverse = used[1:], inverse - 1
    return replace(
        geometry, base=geometry.base[used], rest=geometry.rest[used], deltas=geometry.deltas[used],
        weights=geometry.weights[used], masks=geometry.masks[used], faces=inverse,
    )  # fmt: skip


def join(parts: list[Geometry]) -> Geometry:
    """All parts as one geometry."""
    offsets = np.cumsum([0] + [part.size for part in parts[:-1]])
    faces = [np.where(part.faces < 0, -1, part.faces + offset) for part, offset in zip(parts, offsets, strict=True)]
    return Geometry(
        base=np.concatenate([part.base for part in parts]),
        rest=np.concatenate([part.rest for part in parts]),
        deltas=np.concatenate([part.deltas for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        masks=np.concatenate([part.masks for part in parts]),
        faces=np.concatenate(faces),
        uv=np.concatenate([part.uv for part in parts]),
        materials=np.concatenate([part.materials for part in parts]),
    )


def clip(geometry: Geometry, level: Floats) -> Geometry:
    """The part of the surface where ``level`` (V,) is positive, cut exactly along its zero line.

    Cut polygons become quads and triangles; new vertices are shared between neighbours, so the cut has no cracks.
    """
    inside = level > 0
    rows = [np.array([i, i]) for i in range(geometry.size)]
    factors = [np.array([1.0, 0.0]) for _ in range(geometry.size)]
    cuts: dict[tuple[int, int], int] = {}

    def cut(a: int, b: int) -> int:
        a, b = min(a, b), max(a, b)
        if (a, b) not in cuts:
            t = float(level[a] / (level[a] - level[b]))
            cuts[(a, b)] = len(rows)
            rows.append(np.array([a, b]))
            factors.append(np.array([1.0 - t, t]))
        return cuts[(a, b)]

    faces: list[list[int]] = []
    for face in geometry.faces.tolist():
        corners = [v for v in face if v >= 0]
        kept: list[int] = []
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            if inside[a]:
                kept.append(a)
            if inside[a] != inside[b]:
                kept.append(cut(a, b))
        if len(kept) == 5:
            faces += [kept[:4], [kept[0], kept[3], kept[4], -1]]
        elif len(kept) in (3, 4):
            faces.append(kept + [-1] * (4 - len(kept)))
    result = combine(geometry, np.array(rows), np.array(factors), np.array(faces, np.int64).reshape(-1, 4))
    return compact(result)


def subdivide(geometry: Geometry, chosen: Bools | None = None) -> Geometry:
    """One Catmull-Clark step on quads and triangles (boundaries keep their line); linear in the vertices.

    Masks are interpolated and not smoothed. With ``chosen`` (F,) only those faces are divided; their neighbours become
    triangles.
    """
    count = geometry.size
    every = [[v for v in face if v >= 0] for face in geometry.faces.tolist()]
    faces = every if chosen is None else [face for face, divided in zip(every, chosen, strict=True) if divided]
    edges: dict[tuple[int, int], list[int]] = {}
    for index, face in enumerate(faces):
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            edges.setdefault((min(a, b), max(a, b)), []).append(index)
    edge_row = {edge: count + len(faces) + i for i, edge in enumerate(edges)}
    total = count + len(faces) + len(edges)
    weights: list[dict[int, float]] = [{} for _ in range(total)]

    def add(row: int, face_or_vertex: dict[int, float], scale: float) -> None:
        for vertex, value in face_or_vertex.items():
            weights[row][vertex] = weights[row].get(vertex, 0.0) + scale * value

    for index, face in enumerate(faces):
        weights[count + index] = {v: 1.0 / len(face) for v in face}
    around: list[list[int]] = [[] for _ in range(count)]
    rim: list[list[int]] = [[] for _ in range(count)]
    links: list[list[int]] = [[] for _ in range(count)]
    for (a, b), owners in edges.items():
        inner = len(owners) == 2
        add(edge_row[a, b], {a: 0.5, b: 0.5}, 0.5 if inner else 1.0)
        if inner:
            for owner in owners:
                add(edge_row[a, b], weights[count + owner], 0.25)
        links[a].append(b)
        links[b].append(a)
        if len(owners) != 2:
            rim[a].append(b)
            rim[b].append(a)
    for index, face in enumerate(faces):
        for v in face:
            around[v].append(index)
    for v in range(count):
        n = len(around[v])
        if n == 0 or len(rim[v]) not in (0, 2):
            weights[v] = {v: 1.0}
        elif rim[v]:
            weights[v] = {v: 0.75}
            add(v, {rim[v][0]: 0.125, rim[v][1]: 0.125}, 1.0)
        else:
            weights[v] = {v: (n - 3) / n + 1.0 / n}  # (n - 3) P + R's own half of each edge
            for owner in around[v]:
                add(v, weights[count + owner], 1.0 / n / n)
            add(v, dict.fromkeys(links[v], 1.0), 1.0 / n / n)
    quads = []
    for index, face in enumerate(faces):
        for before, v, after in zip(face[-1:] + face[:-1], face, face[1:] + face[:1], strict=True):
            near, far = edge_row[(min(v, after), max(v, after))], edge_row[(min(v, before), max(v, before))]
            quads.append([v, near, count + index, far])
    width = max(len(row) for row in weights)
    rows = np.zeros((total, width), np.int64)
    factors = np.zeros((total, width))
    for i, row in enumerate(weights):
        rows[i, : len(row)] = list(row)
        factors[i, : len(row)] = list(row.values())
    polygons = np.array([*quads, *_beside(every, chosen, edge_row)])
    even = [geometry.masks]
    even += [np.array([geometry.masks[list(group)].mean(axis=0) for group in groups]) for groups in (faces, edges)]
    return replace(combine(geometry, rows, factors, polygons), masks=np.concatenate(even))


def _beside(faces: list[list[int]], chosen: Bools | None, middle: dict[tuple[int, int], int]) -> list[list[int]]:
    """The faces that are not ``chosen``, cut into triangles where an edge has a new ``middle``."""
    result: list[list[int]] = []
    for face in [] if chosen is None else [face for face, divided in zip(faces, chosen, strict=True) if not divided]:
        corners: list[int] = []
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            corners += [a, middle[min(a, b), max(a, b)]] if (min(a, b), max(a, b)) in middle else [a]
        if len(corners) == len(face):
            result.append(face + [-1] * (4 - len(face)))
            continue
        start = next(i for i, corner in enumerate(corners) if corner not in face)
        corners = corners[start:] + corners[:start]
        result += [[corners[0], b, c, -1] for b, c in pairwise(corners[1:])]
    return result


def normals(points: Floats, faces: Ints) -> Floats:
    """Unit vertex normals (V, 3), weighted by area."""
    last = np.where(faces[:, 3] < 0, faces[:, 0], faces[:, 3])
    face_normal = np.cross(points[faces[:, 2]] - points[faces[:, 0]], points[last] - points[faces[:, 1]])
    triangle = faces[:, 3] < 0
    edge1, edge2 = points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    face_normal[triangle] = np.cross(edge1, edge2)[triangle]
    result = np.zeros_like(points)
    for corner in range(4):
        valid = faces[:, corner] >= 0
        np.add.at(result, faces[valid, corner], face_normal[valid])
    return result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12)


def boundary_loops(faces: Ints) -> list[list[int]]:
    """Closed loops of edges that belong to one face only, each in the direction of its faces."""
    directed: set[tuple[int, int]] = set()
    for face in faces.tolist():
        corners = [v for v in face if v >= 0]
        directed.update(zip(corners, corners[1:] + corners[:1], strict=True))
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops: list[list[int]] = []
    while following:
        start, current = next(iter(following.items()))
        del following[start]
        loop = [start]
        while current != start and current in following:
            loop.append(current)
            current = following.pop(current)
        loops.append(loop)
    return loops


def rings(faces: Ints, seeds: Ints, count: int, limit: int) -> Ints:
    """Steps over faces from the ``seeds`` to each of ``count`` vertices, at most ``limit`` (kept where farther)."""
    ring = np.full(count, limit, np.int64)
    ring[seeds] = 0
    for step in range(1, limit):
        touched = faces[(ring[faces] == step - 1).any(axis=1)]
        ring[touched] = np.minimum(ring[touched], step)
    return ring
