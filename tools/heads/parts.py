# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts cut from the base mesh: skin and mouth cavity; and the eyeballs, which are new."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blender_cteg.character.axes import rotation_matrix
from blender_cteg.heads.demo_head.materials import MATERIALS
from blender_cteg.shared import ARKIT_CHANNELS

from . import expressions
from .geometry import Bools, Floats, Geometry, Ints, clip, compact, rings, subdivide
from .source import BaseMesh

#: Masks: rings of faces from the lip seam and from the lid seam, and 1 in the mouth cavity and eye sockets.
MOUTH_RING, EYE_RING, INNER = range(3)
#: Rings up to this one belong to the vermilion of the lips.
LIP_RING = 7
#: The front rim of the lids, where lashes grow.
LASH_RING = 3
_RING_LIMIT = 15
#: How far the front of the mouth's lining is drawn back, decimetres.
_LINING = 0.025
#: Edge of the pupil and of the iris, degrees from the middle of the pupil: an iris of 6 mm and a pupil of 2.2 mm on
#: eyeballs that are a quarter larger than people's.
PUPIL, LIMBUS = 8.2, 22.5
#: How far below the middle of the pupil the lower lid rests, in radii of the iris: 4.6 mm.
_LOWER_LID = 0.78


@dataclass(frozen=True)
class Eye:
    """An eyeball: centre (3,) in decimetres on the identity, radius, joint index."""

    centre: Floats
    radius: float
    joint: int


