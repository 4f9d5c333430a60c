# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning: which lines are written together, over what, and what a span of them becomes on the curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import bpy
import numpy as np

from ..arrays import Floats, Mask, Singles
from .blending import Ground, Mixed, Passage
from .curves import Base, Span
from .layers import frames_at
from .record import Line, Region
from .reduction import Keys, every_frame, remembered
from .targets import Address, Target, grouped

#: What channels of glances and blinks are called in front.
_GLANCES: Final = ("eyeLook", "eyeBlink")


class Plan:
    """A span as it will be written."""

    def __init__(
        self, name: str, start: float, end: float, lines: list[Line], mix: Mixed, rest: dict[Address, float],
        reach: dict[Address, list[float]], joined: tuple[bool, bool] = (False, False), locked: Sequence[Target] = (),
    ) -> None:  # fmt: skip
        self.name, self.start, self.end, self.lines, self.locked = name, start, end, lines, locked
        self.mix, self.rest, self.reach, self.joined = mix, rest, reach, joined
        self._linear = lines[0].style.interpolation == "LINEAR"

    @property
    def closing(self) -> dict[Address, float]:
        """What it ends with."""
        last = self.mix.values[-1].tolist() if self.mix.targets else []
        return {target.address: value for target, value in zip(self.mix.targets, last, strict=True)}

    @cached_property
    def _keys(self) -> list[Keys]:
        style, mix = self.lines[0].style, self.mix
        if not mix.targets:
            return []
        if style.reduction <= 0 or len(mix.values) < 3:
            keys = every_frame(mix.values, straight=self._linear)
        else:
            errors = np.array([0.01 * style.reduction * target.span for target in mix.targets])
            keep = np.zeros(mix.values.shape, bool)
            for column, frames in zip(keep.T, mix.keep, strict=True):
                for some in frames:
                    column[some[some < len(column)]] = True
            keys = remembered(mix.values, keep, errors, self._linear)
        return [Keys(one.frames + self.start, one.values, one.slopes) for one in keys]

    def span_of(
        self, places: Mapping[str, tuple[bpy.types.Action, bpy.types.ActionSlot]], action: bpy.types.Action
    ) -> Span:
        """What of it goes into an action."""
        curves, groups, rest = {}, {}, {}
        for target, keys in zip(self.mix.targets, self._keys, strict=True):
            there, slot = places[target.owner.name]
            if there == action:
                at = slot.handle, target.path, target.index
                curves[at], groups[at], rest[at] = keys, target.group, self.rest[target.address]
        lines = {line.id: (line.start, line.end) for line in self.lines}
        staying = frozenset(
            (target.owner.slot.handle, target.path, target.index)
            for target in self.locked
            if target.owner.action == action and target.owner.slot is not None
        )
        return Span(self.name, self.start, self.end, curves, groups, rest, self._linear, lines, self.joined, staying)


def ground_of(target: Target, base: Base, frames: Floats) -> Ground:
    """What a property does without lines on frames: the curve that the animator made, or what it is set to."""
    if not base.exists:
        rest = target.rest() if base.rest is None else base.rest
        return Ground(np.full(len(frames), rest), rest, changes=base.changes, kept="locked" if base.locked else "")
    kept = "muted" if base.muted else "locked" if base.locked else ""
    if base.modifiers and not kept:
        kept = "noise" if set(base.modifiers) <= {"NOISE"} else "modifier"
    return Ground(base.values(frames), 0.0 if base.rest is None else base.rest, True, base.changes, kept)


def locked_of(passages: Iterable[Passage], grounds: Mapping[Address, Ground]) -> list[Target]:
    """What of some lines an animator has locked, and what belongs together with that."""
    groups = (group for passage in passages for group in grouped(passage.targets).values())
    locked = [group for group in groups if any(grounds[target.address].kept == "locked" for target in group)]
    return [target for group in locked for target in group]


def groups_of(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Lines that overlap, by the id of the span they are; lines that show nothing are in none."""
    groups: list[list[Line]] = []
    end = -np.inf
    for line in sorted((line for line in lines if line.take is not None), key=lambda line: (line.start, line.id)):
        if line.start <= end:
            groups[-1].append(line)
        else:
            groups.append([line])
        end = max(end, line.end)
    return {group[0].id: group for group in groups}


@dataclass(frozen=True)
class Joint:
    """What is left of a span stays, and the next one comes in from there.

    Attributes:
        other: id of that one; "" where none comes.
        near: it comes within a second.
        looks: the line before it looks at somebody.
        apart: regions that the two mix otherwise: they come to rest between them.
    """

    other: str
    near: bool
    looks: bool
    apart: frozenset[str] = frozenset()

    def keeps(self, target: Target) -> bool:
        """Whether a property stays. Glances end, and so do turns towards somebody, unless the next line is near."""
        glances = target.channels and all(name.startswith(_GLANCES) for name in target.channels)
        return target.region not in self.apart and (
            self.near or not (glances or (self.looks and target.region == "head"))
        )


def joints_of(groups: Mapping[str, list[Line]], fps: float) -> dict[str, Joint]:
    """Which spans do not come to rest before the next one: those of lines that do not, and those of lines that look at
    somebody and follow each other on the very next frame.
    """
    ordered = sorted(groups, key=lambda name: groups[name][0].start)
    joints = {}
    for one, other in pairwise([*ordered, ""]):
        if not any(line.gaze or line.lasts for line in groups[one]):
            continue
        last, first = max(groups[one], key=lambda line: line.end), groups[other][0] if other else None
        looks = first is not None and bool(last.gaze and first.gaze) and last.end + 1.0 == first.start
        if looks or last.lasts:
            near = first is not None and first.start - last.end <= fps
            apart = frozenset(name for name, _ in _ways(last) ^ _ways(first or last))
            joints[one] = Joint(other, near, bool(last.gaze), apart)
    return joints


def _ways(line: Line) -> set[tuple[str, tuple[str, bool]]]:
    """How the regions of a line are mixed, where it is not the usual way."""
    ways = {(name, (region.mode, region.mute)) for name, region in line.regions.items()}
    return {(name, way) for name, way in ways if way != (Region().mode, Region().mute)}


def parts_of(lines: Sequence[Line], frames: Floats) -> dict[str, Mask]:
    """Which frames are of which of some lines, by their ids: of several that are there of the last."""
    parts, free = {}, np.ones(len(frames), np.bool_)
    for line in reversed(lines):
        parts[line.id] = free & (frames > line.start - 0.5) & (frames < line.end + 0.5)
        free &= ~parts[line.id]
    return parts


def meet(one: Line, other: Line) -> bool:
    """Whether two lines share a frame."""
    return one.start <= other.end and other.start <= one.end


def frames_of(line: Line, fps: float) -> int:
    """How many frames of the scene the shown take has."""
    take = line.take
    return frames_at((take.frames - 1) / take.fps, fps, line.stretch)


def resampled(delta: Singles, count: int) -> Singles:
    """A hand edit on another number of frames."""
    if len(delta) == count or not len(delta):
        return delta if len(delta) else np.zeros(count, np.float32)
    at = np.linspace(0, len(delta) - 1, count)
    return np.interp(at, np.arange(len(delta)), delta).astype(np.float32)
