# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet ``docs/images/any-face.jpg``: one take on every kind of rig, and what of each was seen to be right.

Run from the repository, with a baked demo head: ``.venv/bin/python -m benchmarks.any_face ict_facekit_light.npz``. It
prints the table of docs/rigs.md: how many channels do what they are called, seen on the face (``--only`` some rows).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

import bpy
import numpy as np

from benchmarks import bone_faces, rigs
from benchmarks.faces import LEFT_EYE, RIGHT_EYE, read_head
from benchmarks.fit import read_clip
from blender_cteg.character import measuring
from blender_cteg.character.choose import mapping_for
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.detection.naming import ARKIT_CHANNELS
from blender_cteg.character.fitting.learning import keep, learned, with_pose
from blender_cteg.character.geometry import coordinates
from blender_cteg.character.mapping import MESH_PROPERTY, Mapping
from blender_cteg.character.mapping_edits import HANDFUL, targets_of
from blender_cteg.clip import Clip
from blender_cteg.heads.demo_head.assemble import add_demo_head
from blender_cteg.performance.lines import Lines, Style
from blender_cteg.shared import ARKIT55
from tests.blender.ict import ict_arkit_face
from tools.film import render, sheet, stage
from tools.film.__main__ import frame_range, motion_of
from tools.film.moments import choose_moments

LINE = "[joy] We won! We really won! [surprise] Wait, what? [anger] You lied to me, all this time!"
MOMENTS, CELL = 6, 200
COLOURS = {"Clay": (0.55, 0.42, 0.36), "White": (0.7, 0.68, 0.64), "Iris": (0.06, 0.04, 0.03)}
#: ICT FaceKit's teeth begin at this vertex.
TEETH = 17039
EYES = (np.arange(LEFT_EYE.start, LEFT_EYE.stop), np.arange(RIGHT_EYE.start, RIGHT_EYE.stop))
PRESETS = Path("blender_cteg/character/data/presets")
#: Blender's axes from FLAME's.
TO_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def main() -> None:
    """Perform, render and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ict", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/any-face.jpg"))
    parser.add_argument("--line", default=LINE)
    parser.add_argument("--only", nargs="*", default=(), help="rows whose title has one of these words")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command = [sys.executable, "-m", "generator", "say", options.line, "--seed", "4", "-o", str(work / "take.npz")]
        subprocess.run(command, check=True, capture_output=True)
        clip = read_clip(work / "take.npz")
        rows: list[sheet.Row] = []
        moments: list[int] | None = None
        print("| rig | right | named | not compared | cosine, least and median |\n|---|---|---|---|---|")
        for title, make in (
            ("FLAME-layout head, its keys fitted", flame_head),
            ("ARKit keys", arkit_head),
            ("the same under MPFB's names", mpfb_head),
            ("the same under Character Creator's names", character_creator_head),
            ("ICT FaceKit", lambda: ict_arkit_face(options.ict)),
            ("Rigify, from Blender's own add-on", lambda: on_bones(bone_faces.rigify(), "MCH-eye.L", "ORG-eye.L")),
            ("built as Auto-Rig Pro's", lambda: on_bones(bone_faces.auto_rig_pro(source=head()), "c_eye.l", "c_eye.l")),
            ("built as CloudRig's", lambda: on_bones(bone_faces.cloudrig(head()), "DEF-Eye.L", "DEF-Eye.L")),
            ("plain bones", lambda: on_bones(bone_faces.plain_bones(source=head()), "eye.L", "eye.L")),
            ("bones of unknown names, eight expressions posed", learned_face),
        ):
            if not options.only or any(word in title for word in options.only):
                row, moments = pictures(make, clip, title, work / str(len(rows)), moments)
                rows.append(row)
        count = len(rows)
        subtitle = f"the same take, generated from the text alone, on {count} kinds of rigs"
        sheet.draw_sheet(sheet.quoted(options.line), subtitle, rows, CELL, options.out)
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


def character_creator_head() -> bpy.types.Object:
    """The same under the names of Character Creator's extended profile."""
    face = arkit_head()
    table = json.loads((PRESETS / "character_creator_extended.json").read_text("utf-8"))["shape_keys"]
    names: dict[str, str] = {}
    for name, row in table.items():
        if len(row) == 1:
            names.setdefault(next(iter(row)), name)
    for block in face.data.shape_keys.key_blocks[1:]:
        block.name = names.get(block.name, block.name)
    return face


