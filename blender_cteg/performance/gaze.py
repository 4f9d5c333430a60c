# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaze: a face that looks at something, eyes first and the head after them (no ``bpy``).

A glance says where something is, seen from the head at rest. The eyes are there within a tenth of a second; the head
follows with what it takes over of the turn, and the eyes come back by as much. What a take does by itself goes on: its
own looks away are added, and whatever its head does the eyes make up for, as they do in people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..arrays import Floats, Singles
from ..shared import ARKIT55, minimum_jerk
from ..storage import StoredError

#: Seconds that the eyes take to be there, that the head waits, and that it takes.
_EYES_TAKE, _HEAD_WAITS, _HEAD_TAKES = 0.1, 0.1, 0.55
#: Seconds from the start of a line at rest until it looks at somebody, and from when it looks away again to its end.
COMES, GOES = 0.2, 0.75
#: How much of a turn the head takes over, to the side and up or down, where the eyes alone could reach it.
_SHARE: Final = (0.65, 0.5)
#: How far head and eyes turn for a glance at most, radians: the eyes as far as the channels go, the head so far that
#: there is room for its acting.
_HEAD_MOST: Final = (0.55, 0.4)
#: Radians of an eye at full strength of its channels; a test compares them with `character.direct.EYE_TURNS`.
_SIDE, _UP, _DOWN = 0.5, 0.44, 0.5
_COLUMNS: Final[Mapping[str, int]] = {name: k for k, name in enumerate(ARKIT55.channels)}
#: For each eye the columns that turn it to the character's left, right, down and up.
_EYES: Final = tuple(
    tuple(_COLUMNS[f"eyeLook{way}{side}"] for way in ways)
    for side, ways in (("Left", ("Out", "In", "Down", "Up")), ("Right", ("In", "Out", "Down", "Up")))
)
_HEAD: Final = (_COLUMNS["headYaw"], _COLUMNS["headPitch"])


@dataclass(frozen=True)
class Glance:
    """Where a line looks from a moment on.

    Attributes:
        seconds: of the take; the first glance of a line is there from its beginning.
        yaw: how far to the character's left what it looks at is from straight ahead, radians.
        pitch: how far below straight ahead, radians.
    """

    seconds: float
    yaw: float
    pitch: float


def reach() -> tuple[float, float]:
    """How far to a side, and how far up, a face looks without a turn of the body, radians."""
    return _HEAD_MOST[0] + _SIDE, _HEAD_MOST[1] + _UP


def head_turn(yaw: float, pitch: float) -> tuple[float, float]:
    """What of a glance the head takes over: its share, and all that the eyes cannot reach, as far as it goes."""
    rows = zip((yaw, pitch), _HEAD_MOST, _SHARE, (_SIDE, _UP), strict=True)
    side, down = (
        float(np.clip(np.sign(angle) * max(share * abs(angle), abs(angle) - eyes), -most, most))
        for angle, most, share, eyes in rows
    )
    return side, down


def held(glances: Sequence[Glance], seconds: float) -> Glance:
    """Where a line looks at a moment of its take, or is about to; straight ahead where it has no glances."""
    before = [one for one in glances if one.seconds <= seconds + COMES]
    return (before or [*glances[:1], Glance(0.0, 0.0, 0.0)][:1])[-1]


def aimed(
    glances: Sequence[Glance], seconds: float, length: float, yaw: float, pitch: float
) -> tuple[Glance, ...]:  # fmt: skip
    """The same glances, but the one that holds at a moment goes elsewhere.

    A line without any looks up when it has begun, and away again before its end, as in a dialogue.

    Args:
        glances: in order.
        seconds: the moment, of the take.
        length: of the take, seconds.
        yaw, pitch: as in `Glance`.
    """
    if not glances:
        begin, end = min(COMES, 0.25 * length), max(length - GOES, 0.75 * length)
        return Glance(0.0, 0.0, 0.0), Glance(begin, yaw, pitch), Glance(end, 0.0, 0.0)
    now = held(glances, seconds)
    return tuple(Glance(one.seconds, yaw, pitch) if one == now else one for one in glances)


def looking(
    values: Singles, glances: Sequence[Glance], fps: float
) -> Singles:  # fmt: skip
    """Frames of the space arkit55, (T, 55), that look where the glances say; ``fps`` of them are one second."""
    if not glances:
        return values
    times, face = np.arange(len(values)) / fps, values.astype(np.float64)
    for axis, head in enumerate(_HEAD):
        angles = np.array([(glance.yaw, glance.pitch)[axis] for glance in glances])
        heads = np.array([head_turn(glance.yaw, glance.pitch)[axis] for glance in glances])
        there, turned = (
            _steps(steps, glances, times - wait, take)
            for steps, wait, take in ((angles, 0.0, _EYES_TAKE), (heads, _HEAD_WAITS, _HEAD_TAKES))
        )
        own = face[:, head].copy()
        face[:, head] = np.clip(own + turned, ARKIT55.lower[head], ARKIT55.upper[head])
        _turn_eyes(face, axis, there - face[:, head])
    return face.astype(np.float32)


def _steps(angles: Floats, glances: Sequence[Glance], times: Floats, take: float) -> Floats:
    """From one angle to the next, each within ``take`` seconds, (T,)."""
    result = np.full(len(times), angles[0])
    for glance, step in zip(glances[1:], np.diff(angles), strict=True):
        result += step * minimum_jerk((times - glance.seconds) / take)
    return result


def _turn_eyes(face: Floats, axis: int, turn: Floats) -> None:
    """Turn both eyes by radians, (T,), beside what they do: to the left (axis 0), or down."""
    for left, right, down, up in _EYES:
        plus, minus, most = (left, right, (_SIDE, _SIDE)) if axis == 0 else (down, up, (_DOWN, _UP))
        angle = face[:, plus] * most[0] - face[:, minus] * most[1] + turn
        face[:, plus] = np.clip(angle / most[0], 0.0, 1.0)
        face[:, minus] = np.clip(-angle / most[1], 0.0, 1.0)


def to_lists(glances: Sequence[Glance]) -> list[list[float]]:
    """As they are stored."""
    return [[round(value, 4) for value in (one.seconds, one.yaw, one.pitch)] for one in glances]


def from_lists(stored: Any) -> tuple[Glance, ...]:
    """What `to_lists` wrote. TypeError or ValueError for anything else."""
    glances = tuple(Glance(*(float(value) for value in row)) for row in stored)
    if not all(np.isfinite((one.seconds, one.yaw, one.pitch)).all() for one in glances):
        raise StoredError("a glance of it is not finite")
    return glances
