# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m blender_cteg.demo`: perform a line on the demo head in Blender's module; `build.py demo` runs it.

Everything goes through the extension's operators, so what is seen here is what Blender's user gets.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Mesa's software renderer, so that Workbench needs neither screen nor graphics card. Read when bpy is imported.
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

import bpy
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from .. import desk, register
from ..animation import keyframes
from ..emotions import AUTO, EMOTIONS
from ..rigs.detect import detect_rig
from ..rigs.rig import Rig
from . import render, sheet, stage
from .moments import choose_moments

LINE: Final = "You kept it? After all these years, you actually kept it!"
#: A picture of the contact sheet, as a part of the film's width.
CELL_SHARE: Final = 0.6
MOMENTS: Final = 6
#: Frames between the end of the performance and the end of the film.
TAIL: Final = 12


class DemoError(Exception):
    """The demo cannot go on; the message is a sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Command line of the demo; 0 when all three files were written, 1 with a sentence on stderr when not."""
    parser = argparse.ArgumentParser(prog="python -m blender_cteg.demo", description="Perform a line on the demo head.")
    parser.add_argument("--line", default=LINE)
    parser.add_argument("--emotion", default="auto")
    parser.add_argument("--takes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=512, help="width and height of the film in pixels, even")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args(arguments)
    try:
        perform(options.line, options.emotion, options.takes, options.seed)
        options.out.mkdir(parents=True, exist_ok=True)
        show(options.out, options.size)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def perform(line: str, emotion: str, takes: int, seed: int) -> None:
    """A new scene with the demo head and ``takes`` performances of ``line``. DemoError with the operator's reason."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    register()
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.frame_set(1)
    with step("Adding the demo head"):
        operate(bpy.ops.cteg.add_head)
    stage.build_stage(scene, scene.cteg.target)
    with step(f"Performing “{' '.join(line.split())[:60]}”"):
        try:
            scene.cteg.emotion = emotion
        except TypeError:
            names = ", ".join(choice.name for choice in (AUTO, *EMOTIONS))
            raise DemoError(f"there is no emotion {emotion!r}; choose one of {names}") from None
        scene.cteg.text, scene.cteg.takes, scene.cteg.seed = line, takes, seed
        operate(bpy.ops.cteg.generate)


def operate(operator: object) -> None:
    """Call an operator; DemoError with the sentence it reports when it refuses."""
    try:
        result = operator()  # type: ignore[operator]
    except RuntimeError as error:
        raise DemoError(str(error).removeprefix("Error: ").strip()) from None
    if result != {"FINISHED"}:
        raise DemoError("the operator was cancelled; its reason is above")


def show(out: Path, size: int) -> None:
    """Save and render the performed scene: demo.blend, demo.png, demo.mp4 in ``out``; the film ``size`` pixels wide."""
    cell = int(CELL_SHARE * size)
    scene = bpy.context.scene
    rig = detect_rig(scene.cteg.target)
    takes = desk.takes_of(scene.cteg.target)
    keyframes.show_take(rig, takes[0])
    scene.frame_start, scene.frame_end = frame_range(takes[0])
    scene.frame_end += TAIL
    scene.frame_set(scene.frame_start)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        work = Path(folder)
        with step("Looking for a renderer"):
            workbench = render.workbench_works(work)
        render.use_engine(scene, "CYCLES", size)
        part = work / "demo.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(part), copy=True, compress=True)
        part.replace(out / "demo.blend")
        with step(f"Rendering {out / 'demo.png'} with Cycles"):
            with stage.close_up(scene), tqdm(total=MOMENTS * len(takes), unit="picture", disable=None) as bar:
                rows = [
                    render_row(scene, rig, take, work / str(number), cell, bar) for number, take in enumerate(takes)
                ]
            made = keyframes.provenance(takes[0]) or {}
            part = work / "demo.png"
            subtitle = "generated from the text alone by CTEG for Blender; every row is one take"
            sheet.draw_sheet(str(made.get("text", "")), subtitle, rows, cell, part)
            part.replace(out / "demo.png")
        keyframes.show_take(rig, takes[0])
        if not workbench:
            print("    Workbench cannot render here (no EGL); Cycles draws the film, which takes longer", flush=True)
        count = scene.frame_end - scene.frame_start + 1
        with step(f"Rendering {out / 'demo.mp4'} ({count} frames)"):
            render.use_engine(scene, "BLENDER_WORKBENCH" if workbench else "CYCLES", size, samples=4)
            part = work / "demo.mp4"
            with frame_bar(count):
                render.render_film(scene, part)
            part.replace(out / "demo.mp4")
    for name in ("demo.mp4", "demo.png", "demo.blend"):
        print(f"    {out / name}", flush=True)


def render_row(
    scene: bpy.types.Scene, rig: Rig, take: bpy.types.Action, folder: Path, cell: int, bar: tqdm[None]
) -> sheet.Row:
    """Render the moments of one take for the contact sheet into ``folder``."""
    folder.mkdir()
    keyframes.show_take(rig, take)
    first, last = frame_range(take)
    moments = choose_moments(motion_of(scene, rig.object, first, last), MOMENTS)
    pictures = []
    render.use_engine(scene, "CYCLES", cell, samples=12)
    for number, moment in enumerate(moments):
        pictures.append(folder / f"{number}.png")
        render.render_still(scene, first + moment, pictures[-1])
        bar.update()
    made = keyframes.provenance(take) or {}
    fps = scene.render.fps / scene.render.fps_base
    title = f"{str(made.get('emotion', '')).replace('_', ' ')}  ·  seed {made.get('seed')}  ·  "
    title += f"{(last - first + 1) / fps:.1f} s"
    return sheet.Row(title, tuple(pictures), tuple(moment / fps for moment in moments))


def frame_range(take: bpy.types.Action) -> tuple[int, int]:
    """First and last frame of a take."""
    return int(take.frame_range[0]), int(take.frame_range[1])


def motion_of(scene: bpy.types.Scene, face: bpy.types.Object, first: int, last: int) -> npt.NDArray[np.float32]:
    """Where the vertices of ``face`` are in every frame, relative to the last one (metres), shape (T, 3V)."""
    poses = []
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        pose = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", pose)
        poses.append(pose)
    motion = np.stack(poses)
    return motion - motion[-1]


@contextlib.contextmanager
def frame_bar(count: int) -> Iterator[None]:
    """A progress bar that follows the rendered frames."""
    with tqdm(total=count, unit="frame", disable=None) as bar:

        def advance(*arguments: object) -> None:
            bar.update()

        bpy.app.handlers.render_post.append(advance)
        try:
            yield
        finally:
            bpy.app.handlers.render_post.remove(advance)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    start = time.monotonic()
    print(f"==> {title}", flush=True)
    yield
    print(f"    done in {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
