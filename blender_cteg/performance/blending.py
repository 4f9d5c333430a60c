# SPDX-License-Identifier: GPL-3.0-or-later
"""Blending: the takes of lines that follow or overlap each other, over what is there without them (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Final

import numpy as np

from ..arrays import Floats, Ints, Mask
from .record import Line, Region
from .targets import Address, Target, grouped

#: A property that stays so near to what it is set to needs no curve.
_STILL: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Ground:
    """What a property does without lines, over a span of frames.

    Attributes:
        values: one per frame, (T,).
        rest: what it is where no curve moves it.
        exists: whether there is a curve of the animator's.
        changes: whether it moves there.
        kept: who else decides about it, in a word, "" for nobody; "noise" is a modifier that may be put aside.
    """

    values: Floats
    rest: float
    exists: bool = False
    changes: bool = False
    kept: str = ""


@dataclass(frozen=True, eq=False)
class Passage:
    """A line in a span.

    Attributes:
        line: what is played.
        first: its first frame in the span.
        targets: what it moves, each with T values.
        fade: frames over which it comes in.
        exact: channel -> frames of the line on which curves must be exact.
        goes_on: what the span before it left, from which it comes in in place of what is there without it.
        stays: tells what stays as it is at its end.
    """

    line: Line
    first: int
    targets: list[Target]
    fade: int
    exact: Mapping[str, Ints]
    goes_on: Mapping[Address, float] = field(default_factory=dict)
    stays: Callable[[Target], bool] = lambda _target: False

    def held(self, frames: int, edited: Mapping[Address, float]) -> Passage:
        """The same, and what it ends with for some frames more; ``edited`` by hand, it ends with so much beside."""
        longer = []
        for one in self.targets:
            last = one.values[-1] + edited.get(one.address, 0.0)
            longer.append(replace(one, values=np.append(one.values, np.full(frames, last))))
        return replace(self, targets=longer)


@dataclass(eq=False)
class Mixed:
    """What is written for a span.

    Attributes:
        targets: the properties; their values are those of one line.
        values: one row per frame of the span, one column per target, (T, K).
        keep: per target, frames of the span that need a key.
        theirs: per line, by its id, what is left to the animator, in words.
    """

    targets: list[Target]
    values: Floats
    keep: list[list[Ints]]
    theirs: dict[str, tuple[str, ...]]

    def only(self, wanted: Mask) -> Mixed:
        """With some of the targets."""
        places = np.flatnonzero(wanted)
        chosen, keep = [self.targets[k] for k in places], [self.keep[k] for k in places]
        return Mixed(chosen, self.values[:, places], keep, self.theirs)


def mixed(
    passages: list[Passage], ground: Callable[[Target, Passage], Ground], others: Callable[[Target], str]
) -> Mixed:  # fmt: skip
    """Lay the lines of a span over what is there without them.

    Args:
        passages: the lines, in the order of their starts.
        ground: what a property does without lines, over the whole span; whether it changes, within the passage.
        others: who else decides about a property; "" for nobody.
    """
    columns: dict[Address, int] = {}
    targets: list[Target] = []
    grounds: list[Floats] = []
    bare: set[Address] = set()
    theirs: dict[str, tuple[str, ...]] = {}
    laid: list[tuple[Passage, list[list[Target]]]] = []
    for passage in passages:
        left, ours = [], []
        for group in grouped(passage.targets).values():
            owns = [ground(target, passage) for target in group]
            region = _region(passage, group)
            whys = [_why(target, own, region, others) for target, own in zip(group, owns, strict=True)]
            if why := next(filter(None, whys), ""):
                if group[0].owner.name in ("face", "armature"):
                    left.append(f"{group[0].group if len(group) > 4 else group[0].label} ({why})")
                continue
            ours.append(group)
            for target, own in zip(group, owns, strict=True):
                if target.address not in columns:
                    columns[target.address] = len(targets)
                    targets.append(target)
                    grounds.append(own.values)
                    bare |= set() if own.exists else {target.address}
        theirs[passage.line.id] = tuple(dict.fromkeys(left))
        laid.append((passage, ours))
    values = np.stack(grounds, axis=1).astype(np.float64) if grounds else np.zeros((0, 0))
    result = Mixed(targets, values, [[] for _ in targets], theirs)
    for (passage, groups), after in zip_longest(laid, laid[1:]):
        if groups:
            _lay(passage, groups, columns, result, bare, _covered(passage, *after) if after else frozenset())
    return result


def _covered(passage: Passage, after: Passage, groups: list[list[Target]]) -> frozenset[Address]:
    """What the line after one lies over wholly where that ends, so that it need not go before."""
    targets = [t for group in groups if _region(after, group).mode != "ADD" for t in group]
    if not targets or not passage.targets:
        return frozenset()
    end, length = passage.first + len(passage.targets[0].values) - 1, len(targets[0].values) - 1
    whole = after.fade <= length // 2 and after.fade <= length - after.line.blend
    return frozenset(t.address for t in targets) if whole and after.first + after.fade == end else frozenset()


def _region(passage: Passage, group: list[Target]) -> Region:
    return passage.line.regions.get(group[0].region, Region())


def moving(mix: Mixed, grounds: list[Ground]) -> Mixed:
    """Without the properties that stay where they are set and never had a curve; a rotation moves as a whole."""
    if not mix.targets:
        return mix
    still = np.stack([own.values for own in grounds], axis=1)
    moves = np.abs(mix.values - still).max(axis=0) > _STILL
    wholes = {
        (t.owner.name, t.whole) for t, own, move in zip(mix.targets, grounds, moves, strict=True) if move or own.exists
    }
    return mix.only(np.array([(t.owner.name, t.whole) in wholes for t in mix.targets], bool))


def _why(target: Target, own: Ground, region: Region, others: Callable[[Target], str]) -> str:
    """Who keeps a property; "" for nobody."""
    if why := others(target):
        return why
    if own.kept and not (own.kept == "noise" and region.mode != "FILL"):
        return own.kept
    return "keys" if own.changes and region.mode == "FILL" else ""


def _lay(
    passage: Passage, groups: list[list[Target]], columns: Mapping[Address, int], mix: Mixed, bare: Collection[Address],
    covered: Collection[Address],
) -> None:  # fmt: skip
    """Lay a line over what is there: it comes in, and goes at its end, within some frames.

    What has no curve of the animator's, ``bare``, may stay from span to span. What the next line lies over,
    ``covered``, stays until the end.
    """
    targets = [target for group in groups for target in group]
    places = np.array([columns[target.address] for target in targets])
    above = np.stack([target.values for target in targets], axis=1)
    rows = slice(passage.first, passage.first + len(above))
    below = mix.values[rows, places]
    comes, goes = _risen(len(above), passage.fade), _risen(len(above), passage.line.blend)[::-1]
    weights, first = np.ones(above.shape), 0
    for group in groups:
        part = slice(first, first + len(group))
        first += len(group)
        add = _region(passage, group).mode == "ADD"
        joins = not add and all(target.address in bare for target in group)
        weights[:, part] = comes[:, None]
        if joins and all(target.address in passage.goes_on for target in group):
            below[comes < 1.0, part] = [passage.goes_on[target.address] for target in group]
        stays = joins and all(map(passage.stays, group))
        if add or not (stays or all(target.address in covered for target in group)):
            weights[:, part] = np.minimum(weights[:, part], goes[:, None])
        if len(group) == 4 and group[0].path.endswith("rotation_quaternion"):
            if add:
                still = np.array([target.neutral for target in group])
                if still.any():  # what is there has the neutral already
                    above[:, part] = _product(above[:, part], still[None] * (1.0, -1.0, -1.0, -1.0))
                turn = (1 - weights[:, part]) * (1.0, 0.0, 0.0, 0.0) + weights[:, part] * above[:, part]
                above[:, part], weights[:, part] = _product(below[:, part], turn), 1.0
            elif above[0, part] @ below[0, part] < 0:  # the same turn; between opposite signs lies a swing
                above[:, part] *= -1
        elif add:
            above[:, part] += below[:, part] - [target.neutral for target in group]
    mix.values[rows, places] = below + weights * (above - below)
    for place, target in zip(places, targets, strict=True):
        mix.keep[place] += [passage.first + passage.exact[c] for c in target.channels if c in passage.exact]


def _risen(count: int, fade: int) -> Floats:
    """From 0 at the first frame to 1 within some frames, and half of all at most, (T,)."""
    ramp = np.clip(np.arange(count) / max(min(fade, (count - 1) // 2), 1), 0, 1)
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
