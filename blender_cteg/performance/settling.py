# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling: what is known of keys put aside and held goes along with what was done to the keys around them by hand.

A key that is put aside is not there to be moved. Where it belongs is told by those that are: by held keys, which are
the animator's, and between them by the keys of its line, where a held one went the same way as these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats, Singles
from . import patch, playing
from .fcurves import co
from .patch import Record
from .playing import FRAME, LEFT, MOVED, NEAR, NO_ROWS, POINT, RIGHT, SAME, VALUE, Rows
from .spans import Written
from .whereabouts import UNMOVED, Found, Whereabouts, tag_of


class Course(NamedTuple):
    """Where the keys of a span on one curve were written, and where they are now: some were moved, or all turned.

    What is between them goes with the nearest.
    """

    old: Floats
    new: Floats
    pace: float

    def near(self, frame: float) -> Found:
        """How a key on a frame of the span went."""
        k = int(np.abs(self.old - frame).argmin())
        return Found(self.pace, round(float(self.new[k] - self.pace * self.old[k]), 3))

    def at(self, frame: Any) -> Any:
        """Where a frame of the span is now."""
        found = [self.near(x).at(x) for x in np.ravel(frame)]
        return np.reshape(found, np.shape(frame))


#: Where keys that were put aside are.
Way = Found | Course