@cache
def head() -> rigs.Source:
    """The demo head's skin and eyeballs."""
    return rigs.demo_source()


def on_bones(armature: bpy.types.Object, at: str, carrying: str) -> bpy.types.Object:
    """The demo head's skin laid over a face made of bones: its left eye at one, carried by another."""
    source, places, carriers = head(), *((name, bpy.utils.flip_name(name)) for name in (at, carrying))
    face = bone_faces.laid_over(armature, places, source=source, painted=True)
    bone_faces.hang(face, carriers, source)
    paint(face, source.eyes)
    return face


def learned_face() -> bpy.types.Object:
    """A face on bones whose names say nothing, which an animator taught eight expressions: those of a fit."""
    face = on_bones(bone_faces.plain_bones(source=head()), "eye.L", "eye.L")
    mapping = mapping_for(detect_rig(face), Clip(np.zeros((1, 55), np.float32), ARKIT55.channels, 24.0, ARKIT55.name))
    for number, name in enumerate(("head", "eye.L", "eye.R", "spine")):
        face.parent.data.bones[name].name = f"part{number}"
    taught = Mapping(ARKIT55.name)
    for channel in HANDFUL[:8]:
        taught = with_pose(taught, channel, targets_of(mapping, channel))
    keep(detect_rig(face), taught)
    rig = detect_rig(face)
    keep(rig, learned(rig, taught))
    return face


def seen(scene: bpy.types.Scene, face: bpy.types.Object, title: str) -> str:
    """What of a rig's channels was seen to be right; prints a row of the table."""
    measuring.forget()
    rig = detect_rig(face)
    mapping = mapping_for(rig, Clip(np.zeros((1, 55), np.float32), ARKIT55.channels, 24.0, ARKIT55.name))
    measuring.measure(scene, rig, mapping)
    found = measuring.verdicts_of(rig, mapping)
    right = sum(verdict.kind == "RIGHT" for verdict in found.values())
    unknown = sum(verdict.kind == "UNKNOWN" for verdict in found.values())
    named = [channel for channel, verdict in found.items() if verdict.kind not in ("RIGHT", "UNKNOWN")]
    alike = [verdict.alike for verdict in found.values() if np.isfinite(verdict.alike)] or [float("nan")]
    listed = f"{len(named)}: {', '.join(named)}" if named else "0"
    print(f"| {title} | {right} of 55 | {listed} | {unknown} | {min(alike):.2f}, {np.median(alike):.2f} |", flush=True)
    return f"{title}: {right} of 55 channels seen to be right"


def paint(face: bpy.types.Object, eyes: tuple[np.ndarray, np.ndarray] = EYES) -> None:
    """Clay with eyes and teeth: for the mesh of ICT FaceKit, or with other vertices as eyes."""
    for name, colour in COLOURS.items():
        material = bpy.data.materials.new(name)
        material.diffuse_color = (*colour, 1.0)
        face.data.materials.append(material)
    at = coordinates(face.data.vertices)
    balls = [set(map(int, eye)) for eye in eyes]
    for polygon in face.data.polygons:
        first = polygon.vertices[0]
        ball = next((at[eye] for eye, own in zip(eyes, balls, strict=True) if first in own), None)
        if ball is not None:
            off, size = at[first] - ball.mean(axis=0), float(np.ptp(ball[:, 0]))
            polygon.material_index = 2 if off[1] < 0 and np.hypot(off[0], off[2]) < 0.24 * size else 1
        elif eyes is EYES and first >= TEETH:
            polygon.material_index = 1


def pictures(
    make: Callable[[], bpy.types.Object], clip: Clip, title: str, folder: Path, moments: list[int] | None
) -> tuple[sheet.Row, list[int]]:
    """A row of the sheet; the moments are those of the first face."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    face = make()
    title = seen(scene, face, title)
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
