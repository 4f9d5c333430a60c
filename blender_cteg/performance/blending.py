# SPDX-License-Identifier: GPL-3.0-or-later
"""Blending: the takes of lines that follow or overlap each other, over what is there without them (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from .record import Line, Region
from .targets import Address, Target, grouped

Floats = npt.NDArray[np.float64]

#: A property that stays so near to what it is set to needs no curve.
_STILL: Final = 1e-6


class Ground(Protocol):
    """What a property does without lines, over a span of frames.

    Attributes:
        values: one per frame, (T,).
        exists: whether there is a curve of the animator's.
        changes: whether it moves there.
        kept: who else decides about it, in a word, "" for nobody; "noise" is a modifier that may be put aside.
    """

    values: Floats
    exists: bool
    changes: bool
    kept: str


@dataclass(frozen=True, eq=False)
class Passage:
    """A line in a span.

    Attributes:
        line: what is played.
        first: its first frame in the span.
        targets: what it moves, each with T values.
        fade: frames over which it comes in.
        exact: channel -> frames of the line on which curves must be exact.
    """

    line: Line
    first: int
    targets: list[Target]
    fade: int
    exact: Mapping[str, npt.NDArray[np.int64]]


@dataclass(eq=False)
class Mixed:
    """A property over a whole span.

    Attributes:
        target: which property; its values are those of one line.
        values: one per frame of the span, (T,).
        keep: frames of the span that need a key.
    """

    target: Target
    values: Floats
    keep: set[int] = field(default_factory=set)


def mixed(
    passages: list[Passage], ground: Callable[[Target, Passage], Ground], others: Callable[[Target], str]
) -> tuple[dict[Address, Mixed], dict[str, tuple[str, ...]]]:
    """What is written for a span, and per line what is left to the animator, in words.

    Args:
        passages: the lines, in the order of their starts.
        ground: what a property does without lines, over the whole span; whether it changes, within the passage.
        others: who else decides about a property; "" for nobody.
    """
    found: dict[Address, Mixed] = {}
    theirs: dict[str, tuple[str, ...]] = {}
    for passage in passages:
        left: list[str] = []
        for group in grouped(passage.targets).values():
            region = passage.line.regions.get(group[0].region, Region())
            grounds = [ground(target, passage) for target in group]
            why = next(
                (
                    word
                    for target, own in zip(group, grounds, strict=True)
                    if (word := _why(target, own, region, others))
                ),
                "",
            )
            if why:
                if group[0].owner.name in ("face", "armature"):
                    left.append(f"{group[0].group if len(group) > 4 else group[0].label} ({why})")
                continue
            for target, own in zip(group, grounds, strict=True):
                found.setdefault(target.address, Mixed(target, np.array(own.values, np.float64)))
            _lay(passage, group, [found[target.address] for target in group], region.mode == "ADD")
        theirs[passage.line.id] = tuple(dict.fromkeys(left))
    return found, theirs


def moving(found: Mapping[Address, Mixed], ground: Callable[[Target], Ground]) -> dict[Address, Mixed]:
    """Without the properties that stay where they are set and never had a curve; a rotation moves as a whole."""
    wholes = set()
    for mix in found.values():
        own = ground(mix.target)
        if own.exists or np.abs(mix.values - own.values).max() > _STILL:
            wholes.add((mix.target.owner.name, mix.target.whole))
    return {a: mix for a, mix in found.items() if (mix.target.owner.name, mix.target.whole) in wholes}


def _why(target: Target, own: Ground, region: Region, others: Callable[[Target], str]) -> str:
    """Who keeps a property; "" for nobody."""
    if why := others(target):
        return why
    if own.kept and not (own.kept == "noise" and region.mode != "FILL"):
        return own.kept
    return "keys" if own.changes and region.mode == "FILL" else ""


def _lay(passage: Passage, group: list[Target], mixes: list[Mixed], add: bool) -> None:
    """Lay the values of a line over what is there: comes in, and goes at its end, within some frames."""
    count = len(group[0].values)
    weight = _weights(count, passage.fade, passage.line.blend)[:, None]
    where = slice(passage.first, passage.first + count)
    below = np.stack([mix.values[where] for mix in mixes], axis=1)
    above = np.stack([target.values for target in group], axis=1)
    if len(group) == 4 and group[0].path.endswith("rotation_quaternion"):
        if add:
            above = _product(below, (1 - weight) * (1.0, 0.0, 0.0, 0.0) + weight * above)
            weight = np.ones_like(weight)
        elif above[0] @ below[0] < 0:  # the same turn; between opposite signs lies a swing
            above = -above
    elif add:
        above = below + above
    laid = below + weight * (above - below)
    for column, (target, mix) in enumerate(zip(group, mixes, strict=True)):
        mix.values[where] = laid[:, column]
        mix.keep.update(passage.first + int(f) for c in target.channels for f in passage.exact.get(c, ()))


def _weights(count: int, fade: int, blend: int) -> Floats:
    """From 0 at the first frame to 1, and back to 0 at the last, (T,)."""
    most = (count - 1) // 2
    frames = np.arange(count)
    come, go = max(min(fade, most), 1), max(min(blend, most), 1)
    ramp = np.minimum(np.clip(frames / come, 0, 1), np.clip((count - 1 - frames) / go, 0, 1))
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def _product(first: Floats, second: Floats) -> Floats:
    """Quaternion products (w, x, y, z), (T, 4)."""
    w1, x1, y1, z1 = first.T
    w2, x2, y2, z2 = second.T
    parts: list[Any] = [
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    ]
    return np.stack(parts, axis=1)
