# SPDX-License-Identifier: GPL-3.0-or-later
"""Likeness: how a movement of the skin is like what the actions do on two faces of different artists (numpy only).

Both are seen at the same few hundred places (`fitting/actions.py`), in distances between the eyes, in FLAME's axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from ..arrays import Floats
from ..shared import ARKIT_CHANNELS
from .effects import other_side
from .fitting.actions import SOURCES, action_displacements, template

#: Skin that goes this far is seen to move.
SEEN: Final = 0.03
#: Such a part is an action's where it is so near to what that moves, in eye distances, and its mean movement is no
#: smaller a share of its farthest and has this cosine at least.
_NEAR: Final = 0.35
_BEHIND: Final = 0.2
#: A movement holds an action where its cosine with that there times its share of it is this: on sound faces, what is
#: none of a channel's has 0.21 at most, and by what its sides differ 0.23.
_HELD: Final = 0.35
#: What goes so many times as far as an action is another movement.
_TOO_FAR: Final = 2.0
#: Where an action goes less than this share of what it does most, it does nothing; and another action has nothing to do
#: with it that leaves less there than such a share of its squares, or than such a one of its own.
_THERE: Final = 0.1
_FAR: Final = (0.005, 0.001)


@cache
def actions() -> tuple[MappingABC[str, Floats], ...]:
    """What each channel does to the skin of both faces, (P, 3)."""
    return tuple(action_displacements(source) for source in SOURCES)


@cache
def _table() -> tuple[tuple[str, ...], Floats]:
    """The channels that move skin, and each as a unit vector on both faces, shape (2, C, 3 P)."""
    names = tuple(c for c in ARKIT_CHANNELS if all(c in moves for moves in actions()))
    table = np.array([[moves[c].ravel() / np.linalg.norm(moves[c]) for c in names] for moves in actions()])
    return names, table


def likeness(field: Floats) -> dict[str, float]:
    """Cosine of a movement with each action and its opposite (``-CHANNEL``), on the more alike of the two faces."""
    names, table = _table()
    cosines = table @ (field.ravel() / max(float(np.linalg.norm(field)), 1e-9))
    either = dict(zip(names, cosines.max(0).tolist(), strict=True))
    return either | {f"-{name}": -least for name, least in zip(names, cosines.min(0).tolist(), strict=True)}


def likeliest(alike: MappingABC[str, float]) -> str:
    """The action that a movement is most like."""
    return max((channel for channel in alike if not channel.startswith("-")), key=lambda c: alike[c])


def unexplained(cosine: float) -> float:
    """How much of a movement one at this cosine to it leaves unexplained, 0..1."""
    return 1.0 - max(cosine, 0.0) ** 2


def explained(fields: Iterable[Floats]) -> float:
    """How much of movements of the skin, (P, 3) each, the action explains that each is most like, 0..1, as a mean; 0
    where nothing is seen to move.
    """
    seen = np.array([field.ravel() for field in fields if np.linalg.norm(field, axis=1).max() > SEEN])
    if not len(seen):
        return 0.0
    cosines = _table()[1] @ (seen / np.linalg.norm(seen, axis=1, keepdims=True)).T
    return float((cosines.max((0, 1)) ** 2).mean())


@dataclass(frozen=True)
class _Parts:
    """Each action where it moves something.

    Attributes:
        moves: what it does there, on both faces, shape (C, 2, 3 P); nothing elsewhere.
        reach: how far what moves most goes, shape (C, 2).
        there: where that is, shape (C, P).
        far: of each action (row) those that move something else, shape (C, C).
    """

    moves: Floats
    reach: Floats
    there: Floats
    far: Floats


@cache
def _parts() -> _Parts:
    names, _ = _table()
    moves = np.array([[actions[c] for actions in actions()] for c in names])
    squares = (moves**2).sum(3)
    there = (squares > _THERE**2 * squares.max(2, keepdims=True)).any(1)
    left, whole = np.einsum("csp,dp->cds", squares, there), squares.sum(2)
    far = (left < _FAR[0] * whole).all(2) | (left < _FAR[1] * whole[:, None]).all(2)
    moves = (moves * there[:, None, :, None]).reshape(*moves.shape[:2], -1)
    return _Parts(moves, np.sqrt(squares.max(2)), there, far)


def held(field: Floats, *beside: str) -> str:
    """An action that is seen in a movement, either way, and has nothing to do with those ``beside``; "" without one."""
    parts, (names, _) = _parts(), _table()
    squares = (parts.moves**2).sum(2)
    times = np.abs(parts.moves @ field.ravel()) / squares
    alike = times * np.sqrt(squares) / np.maximum(np.sqrt(parts.there @ (field**2).sum(1)), 1e-12)[:, None]
    held = times * alike * (times * parts.reach > SEEN) * (times < _TOO_FAR)
    held = held.max(1) * parts.far[[names.index(c) for c in beside if c in names]].all(0)
    return names[int(held.argmax())] if held.max() > _HELD else ""


@cache
def ways() -> tuple[tuple[str, Floats, Floats], ...]:
    """Channels with the middle of what they move, from between the eyes, and which way that goes, of length 1: each by
    itself, and as a key that joins both sides would move it.
    """
    found, places, moves = [], template().positions, actions()[0]
    for channel, own in moves.items():
        for moved in (own, own + moves[other_side(channel)]) if other_side(channel) != channel else (own,):
            squared = (moved**2).sum(1)
            way = squared @ moved
            if way.any():
                at = squared @ places / squared.sum() - places[36:48].mean(0)
                found.append((channel, at, way / np.linalg.norm(way)))
    return tuple(found)


def near(place: Floats, other: Floats) -> bool:
    """Whether a part lies before the place where an action moves skin."""
    apart = place - other  # how far before the skin it lies says nothing; what lies behind it is a tongue, or teeth
    return float(np.linalg.norm(apart[:2])) < _NEAR and bool(apart[2] > -_BEHIND)
