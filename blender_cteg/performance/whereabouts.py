# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the spans of an action are: found again from their keys, wherever these were moved by hand."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import islice
from typing import Any, Final
from zlib import crc32

import bpy
import numpy as np

from ..arrays import Ints, Singles
from . import patch
from .fcurves import FEW, Points, co, index, read, tagged
from .patch import Kept
from .playing import NEAR, SAME, tags
from .spans import Address, Entry, Mark, Store, Written

#: Where a smaller share of a span's keys is found by their values, these were edited.
_FEW: Final = 0.2
#: So many of a span's curves, the most varied ones, say where it is.
_WITNESSES: Final = 4


@dataclass(frozen=True)
class Found:
    """Where the keys of a span are now: on frame = a * old frame + b, and which share of them is there, 0 to 1; how
    many times as long handles are, where that is not ``a``, and whether the keys are turned around.
    """

    a: float = 1.0
    b: float = 0.0
    share: float = 1.0
    reach: float | None = None
    turned: bool = False

    def at(self, frame: Any) -> Any:
        """Where a frame of the span is now."""
        return self.a * frame + self.b

    @property
    def same(self) -> bool:
        """Whether it is where it was."""
        return self.a == 1.0 and self.b == 0.0


#: What nobody moved.
UNMOVED: Final = Found()
_NO_KEYS: Final[tuple[Any, int]] = (), 0


