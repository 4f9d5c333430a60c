# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of performed keys in the F-curves of an action: written, found again, compared and taken out (see `patch`).

Everything that is known of them is stored on the action itself, so that it is copied, saved and undone with it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from ..storage import from_text, to_text
from .patch import (
    FRAME,
    GENERATED,
    KIND,
    NEAR,
    NO_ROWS,
    POINT,
    SAME,
    VALUE,
    WIDTH,
    WROTE,
    Floats,
    Kept,
    Mask,
    PatchError,
    Place,
    Record,
    Rows,
    Shape,
    as_written,
    changes,
    claimed,
    evaluated,
    filled,
    moved,
    nearest,
    ordered,
    pack,
    patched,
    performed,
    restored,
    unedited,
    unpack,
    vote,
    within,
    wrote,
)
from .reduction import Keys

__all__ = ["ActionPatch", "Address", "Base", "Edit", "Found", "PatchError", "Span", "slot_curves"]

#: Slot handle, data path, array index.
Address = tuple[int, str, int]

_GROUP: Final = "cteg_patch"
_VERSION: Final = 1
#: With fewer keys a curve is read and written as a whole.
_FEW: Final = 400
#: So many of a span's curves, the most varied ones, say where it is.
_WITNESSES: Final = 4
#: Blender's names of a key's fields, in the order of their columns.
_NAMES: Final = (
    "co handle_left handle_right back amplitude period handle_left_type handle_right_type interpolation easing type "
    "select_control_point select_left_handle select_right_handle"
).split()
_STARTS: Final = [0, 2, 4, *range(6, WIDTH)]
_FIELDS: Final = {name: slice(i, j) for name, i, j in zip(_NAMES, _STARTS, [*_STARTS[1:], WIDTH], strict=True)}
_RNA: Final = bpy.types.Keyframe.bl_rna.properties
_NUMBERS: Final = {
    name: {item.identifier: item.value for item in _RNA[name].enum_items}
    for name in _FIELDS
    if _RNA[name].type == "ENUM"
}
_WORDS: Final = {name: {number: word for word, number in numbers.items()} for name, numbers in _NUMBERS.items()}
_BUFFERS: Final = {"FLOAT": np.float32, "ENUM": np.int32, "BOOLEAN": np.bool_}
_TYPES: Final = {name: _BUFFERS[_RNA[name].type] for name in _FIELDS}
#: For reading: a field's name, its columns, and its kind of buffer.
_READS: Final[list[tuple[str, Any, Any]]] = [
    (name, columns, "pair") if columns.start < 6 else (name, columns.start, _TYPES[name])
    for name, columns in _FIELDS.items()
]


@dataclass(frozen=True, eq=False)
class Span:
    """What is to be written.

    Attributes:
        id: its name, of up to 60 bytes.
        start: its first scene frame.
        end: its last.
        curves: keys of each curve on scene frames, from start to end. On those two the curve keeps its own value.
        groups: channel groups of curves that do not exist yet.
        rest: values of properties that have no curve yet: what the curve holds outside its spans.
        linear: lines from key to key.
    """

    id: str
    start: float
    end: float
    curves: Mapping[Address, Keys]
    groups: Mapping[Address, str] = field(default_factory=dict)
    rest: Mapping[Address, float] = field(default_factory=dict)
    linear: bool = False


@dataclass(frozen=True)
class Found:
    """Where the keys of a span are now: on frame = a * old frame + b, and which share of them is there, 0 to 1."""

    a: float = 1.0
    b: float = 0.0
    share: float = 1.0

    def at(self, frame: Any) -> Any:
        """Where a frame of the span is now."""
        return self.a * frame + self.b

    @property
    def same(self) -> bool:
        """Whether it is where it was."""
        return (self.a, self.b) == (1.0, 0.0)


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
    _shape: Shape | None = field(default=None, repr=False)
    _staying: Sequence[Rows] = field(default=(), repr=False)

    def values(self, wanted: npt.ArrayLike) -> Floats:
        """Its values on frames there, (F,), without modifiers; NaN where it has no keys and no rest is known."""
        at = np.asarray(wanted, np.float64)
        values = np.full(len(at), np.nan if self.rest is None else self.rest)
        if self._shape is not None:
            if len(self._rows):
                values = evaluated(self._rows, at, self._shape)
            for keys in self._staying:
                inside = (at >= keys[0, FRAME]) & (at <= keys[-1, FRAME])
                values[inside] = evaluated(keys, at[inside], self._shape)
        return values


@dataclass(frozen=True, eq=False)
class Edit:
    """What was edited by hand in the keys of a span on one curve.

    Attributes:
        gone: the curve was deleted; nothing else can be said of it.
    """

    gone: bool = False
    _now: Rows = field(default_factory=NO_ROWS.view, repr=False)
    _written: Rows = field(default_factory=NO_ROWS.view, repr=False)
    _shape: Shape | None = field(default=None, repr=False)

    def delta(self, wanted: npt.ArrayLike) -> Floats:
        """How far the curve is above what was written, on frames where it is now, (F,); 0 outside the span."""
        at = np.asarray(wanted, np.float64)
        values = np.zeros(len(at))
        if self._shape is not None and len(self._now):
            inside = (at >= self._written[0, FRAME]) & (at <= self._written[-1, FRAME])
            now, then = (evaluated(rows, at[inside], self._shape) for rows in (self._now, self._written))
            values[inside] = now - then
        return values


