# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tools.film`: perform a line on the demo head in Blender's module; `build.py demo` runs it.

Everything goes through the extension's operators, so what is seen here is what Blender's user gets.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

# Mesa's software renderer, so that Workbench needs neither screen nor graphics card. Read when bpy is imported.
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

import bpy
import numpy as np
import numpy.typing as npt

from blender_cteg import cast, register
from blender_cteg.character.geometry import coordinates
from blender_cteg.emotions import AUTO, EMOTIONS
from blender_cteg.performance.record import Line
from blender_cteg.segments import in_order

from . import render, sheet, stage
from .moments import choose_moments
from .progress import bar, quiet, step

LINE: Final = "You kept it? After all these years, you actually kept it!"
#: A picture of the contact sheet, as a part of the film's width.
CELL_SHARE: Final = 0.6
MOMENTS: Final = 6
#: Frames between the end of the performance and the end of the film.
TAIL: Final = 12


SUBTITLE: Final = "generated from the text alone by CTEG for Blender; every row is one take"


class DemoError(Exception):
    """The demo cannot go on; the message is a sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Command line of the demo; 0 when all three files were written, 1 with a sentence on stderr when not."""
    parser = argparse.ArgumentParser(prog="python -m tools.film", description="Perform a line on the demo head.")
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
        operate(bpy.ops.cteg.perform)


def operate(operator: object) -> None:
    """Call an operator; DemoError with the sentence it reports when it refuses."""
    try:
        result = operator()  # type: ignore[operator]
    except RuntimeError as error:
        raise DemoError(str(error).removeprefix("Error: ").strip()) from None
    if result != {"FINISHED"}:
        raise DemoError("the operator was cancelled; its reason is above")


def show(out: Path, size: int) -> None:
    """Save and render the performed scene: demo.blend, demo.png, demo.mp4 in ``out``; the film ``size`` pixels wide.

    Each file appears when it is complete.
    """
    scene = bpy.context.scene
    line = cast.refresh(scene).lines[0]
    with tempfile.TemporaryDirectory(dir=out) as folder:
        work = Path(folder)
        save_scene(scene, line, size, work / "demo.blend")
        (work / "demo.blend").replace(out / "demo.blend")
        with step(f"Rendering {out / 'demo.png'} with Cycles"):
            contact_sheet(scene, line, int(CELL_SHARE * size), work / "demo.png")
            (work / "demo.png").replace(out / "demo.png")
        show_take(line, 0)
        with step("Looking for a quick renderer"), quiet():
            workbench = render.workbench_works(work)
        if not workbench:
            print("    Workbench cannot render here (no OpenGL); Cycles draws the film, which takes longer", flush=True)
        frames = scene.frame_end - scene.frame_start + 1
        with step(f"Rendering {out / 'demo.mp4'}, {frames} frames"), bar(frames, "frames") as advance:
            render.use_engine(scene, "BLENDER_WORKBENCH" if workbench else "CYCLES", size, samples=4)
            render.render_film(scene, work / "demo.mp4", advance)
        (work / "demo.mp4").replace(out / "demo.mp4")
    for name in ("demo.mp4", "demo.png", "demo.blend"):
        print(f"    {out / name}", flush=True)


def show_take(line: Line, take: int) -> Line:
    """Put a take of a line on the curves, and the line as it is then."""
    operate(lambda: bpy.ops.cteg.show_take(line=line.id, take=take))
    return next(one for one in cast.refresh(bpy.context.scene).lines if one.id == line.id)


def save_scene(scene: bpy.types.Scene, line: Line, size: int, path: Path) -> None:
    """Save the scene as someone wants to open it: the first take shown, the playhead at its start, ready to render."""
    first, last = frame_range(show_take(line, 0))
    scene.frame_start, scene.frame_end = first, last + TAIL
    scene.frame_set(first)
    render.use_engine(scene, "CYCLES", size)
    with quiet():
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=True)


def contact_sheet(scene: bpy.types.Scene, line: Line, cell: int, path: Path) -> None:
    """Draw the contact sheet of the takes of a line with pictures of ``cell`` pixels."""
    with stage.close_up(scene), bar(MOMENTS * len(line.takes), "pictures") as advance:
        rows = [
            render_row(scene, line, number, path.with_name(f"row {number}"), cell, advance)
            for number in range(len(line.takes))
        ]
    sheet.draw_sheet(sheet.quoted(line.text), SUBTITLE, rows, cell, path)


def render_row(
    scene: bpy.types.Scene,
    line: Line,
    number: int,
    folder: Path,
    cell: int,
    advance: Callable[[], object],
    engine: render.Engine = "CYCLES",
) -> sheet.Row:
    """Render the moments of one take for the contact sheet into ``folder``."""
    folder.mkdir()
    line = show_take(line, number)
    take, face = line.takes[number], cast.character(scene).rig.object
    first, last = frame_range(line)
    motion = motion_of(scene, face, first, last)
    eyes = motion[:, stage.above_the_nose(face)].reshape(len(motion), -1)
    moments = choose_moments(motion.reshape(len(motion), -1), MOMENTS, eyes)
    pictures = []
    render.use_engine(scene, engine, cell, samples=12)
    for place, moment in enumerate(moments):
        pictures.append(folder / f"{place}.png")
        render.render_still(scene, first + moment, pictures[-1])
        advance()
    fps = scene.render.fps / scene.render.fps_base
    title = f"{in_order(take.segments) or take.emotion}  ·  seed {take.seed}  ·  {(last - first + 1) / fps:.1f} s"
    return sheet.Row(title, tuple(pictures), tuple(moment / fps for moment in moments))


def frame_range(line: Line) -> tuple[int, int]:
    """First and last frame of a line."""
    return round(line.start), round(line.end)


def motion_of(scene: bpy.types.Scene, face: bpy.types.Object, first: int, last: int) -> npt.NDArray[np.float32]:
    """Where the vertices of ``face`` are in every frame, relative to the last one (metres), shape (T, V, 3)."""
    poses = []
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        poses.append(coordinates(mesh.vertices).astype(np.float32))
    motion = np.stack(poses)
    return motion - motion[-1]


if __name__ == "__main__":
    sys.exit(main())