class Settling(Whereabouts):
    """The spans of one action, and what is known of them where the animator's keys around them are now."""

    def keeps_after(self, frame: float) -> bool:
        """Whether keys of the animator's are put aside or held behind a frame."""
        self._settle()
        records = (self._store.record(number) for number in self._store.recorded)
        return any((record.base[:, FRAME] > frame).any() or (record.held[:, FRAME] > frame).any() for record in records)

    def _settle(self) -> None:
        """Look where spans are, once, and move what is known of them to where their keys were moved, in memory."""
        if self._is_settled:
            return
        self._is_settled = True
        moves = {name: found for name, found in self.look().items() if not found.same}
        numbers = {number for name in moves for number in self._store.span(name).parts if number in self._there}
        went = {number: self._settled_held(number, moves) for number in sorted(numbers | {*self._displaced()})}
        went = {n: one for n, one in went.items() if n in numbers or any(not f.same for f in one[1].values())}
        if not went:
            return
        on = {name: self._store.span(name).parts.keys() & self._there.keys() for name in self._store.ids}
        on = {name: parts for name, parts in on.items() if name in moves or parts & went.keys()}
        own = {(n, name): self._course(n, name, moves) for name, parts in on.items() for n in sorted(parts)}
        ways = {(n, name): self._way(n, name, went[n][1], way) for (n, name), way in own.items() if n in went}
        self._settle_aside(went, own, {at: way for at, way in ways.items() if way is not None}, moves)

    def _settle_aside(
        self, went: Mapping[int, tuple[Record, Mapping[float, Found]]], own: Mapping[tuple[int, str], Way],
        ways: dict[tuple[int, str], Way], moves: Mapping[str, Found],
    ) -> None:  # fmt: skip
        """Move the keys that are put aside, and then what is known of spans.

        Args:
            went: by curve, what is known of its held keys where these are now, and how they went.
            own: how the keys of spans went, by curve.
            ways: the same of what was put aside for them, where held keys tell.
            moves: how spans were moved as a whole.
        """
        along = {name for (n, name), way in ways.items() if self._alike(way, own[n, name], n, name)}
        told = {name: way for (_, name), way in ways.items() if isinstance(way, Found) and not way.same}
        for (number, name), way in own.items():
            if (number, name) not in ways and len(self._store.record(number).base):  # no key is beside it
                ways[number, name] = way if name in along else told.get(name, UNMOVED) if name in moves else UNMOVED
        for number in dict.fromkeys(number for number, _ in ways):
            known = self._store.record(number)
            record, sides = went.get(number, (Record(known.base[~known.aside], known.held), {}))
            rest = known.base[known.aside]
            for name in [name for one, name in ways if one == number]:
                start, end = self._written(number, name)
                inside = (rest[:, FRAME] > start - NEAR) & (rest[:, FRAME] < end + NEAR)
                record.put_aside(_along(rest[inside], ways[number, name]))
                rest = rest[~inside]
            for row in rest:  # where a line was once
                beside = [*filter(None, _beside(sides, row[FRAME], row[FRAME]))]
                agree = beside and all(abs(way.at(row[FRAME]) - beside[0].at(row[FRAME])) < MOVED for way in beside)
                record.put_aside(_along(row[None], beside[0] if agree else UNMOVED))
            self._store.records[number] = record
            self._unsaved.add(number)
        for name in dict.fromkeys(name for _, name in own):
            span, found = self._store.span(name), moves.get(name, UNMOVED)
            apart = [
                sorted((float(way.at(span.start)), float(way.at(span.end))))
                for (n, one), way in ways.items()
                if one == name and not self._alike(way, found, n, name)
            ]
            if name not in moves and not apart:
                continue
            apart += [] if span.stayed is None else [[*span.stayed]]
            stayed = (min(low for low, _ in apart), max(high for _, high in apart)) if apart else None
            keys = span.keys.copy()
            keys["frame"] = found.at(keys["frame"].astype(np.float64))
            lines = {line: (found.at(first), found.at(last)) for line, (first, last) in span.lines.items()}
            start, end = found.at(span.start), found.at(span.end)
            self._store.spans[name] = Written(
                start, end, span.linear, keys, span.parts, stayed, True, lines, span.joined, self.found(name).turned
            )
            self._settled.add(name)

    def _displaced(self) -> Iterator[int]:
        """The curves on which held keys are not where they were."""
        for number in self._store.recorded & self._there.keys():
            held, there = self._store.record(number).held, co(self._curves[self._there[number]]).astype(np.float64)
            if len(held) and len(there):
                at, off = playing.nearest(held[:, FRAME], there[:, 0])
                if (off >= SAME).any() or (there[at, 1] != held[:, VALUE]).any():
                    yield number

    def _settled_held(self, number: int, moves: Mapping[str, Found]) -> tuple[Record, dict[float, Found]]:
        """What is known of held keys on a curve, where they are now; and by their frames how those went that are the
        animator's and were found.
        """
        record, points = self._store.record(number), self._points(self._there[number])
        bases, helds, ours = [NO_ROWS], [NO_ROWS], self._whose(number) != 0
        there = co(self._curves[self._there[number]])[~ours]
        values, times = np.unique(there[:, 1], return_counts=True)
        sure = record.held[np.isin(record.held[:, VALUE], values[times == 1]), POINT].astype(np.float32)
        together = _together(sure, there)  # as everything around it was moved
        names = [name for name in self._store.ids if number in self._store.span(name).parts]
        went: dict[float, Found] = {}
        for k, (x, y) in enumerate(record.held[:, POINT]):
            beside = sorted(names, key=lambda name: min(abs(end - x) for end in self._store.ids[name]))
            courses = (self._course(number, name, moves) for name in beside[:2])
            ends = (course.near(end) for course in courses if isinstance(course, Course) for end in course.old[[0, -1]])
            before = record.base[record.base[:, FRAME] == x]
            for found in (Found(), *(moves[name] for name in beside if name in moves), *ends, *together):
                i = points.index(found.at(x) - SAME)
                is_there = i < points.count and abs(points.frame(i) - found.at(x)) < SAME and not ours[i]
                if is_there and points.co(i)[1] == y:
                    held = record.held[k : k + 1]
                    reach = None if found.a == 1.0 else _reach(held[0], points.rows(i, i + 1)[0], found.a)
                    found = replace(found, reach=reach)
                    went |= {float(x): found} if len(before) and found.share else {}
                    helds.append(_along(held, found))
                    bases.append(_along(before, found))
                    break
            else:  # it was deleted, or a key of ours was dragged onto it
                stayed = together[0].same if together else not moves.keys() & beside[:2]
                i = points.index(x - SAME)
                if stayed and i < points.count and abs(points.frame(i) - x) < SAME:
                    bases.append(before)
        return Record(playing.ordered(bases), playing.ordered(helds)), went

    # ---- How keys went ----

    def _written(self, number: int, name: str) -> tuple[float, float]:
        """The first and the last frame of a span on a curve, as written."""
        start, end = self._store.span(name).of(number)["frame"][[0, -1]].astype(np.float64).tolist()
        return start, end

    def _course(self, number: int, name: str, moves: Mapping[str, Found]) -> Way:
        """How the keys of a span went on one curve; as it was moved as a whole, if they did or too few are there."""
        if (number, name) not in self._courses:
            span, curve = self._store.span(name), self._curves[self._there[number]]
            kept = span.of(number)
            there = co(curve)[self._whose(number) == tag_of(name)]
            frames, values = kept["frame"].astype(np.float64), kept["value"]
            frames = span.start + span.end - frames if span.turned else frames
            found = moves.get(name, UNMOVED)
            way: Way = found
            for order in (slice(None), slice(None, None, -1)):
                if np.array_equal(there[order, 1], values):
                    at = np.arange(len(values)), np.arange(len(values))[order]
                    break
            else:  # some were deleted or edited
                once = [np.unique(one, return_index=True, return_counts=True) for one in (values, there[:, 1])]
                single = [(one[count == 1], index[count == 1]) for one, index, count in once]
                _, i, j = np.intersect1d(single[0][0], single[1][0], assume_unique=True, return_indices=True)
                order = np.argsort(single[0][1][i])
                at = single[0][1][i][order], single[1][1][j][order]
            old, new = frames[at[0]], there[at[1], 0].astype(np.float64)
            if len(old) > 1 and (np.abs(found.at(old) - new) >= MOVED * max(1.0, found.a)).any():
                pace = float(np.median(np.diff(new) / np.diff(old)))
                way = Course(old, new, float(round(pace)) if abs(abs(pace) - 1.0) < 1e-3 else pace)
            self._courses[number, name] = way
        return self._courses[number, name]

    def _way(self, number: int, name: str, sides: Mapping[float, Found], own: Way) -> Way | None:
        """How those keys went that are put aside for a span on a curve: as the animator's beside it, or with its own
        where one of those did. None where none is beside it.
        """
        ends = self._written(number, name)
        beside = _beside(sides, *ends)
        present = [found for found in beside if found is not None]
        if not present or all(self._alike(found, present[0], number, name) for found in present):
            return present[0] if present else None
        for found, end in zip(beside, ends, strict=True):
            if found is not None and not found.same and abs(found.at(end) - own.at(end)) < MOVED:
                return own
        return UNMOVED

    def _alike(self, one: Way, other: Way, number: int, name: str) -> bool:
        """Whether two ways lead from a span on a curve to the same frames."""
        frames = np.linspace(*self._written(number, name), 5)
        return bool(np.abs(one.at(frames) - other.at(frames)).max() < MOVED * 2)


