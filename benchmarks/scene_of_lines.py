# SPDX-License-Identifier: GPL-3.0-or-later
"""What lines cost in a scene: swapping a take, re-mapping, muting; then 200 lines with 3 takes each in one file.

Run from the repository: ``.venv/bin/python -m benchmarks.scene_of_lines [--lines 200]``. It prints the tables of
docs/lines.md. The takes last five seconds and move all 55 channels; milliseconds are those of `patch.quiet`, of every
change a median of nine, and of what changes back and forth the mean. Sizes are of the saved file, uncompressed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import bpy
import numpy as np

from benchmarks.patch import quiet
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


def edits(scene: bpy.types.Scene, face: bpy.types.Object, line: str) -> dict[str, float]:
    """What animators do with one line, and milliseconds of each."""
    rig = detect_rig(face)
    lines = Lines(scene, rig)
    turns: dict[str, list[Callable[[], object]]] = {
        "another take": [partial(lines.show, line, take) for take in (1, 2, 0)],
        "a region muted, or back": [
            partial(lines.change, line, regions={"mouth": Region(mute=mute)}) for mute in (True, False)
        ],
        "all written again": [partial(lines.rewrite, [line])],
        "the list looked through": [partial(lines_of, rig)],
        "the same, and one line for hand edits": [partial(lines_of, rig, line)],
    }
    runs = {f"{k} {what}": run for what, some in turns.items() for k, run in enumerate(some)}
    for run in runs.values():  # the first time everything is read
        run()
    took = quiet(runs, RUNS)
    return {what: statistics.mean(took[f"{k} {what}"] for k in range(len(some))) for what, some in turns.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scene_of_lines")
    parser.add_argument("--lines", type=int, default=200)
    count = parser.parse_args().lines
    scene = empty()
    face = character()
    line = Lines(scene, detect_rig(face)).add(takes(3, 0), 10, Style(), text="The first line.")
    keys = sum(len(c.keyframe_points) for o in owners_of(detect_rig(face)) for c in curves_in(o.action, o.slot))
    alone = edits(scene, face, line.id)

    scene = empty()
    face = character()
    lines = Lines(scene, detect_rig(face))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
        bare = path.stat().st_size
        made = [lines.add(takes(3, 10 * k), 10 + 130 * k, Style(), text=f"Line number {k}.") for k in range(count)]
        among = edits(scene, face, made[count // 2].id)
        frames = iter(range(100, 10_000))
        save = partial(bpy.ops.wm.save_as_mainfile, filepath=str(path), compress=False)
        rest = quiet({"save": save, "frame": lambda: scene.frame_set(next(frames))}, RUNS)
        size = path.stat().st_size - bare
        stored = sum(len(clip) for _, clip in _clips(face))
        rest |= quiet({"open": partial(bpy.ops.wm.open_mainfile, filepath=str(path))}, 1)
    print(f"bpy {bpy.app.version_string}\n\n| milliseconds | one line | among {count} lines |\n|---|---|---|")
    for what, took in alone.items():
        print(f"| {what} | {took:.1f} | {among[what]:.1f} |")
    print(f"| one frame change | | {rest['frame']:.2f} |")
    print(
        f"| saved, a take | | {rest['save'] / count / 3:.2f} |\n| opened, a take | | {rest['open'] / count / 3:.2f} |"
    )
    print(f"\n| size | |\n|---|---|\n| keys of one line | {keys}, {55 * 121 / keys:.1f} times fewer than frames |")
    print(f"| a line in the file | {size / count / 1e3:.0f} kB, of it {stored / count / 3e3:.1f} kB a take |")


def _clips(face: bpy.types.Object) -> list[tuple[str, bytes]]:
    action = face.data.shape_keys.animation_data.action
    return [(name, bytes(clip)) for line in action["cteg_lines"].values() for name, clip in line["clips"].items()]


if __name__ == "__main__":
    main()
