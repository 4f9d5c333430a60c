# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans on curves: nothing changes outside, everything comes back, and they are found, whatever was done to them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
import pytest

from blender_cteg.performance import spans, whereabouts
from blender_cteg.performance.curves import ActionPatch, Address, PatchError, Span, slot_curves
from blender_cteg.performance.reduction import Keys
from blender_cteg.performance.whereabouts import Whereabouts

from . import scenes

Floats = npt.NDArray[np.float64]

EASINGS = "SINE QUAD CUBIC QUART QUINT EXPO CIRC BACK BOUNCE ELASTIC".split()
FIELDS = (
    "co handle_left handle_right handle_left_type handle_right_type interpolation easing type back amplitude period "
    "select_control_point select_left_handle select_right_handle"
).split()


class Sheet:
    """An action with a slot, and what tests ask of its curves."""

    def __init__(self, name: str = "Acting") -> None:
        self.action = bpy.data.actions.new(name)
        self.slot = self.action.slots.new(id_type="KEY", name="Face")

    @property
    def curves(self) -> Any:
        return slot_curves(self.action, self.slot)

    def curve(self, k: int = 0) -> bpy.types.FCurve:
        return self.curves.find(self.address(k)[1], index=0)

    def new(self, k: int, keys: Iterable[tuple[float, float]]) -> bpy.types.FCurve:
        curve = self.curves.new(self.address(k)[1], index=0)
        for frame, value in keys:
            curve.keyframe_points.insert(frame, value)
        curve.update()
        return curve

    def address(self, k: int = 0) -> Address:
        return (self.slot.handle, f'key_blocks["key {k}"].value', 0)

    def patch(self) -> ActionPatch:
        return ActionPatch(self.action)


def keys(start: float, end: float, seed: int, count: int = 9, straight: bool = False) -> Keys:
    """Wild keys."""
    rng = np.random.default_rng(seed)
    frames = np.concatenate([[start], np.sort(rng.uniform(start + 0.3, end - 0.3, count - 2)), [end]])
    frames = frames[np.concatenate([[True], np.diff(frames) > 0.1])]
    frames[-1] = end
    values = rng.normal(size=len(frames))
    if straight:
        slope = np.diff(values) / np.diff(frames)
        return Keys(frames, values, np.stack([np.append(slope[:1], slope), np.append(slope, slope[-1:])], 1))
    return Keys(frames, values, rng.normal(0, 0.2, (len(frames), 2)))


def rows(curve: bpy.types.FCurve) -> list[tuple[Any, ...]]:
    """All keys with all fields, to the bit."""
    whole = lambda value: tuple(value) if hasattr(value, "__len__") and not isinstance(value, str) else value  # noqa: E731
    return [tuple(whole(getattr(point, field)) for field in FIELDS) for point in curve.keyframe_points]


def played(curve: bpy.types.FCurve, frames: Floats) -> Floats:
    return np.array([curve.evaluate(frame) for frame in frames])


def random_curve(sheet: Sheet, rng: np.random.Generator, eased: bool) -> bpy.types.FCurve:
    """A curve as wild as animators make them, and wilder."""
    curve = sheet.curves.new(sheet.address(int(rng.integers(1 << 40)))[1], index=0)
    count, whole = int(rng.integers(1, 9)), rng.random() < 0.5
    count, apart = (count, 40) if rng.random() < 0.85 else (count + 50, 6)
    frames = np.cumsum(rng.uniform(1.5, apart, count)) + rng.uniform(0, 60)
    frames = np.round(frames) if whole else frames
    curve.extrapolation = str(rng.choice(["CONSTANT", "LINEAR"]))
    curve.auto_smoothing = str(rng.choice(["NONE", "CONT_ACCEL"]))
    curve.keyframe_points.add(count)
    for point, frame in zip(curve.keyframe_points, frames, strict=True):
        point.co = frame, rng.normal() * rng.choice([0, 0.2, 1])
        point.handle_left_type, point.handle_right_type = rng.choice(
            ["FREE", "AUTO", "VECTOR", "ALIGNED", "AUTO_CLAMPED"], 2
        )
        point.interpolation = str(rng.choice(["CONSTANT", "LINEAR", "BEZIER", "BEZIER", "BEZIER"]))
        if eased and rng.random() < 0.6:
            point.interpolation = str(rng.choice(EASINGS))
            point.easing = str(rng.choice(["AUTO", "EASE_IN", "EASE_OUT", "EASE_IN_OUT"]))
        point.handle_left = frame - rng.uniform(0, 30), point.co[1] + rng.normal()
        point.handle_right = frame + rng.uniform(0, 30), point.co[1] + rng.normal()
        point.select_control_point = bool(rng.random() < 0.5)
    curve.update()
    curve.update()
    return curve


def random_spans(rng: np.random.Generator, frames: list[float]) -> list[tuple[float, float]]:
    """One to three spans, apart or touching, some with a border on or near a key."""
    low, high = min(frames) - 40, max(frames) + 40
    cuts = np.sort(rng.uniform(low, high, 6))
    cuts = np.round(cuts) if rng.random() < 0.5 else cuts
    if rng.random() < 0.4:
        cuts[int(rng.integers(6))] = rng.choice(frames) + rng.choice([0, 0.005, -0.005, 0.02])
        cuts = np.sort(cuts)
    spans = [(cuts[k], cuts[k + 1]) for k in range(0, 6, 2) if cuts[k + 1] - cuts[k] > 2]
    if len(spans) > 1 and rng.random() < 0.2:
        spans[1] = (spans[0][1], spans[1][1])
    return spans[: int(rng.integers(1, 4))]


