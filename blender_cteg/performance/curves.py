# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of performed keys in the F-curves of an action: written, found again, compared and taken out.

`patch` has the mathematics, `fcurves` reads and writes keys, `spans` is what is stored on the action. Here is what
happens to a curve: what is around a change is seen as far as the change reaches, and changed in one go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import bpy
import numpy as np
import numpy.typing as npt

from ..arrays import Floats, Ints, Mask
from . import patch, playing
from .fcurves import Points, calculated, co, played, read, slot_curves, write
from .patch import PatchError, Place, Record
from .playing import FRAME, NEAR, NO_ROWS, SAME, VALUE, Rows, Shape
from .reduction import Keys
from .settling import Settling
from .spans import Address, Written
from .whereabouts import Found, tag_of

__all__ = ["ActionPatch", "Address", "Base", "Edit", "Found", "PatchError", "Span", "slot_curves"]


@dataclass(frozen=True, eq=False)
class Span:
    """What is to be written.

    Attributes:
        id: its name, of up to 60 bytes.
        start: its first scene frame.
        end: its last.
        curves: keys of each curve on scene frames, from start to end. On those two the curve keeps its own value.
        joined: whether it goes on from what the span before it has left, and leaves something to what follows: there
            the curve has the span's value, too.
        staying: curves on which its keys stay as they are, where it `ActionPatch.stays`.
        groups: channel groups of curves that do not exist yet.
        rest: values of properties that have no curve yet: what the curve holds outside its spans.
        linear: lines from key to key.
        lines: whose keys they are: the id of each line, and its first and last frame.
    """

    id: str
    start: float
    end: float
    curves: Mapping[Address, Keys]
    groups: Mapping[Address, str] = field(default_factory=dict)
    rest: Mapping[Address, float] = field(default_factory=dict)
    linear: bool = False
    lines: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    joined: tuple[bool, bool] = (False, False)
    staying: frozenset[Address] = frozenset()


@dataclass(frozen=True, eq=False)
class Base:
    """A curve without some spans, from one frame to another.

    Attributes:
        exists: it has keys of its own, anywhere.
        changes: it has more than one value there.
        keys: how many keys it has there.
        rest: what the property is without keys, where the curve was made for spans.
        modifiers: types of the modifiers that play.
        muted: the curve or its group is muted.
        locked: the curve or its group is locked.
    """

    exists: bool = False
    changes: bool = False
    keys: int = 0
    rest: float | None = None
    modifiers: tuple[str, ...] = ()
    muted: bool = False
    locked: bool = False
    _rows: Rows = field(default_factory=NO_ROWS.view, repr=False)
    _staying: Sequence[Rows] = field(default=(), repr=False)
    _shape: Shape | None = field(default=None, repr=False)

    def values(self, wanted: npt.ArrayLike) -> Floats:
        """Its values on frames there, (F,), without modifiers; NaN where it has no keys and no rest is known."""
        at = np.asarray(wanted, np.float64)
        values = np.full(len(at), np.nan if self.rest is None else self.rest)
        if self._shape is not None and len(self._rows):
            values = playing.evaluated(self._rows, at, self._shape)
        for keys in self._staying:
            inside = (at >= keys[0, FRAME]) & (at <= keys[-1, FRAME])
            values[inside] = playing.evaluated(keys, at[inside], self._shape)
        return values


@dataclass(frozen=True, eq=False)
class Edit:
    """What was edited by hand in the keys of a span on one curve.

    Attributes:
        gone: the curve was deleted; nothing else can be said of it.
        frames: where keys are, or are missing, that are not as they were written.
    """

    gone: bool = False
    frames: Floats = field(default_factory=lambda: np.zeros(0))
    _now: Rows = field(default_factory=NO_ROWS.view, repr=False)
    _written: Rows = field(default_factory=NO_ROWS.view, repr=False)
    _shape: Shape | None = field(default=None, repr=False)

    def delta(self, wanted: npt.ArrayLike) -> Floats:
        """How far the curve is above what was written, on frames where it is now, (F,); 0 outside the span."""
        at = np.asarray(wanted, np.float64)
        values = np.zeros(len(at))
        if self._shape is not None and len(self._now):
            inside = (at >= self._written[0, FRAME]) & (at <= self._written[-1, FRAME])
            now, then = (playing.evaluated(rows, at[inside], self._shape) for rows in (self._now, self._written))
            values[inside] = now - then
        return values


