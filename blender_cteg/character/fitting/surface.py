# SPDX-License-Identifier: GPL-3.0-or-later
"""Surface: finds the same places on any face that a template face has (numpy only).

The template is a few hundred points of an independent face with their normals; the first 68 are the Multi-PIE
landmarks (rigs/data/README.md). It is laid over the mesh by the eyes, or by landmarks where the mesh knows its own,
and then drawn to the nearest skin that faces the same way, first as a whole and then ever more softly (coherent point
drift with closest points: Myronenko and Song 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from hashlib import blake2b
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np

from ...arrays import Floats, Ints, Singles
from .actions import Template

#: How far over the face a point pulls its neighbours along (in eye distances), and how stiffly, from coarse to fine.
_STAGES: Final = ((1.2, 3.0), (0.7, 1.0), (0.45, 0.5), (0.3, 0.3), (0.22, 0.15))
_ROUNDS: Final = 6
#: Skin further than this from its point, in eye distances, does not pull.
_REACH: Final = 0.3
#: Skin whose normal differs by more than the angle with this cosine is another side of a fold, or inside the mouth.
_SAME_SIDE: Final = 0.5
#: A landmark that the mesh knows counts as much as this many nearest points.
_ANCHOR: Final = 30.0
#: More than this from the skin, in eye distances, as root mean square: the template lies on no face.
_FARTHEST: Final = 0.08
#: A template bent further than this from an affine map, in eye distances, or squeezed to less than this, was forced
#: onto something else. (The demo head: 0.043 and 0.98; the back of its head 0.20 and 0.31.)
_MOST_BENT: Final = 0.12
_MOST_SQUEEZED: Final = 0.5
#: Vertices that a point between them is mixed from.
_MIXED: Final = 4
#: So many faces are remembered.
_REMEMBERED: Final = 8


@dataclass(frozen=True)
class Points:
    """Places on a mesh, each a mix of vertices.

    Attributes:
        vertices: vertex indices, shape (P, k).
        weights: how much of each, shape (P, k), rows adding up to 1.
        mirrored: where each place is seen in a mirror that stands upright between the eyes; None without eyes.
    """

    vertices: Ints
    weights: Floats
    mirrored: Points | None = None

    def of(self, values: Floats) -> Floats:
        """Per-vertex ``values`` (V, ...) at these places, shape (P, ...)."""
        return np.einsum("pk,pk...->p...", self.weights, values[self.vertices])

    @property
    def size(self) -> int:
        """Number of places P."""
        return len(self.vertices)


def at_vertices(vertices: Ints) -> Points:
    """Places that are vertices, shape (P,)."""
    return Points(vertices[:, None], np.ones((len(vertices), 1)))


def find_points(
    vertices: Floats,
    triangles: Ints,
    motion: Floats,
    template: Template,
    *,
    eyes: Floats | None = None,
    landmarks: Ints | None = None,
    most: int | None = None,
    bent: float = _MOST_BENT,
) -> Points | None:
    """Where the template's points are on this mesh.

    Args:
        vertices: rest positions in FLAME axes and any unit, shape (V, 3).
        triangles: vertex indices, shape (F, 3).
        motion: how much expressions move each vertex, shape (V,): tells the skin from hair and eyeballs.
        template: the face to lay over it.
        eyes: centres of the left and the right eyeball, shape (2, 3), or None.
        landmarks: the mesh's own 68 landmarks as vertex indices, or None.
        most: draw the template to so many vertices at most, evenly chosen; all by default.
        bent: how far from an affine map the template may be bent, in eye distances.

    Returns:
        The template's P places, or None when the template comes to lie on no face: nothing to start from (neither
        eyes nor landmarks), too little skin, or a skin too far from it or too unlike.
    """
    if len(triangles) == 0 or (eyes is None and landmarks is None):
        return None
    if landmarks is not None:
        start, anchors = template.positions[:68], vertices[landmarks]
        scale = np.linalg.norm(anchors - anchors.mean(0)) / np.linalg.norm(start - start.mean(0))
        shift = anchors.mean(0) - scale * start.mean(0)
    else:
        assert eyes is not None
        scale = np.linalg.norm(eyes[0] - eyes[1]) / np.linalg.norm(template.eyes[0] - template.eyes[1])
        shift = eyes.mean(0) - scale * template.eyes.mean(0)
    if not (np.isfinite(scale) and scale > 1e-12):
        return None
    moved = (vertices - shift) / scale
    normals = vertex_normals(vertices, triangles)
    skin = _skin(moved, triangles, motion, template)
    if len(skin) < 200:
        return None
    known = moved[landmarks] if landmarks is not None else None
    thin = skin if most is None else skin[:: max(1, -(-len(skin) // most))]
    places, toward = _drawn(moved[thin], normals[thin], template.positions, template.normals, known)
    points = _mixed(places, toward, moved, normals, skin)
    if eyes is not None:  # on an even face, exactly the other side's vertices, however the template came to lie
        middle, across = (eyes.mean(0) - shift) / scale, (eyes[0] - eyes[1]) / np.linalg.norm(eyes[0] - eyes[1])
        turned = np.eye(3) - 2.0 * np.outer(across, across)
        images = _mixed(middle + (places - middle) @ turned, toward @ turned, moved, normals, skin)
        points = replace(points, mirrored=images)
    distance = np.sqrt(((points.of(moved) - places) ** 2).sum(1).mean())
    if not distance < _FARTHEST or not _plausible(template.positions, places, bent):
        return None
    if landmarks is not None:  # known exactly
        exactly = Points(points.vertices.copy(), points.weights.copy(), points.mirrored)
        exactly.vertices[:68], exactly.weights[:68] = landmarks[:, None], np.eye(_MIXED)[0]
        return exactly
    return points


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """Unit normals weighted by area, shape (V, 3); zero where a vertex has no triangle with an area."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(triangles[:, corner], faces[:, axis], len(vertices))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 0, lengths, 1.0)