class Whereabouts:
    """The spans of one action, and where they are.

    It reads what it is asked for and remembers it: make a new one for every task.

    Attributes:
        action: the action.
        few: curves with more keys than that are read only where they are asked for.
    """

    def __init__(self, action: bpy.types.Action) -> None:
        self.action = action
        self.few: float = FEW
        self._store = Store(action)
        self._where: dict[str, Found] = {}
        self._settled: set[str] = set()  # moved, and in memory everything known of them with them
        self._is_settled = False
        self._unsaved: set[int] = set()  # curves of which what is known is another since
        self._courses: dict[tuple[int, str], Any] = {}  # how keys of spans went on curves
        self._intact: set[str] = set()  # nobody edited a key of them
        self._swept: set[tuple[str, int]] = set()  # spans and curves on which some of their keys were away
        self._near: dict[tuple[float, float], list[str]] = {}  # what reaches between two frames
        self._read: dict[Address, Points] = {}
        self._known: dict[int, Ints] = {}  # whose the keys of curves are

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Id -> first and last frame as written, in order. PatchError where the record is damaged."""
        return self._store.ids

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Of each span where it was written, and whose keys it has: the id of each line, and where. In older files
        nobody's.
        """
        return self._store.entries

    def joined(self, name: str) -> tuple[bool, bool]:
        """Whether a span was written to go on from, and over into, one beside it."""
        return self._store.entries[name].joined

    def addresses(self, name: str) -> tuple[Address, ...]:
        """The curves of a span as they are addressed now, without those that were deleted."""
        return tuple(self._there[number] for number in self._store.span(name).parts if number in self._there)

    def written(self) -> dict[Address, bpy.types.FCurve]:
        """The curves that have keys of spans, as they are addressed now."""
        return {address: self._curves[address] for name in self.spans for address in self.addresses(name)}

    def moved(self, name: str) -> Iterator[tuple[Address, Address]]:
        """The curves of a span as they were addressed when it was written, and as they are now."""
        for number in self._store.span(name).parts:
            then = self._store.curves[number][0]
            yield then, self._there.get(number, then)

    def found(self, name: str) -> Found:
        """Where the keys of a span are now. Of one whose keys are all gone the share is 0: remove it."""
        found = self._where.get(name)
        if found is None:
            found = self._where[name] = self._look(name)
        return found

    def _its_points(self, name: str, number: int) -> Singles:
        """Frames and values of the keys of a curve that are tagged as a span's; of older files of all."""
        curve = self._curves[self._there[number]]
        own = tagged(curve) == tag_of(name)
        return co(curve)[own] if own.any() else co(curve)

    def _look(self, name: str) -> Found:
        span, keys, unmoved = self._store.span(name), self._keys, 0
        seen = [*islice(filter(keys.__contains__, span.parts), _WITNESSES)]
        for number in seen:
            points, (_, frame, _) = keys[number][0], span.corners(number)[1]
            unmoved += is_unmoved(points, span, number) and not self._is_anothers(
                points, index(points, frame - SAME), name
            )
            if 2 * unmoved >= len(seen):
                return UNMOVED
        a, b, share = patch.vote([(points_of(span.of(n)), self._its_points(name, n)) for n in seen])
        if share < _FEW:
            a, b, share = self._by_tags(name, seen)
        # One that was turned around is where its keys are, and still plays forwards: these count as edited.
        return Found(a, b, share) if a > 0 else Found(-a, b + a * (span.start + span.end), share, turned=True)

    def _by_tags(self, name: str, numbers: Sequence[int]) -> tuple[float, float, float]:
        """As `patch.vote`, of a span whose values were edited: by its keys' tags, one after the other. Where some are
        gone it is where it was, if the others are on its frames, or else where the first and the last are.
        """
        whole, ends, stayed = [], [], []
        for number in numbers:
            curve = self._curves[self._there[number]]
            then, there = self._store.span(name).of(number)["frame"], co(curve)[tagged(curve) == tag_of(name), 0]
            if len(there) > 1:
                pair = [np.stack([x, np.arange(len(x), dtype=np.float32)], 1) for x in (then, there)]
                if len(then) == len(there):
                    whole.append((pair[0], pair[1]))
                ends.append((_ends_of(then), _ends_of(there)))
                stayed.append(float(np.isin(there, then).mean()))
        if whole:
            return patch.vote(whole)
        if stayed and np.mean(stayed) > 0.5:
            return 1.0, 0.0, float(np.mean(stayed))
        return patch.vote(ends) if ends else (1.0, 0.0, 0.0)

    def look(self) -> Mapping[str, Found]:
        """Where all spans are now, as `found` has it. Of each only its marks are read: whoever moves or scales it as a
        whole leaves one of the two at most where it was.
        """
        marks, ids, where, apart = self._store.marks, self._store.ids, self._where, set[str]()
        for number, (then, some) in marks.items():
            points, count = self._keys.get(number, _NO_KEYS)
            if by := count - then:  # keys came or went, and what is behind them has other indices
                k = bisect_left(some, True, key=partial(_is_at, points, by))
                marks[number] = count, some[:k] + [(k + by, at, name) for k, at, name in some[k:]]
        for name in ids.keys() - {name for _, some in marks.values() for _, _, name in some}:
            for number, at in self._store.span(name).ends:
                points, count = self._keys.get(number, _NO_KEYS)
                k = index(points, at[0] - SAME)
                insort(marks.setdefault(number, (count, []))[1], (k, at, name))
                apart |= {name} if k < count and self._is_anothers(points, k, name) else set()
        for number, (count, some) in marks.items():
            points, _ = self._keys.get(number, _NO_KEYS)
            apart |= {name for k, at, name in some if k >= count or points[k].co[:] != at}
        for number, (count, some) in marks.items() if apart else ():  # to be searched for
            marks[number] = count, [mark for mark in some if mark[2] not in apart]
        for name in ids:
            if name not in where:
                where[name] = self._look(name) if name in apart else UNMOVED
        return where

    def _is_anothers(self, points: Any, k: int, name: str) -> bool:
        """Whether a key is tagged as that of another span: one can be where another was that looked alike."""
        tag = int(tags([[points[k].amplitude, points[k].period]])[0])
        return self._tagged.get(tag, name) != name

    def _forget(self) -> None:
        """Forget what was read: the curves have changed."""
        action, few, swept = self.action, self.few, self._swept
        vars(self).clear()
        Whereabouts.__init__(self, action)
        self.few, self._swept = few, swept

    # ---- Where everything is ----

    @cached_property
    def _bags(self) -> dict[int, Any]:
        strips = [strip for layer in self.action.layers for strip in layer.strips]
        return {bag.slot_handle: bag for strip in strips[:1] for bag in strip.channelbags}

    @cached_property
    def _curves(self) -> dict[Address, bpy.types.FCurve]:
        """All curves of the action."""
        return {(slot, c.data_path, c.array_index): c for slot, bag in self._bags.items() for c in bag.fcurves}

    def _points(self, address: Address, *more: Address) -> Points:
        """The keys of a curve, read once; those of more with it, if they will be wanted."""
        if address not in self._read:
            wanted = [one for one in dict.fromkeys((address, *more)) if one not in self._read and one in self._curves]
            self._read |= zip(wanted, read([self._curves[one] for one in wanted], self.few), strict=True)
        return self._read[address]

    @cached_property
    def _there(self) -> dict[int, Address]:
        """Where the curves with spans are now, by number. One whose key or bone was renamed is known by its keys, also
        where another has its name now.
        """
        seen, order = self._store.orders, tuple(self._curves)
        if order not in seen:  # Blender renames curves in place: the same names in the same order are the same curves
            seen[order] = self._recognised()
        return dict(seen[order])

    def _trust(self, there: Mapping[int, Address]) -> None:
        """Take the curves for those that they are called, as nobody has renamed one since they were written."""
        if self._store.ids:
            latest = {address: number for number, address in there.items()}  # a curve was deleted, and made anew
            self._store.orders[tuple(self._curves)] = {n: at for at, n in latest.items() if at in self._curves}

    def _recognised(self) -> dict[int, Address]:
        known, curves, span = self._store.curves, self._curves, self._store.span
        latest = {address: number for number, (address, _) in known.items()}
        named = {number: address for address, number in latest.items() if address in curves}
        names: dict[int, list[str]] = {}
        for name in self._store.ids:
            for number in span(name).parts:
                names.setdefault(number, []).append(name)
        marked = cache(lambda at: tagged(curves[at]) + 1j * co(curves[at])[:, 1].astype(np.float64))

        def has(number: int, at: Address, most: int = 0) -> float:
            """Which share of the keys of its spans, or of the last ones, a curve has, by their tags and values."""
            written = [
                tag_of(name) + 1j * span(name).of(number)["value"].astype(np.float64) for name in names[number][-most:]
            ]
            return float(np.isin(np.concatenate(written), marked(at)).mean())

        def plays(number: int, at: Address) -> float:
            """The same of its last span, by their distances and values: keys of older files are not tagged."""
            return patch.vote([(points_of(span(names[number][-1]).of(number)), co(curves[at]))])[2]

        there = {number: at for number, at in named.items() if number not in names or has(number, at, 1) >= 0.5}
        for share in (has, plays):
            free = set(curves) - set(there.values()) if len(there) < len(known) else set()
            for number in [number for number in names if number not in there] if free else ():
                own, tail = known[number][0], known[number][0][1].rpartition("]")[2]
                alike = [a for a in curves if a in free and (a[0], a[2], a[1].rpartition("]")[2]) == (*own[::2], tail)]
                alike.sort(key=own.__ne__)  # of two that are the same the one with its name
                shares = [share(number, at) for at in alike]
                if max(shares, default=0.0) >= 0.5:
                    there[number] = alike[int(np.argmax(shares))]
                    free.remove(there[number])
            there |= {number: at for number, at in named.items() if number not in there and at in free}
        return there

    @cached_property
    def _keys(self) -> dict[int, tuple[Any, int]]:
        """By number the keys of the curves with spans, and how many they are."""
        found = ((number, self._curves[address].keyframe_points) for number, address in self._there.items())
        return {number: (points, len(points)) for number, points in found}

    @cached_property
    def _tagged(self) -> dict[int, str]:
        """The spans, by how their keys are tagged."""
        return {tag_of(name): name for name in self._store.ids}

    def _whose(self, number: int) -> Ints:
        """Of which span each key of a curve is, (K,), by its tag: of those that carry it all that are where it is, and
        as many of the nearest ones away as are missing there; not copies of keys that are there. 0 for others.
        """
        if number not in self._known:
            curve = self._curves[self._there[number]]
            (x, values), tags = co(curve).T, tagged(curve)
            x = x.astype(np.float64)
            whose = self._known[number] = np.zeros(len(x), np.int64)
            for tag in self._tagged.keys() & set(tags.tolist()):
                name = self._tagged[tag]
                if number in self._store.span(name).parts:
                    start, end = self._ends(name, number)
                    own = np.flatnonzero(tags == tag)
                    off = np.maximum(start - x[own], x[own] - end)
                    here, away = own[off <= NEAR], own[off > NEAR][np.argsort(off[off > NEAR], kind="stable")]
                    whose[here] = tag
                    kept = self._store.span(name).of(number)["value"]
                    if not len(away) or len(here) >= len(kept):
                        continue
                    written, count = Counter(kept.tolist()), len(here)
                    missing = written - Counter(values[here].tolist())
                    for k in away.tolist():
                        value = float(values[k])
                        if count < len(kept) and (missing[value] or value not in written):
                            missing[value] -= missing[value] > 0
                            count += 1
                            whose[k] = tag
        return self._known[number]

    def _ends(self, name: str, number: int) -> Singles:
        """Where the first and the last key of a span on a curve belong."""
        return self._now(name).at(self._store.span(name).of(number)["frame"][[0, -1]].astype(np.float64))

    def _now(self, name: str) -> Found:
        """Where a span is, of what is known of it."""
        return UNMOVED if name in self._settled else self.found(name)

    @cached_property
    def _numbers(self) -> dict[Address, int]:
        return {address: number for number, address in self._there.items()}

    @cached_property
    def _places(self) -> dict[str, tuple[float, float]]:
        """Where all spans start and end, in order."""
        span, ids = self._store.span, self._store.ids
        places = {n: (span(n).start, span(n).end) if n in self._settled else ends for n, ends in ids.items()}
        return dict(sorted(places.items(), key=lambda item: item[1]))

    @cached_property
    def _layout(self) -> tuple[list[str], list[float], float]:
        """The names of all spans in order, where they start, and the length of the longest."""
        longest = max((end - start for start, end in self._places.values()), default=0.0)
        return list(self._places), [start for start, _ in self._places.values()], longest

    def _spans_on(self, number: int | None, low: float, high: float) -> list[str]:
        """The spans of a curve that reach between two frames, in order."""
        if (low, high) not in self._near:
            names, starts, longest = self._layout
            near = names[bisect_left(starts, low - longest) : bisect_right(starts, high)]
            self._near[low, high] = [name for name in near if self._places[name][1] >= low]
        return [name for name in self._near[low, high] if number in self._store.span(name).parts]


def _ends_of(frames: Singles) -> Singles:
    """The first and the last of some frames, numbered, (2, 2)."""
    return np.stack([frames[[0, -1]], np.arange(2, dtype=np.float32)], 1)


def tag_of(name: str) -> int:
    """How the keys of a span are tagged."""
    return crc32(name.encode())


def points_of(keys: Kept) -> Singles:
    """Frames and values of stored keys, (K, 2)."""
    return np.stack([keys["frame"], keys["value"]], 1)


def is_unmoved(points: Any, span: Written, number: int) -> bool:
    """Whether the first, the last and a key between of a span on a curve are where they were written."""
    corners = span.corners(number)
    first = index(points, corners[0][1] - SAME)
    if first + corners[-1][0] >= len(points):
        return False
    there = [points[first + k].co for k, _, _ in corners]
    return all(y == value and abs(x - frame) <= SAME for (_, frame, value), (x, y) in zip(corners, there, strict=True))


def _is_at(points: Any, by: int, mark: Mark) -> bool:
    """Whether a key is so many keys on from where it was seen last."""
    k, at, _ = mark
    return 0 <= k + by < len(points) and points[k + by].co[:] == at
