# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions: what each ARKit action does to a few hundred points of a face, measured on two faces (numpy only).

The first 68 points are the Multi-PIE landmarks. ``ict``: ICT FaceKit, whose actions the demo head carries too;
``makehuman``: MakeHuman's CC0 face units, an independent artist's. The two differ by as much as two people do
(docs/rigs.md has the numbers), so which one is meant is part of every result.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from ...arrays import Floats

Source = Literal["makehuman", "ict"]

SOURCES: Final[tuple[Source, ...]] = ("makehuman", "ict")
#: Made by benchmarks/face_points.py.
_FILE: Final = Path(__file__).parents[1] / "data" / "face_points.npz"
LANDMARKS: Final = 68
#: Those around the eyes.
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)


@dataclass(frozen=True)
class Template:
    """A face as points, in FLAME axes; the unit is the distance between the eye centres (means of landmarks 36-41 and
    42-47), the origin their middle.

    Attributes:
        positions: shape (P, 3), the landmarks first.
        normals: unit normals of the skin there, shape (P, 3).
        eyes: centres of the left and the right eyeball, shape (2, 3).
    """

    positions: Floats
    normals: Floats
    eyes: Floats


@cache
def template() -> Template:
    """The template face: ICT FaceKit's neutral."""
    with np.load(_FILE, allow_pickle=False) as table:
        return Template(*(table[name].astype(np.float64) for name in ("positions", "normals", "eyes")))


@cache
def proportioned(wide: float, long: float) -> Template:
    """The template with the face below the eyes so many times as wide and as long."""
    face = template()
    below = np.clip(-2.0 * face.positions[:, 1], 0.0, 1.0)
    stretch = 1.0 + np.outer(below, (wide - 1.0, 0.0, 0.0))
    stretch[:, 1] = np.where(below > 0, long, 1.0)
    return replace(face, positions=face.positions * stretch)


@cache
def action_displacements(source: Source = "ict") -> MappingABC[str, Floats]:
    """ARKit channel -> displacements of the template's points at full strength, shape (P, 3), in eye distances.

    Channels that move no point of the skin (tongueOut) are left out.
    """
    with np.load(_FILE, allow_pickle=False) as table:
        values = table[source].astype(np.float64) * 1e-4
        channels = table["channels"].tolist()
    return MappingProxyType({c: v for c, v in zip(channels, values, strict=True) if v.any()})


def eye_distance(places: Floats) -> float:
    """The distance between the eye centres of ``places``, shape (P, 3), whose first 68 are the landmarks."""
    return float(np.linalg.norm(places[LEFT_EYE].mean(0) - places[RIGHT_EYE].mean(0)))
