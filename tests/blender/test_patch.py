# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans on curves: nothing changes outside, everything comes back, and they are found, whatever was done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
import pytest

from blender_cteg.performance.curves import ActionPatch, Address, PatchError, Span, slot_curves
from blender_cteg.performance.reduction import Keys

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
        point.handle_left_type, point.handle_right_type = rng.choice(["FREE", "AUTO", "VECTOR", "ALIGNED", "AUTO_CLAMPED"], 2)
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
    spans = {f"line {k}": span for k, span in enumerate(random_spans(rng, [point.co[0] for point in curve.keyframe_points]))}
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