def slot_curves(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> Any:
    """The F-curves of a slot, made ready where there are none yet."""
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


# ---- Keys in and out ---------------------------------------------------------------------------------------


class _Points:
    """The keys of an F-curve, by index: read as a whole where they are few, else only where asked."""

    def __init__(self, curve: bpy.types.FCurve) -> None:
        self.points = curve.keyframe_points
        self.count = len(self.points)
        self.all = self._read() if self.count <= _FEW else None
        self.frames = [] if self.all is None else self.all[:, FRAME].tolist()

    def co(self, k: int) -> tuple[float, float]:
        """Frame and value of a key."""
        return tuple(self.points[k].co) if self.all is None else (self.frames[k], float(self.all[k, VALUE]))

    def frame(self, k: int) -> float:
        """Frame of a key."""
        return self.points[k].co[0] if self.all is None else self.frames[k]

    def index(self, frame: float) -> int:
        """Of the first key that is not before a frame."""
        return _index(self.points, frame) if self.all is None else bisect_left(self.frames, frame)

    def rows(self, start: int, end: int) -> Rows:
        """Keys by their indices."""
        if self.all is not None:
            return self.all[start:end]
        left, right, kind, ease, word = _NUMBERS.values()
        keys = [
            (
                *p.co, *p.handle_left, *p.handle_right, p.back, p.amplitude, p.period, left[p.handle_left_type],
                right[p.handle_right_type], kind[p.interpolation], ease[p.easing], word[p.type], p.select_control_point, p.select_left_handle, p.select_right_handle,
            )
            for p in self.points[start:end]
        ]  # fmt: skip
        return np.array(keys, np.float64).reshape(-1, WIDTH)

    def put(self, start: int, old: Rows, new: Rows) -> None:
        """Put other keys in the place of some, whose index is given."""
        if self.all is not None:
            return self._write(np.concatenate([self.all[:start], new, self.all[start + len(old) :]]))
        for _ in range(len(old) - len(new)):
            self.points.remove(self.points[start + len(new)], fast=True)
        there = old[: len(new)]
        if len(new) > len(old):
            first, last = max(start - 1, 0), min(start + len(old) + 1, self.count)
            before, after = self.rows(first, start), self.rows(start + len(old), last)
            start, old, new = first, np.concatenate([before, old, after]), np.concatenate([before, new, after])
            if (there := self._inserted(old, len(new) - len(old), last == self.count)) is None:
                self.all = self._read()
                return self.put(start, old, new)
        points, differs = self.points[start : start + len(new)], there != new
        for name, columns in _FIELDS.items():
            for k in np.flatnonzero(differs[:, columns].any(1)):
                value = new[k, columns].tolist() if columns.stop - columns.start > 1 else float(new[k, columns.start])
                value = _WORDS[name][int(value)] if name in _WORDS else value
                setattr(points[k], name, value if _TYPES[name] is not np.bool_ else bool(value))

    def _inserted(self, old: Rows, count: int, end: bool) -> Rows | None:
        """Insert keys somewhere among keys, or after them at the end of the curve. None where there is no room.

        Returns:
            The keys; the new ones, and those beside, whose handles Blender changed, are like nothing.
        """
        x = np.append(old[:, FRAME], old[-1, FRAME] + count + 1.0) if end else old[:, FRAME]
        at = int(np.argmax(np.diff(x))) + 1
        step = (x[at] - x[at - 1]) / (count + 1)
        if step < 2 * NEAR:
            return None
        for k in range(1, count + 1):
            self.points.insert(x[at - 1] + k * step, 0.0, options={"FAST"})
        there = np.insert(old, [at] * count, np.nan, 0)
        there[at - 1 : at + count + 1] = np.nan
        return there

    def _read(self) -> Rows:
        rows = np.empty((self.count, WIDTH))
        buffers = {
            "pair": np.empty(2 * self.count, np.float32),
            np.float32: np.empty(self.count, np.float32),
            np.int32: np.empty(self.count, np.int32),
            np.bool_: np.empty(self.count, np.bool_),
        }
        pair = buffers["pair"].reshape(-1, 2)
        for name, columns, kind in _READS:
            self.points.foreach_get(name, buffers[kind])
            rows[:, columns] = pair if kind == "pair" else buffers[kind]
        return rows

    def _write(self, rows: Rows) -> None:
        fresh = len(rows) != self.count
        if fresh:
            self.points.clear()
            self.points.add(len(rows))
        differs = np.ones(WIDTH, np.bool_) if fresh else (rows != self.all).any(0)
        for name, columns in _FIELDS.items():
            if differs[columns].any():
                self.points.foreach_set(name, rows[:, columns].astype(_TYPES[name]).ravel())


def _index(points: Any, frame: float) -> int:
    """Of the first key that is not before a frame."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if points[middle].co[0] < frame else (low, middle)
    return low


def _co(curve: bpy.types.FCurve) -> npt.NDArray[np.float32]:
    """Frames and values of all keys, (K, 2)."""
    flat = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", flat)
    return flat.reshape(-1, 2)


def _played(a: Floats, b: Floats, wanted: Floats) -> Floats:
    """What Blender plays between two keys on frames: asked of a curve of its own."""
    action = bpy.data.actions.new("CTEG easing")
    try:
        slot = action.slots.new(id_type="OBJECT", name="CTEG")
        curve = slot_curves(action, slot).new("location", index=0)
        _Points(curve).put(0, NO_ROWS, np.stack([a, b]))
        return np.array([curve.evaluate(frame) for frame in wanted])
    finally:
        bpy.data.actions.remove(action)


def _shape(curve: bpy.types.FCurve) -> Shape:
    return Shape(curve.extrapolation == "LINEAR", curve.auto_smoothing == "CONT_ACCEL", _played)


# ---- What is stored ----------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Written:
    """A span as stored.

    Attributes:
        keys: those of all its curves, of the most varied one first.
        parts: where the keys of a curve are, by its number.
        stayed: the frames of the keys put aside for it, if it was moved away from them.
        settled: it was moved, so that keys of others may be among its own.
    """

    start: float
    end: float
    linear: bool
    keys: Kept
    parts: dict[int, slice]
    stayed: tuple[float, float] | None = None
    settled: bool = False

    def of(self, number: int) -> Kept:
        """The keys of a curve."""
        return self.keys[self.parts[number]]


_UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


class _Store:
    """The record on the action, read as it is needed."""

    def __init__(self, action: bpy.types.Action) -> None:
        self.action = action
        self.spans: dict[str, _Written] = {}
        self.records: dict[int, Record] = {}

    def damaged(self, error: object) -> PatchError:
        """What to say of a record that cannot be read."""
        return PatchError(
            f"What CTEG stored on the action {self.action.name} is damaged ({error}). Nothing was changed. Open an "
            f"earlier version of the file, or delete the action's custom property {_GROUP}: the keys of its lines are "
            "then yours like any others."
        )

    @cached_property
    def group(self) -> Any:
        """Everything stored, as ID properties or an empty dictionary."""
        group = self.action.get(_GROUP)
        if group is None:
            return {"version": _VERSION, "curves": "[]", "spans": {}, "records": {}}
        try:
            version, _, _ = group["version"], group["spans"].keys(), group["records"].keys()
        except _UNREADABLE as error:
            raise self.damaged(error) from None
        if version != _VERSION:
            raise PatchError(f"Another version of CTEG wrote the lines on {self.action.name}. Update the extension.")
        return group

    @cached_property
    def ids(self) -> dict[str, tuple[float, float]]:
        """The spans and where they were written, in order."""
        found = {}
        try:
            for name in self.group["spans"].keys():  # noqa: SIM118  (ID properties)
                start, end = (float(frame) for frame in self.group["spans"][name]["at"])
                if not (np.isfinite([start, end]).all() and start < end):
                    raise ValueError(f"a line from {start} to {end}")
                found[name] = (start, end)
        except _UNREADABLE as error:
            raise self.damaged(error) from None
        return dict(sorted(found.items(), key=lambda item: item[1]))

    @cached_property
    def curves(self) -> dict[int, tuple[Address, float | None]]:
        """By number the curves that have spans: where they are, and what the property is without, if made for them."""
        try:
            return {
                int(number): ((int(slot), str(path), int(index)), None if rest is None else float(rest))
                for number, slot, path, index, rest in from_text(self.group["curves"])
            }
        except _UNREADABLE as error:
            raise self.damaged(error) from None

    def span(self, name: str) -> _Written:
        """A span by its id."""
        if name not in self.spans:
            try:
                self.spans[name] = self._span(self.group["spans"][name], *self.ids[name])
            except _UNREADABLE as error:
                raise self.damaged(error) from None
        return self.spans[name]

    def _span(self, stored: Any, start: float, end: float) -> _Written:
        numbers, counts = np.frombuffer(stored["curves"], "<i4").reshape(-1, 2).T
        keys, stops, stayed = np.frombuffer(stored["keys"], WROTE), np.cumsum(counts), stored.get("stayed")
        forward = keys["frame"][1:] > keys["frame"][:-1]
        forward[stops[:-1] - 1] = True
        if (counts < 2).any() or (stops[-1:] != len(keys)).any() or not self.curves.keys() >= set(numbers.tolist()):
            raise ValueError("keys of a line are missing")
        if not (forward.all() and all(np.isfinite(keys[part]).all() for part in WROTE.names or ())):
            raise ValueError("keys of a line are not numbers or not in order")
        parts = dict(zip(numbers.tolist(), map(slice, (stops - counts).tolist(), stops.tolist()), strict=True))
        stayed = None if stayed is None else (float(stayed[0]), float(stayed[1]))
        return _Written(start, end, bool(stored["linear"]), keys, parts, stayed, bool(stored["settled"]))

    def record(self, number: int | None) -> Record:
        """What is known of a curve's base."""
        if number is None or (number not in self.records and str(number) not in self.group["records"]):
            return Record()
        if number not in self.records:
            try:
                stored = self.group["records"][str(number)]
                self.records[number] = Record(unpack(stored["base"]), unpack(stored["held"]))
            except _UNREADABLE as error:
                raise self.damaged(error) from None
        return self.records[number]

    def save(
        self,
        spans: Mapping[str, _Written | None],
        records: Mapping[int, Record],
        curves: Mapping[int, tuple[Address, float | None]],
    ) -> None:
        """Write what has changed (None: gone)."""
        if _GROUP not in self.action:
            self.action[_GROUP] = dict(self.group)
        group = self.action[_GROUP]
        for name, span in spans.items():
            group["spans"].pop(name, None)
            if span is not None:
                table = np.array([(number, part.stop - part.start) for number, part in span.parts.items()], "<i4")
                stored = {"at": [span.start, span.end], "linear": span.linear, "settled": span.settled}
                stored |= {"curves": table.tobytes(), "keys": span.keys.tobytes()}
                stored |= {} if span.stayed is None else {"stayed": list(span.stayed)}
                group["spans"][name] = stored
        for number, record in records.items():
            group["records"].pop(str(number), None)
            if len(record.base) or len(record.held):
                group["records"][str(number)] = {"base": pack(record.base), "held": pack(record.held)}
        text = to_text([[number, *address, rest] for number, (address, rest) in curves.items()])
        if group["curves"] != text:
            group["curves"] = text
        if not len(group["spans"]):
            del self.action[_GROUP]


# ---- Spans of an action ------------------------------------------------------------------------------------


class ActionPatch:
    """All spans that CTEG wrote in one action.

    It reads what it is asked for and remembers it: make a new one for every task.

    Attributes:
        action: the action.
    """

    def __init__(self, action: bpy.types.Action) -> None:
        self.action = action
        self._store = _Store(action)
        self._where: dict[str, Found] = {}
        self._settled: set[str] = set()  # moved, and what is known of them with them
        self._steady: set[str] = set()  # those, and the ones that were not moved
        self._checked = False

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Id -> first and last frame as written, in order. PatchError where the record is damaged."""
        return dict(self._store.ids)

    def addresses(self, name: str) -> tuple[Address, ...]:
        """The curves of a span as they are addressed now, without those that were deleted."""
        return tuple(self._there[number] for number in self._span(name).parts if number in self._there)

    def found(self, name: str) -> Found:
        """Where the keys of a span are now. Of one whose keys are all gone the share is 0: remove it."""
        if name not in self._where:
            span, stayed = self._span(name), 0
            seen = [number for number in span.parts if number in self._there][:_WITNESSES]
            curves = [(self._curves[self._there[number]], span.of(number)) for number in seen]
            for curve, keys in curves:
                stayed += _unmoved(curve.keyframe_points, keys)
                if 2 * stayed >= len(seen):
                    return self._where.setdefault(name, Found())
            pairs = [(_kept_co(keys), _co(curve)) for curve, keys in curves]
            self._where[name] = Found(*vote(pairs))
        return self._where[name]

    def base(self, address: Address, start: float, end: float, ignoring: Collection[str] = ()) -> Base:
        """A curve from one frame to another without the spans to be ignored."""
        curve = self._curves.get(address)
        if curve is None:
            return Base()
        shape, number = _shape(curve), self._numbers.get(address)
        self._steadily(lambda: [self._check(name) for name in ignoring if name in self._store.ids])
        window = self._steadily(lambda: self._window(number, _Points(curve), (start, end), ignoring, shape))
        rows, group = window.base, curve.group
        staying = [place.rows for place in window.staying if len(place.rows) > 1]
        moving = any(np.ptp(keys[:, VALUE]) > 1e-6 for keys in staying)
        return Base(
            exists=bool(len(rows)),
            changes=moving or changes(rows, start, end, shape.linear),
            keys=len(within(rows, start - NEAR, end + NEAR)),
            rest=None if number is None else self._store.curves[number][1],
            modifiers=tuple(modifier.type for modifier in curve.modifiers if modifier.active and not modifier.mute),
            muted=curve.mute or (group is not None and group.mute),
            locked=curve.lock or (group is not None and group.lock),
            _rows=rows,
            _shape=shape,
            _staying=staying,
        )

    def edits(self, name: str) -> dict[Address, Edit]:
        """The curves of a span that were edited by hand since it was written, and how."""
        span, edits = self._span(name), {}
        found = Found() if name in self._settled else self.found(name)
        for number in span.parts:
            if number not in self._there:
                edits[self._store.curves[number][0]] = Edit(gone=True)
                continue
            curve = self._curves[self._there[number]]
            points, was = _Points(curve), as_written(span.of(number), found.a, found.b, span.linear)
            first, last = points.index(was[0, FRAME] - NEAR), points.index(was[-1, FRAME] + NEAR)
            before = min(first, 1)
            around = points.rows(first - before, min(last + 1, points.count))
            now = around[before : before + last - first]
            if len(now) == len(was) and unedited(now, was, found.a != 1.0).all():
                continue
            if len(now):
                at, _ = nearest(now[:, FRAME], was[:, FRAME])
                same = unedited(now, was[at], found.a != 1.0)
                was[at[same]] = now[same]
            edits[self._there[number]] = Edit(False, around, was, _shape(curve))
        return edits

    def replace(self, remove: Collection[str], write: Sequence[Span]) -> list[tuple[Address, float]]:
        """Take spans out and write others, each curve in one go; nothing else changes.

        Spans that were moved by hand count as written where they are from now on.

        Args:
            remove: ids; those that are not there are ignored.
            write: spans, apart from each other and from those that stay, where they share curves. One with the id of
                a span that is there takes its place.

        Returns:
            The curves that were made for spans and went with the last of them, and the values that their properties had
            before; Blender leaves the properties where they are.

        Raises:
            PatchError: it cannot be done; nothing has changed.
        """
        writing = {span.id: span for span in write}
        gone = [name for name in self._store.ids if name in writing or name in remove]
        plans = self._steadily(lambda: self._plans(gone, writing))
        for plan in plans:
            self._commit(plan, writing)
        self._save(gone, writing, plans)
        self.action.update_tag()
        action = self.action
        vars(self).clear()  # what it remembered
        ActionPatch.__init__(self, action)
        return [(plan.address, plan.rest) for plan in plans if plan.drop and plan.rest is not None]

    # ---- Where everything is ----

    @cached_property
    def _bags(self) -> dict[int, Any]:
        strips = [strip for layer in self.action.layers for strip in layer.strips]
        return {bag.slot_handle: bag for strip in strips[:1] for bag in strip.channelbags}

    @cached_property
    def _curves(self) -> dict[Address, bpy.types.FCurve]:
        """All curves of the action."""
        return {(slot, c.data_path, c.array_index): c for slot, bag in self._bags.items() for c in bag.fcurves}

    @cached_property
    def _there(self) -> dict[int, Address]:
        """Where the curves with spans are now, by number. One whose key or bone was renamed is known by its keys."""
        known, curves = self._store.curves, self._curves
        there = {number: address for number, (address, _) in known.items() if address in curves}
        lost = [number for number in known if number not in there]
        free = set(curves) - set(there.values()) if lost else set()
        for number in lost if free else ():
            slot, path, index = known[number][0]
            spans = (self._span(name) for name in self._store.ids)
            keys = next((span.of(number) for span in spans if number in span.parts), None)
            alike = [a for a in curves if a in free and (a[0], a[2]) == (slot, index) and _tail(a[1]) == _tail(path)]
            shares = [0.0 if keys is None else vote([(_kept_co(keys), _co(curves[a]))])[2] for a in alike]
            if max(shares, default=0.0) >= 0.5:
                there[number] = alike[int(np.argmax(shares))]
                free.remove(there[number])
        return there

    @cached_property
    def _numbers(self) -> dict[Address, int]:
        return {address: number for number, address in self._there.items()}

    def _span(self, name: str) -> _Written:
        if name not in self._store.ids:
            raise PatchError(f"The action {self.action.name} has no line {name!r} any more.")
        return self._store.span(name)

    @cached_property
    def _places(self) -> dict[str, tuple[float, float]]:
        """Where all spans start and end, as far as they are settled."""
        spans = self._store.spans
        return {n: (spans[n].start, spans[n].end) if n in self._settled else e for n, e in self._store.ids.items()}

    @cached_property
    def _layout(self) -> tuple[list[str], list[float], float]:
        """The names of all spans in order, where they start, and the length of the longest."""
        names = sorted(self._places, key=self._places.__getitem__)
        lengths = [end - start for start, end in self._places.values()]
        return names, [self._places[name][0] for name in names], max(lengths, default=0.0)

    def _spans_on(self, number: int | None, low: float, high: float) -> list[str]:
        """The spans of a curve that reach between two frames, in order. _MovedError if one of them is elsewhere."""
        if number is None:
            return []
        names, starts, longest = self._layout
        near = names[bisect_left(starts, low - longest) : bisect_right(starts, high)]
        found = [name for name in near if self._places[name][1] >= low and number in self._span(name).parts]
        for name in found:
            self._check(name)
        return found

    def _check(self, name: str) -> None:
        """_MovedError for a span that was moved and is not settled."""
        if name not in self._steady:
            if not self.found(name).same:
                raise _MovedError
            self._steady.add(name)

    def _steadily(self, run: Callable[[], Any]) -> Any:
        """Run; again where spans turned out to have been moved, after everything known is where they are."""
        try:
            return run()
        except _MovedError:
            self._settle()
            return run()

    def _settle(self) -> None:
        """Move what is known of spans to where their keys were moved, in memory."""
        moves = {name: self.found(name) for name in self._store.ids if name not in self._settled}
        moves = {name: found for name, found in moves.items() if not found.same}
        went: dict[str, Found] = {}
        aside: dict[int, Rows] = {}
        for number in {number for name in moves for number in self._span(name).parts if number in self._there}:
            record = self._store.record(number)
            aside[number] = record.base[record.aside]
            near = {name: found for name, found in moves.items() if number in self._span(name).parts}
            self._store.records[number] = self._settled_held(number, near, went)
        for name, found in moves.items():
            span, base = self._span(name), went.get(name, Found())
            for number in aside.keys() & span.parts.keys():
                start, end = span.of(number)["frame"][[0, -1]].astype(np.float64)
                inside = (aside[number][:, FRAME] > start - NEAR) & (aside[number][:, FRAME] < end + NEAR)
                if inside.any() and base != found:
                    span.stayed = (base.at(span.start), base.at(span.end))
                self._store.records[number].put_aside(moved(aside[number][inside], base.a, base.b))
                aside[number] = aside[number][~inside]
            span.keys = span.keys.copy()
            span.keys["frame"] = found.at(span.keys["frame"].astype(np.float64))
            span.start, span.end, span.settled = found.at(span.start), found.at(span.end), True
            self._settled.add(name)
            self._steady.add(name)
        for number, rows in aside.items():
            self._store.records[number].put_aside(rows)
        for name in ("_places", "_layout"):
            vars(self).pop(name, None)

    def _settled_held(self, number: int, moves: Mapping[str, Found], went: dict[str, Found]) -> Record:
        """What is known of held keys on a curve, where they are now; and how they moved, by the span they are beside."""
        record, curve = self._store.record(number), self._curves[self._there[number]]
        points, bases, helds = _Points(curve), [NO_ROWS], [NO_ROWS]
        together = Found(*vote([(record.held[:, POINT].astype(np.float32), _co(curve))]))
        for k, (x, y) in enumerate(record.held[:, POINT]):
            beside = sorted(moves, key=lambda name: min(abs(end - x) for end in self._store.ids[name]))
            before = record.base[record.base[:, FRAME] == x]
            for found in (Found(), *(moves[name] for name in beside), together):
                i = points.index(found.at(x) - SAME)
                if i < points.count and abs(points.frame(i) - found.at(x)) < SAME and points.co(i)[1] == y:
                    went |= {} if found.same else {beside[0]: found}
                    helds.append(moved(record.held[k : k + 1], found.a, found.b))
                    bases.append(moved(before, found.a, found.b))
                    break
            else:  # deleted, or a key of ours was dragged onto it
                i = points.index(x - SAME)
                if i < points.count and abs(points.frame(i) - x) < SAME:
                    bases.append(before)
        return Record(ordered(bases), ordered(helds))

    # ---- Changing a curve ----

    def _window(
        self, number: int | None, points: _Points, ends: tuple[float, float], gone: Collection[str], shape: Shape
    ) -> _Window:
        """What is around a change: from one frame to another, and on both sides as far as it reaches."""
        record, (low, high) = self._store.record(number), ends
        while True:  # spans that stay are inside as a whole, or outside
            reaching = [n for n in self._spans_on(number, low + 2 * NEAR, high - 2 * NEAR) if n not in gone]
            starts, stops = zip((low, high), *(self._places[name] for name in reaching), strict=True)
            if (low, high) == (min(starts), max(stops)):
                break
            low, high = min(starts), max(stops)
        left = self._walk(number, points, low, -1, gone, shape.reach, record.helpers)
        right = self._walk(number, points, high, 1, gone, shape.reach, record.helpers)
        rows = points.rows(left.seen, right.seen + 1)
        staying, theirs = self._sorted_out(number, rows, gone, left.span, right.span)
        seen = -np.inf if left.end else rows[0, FRAME] - SAME, np.inf if right.end else rows[-1, FRAME] + SAME
        base = restored(rows[theirs], record.around(*seen), *seen)
        part = rows[left.stop - left.seen : right.stop - left.seen + 1]
        low = part[0, FRAME] - SAME if left.stop != left.seen else seen[0]
        high = part[-1, FRAME] + SAME if right.stop != right.seen else seen[1]
        return _Window(left.stop, part, base, staying, low, high)

    def _walk(
        self,
        number: int | None,
        points: _Points,
        edge: float,
        step: int,
        gone: Collection[str],
        reach: int,
        helpers: Floats,
    ) -> _Side:
        """From an edge of a change outwards, over as many base keys as it reaches and as many again, or to a span."""
        k = points.index(edge - NEAR) if step < 0 else points.index(edge + NEAR) - 1
        if 0 <= k < points.count and abs(points.frame(k) - edge) <= NEAR:  # perhaps a border shared with one that stays
            ends = [
                self._places[n][step < 0] for n in self._spans_on(number, edge - NEAR, edge + NEAR) if n not in gone
            ]
            if any(abs(end - edge) <= NEAR for end in ends):
                return _Side(k, k, span=True)
        k, count, stop = k + step, 0, -1
        while 0 <= k < points.count:
            x = points.frame(k)
            names = self._spans_on(number, x - NEAR, x + NEAR)
            if any(name not in gone for name in names):
                return _Side(k, k, span=True)
            if not names and not (len(helpers) and np.abs(helpers - x).min() < SAME):
                if not self._checked and points.points[k].type == "GENERATED":
                    for name in self._store.ids:  # perhaps it is of a span that was moved here
                        self._check(name)
                    self._checked = True
                count += 1
                stop = k if count == reach else stop
                if count == 2 * reach:
                    return _Side(k, stop, end=k in (0, points.count - 1))
            k += step
        return _Side(k - step, k - step, end=True)

    def _sorted_out(
        self, number: int | None, rows: Rows, gone: Collection[str], cut_left: bool, cut_right: bool
    ) -> tuple[list[Place], Mask]:
        """The spans that stay in a window, and which keys belong to no span."""
        x, taken, places = rows[:, FRAME], np.zeros(len(rows), np.bool_), []
        names = self._spans_on(number, x[0] - NEAR, x[-1] + NEAR) if len(rows) else []
        mixed = any(self._span(name).settled for name in names)
        mixed |= any(self._places[later][0] < self._places[earlier][1] - NEAR for earlier, later in pairwise(names))
        for name in sorted(names, key=lambda name: name in gone):
            start, end = self._places[name]
            inside = (x > start - NEAR) & (x < end + NEAR) & ~taken
            if mixed:  # a span was moved: keys of others may be among its own
                inside &= claimed(rows, self._span(name).of(number))
            taken |= inside
            if name not in gone and inside.any():
                outer = not (cut_left and inside[0]), not (cut_right and inside[-1])
                own = rows[inside][None if outer[0] else -1 : None if outer[1] else 1]
                places.append(Place(float(own[0, FRAME]), float(own[-1, FRAME]), own, False, outer))
        for name in set(names) & set(gone) if mixed else ():  # their keys that were shifted by hand
            start, end = self._places[name]
            taken |= (x > start - NEAR) & (x < end + NEAR) & (rows[:, KIND] == GENERATED)
        return places, ~taken

    def _plans(self, gone: Sequence[str], writing: Mapping[str, Span]) -> list[_Plan]:
        """What is to be done to each curve. PatchError if something cannot."""
        plans: dict[int, _Plan] = {}
        for name in gone:
            self._check(name)
            for number in self._span(name).parts:
                address, rest = self._store.curves[number]
                address = self._there.get(number, address)
                curve = self._curves[address] if number in self._there else None
                plans.setdefault(number, _Plan(number, address, curve, rest)).gone.append(name)
        fresh: dict[Address, int] = {}
        handles = {slot.handle for slot in self.action.slots}
        for span in writing.values():
            _check_span(span, handles)
            for (address, keys), rows in zip(
                span.curves.items(), performed(list(span.curves.values()), span.linear), strict=True
            ):
                number, rest = self._numbers.get(address, fresh.get(address)), None
                if number in self._store.curves:
                    rest = self._store.curves[number][1]
                elif address not in self._curves:
                    rest = float(span.rest.get(address, keys.values[0]))
                if number is None:
                    number = fresh[address] = max(self._store.curves, default=-1) + 1 + len(fresh)
                plan = plans.setdefault(number, _Plan(number, address, self._curves.get(address), rest))
                plan.new[span.id] = rows
        for plan in plans.values():
            self._plan(plan, writing)
        return list(plans.values())

    def _plan(self, plan: _Plan, writing: Mapping[str, Span]) -> None:
        """What is to be done to a curve."""
        if plan.curve is None:
            self._fill(plan, _Window(0, NO_ROWS, NO_ROWS, [], -np.inf, np.inf), writing, Shape(False, False, _played))
            return
        plan.points = _Points(plan.curve)
        if len(plan.gone) == 1 and list(plan.new) == plan.gone and self._refill(plan, writing[plan.gone[0]]):
            return
        ends = [(writing[name].start, writing[name].end) for name in plan.new]
        for name in plan.gone:
            ends += [self._places[name], self._span(name).stayed or self._places[name]]
        hull = min(start for start, _ in ends), max(end for _, end in ends)
        number = plan.number if plan.number in self._store.curves else None
        shape = _shape(plan.curve)
        self._fill(plan, self._window(number, plan.points, hull, plan.gone, shape), writing, shape)

    def _refill(self, plan: _Plan, span: Span) -> bool:
        """Where new keys simply go between the borders of the old: plan that."""
        old, keys = self._span(span.id), self._span(span.id).of(plan.number)
        if old.settled or (old.start, old.end) != (span.start, span.end):
            return False
        if len(self._spans_on(plan.number, old.start + 2 * NEAR, old.end - 2 * NEAR)) != 1:
            return False
        first, last = (plan.points.index(keys["frame"][k] - SAME) for k in (0, -1))
        for k, border in ((first, keys[0]), (last, keys[-1])):
            if k >= plan.points.count or plan.points.co(k) != (border["frame"], border["value"]):
                return False
        plan.start, plan.old = first, plan.points.rows(first, last + 1)
        plan.put = plan.wrote[span.id] = filled(plan.new[span.id], plan.old[0], plan.old[-1])
        return True

    def _fill(self, plan: _Plan, window: _Window, writing: Mapping[str, Span], shape: Shape) -> None:
        """Plan the new keys of a window."""
        places = [Place(writing[name].start, writing[name].end, rows, True) for name, rows in plan.new.items()]
        places = sorted([*window.staying, *places], key=lambda place: place.start + place.end)
        for earlier, later in pairwise(places):
            if later.start < earlier.end - NEAR:
                raise PatchError(
                    f"Two lines overlap on frames {later.start:.0f} to {earlier.end:.0f}. Move one of them, or remove it."
                )
        rows, part = window.base, Record()
        if places:
            rows, part = patched(rows, places, shape, places[0].rows[0, VALUE] if plan.rest is None else plan.rest)
        plan.start, plan.old, plan.put = window.start, window.old, within(rows, window.low, window.high)
        known = self._store.record(plan.number)
        plan.record = known.replaced(window.low, window.high, part)
        for name in plan.new:
            (first, last), _ = nearest(np.array([writing[name].start, writing[name].end]), rows[:, FRAME])
            plan.wrote[name] = rows[first : last + 1]
        whole = plan.points is not None and plan.points.count == len(plan.old)
        plan.drop = plan.rest is not None and whole and not len(plan.put)

    def _commit(self, plan: _Plan, writing: Mapping[str, Span]) -> None:
        slot, path, index = plan.address
        if plan.curve is None and plan.new:
            curves = slot_curves(self.action, next(one for one in self.action.slots if one.handle == slot))
            plan.curve = curves.new(path, index=index)
            bag = next(bag for bag in self.action.layers[0].strips[0].channelbags if bag.slot_handle == slot)
            group = next((g for name in plan.new if (g := writing[name].groups.get(plan.address))), None)
            if group:
                plan.curve.group = bag.groups.get(group) or bag.groups.new(group)
        if plan.drop:
            self._bags[slot].fcurves.remove(plan.curve)
        elif plan.curve is not None:
            (plan.points or _Points(plan.curve)).put(plan.start, plan.old, plan.put)

    def _save(self, gone: Sequence[str], writing: Mapping[str, Span], plans: Sequence[_Plan]) -> None:
        """Store what is known after a change."""
        spans: dict[str, _Written | None] = {name: self._span(name) for name in self._settled}
        records = {n: self._store.record(n) for name in self._settled for n in self._span(name).parts}
        known = {n: (self._there.get(n, address), rest) for n, (address, rest) in self._store.curves.items()}
        spans |= dict.fromkeys(gone)
        for plan in plans:
            if plan.record is not None:
                records[plan.number] = plan.record
            known[plan.number] = (plan.address, plan.rest)
            others = (self._span(name).parts for name in self._store.ids if name not in gone)
            if not plan.new and not any(plan.number in parts for parts in others):
                del known[plan.number]
        for name, span in writing.items():
            rows = {plan.number: plan.wrote[name] for plan in plans if name in plan.wrote}
            varied = sorted(rows, key=lambda number: -len(set(rows[number][:, VALUE].tolist())))
            stops = np.cumsum([len(rows[number]) for number in varied]).tolist()
            parts = dict(zip(varied, map(slice, [0, *stops[:-1]], stops), strict=True))
            keys = wrote(np.concatenate([rows[number] for number in varied]))
            spans[name] = _Written(span.start, span.end, span.linear, keys, parts)
        self._store.save(spans, records, known)


class _MovedError(Exception):
    """A span is not where it was written."""


@dataclass(frozen=True)
class _Side:
    """How far a window goes on one side.

    Attributes:
        seen: index of the last key to read.
        stop: index of the last key that may change.
        span: it ends at a span.
        end: it ends with the curve.
    """

    seen: int
    stop: int
    span: bool = False
    end: bool = False


@dataclass(frozen=True, eq=False)
class _Window:
    """Keys around a change.

    Attributes:
        start: index of the first that may change.
        old: those that may change.
        base: the base around them.
        staying: spans that stay.
        low: the frame where they begin; -inf with the curve.
        high: the frame where they end; inf with the curve.
    """

    start: int
    old: Rows
    base: Rows
    staying: list[Place]
    low: float
    high: float


@dataclass(eq=False)
class _Plan:
    """What is to be done to a curve: `put` in the place of `old`, or drop it."""

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


def _tail(path: str) -> str:
    """What a path says after the name of a key or a bone."""
    return path.rpartition("]")[2]


def _kept_co(keys: Kept) -> npt.NDArray[np.float32]:
    return np.stack([keys["frame"], keys["value"]], 1)


def _unmoved(points: Any, keys: Kept) -> bool:
    """Whether the first, the last and a key between are where they were written."""
    first, count = _index(points, float(keys["frame"][0]) - SAME), len(keys)
    for k in (0, count // 2, count - 1) if first + count <= len(points) else ():
        x, y = points[first + k].co
        if abs(x - keys["frame"][k]) > SAME or y != keys["value"][k]:
            return False
    return first + count <= len(points)


def _check_span(span: Span, handles: Collection[int]) -> None:
    """PatchError for what cannot be written."""
    if not np.isfinite([span.start, span.end, *span.rest.values()]).all() or span.end - span.start < 3 * NEAR:
        raise PatchError(f"The line from frame {span.start} to {span.end} is too short, or not on frames.")
    if not span.curves or not 0 < len(span.id.encode()) <= 60:
        raise PatchError(f"The line {span.id!r} moves nothing, or its name is too long.")
    for (slot, path, _), keys in span.curves.items():
        if slot not in handles:
            raise PatchError(f"The action has no slot for {path}. Make the line again.")
        if len(keys.frames) < 2 or abs(keys.frames[0] - span.start) > NEAR or abs(keys.frames[-1] - span.end) > NEAR:
            raise PatchError(f"The keys of {path} do not go from the line's first frame to its last.")
