# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tools.film.scene SCRIPT`: a scene of several demo heads, from a script to a contact sheet and a film.

Everything goes through the extension, as when a script is dropped on the view: *Add Heads*, *Generate*.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from .__main__ import TAIL, DemoError, operate  # isort: skip - first: it says how Workbench renders

import bpy
from mathutils import Vector

from blender_cteg import register
from blender_cteg.dialogue import scripts, staging
from blender_cteg.dialogue.entries import dialogue_of

from . import render, sheet, stage
from .progress import bar, step

#: Pictures of each line; the first is where it begins, so that it is seen who turns to whom.
MOMENTS: Final = 5
#: Degrees of the scene that the camera sees across, and how much is left around the heads.
_LENS: Final = 50.0
_AROUND: Final = 1.3
SUBTITLE: Final = "generated from the script alone by CTEG for Blender; every row is one line of it"


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when all was written, 1 with a sentence on stderr when not."""
    parser = argparse.ArgumentParser(prog="python -m tools.film.scene", description="Perform a script on demo heads.")
    parser.add_argument("script", type=Path)
    parser.add_argument("--size", type=int, default=640, help="width of the film in pixels, a multiple of 16")
    parser.add_argument("--cell", type=int, default=300, help="width and height of a picture of the sheet")
    parser.add_argument("--engine", choices=("BLENDER_WORKBENCH", "CYCLES"), default="BLENDER_WORKBENCH")
    parser.add_argument("--no-film", action="store_true", help="the contact sheet alone")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        played = perform(options.script)
        scene = bpy.context.scene
        bpy.ops.wm.save_as_mainfile(filepath=str(options.out.resolve() / "scene.blend"), copy=True, compress=True)
        draw(scene, played, options.out / "scene.png", options.cell, options.engine)
        if not options.no_film:
            frames = scene.frame_end - scene.frame_start + 1
            with step(f"Rendering {options.out / 'scene.mp4'}, {frames} frames"), bar(frames, "frames") as advance:
                render.use_engine(scene, options.engine, options.size, samples=4)
                scene.render.resolution_y = options.size * 9 // 16
                render.render_film(scene, options.out / "scene.mp4", advance)
    except (DemoError, RuntimeError, scripts.UnreadableScript) as error:
        print(f"scene: {error}", file=sys.stderr)
        return 1
    return 0


def perform(path: Path) -> list[staging.Played]:
    """A new scene with a demo head for each speaker of a script, and all its lines performed."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    register()
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    script, _ = scripts.read(path)
    with step("Adding the heads"):
        entries = scripts.add(scene, script, start=1)
        operate(bpy.ops.cteg.add_heads)
    heads = {part.name: part.character for part in dialogue_of(scene).parts}
    staging.remove_entries(scene, [entry.name for entry in entries])
    _look_at(scene, list(heads.values()))
    with step(f"Performing {len(script.lines)} lines"):
        played, said = staging.play(scene, script, heads, start=1)
    for sentence in said:
        print(f"    {sentence}", flush=True)
    ends = [row.end for row in played]
    scene.frame_start, scene.frame_end = 1, round(max(ends)) + TAIL
    return played


def _look_at(scene: bpy.types.Scene, heads: list[bpy.types.Object]) -> None:
    """Build the studio of the first head, and let its camera see all of them."""
    bpy.context.view_layer.update()
    stage.build_stage(scene, heads[0])
    found = [stage.face_centre_and_crown(head) for head in heads]
    places, crown = [centre for centre, _ in found], max(crown for _, crown in found)
    middle = sum(places, Vector()) / len(places)
    across = max((place - middle).length for place in places) * 2 + 2 * crown
    lens = scene.camera.data
    lens.lens = _LENS
    scene.camera.location = middle + Vector((0.0, -1.0, 0.06)).normalized() * (
        _AROUND * across * _LENS / lens.sensor_width
    )
    stage.point_at(scene.camera, middle)
    for light in (obj for obj in scene.objects if obj.type == "LIGHT"):
        light.location += middle - places[0]
        light.data.energy *= len(places)


def draw(scene: bpy.types.Scene, played: list[staging.Played], path: Path, cell: int, engine: render.Engine) -> None:
    """A row for each line, from its first frame to its last."""
    fps, rows = scene.render.fps / scene.render.fps_base, []
    there = [line for line in played if not line.problem]
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        step(f"Rendering {path}"),
        bar(MOMENTS * len(there), "pictures") as advance,
    ):
        render.use_engine(scene, engine, cell, samples=12)
        for number, line in enumerate(there):
            pictures, seconds = [], []
            for k in range(MOMENTS):
                frame = round(line.start + (line.end - line.start) * (0.04 + 0.9 * k / (MOMENTS - 1)))
                pictures.append(Path(folder) / f"{number} {k}.png")
                render.render_still(scene, frame, pictures[-1])
                seconds.append((frame - scene.frame_start) / fps)
                advance()
            rows.append(sheet.Row(f"{line.speaker}: {line.text}", tuple(pictures), tuple(seconds)))
        sheet.draw_sheet(path.stem.capitalize(), SUBTITLE, rows, cell, path)


if __name__ == "__main__":
    sys.exit(main())
