# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lips are: arkit55 frames on two faces that neither we nor the model made, as linear models of their lips.

ICT FaceKit's ARKit actions and MakeHuman's were sculpted by different people, so what holds on both is no accident of
one mesh. ``lips.json`` (made by ``benchmarks.lip_points``) holds what each action does to some distances around the
mouth, in eye distances: the distance of the two eyes' middles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..shared.spaces import ARKIT55
from .distances import Clip, Floats

#: Multi-PIE's landmarks of the inner lips, upper and lower: beside the middle on the right, middle, on the left.
INNER_LIPS: Final = ((61, 67), (62, 66), (63, 65))
#: What ``lips.json`` holds: openings of the three pairs, distance of the mouth's corners, how far the upper lip stands
#: out, how far the lower lip is rolled in (its inner edge behind its outer
#: border), how much higher the left corner of the mouth is than the right one.
MEASURES: Final = ("gap right", "gap middle", "gap left", "width", "protrusion", "tuck", "tilt")
#: Lips are closed where no pair is farther apart than at rest by more than this, in eye distances (63 mm: 1.3 mm).
CLOSED: Final = 0.02


@dataclass(frozen=True, eq=False)
class Lips:
    """The lips of a face over T frames, as changes from the face at rest, in eye distances.

    Attributes:
        gaps: openings of the three pairs of `INNER_LIPS`, (T, 3).
        width: distance of the mouth's corners, (T,).
        protrusion: how far the upper lip comes forward, (T,).
        tuck: how far the inner edge of the lower lip goes in behind its outer border, (T,).
        tilt: how much the left corner of the mouth rises above the right one, (T,).
    """

    gaps: Floats
    width: Floats
    protrusion: Floats
    tuck: Floats
    tilt: Floats

    @classmethod
    def of(cls, values: Floats) -> Lips:
        """From `MEASURES` as changes from the face at rest, (T, 7)."""
        return cls(values[:, :3], *values[:, 3:].T)

    @property
    def gap(self) -> Floats:
        """Mean opening, (T,)."""
        return np.asarray(self.gaps.mean(1))

    @property
    def closed(self) -> npt.NDArray[np.bool_]:
        """Frames in which the lips touch along their middle third, (T,)."""
        return np.asarray(self.gaps.max(1) <= CLOSED)


@cache
def faces() -> tuple[str, ...]:
    """The names of the faces: "ict" and "makehuman"."""
    return tuple(_table()["faces"])


def lips_of(frames: Clip, face: str) -> Lips:
    """The lips of a face that shows ``frames`` (T, 55) of the space arkit55; KeyError for another face."""
    return Lips.of(frames.astype(np.float64) @ _matrix(face))


@cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_name("lips.json").read_text(encoding="utf-8"))
    return data


@cache
def _matrix(face: str) -> Floats:
    """(55, 7)"""
    matrix = np.zeros((ARKIT55.size, len(MEASURES)))
    for channel, row in _table()["faces"][face].items():
        matrix[ARKIT55.column(channel)] = row
    return matrix