class ActionPatch(Settling):
    """All spans that CTEG wrote in one action."""

    def base(self, address: Address, start: float, end: float, ignoring: Collection[str] = ()) -> Base:
        """A curve from one frame to another without the spans to be ignored."""
        curve = self._curves.get(address)
        if curve is None:
            return Base()
        self._settle()
        number, rest = self._numbers.get(address), None
        if number is not None:
            rest = self._store.curves[number][1]
            if self._is_bare(number) and set(self._spans_on(number, start, end)) <= set(ignoring):
                return Base(rest=rest, locked=_is_locked(curve))
        view = self._view(number, address, curve, ignoring)
        window = self._window(view, start, end)
        staying = [place.rows for place in window.staying if len(place.rows) > 1]
        moving = any(np.ptp(keys[:, VALUE]) > 1e-6 for keys in staying)
        groups = [curve] if curve.group is None else [curve, curve.group]
        return Base(
            exists=bool(len(window.base)),
            changes=moving or playing.changes(window.base, start, end, view.shape.linear),
            keys=len(playing.within(window.base, start - NEAR, end + NEAR)),
            rest=rest,
            modifiers=tuple(modifier.type for modifier in curve.modifiers if modifier.active and not modifier.mute),
            muted=any(group.mute for group in groups),
            locked=_is_locked(curve),
            _rows=window.base,
            _staying=staying,
            _shape=view.shape,
        )

    def left(self, name: str) -> dict[Address, float]:
        """What the curves of a span play on its last frame; nothing where it comes to rest there."""
        if not self.joined(name)[1]:
            return {}
        last = self.found(name).at(self.spans[name][1])
        return {address: float(self._curves[address].evaluate(last)) for address in self.addresses(name)}

    def edits(self, name: str) -> dict[Address, Edit]:
        """The curves of a span that were edited by hand since it was written, and how."""
        span, edits = self._store.span(name), {}
        found = self._now(name)
        counts = [part.stop - part.start for part in span.parts.values()]
        written = patch.as_written(span.keys, counts, found.a, found.b, span.linear)
        there: dict[int, tuple[Rows, Rows, int]] = {}  # the keys of the span; with those beside them, the first's index
        addresses = self.addresses(name)
        for number, was in zip(span.parts, written, strict=True):
            if number in self._there:
                points = self._points(self._there[number], *addresses)
                first, last = points.index(was[0, FRAME] - NEAR), points.index(was[-1, FRAME] + NEAR)
                around = points.rows(max(first - 1, 0), min(last + 1, points.count))
                there[number] = around[min(first, 1) :][: last - first], around, max(first - 1, 0)
        rows = [now for now, *_ in there.values()]
        all_there = [len(now) for now in rows] == counts
        # Most often nothing was edited.
        if all_there and patch.unedited(np.concatenate(rows), np.concatenate(written), found.a != 1.0, counts).all():
            self._intact.add(name)
            return {}
        for number, was in zip(span.parts, written, strict=True):
            if number not in there:
                edits[self._store.curves[number][0]] = Edit(gone=True)
                continue
            _, around, first = there[number]
            whose = self._whose(number)[first : first + len(around)]
            around = around[(whose == 0) | (whose == tag_of(name))]
            now = playing.within(around, was[0, FRAME] - NEAR, was[-1, FRAME] + NEAR)
            if len(now) == len(was) and patch.unedited(now, was, found.a != 1.0).all():
                continue
            frames = was[:, FRAME]
            if len(now):
                at, _ = playing.nearest(now[:, FRAME], was[:, FRAME])
                same = patch.unedited(now, was[at], found.a != 1.0)
                frames = np.append(now[~same, FRAME], np.delete(frames, at[same]))
                was[at[same]] = now[same]
            edits[self._there[number]] = Edit(False, frames, around, was, _shape(self._curves[self._there[number]]))
        return edits

    def stays(self, name: str, start: float, end: float, joined: tuple[bool, bool]) -> bool:
        """Whether a span is there, between two frames and joined as it shall be: keys of it could stay as they are."""
        if name not in self._store.ids or not self._now(name).same:
            return False
        span = self._store.span(name)
        return (span.start, span.end, span.joined) == (start, end, joined)

    def is_in_place(self, name: str, address: Address) -> bool:
        """Whether the keys of a span on a curve are where the span is: nobody moved some of them alone."""
        number = self._numbers.get(address)
        return number in self._store.span(name).parts and (name, number) not in self._swept

    def _staying(self, span: Span) -> dict[Address, Rows]:
        """The keys that stay where a span is written again."""
        kept: dict[Address, Rows] = {}
        if span.staying and self.stays(span.id, span.start, span.end, span.joined):
            for address in span.staying & {*self.addresses(span.id)}:
                points = self._points(address)
                rows = points.rows(points.index(span.start - NEAR), points.index(span.end + NEAR))
                kept |= {address: rows} if len(rows) > 1 else {}
        return kept

    def sweep(self, names: Collection[str]) -> None:
        """Take out keys of spans that were moved by hand away from them: on some curves alone, or some of them."""
        self._settle()  # keys put aside may be known only by those that go now
        swept: dict[int, set[int]] = {}
        for name in set(names) - self._intact:
            for number in [number for number in self._store.span(name).parts if number in self._there]:
                x, (start, end) = co(self._curves[self._there[number]])[:, 0], self._ends(name, number)
                away = (self._whose(number) == tag_of(name)) & ((x < start - NEAR) | (x > end + NEAR))
                swept.setdefault(number, set()).update(np.flatnonzero(away).tolist())
                self._swept |= {(name, number)} if away.any() else set()
        records = {number: self._record(number) for number, strays in swept.items() if strays}
        for number, strays in swept.items():
            curve = self._curves[self._there[number]]
            for k in sorted(strays, reverse=True):
                curve.keyframe_points.remove(curve.keyframe_points[k], fast=True)
            if strays:
                curve.update()  # whoever moved them let Blender calculate the handles of the keys beside
        if records:
            there = self._there
            self._store.save(*self._as_settled(records), self._store.curves)
            self._forget()
            self._trust(there)

    def replace(self, remove: Collection[str], spans: Sequence[Span]) -> list[tuple[Address, float]]:
        """Take spans out and write others, each curve in one go; nothing else changes.

        Spans that were moved by hand count as written where they are from now on.

        Args:
            remove: ids; those that are not there are ignored.
            spans: to be written, apart from each other and from those that stay, where they share curves. One with
                the id of a span that is there takes its place, but for keys that are staying.

        Returns:
            The curves that were made for spans and went with the last of them, and the values that their properties had
            before; Blender leaves the properties where they are.

        Raises:
            PatchError: it cannot be done; nothing has changed.
        """
        writing = {span.id: span for span in spans}
        gone = [name for name in self._store.ids if name in writing or name in remove]
        self._settle()
        kept = {name: self._staying(span) for name, span in writing.items()}
        plans = self._plans(gone, writing, kept)
        write(list(filter(None, [self._prepared(plan, writing) for plan in plans])))
        self._save(gone, writing, plans, kept)
        self.action.update_tag(refresh={"TIME"})  # else the face stays as it was until another frame
        self._forget()
        self._trust({number: address for number, (address, _) in self._store.curves.items()})
        return [(plan.address, plan.rest) for plan in plans if plan.drop and plan.rest is not None]

    # ---- What is around a change ----

    def _view(self, number: int | None, address: Address, curve: bpy.types.FCurve, gone: Collection[str]) -> _View:
        points = self._points(address)
        whose = np.zeros(points.count, np.int64) if number is None else self._whose(number)
        return _View(number, points, _shape(curve), gone, whose)

    def _window(self, view: _View, low: float, high: float) -> _Window:
        """What is between two frames, and beside them as far as a change there reaches."""
        record, ends = self._record(view.number), [(low, high)]
        while len(ends) == 1 or ends[-1] != ends[-2]:  # spans that stay are inside as a whole, or outside
            low, high = ends[-1]
            names = view.staying(self._spans_on(view.number, low + 2 * NEAR, high - 2 * NEAR))
            starts, stops = zip((low, high), *(self._places[name] for name in names), strict=True)
            ends.append((min(starts), max(stops)))
        helpers = record.helpers
        left, right = (self._walk(view, edge, step, helpers) for edge, step in ((low, -1), (high, 1)))
        rows = view.points.rows(left.seen, right.seen + 1)
        staying, theirs, astray, moved = self._sorted_out(view, rows, left, right)
        low = -np.inf if left.end else rows[0, FRAME] - SAME
        high = np.inf if right.end else rows[-1, FRAME] + SAME
        base = patch.restored(rows[theirs], record.around(low, high), low, high)
        held = playing.among(base[:, FRAME], record.held[:, FRAME])
        if len(base) and (moved or held.any()):
            now = playing.within(self._calculated(view), base[0, FRAME], base[-1, FRAME])
            base = now if moved else patch.refreshed(base, now, held)
        part = rows[left.stop - left.seen : right.stop - left.seen + 1]
        low = low if left.stop == left.seen else part[0, FRAME] - SAME
        high = high if right.stop == right.seen else part[-1, FRAME] + SAME
        return _Window(left.stop, part, base, staying, rows[astray], low, high)

    def _calculated(self, view: _View) -> Rows:
        """The whole base of a curve on which spans were moved: Blender calculated some of its handles beside these."""
        (points,), whole = read([self._curves[self._there[view.number]]], np.inf), _Side(0, 0, False, True)
        rows = points.rows(0, points.count)
        _, theirs, *_ = self._sorted_out(view, rows, whole, whole)
        return calculated(patch.restored(rows[theirs], self._record(view.number), -np.inf, np.inf), view.shape)

    def _record(self, number: int | None) -> Record:
        """What is known of a curve's base. Where a key of a span was dragged onto a held one, Blender has replaced
        that: it counts as put aside.
        """
        record = self._store.record(number)
        if number is not None and len(record.held):
            x = co(self._curves[self._there[number]])[self._whose(number) != 0, 0]
            onto = (np.abs(record.held[:, [FRAME]] - x) < SAME).any(1)
            if onto.any():
                record = self._store.records[number] = Record(record.base, record.held[~onto])
        return record

    def _walk(self, view: _View, edge: float, step: int, helpers: Floats) -> _Side:
        """From an edge of a change outwards, over as many base keys as it reaches and as many again, or to a span."""
        points, reach = view.points, view.shape.reach
        k = points.index(edge - NEAR) if step < 0 else points.index(edge + NEAR) - 1
        if 0 <= k < points.count and abs(points.frame(k) - edge) <= NEAR:
            names = view.staying(self._spans_on(view.number, edge - NEAR, edge + NEAR))
            if any(abs(self._places[name][step < 0] - edge) <= NEAR for name in names):
                return _Side(k, k, True, False)  # a border that one which stays shares
        k, count, stop = k + step, 0, -1
        while 0 <= k < points.count:
            x = points.frame(k)
            names = self._spans_on(view.number, x - NEAR, x + NEAR)
            if view.staying(names):
                return _Side(k, k, True, False)
            if not names and not (len(helpers) and np.abs(helpers - x).min() < SAME):
                count += not view.whose[k]
                stop = k if count == reach and stop < 0 else stop
                if count == 2 * reach:
                    return _Side(k, stop, False, k in (0, points.count - 1))
            k += step
        return _Side(k - step, k - step, False, True)

    def _sorted_out(self, view: _View, rows: Rows, left: _Side, right: _Side) -> tuple[list[Place], Mask, Mask, bool]:
        """The spans that stay in a window; which keys are the animator's, and which are away from their spans; whether
        any of those were moved.
        """
        x, taken, places = rows[:, FRAME], np.zeros(len(rows), np.bool_), []
        names = self._spans_on(view.number, x[0] - NEAR, x[-1] + NEAR) if len(rows) else []
        mixed = any(self._store.span(name).settled for name in names)
        mixed |= any(self._places[later][0] < self._places[earlier][1] - NEAR for earlier, later in pairwise(names))
        whose = view.whose[left.seen : left.seen + len(rows)]
        for name in sorted(names, key=lambda name: name in view.gone):
            start, end = self._ends(name, view.number)
            there = (x > start - NEAR) & (x < end + NEAR) & ~taken
            claimed = patch.claimed(rows, self._store.span(name).of(view.number))
            inside = there & ((whose == tag_of(name)) | ((whose == 0) & claimed))
            if inside.any() and not mixed:  # where spans were moved the animator's keys may be among theirs
                inside |= there & (whose == 0)
            taken |= inside
            if name not in view.gone and inside.any():
                outer = not (left.span and inside[0]), not (right.span and inside[-1])
                own = rows[inside][None if outer[0] else -1 : None if outer[1] else 1]
                ends = zip(outer, own[[0, -1], FRAME].tolist(), (start, end), strict=True)
                # Where keys at an end of it were deleted, what was put aside there stays so.
                first, last = (to if side and abs(at - to) > NEAR else at for side, at, to in ends)
                places.append(Place(first, last, own, False, outer))
        astray = (whose != 0) & ~taken
        return places, ~taken & ~astray, astray, mixed or bool(astray.any())

    # ---- Changing curves ----

    def _plans(
        self, gone: Sequence[str], writing: Mapping[str, Span], kept: Mapping[str, Mapping[Address, Rows]]
    ) -> list[_Plan]:  # fmt: skip
        """What is to be done to each curve, but those whose keys are kept. PatchError if something cannot."""
        plans: dict[int, _Plan] = {}
        known = self._store.curves
        stay = {name: {self._numbers[address] for address in addresses} for name, addresses in kept.items()}
        for name in gone:
            for number in self._store.span(name).parts:
                address = self._there.get(number, known[number][0])
                if number in stay.get(name, ()):
                    continue
                curve = self._curves[address] if number in self._there else None
                plans.setdefault(number, _Plan(number, address, curve, known[number][1])).gone.append(name)
        fresh: dict[Address, int] = {}
        handles = {slot.handle for slot in self.action.slots}
        for span in writing.values():
            _check_span(span, handles, kept.get(span.id, ()))
            curves = [*span.curves.values()]
            performed = patch.performed(curves, span.linear, tag_of(span.id)) if curves else []
            for address, rows in zip(span.curves, performed, strict=True):
                number, curve = self._numbers.get(address, fresh.get(address)), self._curves.get(address)
                rest = None if curve is not None else float(span.rest.get(address, rows[0, VALUE]))
                if number is None:
                    number = fresh[address] = max(known, default=-1) + 1 + len(fresh)
                rest = known[number][1] if number in known else rest
                plans.setdefault(number, _Plan(number, address, curve, rest)).new[span.id] = rows
        addresses = [plan.address for plan in plans.values()]
        staying = set[int]().union(*stay.values())
        for plan in plans.values():
            others = (self._store.span(name).parts for name in self._store.ids if name not in gone)
            plan.last = (
                not plan.new and plan.number not in staying and not any(plan.number in parts for parts in others)
            )
            plan.points = None if plan.curve is None else self._points(plan.address, *addresses)
        self._refill([plan for plan in plans.values() if plan.new], writing)
        for plan in plans.values():
            if not plan.wrote:
                self._plan(plan, writing)
        return list(plans.values())

    def _plan(self, plan: _Plan, writing: Mapping[str, Span]) -> None:
        """What is to be done to a curve."""
        if plan.curve is None:
            window = _Window(0, NO_ROWS, NO_ROWS, [], NO_ROWS, -np.inf, np.inf)
            return self._fill(plan, window, writing, Shape(False, False, played))
        if not plan.new and self._apart(plan, []) == []:
            plan.drop = plan.points.count == len(plan.old)
            return None
        ends = [(writing[name].start, writing[name].end) for name in plan.new]
        ends += [end for n in plan.gone for end in (self._places[n], self._store.span(n).stayed) if end is not None]
        number = plan.number if plan.number in self._store.curves else None
        view = self._view(number, plan.address, plan.curve, plan.gone)
        window = self._window(view, min(start for start, _ in ends), max(end for _, end in ends))
        return self._fill(plan, window, writing, view.shape)

    def _is_bare(self, number: int) -> bool:
        """Whether a curve was made for spans and has no keys but theirs."""
        made = self._store.curves.get(number, (None, None))[1] is not None and not len(self._store.record(number).base)
        return made and self._keys[number][1] == self._store.counts.get(number)

    def _refill(self, plans: Sequence[_Plan], writing: Mapping[str, Span]) -> None:
        """Plan all spans at once on those curves where nothing but what is between their borders changes."""
        parts: list[tuple[_Plan, str, Rows]] = []  # with the keys that are their borders
        beside: list[tuple[_Plan, list[Rows]]] = []
        for plan in plans:
            new = [writing[name] for name in plan.new]
            if (same := self._borders(plan, new)) is not None:
                parts.append((plan, new[0].id, same))
                beside.append((plan, []))
            elif (staying := self._apart(plan, new)) is not None:
                parts += [
                    (plan, one.id, patch.resting(one.start, one.end, plan.rest or 0.0, tag_of(one.id))) for one in new
                ]
                beside.append((plan, staying))
        if not parts:
            return
        firsts, lasts = (np.array([borders[k] for *_, borders in parts]) for k in (0, -1))
        joined = [writing[name].joined for _, name, _ in parts]
        filled = patch.filled([plan.new[name] for plan, name, _ in parts], firsts, lasts, joined)
        for (plan, name, _), rows in zip(parts, filled, strict=True):
            plan.wrote[name] = rows
        for plan, staying in beside:
            plan.put = np.concatenate(sorted([*staying, *plan.wrote.values()], key=lambda rows: float(rows[0, FRAME])))

    def _apart(self, plan: _Plan, new: Sequence[Span]) -> list[Rows] | None:
        """The spans that stay among new ones on a curve that has nothing else, and plans which keys go there.

        None where it has, or they meet.
        """
        staying: list[Rows] = []
        if plan.curve is None:
            plan.record = Record()
        else:
            gone = [self._store.span(name) for name in plan.gone]
            if not self._is_bare(plan.number) or any(one.settled for one in gone):
                return None
            low, high = min(one.start for one in (*gone, *new)) - NEAR, max(one.end for one in (*gone, *new)) + NEAR
            names = [name for name in self._spans_on(plan.number, low, high) if name not in plan.gone]
            stay = [self._store.span(name) for name in names]
            if any(one.settled or one.start < low or one.end > high for one in stay):
                return None
            first, last = plan.points.index(low), plan.points.index(high)
            counts = [len(one.of(plan.number)) for one in stay]
            if last - first != sum(counts) + sum(len(one.of(plan.number)) for one in gone):
                return None
            plan.start, plan.old = first, plan.points.rows(first, last)
            at = [plan.points.index(one.start - NEAR) - first for one in stay]
            staying = [plan.old[k : k + count] for k, count in zip(at, counts, strict=True)]
        ends = [*((one.start, one.end) for one in new), *((rows[0, FRAME], rows[-1, FRAME]) for rows in staying)]
        return staying if all(later[0] > earlier[1] + NEAR for earlier, later in pairwise(sorted(ends))) else None

    def _borders(self, plan: _Plan, new: Sequence[Span]) -> Rows | None:
        """Keys of which the first and the last are the borders of a span, if they stay as they are; else None."""
        points = plan.points
        if points is None or len(new) > 1 or plan.gone != [new[0].id]:
            return None
        old = self._store.span(new[0].id)
        if old.settled or (old.start, old.end, old.joined) != (new[0].start, new[0].end, new[0].joined):
            return None
        (_, *start), _, (_, *end) = old.corners(plan.number)
        first, last = points.index(start[0] - SAME), points.index(end[0] - SAME)
        same = last < points.count and [*points.co(first), *points.co(last)] == [*start, *end]
        if not same or len(self._spans_on(plan.number, old.start + 2 * NEAR, old.end - 2 * NEAR)) != 1:
            return None
        plan.start, plan.old = first, points.rows(first, last + 1)
        return plan.old

    def _fill(self, plan: _Plan, window: _Window, writing: Mapping[str, Span], shape: Shape) -> None:
        """Plan the new keys of a window."""
        new = [(writing[name], rows) for name, rows in plan.new.items()]
        places = [Place(span.start, span.end, rows, True, joined=span.joined) for span, rows in new]
        places = sorted([*window.staying, *places], key=lambda place: place.start + place.end)
        for earlier, later in pairwise(places):
            if later.start < earlier.end - NEAR:
                sentence = "Two lines overlap on frames {start:.0f} to {end:.0f}. Move one of them, or remove it."
                raise PatchError(sentence, start=later.start, end=earlier.end)
        rows, part = window.base, Record()
        if places:
            rest = places[0].rows[0, VALUE] if plan.rest is None else plan.rest
            rows, part = patch.patched(rows, places, shape, rest)
        over = ((window.astray[:, FRAME] > p.start - NEAR) & (window.astray[:, FRAME] < p.end + NEAR) for p in places)
        over = [*over, playing.nearest(window.astray[:, FRAME], rows[:, FRAME])[1] <= NEAR] if len(rows) else over
        away = window.astray[~np.logical_or.reduce([np.zeros(len(window.astray), np.bool_), *over])]
        plan.start, plan.old = window.start, window.old
        plan.put = playing.within(playing.ordered([rows, away]), window.low, window.high)
        plan.record = self._store.record(plan.number).replaced(window.low, window.high, part)
        for name in plan.new:
            (first, last), _ = playing.nearest(np.array([writing[name].start, writing[name].end]), rows[:, FRAME])
            plan.wrote[name] = rows[first : last + 1]
        whole = plan.points is not None and plan.points.count == len(plan.old)
        plan.drop = plan.rest is not None and whole and not len(plan.put)

    def _prepared(self, plan: _Plan, writing: Mapping[str, Span]) -> tuple[Points, int, Rows, Rows] | None:
        """What is to be written of a plan, into a curve that is there by then."""
        slot, path, array_index = plan.address
        if plan.drop and not _carries(plan.curve):
            self._bags[slot].fcurves.remove(plan.curve)
            return None
        if plan.curve is None and plan.new:
            slots = {one.handle: one for one in self.action.slots}
            curve = slot_curves(self.action, slots[slot]).new(path, index=array_index)
            group = next((g for name in plan.new if (g := writing[name].groups.get(plan.address))), None)
            if group:
                groups = self.action.layers[0].strips[0].channelbag(slots[slot]).groups
                curve.group = groups.get(group) or groups.new(group)
            plan.points = Points(curve, NO_ROWS)
        return None if plan.points is None else (plan.points, plan.start, plan.old, plan.put)

    def _as_settled(self, records: Mapping[int, Record]) -> tuple[dict[str, Written | None], dict[int, Record]]:
        """What is known of spans and of curves that were settled; records beside those."""
        spans: dict[str, Written | None] = {name: self._store.span(name) for name in self._settled}
        return spans, {number: self._store.record(number) for number in self._unsaved} | dict(records)

    def _save(
        self, gone: Sequence[str], writing: Mapping[str, Span], plans: Sequence[_Plan],
        kept: Mapping[str, Mapping[Address, Rows]],
    ) -> None:  # fmt: skip
        """Store what is known after a change."""
        store = self._store
        spans, records = self._as_settled({})
        spans |= dict.fromkeys(gone)
        curves = {n: (self._there.get(n, address), rest) for n, (address, rest) in store.curves.items()}
        for plan in plans:
            records |= {} if plan.record is None else {plan.number: plan.record}
            curves[plan.number] = (plan.address, plan.rest)
            if plan.last:
                del curves[plan.number]
        for name, span in writing.items():
            rows = {self._numbers[address]: there for address, there in kept.get(name, {}).items()}
            rows |= {plan.number: plan.wrote[name] for plan in plans if name in plan.wrote}
            varied = sorted(rows, key=lambda number: -len(set(rows[number][:, VALUE].tolist())))
            stops = np.cumsum([len(rows[number]) for number in varied]).tolist()
            parts = dict(zip(varied, map(slice, [0, *stops[:-1]], stops), strict=True))
            keys = patch.wrote(np.concatenate([rows[number] for number in varied]))
            spans[name] = Written(span.start, span.end, span.linear, keys, parts, lines=span.lines, joined=span.joined)
        store.save(spans, records, curves)