def islands(count: int, triangles: Ints) -> Ints:
    """For each of ``count`` vertices the lowest vertex it is connected with, shape (V,)."""
    lowest = np.arange(count)
    while True:
        least = lowest[triangles].min(axis=1)
        after = lowest.copy()
        for corner in range(3):
            np.minimum.at(after, triangles[:, corner], least)
        after = after[after]
        if (after == lowest).all():
            return lowest
        lowest = after


def _skin(moved: Floats, triangles: Ints, motion: Floats, template: Template) -> Ints:
    """Vertices of the connected part that expressions move most, as far as the template reaches."""
    part = islands(len(moved), triangles)
    face = part == np.bincount(part, motion).argmax()
    low, high = template.positions.min(0) - 0.5, template.positions.max(0) + 0.5
    return np.flatnonzero(face & (moved > low).all(1) & (moved < high).all(1))


def _plausible(rest: Floats, places: Floats, most_bent: float) -> bool:
    """Whether ``places`` are a face like ``rest``, shape (P, 3) each: stretched and bent, but not torn to shreds."""
    with_one = np.c_[rest, np.ones(len(rest))]
    affine = np.linalg.lstsq(with_one, places, rcond=None)[0]
    bent = np.sqrt(((with_one @ affine - places) ** 2).sum(1).mean())
    squeezed = np.linalg.svd(affine[:3], compute_uv=False)[-1]
    return bool(bent < most_bent and squeezed > _MOST_SQUEEZED and np.linalg.det(affine[:3]) > 0)


_Array = TypeVar("_Array", Floats, Singles)
_Asked = ParamSpec("_Asked")
_Result = TypeVar("_Result")


def _remembered(function: Callable[_Asked, _Result]) -> Callable[_Asked, _Result]:
    """A function of arrays whose last results are kept by what those hold: a face is looked at again whenever anything
    of it is another, and its skin at rest is seldom what is.
    """
    results: dict[bytes, _Result] = {}

    @wraps(function)
    def asked(*arguments: _Asked.args, **named: _Asked.kwargs) -> _Result:
        seen = blake2b(digest_size=16)
        given: tuple[Any, ...] = (*arguments, *named.values())
        for array in given:
            seen.update(repr(np.shape(array)).encode())
            seen.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        key = seen.digest()
        if key not in results:
            while len(results) >= _REMEMBERED:
                results.pop(next(iter(results)), None)
            results[key] = function(*arguments, **named)
        return results[key]

    return asked


def _squared_distances(one: _Array, other: _Array) -> _Array:
    squared: _Array = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.maximum(squared, 0.0)


@_remembered
def _drawn(
    skin: Floats, normals: Floats, positions: Floats, sides: Floats, anchors: Floats | None
) -> tuple[Floats, Floats]:  # fmt: skip
    """The template, with its normals, drawn onto the skin: places and the skin's normals there, shape (P, 3) each."""
    # Single precision takes half the time, and a place is drawn no nearer than to a hundredth anyway.
    onto, rest, facing = (all_of.astype(np.float32) for all_of in (skin, positions, normals))
    alike = sides.astype(np.float32) @ facing.T
    apart = np.where(alike < _SAME_SIDE, 10.0, 0.02 * (1.0 - alike))

    def nearest(places: Singles) -> tuple[Singles, Singles, Ints]:
        """Where each place is drawn to (it may slide along the skin, a little), how much, and the vertex."""
        squared = _squared_distances(places, onto) + apart
        near = squared.argmin(axis=1)
        normal = facing[near]
        target = places + normal * ((onto[near] - places) * normal).sum(1, keepdims=True)
        aside = target - onto[near]
        length = np.linalg.norm(aside, axis=1, keepdims=True)
        target = onto[near] + aside * np.minimum(1.0, 0.06 / np.maximum(length, 1e-9))
        pull = np.where(squared[np.arange(len(places)), near] < _REACH**2, 1.0, 1e-3).astype(np.float32)
        if anchors is not None:
            target[:68], pull[:68] = anchors, _ANCHOR
        return target, pull, near

    places = rest
    with_one = np.c_[rest, np.ones(len(rest), np.float32)]
    for _ in range(10):  # as a whole: an affine map close to none
        target, pull, _near = nearest(places)
        weighted = with_one * pull[:, None]
        places = rest + with_one @ np.linalg.solve(
            weighted.T @ with_one + 0.5 * np.eye(4, dtype=np.float32), weighted.T @ (target - rest)
        )
    for width, stiffness in _STAGES:
        base = places
        kernel = np.exp(-_squared_distances(base, base) / (2 * width**2))
        for _ in range(_ROUNDS):
            target, pull, _near = nearest(places)
            places = base + kernel @ np.linalg.solve(kernel + stiffness * np.diag(1.0 / pull), target - base)
    return places.astype(np.float64), normals[nearest(places)[2]]


@_remembered
def _mixed(places: Floats, toward: Floats, moved: Floats, normals: Floats, skin: Ints) -> Points:
    """Each place as a mix of the nearest skin vertices that face the same way, by inverse squared distance."""
    squared = _squared_distances(places, moved[skin]) + np.where(toward @ normals[skin].T < 0.3, 10.0, 0.0)
    near = np.argpartition(squared, _MIXED, axis=1)[:, :_MIXED]
    weights = 1.0 / (np.take_along_axis(squared, near, axis=1) + 1e-8)
    return Points(skin[near], weights / weights.sum(axis=1, keepdims=True))