def outside(frames: Floats, spans: Iterable[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    return ~np.any([(frames > start - 0.011) & (frames < end + 0.011) for start, end in spans], axis=0)


def deviation(curve: bpy.types.FCurve, before: Floats, frames: Floats, spans: Iterable[tuple[float, float]]) -> float:
    """How far a curve is off outside its spans, relative to what it went through before."""
    free = outside(frames, spans)
    return float(np.abs(played(curve, frames) - before)[free].max(initial=0)) / max(1.0, float(np.ptp(before)))


def fuzz(seed: int, eased: bool) -> tuple[float, float, int]:
    """One random curve: how far it was off at most as written, and after an update; how many keys did not come back.

    After an update only what is played comes back: Blender itself turns aligned handles a little with each.
    """
    rng = np.random.default_rng(seed)
    sheet = Sheet()
    curve = random_curve(sheet, rng, eased)
    address = (sheet.slot.handle, curve.data_path, 0)
    base, frames = rows(curve), np.arange(-60, 420) / 1.0
    frames = np.sort(np.concatenate([frames, frames + 0.5]))
    before, there, off, updated = played(curve, frames), {}, 0.0, -1.0
    spans = {
        f"line {k}": span for k, span in enumerate(random_spans(rng, [point.co[0] for point in curve.keyframe_points]))
    }
    waiting = list(spans)
    rng.shuffle(waiting)
    for _ in range(2 * len(spans) + 2):
        write = [waiting.pop()] if waiting and rng.random() < 0.7 else []
        remove = [str(rng.choice(list(there)))] if there and rng.random() < 0.4 else []
        waiting += remove
        sheet.patch().replace(
            remove, [Span(n, *spans[n], {address: keys(*spans[n], seed + k)}) for k, n in enumerate(write)]
        )
        there = {name: spans[name] for name in [*(n for n in there if n not in remove), *write]}
        assert sheet.patch().spans == dict(sorted(there.items(), key=lambda item: item[1]))
        off = max(off, deviation(curve, before, frames, there.values()))
    if rng.random() < 0.5 and there:
        curve.update()
        updated = deviation(curve, before, frames, there.values())
        assert all(sheet.patch().found(name).same and not sheet.patch().edits(name) for name in there)
    for name in rng.permutation(list(there)):
        sheet.patch().replace([str(name)], [])
        del there[str(name)]
        off = max(off, deviation(curve, before, frames, there.values()))
    assert len(rows(curve)) == len(base)
    wrong = sum(a != b for a, b in zip(rows(curve), base, strict=True)) if updated < 0 else 0
    assert "cteg_patch" not in sheet.action
    bpy.data.actions.remove(sheet.action)
    return off, updated, wrong


@pytest.mark.parametrize(
    ("first", "count", "eased", "few"), [(0, 260, False, 400), (1000, 170, False, 0), (2000, 90, True, 400)]
)
def test_outside_nothing_changes_and_everything_comes_back(
    monkeypatch: pytest.MonkeyPatch, first: int, count: int, eased: bool, few: int, long: bool
) -> None:
    monkeypatch.setattr(whereabouts, "FEW", few)  # both ways to read and write keys
    count = count if long else count // 2
    off, updated, wrong = np.array([fuzz(seed, eased) for seed in range(first, first + count)]).T
    assert off.max() <= 1e-5 and not wrong.any()
    # Blender opens vertical tangents by 0.001 frames: handles as long as the way to the next key, on both sides.
    assert np.quantile(updated, 0.98) <= 1e-5 and updated.max() <= 1e-3


def test_late_in_a_scene_a_line_adds_less_than_single_precision_takes() -> None:
    """A frame is 0.001 wide at frame 9,000: a curve drawn there is not the one drawn at 0."""
    late, takes, adds = 9_000.0, [], []
    for seed in range(80):
        rng, sheet = np.random.default_rng(seed), Sheet()
        curve = random_curve(sheet, rng, False)
        keyed = [point.co[0] for point in curve.keyframe_points]
        frames = np.arange(int(min(keyed)) - 20, int(max(keyed)) + 21, 0.5)
        early, (start, end) = played(curve, frames), random_spans(rng, keyed)[0]
        for point in curve.keyframe_points:
            for name in ("co", "handle_left", "handle_right"):
                x, y = getattr(point, name)
                setattr(point, name, (x + late, y))
        before, where = played(curve, frames + late), (np.float32(start + late), np.float32(end + late))
        takes.append(np.abs(before - early).max() / max(1.0, float(np.ptp(before))))
        span = Span("line", *map(float, where), {(sheet.slot.handle, curve.data_path, 0): keys(*where, seed)})
        sheet.patch().replace([], [span])
        adds.append(deviation(curve, before, frames + late, [where]))
    assert np.quantile(adds, 0.95) <= np.quantile(takes, 0.95) and np.median(adds) <= 1e-5
    assert np.quantile(takes, 0.95) > 1e-4, "without any line"


@pytest.mark.parametrize(("late", "most"), [(0, 1e-5), (9_000, 2e-4)])
def test_upright_handles_are_cut_no_worse_than_blender_cuts_them(
    monkeypatch: pytest.MonkeyPatch, late: int, most: float
) -> None:
    """Blender's own insertion of a key with free handles divides the segment, too."""
    monkeypatch.setattr(bpy.context.preferences.edit, "keyframe_new_handle_type", "FREE")
    ours, blenders = [], []
    for seed in range(40):
        for off in (ours, blenders):
            rng, sheet = np.random.default_rng(seed), Sheet()
            curve = sheet.new(0, [])
            at = late + np.cumsum(rng.uniform(12, 40, 3))
            curve.keyframe_points.add(3)
            for point, frame in zip(curve.keyframe_points, at, strict=True):
                point.co, point.handle_left_type, point.handle_right_type = (frame, rng.normal()), "FREE", "FREE"
                point.handle_left, point.handle_right = ((frame, rng.normal()) for _ in "lr")
            curve.update()
            start, end = (float(round(frame)) for frame in (at[:2] + at[1:]) / 2)
            frames = np.arange(round(at[0]), round(at[-1]), 0.25)
            before = played(curve, frames)
            if off is ours:
                sheet.patch().replace([], [Span("line", start, end, {sheet.address(): keys(start, end, seed)})])
            else:
                for frame in (start, end):
                    curve.keyframe_points.insert(frame, curve.evaluate(frame))
            off.append(deviation(curve, before, frames, [(start, end)]))
    assert max(ours) <= most and max(ours) <= max(blenders) and np.median(ours) <= np.median(blenders)


@pytest.mark.parametrize("few", [400, 0])
def test_two_keys_at_one_border_both_come_back(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Nearer to each other than Blender inserts keys, as scaling makes them: a step, at either end of a line."""
    monkeypatch.setattr(whereabouts, "FEW", few)
    sheet = Sheet()
    curve = sheet.new(0, [(0, 0.1), (10, 0.3), (30, 0.6), (50, 0.4), (70, 0.9)])
    points, steps = curve.keyframe_points, [(19.991, 0.2), (20.004, 0.8), (50.006, 0.7)]
    points.add(len(steps))
    for point, step in zip(list(points)[-3:], steps, strict=True):
        point.co = step
    points.sort()
    curve.update()
    base, frames = rows(curve), np.concatenate([np.arange(-10, 19.98, 0.25), np.arange(50.02, 90, 0.25)])
    before = played(curve, frames)
    for _ in range(2):
        sheet.patch().replace([], [Span("line", 20, 50, {sheet.address(): keys(20, 50, 3)})])
        assert np.abs(played(curve, frames) - before).max() <= 1e-5
        assert not sheet.patch().edits("line")
    sheet.patch().replace(["line"], [])
    assert rows(curve) == base


def test_the_fuzz_can_fail() -> None:
    """Inserting keys the plain way, measured by the same function."""
    off = []
    for seed in range(20):
        rng, sheet = np.random.default_rng(seed), Sheet()
        curve = random_curve(sheet, rng, False)
        frames = np.arange(-60, 420) / 1.0
        before, (start, end) = (
            played(curve, frames),
            random_spans(rng, [point.co[0] for point in curve.keyframe_points])[0],
        )
        for frame, value in zip(np.linspace(start, end, 9), rng.normal(size=9), strict=True):
            curve.keyframe_points.insert(frame, curve.evaluate(frame) if frame in (start, end) else value)
        off.append(deviation(curve, before, frames, [(start, end)]))
    assert np.median(off) > 0.05


# ---- Lines that were moved -------------------------------------------------------------------------------------

COUNT = 6


@pytest.fixture
def sheet() -> Sheet:
    """Six curves; three with keys of the animator's, all with a line on frames 100 to 129 and one on 200 to 240."""
    sheet = Sheet()
    for k in range(3):
        sheet.new(k, [(1, 0.3), (90, 1.0 - k), (112, 0.2), (150, 0.4), (260, 0.7 * k)])
    write(sheet, "one", 100, 129)
    write(sheet, "two", 200, 240)
    return sheet


def write(sheet: Sheet, name: str, start: float, end: float, seed: int = 0, count: int = 9) -> None:
    lines = {sheet.address(k): keys(start, end, seed + k + int(start), count) for k in range(COUNT)}
    rest = {sheet.address(k): 0.25 for k in range(COUNT)}
    sheet.patch().replace([], [Span(name, start, end, lines, {sheet.address(3): "Mouth"}, rest)])


def shift(sheet: Sheet, where: Callable[[float], bool], move: Callable[[float], float]) -> None:
    """What an animator does with selected keys in the Dope Sheet."""
    for curve in sheet.curves:
        for point in curve.keyframe_points:
            if where(point.co[0]):
                by = move(point.co[0]) - point.co[0]
                for name in ("co", "handle_left", "handle_right"):
                    x, y = getattr(point, name)
                    setattr(point, name, (x + by, y))
        curve.update()


def delete(curve: bpy.types.FCurve, start: float, end: float) -> None:
    for point in reversed(curve.keyframe_points[:]):
        if start < point.co[0] < end:
            curve.keyframe_points.remove(point)


def state(sheet: Sheet) -> dict[str, list[tuple[Any, ...]]]:
    return {curve.data_path: rows(curve) for curve in sheet.curves}


def test_a_line_is_found_where_it_is(sheet: Sheet) -> None:
    found = sheet.patch().found("one")
    assert (found.a, found.b, found.share) == (1, 0, 1)
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 13)
    assert sheet.patch().found("one").b == pytest.approx(13) and sheet.patch().found("two").same
    shift(sheet, lambda frame: True, lambda frame: frame + 24)
    found = sheet.patch().found("one")
    assert (found.a, found.share) == (1, 1) and found.b == pytest.approx(37) and found.at(100) == pytest.approx(137)
    assert sheet.patch().found("two").b == pytest.approx(24)


def test_all_lines_are_found_as_each_alone_and_few_are_looked_for(
    sheet: Sheet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keys came, went or moved: the marks say the same as every line by itself."""
    for k in range(12):
        write(sheet, f"more {k}", 300 + 50 * k, 340 + 50 * k, seed=k)
    sheet.patch().look()
    looked: list[Any] = []
    look = Whereabouts._look
    monkeypatch.setattr(Whereabouts, "_look", lambda self, span: looked.append(span) or look(self, span))

    def seen(most: int) -> None:
        looked.clear()
        together = dict(sheet.patch().look())
        assert len(looked) <= most
        assert together == {name: sheet.patch().found(name) for name in together}

    seen(0)
    write(sheet, "more 4", 500, 540, seed=90, count=14)  # with more keys than before
    seen(1)
    for curve in sheet.curves:
        curve.keyframe_points.insert(60, 0.5)
    seen(0)
    shift(sheet, lambda frame: 645 < frame < 695, lambda frame: frame + 5)
    seen(1)
    for curve in sheet.curves:
        curve.keyframe_points.insert(70, 0.5)
        curve.keyframe_points.remove(curve.keyframe_points[-1])
    seen(14)  # as many keys as before, and none where it was
    seen(2)
    rng = np.random.default_rng(3)
    for _ in range(40):
        curve = sheet.curves[rng.integers(COUNT)]
        frame = float(rng.integers(1, 900))
        if rng.random() < 0.5:
            curve.keyframe_points.insert(frame, 0.5)
        elif rng.random() < 0.5:
            delete(curve, frame, frame + 20)
        else:
            by = float(rng.integers(-9, 10))
            shift(sheet, lambda x, at=frame: at < x < at + 60, lambda x, by=by: x + by)
        seen(14)


def test_a_scaled_line_is_found(sheet: Sheet) -> None:
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: 100 + (frame - 100) * 1.5)
    found = sheet.patch().found("one")
    assert found.share == 1 and (found.at(100), found.at(129)) == pytest.approx((100, 143.5), abs=0.02)


def test_a_line_of_which_few_keys_are_left_is_found(sheet: Sheet) -> None:
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 13)
    for curve in sheet.curves:
        delete(curve, 118, 143)
    found = sheet.patch().found("one")
    assert 0.1 < found.share < 0.6 and found.b == pytest.approx(13)


def test_a_line_that_was_moved_alone_leaves_the_base_as_it_was() -> None:
    sheet = Sheet()
    for k in range(3):
        sheet.new(k, [(1, 0.3), (90, 1.0 - k), (112, 0.2), (180, 0.4)])
    before = state(sheet)
    write(sheet, "one", 100, 129)
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 33)
    assert set(sheet.patch().replace(["one"], [])) == {(sheet.address(k), 0.25) for k in range(3, COUNT)}
    assert state(sheet) == before


def test_keys_put_aside_move_with_the_line_if_their_neighbours_did(sheet: Sheet) -> None:
    base = [(1, 0.3), (90, 1.0), (112, 0.2), (150, 0.4), (260, 0.0)]
    shift(sheet, lambda frame: True, lambda frame: frame + 24)
    sheet.patch().replace(["one", "two"], [])
    assert [tuple(point.co) for point in sheet.curve().keyframe_points] == [
        pytest.approx((frame + 24, value)) for frame, value in base
    ]
    assert len(sheet.curves) == 3


def reversed_about(curve: bpy.types.FCurve, frame: float) -> None:
    """As Blender scales keys by -1: what was the left handle is the right one."""
    for point in curve.keyframe_points:
        (x, y), left, right = point.co, tuple(point.handle_left), tuple(point.handle_right)
        point.co = 2 * frame - x, y
        point.handle_left, point.handle_right = (2 * frame - right[0], right[1]), (2 * frame - left[0], left[1])
    curve.update()


@pytest.mark.parametrize(("how", "to"), [("one channel", 132), ("inserted", 132), ("reversed", 188), ("doubled", 224)])
def test_keys_put_aside_go_along_with_what_the_animator_does_to_all_keys_of_a_curve(
    sheet: Sheet, how: str, to: float
) -> None:
    """The key on 112 is put aside for a line: slid on one curve, behind inserted frames, or turned around."""
    moves = {
        "one channel": lambda frame: frame + 20, "inserted": lambda frame: frame + 20 * (frame > 107),
        "reversed": lambda frame: 300 - frame, "doubled": lambda frame: 2 * frame,
    }  # fmt: skip
    before = [sorted((moves[how](x), y) for x, y in ((p.co.x, p.co.y) for p in sheet.curve(k).keyframe_points)
              if not 99 < x < 130 and not 199 < x < 241) for k in range(3)]  # fmt: skip
    for curve in [sheet.curve(0)] if how == "one channel" else sheet.curves:
        for point in curve.keyframe_points if how != "reversed" else ():
            by = moves[how](point.co.x) - point.co.x
            for where in (point.co, point.handle_left, point.handle_right):
                where.x += by
        if how == "reversed":
            reversed_about(curve, 150)
        curve.update()
    for name in ("one", "two"):
        patch = sheet.patch()
        patch.sweep([name])
        patch.replace([name], [])
    for k, theirs in enumerate(before[:1] if how == "one channel" else before):
        found = [tuple(point.co) for point in sheet.curve(k).keyframe_points]
        value = 0.2
        wanted = sorted([*theirs, (to, value)])
        assert [x for x, _ in found] == pytest.approx([x for x, _ in wanted], abs=1e-3), (k, found)
        assert [y for _, y in found] == pytest.approx([y for _, y in wanted], abs=1e-6)
    assert len(sheet.curves) == 3


@pytest.mark.parametrize("interpolation", ["BEZIER", "ELASTIC", "BOUNCE", "SINE"])
@pytest.mark.parametrize("stiff", [True, False])
def test_no_helper_stays_where_everything_was_scaled(interpolation: str, stiff: bool) -> None:
    """In the Dope Sheet handles keep their lengths, in the Graph Editor they are scaled as well."""
    sheet = Sheet()
    curve = sheet.new(0, [(1, 0.3), (60, 0.6), (90, 1.0), (112, 0.2), (150, 0.4), (180, 0.1), (260, 0.7)])
    for point in curve.keyframe_points:
        point.interpolation = interpolation
    curve.update()
    before = [(2 * point.co.x, point.co.y, point.handle_left_type) for point in curve.keyframe_points]
    sheet.patch().replace([], [Span("one", 100, 130, {sheet.address(): keys(100, 130, 1)})])
    for point in curve.keyframe_points:
        by = point.co.x
        for where in (point.co, point.handle_left, point.handle_right):
            where.x += by if stiff else where.x
    curve.update()
    sheet.patch().replace(["one"], [])
    assert [(point.co.x, point.co.y, point.handle_left_type) for point in curve.keyframe_points] == [
        (pytest.approx(frame, abs=1e-3), value, kind) for frame, value, kind in before
    ]


def test_a_moved_line_is_written_anew_where_it_is(sheet: Sheet) -> None:
    curve = sheet.curve(0)
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 33)
    patch = sheet.patch()
    found = patch.found("one")
    base = patch.base(sheet.address(0), found.at(100), found.at(129), ["one"])
    np.testing.assert_allclose(base.values([150]), [0.4], atol=1e-6)
    write(sheet, "one", found.at(100), found.at(129))
    assert sheet.patch().spans == {"one": (133, 162), "two": (200, 240)}
    assert 112 in [point.co[0] for point in curve.keyframe_points]  # the key that it had put aside
    sheet.patch().replace(["two"], [])
    sheet.patch().replace(["one"], [])
    assert [point.co[0] for point in curve.keyframe_points] == [1, 90, 112, 150, 260]


def test_keys_that_a_line_was_dragged_over_stay(sheet: Sheet) -> None:
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 40)  # over the key on 150
    sheet.patch().replace(["one"], [])
    assert 150 in [point.co[0] for point in sheet.curve(0).keyframe_points]
    sheet.patch().replace(["two"], [])
    assert [point.co[0] for point in sheet.curve(0).keyframe_points] == [1, 90, 112, 150, 260]


def test_lines_dragged_onto_each_other_come_apart(sheet: Sheet) -> None:
    shift(sheet, lambda frame: 199 < frame < 241, lambda frame: frame - 88)
    assert sheet.patch().found("two").at(200) == pytest.approx(112)
    sheet.patch().replace(["two"], [])
    patch = sheet.patch()
    assert patch.found("one").share == 1 and not patch.edits("one")
    patch.replace(["one"], [])
    assert [point.co[0] for point in sheet.curve(0).keyframe_points] == [1, 90, 112, 150, 260]
    assert len(sheet.curves) == 3


def _alike(sheet: Sheet) -> tuple[bpy.types.FCurve, dict[str, list[Any]]]:
    """Two spans whose keys are alike, and by the id of each what one of its curves has of it: that only tags tell."""
    for name, start in (("one", 100.0), ("two", 200.0)):
        made = [keys(start, start + 29, k) for k in range(COUNT)]
        same = {
            sheet.address(k): Keys(one.frames - one.frames[0] + start, one.values, one.slopes)
            for k, one in enumerate(made)
        }
        sheet.patch().replace([], [Span(name, start, start + 29, same)])
    curve = sheet.curve(4)
    return curve, {name: rows(curve)[half] for name, half in (("one", slice(0, 9)), ("two", slice(9, 18)))}


def test_keys_that_were_moved_alone_are_those_of_their_own_line() -> None:
    sheet = Sheet()
    curve, there = _alike(sheet)
    for point in curve.keyframe_points:  # past each other: each lies nearer to the other's place than to its own
        by = 160 if point.co.x < 150 else -60
        for where in (point.co, point.handle_left, point.handle_right):
            where.x += by
    curve.update()
    patch = sheet.patch()
    patch.sweep(["one"])
    patch.replace(["one"], [])
    assert [row[0][1] for row in rows(curve)] == [row[0][1] for row in there["two"]]
    assert all(135 < point.co.x < 175 for point in curve.keyframe_points)
    patch.sweep(["two"])
    patch.replace(["two"], [])
    assert not sheet.action.layers[0].strips[0].channelbags[0].fcurves


@pytest.mark.parametrize("other", [False, True])
def test_copies_of_a_lines_keys_are_the_animators(other: bool) -> None:
    sheet = Sheet()
    curve, there = _alike(sheet)
    onto = sheet.new(COUNT, [(1, 0.2), (500, 0.2)]) if other else curve
    for co, *_, amplitude, period, _, _, _ in there["one"]:
        point = onto.keyframe_points.insert(co[0] + 200, co[1])
        point.type, point.amplitude, point.period = "GENERATED", amplitude, period
        point.handle_left_type = point.handle_right_type = "FREE"
    copied = [row[0] for row in rows(onto) if row[0][0] > 290]
    assert sheet.patch().base(sheet.address(COUNT if other else 4), 290, 340).changes
    patch = sheet.patch()
    patch.sweep(["one", "two"])
    patch.replace(["one", "two"], [])
    assert [row[0] for row in rows(onto) if row[0][0] > 290] == copied and len(copied) >= 9


def test_copies_stay_the_animators_where_the_line_was_thinned_out() -> None:
    curve, there = _alike(Sheet("Thinned"))
    for frame in [row[0][0] for row in there["one"]][2:8:2]:
        delete(curve, frame - 0.1, frame + 0.1)
    left = [row for row in rows(curve) if row[0][0] < 130]
    assert len(left) == 6
    for by in (310.0, 103.3):  # beside the lines, and into the other one
        for co, *_, amplitude, period, _, _, _ in left[1:4]:
            point = curve.keyframe_points.insert(co[0] + by, co[1])
            point.type, point.amplitude, point.period = "GENERATED", amplitude, period
    for name in ("one", "two"):
        patch = ActionPatch(bpy.data.actions["Thinned"])
        patch.sweep([name])
        patch.replace([name], [])
        found = [point.co.y for point in curve.keyframe_points if point.co.x > 400]
        assert found == [row[0][1] for row in left[1:4]], name
        copies = [p for p in curve.keyframe_points if any(abs(p.co.x - row[0][0] - 103.3) < 0.01 for row in left[1:4])]
        assert len(copies) == (3 if name == "one" else 0), "they are edits of the line that they lie in, and go with it"


def test_keys_of_others_that_came_into_a_line_are_no_edit_of_it() -> None:
    sheet = Sheet()
    curve, _ = _alike(sheet)
    for point in curve.keyframe_points:
        for where in (point.co, point.handle_left, point.handle_right) if point.co.x < 150 else ():
            where.x += 103.3
    curve.update()
    assert not sheet.patch().edits("two") and set(sheet.patch().edits("one")) == {sheet.address(4)}


def test_what_a_line_of_an_older_file_was_dragged_over_stays_without_tags(sheet: Sheet) -> None:
    for curve in sheet.curves:
        for point in curve.keyframe_points:
            point.amplitude, point.period = 0.8, 4.1
    test_keys_that_a_line_was_dragged_over_stay(sheet)


def test_the_animators_handles_are_theirs_again_where_a_line_was_moved_beside_them() -> None:
    """A line is dragged to where the animator's key is the next one, whose handles Blender calculates anew."""
    sheet = Sheet()
    for k in range(COUNT):
        sheet.new(k, [(1, 0.3), (90, 1.0), (150, 0.4), (200, 0.6), (260, 0.9)]).auto_smoothing = "NONE"
        sheet.curve(k).update()
    before = {k: played(sheet.curve(k), np.arange(1.0, 261)) for k in range(COUNT)}
    write(sheet, "one", 100, 129)
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 65)  # over the key on 150 and to the one on 200
    for k in range(COUNT):
        sheet.curve(k).update()
    write(sheet, "one", 165, 194)
    free = np.array([*range(1, 165), *range(195, 261)], float)
    for k in range(COUNT):
        assert np.abs(played(sheet.curve(k), free) - before[k][free.astype(int) - 1]).max() <= 1e-5
    sheet.patch().replace(["one"], [])
    for k in range(COUNT):
        assert np.abs(played(sheet.curve(k), np.arange(1.0, 261)) - before[k]).max() <= 1e-5


def test_a_line_whose_keys_are_gone_is_forgotten(sheet: Sheet) -> None:
    for curve in sheet.curves:
        delete(curve, 99, 130)
    sheet.curves.remove(sheet.curve(5))
    assert sheet.patch().found("one").share < 0.2
    assert sheet.patch().replace(["one"], []) == []
    assert sheet.patch().spans == {"two": (200, 240)}
    assert 112 in [point.co[0] for point in sheet.curve(0).keyframe_points]
    assert set(sheet.patch().replace(["two"], [])) == {(sheet.address(k), 0.25) for k in (3, 4)}


def test_what_blender_renames_is_followed(scene: bpy.types.Scene) -> None:
    face = scenes.arkit_face()
    key = face.data.shape_keys
    names = [block.name for block in key.key_blocks][1:7]
    sheet = Sheet()
    key.animation_data_create().action = sheet.action
    key.animation_data.action_slot = sheet.slot
    addresses = [(sheet.slot.handle, f'key_blocks["{name}"].value', 0) for name in names]
    sheet.patch().replace([], [Span("one", 10, 50, {a: keys(10, 50, k) for k, a in enumerate(addresses)})])
    key.key_blocks[names[0]].name, key.key_blocks[names[1]].name = "Other name", 'With "quotes" and é'
    sheet.slot.name_display = "Renamed"
    patch = sheet.patch()
    paths = {path for _, path, _ in patch.addresses("one")}
    assert 'key_blocks["Other name"].value' in paths and addresses[0][1] not in paths and len(paths) == 6
    assert patch.found("one").share == 1 and not patch.edits("one")
    patch.replace(["one"], [])
    assert len(sheet.curves) == 0 and "cteg_patch" not in sheet.action


# ---- Edits by hand ---------------------------------------------------------------------------------------------


def edit_value(curve: bpy.types.FCurve) -> None:
    curve.keyframe_points[4].co[1] += 0.01


def edit_frame(curve: bpy.types.FCurve) -> None:
    curve.keyframe_points[4].co[0] += 0.5


def edit_handle(curve: bpy.types.FCurve) -> None:
    curve.keyframe_points[4].handle_left[1] += 0.05


def edit_deletion(curve: bpy.types.FCurve) -> None:
    curve.keyframe_points.remove(curve.keyframe_points[4])


def edit_insertion(curve: bpy.types.FCurve) -> None:
    frame = (curve.keyframe_points[4].co[0] + curve.keyframe_points[5].co[0]) / 2
    curve.keyframe_points.insert(frame, 3.0)


EDITS = [edit_value, edit_frame, edit_handle, edit_deletion, edit_insertion]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_seen_and_told(sheet: Sheet, edit: Callable[[bpy.types.FCurve], None]) -> None:
    curve, frames = sheet.curve(4), np.arange(95, 135, 0.25)
    before = played(curve, frames)
    edit(curve)
    edits = sheet.patch().edits("one")
    assert list(edits) == [sheet.address(4)] and not sheet.patch().edits("two")
    np.testing.assert_allclose(edits[sheet.address(4)].delta(frames), played(curve, frames) - before, atol=2e-4)
    shift(sheet, lambda frame: True, lambda frame: frame + 24)
    moved = sheet.patch().edits("one")
    assert list(moved) == [sheet.address(4)]
    np.testing.assert_allclose(
        moved[sheet.address(4)].delta(frames + 24), played(curve, frames + 24) - before, atol=2e-4
    )


def test_a_deleted_curve_is_an_edit(sheet: Sheet) -> None:
    sheet.curves.remove(sheet.curve(4))
    edits = sheet.patch().edits("one")
    assert [edit.gone for edit in edits.values()] == [True] and not edits[sheet.address(4)].delta([100, 110]).any()


def test_what_is_no_edit(sheet: Sheet) -> None:
    for curve in sheet.curves:
        for point in curve.keyframe_points:
            point.select_control_point = point.select_left_handle = True
        curve.update()
        curve.update()
    assert not sheet.patch().edits("one")
    shift(sheet, lambda frame: 99 < frame < 130, lambda frame: frame + 7)
    assert not sheet.patch().edits("one") and not sheet.patch().edits("two")
    shift(sheet, lambda frame: 99 < frame < 140, lambda frame: 100 + (frame - 100) * 1.25)
    assert not sheet.patch().edits("one")


def test_neighbours_edited_meanwhile_stay_as_edited() -> None:
    sheet = Sheet()
    curve = sheet.new(0, [(1, 0.3), (90, 1.0), (150, 0.4), (200, 0.4)])
    before = rows(curve)
    sheet.patch().replace([], [Span("one", 100, 129, {sheet.address(0): keys(100, 129, 1)})])
    left = curve.keyframe_points[1]
    assert left.co[0] == 90 and left.handle_left_type == "FREE"
    left.handle_left = (80, 2)
    edited = tuple(left.handle_left)
    sheet.patch().replace(["one"], [])
    after = rows(curve)
    assert (after[0], after[2:]) == (before[0], before[2:])
    assert after[1][1] == edited and curve.keyframe_points[1].handle_left_type == "FREE"
    curve.update()
    assert tuple(curve.keyframe_points[1].handle_left) == edited


@pytest.mark.parametrize("edit", ["removed", "raised", "held one raised"])
def test_handles_beside_a_line_are_those_of_the_keys_that_are_there_when_it_goes(edit: str) -> None:
    sheet = Sheet()
    places = [(1, 0.3), (60, 1.0), (160, 0.4), (220, 2.0), (300, 0.2)]
    lined, plain = sheet.new(0, places), sheet.new(1, places)
    for curve in (lined, plain):
        for point in curve.keyframe_points:
            point.handle_left_type = point.handle_right_type = "AUTO"
        curve.update()
    sheet.patch().replace([], [Span("one", 100, 129, {sheet.address(0): keys(100, 129, 1)})])
    for curve in (lined, plain):
        at = {"removed": 220, "raised": 220, "held one raised": 160}[edit]
        (point,) = (point for point in curve.keyframe_points if point.co[0] == at)
        if edit == "removed":
            curve.keyframe_points.remove(point)
        else:
            point.co_ui = (at, 0.95)
        curve.update()
    sheet.patch().replace(["one"], [])
    frames = np.arange(0, 320, 0.5)
    np.testing.assert_allclose(played(lined, frames), played(plain, frames), atol=1e-5)
    assert [row[0] for row in rows(lined)] == [row[0] for row in rows(plain)]


# ---- The record ------------------------------------------------------------------------------------------------


def test_the_record_is_saved_and_copied(sheet: Sheet, tmp_path: Path) -> None:
    sheet.action.use_fake_user = True
    sheet.action.name = "Saved"
    before, paths = state(sheet), sheet.patch().addresses("one")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "lines.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "lines.blend"))
    for action in (bpy.data.actions["Saved"], bpy.data.actions["Saved"].copy()):
        again = Sheet.__new__(Sheet)
        again.action, again.slot = action, action.slots[0]
        assert state(again) == before
        patch = again.patch()
        assert patch.spans == {"one": (100, 129), "two": (200, 240)} and patch.addresses("one") == paths
        assert patch.found("one").same and not patch.edits("one")
        patch.replace(["one", "two"], [])
        assert [point.co[0] for point in again.curve(0).keyframe_points] == [1, 90, 112, 150, 260]


def test_the_record_is_small(sheet: Sheet) -> None:
    write(sheet, "three", 300, 400, count=60)
    stored = sheet.action["cteg_patch"]["spans"]["three"]
    written = sum(300 <= point.co[0] <= 400 for curve in sheet.curves for point in curve.keyframe_points)
    assert sum(len(stored[name]) for name in ("keys", "curves")) <= 13 * written


DAMAGE: dict[str, Callable[[Any], object]] = {
    "no group": lambda action: action.__setitem__("cteg_patch", 3),
    "no version": lambda action: action["cteg_patch"].pop("version"),
    "other version": lambda action: action["cteg_patch"].update({"version": 99}),
    "no spans": lambda action: action["cteg_patch"].update({"spans": "none"}),
    "no curves": lambda action: action["cteg_patch"].update({"curves": "[[1"}),
    "strange curves": lambda action: action["cteg_patch"].update({"curves": "[[0,1,2],7]"}),
    "a span is a number": lambda action: action["cteg_patch"]["spans"].update({"one": 1}),
    "no frames": lambda action: action["cteg_patch"]["spans"]["one"].update({"at": [float("nan"), 2.0]}),
    "keys cut off": lambda action: cut_off(action["cteg_patch"]["spans"]["one"], "keys"),
    "table cut off": lambda action: cut_off(action["cteg_patch"]["spans"]["one"], "curves"),
    "keys not numbers": lambda action: fill(action["cteg_patch"]["spans"]["one"], "keys"),
    "table not numbers": lambda action: fill(action["cteg_patch"]["spans"]["one"], "curves"),
    "base cut off": lambda action: cut_off(action["cteg_patch"]["records"]["0"], "keys"),
    "base not numbers": lambda action: fill(action["cteg_patch"]["records"]["0"], "keys"),
    "base of no size": lambda action: action["cteg_patch"]["records"]["0"].update({"base": -3}),
    "base is a number": lambda action: action["cteg_patch"]["records"].update({"0": 5}),
}


def cut_off(group: Any, name: str) -> None:
    data = group.pop(name)
    group[name] = data[: len(data) // 2 - 1]


def fill(group: Any, name: str) -> None:
    data = group.pop(name)
    group[name] = b"\xff" * len(data)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_refused_in_a_sentence(sheet: Sheet, damage: str) -> None:
    DAMAGE[damage](sheet.action)
    spans._known.clear()  # as in a file that is opened
    before = state(sheet)
    addresses = [sheet.address(k) for k in range(COUNT)]
    told = 0
    for ask in (
        lambda patch: patch.spans,
        lambda patch: patch.found("one"),
        lambda patch: patch.edits("one"),
        lambda patch: patch.addresses("one"),
        lambda patch: [patch.base(address, 90, 140, ["one"]) for address in addresses],
        lambda patch: patch.replace(["one"], []),
    ):
        with contextlib.suppress(PatchError):
            ask(sheet.patch())
            told -= 1
        told += 1
    assert told and state(sheet) == before


def test_lines_that_cannot_be_written_are_refused(sheet: Sheet) -> None:
    before, address = state(sheet), sheet.address(0)
    for span in (
        Span("a", 50, 40, {address: keys(40, 50, 0)}),
        Span("a", 40, 50, {address: keys(41, 50, 0)}),
        Span("a", float("nan"), 50, {address: keys(40, 50, 0)}),
        Span("a", 40, 50, {(sheet.slot.handle + 1, "x", 0): keys(40, 50, 0)}),
        Span("a", 40, 50, {address: Keys(np.array([40.0, 45, 50]), np.array([0, np.inf, 0]), np.zeros((3, 2)))}),
        Span("a", 40, 50, {address: Keys(np.array([40.0, 45, 44, 50]), np.zeros(4), np.zeros((4, 2)))}),
        Span("a", 40, 50, {}),
        Span("x" * 61, 40, 50, {address: keys(40, 50, 0)}),
        Span("a", 120, 150, {address: keys(120, 150, 0)}),  # over another
    ):
        with pytest.raises(PatchError, match=r"\.$"):
            sheet.patch().replace([], [span])
    assert state(sheet) == before and list(sheet.patch().spans) == ["one", "two"]


# ---- Curves that are made, and the base ------------------------------------------------------------------------


def test_a_property_without_keys_holds_its_value_outside(sheet: Sheet) -> None:
    curve = sheet.curve(3)
    assert curve.group.name == "Mouth"
    np.testing.assert_allclose(played(curve, np.array([-50, 1, 99, 100, 129, 150, 200, 240, 999])), 0.25, atol=1e-7)
    assert sheet.patch().base(sheet.address(3), 90, 110, ["one", "two"]).rest == 0.25
    assert not sheet.patch().base(sheet.address(3), 90, 110, ["one", "two"]).exists
    assert sheet.patch().replace(["one"], []) == []
    assert curve.keyframe_points[0].co[0] == 200
    curve.keyframe_points.insert(300, 0.9)
    dropped = sheet.patch().replace(["two"], [])
    assert set(dropped) == {(sheet.address(k), 0.25) for k in range(4, COUNT)}
    assert [tuple(point.co) for point in sheet.curve(3).keyframe_points] == [(300, pytest.approx(0.9))]


def test_a_take_of_the_same_length_goes_between_the_same_borders(sheet: Sheet) -> None:
    frames = np.setdiff1d(np.arange(1, 300) / 1.0, np.arange(100, 130))
    before, base = [played(curve, frames) for curve in sheet.curves], dict(sheet.action["cteg_patch"]["records"])
    for seed, count in ((50, 9), (60, 14), (70, 5)):
        write(sheet, "one", 100, 129, seed, count)
        for curve, was in zip(sheet.curves, before, strict=True):
            np.testing.assert_allclose(played(curve, frames), was, atol=1e-6)
        assert not sheet.patch().edits("one")
    assert base.keys() == dict(sheet.action["cteg_patch"]["records"]).keys()


@pytest.mark.parametrize("hand", ["nothing", "moved", "key", "next"])
def test_lines_written_together_on_bare_curves_play_as_on_any(monkeypatch: pytest.MonkeyPatch, hand: str) -> None:
    short, ways, frames = ActionPatch._refill, [], np.arange(30, 350, 0.25)

    def together(way: Callable[..., None] | None) -> tuple[list[Floats], list[Floats], list[list[Any]]]:
        sheet = Sheet()
        sheet.new(0, [(1, 0.3), (90, 1.0), (112, 0.2), (260, 0.7)])  # the animator's; the others are bare
        write(sheet, "one", 100, 129)
        write(sheet, "two", 200, 240)
        if hand == "moved":
            shift(sheet, lambda frame: 199 < frame < 241, lambda frame: frame + 10)
        elif hand == "key":
            sheet.curve(4).keyframe_points.insert(150, 0.5)
        monkeypatch.setattr(ActionPatch, "_refill", way or (lambda *_: None))
        new = ("a", 40, 70), ("b", 125 if hand == "next" else 140, 190), ("one", 96, 125), ("c", 300, 320)
        lines = [
            Span(name, start, end, {sheet.address(k): keys(start, end, k + start) for k in range(COUNT)}, {},
                 {sheet.address(k): 0.25 for k in range(COUNT)})
            for name, start, end in new
        ]  # fmt: skip
        sheet.patch().replace([], lines)
        assert not any(sheet.patch().edits(name) for name, _, _ in new)
        there = [played(curve, frames) for curve in sheet.curves]
        points = [[(row[0], row[3:]) for row in rows(curve)] for curve in sheet.curves]
        sheet.patch().replace(["a", "b", "c"], [])
        return there, [played(curve, frames) for curve in sheet.curves], points

    def seen(self: ActionPatch, plans: Any, writing: Any) -> None:
        short(self, plans, writing)
        ways.append(sum(bool(plan.wrote) for plan in plans))

    got, wanted = together(seen), together(None)
    assert ways[0] == {"nothing": 5, "moved": 0, "key": 4, "next": 0}[hand]  # where lines meet they share a border
    assert got[2] == wanted[2]
    np.testing.assert_allclose(got[0], wanted[0], atol=1e-6)
    np.testing.assert_allclose(got[1], wanted[1], atol=1e-6)


def test_straight_lines(sheet: Sheet) -> None:
    line = keys(20, 60, 3, straight=True)
    sheet.patch().replace([], [Span("straight", 20, 60, {sheet.address(3): line}, linear=True)])
    curve = sheet.curve(3)
    frames = np.arange(line.frames[1], line.frames[-2], 0.5)
    np.testing.assert_allclose(played(curve, frames), np.interp(frames, line.frames, line.values), atol=1e-5)
    curve.update()
    np.testing.assert_allclose(played(curve, frames), np.interp(frames, line.frames, line.values), atol=1e-5)
    assert not sheet.patch().edits("straight")


@pytest.mark.parametrize("eased", [False, True])
def test_the_base_is_what_was_played(eased: bool) -> None:
    for seed in range(30):
        rng, sheet = np.random.default_rng(seed), Sheet()
        curve = random_curve(sheet, rng, eased)
        address = (sheet.slot.handle, curve.data_path, 0)
        spans = random_spans(rng, [point.co[0] for point in curve.keyframe_points])
        frames = np.linspace(spans[0][0] - 5, spans[0][1] + 5, 60)
        before = played(curve, frames)
        modifier = curve.modifiers.new("NOISE")
        names = [f"line {k}" for k in range(len(spans))]
        changes = float(np.ptp(before)) > 1e-4
        for written in (False, True):
            base = sheet.patch().base(address, frames[0], frames[-1], names)
            np.testing.assert_allclose(base.values(frames), before, atol=1e-5 * max(1.0, np.abs(before).max()))
            assert base.exists and base.modifiers == ("NOISE",) and (base.changes or not changes)
            if not written:
                lines = [Span(n, *s, {address: keys(*s, seed)}) for n, s in zip(names, spans, strict=True)]
                sheet.patch().replace([], lines)
        modifier.mute = True
        assert sheet.patch().base(address, 0, 1, names).modifiers == ()
        bpy.data.actions.remove(sheet.action)


def test_what_stands_in_the_way_is_told() -> None:
    sheet = Sheet()
    still = sheet.new(0, [(1, 0.5), (50, 0.5), (100, 0.5)])
    sheet.new(1, [(1, 0.5), (50, 0.6)])
    address = sheet.address
    assert (
        not sheet.patch().base(address(5), 1, 9).exists
        and np.isnan(sheet.patch().base(address(5), 1, 9).values([2])).all()
    )
    base = sheet.patch().base(address(0), 10, 60)
    assert (base.exists, base.changes, base.keys, base.muted, base.locked) == (True, False, 1, False, False)
    assert sheet.patch().base(address(1), 10, 60).changes and not sheet.patch().base(address(1), 60, 90).changes
    still.mute = still.lock = True
    base = sheet.patch().base(address(0), 10, 60)
    assert base.muted and base.locked


def test_other_spans_are_part_of_the_base_unless_ignored(sheet: Sheet) -> None:
    curve, frames = sheet.curve(4), np.arange(90, 260) / 1.0
    base = sheet.patch().base(sheet.address(4), 90, 260, ["one"])
    values = base.values(frames)
    assert base.changes
    np.testing.assert_allclose(values[frames >= 200], played(curve, frames[frames >= 200]), atol=1e-5)
    np.testing.assert_allclose(values[frames < 200], 0.25, atol=1e-6)
