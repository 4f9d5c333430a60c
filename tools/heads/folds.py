# SPDX-License-Identifier: GPL-3.0-or-later
"""Where skin folds when muscles shorten it: carved into the shapes where the mesh can show it, painted as maps else.

Lines are on the left half of the base mesh, decimetres (x, y) seen from the front, and stand for both halves. They run
across the pull of the muscle beneath: the frontalis lifts, so the forehead folds sideways; the corrugator draws the
brows together, so the skin between them folds upright; the zygomaticus draws the corner of the mouth into the cheek.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from blender_cteg.heads.demo_head.materials import WRINKLES
from blender_cteg.shared import ARKIT_CHANNELS

from .geometry import Floats, Geometry, Ints, normals
from .parts import INNER, smoothstep
from .source import METRES_PER_UNIT

Line = tuple[tuple[float, float], ...]
#: From the wing of the nose past the corner of the mouth.
_NASOLABIAL: Final[Line] = ((0.185, 6.955), (0.235, 6.87), (0.285, 6.76), (0.32, 6.65), (0.335, 6.55))
_FURROW: Final[Line] = ((0.052, 7.38), (0.058, 7.45), (0.075, 7.52))


@dataclass(frozen=True)
class Carving:
    """A fold as part of a shape. Metres; ``side`` is how far the skin on the outer side bulges, and how far off."""

    line: Line
    depth: float
    bulge: float
    away: float


#: What ICT FaceKit's shapes leave flat on our heads, action -> fold.
_CARVED: Final = {
    "mouthSmile": Carving(_NASOLABIAL, 0.0010, 0.0016, 0.009),
    "cheekSquint": Carving(((0.23, 7.17), (0.33, 7.13), (0.45, 7.165)), 0.0008, -0.0012, 0.008),
    "noseSneer": Carving(((0.02, 7.285), (0.06, 7.25), (0.105, 7.20)), 0.0007, 0.0007, 0.005),
    "browDown": Carving(_FURROW, 0.0012, 0.0006, 0.006),
}
#: Half the width of a carved fold, metres: the mesh has a vertex every 3 mm.
_CARVED_WIDTH: Final = 0.0028


@dataclass(frozen=True)
class Wrinkle:
    """A line of a map: its depth, 0 to 1, and half its width in decimetres."""

    line: Line
    depth: float = 0.8
    width: float = 0.009


def _rows(heights: tuple[float, ...], ends: tuple[float, float], arch: float) -> tuple[Wrinkle, ...]:
    """Lines across the forehead, bowed by ``arch``."""
    middle = sum(ends) / 2
    return tuple(
        Wrinkle(((ends[0], y), (middle, y + arch), (ends[1], y + 0.2 * arch)), 0.9 - 0.15 * i, 0.011)
        for i, y in enumerate(heights)
    )


#: Layer of `materials.WRINKLES` -> its lines.
_LINES: Final[dict[str, tuple[Wrinkle, ...]]] = {
    "forehead": _rows((7.60, 7.685, 7.775, 7.86), (0.0, 0.22), 0.004),
    "temple": _rows((7.615, 7.70, 7.785), (0.12, 0.52), 0.035),
    "glabella": (Wrinkle(_FURROW, 1.0, 0.012), Wrinkle(((0.10, 7.41), (0.115, 7.49)), 0.5)),
    "nose": (
        Wrinkle(((0.0, 7.335), (0.05, 7.34), (0.075, 7.325)), 0.9),
        Wrinkle(((0.02, 7.285), (0.06, 7.25), (0.105, 7.20))),
        Wrinkle(((0.025, 7.235), (0.07, 7.19), (0.125, 7.12)), 0.9),
        Wrinkle(((0.045, 7.18), (0.09, 7.12), (0.14, 7.05)), 0.6),
    ),
    "crow": (
        Wrinkle(((0.475, 7.305), (0.52, 7.335), (0.57, 7.375)), 0.7, 0.007),
        Wrinkle(((0.475, 7.275), (0.53, 7.28), (0.59, 7.275)), 0.9, 0.007),
        Wrinkle(((0.47, 7.245), (0.52, 7.215), (0.575, 7.18)), 0.7, 0.007),
        Wrinkle(((0.23, 7.205), (0.32, 7.175), (0.42, 7.195)), 0.7, 0.008),
        Wrinkle(((0.25, 7.175), (0.34, 7.14), (0.45, 7.165)), 0.5, 0.008),
    ),
    "smile": (
        Wrinkle(_NASOLABIAL, 0.6, 0.022),
        Wrinkle(((0.355, 6.80), (0.39, 6.69), (0.385, 6.57)), 0.35, 0.018),
        Wrinkle(((0.275, 6.66), (0.287, 6.615), (0.28, 6.57)), 0.4, 0.013),
    ),
    "frown": (Wrinkle(((0.262, 6.585), (0.285, 6.52), (0.29, 6.43)), 1.0, 0.012),),
    "chin": (Wrinkle(((0.0, 6.455), (0.08, 6.45), (0.15, 6.43)), 1.0, 0.014),),
    "pucker": tuple(
        Wrinkle(((x, y), (x * out, y + rise)), 0.7, 0.006)
        for y, rise, out in ((6.735, 0.06, 1.12), (6.48, -0.05, 1.1))
        for x in (0.025, 0.06, 0.095, 0.13, 0.165, 0.2)
    ),
}
#: Where the skin of the chin bunches in pits: middle, radius.
_PITS: Final = ((0.0, 6.35, 1.49), 0.17)


def _smooth(line: Line, count: int = 33) -> Floats:
    """(count, 2) points evenly along a curve through ``line``."""
    points = np.array(line)
    for _ in range(3):  # corners cut
        cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], axis=1)
        points = np.concatenate([points[:1], cut.reshape(-1, 2), points[-1:]])
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    at = np.linspace(0, way[-1], count)
    return np.stack([np.interp(at, way, points[:, c]) for c in range(2)], axis=1)


class Skin:
    """The front of the base mesh, on which lines are laid."""

    def __init__(self, head: Geometry) -> None:
        facing = normals(head.base, head.faces)[:, 2] > 0.1
        outer = (head.masks >= 0).all(axis=1) & (head.masks[:, INNER] == 0)
        self._points = head.base[facing & outer & (head.base[:, 2] > 0.6)]

    def lift(self, line: Line) -> Floats:
        """(n, 3) points along ``line`` on the surface."""
        flat = _smooth(line)
        near = ((self._points[None, :, :2] - flat[:, None]) ** 2).sum(axis=2)
        chosen = np.argsort(near, axis=1)[:, :4]
        weight = 1 / (np.take_along_axis(near, chosen, 1) + 1e-5)
        height = (self._points[chosen, 2] * weight).sum(axis=1) / weight.sum(axis=1)
        return np.column_stack([flat, height])


def carve(head: Geometry, outer: Ints, columns: Floats) -> None:
    """Add the carved folds at skin vertices ``outer`` to ``columns`` (V, 52, 3), displacements in decimetres."""
    skin, normal = Skin(head), normals(head.rest, head.faces)
    outer = outer[head.base[outer, 2] > 0.6]
    for name, fold in _CARVED.items():
        line = skin.lift(fold.line)
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            points = head.base[outer] * (sign, 1.0, 1.0)
            way = np.linalg.norm(points[:, None] - line[None], axis=2)
            nearest = way.argmin(axis=1)
            tangent = np.gradient(line[:, :2], axis=0)[nearest]
            off = points[:, :2] - line[nearest, :2]
            outward = np.sign(off[:, 0] * -tangent[:, 1] + off[:, 1] * tangent[:, 0])  # left of the line's way
            across = outward * way.min(axis=1) * METRES_PER_UNIT
            ends = np.minimum(nearest, len(line) - 1 - nearest) / (0.25 * len(line))
            groove = np.exp(-((across / _CARVED_WIDTH) ** 2))
            swell = np.exp(-(((across - np.sign(fold.bulge) * fold.away) / (0.7 * fold.away)) ** 2))
            height = (abs(fold.bulge) * swell - fold.depth * groove) * np.minimum(0.15 + ends, 1.0)
            height[way.min(axis=1) * METRES_PER_UNIT > 3 * fold.away] = 0.0
            columns[outer, ARKIT_CHANNELS.index(name + side)] += (height / METRES_PER_UNIT)[:, None] * normal[outer]


def maps(head: Geometry, points: Floats, noise: Floats) -> npt.NDArray[np.uint8]:
    """(n, layers) depth of every layer of `WRINKLES` at ``points`` (n, 3) of the base mesh, 0 flat to 255; ``noise``
    (n,) -1 to 1 keeps the lines from looking drawn."""
    skin = Skin(head)
    result = np.zeros((len(points), len(WRINKLES)))
    half = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    for layer, name in enumerate(WRINKLES):
        for wrinkle in _LINES[name]:
            line = skin.lift(wrinkle.line)
            low, high = line.min(axis=0) - 4 * wrinkle.width, line.max(axis=0) + 4 * wrinkle.width
            near = np.flatnonzero(((half > low) & (half < high)).all(axis=1))
            way = np.linalg.norm(half[near, None] - line[None], axis=2)
            place = way.argmin(axis=1)
            along = place / (len(line) - 1)
            ends = smoothstep(0.0, 0.35, 1 - along)
            if wrinkle.line[0][0] > 0:  # else it goes on over the middle
                ends *= smoothstep(0.0, 0.25, along)
            groove = np.exp(-((way.min(axis=1) / (wrinkle.width * (0.9 + 0.15 * noise[near]))) ** 2))
            depth = wrinkle.depth * groove * ends * (0.85 + 0.15 * noise[near])
            result[near, layer] = np.maximum(result[near, layer], depth)
    middle, radius = _PITS
    pits = np.exp(-2 * ((points - middle) ** 2).sum(axis=1) / radius**2) * smoothstep(0.1, 0.6, noise)
    layer = list(WRINKLES).index("chin")
    result[:, layer] = np.maximum(result[:, layer], 0.6 * pits)
    return np.round(255 * np.clip(result, 0, 1)).astype(np.uint8)
