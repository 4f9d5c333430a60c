# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of one line: its timeline over its curves, and the mouth at its closures, f/v and rounded sounds.

    python -m benchmarks.line_sheet --out docs/images/timeline.png
    python -m benchmarks.line_sheet --mouths --ict ict_facekit_light.npz --out docs/images/lips.jpg

Needs the baked demo head for ``--mouths``. ``python -m generator say`` performs the line, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from generator.evaluation.lips import lips_of
from generator.shared.spaces import ARKIT55
from generator.shared.timeline import BILABIALS, LABIODENTALS, Timeline

mpl.use("Agg")
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

LINE = "My mother baked five purple muffins, and I think you should have two!"
INK, FAINT, SEALED, TEETH = "#2b2f36", "#8a93a3", "#d1495b", "#edae49"
#: Rounded sounds that are shown beside p, b, m, f and v.
ROUND = frozenset({"UW", "OW", "AO", "W"})
CELL = 210


def main() -> None:
    """Perform the line and draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--line", default=LINE)
    parser.add_argument("--emotion", default="joy")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--intensity", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mouths", action="store_true", help="render the mouth instead of drawing curves")
    parser.add_argument("--ict", type=Path, help="ict_facekit_light.npz, for a second face")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "take.npz"
        command = [
            sys.executable, "-m", "generator", "say", options.line, "--emotion", options.emotion, "-o", str(clip),
            "--seed", str(options.seed), "--intensity", str(options.intensity),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        with np.load(clip, allow_pickle=False) as file:
            face, performance = file["values"][0], file["performance"][0]
            timeline = Timeline.from_json(json.loads(str(file["timelines"][0])))
        if options.mouths:
            draw_mouths(clip, timeline, options, Path(folder))
        else:
            draw_curves(face, performance, timeline, options)
    print(options.out, options.out.stat().st_size // 1024, "kB")


def draw_curves(face: npt.NDArray[Any], performance: npt.NDArray[Any], timeline: Timeline, options: Any) -> None:
    """The timeline, then lips, what is performed of the mouth, brows and head, over the same seconds."""
    t = np.arange(len(face)) / ARKIT55.fps
    figure, axes = plt.subplots(
        4, 1, figsize=(13, 6.6), sharex=True, height_ratios=[1.1, 1.5, 1.2, 1.2], layout="constrained"
    )
    draw_timeline(axes[0], timeline)
    lips = lips_of(face, "ict")
    axes[1].fill_between(t, lips.gap, color="#4c78a8", alpha=0.35)
    axes[1].plot(t, lips.gap, color="#4c78a8", label="gap between the lips (ICT face, in eye distances)")
    axes[1].axhline(0.02, color=FAINT, linewidth=0.8, linestyle=":")
    smile = [ARKIT55.column(f"mouthSmile{side}") for side in ("Left", "Right")]
    axes[2].plot(t, performance[:, smile].mean(1), color=FAINT, linestyle="--", label="smile as it is performed")
    axes[2].plot(t, face[:, smile].mean(1), color="#59a14f", label="under the words")
    axes[2].plot(t, face[:, ARKIT55.column("mouthPucker")], color="#b07aa1", label="rounded lips")
    brows, squint = ("browInnerUp", "browOuterUpLeft"), ("cheekSquintLeft",)
    axes[3].plot(t, face[:, [ARKIT55.column(c) for c in brows]].mean(1), color="#e15759", label="brows up")
    axes[3].plot(t, face[:, [ARKIT55.column(c) for c in squint]].mean(1), color="#9c755f", label="cheeks")
    axes[3].plot(t, face[:, ARKIT55.column("headPitch")], color=INK, label="head pitch (rad)")
    for axis in axes[1:]:
        for phoneme in timeline.phonemes:
            if phoneme.symbol in BILABIALS | LABIODENTALS:
                colour = SEALED if phoneme.symbol in BILABIALS else TEETH
                axis.axvspan(phoneme.start, phoneme.end, color=colour, alpha=0.22, linewidth=0)
        axis.legend(loc="upper right", fontsize=8, frameon=False, ncols=3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel("seconds", fontsize=9)
    axes[0].set_title(f"“{options.line}”  ({options.emotion})", loc="left", fontsize=12, color=INK)
    figure.savefig(options.out, dpi=100)


def draw_timeline(axis: Axes, timeline: Timeline) -> None:
    """Words above, sounds below; p, b, m and f, v in colour; a triangle at every accent."""
    for word in timeline.words:
        axis.text((word.start + word.end) / 2, 1.45, word.text, ha="center", fontsize=10, color=INK)
        axis.axvline(word.start, 0.05, 0.62, color=FAINT, linewidth=0.5)
        for phoneme in word.phonemes:
            symbol = phoneme.symbol
            colour = SEALED if symbol in BILABIALS else TEETH if symbol in LABIODENTALS else "#c9d1dc"
            axis.barh(0.5, phoneme.end - phoneme.start, 0.8, phoneme.start, color=colour, edgecolor="white")
            axis.text(phoneme.centre, 0.5, symbol, ha="center", va="center", fontsize=6.5, color=INK)
    for accent in timeline.accents:
        axis.plot(accent.time, 1.2, marker="v", color=INK, markersize=3 + 4 * accent.size, clip_on=False)
    axis.set_ylim(0, 2)
    axis.set_xlim(0, timeline.seconds)
    axis.axis("off")


def draw_mouths(clip: Path, timeline: Timeline, options: Any, work: Path) -> None:
    """The timeline, and under it close-ups of every face at the sounds that must be seen."""
    shown = [p for p in timeline.phonemes if p.symbol in BILABIALS | LABIODENTALS | ROUND]
    rows = render_mouths(clip, [round(p.centre * ARKIT55.fps) for p in shown], options.ict, work)
    width = len(shown)
    figure = plt.figure(figsize=(1.25 * width, 1.6 + 1.25 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(1 + len(rows), width, height_ratios=[1.1, *[1.0] * len(rows)])
    top = figure.add_subplot(grid[0, :])
    draw_timeline(top, timeline)
    top.set_title(f"“{options.line}”  ({options.emotion})", loc="left", fontsize=12, color=INK)
    for number, (name, pictures) in enumerate(rows):
        for column, (phoneme, picture) in enumerate(zip(shown, pictures, strict=True)):
            axis = figure.add_subplot(grid[1 + number, column])
            axis.imshow(plt.imread(picture))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if number == 0:
                axis.set_title(f"{phoneme.symbol}  {phoneme.centre:.2f} s", fontsize=8, color=INK)
            if column == 0:
                axis.set_ylabel(name, fontsize=8)
    figure.savefig(options.out, dpi=100)


def render_mouths(clip: Path, frames: list[int], ict: Path | None, work: Path) -> list[tuple[str, list[Path]]]:
    """Per face its name and a close-up of its mouth at each frame."""
    import bpy

    from benchmarks.any_face import arkit_head, flame_head, paint
    from benchmarks.fit import read_clip
    from blender_cteg.character.detection.detect import detect_rig
    from blender_cteg.performance.lines import Lines, Style
    from tests.blender.ict import ict_arkit_face
    from tools.film import render, stage

    take = read_clip(clip)
    still = take.values.copy()
    still[:, ARKIT55.groups["head"]] = 0.0  # the head is held still, or the mouth would leave the picture
    take = take.with_values(still)
    faces = [("FLAME layout, fitted", flame_head), ("ARKit keys", arkit_head)]
    faces += [("ICT FaceKit", lambda: ict_arkit_face(ict))] if ict else []
    rows: list[tuple[str, list[Path]]] = []
    for name, make in faces:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        scene = bpy.context.scene
        scene.render.fps, scene.render.fps_base = 24, 1.0
        face = make()
        rig = detect_rig(face)
        Lines(scene, rig).add([take], 0, Style(), text=take.text)
        stage.build_stage(scene, face)
        render.use_engine(scene, "BLENDER_WORKBENCH", CELL)
        if not face.data.materials:
            paint(face)
            face.data.shade_smooth()
            scene.display.shading.color_type = "MATERIAL"
        scene.render.film_transparent = False
        scene.camera.data.lens *= 3.2
        scene.camera.data.shift_y = -0.42
        pictures = [work / f"{len(rows)}-{frame}.png" for frame in frames]
        for frame, picture in zip(frames, pictures, strict=True):
            render.render_still(scene, frame, picture)
        rows.append((name, pictures))
    return rows


if __name__ == "__main__":
    main()
