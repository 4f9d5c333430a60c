# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored of spans: one group of ID properties on the action, so that it is copied, saved and undone with it.

Keys are bytes: of spans, 12 a key; of the base, 44. Whatever a file holds here, only a `PatchError` comes of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple
from uuid import uuid4

import bpy
import numpy as np

from ..sentences import told
from ..storage import from_text, to_text
from ..versions import CURRENT
from .patch import WROTE, Kept, PatchError, Record
from .playing import pack, unpack

#: Slot handle, data path, array index.
Address = tuple[int, str, int]

GROUP: Final = "cteg_patch"


#: Id of a line -> its first and last frame.
Lines = Mapping[str, tuple[float, float]]


class Entry(NamedTuple):
    """What is read of every span: where it was written, whose keys it has (nothing in older files), and whether it was
    joined to one before and one after it.
    """

    start: float
    end: float
    lines: Lines
    joined: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, eq=False)
class Written:
    """A span as stored.

    Attributes:
        start: its first frame.
        end: its last.
        linear: it has lines from key to key.
        keys: those of all its curves, of the most varied one first.
        parts: where the keys of a curve are, by its number.
        stayed: where the keys put aside and held for it are, if it was moved away from them: its frames there.
        settled: it was moved, so that keys of others may be among its own.
        lines: whose keys it has: the id of each line, and where that is in it.
        joined: whether it goes on from what is left before it, and leaves something itself.
        turned: its keys there are turned around.
    """

    start: float
    end: float
    linear: bool
    keys: Kept
    parts: dict[int, slice]
    stayed: tuple[float, float] | None = None
    settled: bool = False
    lines: Lines = field(default_factory=dict)
    joined: tuple[bool, bool] = (False, False)
    turned: bool = False
    _corners: dict[int, list[Corner]] = field(default_factory=dict, repr=False)

    def of(self, number: int) -> Kept:
        """The keys of a curve."""
        return self.keys[self.parts[number]]

    @property
    def ends(self) -> tuple[tuple[int, Point], tuple[int, Point]]:
        """The first key of the most varied curve and the last of the next one, each with the number of its curve."""
        first, *more = [*self.parts][:2]
        last = (more or [first])[0]
        return (first, self.corners(first)[0][1:]), (last, self.corners(last)[-1][1:])

    def corners(self, number: int) -> list[Corner]:
        """The first, a middle and the last key of a curve: which one it is of its keys, its frame and its value."""
        if number not in self._corners:
            keys, last = self.of(number), self.parts[number].stop - self.parts[number].start - 1
            self._corners[number] = [
                (k, float(keys["frame"][k]), float(keys["value"][k])) for k in (0, last // 2, last)
            ]
        return self._corners[number]


#: Frame and value of a key.
Point = tuple[float, float]
#: Which key of a curve, its frame and its value.
Corner = tuple[int, float, float]
#: One of the `Written.ends` of a span: at which index of its curve it was seen last, what it is, and the span's id.
Mark = tuple[int, Point, str]


class Known(NamedTuple):
    """What is known of the spans of an action, in order, those of them that were read whole, and by the numbers of
    curves how many keys these had when spans were looked at last, and the marks on them, in order; and by the names of
    all curves, in order, which of them are those with spans.
    """

    entries: dict[str, Entry]
    read: dict[str, Written]
    marks: dict[int, tuple[int, list[Mark]]]
    orders: dict[tuple[Address, ...], dict[int, Address]]


#: That by the action's stamp, which is another whenever its spans are written.
_known: dict[str, Known] = {}
_MOST: Final = 32


@lru_cache(maxsize=16)
def _curves_in(text: str) -> dict[int, tuple[Address, float | None]]:
    return {
        int(number): ((int(slot), str(path), int(index)), None if rest is None else float(rest))
        for number, slot, path, index, rest in from_text(text)
    }


def _entry(stored: Any) -> Entry:
    start, end = map(float, stored["at"])
    lines = {str(line): (float(first), float(last)) for line, first, last in from_text(stored.get("lines", "[]"))}
    for first, last in ((start, end), *lines.values()):
        if not start <= first < last <= end or not -math.inf < start < end < math.inf:
            raise ValueError(told("a line from {start} to {end}", start=first, end=last))
    before, after = stored.get("joined", (False, False))
    return Entry(start, end, lines, (bool(before), bool(after)))


def _remember(stamp: str, known: Known) -> Known:
    if len(_known) >= _MOST:
        _known.clear()
    known = known._replace(entries=dict(sorted(known.entries.items(), key=lambda item: item[1][:2])))
    if stamp:  # earlier versions had none
        _known[stamp] = known
    return known


class Store:
    """The record on an action, read as it is needed.

    Attributes:
        action: the action.
        spans: what is known of spans, as far as it was read or changed.
        records: the same of the bases of curves.
    """

    def __init__(self, action: bpy.types.Action) -> None:
        self.action = action
        self.records: dict[int, Record] = {}
        self.spans: dict[str, Written] = {}

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise PatchError(
                "What CTEG stored on the action {name} is damaged ({why}). Nothing was changed. Open an earlier "
                "version of the file, or delete the action's custom property {property}: the keys of its lines are "
                "then yours like any others.", name=self.action.name, why=error, property=GROUP,
            ) from None  # fmt: skip

    @cached_property
    def _group(self) -> Any:
        """Everything stored, as ID properties or an empty dictionary."""
        group = self.action.get(GROUP, {"version": CURRENT["spans"], "curves": "[]", "spans": {}, "records": {}})
        with self._read():
            version, _, _ = group["version"], group["spans"].keys(), group["records"].keys()
        if version != CURRENT["spans"]:
            sentence = "Another version of CTEG wrote the lines on {name}. Update the extension."
            raise PatchError(sentence, name=self.action.name)
        return group

    @cached_property
    def ids(self) -> dict[str, tuple[float, float]]:
        """The spans and where they were written, in order."""
        return {name: entry[:2] for name, entry in self.entries.items()}

    @cached_property
    def _all(self) -> Known:
        with self._read():
            stamp = str(self._group.get("stamp", ""))
            known = _known.get(stamp)
            entries = {} if known else {name: _entry(stored) for name, stored in self._group["spans"].items()}
            return known or _remember(stamp, Known(entries, {}, {}, {}))

    @property
    def entries(self) -> dict[str, Entry]:
        """What is read of every span, in order."""
        return self._all.entries

    @property
    def marks(self) -> dict[int, tuple[int, list[Mark]]]:
        """Two keys of each span as they were seen last, see `Known`; whoever looks changes them."""
        return self._all.marks

    @property
    def orders(self) -> dict[tuple[Address, ...], dict[int, Address]]:
        """Which curves are those with spans, see `Known`; whoever looks adds to it."""
        return self._all.orders

    @cached_property
    def curves(self) -> dict[int, tuple[Address, float | None]]:
        """By number the curves that have spans: where they are, and what the property is without, if made for them."""
        with self._read():
            return _curves_in(str(self._group["curves"]))

    @cached_property
    def counts(self) -> dict[int, int]:
        """How many keys all spans have on each curve, by its number."""
        with self._read():
            tables = [bytes(self._group["spans"][name]["curves"]) for name in self.ids]
            numbers, counts = np.frombuffer(b"".join(tables), "<i4").reshape(-1, 2).T
            found, where = np.unique(numbers, return_inverse=True)
            return dict(zip(found.tolist(), np.bincount(where, counts).astype(int).tolist(), strict=True))

    def span(self, name: str) -> Written:
        """A span by its id."""
        entries, read, *_ = self._all
        span = self.spans.get(name) or read.get(name)
        if span is None:
            if name not in entries:
                sentence = "The action {action} has no line {name!r} any more."
                raise PatchError(sentence, action=self.action.name, name=name)
            with self._read():
                span = read[name] = self._span(self._group["spans"][name], entries[name])
        return span

    def _span(self, stored: Any, entry: Entry) -> Written:
        numbers, counts = np.frombuffer(stored["curves"], "<i4").reshape(-1, 2).T
        keys, stops, stayed = np.frombuffer(stored["keys"], WROTE), np.cumsum(counts), stored.get("stayed")
        forward = keys["frame"][1:] > keys["frame"][:-1]
        forward[stops[:-1] - 1] = True
        if (counts < 2).any() or (stops[-1:] != len(keys)).any() or not self.curves.keys() >= set(numbers.tolist()):
            raise ValueError(told("keys of a line are missing"))
        if not (forward.all() and all(np.isfinite(keys[part]).all() for part in WROTE.names or ())):
            raise ValueError(told("keys of a line are not numbers or not in order"))
        parts = dict(zip(numbers.tolist(), map(slice, (stops - counts).tolist(), stops.tolist()), strict=True))
        if stayed is not None:
            stayed = float(stayed[0]), float(stayed[1])
            if not -np.inf < stayed[0] <= stayed[1] < np.inf:
                raise ValueError(told("keys put aside are on no frame"))
        linear, settled, turned = bool(stored["linear"]), bool(stored["settled"]), bool(stored.get("turned"))
        return Written(entry.start, entry.end, linear, keys, parts, stayed, settled, entry.lines, entry.joined, turned)

    @property
    def recorded(self) -> set[int]:
        """The numbers of the curves of whose bases something is known."""
        with self._read():
            return {*map(int, self._group["records"].keys()), *self.records}

    def record(self, number: int | None) -> Record:
        """What is known of a curve's base."""
        if number is None or (number not in self.records and str(number) not in self._group["records"]):
            return Record()
        if number not in self.records:
            with self._read():
                stored = self._group["records"][str(number)]
                rows, count = unpack(stored["keys"]), int(stored["base"])
                base, held = rows[:count], rows[count:]
                if count < 0 or any((part[1:, 0] < part[:-1, 0]).any() for part in (base, held)):
                    raise ValueError(told("keys put aside are not in order"))
                self.records[number] = Record(base, held)
        return self.records[number]

    def save(
        self,
        spans: Mapping[str, Written | None],
        records: Mapping[int, Record],
        curves: Mapping[int, tuple[Address, float | None]],
    ) -> None:
        """Write what has changed (None: gone)."""
        if GROUP not in self.action.keys():  # noqa: SIM118  (an action is no dictionary)
            self.action[GROUP] = dict(self._group)
        group, entries, read = self.action[GROUP], dict(self._all.entries), dict(self._all.read)
        marks = {n: (count, [mark for mark in some if mark[2] not in spans]) for n, (count, some) in self.marks.items()}
        for name, span in spans.items():
            entries.pop(name, None)
            read.pop(name, None)
            group["spans"].pop(name, None)  # bytes that are there already would be cut off at the first zero
            if span is not None:
                table = np.array([(number, part.stop - part.start) for number, part in span.parts.items()], "<i4")
                stored = {"at": [span.start, span.end], "linear": span.linear, "settled": span.settled}
                stored |= {"lines": to_text([[line, *at] for line, at in span.lines.items()])}
                stored |= {"joined": [*map(int, span.joined)]} if any(span.joined) else {}
                stored |= {"turned": True} if span.turned else {}
                stored |= {"curves": table.tobytes(), "keys": span.keys.tobytes()}
                group["spans"][name] = stored if span.stayed is None else stored | {"stayed": list(span.stayed)}
                entries[name] = _entry(group["spans"][name])
        for number, record in records.items():
            group["records"].pop(str(number), None)
            if len(record.base) or len(record.held):
                keys = pack(np.concatenate([record.base, record.held]))
                group["records"][str(number)] = {"base": len(record.base), "keys": keys}
        text = to_text([[number, *address, rest] for number, (address, rest) in curves.items()])
        if group["curves"] != text:
            group["curves"] = text
        group["stamp"] = stamp = uuid4().hex
        _remember(stamp, Known(entries, read, marks, {}))  # so that only what has changed is read again
        if not len(group["spans"]):
            del self.action[GROUP]
