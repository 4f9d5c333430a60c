# SPDX-License-Identifier: GPL-3.0-or-later
"""Paints the images: skin by position on the base mesh, eyes by angle from the pupil, hair by streaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from blender_cteg.heads.demo_head.materials import MATERIALS, WRINKLES

from . import folds
from .geometry import Floats, Geometry, Ints, normals
from .grooming import brow_distance
from .hair import hairline_level
from .identity import Person
from .parts import EYE_RING, LIMBUS, LIP_RING, MOUTH_RING, PUPIL, smoothstep

Bytes = npt.NDArray[np.uint8]

_SKIN_SIZE: Final = 1024
_EYE_SIZE: Final = 512
_HAIR_SIZE: Final = 512
_MOUTH_SIZE: Final = 256
#: sRGB colours, 0..1.
_TONE: Final = np.array([0.885, 0.695, 0.595])
_BLUSH: Final = np.array([0.82, 0.47, 0.42])


def images(head: Geometry, person: Person, place: SkinMap) -> dict[str, Bytes]:
    """A person's own images, ``image_skin`` and so on: (H, W, 3) uint8 sRGB, first row at the bottom."""
    return {"image_skin": skin(head, person, place), "image_eye": eye(person), "image_hair": hair(person)}


def noise(points: Floats, scale: float, seed: int) -> Floats:
    """Smooth random values -1..1 at ``points`` (..., c): one lattice cell is ``scale`` wide."""
    lattice = np.random.default_rng(seed).uniform(-1, 1, 4096).astype(np.float32)
    cell = (points / scale).astype(np.float32)  # half as many bytes: the images are large
    low = np.floor(cell).astype(np.int64)
    part = cell - low
    part = part * part * (3 - 2 * part)
    primes = np.array([73856093, 19349663, 83492791])[: points.shape[-1]]
    total = np.zeros(points.shape[:-1], np.float32)
    axes = range(points.shape[-1])
    weights = [(1 - part[..., k], part[..., k]) for k in axes]
    places = [(low[..., k] * primes[k], (low[..., k] + 1) * primes[k]) for k in axes]
    for corner in np.ndindex(*(2,) * points.shape[-1]):
        weight = math.prod(weights[k][corner[k]] for k in axes)
        total += weight * lattice[sum(places[k][corner[k]] for k in axes) % 4096]
    return total.astype(np.float64)


def _blob(points: Floats, centre: tuple[float, float, float], radius: float) -> Floats:
    """Soft spot on both sides of the face: 1 at the centre, about 0.14 at ``radius``."""
    mirrored = points.copy()
    mirrored[..., 0] = np.abs(mirrored[..., 0])
    result: Floats = np.exp(-2 * ((mirrored - centre) ** 2).sum(axis=-1) / radius**2)
    return result


def _mix(colour: Floats, other: Floats, amount: Floats) -> Floats:
    return colour + (other - colour) * amount[..., None]


@dataclass(frozen=True)
class SkinMap:
    """Which place of the skin every pixel of its image shows; the same for all people.

    Attributes:
        corners: (H, W, 3) vertices of the triangle there; zeros where there is none.
        weights: (H, W, 3) barycentric weights.
        covered: (H, W) where a triangle lies.
    """

    corners: Ints
    weights: Floats
    covered: npt.NDArray[np.bool_]

    def of(self, values: Floats) -> Floats:
        """(H, W, C) of ``values`` (V, C)."""
        result: Floats = np.einsum("hwk,hwkc->hwc", self.weights, values[self.corners])
        return result


def skin_map(head: Geometry) -> SkinMap:
    """Lay the skin's and the lips' triangles over the image."""
    kinds = [MATERIALS.index("Skin"), MATERIALS.index("Lips")]
    chosen = np.isin(head.materials, kinds)
    # From the seams of lips and lids outwards: where image space is shared, the outer surface wins.
    corners = np.where(head.faces < 0, head.faces[:, :1], head.faces)[chosen]
    order = np.argsort(head.masks[corners][..., [MOUTH_RING, EYE_RING]].min(axis=2).mean(axis=1), kind="stable")
    faces, uv = head.faces[chosen][order], head.uv[chosen][order]
    quads = faces[:, 3] >= 0
    triangles = np.concatenate([faces[:, :3], faces[quads][:, [0, 2, 3]]])
    pixels = np.concatenate([uv[:, :3], uv[quads][:, [0, 2, 3]]]) * _SKIN_SIZE - 0.5
    order = np.argsort(np.concatenate([np.arange(len(faces)), np.flatnonzero(quads)]), kind="stable")
    shape = (_SKIN_SIZE, _SKIN_SIZE)
    where, weight, covered = np.zeros((*shape, 3), np.int64), np.zeros((*shape, 3)), np.zeros(shape, bool)
    for vertices, corner in zip(triangles[order], pixels[order], strict=True):
        low = np.maximum(np.floor(corner.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(corner.max(axis=0)).astype(int) + 1, _SKIN_SIZE)
        edges = np.stack([corner[1] - corner[0], corner[2] - corner[0]], axis=1)
        area = edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0]
        if (high <= low).any() or abs(area) < 1e-9:
            continue
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        dx, dy = x - corner[0, 0], y - corner[0, 1]
        b = (dx * edges[1, 1] - dy * edges[0, 1]) / area
        c = (dy * edges[0, 0] - dx * edges[1, 0]) / area
        inside = (b >= -1e-3) & (c >= -1e-3) & (b + c <= 1.001)
        at = y[inside], x[inside]
        weight[at] = np.stack([1 - b - c, b, c], axis=-1)[inside]
        where[at] = vertices
        covered[at] = True
    return SkinMap(where, weight, covered)


