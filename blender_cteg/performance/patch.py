# SPDX-License-Identifier: GPL-3.0-or-later
"""A performed line as a patch on a curve: the mathematics (no ``bpy``).

A curve is a function of its *base*, the keys that the animator made, and of the *spans* written into it. Outside the
spans it plays its base: where a span starts and ends, the base is cut exactly, and base keys beside it whose handles
Blender would calculate anew from their new neighbours are *held*: their handles become free. A *record* knows the base
keys that the curve no longer has as they were, and what stands for them, so that the base comes back bit for bit.

All of it works on windows: the keys of a curve around a change, and what the record knows beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ..arrays import Floats, Ints, Mask, Singles
from .cutting import cut, free_key, handles, set_handle
from .playing import (
    ALIGNED,
    BEZIER,
    CONSTANT,
    ELASTIC,
    FRAME,
    FREE,
    GENERATED,
    INTERPOLATION,
    KIND,
    LEFT,
    LEFT_TYPE,
    LINEAR,
    MOVED,
    NEAR,
    NO_ROWS,
    OVERSHOOT,
    PERIOD,
    POINT,
    RIGHT,
    RIGHT_TYPE,
    SAME,
    SELECTED,
    TAG,
    USUAL,
    VALUE,
    VECTOR,
    WIDTH,
    Rows,
    Shape,
    among,
    nearest,
    ordered,
    single,
    slopes,
    tag,
    within,
)
from .record import LineError
from .reduction import Keys

#: How far off handles are that Blender would calculate otherwise, of values: more than numbers are rounded.
_STALE: Final = 1e-4
#: Keys of a span as they are stored, (K,) of `WROTE`.
Kept = npt.NDArray[np.void]

#: A key as CTEG wrote it: how much higher its handles are; they reach a third of the way to the next keys.
WROTE: Final = np.dtype([("frame", "<f4"), ("value", "<f4"), ("rise", "<f2", (2,))])


class PatchError(LineError):
    """Curves cannot be patched; the message is a sentence, and nothing has changed."""


@dataclass(eq=False)
class Record:
    """What a curve's base was.

    Attributes:
        base: base keys that the curve does not have as they were: put aside (inside spans) or held (beside them).
        held: what the curve has outside its spans and the base has not: held keys as they are now, on the frames of
            their base keys, and keys that only help.
    """

    base: Rows = field(default_factory=NO_ROWS.view)
    held: Rows = field(default_factory=NO_ROWS.view)

    @property
    def aside(self) -> Mask:
        """Which base keys are put aside."""
        return ~among(self.base[:, FRAME], self.held[:, FRAME])

    @property
    def helpers(self) -> Floats:
        """The frames of keys that only help."""
        return self.held[~among(self.held[:, FRAME], self.base[:, FRAME]), FRAME]

    def put_aside(self, rows: Rows) -> None:
        """Add keys that are put aside."""
        self.base = ordered([self.base, rows])

    def around(self, low: float, high: float) -> Record:
        """The part between two frames, and the two base keys before and after."""
        first, last = np.searchsorted(self.base[:, FRAME], [low, high])
        base = self.base[max(first - 2, 0) : last + 2]
        low, high = min([low, *base[:1, FRAME]]), max([high, *base[-1:, FRAME]])
        return Record(base, self.held[(self.held[:, FRAME] >= low) & (self.held[:, FRAME] <= high)])

    def replaced(self, low: float, high: float, part: Record) -> Record:
        """The record with what another one knows between two frames."""
        pairs = (self.base, part.base), (self.held, part.held)
        return Record(*(ordered([o[o[:, FRAME] < low], within(n, low, high), o[o[:, FRAME] > high]]) for o, n in pairs))


@dataclass(frozen=True, eq=False)
class Place:
    """A span on one curve.

    Attributes:
        start: frame of its first key.
        end: frame of its last key; of a span at whose border the window ends, the same one.
        rows: its keys, the borders included.
        new: to be written; else they stay, and only what their borders show to the outside follows the base.
        outer: whether its first and its last key are such borders.
        joined: whether it goes on from what is left before it, and leaves something itself: its first and its last
            key keep their values.
    """

    start: float
    end: float
    rows: Rows
    new: bool
    outer: tuple[bool, bool] = (True, True)
    joined: tuple[bool, bool] = (False, False)


def _thirds(x: Floats, counts: Sequence[int]) -> Floats:
    """A third of the way to the key before and to the key after, of keys of several curves, (K, 2)."""
    after = np.append(np.diff(x) / 3, 0.0)
    before, stops = np.roll(after, 1), np.cumsum(counts)
    after[stops - 1] = before[stops - 1]
    before[stops - counts] = after[stops - counts]
    return np.stack([before, after], 1)


def performed(curves: Sequence[Keys], linear: bool, number: int) -> list[Rows]:
    """The rows of a span, of each of its curves, tagged with a number.

    PatchError for keys that are too few, not in order, or not finite.
    """
    counts = [len(keys.frames) for keys in curves]
    rows = np.zeros((sum(counts), WIDTH))
    rows[:, FRAME] = np.concatenate([keys.frames for keys in curves])
    rows[:, VALUE] = np.concatenate([keys.values for keys in curves])
    tilt = np.concatenate([keys.slopes for keys in curves])
    rows, stops = single(rows), np.cumsum(counts)
    forward = np.diff(rows[:, FRAME]) > NEAR
    forward[stops[:-1] - 1] = True
    if min(counts) < 2 or not forward.all() or not np.isfinite(rows).all() or not np.isfinite(tilt).all():
        raise PatchError("A curve of this line has keys that are not numbers or not in order. Make the line again.")
    reach = _thirds(rows[:, FRAME], counts) * (-1, 1)
    for side, column in ((LEFT, 0), (RIGHT, 1)):
        rows[:, side] = rows[:, POINT] + np.stack([reach[:, column], reach[:, column] * tilt[:, column]], 1)
    free = VECTOR if linear else np.where(tilt[:, 0] == tilt[:, 1], ALIGNED, FREE)
    rows[:, LEFT_TYPE] = rows[:, RIGHT_TYPE] = free
    rows[:, INTERPOLATION], rows[:, KIND] = LINEAR if linear else BEZIER, GENERATED
    rows[:, OVERSHOOT] = USUAL[0]
    return _parted(tag(single(rows), number), stops)


def wrote(rows: Rows) -> Kept:
    """Keys of a span as they are stored."""
    kept = np.zeros(len(rows), WROTE)
    kept["frame"], kept["value"] = rows[:, POINT].T
    kept["rise"] = np.clip(rows[:, [LEFT.stop - 1, RIGHT.stop - 1]] - rows[:, [VALUE]], -6e4, 6e4)
    return kept


def as_written(kept: Kept, counts: Sequence[int], a: float, b: float, linear: bool) -> list[Rows]:
    """The keys of a span as they were written, of each curve, on the frames where it is found."""
    rows = np.zeros((len(kept), WIDTH))
    rows[:, FRAME], rows[:, VALUE] = kept["frame"] * np.float64(a) + b, kept["value"]
    reach = _thirds(rows[:, FRAME], counts) * (-1, 1)
    for side, column in ((LEFT, 0), (RIGHT, 1)):
        rows[:, side] = rows[:, POINT] + np.stack([reach[:, column], kept["rise"][:, column]], 1)
    stops = np.cumsum(counts)
    rows[:, INTERPOLATION] = LINEAR if linear else BEZIER
    rows[stops - counts, INTERPOLATION] = BEZIER  # see `filled`
    return _parted(rows, stops)


def patched(base: Rows, places: Sequence[Place], shape: Shape, rest: float) -> tuple[Rows, Record]:
    """Spans written into a base.

    Args:
        base: the base keys around them.
        places: the spans, in order, apart or touching.
        shape: what the curve is besides.
        rest: what is held where the base has no keys.

    Returns:
        The keys, and the record that gives the base back.
    """
    rows, outer = base.copy(), slopes(base, shape.linear)
    if not len(base):
        rows = _key(places[0].start, rest)[None]
    elif len(rows) > 1 and shape.linear and rows[-1, INTERPOLATION] == LINEAR and places[-1].end > rows[-2, FRAME]:
        rows[-1, INTERPOLATION] = BEZIER  # LINEAR goes on from the neighbour, which will be another
        set_handle(rows[-1], RIGHT, 1.0, outer[1])
    for place in places:
        for frame in (place.start, place.end):
            rows = cut(rows, float(np.float32(frame)), outer, shape.oracle)
    x = rows[:, FRAME]
    borders = [frame for place in places for frame in (place.start, place.end)]
    ends = [(_border(x, place.start, 0, borders), _border(x, place.end, -1, borders)) for place in places]
    inside = np.zeros(len(rows), np.bool_)
    for i, j in ends:
        inside[i : j + 1] = True
    theirs = among(x, base[:, FRAME])
    holds = _holds(rows, ends, inside, theirs, shape)
    rows[holds | inside, LEFT_TYPE : RIGHT_TYPE + 1] = FREE
    blocks = []
    for place, (i, j) in zip(places, ends, strict=True):
        if i == 0:
            set_handle(rows[i], LEFT, -1.0, outer[0])
        if j == len(rows) - 1:
            set_handle(rows[j], RIGHT, 1.0, outer[1])
            rows[j, INTERPOLATION] = CONSTANT if rows[j, INTERPOLATION] == CONSTANT else BEZIER
        edges = rows[[i, j]]
        edges[edges[:, INTERPOLATION] != ELASTIC, TAG] = place.rows[0, TAG]  # what is elastic is so to the outside
        new = filled([place.rows], edges[:1], edges[1:], [place.joined]) if place.new else []
        blocks.append(new[0] if new else _shown(place, rows[i], rows[j]))
    gone = among(base[:, FRAME], x[inside | holds])
    record = Record(base[gone], single(rows[~inside & (holds | ~theirs)]))
    return _joined(single(ordered([rows[~inside], *blocks]))), record


def _key(frame: float, value: float) -> Floats:
    """A key with free handles on it."""
    key = free_key(np.zeros(WIDTH), (np.float32(frame), value))
    key[INTERPOLATION], key[OVERSHOOT : PERIOD + 1] = BEZIER, USUAL
    return key


def resting(start: float, end: float, rest: float, number: int) -> Rows:
    """The borders of a span on a curve that has no base, as `patched` makes them."""
    rows = tag(np.array([_key(frame, rest) for frame in (start, end)]), number)
    for side, length in ((LEFT, -1.0), (RIGHT, 1.0)):
        rows[:, side] = handles(rows, np.full(2, length), np.zeros(2))
    return rows


def _border(x: Floats, frame: float, outermost: int, borders: Sequence[float]) -> int:
    """Index of the key that is the border of a span on a frame: of several keys so near the outermost.

    So none of them is left outside, where it would be taken for one of the span's. Where spans touch it is the nearest.
    """
    near = np.flatnonzero(np.abs(x - frame) <= NEAR + 1e-6)
    if len(near) < 2 or sum(abs(frame - other) <= NEAR for other in borders) > 1:
        return int(np.abs(x - frame).argmin())
    return int(near[outermost])


def _holds(rows: Rows, ends: Sequence[tuple[int, int]], inside: Mask, theirs: Mask, shape: Shape) -> Mask:
    """Base keys beside the spans whose handles Blender would calculate anew from their new neighbours."""
    holds = np.zeros(len(rows), np.bool_)
    for k, step in ((end[step > 0], step) for end in ends for step in (-1, 1)):
        k, count = k + step, 0
        while 0 <= k < len(rows) and not inside[k] and count < shape.reach:
            if theirs[k]:
                holds[k], count = True, count + 1
                if rows[k, LEFT_TYPE] == rows[k, RIGHT_TYPE] == FREE and count > shape.linear:
                    break  # nothing passes it
            k += step
    return holds


def _shown(place: Place, first: Floats, last: Floats) -> Rows:
    """Keys that stay, with borders that follow the base outside, if they still are where it is."""
    rows = place.rows.copy()
    for key, border, side, outer in ((rows[0], first, LEFT, 0), (rows[-1], last, RIGHT, 1)):
        if place.outer[outer] and np.abs(key[POINT] - border[POINT]).max() <= 1e-5 * max(1.0, abs(border[VALUE])):
            key[side], key[LEFT_TYPE + outer] = border[side], FREE
            if outer:
                key[INTERPOLATION] = border[INTERPOLATION]
    return rows


def filled(
    curves: Sequence[Rows], firsts: Rows, lasts: Rows, joined: Sequence[tuple[bool, bool]]
) -> list[Rows]:  # fmt: skip
    """New keys of curves, each between two borders, which keep what they show to the outside.

    They keep their values too, but where a span is ``joined`` to what is before or after it.
    """
    if (firsts[:, FRAME] >= lasts[:, FRAME]).any():
        raise PatchError("The line is shorter than the distance between keys at its start. Move them, or the line.")
    rows, counts = np.concatenate(curves), [len(one) for one in curves]
    starts, ends = np.repeat(firsts[:, FRAME], counts), np.repeat(lasts[:, FRAME], counts)
    stops = np.cumsum(counts)
    keep = (rows[:, FRAME] >= starts + NEAR) & (rows[:, FRAME] <= ends - NEAR)
    keep[stops - counts] = keep[stops - 1] = True
    counts = np.add.reduceat(keep, stops - counts)
    rows, stops = rows[keep], np.cumsum(counts)
    borders = (stops - counts, firsts, RIGHT, 1), (stops - 1, lasts, LEFT, -1)
    tilts = [(rows[at, side] - rows[at, POINT]).T for at, _, side, _ in borders]
    joins = np.array(joined, bool).T
    for (at, border, _, _), join in zip(borders, joins, strict=True):
        own = np.where(join, rows[at, VALUE] - border[:, VALUE], 0.0)
        rows[at] = border
        for column in (VALUE, LEFT.stop - 1, RIGHT.stop - 1):
            rows[at, column] += own
    firsts, lasts = rows[borders[0][0]], rows[borders[1][0]]
    borders = (borders[0][0], firsts, RIGHT, 1), (borders[1][0], lasts, LEFT, -1)
    for (at, border, side, step), (run, rise) in zip(borders, tilts, strict=True):
        rows[at, side] = handles(border, (rows[at + step, FRAME] - border[:, FRAME]) / 3, rise / run)
        rows[at, KIND], rows[at, SELECTED] = GENERATED, 0
    rows[stops - counts, INTERPOLATION] = BEZIER  # also where lines follow: a first LINEAR key goes on before it
    return _parted(single(rows), stops)


def _parted(rows: Rows, stops: Ints) -> list[Rows]:
    """The rows of several curves, each by itself."""
    return [rows[first:last] for first, last in pairwise([0, *stops.tolist()])]


def _joined(rows: Rows) -> Rows:
    """One border instead of two where spans touch: the left side of the first, the right side of the second, and
    tagged as neither's.
    """
    double = np.flatnonzero(rows[1:, FRAME] - rows[:-1, FRAME] <= 1e-4)
    for column in (RIGHT, RIGHT_TYPE, INTERPOLATION) if len(double) else ():
        rows[double, column] = rows[double + 1, column]
    rows[double, TAG] = USUAL[1:]
    return np.delete(rows, double + 1, 0) if len(double) else rows


def restored(rows: Rows, record: Record, low: float, high: float) -> Rows:
    """The base again.

    Args:
        rows: the keys of a window that belong to no span. What was edited while it was held stays, with the old types.
        record: what is known of the same window, and of what is beside it.
        low: where the window begins.
        high: where it ends.
    """
    if not len(record.base) and not len(record.held):
        return rows
    x = record.base[:, FRAME]
    kept = record.base[record.aside | (x < low) | (x > high)]
    base = ordered([_released(rows.copy(), record), kept])
    # A key that was set again on the frame of one put aside comes first, and stays.
    return base[np.diff(base[:, FRAME], prepend=-np.inf) > 1e-4]


def _released(rows: Rows, record: Record) -> Rows:
    """Held keys as they were, but for what was edited since; without the keys that only helped."""
    if not len(record.held) or not len(rows):
        return rows
    at, off = nearest(rows[:, FRAME], record.held[:, FRAME])
    there = np.flatnonzero(off < SAME)
    held, now = record.held[at[there]], rows[there]
    same = now == held
    same[:, SELECTED] = False
    if not same[:, : SELECTED.start].all():
        for point in (POINT, LEFT, RIGHT):  # whole points; frames but for the rounding of a move
            off = np.abs(now[:, point] - held[:, point])
            same[:, point] = ((off[:, 0] <= SAME) & (off[:, 1] == 0))[:, None]
    for side, kind in ((LEFT, LEFT_TYPE), (RIGHT, RIGHT_TYPE)):  # a handle that was dragged stays where it is
        dragged = np.abs((now[:, side] - now[:, POINT]) - (held[:, side] - held[:, POINT])).max(1)
        same[:, kind] &= dragged <= 10 * SAME * np.maximum(1.0, np.abs(now[:, VALUE]))
    theirs = among(held[:, FRAME], record.base[:, FRAME])
    before = record.base[record.base[:, FRAME].searchsorted(held[theirs, FRAME])]
    rows[there[theirs]] = np.where(same[theirs], before, now[theirs])
    helped = ~theirs & same[:, : SELECTED.start].all(1)
    for lost in np.setdiff1d(np.arange(len(record.held)), at[there]):  # dragged elsewhere: its handles were not free
        like = np.setdiff1d(np.flatnonzero(rows[:, VALUE] == record.held[lost, VALUE]), there)
        was = record.base[np.abs(record.base[:, FRAME] - record.held[lost, FRAME]) < SAME]
        if len(like) == len(was) == 1 and (rows[like, LEFT_TYPE : RIGHT_TYPE + 1] == FREE).all():
            rows[like, LEFT_TYPE : RIGHT_TYPE + 1] = was[:, LEFT_TYPE : RIGHT_TYPE + 1]
    return np.delete(rows, there[helped], 0) if helped.any() else rows


def refreshed(rows: Rows, now: Rows, held: Mask) -> Rows:
    """Keys with the handles that Blender calculates for them ``now``, where those of ``held`` ones are of neighbours
    that are not there, or not as they were, any more.
    """
    if len(now) != len(rows):
        return rows
    off = np.abs(now - rows)[:, LEFT.start : RIGHT.stop].max(1)
    stale = held & (off > _STALE * np.maximum(1.0, np.abs(rows[:, VALUE])))
    return np.where(stale[:, None], now, rows)


def moved(rows: Rows, a: float, b: float) -> Rows:
    """Keys on other frames, their handles with them; where ``a`` is below 0, turned around."""
    rows = rows.copy() if a > 0 else rows[::-1].copy()
    rows[:, [FRAME, LEFT.start, RIGHT.start]] = rows[:, [FRAME, LEFT.start, RIGHT.start]] * a + b
    if a < 0:
        rows[:, LEFT.start : RIGHT.stop] = np.roll(rows[:, LEFT.start : RIGHT.stop], 2, 1)
    return single(rows)


def claimed(rows: Rows, kept: Kept) -> Mask:
    """Keys that tools made on the frames where a span has its keys; those of older files are not tagged."""
    _, off = nearest(rows[:, FRAME], kept["frame"].astype(np.float64))
    return np.asarray((off <= MOVED) & (rows[:, KIND] == GENERATED))


def unedited(now: Rows, was: Rows, scaled: bool, counts: Sequence[int] | None = None) -> Mask:
    """Which keys of a span are as they were written, key by key. Borders show the base to the outside.

    Args:
        now, was: keys of a curve, or of several, one after the other.
        scaled: they were scaled in the Dope Sheet, where handles keep their lengths.
        counts: how many are of each curve; of several.
    """
    stops = np.cumsum([len(was)] if counts is None else counts)
    firsts, lasts = np.append(0, stops[:-1]), stops - 1
    close = 2e-6 * np.maximum(1.0, np.abs(was[:, VALUE]))
    same = (np.abs(now[:, FRAME] - was[:, FRAME]) <= MOVED) & (np.abs(now[:, VALUE] - was[:, VALUE]) <= close)
    alike = now[:, INTERPOLATION] == was[:, INTERPOLATION]
    alike[lasts] = True
    same &= alike
    if scaled or was[-1, INTERPOLATION] == LINEAR:
        return same
    least = np.stack([np.full(len(close), MOVED), close], axis=1)
    for side, outer in ((LEFT, firsts), (RIGHT, lasts)):
        off = np.abs((now[:, side] - now[:, POINT]) - (was[:, side] - was[:, POINT]))
        alike = (off <= least + 1e-3 * np.abs(was[:, side] - was[:, POINT])).all(axis=1)
        alike[outer] = True
        same &= alike
    return same


def vote(pairs: Sequence[tuple[Singles, Singles]]) -> tuple[float, float, float]:
    """Where keys are now that were moved or scaled together; their values are the same to the bit.

    Args:
        pairs: for some curves frames and values of the keys as written and of the keys there are, (K, 2) each.

    Returns:
        a, b, share: frame = a * old frame + b, a below 0 where they were turned around, and the share of the keys that
        are there.
    """
    old, new, key, total, tries = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, int)], 0, {(1.0, 0.0)}
    for written, there in pairs:
        i, j = np.nonzero(written[:, None, 1] == there[None, :, 1])
        x, y = written[i, 0].astype(np.float64), there[j, 0].astype(np.float64)
        old, new, key, total = [*old, x], [*new, y], [*key, total + i], total + len(written)
        shifts, votes = np.unique(np.round(y - x, 3), return_counts=True)
        tries |= {(1.0, float(shift)) for shift in shifts[np.argsort(-votes, kind="stable")[:30]]}
        once = (np.bincount(i)[i] == 1) & (np.bincount(j)[j] == 1) if len(i) else np.zeros(0, np.bool_)
        if once.sum() > 1:
            u, v = x[once], y[once]
            scales = np.median(np.diff(v) / np.diff(u)), (v[-1] - v[0]) / (u[-1] - u[0])
            tries |= {(float(a), float(np.median(v - a * u))) for a in scales if a}
    x, y, k = np.concatenate(old), np.concatenate(new), np.concatenate(key)

    def score(guess: tuple[float, float]) -> tuple[int, float]:
        a, b = guess
        return len(np.unique(k[np.abs(a * x + b - y) < MOVED * max(1.0, abs(a))])), -abs(b) - abs(a - 1)

    best = max(tries, key=score)
    share = score(best)[0] / max(total, 1)
    return (*best, share) if share else (1.0, 0.0, 0.0)
