# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of acting, ``acting.toml``, as Python sees it: units, emotions, compounds, gestures, numbers.

Everything the teacher knows is in that file, with its sources; this module only reads and checks it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..direction.emotions import EMOTIONS
from ..performing import gestures
from ..speech.timing import RATES


@dataclass(frozen=True)
class Variant:
    """One way of showing an emotion.

    Attributes:
        name: for reading and for tests.
        upper, lower: AU -> strength for brows, lids, cheeks, nose / for mouth and jaw.
        extreme: AU -> strength added as intensity rises from 1 to 1.5.
        head: pitch (down), yaw (away from the partner; the side is drawn per take), roll (same side), radians.
        gaze: pitch (down) and yaw (to the same side as the head) of where the eyes rest, radians, world.
        asymmetry: extra difference between the two sides, 0 even.
        weight: how often it is chosen.
        sounds, moves: gestures it is given to.
    """

    name: str
    upper: Mapping[str, float]
    lower: Mapping[str, float]
    extreme: Mapping[str, float] = field(default_factory=dict)
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    asymmetry: float = 0.0
    weight: float = 1.0
    sounds: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manner:
    """How an emotion moves, whatever its variant.

    Attributes:
        rate: speech rate, 1 natural.
        onset: seconds an expression takes to arrive at intensity 1.
        hold: seconds it is held after the last word.
        blinks: per minute.
        head: size of head gestures, 1 natural; sway: size of its slow wandering.
        avert: chance per phrase that the gaze leaves the partner; dart: chance of small quick saccades.
        jaw: how far the mouth opens in speech.
        upper_wins: how strongly the emotion claims the upper face in a blend; lower_wins: the lower face.
        brow: AU -> strength that marks a stressed word.
        wind_up: AU -> strength of the opposite motion just before the onset.
        moves: gesture -> chance.
    """

    rate: float
    onset: float
    hold: float
    blinks: float
    head: float
    sway: float
    avert: float
    dart: float
    jaw: float
    upper_wins: float
    lower_wins: float
    brow: Mapping[str, float]
    wind_up: Mapping[str, float]
    moves: Mapping[str, float]

    #: Fields that blend as numbers, and those that blend as tables.
    NUMBERS = ("rate", "onset", "hold", "blinks", "head", "sway", "avert", "dart", "jaw", "upper_wins", "lower_wins")
    TABLES = ("brow", "wind_up", "moves")


@dataclass(frozen=True)
class Gesture(gestures.Gesture):
    """Something done besides words: see `generator.performing.gestures.Gesture`.

    Attributes:
        before: chance to come before the words.
    """

    before: float


class Numbers:
    """One section of numbers and [low, high] ranges."""

    def __init__(self, section: str) -> None:
        self._table: Mapping[str, Any] = _table()[section]

    def __getitem__(self, name: str) -> float:
        return float(self._table[name])

    def list(self, name: str) -> tuple[float, ...]:
        """A list of numbers."""
        return tuple(float(x) for x in self._table[name])

    def range(self, name: str) -> tuple[float, float]:
        """A [low, high] range."""
        low, high = self._table[name]
        return float(low), float(high)

    def units(self, name: str) -> dict[str, float]:
        """Action units in the table's notation."""
        return _units(self._table[name])

    def items(self, name: str) -> tuple[tuple[str, float], ...]:
        """Action units in the table's notation, to choose one of."""
        return tuple(_units(self._table[name]).items())

    def choices(self, name: str) -> tuple[dict[str, float], ...]:
        """A list of patterns of action units."""
        return tuple(_units(notation) for notation in self._table[name])

    def by(self, key: str, name: str) -> float:
        """A number of a table by key, with "other" for all keys that it does not name."""
        found = self._table[name]
        return float(found.get(key, found["other"]))

    def curve(self, name: str, at: float) -> float:
        """A line through points [at, value], evaluated."""
        points = np.array(self._table[name], np.float64)
        return float(np.interp(at, points[:, 0], points[:, 1]))

    def draw(self, rng: np.random.Generator, name: str) -> float:
        """A number drawn evenly from a [low, high] range."""
        return float(rng.uniform(*self.range(name)))


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("acting.toml").read_text(encoding="utf-8"))


def table(section: str) -> Mapping[str, Any]:
    """A section of ``acting.toml`` as it is."""
    found: Mapping[str, Any] = _table()[section]
    return found


def _units(notation: str) -> dict[str, float]:
    return {unit: float(strength) for unit, strength in (part.split(":") for part in notation.split())}


def _variant(row: Mapping[str, Any]) -> Variant:
    fields = dict(row)
    for name in ("upper", "lower", "extreme"):
        fields[name] = _units(fields.get(name, ""))
    for name in ("head", "gaze"):
        if name in fields:
            fields[name] = tuple(float(x) for x in fields[name])
    for name in ("sounds", "moves"):
        fields[name] = tuple(fields.get(name, "").split())
    return Variant(**fields)


def _manner(row: Mapping[str, Any]) -> Manner:
    return Manner(**{k: _units(v) if isinstance(v, str) else float(v) for k, v in row.items()})  # type: ignore[arg-type]


def _gesture(row: Mapping[str, Any]) -> Gesture:
    made = gestures.Gesture.from_row(row)
    return Gesture(made.seconds, made.tracks, made.beats, made.beat_hz, float(row.get("before", 0.0)))


#: Action unit -> ARKit coefficients at full strength. A name that ends in "*" stands for its Left and Right channels.
ACTION_UNITS: Final[Mapping[str, Mapping[str, float]]] = table("action_units")
#: Emotion of `EMOTIONS` -> how it moves, and the patterns it shows.
MANNERS: Final[Mapping[str, Manner]] = {
    name: _manner({"rate": RATES[name], **table("emotions")[name]["manner"]}) for name in EMOTIONS
}
VARIANTS: Final[Mapping[str, tuple[Variant, ...]]] = {
    name: tuple(_variant(row) for row in table("emotions")[name]["variants"]) for name in EMOTIONS
}
#: Blends that people show as a pattern of their own, by their two emotions.
COMPOUNDS: Final[Mapping[frozenset[str], tuple[Variant, ...]]] = {
    frozenset(row["of"]): tuple(_variant(variant) for variant in row["variants"]) for row in _table()["compounds"]
}
GESTURES: Final[Mapping[str, Gesture]] = {name: _gesture(row) for name, row in table("gestures").items()}


def unit_of(name: str) -> tuple[str, bool]:
    """The action unit of a notation and whether it is shown on one side only ("14u" is unit 14 on one side)."""
    return (name[:-1], True) if name.endswith("u") else (name, False)
