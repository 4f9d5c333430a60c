# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tools.film.watch`: many lines on the demo head, as contact sheets and films.

What a checkpoint is worth must be seen. ``--blind`` leaves out everything but a number and shuffles the rows, so that
someone can write down what each face feels before opening ``key.json``. Ten lines to begin with stand beside this
file, and one of each emotion, at natural intensity and at 1.4 (``fourteen_emotions.jsonl``):

    python -m tools.film.watch tools/film/ten_lines.jsonl --films --out DIR
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __main__ as demo  # first: it says how to render before bpy is imported

import bpy  # isort: skip

from blender_cteg import cast, register
from blender_cteg.performance.record import Line
from blender_cteg.preferences import CHECKPOINT_VARIABLE

from . import render, sheet, stage
from .progress import bar, quiet, step

#: Rows of a sheet.
ROWS = 7


@dataclass(frozen=True)
class Wanted:
    """One line to perform: its text, and any arguments of the operator ``cteg.perform``."""

    text: str
    arguments: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> list[Wanted]:
        """One JSON object per line: ``text`` and arguments such as ``emotion``, ``intensity``, ``seed``."""
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [cls(row.pop("text"), row) for row in rows]


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when everything was written."""
    parser = argparse.ArgumentParser(prog="python -m tools.film.watch", description="See many lines performed.")
    parser.add_argument("lines", type=Path, help="JSON lines: text, emotion, emotion_to, intensity, energy, seed, …")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--blind", action="store_true", help="rows are shuffled and numbered; key.json tells")
    parser.add_argument("--without-lines", action="store_true", help="no words on the sheets: they may be others'")
    parser.add_argument("--title", default="Lines performed")
    parser.add_argument("--films", action="store_true", help="a film of each line as well")
    parser.add_argument("--size", type=int, default=256, help="width of a picture in pixels, even")
    parser.add_argument("--checkpoint", default="", help="folder; by default the bundled one")
    options = parser.parse_args(arguments)
    wanted = Wanted.read(options.lines)
    if options.blind:
        random.Random(len(wanted)).shuffle(wanted)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        _scene(options.checkpoint)
        _draw(wanted, _performed(wanted), options)
    except demo.DemoError as error:
        print(f"watch: {error}", file=sys.stderr)
        return 1
    return 0


def _scene(checkpoint: str) -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    register()
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    demo.operate(bpy.ops.cteg.add_head)
    stage.build_stage(scene, scene.cteg.target)
    if checkpoint:
        os.environ[CHECKPOINT_VARIABLE] = str(Path(checkpoint).absolute())


def _performed(wanted: list[Wanted]) -> list[Line]:
    """One line after the other, each with one take."""
    scene, start = bpy.context.scene, 1
    with step(f"Performing {len(wanted)} lines"), bar(len(wanted), "lines") as advance:
        for one in wanted:
            arguments = {"takes": 1, "spread": False, "start_frame": start, **one.arguments}
            try:
                bpy.ops.cteg.perform(text=one.text, **arguments)
            except (RuntimeError, TypeError) as error:
                raise demo.DemoError(f"“{one.text[:60]}”: {str(error).removeprefix('Error: ').strip()}") from None
            start = round(cast.refresh(scene).lines[-1].end) + demo.TAIL
            advance()
    return list(cast.refresh(scene).lines)


def _draw(wanted: list[Wanted], lines: list[Line], options: argparse.Namespace) -> None:
    scene = bpy.context.scene
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        work = Path(folder)
        with quiet():
            engine: render.Engine = "BLENDER_WORKBENCH" if render.workbench_works(work) else "CYCLES"
        rows = []
        with step("Rendering"), bar(len(lines) * demo.MOMENTS, "pictures") as advance, stage.close_up(scene):
            for number, (one, said) in enumerate(zip(wanted, lines, strict=True), start=1):
                row = demo.render_row(scene, said, 0, work / str(number), options.size, advance, engine)
                line = "" if options.without_lines else f"  ·  {one.text[:70]}"
                title = f"{number}" if options.blind else f"{number}  {row.title}{line}"
                rows.append(sheet.Row(title, row.pictures, row.seconds))
        for page in range(0, len(rows), ROWS):
            shown = rows[page : page + ROWS]
            name = f"sheet{page // ROWS + 1}.jpg"
            title = "What does each of them feel?" if options.blind else options.title
            sheet.draw_sheet(title, f"rows {page + 1} to {page + len(shown)}", shown, options.size, options.out / name)
        key = [{"row": n, "text": one.text, **one.arguments} for n, one in enumerate(wanted, start=1)]
        (options.out / "key.json").write_text(json.dumps(key, indent=1, ensure_ascii=False), encoding="utf-8")
        if options.films:
            _films(lines, options, engine)


def _films(lines: list[Line], options: argparse.Namespace, engine: render.Engine) -> None:
    scene = bpy.context.scene
    for number, line in enumerate(lines, start=1):
        first, last = demo.frame_range(line)
        scene.frame_start, scene.frame_end = first, last + demo.TAIL
        path = options.out / f"clip{number:02}.mp4"
        with step(f"Rendering {path}"), bar(scene.frame_end - first + 1, "frames") as advance:
            render.use_engine(scene, engine, 2 * options.size, samples=4)
            render.render_film(scene, path, advance)


if __name__ == "__main__":
    sys.exit(main())