def smoothstep(low: float, high: float, x: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    result: Floats = t * t * (3 - 2 * t)
    return result


def bust_level(base: Floats) -> Floats:
    """Positive inside the bust (decimetres, roughly a distance): shoulders and chest end in one smooth curve."""
    x = np.abs(base[:, 0]) / 1.75
    y = np.maximum(6.3 - base[:, 1], 0.0) / 1.2
    result: Floats = 1.0 - (x**3 + y**3) ** (1 / 3)
    return result


def neckline_level(base: Floats) -> Floats:
    """Positive (decimetres, roughly a distance) where the shirt covers the base mesh: lower in front."""
    height = np.interp(base[:, 2], [-0.6, -0.2, 0.3, 0.8, 1.2], [6.04, 6.02, 5.86, 5.58, 5.45])
    result: Floats = height - base[:, 1]
    return result


def base_geometry(mesh: BaseMesh, offsets: Floats, deltas: Floats) -> Geometry:
    """Every base vertex with identity, actions and masks, and the body's faces, the face's divided once; no weights."""
    body, islands = mesh.faces["body"], mesh.uv[mesh.face_uv["body"]].mean(axis=1)
    upper = mesh.vertices[body].mean(axis=1)[:, 1] > 4.8
    mouth = (islands[:, 0] > 0.7) & (islands[:, 1] <= 0.14) & upper
    sockets = (islands[:, 0] < 0.2) & (islands[:, 1] > 0.5) & (islands[:, 1] < 0.7) & upper
    outer = upper & ~mouth & ~sockets
    count = len(mesh.vertices)
    masks = np.zeros((count, 3))
    for column, inner in ((MOUTH_RING, mouth), (EYE_RING, sockets)):
        seam = np.intersect1d(body[inner], body[outer])
        masks[:, column] = rings(body[outer], seam, count, _RING_LIMIT)
        masks[np.setdiff1d(body[inner], seam), column] = -1
    masks[np.setdiff1d(body[mouth | sockets], body[outer]), INNER] = 1
    rest = seal_lips(mesh, mesh.vertices + offsets, masks[:, MOUTH_RING])
    within = masks[:, MOUTH_RING] < 0  # off the lips' inner side, or it comes through a chin that is drawn in
    rest[within, 2] -= _LINING * smoothstep(1.25, 1.45, mesh.vertices[within, 2])
    columns = deltas.transpose(1, 0, 2).reshape(count, -1)
    coarse = Geometry(mesh.vertices, rest, columns, np.zeros((count, 5)), masks, body[upper])
    return subdivide(coarse, acting(coarse))


def rest_lids(geometry: Geometry, eyes: list[Eye], upper: float) -> Geometry:
    """``geometry`` with its lids where they rest in people, moved along the eyeballs.

    The ``upper`` one is so far above the middle of the pupil, in radii of the iris.
    """
    rest, ring = geometry.rest.copy(), geometry.masks[:, EYE_RING]
    for eye in eyes:
        arm = geometry.rest - eye.centre
        reach = np.linalg.norm(arm, axis=1)
        rim = np.flatnonzero((ring == LASH_RING) & (reach < 1.5 * eye.radius))
        corners = arm[[rim[arm[rim, 0].argmin()], rim[arm[rim, 0].argmax()]]]
        above = arm[:, 1] - np.interp(arm[:, 0], corners[:, 0], corners[:, 1])
        middle, half = corners[:, 0].mean(), np.ptp(corners[:, 0]) / 2
        weight = np.maximum(1 - ((arm[:, 0] - middle) / half) ** 2, 0.0)
        weight *= np.where(ring < 0, smoothstep(0.2, 0.7, arm[:, 2] / eye.radius), 1 - smoothstep(4.0, 13.0, ring))
        weight *= reach < 2.5 * eye.radius
        shift = np.zeros(geometry.size)
        for sign, want in ((1, upper), (-1, _LOWER_LID)):
            lid = (
                (ring >= 0) & (ring <= 6) & (np.abs(arm[:, 0]) < 0.02) & (sign * above > 0) & (reach < 1.5 * eye.radius)
            )
            edge = (sign * arm[lid, 1]).min()
            shift[sign * above > 0] = sign * (want * eye.radius * np.sin(np.radians(LIMBUS)) - edge)
        moved = arm + np.stack([0 * reach, shift * weight, 0 * reach], axis=1)
        rest += moved * (reach / np.linalg.norm(moved, axis=1))[:, None] - arm
    return replace(geometry, rest=rest)


def acting(geometry: Geometry) -> Bools:
    """(F,) the faces that expressions fold and stretch: from hairline to throat, without ears and inner parts."""
    middle, inner = geometry.base[geometry.faces].mean(axis=1), geometry.masks[geometry.faces, INNER].max(axis=1)
    x, y, z = np.abs(middle[:, 0]), middle[:, 1], middle[:, 2]
    chosen: Bools = (z > 0.55) & (x < 0.78) & (y > 6.0) & (y < 7.95) & (inner == 0) & ((x < 0.66) | (z > 0.72))
    return chosen


def seal_lips(mesh: BaseMesh, rest: Floats, ring: Floats) -> Floats:
    """``rest`` (V, 3) with the lips drawn together until no gap shows between them in front view."""
    body = mesh.faces["body"]
    side = np.zeros(len(rest))  # the lips are two sides of one slit in texture space
    side[body.ravel()] = np.where(mesh.uv[mesh.face_uv["body"].ravel(), 0] < 0.9085, 1.0, -1.0)
    lips = (ring >= 1) & (ring <= 5)
    upper, lower = lips & (side > 0), lips & (side < 0)
    places = np.linspace(-0.30, 0.30, 21)
    gap = np.zeros(len(places) + 2)
    for i, x in enumerate(places):
        near = np.abs(rest[:, 0] - x) < 0.016
        if (upper & near).any() and (lower & near).any():
            overlap = 0.012 + 0.012 * smoothstep(0.12, 0.26, np.abs(x))  # teeth stand close behind the corners
            gap[i + 1] = max(rest[upper & near, 1].min() - rest[lower & near, 1].max() + overlap, 0.0)
    close = np.interp(rest[:, 0], np.concatenate([[-0.33], places, [0.33]]), gap) / 2
    weight = np.where(ring >= 0, 1 - smoothstep(4.0, 9.0, ring), 0.0)
    result = rest.copy()
    result[:, 1] -= side * close * weight
    return result


def bone_weights(geometry: Geometry, opened: Floats, rigid: expressions.Rigid) -> Floats:
    """(V, 5): jaw by how far each vertex follows the jaw bone when ``opened`` (V, 3), neck by height, the rest root."""
    rotation = rotation_matrix(rigid.rotations[ARKIT_CHANNELS.index("jawOpen"), 2])
    motion = (geometry.rest - rigid.joints[2]) @ rotation.T + rigid.joints[2] - geometry.rest
    jaw = np.clip((opened * motion).sum(axis=1) / ((motion**2).sum(axis=1) + 2e-3), 0.0, 1.0)
    neck = smoothstep(5.75, 6.55, geometry.base[:, 1] + 0.25 * (geometry.base[:, 2] - 0.3))
    weights = np.zeros((geometry.size, 5))
    weights[:, 2] = jaw
    weights[:, 1] = (1 - jaw) * neck
    weights[:, 0] = (1 - jaw) * (1 - neck)
    return weights


def with_material(part: Geometry, material: str | Ints, uv: Floats | None = None) -> Geometry:
    """``part`` with one material (or an index per face) and texture coordinates (default: all zero)."""
    index = np.full(len(part.faces), MATERIALS.index(material)) if isinstance(material, str) else material
    return replace(part, materials=index, uv=np.zeros((len(part.faces), 4, 2)) if uv is None else uv)


def skin(geometry: Geometry) -> Geometry:
    """Head, neck and chest with mouth cavity, cut to the bust; materials Skin, Lips and Mouth."""
    part = compact(geometry)
    hidden = np.maximum(neckline_level(part.base) - 0.3, np.abs(part.base[:, 0]) - 1.0)  # under the shirt
    part = clip(part, np.minimum(bust_level(part.base), -hidden))
    corners = np.where(part.faces < 0, part.faces[:, :1], part.faces)
    ring, inner = part.masks[corners, MOUTH_RING], part.masks[corners, INNER]
    material = np.full(len(part.faces), MATERIALS.index("Skin"))
    material[(ring <= LIP_RING).all(axis=1)] = MATERIALS.index("Lips")
    material[(inner.max(axis=1) > 0)] = MATERIALS.index("Mouth")
    uv = cylinder_uv(part.base, part.faces)
    inside = material == MATERIALS.index("Mouth")
    depth = np.clip((part.base[corners[inside], 2] - 0.6) / 0.8, 0, 1)
    uv[inside] = np.stack([np.full(depth.shape, 0.875), depth], axis=-1)  # the mouth image's last quarter
    return with_material(part, material, uv)


def cylinder_uv(base: Floats, faces: Ints) -> Floats:
    """(F, 4, 2) texture coordinates: angle about the head's axis (finer in front) and height on the base mesh."""
    corners = np.where(faces < 0, faces[:, :1], faces)
    around = np.arctan2(base[:, 0], base[:, 2] - 0.3)
    angle = around[corners]
    front = np.abs(angle[:, :1])
    angle = np.where((angle - angle[:, :1] > np.pi) & (front > 1.5), angle - 2 * np.pi, angle)
    angle = np.where((angle - angle[:, :1] < -np.pi) & (front > 1.5), angle + 2 * np.pi, angle)
    warped = np.sign(angle) * (np.abs(angle) / np.pi) ** 0.75
    below = (1 - smoothstep(6.12, 6.42, base[:, 1])) * np.clip(np.cos(around), 0, 1)
    height = base[:, 1] + 0.4 * below * (base[:, 2] - 0.7)  # leaning, so that the chin does not hide the throat
    return np.stack([0.5 + 0.46 * warped, (height[corners] - 4.7) / (8.6 - 4.7)], axis=-1)


def eyeball(eye: Eye, name_index: tuple[int, int, int], columns: int, rotations: Floats) -> Geometry:
    """A sphere with a slight corneal bulge, rings at pupil and limbus; materials Pupil, Iris, Eye.

    Texture coordinates are azimuthal: the middle of the image is the pupil, half its width is 100 degrees.
    """
    rims = np.radians([0, 4, PUPIL, 11, 14, 17.5, 20.2, LIMBUS, 25.5, 31, 38, 48, 62, 77, 95, 115])
    segments = 32
    phi = np.arange(segments) * 2 * np.pi / segments
    theta = np.repeat(rims[1:], segments)
    around = np.tile(phi, len(rims) - 1)
    direction = np.stack([np.sin(theta) * np.cos(around), np.sin(theta) * np.sin(around), np.cos(theta)], axis=1)
    direction = np.concatenate([[[0.0, 0.0, 1.0]], direction])
    polar = np.concatenate([[0.0], theta])
    bulge = 1 + 0.035 * (1 - smoothstep(0.0, np.radians(LIMBUS + 5), polar))
    points = eye.centre + eye.radius * bulge[:, None] * direction
    faces, kinds = [], []
    for ring in range(len(rims) - 1):
        for i in range(segments):
            j = (i + 1) % segments
            low, high = 1 + (ring - 1) * segments, 1 + ring * segments
            faces.append([0, high + i, high + j, -1] if ring == 0 else [low + i, high + i, high + j, low + j])
            kinds.append(name_index[0] if ring < 2 else name_index[1] if ring < 7 else name_index[2])
    flat = np.concatenate([[0.0], np.degrees(theta) / 100])
    angle = np.concatenate([[0.0], around])
    uv = 0.5 + 0.5 * flat[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    count = len(points)
    deltas = np.zeros((count, columns // 3, 3))
    for action in range(len(rotations)):
        turn = rotation_matrix(rotations[action, eye.joint])
        deltas[:, action] = (points - eye.centre) @ turn.T + eye.centre - points
    weights = np.zeros((count, 5))
    weights[:, eye.joint] = 1
    face_array = np.array(faces)
    return Geometry(
        points, points, deltas.reshape(count, -1), weights, np.zeros((count, 3)), face_array,
        uv[np.where(face_array < 0, face_array[:, :1], face_array)], np.array(kinds),
    )  # fmt: skip