def wrinkles(head: Geometry, place: SkinMap) -> dict[str, Bytes]:
    """Images of the layers of `WRINKLES`, three each, ``image_wrinkles0`` and so on: depth, 0 flat to 255."""
    points = place.of(head.base)[place.covered]
    depth = np.zeros((*place.covered.shape, -(-len(WRINKLES) // 3) * 3), np.uint8)
    depth[place.covered, : len(WRINKLES)] = folds.maps(head, points, noise(points, 0.04, 40))
    return {f"image_wrinkles{i}": depth[..., 3 * i : 3 * i + 3] for i in range(depth.shape[-1] // 3)}


def _spread(image: Floats, covered: npt.NDArray[np.bool_], steps: int) -> Floats:
    """Fill uncovered pixels from their neighbours, ``steps`` pixels far, so that no seam shows when filtered."""
    for _ in range(steps):
        total, count = np.zeros_like(image), np.zeros(covered.shape)
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            near = np.roll(covered, shift, axis)
            total += np.roll(image, shift, axis) * near[..., None]
            count += near
        grown = ~covered & (count > 0)
        image[grown] = total[grown] / count[grown][:, None]
        covered = covered | grown
    return image


def skin(head: Geometry, person: Person, place: SkinMap) -> Bytes:
    """The skin image: lips, blush, lids, brows' shade, scalp, creases, pores and a few freckles."""
    grid = place.of(np.concatenate([head.base, head.masks, _crease(head)[:, None]], axis=1))[place.covered]
    colour = np.zeros((*place.covered.shape, 3))
    colour[place.covered] = _skin_colour(grid[..., :3], grid[..., 3:6], grid[..., 6], person)
    return _bytes(_spread(colour, place.covered, 12))


def _crease(head: Geometry) -> Floats:
    """(V,) how concave the surface is, -1 (ridge) to 1 (fold), smoothed once."""
    faces = head.faces
    valid = faces >= 0
    total, count = np.zeros_like(head.rest), np.zeros(head.size)
    for corner in range(4):
        for other in range(4):
            both = valid[:, corner] & valid[:, other]
            np.add.at(total, faces[both, corner], head.rest[faces[both, other]])
            np.add.at(count, faces[both, corner], 1)
    offset = total / np.maximum(count, 1)[:, None] - head.rest
    height = (offset * normals(head.rest, faces)).sum(axis=1)
    smooth, weight = np.zeros(head.size), np.zeros(head.size)
    for corner in range(4):
        for other in range(4):
            both = valid[:, corner] & valid[:, other]
            np.add.at(smooth, faces[both, corner], height[faces[both, other]])
            np.add.at(weight, faces[both, corner], 1)
    result: Floats = np.tanh(smooth / np.maximum(weight, 1) / 0.006)
    return result


def _skin_colour(p: Floats, masks: Floats, crease: Floats, person: Person) -> Floats:
    """sRGB (..., 3) of the skin at base mesh positions ``p`` (..., 3) with interpolated masks and crease."""
    colour = np.broadcast_to(_TONE, p.shape).copy()
    colour *= (1 + 0.018 * noise(p, 0.35, 1) + 0.012 * noise(p, 0.12, 2) + 0.016 * noise(p, 0.018, 3))[..., None]
    colour *= 1 + 0.02 * noise(p, 0.5, 4)[..., None] * np.array([-0.3, 0.6, 1.0])
    blush = 0.28 * _blob(p, (0.46, 6.98, 1.3), 0.30) + 0.34 * _blob(p, (0.0, 6.93, 1.66), 0.17)
    blush += 0.45 * _blob(p, (0.84, 7.1, 0.46), 0.34) + 0.16 * _blob(p, (0.0, 6.3, 1.45), 0.22)
    blush += 0.15 * _blob(p, (0.22, 7.22, 1.4), 0.16)
    colour = _mix(colour, _BLUSH, np.clip(blush * (1 + 0.25 * noise(p, 0.1, 5)), 0, 0.6))
    freckle = smoothstep(0.62, 0.85, noise(p, 0.017, 6)) * _blob(p, (0.26, 7.04, 1.45), 0.34)
    colour = _mix(colour, np.array([0.62, 0.40, 0.30]), np.clip(0.22 * person.freckles * freckle, 0, 0.22))
    colour = _mix(colour, np.array([0.52, 0.30, 0.25]), (0.2 + 0.12 * person.age) * np.clip(crease, 0, 1))
    colour = _mix(colour, np.array([0.93, 0.76, 0.66]), 0.25 * np.clip(-crease, 0, 1))
    colour = _eye_colour(colour, p, masks[..., EYE_RING])
    beard = (1 - smoothstep(6.62, 6.80, p[..., 1] - 0.25 * np.abs(p[..., 0]))) * smoothstep(6.05, 6.3, p[..., 1])
    beard *= smoothstep(0.5, 0.8, p[..., 2]) * (0.8 + 0.2 * noise(p, 0.012, 12))
    colour = _mix(colour, np.array([0.46, 0.40, 0.38]), 0.42 * person.stubble * np.clip(beard, 0, 1))
    colour = colour * (np.array(person.tone) / _TONE)
    colour = _lip_colour(colour, p, masks[..., MOUTH_RING], np.array(person.lip))
    nostril = _blob(p, (0.085, 6.835, 1.50), 0.06)
    colour = _mix(colour, np.array([0.25, 0.10, 0.08]), np.clip(nostril * 1.3, 0, 0.9))
    face = (p[..., 2] > 0.9) & (p[..., 1] > 7.3) & (p[..., 1] < 7.7)
    brow = np.zeros(p.shape[:-1])
    brow[face] = 1 - smoothstep(0.3, 1.35, brow_distance(p[face]))
    colour = _mix(colour, np.array([0.28, 0.18, 0.13]), 0.55 * brow)
    level = hairline_level(p.reshape(-1, 3)).reshape(p.shape[:-1])
    level = np.where(p[..., 1] < 6.3, -1, level)
    level = np.where((np.abs(p[..., 0]) > 0.80) & (p[..., 1] < 7.5), -1, level)
    scalp = smoothstep(-0.055, 0.02, level + 0.022 * noise(p, 0.02, 8))
    return _mix(colour, np.array(person.hair_dark), 0.9 * scalp)


def _eye_colour(colour: Floats, p: Floats, ring: Floats) -> Floats:
    """Lids a little darker and warmer, a dark lash line above, a pink waterline; sockets dark."""
    upper = smoothstep(7.27, 7.31, p[..., 1])
    lid = 1 - smoothstep(4.0, 13.0, ring)
    colour = _mix(colour, np.array([0.60, 0.39, 0.34]), 0.15 * lid * (0.45 + 0.55 * upper))
    line = np.exp(-(((ring - 3.6) / 1.1) ** 2))
    colour = _mix(colour, np.array([0.12, 0.07, 0.06]), line * (0.25 + 0.65 * upper))
    water = 1 - smoothstep(1.6, 2.6, ring)
    colour = _mix(colour, np.array([0.66, 0.40, 0.37]), 0.9 * water)
    return _mix(colour, np.array([0.30, 0.12, 0.11]), smoothstep(0.2, 0.8, -ring))


def _lip_colour(colour: Floats, p: Floats, ring: Floats, hue: Floats) -> Floats:
    """Vermilion with a soft border, darker toward the seam, with fine vertical lines."""
    lip = 1 - smoothstep(LIP_RING - 0.35, LIP_RING + 0.55, ring)
    lines = noise(p * np.array([1.0, 0.12, 0.12]), 0.012, 9)
    tone = hue * (1 + 0.05 * lines + 0.05 * noise(p, 0.05, 10))[..., None]
    tone = _mix(tone, hue * (0.5, 0.34, 0.37), 0.75 * (1 - smoothstep(0.0, 3.2, ring)))
    colour = _mix(colour, tone, 0.88 * lip)
    border = np.exp(-(((ring - 8.4) / 0.8) ** 2))
    return _mix(colour, np.minimum(colour * 1.05, 1.0), border)


def eye(person: Person) -> Bytes:
    """The eye image: half its width is 100 degrees from the pupil."""
    axis = (np.arange(_EYE_SIZE) + 0.5) / _EYE_SIZE * 2 - 1
    x, y = np.meshgrid(axis, axis)
    polar: Floats = np.hypot(x, y).astype(np.float64) * 100
    around = np.arctan2(y, x)
    ring = np.stack([np.cos(around), np.sin(around)], axis=-1)
    white = 0.85 * np.array([0.88, 0.86, 0.84]) + 0.15 * np.array(person.tone)
    colour = np.broadcast_to(white, (*polar.shape, 3)).copy()
    colour = _mix(colour, white * (0.74, 0.56, 0.53), smoothstep(26, 74, polar))
    veins = smoothstep(0.55, 0.9, noise(np.stack([x * 3, y], axis=-1), 0.05, 20)) * smoothstep(34, 60, polar)
    colour = _mix(colour, np.array([0.72, 0.36, 0.34]), 0.30 * veins)
    fibres = noise(ring * 1.0, 0.035, 21) * 0.6 + noise(ring, 0.09, 22) * 0.4
    depth = (polar - PUPIL) / (LIMBUS - PUPIL)
    iris = np.broadcast_to(person.iris, colour.shape)
    iris = _mix(iris, np.array(person.iris) * (0.62, 0.8, 0.9), smoothstep(0.1, 0.75, depth))
    iris = iris * (1 + 0.32 * fibres * smoothstep(0.0, 0.3, depth))[..., None]
    iris = _mix(iris, np.array([0.05, 0.04, 0.035]), smoothstep(0.70, 1.0, depth))
    iris = iris * (0.82 + 0.36 * smoothstep(0.3, -0.6, y * 100 / LIMBUS))[..., None]  # lit from above: brighter below
    colour = _mix(colour, iris, 1 - smoothstep(LIMBUS - 1.0, LIMBUS + 1.0, polar))
    colour = _mix(colour, np.array([0.012, 0.01, 0.01]), 1 - smoothstep(PUPIL - 0.7, PUPIL + 0.6, polar))
    lid = 0.4 * smoothstep(0.02, 0.24, y) + 0.15 * smoothstep(0.12, 0.32, -y)  # which Workbench's lights see through
    return _bytes(colour * (1 - lid)[..., None])


def mouth() -> Bytes:
    """The mouth image: gums and teeth along the arch in the left half, then the tongue and the cavity by depth.

    No light reaches the back of the arch, nor what is behind the teeth, and Workbench casts no shadows.
    """
    u, v = np.meshgrid((np.arange(_MOUTH_SIZE) + 0.5) / _MOUTH_SIZE, (np.arange(_MOUTH_SIZE) + 0.5) / _MOUTH_SIZE)
    row = np.minimum(v, 1 - v)  # to 0.5, the teeth's edge
    neck = np.broadcast_to([0.90, 0.82, 0.70], (*u.shape, 3))
    enamel = _mix(neck, np.array([0.93, 0.90, 0.84]), smoothstep(0.22, 0.33, row))
    enamel = _mix(enamel, np.array([0.84, 0.84, 0.82]), 0.6 * smoothstep(0.42, 0.5, row))
    gum = np.where(v < 0.5, 1 - smoothstep(0.205, 0.228, v), smoothstep(0.70, 0.74, v))
    colour = _mix(enamel, np.array([0.70, 0.40, 0.39]), gum)
    light = 1 - 0.8 * smoothstep(0.25, 0.95, np.abs(u - 0.25) / 0.24)
    light *= 0.65 + 0.35 * smoothstep(0.0, 0.2, v)  # under the lip
    light *= 1 - 0.55 * smoothstep(0.49, 0.60, v)
    colour = _mix(np.broadcast_to([0.10, 0.025, 0.025], colour.shape), colour, light)
    back = smoothstep(0.25, 0.95, v)
    tongue = _mix(np.broadcast_to([0.28, 0.10, 0.10], colour.shape), np.array([0.66, 0.34, 0.34]), back)
    cavity = np.broadcast_to([0.09, 0.025, 0.025], colour.shape)
    cavity = _mix(cavity, np.array([0.26, 0.09, 0.09]), smoothstep(0.6, 1.0, v))
    colour = np.where((u > 0.5)[..., None], tongue, colour)
    return _bytes(np.where((u > 0.75)[..., None], cavity, colour))


def hair(person: Person) -> Bytes:
    """The hair image: across is the angle around the knot, up is the way from it."""
    u, v = np.meshgrid((np.arange(_HAIR_SIZE) + 0.5) / _HAIR_SIZE, (np.arange(_HAIR_SIZE) + 0.5) / _HAIR_SIZE)
    turn = np.stack([np.cos(2 * np.pi * u), np.sin(2 * np.pi * u), v * 0.10], axis=-1)
    strand = 0.55 * noise(turn, 0.016, 30) + 0.35 * noise(turn, 0.05, 31) + 0.3 * noise(turn, 0.16, 32)
    tint = np.clip(0.33 + 0.45 * strand, 0, 1)
    return _bytes(_mix(np.broadcast_to(person.hair_dark, (*u.shape, 3)), np.array(person.hair_light), tint))


def _bytes(colour: Floats) -> Bytes:
    return np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8)
