# SPDX-License-Identifier: GPL-3.0-or-later
"""Shifting: lines that all move by as much, and after which there is nothing else, take their keys along as they are.

Writing a scene of lines again costs tens of milliseconds a line; this costs a pass over the curves. What is known of a
span is found again from its keys (`whereabouts`), as after a move by hand, and so is what was edited in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final

import bpy
import numpy as np

from .curves import ActionPatch
from .playing import GENERATED
from .record import Line

#: Values less apart than this are one.
_LEVEL: Final = 1e-6


def shiftable(lines: Collection[Line], starts: Mapping[str, float]) -> tuple[tuple[str, ...], int, float]:
    """Which lines can be shifted.

    Args:
        lines: all of a character that show a take.
        starts: id -> the frame at which a line shall start.

    Returns:
        Their ids, by how many frames, and from which frame on; no ids where none can.
    """
    moves = {line.id: round(starts[line.id]) - line.start for line in lines if line.id in starts}
    by, _ = Counter(move for move in moves.values() if move).most_common(1)[0] if any(moves.values()) else (0, 0)
    if not by or by != round(by):
        return (), 0, 0.0
    ordered = sorted(lines, key=lambda line: line.start)
    first = len(ordered)
    while first and moves.get(ordered[first - 1].id) == by:
        first -= 1
    while first < len(ordered):  # none of them shares keys with one that stays, nor comes to lie on it
        edge = ordered[first].start
        last = max((line.end for line in ordered[:first]), default=-np.inf)
        if last < edge and last < edge + by:
            return tuple(line.id for line in ordered[first:]), int(by), edge
        first += 1
    return (), 0, 0.0


def shift(actions: Collection[bpy.types.Action], start: float, by: int) -> bool:
    """Move every key from a frame on, in the curves that have spans, where all of those keys are of spans, and the
    curves are level between them.

    Returns:
        Whether that was so; else nothing has changed.
    """
    moved = []
    patches = [ActionPatch(action) for action in actions]
    if any(patch.keeps_after(start - 0.5) for patch in patches):
        return False
    for curve in [curve for patch in patches for curve in patch.written().values()]:
        points = curve.keyframe_points
        kinds, places = np.empty(len(points), np.uint8), np.empty(2 * len(points), np.float32)
        points.foreach_get("type", kinds)
        points.foreach_get("co", places)
        later = places[::2] > start - 0.5
        if (kinds[later] != GENERATED).any() or any(not modifier.mute for modifier in curve.modifiers):
            return False
        if later.any() and not _is_free(points, int(later.argmax()), by):
            return False
        moved.append((points, later))
    for points, later in moved:
        for name in ("co", "handle_left", "handle_right"):
            values = np.empty(2 * len(points), np.float32)
            points.foreach_get(name, values)
            values[::2][later] += by
            points.foreach_set(name, values)
    for action in actions:
        action.update_tag(refresh={"TIME"})  # else the face stays as it was until another frame
    return True


def _is_free(points: Any, k: int, by: int) -> bool:
    """Whether the keys of a curve from one on can move: they stay behind the key before them, and the curve keeps one
    value from that to them, and after its last key.
    """
    first, last = points[max(k - 1, 0)], points[-1]
    shown = [first.co, *([first.handle_right, points[k].handle_left] if k else []), points[k].co]
    level = (bool(np.ptp([y for _, y in some]) < _LEVEL) for some in (shown, (last.co, last.handle_right)))
    return (not k or first.co[0] < points[k].co[0] + by) and all(level)
