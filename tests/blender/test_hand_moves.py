# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a part of a line's curves, moved by hand, and then whatever can be done with lines, in random orders.

Whatever happens: what is done with a line changes nothing outside it, and when the lines are gone the animator's own
keys are as before.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import pytest

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.performance.finding import lines_of
from blender_cteg.performance.lines import LineError
from blender_cteg.performance.owners import curves_in
from blender_cteg.performance.record import Line, Region
from blender_cteg.performance.targets import key_path

from . import scenes
from .test_lines import STYLE, add, character, clip, lines_for, played, rows_of

FRAMES = [*range(-20, 321, 3), 1000]
HANDLES = ("AUTO", "AUTO_CLAMPED", "VECTOR", "ALIGNED", "FREE")
#: Of max(1, range), see docs/lines.md.
CLOSE = 2e-5
#: Sequences that left a trace once.
ONCE_WRONG = (
    50, 58, 110, 117, 133, 164, 1002, 1013, 1036, 1063, 1091, 1108, 1136, 1226, 5118, 5155, 5157, 5294, 5374, 6094,
    6301, 6329, 7170, 7422,
)  # fmt: skip


class Stage:
    """A face that the animator has keyed, two lines, and where keys lie that were moved out of one by hand."""

    def __init__(self, scene: bpy.types.Scene, seed: int, smoothing: str = "CONT_ACCEL") -> None:
        self.scene, self.rng, self.face = scene, np.random.default_rng(seed), character(("Neck", "Head"))
        key = self.face.data.shape_keys
        for block in key.key_blocks[1:]:
            block.slider_min, block.slider_max = -3.0, 3.0  # nothing is cut off, with lines or without
        key.key_blocks["mouthSmileLeft"].value = 0.2  # set, never keyed
        for name, first in (("browInnerUp", 1), ("jawOpen", 93), ("mouthFunnel", 140), ("cheekPuff", 20)):
            frames = range(first, 300, int(self.rng.integers(9, 90)))
            scenes.animate_by_hand(key, key_path(name), {f: float(self.rng.random()) for f in frames})
        for curve in self.curves():
            for point in curve.keyframe_points:
                point.handle_left_type = point.handle_right_type = str(self.rng.choice(HANDLES))
            curve.auto_smoothing = smoothing
            curve.update()
        self.keys, self.base = rows_of(self.action), played(scene, self.face, FRAMES)
        self.strays: set[str] = set()
        self.did: list[str] = []
        for start in (100, 200):
            add(scene, self.face, start, seed=int(self.rng.integers(99)), takes=2)

    @property
    def action(self) -> bpy.types.Action:
        return self.face.data.shape_keys.animation_data.action

    def curves(self) -> list[bpy.types.FCurve]:
        return [curve for slot in self.action.slots for curve in curves_in(self.action, slot)]

    def lines(self, active: str = "") -> dict[str, Line]:
        return {line.id: line for line in lines_of(detect_rig(self.face), active)}

    # ---- What animators do ----

    def move(self, line: Line) -> None:
        """Keys of some curves of a line, by some frames or about its start."""
        by, scale = int(self.rng.integers(-30, 31)), float(self.rng.choice([1.0, 1.0, 0.5, 1.5]))
        curves = [curve for curve in self.curves() if self.rng.random() < self.share]
        self.did.append(f"move {len(curves)} curves of {line.start:g} by {by}, times {scale}")
        for curve in curves:
            for point in curve.keyframe_points:
                if point.type == "GENERATED" and line.start - 0.01 < point.co.x < line.end + 0.01:
                    for where in (point.co, point.handle_left, point.handle_right):
                        where.x = line.start + (where.x - line.start) * scale + by
            curve.update()
        self.strays.add(line.id)

    def resample(self, line: Line) -> None:
        takes, until = [clip(int(self.rng.integers(99)))], None
        if self.rng.random() < 0.5:
            until = line.start + 15.0
        lines_for(self.scene, self.face).add(takes, line.start, STYLE, text=line.text, line=line.id, edits_until=until)

    def show(self, line: Line) -> None:
        lines_for(self.scene, self.face).show(line.id, int(self.rng.integers(-1, len(line.takes))))

    def mute(self, line: Line) -> None:
        name, mode = self.rng.choice(["mouth", "upper face", "jaw", "head"]), self.rng.choice(["FILL", "TAKE", "ADD"])
        regions = {str(name): Region(str(mode), 1.0, bool(self.rng.random() < 0.5))}
        lines_for(self.scene, self.face).change(line.id, regions=regions)

    def discard(self, line: Line) -> None:
        lines_for(self.scene, self.face).keep_edit(line.id, str(self.rng.choice(["DISCARD", "OWN_TAKE", "OVER_ALL"])))

    def remove(self, line: Line) -> None:
        lines_for(self.scene, self.face).remove(line.id)

    # ---- What has to hold ----

    def check(self) -> None:
        """When every line whose keys were moved is written again, outside the lines all is as before them."""
        lines = self.lines()
        taken = [(line.start, line.end) for line in lines.values() if line.take is not None]
        free = [k for k, f in enumerate(FRAMES) if not any(start - 1 < f < end + 1 for start, end in taken)]
        off = np.abs(played(self.scene, self.face, [FRAMES[k] for k in free]) - self.base[free]).max(1)
        wrong = [FRAMES[k] for k, found in zip(free, off, strict=True) if found > CLOSE]
        assert self.strays or not wrong, (self.did, wrong[0], wrong[-1], float(off.max()))

    def play(self, steps: int) -> None:
        self.share = float(self.rng.choice([0.1, 0.3, 0.6]))
        doings = [self.move, self.move, self.resample, self.show, self.mute, self.discard, self.remove]
        for _ in range(steps):
            lines = self.lines()
            if not lines:
                break
            line = lines[str(self.rng.choice(list(lines)))]
            do: Any = self.rng.choice(doings)
            self.did.append(f"{do.__name__} {line.start:g}")
            try:
                do(line)
            except LineError as error:
                self.did.append(str(error))
                continue
            if do != self.move:
                self.strays.discard(line.id)
                self.check()
        for name in self.lines():
            lines_for(self.scene, self.face).remove(name)
            self.did.append("removed")
            self.strays.discard(name)
            self.check()
        for (*curve, keys), (*known, theirs) in zip(rows_of(self.action), self.keys, strict=True):
            assert curve == known and len(keys) == len(theirs), (self.did, curve)
            for now, was in zip(keys, theirs, strict=True):
                assert now[0] == was[0] and now[3:] == was[3:], (self.did, curve, now)
                assert np.allclose(now[1:3], was[1:3], atol=1e-5), (self.did, curve, now)  # Blender's own rounding


@pytest.mark.parametrize("smoothing", ["CONT_ACCEL", "NONE"])
@pytest.mark.parametrize("seed", range(12))
def test_keys_of_some_curves_moved_by_hand_leave_no_trace(scene: bpy.types.Scene, seed: int, smoothing: str) -> None:
    Stage(scene, seed, smoothing).play(6)


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_what_once_left_a_trace_leaves_none(scene: bpy.types.Scene, seed: int) -> None:
    Stage(scene, seed).play(int(3 + seed % 8))


@pytest.mark.long
def test_of_many_sequences_none_leaves_a_trace(scene: bpy.types.Scene) -> None:
    wrong = []
    for seed in range(400):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        try:
            Stage(bpy.context.scene, seed).play(int(3 + seed % 8))
        except AssertionError as error:
            wrong.append((seed, str(error)))
    assert not wrong
