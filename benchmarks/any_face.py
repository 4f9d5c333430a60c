# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet ``docs/images/any-face.jpg``: one take on a FLAME-layout head, an ARKit head and ICT FaceKit.

Run from the repository, with a baked demo head: ``.venv/bin/python -m benchmarks.any_face ict_facekit_light.npz``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

import bpy
import numpy as np

from benchmarks.faces import LEFT_EYE, RIGHT_EYE, read_head
from benchmarks.fit import read_clip
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.detection.naming import ARKIT_CHANNELS
from blender_cteg.character.mapping import MESH_PROPERTY
from blender_cteg.clip import Clip
from blender_cteg.heads.demo_head.assemble import add_demo_head
from blender_cteg.performance.lines import Lines, Style
from tests.blender.ict import ict_arkit_face
from tools.film import render, sheet, stage
from tools.film.__main__ import frame_range, motion_of
from tools.film.moments import choose_moments

LINE = "[joy] We won! We really won! [surprise] Wait, what? [anger] You lied to me, all this time!"
MOMENTS, CELL = 6, 260
COLOURS = {"Clay": (0.55, 0.42, 0.36), "White": (0.7, 0.68, 0.64), "Iris": (0.06, 0.04, 0.03)}
#: ICT FaceKit's teeth begin at this vertex.
TEETH = 17039
#: Blender's axes from FLAME's.
TO_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def main() -> None:
    """Perform, render and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ict", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/any-face.jpg"))
    parser.add_argument("--line", default=LINE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command = [sys.executable, "-m", "generator", "say", options.line, "--seed", "4", "-o", str(work / "take.npz")]
        subprocess.run(command, check=True, capture_output=True)
        clip = read_clip(work / "take.npz")
        rows: list[sheet.Row] = []
        moments: list[int] | None = None
        for title, make in (
            ("FLAME-layout head, its keys fitted to the ARKit actions", flame_head),
            ("ARKit head: the same head with its own ARKit shapes as keys", arkit_head),
            ("the same shapes under MPFB's names (!ex-...)", mpfb_head),
            ("ICT FaceKit, an independent ARKit face", lambda: ict_arkit_face(options.ict)),
        ):
            row, moments = pictures(make, clip, title, work / str(len(rows)), moments)
            rows.append(row)
        sheet.draw_sheet(
            sheet.quoted(options.line),
            "the same take, generated from the text alone, on four faces",
            rows,
            CELL,
            options.out,
        )
    print(options.out, options.out.stat().st_size // 1024, "kB")


def flame_head() -> bpy.types.Object:
    """The demo head without its stored mapping, so that it is fitted."""
    face = add_demo_head(bpy.context)
    del face.data[MESH_PROPERTY]
    return face


def arkit_head() -> bpy.types.Object:
    """The demo head with its own ARKit shapes as keys in place of the expression components."""
    face, head = flame_head(), read_head()
    face.shape_key_clear()
    face.shape_key_add(name="Basis")
    for channel, offsets in zip(ARKIT_CHANNELS, head.deltas, strict=True):
        block = face.shape_key_add(name=channel)
        block.data.foreach_set("co", ((head.vertices + offsets) @ TO_BLENDER.T).astype(np.float32).ravel())
        block.value = 0.0
    return face


def mpfb_head() -> bpy.types.Object:
    """The same under the names that MPFB gives MakeHuman's face units."""
    face = arkit_head()
    for block in face.data.shape_keys.key_blocks[1:]:
        block.name = f"!ex-{block.name}"
    return face


def paint(face: bpy.types.Object) -> None:
    """Clay with eyes and teeth, for the mesh of ICT FaceKit."""
    for name, colour in COLOURS.items():
        material = bpy.data.materials.new(name)
        material.diffuse_color = (*colour, 1.0)
        face.data.materials.append(material)
    at = np.empty(3 * len(face.data.vertices), np.float32)
    face.data.vertices.foreach_get("co", at)
    at = at.reshape(-1, 3)
    for polygon in face.data.polygons:
        first = polygon.vertices[0]
        if first >= LEFT_EYE.start:
            ball = at[LEFT_EYE if first < LEFT_EYE.stop else RIGHT_EYE]
            off = at[first] - ball.mean(axis=0)
            polygon.material_index = 2 if off[1] < 0 and np.hypot(off[0], off[2]) < 0.0058 else 1
        elif first >= TEETH:
            polygon.material_index = 1


def pictures(
    make: Callable[[], bpy.types.Object], clip: Clip, title: str, folder: Path, moments: list[int] | None
) -> tuple[sheet.Row, list[int]]:
    """A row of the sheet; the moments are those of the first face."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    face = make()
    rig = detect_rig(face)
    line = Lines(scene, rig).add([clip], 1, Style(reduction=0), text=clip.text)
    stage.build_stage(scene, face)
    first, last = frame_range(line)
    if moments is None:
        motion = motion_of(scene, face, first, last)
        moments = choose_moments(motion.reshape(len(motion), -1), MOMENTS)
    render.use_engine(scene, "BLENDER_WORKBENCH", CELL)
    if not face.data.materials:
        paint(face)
        face.data.shade_smooth()
        scene.display.shading.color_type = "MATERIAL"
    folder.mkdir()
    files = []
    with stage.close_up(scene):
        for number, moment in enumerate(moments):
            files.append(folder / f"{number}.png")
            render.render_still(scene, first + moment, files[-1])
    return sheet.Row(title, tuple(files), tuple(m / 24.0 for m in moments)), moments


if __name__ == "__main__":
    main()
