# SPDX-License-Identifier: GPL-3.0-or-later
"""What lines cost in a scene: swapping a take, re-mapping, muting; then 200 lines with 3 takes each in one file.

Run from the repository: ``.venv/bin/python -m benchmarks.scene_of_lines [--lines 200]``. The takes last five seconds
and move all 55 channels; medians of nine runs, in milliseconds. Sizes are of the saved file, uncompressed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np

from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.clip import Clip
from blender_cteg.performance.lines import Lines, lines_of
from blender_cteg.performance.owners import curves_in, owners_of
from blender_cteg.performance.record import Region, Style
from tests.blender import scenes

SECONDS = 5.0
RUNS = 9


def takes(count: int, seed: int) -> list[Clip]:
    """Takes whose channels move as smoothly as a face does, each in its own way."""
    made = []
    for number in range(count):
        clip = scenes.speaking_clip(int(24 * SECONDS), seed=seed + number)
        rng = np.random.default_rng(seed + number)
        time_ = np.linspace(0, SECONDS, clip.frames)[:, None]
        waves = [
            rng.uniform(0, 0.25, 55) * np.sin(rng.uniform(0.5, 6.0, 55) * time_ + rng.uniform(0, 6, 55)) for _ in "abc"
        ]
        values = np.clip(0.25 + sum(waves), 0.0, 1.0).astype(np.float32)
        made.append(replace(clip, values=values, seed=seed + number))
    return made


def milliseconds(act: Callable[[], object]) -> float:
    """The median of some runs."""
    found = []
    for _ in range(RUNS):
        before = time.perf_counter()
        act()
        found.append(1000 * (time.perf_counter() - before))
    return statistics.median(found)


def empty() -> bpy.types.Scene:
    """A fresh scene at 24 frames per second."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene: bpy.types.Scene = bpy.context.scene
    scene.render.fps = 24
    return scene


def character() -> bpy.types.Object:
    """A face with all ARKit keys and a head bone."""
    face = scenes.arkit_face(bones=["neck", "head"])
    bpy.context.view_layer.update()
    return face


def edits(scene: bpy.types.Scene, face: bpy.types.Object, line: str, what: str) -> None:
    """Time what animators do with one line."""
    lines, turn = Lines(scene, detect_rig(face)), [0]

    def swap() -> None:
        turn[0] += 1
        lines.show(line, turn[0] % 3)

    def mute() -> None:
        turn[0] += 1
        lines.change(line, regions={"mouth": Region(mute=bool(turn[0] % 2))})

    print(f"{what}: swap a take {milliseconds(swap):.1f}, mute a region {milliseconds(mute):.1f}, "
          f"write again {milliseconds(lambda: lines.rewrite([line])):.1f}")  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scene_of_lines")
    parser.add_argument("--lines", type=int, default=200)
    count = parser.parse_args().lines
    scene, face = empty(), None
    face = character()
    line = Lines(scene, detect_rig(face)).add(takes(3, 0), 10, Style(), text="The first line.")
    keys = sum(len(c.keyframe_points) for o in owners_of(detect_rig(face)) for c in curves_in(o.action, o.slot))
    print(f"one line: {keys} keys for {55 * 121} values, {55 * 121 / keys:.1f} times fewer")
    edits(scene, face, line.id, "one line")

    scene = empty()
    face = character()
    lines = Lines(scene, detect_rig(face))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
        bare = path.stat().st_size
        before = time.perf_counter()
        made = [lines.add(takes(3, 10 * k), 10 + 130 * k, Style(), text=f"Line number {k}.") for k in range(count)]
        print(f"{count} lines written in {1000 * (time.perf_counter() - before) / count:.0f} ms each")
        edits(scene, face, made[count // 2].id, f"{count} lines")
        rig = detect_rig(face)
        print(f"the list of lines answers in {milliseconds(lambda: lines_of(rig)):.1f}")
        frames = iter(range(100, 10_000))
        print(f"one frame change {milliseconds(lambda: scene.frame_set(next(frames))):.2f}")
        saving = milliseconds(lambda: bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False))
        size = path.stat().st_size - bare
        stored = sum(len(clip) for _, clip in _clips(face))
        print(
            f"file {size / 1e6:.1f} MB: {size / count / 1e3:.0f} kB a line, of which clips "
            f"{stored / count / 3e3:.1f} kB a take"
        )
        opening = milliseconds(lambda: bpy.ops.wm.open_mainfile(filepath=str(path)))
        print(f"save {saving:.0f}, open {opening:.0f}: {saving / count / 3:.2f} and {opening / count / 3:.2f} a take")


def _clips(face: bpy.types.Object) -> list[tuple[str, bytes]]:
    action = face.data.shape_keys.animation_data.action
    return [(name, bytes(clip)) for line in action["cteg_lines"].values() for name, clip in line["clips"].items()]


if __name__ == "__main__":
    main()
