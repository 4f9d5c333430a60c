# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of an F-curve in and out, with all their fields and to the bit.

Where they are few the whole curve is read and written; else only the keys in question, which is then much faster.
Nothing here lets Blender sort keys or calculate handles.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import bpy
import numpy as np

from ..arrays import Floats, Ints, Singles
from .playing import (
    ALIGNED,
    FRAME,
    FREE,
    LEFT,
    LEFT_TYPE,
    NEAR,
    NO_ROWS,
    POINT,
    RIGHT,
    RIGHT_TYPE,
    USUAL,
    WIDTH,
    Rows,
    Shape,
    nearest,
    single,
    tags,
)

#: With more keys a curve is not read and written as a whole.
FEW: Final = 400
#: Blender's names of a key's fields, in the order of their columns in `Rows`.
_NAMES: Final = (
    "co handle_left handle_right back amplitude period handle_left_type handle_right_type interpolation easing type "
    "select_control_point select_left_handle select_right_handle"
).split()
_ENDS: Final = [2, 4, 6, *range(7, WIDTH + 1)]
_RNA: Final = bpy.types.Keyframe.bl_rna.properties
_BUFFERS: Final[dict[str, Any]] = {"FLOAT": np.float32, "ENUM": np.uint8, "BOOLEAN": np.bool_}
#: Name, columns, their number, and what foreach_get and foreach_set take.
_FIELDS: Final = [
    (name, slice(start, end), end - start, _BUFFERS[_RNA[name].type])
    for name, start, end in zip(_NAMES, [0, *_ENDS], _ENDS, strict=False)
]
_NUMBERS: Final = {
    name: {item.identifier: item.value for item in _RNA[name].enum_items}
    for name in _NAMES
    if _RNA[name].type == "ENUM"
}
#: A key as Blender adds it (measured, 4.5 to 5.3).
_ADDED: Final = np.array([[*[0.0] * 9, 4, 4, 2, 0, 0, 1, 1, 1]])
#: One as it inserts it on a frame, and not a number what depends on preferences, or on the keys beside it.
_INSERTED: Final = np.array([*[np.nan] * 6, *USUAL, *[np.nan] * 3, 0, 5, *[np.nan] * 3])
_WORDS: Final = {name: {number: word for word, number in numbers.items()} for name, numbers in _NUMBERS.items()}