class _View(NamedTuple):
    """A curve, the ids of spans that count as not there, and of which span each key is."""

    number: int | None
    points: Points
    shape: Shape
    gone: Collection[str]
    whose: Ints

    def staying(self, names: Sequence[str]) -> list[str]:
        """Those of some spans that stay."""
        return [name for name in names if name not in self.gone]


class _Side(NamedTuple):
    """How far a window goes on one side: the indices of the last key to read and of the last that may change.

    And whether it ends with a span that stays, or with the curve.
    """

    seen: int
    stop: int
    span: bool
    end: bool


class _Window(NamedTuple):
    """The keys that may change: index of the first, they, the base around, the spans that stay, keys of spans that are
    away from theirs, and the frames of what may change.
    """

    start: int
    old: Rows
    base: Rows
    staying: list[Place]
    astray: Rows
    low: float
    high: float


@dataclass(eq=False)
class _Plan:
    """What is to be done to a curve: put keys in the place of old ones, or drop it.

    Without a record what is known of its base stays. After the last span nothing is known of it.
    """

    number: int
    address: Address
    curve: bpy.types.FCurve | None
    rest: float | None
    gone: list[str] = field(default_factory=list)
    new: dict[str, Rows] = field(default_factory=dict)
    points: Any = None
    start: int = 0
    old: Rows = field(default_factory=NO_ROWS.view)
    put: Rows = field(default_factory=NO_ROWS.view)
    record: Record | None = None
    wrote: dict[str, Rows] = field(default_factory=dict)
    drop: bool = False
    last: bool = False


