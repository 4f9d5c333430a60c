# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of an F-curve in and out, with all their fields and to the bit.

Where they are few the whole curve is read and written; else only the keys in question, which is then much faster.
Nothing here lets Blender sort keys or calculate handles.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from .patch import FRAME, NEAR, NO_ROWS, POINT, WIDTH, Floats, Rows, nearest

#: With more keys a curve is not read and written as a whole.
FEW: Final = 400
#: Blender's names of a key's fields, in the order of their columns in `Rows`.
_NAMES: Final = (
    "co handle_left handle_right back amplitude period handle_left_type handle_right_type interpolation easing type "
    "select_control_point select_left_handle select_right_handle"
).split()
_ENDS: Final = [2, 4, 6, *range(7, WIDTH + 1)]
_RNA: Final = bpy.types.Keyframe.bl_rna.properties
_BUFFERS: Final[dict[str, Any]] = {"FLOAT": np.float32, "ENUM": np.int32, "BOOLEAN": np.bool_}
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
_ADDED: Final = np.array([*[0.0] * 9, 4, 4, 2, 0, 0, 1, 1, 1])
_WORDS: Final = {name: {number: word for word, number in numbers.items()} for name, numbers in _NUMBERS.items()}


def slot_curves(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> Any:
    """The F-curves of a slot, made ready where there are none yet."""
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


class Points:
    """The keys of an F-curve by index, as they are when it is made.

    Attributes:
        count: how many.
    """

    def __init__(self, curve: bpy.types.FCurve, few: float = FEW) -> None:
        """Read them: all at once where they are few, else where they are asked for."""
        self._points = curve.keyframe_points
        self.count = len(self._points)
        self._all = self._read() if self.count <= few else None
        self._known: tuple[int, Rows] = (0, np.zeros((0, WIDTH)))  # what was read last
        self._frames: list[float] = [] if self._all is None else self._all[:, FRAME].tolist()

    def frame(self, k: int) -> float:
        """Frame of a key."""
        return self._points[k].co[0] if self._all is None else self._frames[k]

    def co(self, k: int) -> tuple[float, float]:
        """Frame and value of a key."""
        x, y = self._points[k].co if self._all is None else self._all[k, POINT].tolist()
        return x, y

    def generated(self, k: int) -> bool:
        """Whether a tool made a key."""
        return self._points[k].type == "GENERATED"

    def index(self, frame: float) -> int:
        """Of the first key that is not before a frame."""
        return index(self._points, frame) if self._all is None else bisect_left(self._frames, frame)

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
        self._known = start, np.array(keys, np.float64).reshape(-1, WIDTH)
        return self._known[1]

    def put(self, start: int, old: Rows, new: Rows) -> None:
        """Put keys in the place of some that were read from an index on."""
        there, self._known = old[: len(new)], (0, new[:0])
        if self._all is None and len(new) > len(old):
            start, new, there = self._inserted(start, old, new)
        elif self._all is None:
            for _ in range(len(old) - len(new)):
                self._points.remove(self._points[start + len(new)], fast=True)
        else:
            there = old
        if self._all is not None:
            self._write(np.concatenate([self._all[:start], new, self._all[start + len(there) :]]))
            return
        points, differs = self._points[start : start + len(new)], there != new
        for name, columns, width, kind in _FIELDS:
            changed = np.flatnonzero(differs[:, columns].any(1))
            values = new[changed][:, columns].astype(kind).tolist()
            for k, value in zip(changed.tolist(), values, strict=True):
                word = _WORDS[name][value[0]] if name in _WORDS else value[0]
                setattr(points[k], name, value if width > 1 else word)

    def _inserted(self, start: int, old: Rows, new: Rows) -> tuple[int, Rows, Rows]:
        """Insert as many keys as there will be more.

        Returns:
            The index from which on keys are other now (Blender changes handles beside a new key), the keys to be put
            there, and those that are there.
        """
        first, last = max(start - 1, 0), min(start + len(old) + 1, self.count)
        before, after = self.rows(first, start), self.rows(start + len(old), last)
        new, x = np.concatenate([before, new, after]), np.concatenate([before, old, after])[:, FRAME]
        count = len(new) - len(x)
        points = new[nearest(new[:, FRAME], x)[1] > NEAR][:, POINT].tolist()
        if len(points) != count:  # not where they belong, then where there is most room
            x = np.append(x, x[-1] + count + 1.0) if last == self.count else x
            most = int(np.argmax(np.diff(x)))
            points = [(frame, 0.0) for frame in np.linspace(x[most], x[most + 1], count + 2)[1:-1]]
        for frame, value in points:
            self._points.insert(frame, value, options={"FAST"}, keyframe_type="GENERATED")
        added, self.count = len(self._points) - self.count, len(self._points)
        self._known = 0, new[:0]
        if added != count:  # there was no room: Blender took one key for another
            self._all = self._read()
        return first, new, self.rows(first, first + len(new) - count + added)

    def _read(self) -> Rows:
        rows = np.empty((self.count, WIDTH))
        buffers = {kind: np.empty(2 * self.count, kind) for kind in _BUFFERS.values()}
        for name, columns, width, kind in _FIELDS:
            flat = buffers[kind][: width * self.count]
            self._points.foreach_get(name, flat)
            rows[:, columns] = flat.reshape(-1, width)
        return rows

    def _write(self, rows: Rows) -> None:
        if len(rows) > self.count:
            self._points.add(len(rows) - self.count)
        for _ in range(self.count - len(rows)):
            self._points.remove(self._points[-1], fast=True)
        there = np.concatenate([self._all[: len(rows)], np.tile(_ADDED, (max(len(rows) - self.count, 0), 1))])
        differs = (rows != there).any(0).tolist()
        for name, columns, _, kind in _FIELDS:
            if any(differs[columns]):
                self._points.foreach_set(name, rows[:, columns].astype(kind).ravel())


def index(points: Any, frame: float) -> int:
    """Index of the first of Blender's keyframe points that is not before a frame."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if points[middle].co[0] < frame else (low, middle)
    return low


def co(curve: bpy.types.FCurve) -> npt.NDArray[np.float32]:
    """Frames and values of all keys, (K, 2)."""
    flat = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", flat)
    return flat.reshape(-1, 2)


def played(a: Floats, b: Floats, wanted: Floats) -> Floats:
    """What Blender plays between two keys on frames, asked of a curve of its own."""
    action = bpy.data.actions.new("CTEG easing")
    try:
        slot = action.slots.new(id_type="OBJECT", name="CTEG")
        curve = slot_curves(action, slot).new("location", index=0)
        Points(curve).put(0, NO_ROWS, np.stack([a, b]))
        return np.array([curve.evaluate(frame) for frame in wanted])
    finally:
        bpy.data.actions.remove(action)