def slot_curves(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> Any:
    """The F-curves of a slot, made ready where there are none yet."""
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


class Points:
    """The keys of an F-curve by index, as they are when they are read.

    Attributes:
        count: how many.
    """

    def __init__(self, curve: bpy.types.FCurve, rows: Rows | None) -> None:
        """Of a curve; with all its keys where they were read at once, else they are read where they are asked for."""
        self._points = curve.keyframe_points
        self.count = len(self._points)
        self._all = rows
        self._known: tuple[int, Rows] = (0, NO_ROWS if rows is None else rows)  # what was read last
        self._frames: list[float] = [] if rows is None else rows[:, FRAME].tolist()  # of it

    def frame(self, k: int) -> float:
        """Frame of a key."""
        first = self._known[0]
        return self._frames[k - first] if 0 <= k - first < len(self._frames) else self._points[k].co[0]

    def co(self, k: int) -> tuple[float, float]:
        """Frame and value of a key."""
        first, known = self._known
        x, y = known[k - first, POINT].tolist() if 0 <= k - first < len(known) else self._points[k].co
        return x, y

    def index(self, frame: float) -> int:
        """Of the first key that is not before a frame."""
        first, frames = self._known[0], self._frames
        if self._all is not None or (frames and frames[0] < frame <= frames[-1]):
            return first + bisect_left(frames, frame)
        return index(self._points, frame)

    def rows(self, start: int, end: int) -> Rows:
        """Keys by their indices."""
        if self._all is not None:
            return self._all[start:end]
        first, known = self._known
        if first <= start and end <= first + len(known):
            return known[start - first : end - first]
        left, right, shape, ease, kind = _NUMBERS.values()
        keys = [
            (
                *p.co, *p.handle_left, *p.handle_right, p.back, p.amplitude, p.period, left[p.handle_left_type],
                right[p.handle_right_type], shape[p.interpolation], ease[p.easing], kind[p.type],
                p.select_control_point, p.select_left_handle, p.select_right_handle,
            )
            for p in self._points[start:end]
        ]  # fmt: skip
        return self._remember(start, np.array(keys, np.float64).reshape(-1, WIDTH))

    def _remember(self, start: int, rows: Rows) -> Rows:
        self._known, self._frames = (start, rows), rows[:, FRAME].tolist()
        return rows

    def resized(self, start: int, old: Rows, new: Rows) -> tuple[int, Rows, Rows]:
        """Make room for keys in the place of some that were read from an index on.

        Returns:
            The index from which on keys are other now, the keys to be put there, and those that are there.
        """
        if self._all is not None:
            target = np.concatenate([self._all[:start], new, self._all[start + len(old) :]])
            return 0, target, self._stretched(len(target))
        if len(new) > len(old):
            return self._inserted(start, old, new)
        for _ in range(len(old) - len(new)):
            self._points.remove(self._points[start + len(new)], fast=True)
        return start, new, old[: len(new)]

    def _stretched(self, count: int) -> Rows:
        """So many keys, added or removed at the end; they."""
        if count > self.count:
            self._points.add(count - self.count)
        for _ in range(self.count - count):
            self._points.remove(self._points[-1], fast=True)
        return np.concatenate([self._all[:count], np.repeat(_ADDED, max(count - self.count, 0), 0)])

    def _inserted(self, start: int, old: Rows, new: Rows) -> tuple[int, Rows, Rows]:
        """Insert as many keys as there will be more; handles that Blender changes with them are not numbers."""
        first, last = max(start - 1, 0), min(start + len(old) + 1, self.count)
        before, after = self.rows(first, start), self.rows(start + len(old), last)
        new, there = np.concatenate([before, new, after]), np.concatenate([before, old, after])
        x, count = there[:, FRAME], len(new) - len(there)
        points = new[nearest(new[:, FRAME], x)[1] > NEAR][:, POINT].tolist()
        if len(points) != count:  # not where they belong, then where there is most room
            x = np.append(x, x[-1] + count + 1.0) if last == self.count else x
            most = int(np.argmax(np.diff(x)))
            points = [(frame, 0.0) for frame in np.linspace(x[most], x[most + 1], count + 2)[1:-1]]
        for frame, value in points:
            self._points.insert(frame, value, options={"FAST"}, keyframe_type="GENERATED")
        added, self.count = len(self._points) - self.count, len(self._points)
        self._remember(0, NO_ROWS)
        if added != count:  # there was no room: Blender took one key for another
            self._all = _all_keys([self._points])[0]
            return self.resized(first, self._all[first : first + len(there) + added], new)
        there = np.insert(there, np.searchsorted(there[:, FRAME], [frame for frame, _ in points]), _INSERTED, 0)
        made = np.flatnonzero(np.isnan(there[:, FRAME]))
        there[made, POINT] = single(np.array(points))
        there[np.append(made - 1, np.minimum(made + 1, len(there) - 1)), LEFT.start : RIGHT.stop] = np.nan
        return first, new, there


def read(curves: Sequence[bpy.types.FCurve], few: float = FEW) -> list[Points]:
    """The keys of F-curves: of those that have few all at once, of others where they are asked for."""
    whole = [curve for curve in curves if len(curve.keyframe_points) <= few]
    rows = iter(_all_keys([curve.keyframe_points for curve in whole]))
    return [Points(curve, next(rows) if len(curve.keyframe_points) <= few else None) for curve in curves]


def write(changes: Sequence[tuple[Points, int, Rows, Rows]]) -> None:
    """Put keys in the place of others: of each curve the index from which on they were read, they, and the new ones."""
    whole: list[tuple[Any, Rows, Rows]] = []
    parts: list[tuple[Any, Rows, Rows]] = []
    for points, start, old, new in changes:
        first, rows, there = points.resized(start, old, new)
        if len(rows) and points._all is not None:
            whole.append((points._points, rows, there))
        elif len(rows):
            parts.append((points._points[first : first + len(rows)], rows, there))
    for some in filter(None, (whole, parts)):
        new, there = (np.concatenate([change[k] for change in some]) for k in (1, 2))
        stops = np.cumsum([len(rows) for _, rows, _ in some])
        starts = np.append(0, stops[:-1])
        differs, keys = new != there, [key for points, _, _ in parts for key in points] if some is parts else []
        for name, columns, width, kind in _FIELDS:
            changed = differs[:, columns].any(1)
            if keys:
                values, words = new[changed][:, columns].astype(kind).tolist(), _WORDS.get(name)
                for k, value in zip(np.flatnonzero(changed).tolist(), values, strict=True):
                    setattr(keys[k], name, value if width > 1 else words[value[0]] if words else value[0])
                continue
            flat = new[:, columns].astype(kind).ravel()
            for k in np.flatnonzero(np.logical_or.reduceat(changed, starts)).tolist():
                some[k][0].foreach_set(name, flat[width * starts[k] : width * stops[k]])


def _all_keys(curves: Sequence[Any]) -> list[Rows]:
    """All keys of curves, which are read field by field: Blender copies one field of a curve at a time."""
    stops = np.cumsum([0, *map(len, curves)]).tolist()
    rows = np.empty((stops[-1], WIDTH))
    fields = [(name, width, np.empty(width * stops[-1], kind)) for name, _, width, kind in _FIELDS]
    for points, (first, last) in zip(curves, pairwise(stops), strict=True):
        get = points.foreach_get
        for name, width, flat in fields:
            get(name, flat[width * first : width * last])
    for (_, columns, width, _), (_, _, flat) in zip(_FIELDS, fields, strict=True):
        rows[:, columns] = flat.reshape(-1, width)
    return [rows[first:last] for first, last in pairwise(stops)]


def index(points: Any, frame: float) -> int:
    """Index of the first of Blender's keyframe points that is not before a frame."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if points[middle].co[0] < frame else (low, middle)
    return low


def co(curve: bpy.types.FCurve) -> Singles:
    """Frames and values of all keys, (K, 2)."""
    flat = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", flat)
    return flat.reshape(-1, 2)


def tagged(curve: bpy.types.FCurve) -> Ints:
    """How all keys are tagged, (K,)."""
    columns = np.empty((2, len(curve.keyframe_points)), np.float32)
    for name, column in zip(("amplitude", "period"), columns, strict=True):
        curve.keyframe_points.foreach_get(name, column)
    return tags(columns.T)


@contextmanager
def _another(rows: Rows) -> Iterator[bpy.types.FCurve]:
    """A curve of its own that has these keys, to ask Blender about them."""
    action = bpy.data.actions.new("CTEG")
    try:
        slot = action.slots.new(id_type="OBJECT", name="CTEG")
        curve = slot_curves(action, slot).new("location", index=0)
        write([(Points(curve, NO_ROWS), 0, NO_ROWS, rows)])
        yield curve
    finally:
        bpy.data.actions.remove(action)


def played(a: Floats, b: Floats, wanted: Floats) -> Floats:
    """What Blender plays between two keys on frames."""
    with _another(np.stack([a, b])) as curve:
        return np.array([curve.evaluate(frame) for frame in wanted])


def calculated(rows: Rows, shape: Shape) -> Rows:
    """Keys whose handles Blender calculates, with those that they have beside each other and nothing else."""
    with _another(rows) as curve:
        curve.extrapolation = "LINEAR" if shape.linear else "CONSTANT"
        curve.auto_smoothing = "CONT_ACCEL" if shape.smooth else "NONE"
        curve.update()
        (there,) = _all_keys([curve.keyframe_points])
    if len(there) != len(rows):  # keys so near each other are one to Blender
        return rows
    own = np.isin(rows[:, LEFT_TYPE : RIGHT_TYPE + 1], (FREE, ALIGNED)).all(1)
    return np.where(own[:, None], rows, there)