def _carries(curve: bpy.types.FCurve | None) -> bool:
    """Whether an animator gave a curve more than keys: it stays, though it is empty."""
    return curve is not None and (curve.lock or curve.mute or len(curve.modifiers) > 0)


def _shape(curve: bpy.types.FCurve) -> Shape:
    return Shape(curve.extrapolation == "LINEAR", curve.auto_smoothing == "CONT_ACCEL", played)


def _is_locked(curve: bpy.types.FCurve) -> bool:
    return bool(curve.lock or (curve.group is not None and curve.group.lock))


def _check_span(span: Span, handles: Collection[int], kept: Collection[Address]) -> None:
    """PatchError for what cannot be written, beside the keys of it that are kept."""
    if not np.isfinite([span.start, span.end, *span.rest.values()]).all() or span.end - span.start < 3 * NEAR:
        sentence = "The line from frame {start} to {end} is too short, or not on frames."
        raise PatchError(sentence, start=span.start, end=span.end)
    if not (span.curves or kept) or not 0 < len(span.id.encode()) <= 60:
        raise PatchError("The line {name!r} moves nothing, or its name is too long.", name=span.id)
    for (slot, path, _), keys in span.curves.items():
        if slot not in handles:
            raise PatchError("The action has no slot for {path}. Make the line again.", path=path)
        if len(keys.frames) < 2 or abs(keys.frames[0] - span.start) > NEAR or abs(keys.frames[-1] - span.end) > NEAR:
            raise PatchError("The keys of {path} do not go from the line's first frame to its last.", path=path)