def _together(keys: Singles, there: Singles) -> list[Found]:
    """The ways in which keys went that are among others once: first that of the most. One that went alone says nothing
    about those beside it: its share is 0.
    """
    ways: list[Found] = []
    while len(keys):
        found = Found(*patch.vote([(keys, there)]))
        at = found.at(keys[:, FRAME].astype(np.float64))
        near = np.abs(at[:, None] - there[:, FRAME]) < MOVED * max(1.0, abs(found.a))
        went = (near & (keys[:, [VALUE]] == there[:, VALUE])).any(1)
        if not went.any():
            break
        ways.append(found if went.sum() > 1 else replace(found, share=0.0))
        keys = keys[~went]
    return ways


def _beside(sides: Mapping[float, Found], start: float, end: float) -> tuple[Found | None, Found | None]:
    """How the last key before a frame went, and the first one after another."""
    before, after = [x for x in sides if x <= start + NEAR], [x for x in sides if x >= end - NEAR]
    return sides[max(before)] if before else None, sides[min(after)] if after else None


def _reach(was: Floats, now: Floats, a: float) -> float | None:
    """How many times as long the handles of a key are that was scaled, None where as much as it: the Dope Sheet leaves
    them as they are.
    """
    lengths, there = (float(np.abs(key[[LEFT.start, RIGHT.start]] - key[FRAME]).sum()) for key in (was, now))
    times = there / lengths if lengths else abs(a)
    return None if abs(times - abs(a)) < 1e-3 else 1.0 if abs(times - 1.0) < 1e-3 else times


def _along(rows: Rows, way: Way) -> Rows:
    """Keys that went some way."""
    if isinstance(way, Found) and way.reach is None:
        return patch.moved(rows, way.a, way.b)
    founds = [way.near(x) if isinstance(way, Course) else way for x in rows[:, FRAME]]
    shifts = [(np.sign(f.a) * (f.reach or abs(f.a)), f.at(x)) for f, x in zip(founds, rows[:, FRAME], strict=True)]
    each = (patch.moved(row[None], a, at - a * row[FRAME]) for row, (a, at) in zip(rows, shifts, strict=True))
    return playing.ordered([NO_ROWS, *each])
