# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: it picks telling moments, draws the sheet, and leaves three files that open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tools.film.moments import choose_moments
from tools.film.sheet import Row, draw_sheet

#: Read by every Python that starts: what `build.py demo` does not install is not there.
LIGHT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "scipy",
                                      "matplotlib", "accelerate", "phonemizer", "pytest"):
            raise ImportError(f"{name} is not there", name=name)
sys.meta_path.insert(0, Blocked())
"""


def test_moments_are_held_expressions_not_blinks() -> None:
    motion = np.zeros((60, 2))
    motion[10:20, 0] = 1.0  # held
    motion[25, 1] = 3.0  # a blink: stronger, but gone at once
    motion[40:50, 0] = -1.0
    moments = choose_moments(motion, 3)
    assert moments == sorted(set(moments))
    assert 10 < moments[0] < 19
    assert moments[1] not in (24, 25, 26)
    assert 40 < moments[2] < 49
    for length in (1, 2, 5):
        few = choose_moments(motion[:length], 6)
        assert len(few) == 6
        assert few == sorted(few)
        assert few[-1] < length


def test_sheet_shows_every_picture_in_its_place(tmp_path: Path) -> None:
    pictures = []
    for number, colour in enumerate([(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)]):
        pictures.append(tmp_path / f"{number}.png")
        Image.new("RGBA", (64, 64), colour).save(pictures[-1])
    rows = [Row("joy", (pictures[0], pictures[1]), (0.0, 1.0)), Row("fear", (pictures[2], pictures[3]), (0.0, 1.0))]
    sheet = tmp_path / "sheet.png"
    draw_sheet("Ü" * 400, "subtitle", rows, 100, sheet)
    with Image.open(sheet) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    red, green, blue = ((pixels[..., c] > 250) & (pixels.sum(-1) < 260) for c in range(3))
    places = [np.argwhere(mask).mean(axis=0) for mask in (red, green, blue)]
    offset = np.round((np.array(places) - places[0]) / 100)
    assert offset.tolist() == [[0, 0], [0, 1], [1, 0]], "takes are rows, moments are columns"


def test_the_demo_leaves_a_film_a_sheet_and_a_scene(root: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"  # the scripted generator of the extension's tests in place of the real one
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{root / "tests" / "blender" / "fake_worker.py"}"\n')
    python.chmod(0o755)
    out = tmp_path / "out"
    (tmp_path / "sitecustomize.py").write_text(LIGHT)
    environment = {**os.environ, "CTEG_PYTHON": str(python), "BLENDER_USER_RESOURCES": str(tmp_path / "resources")}
    environment["PYTHONPATH"] = str(tmp_path)
    command = [sys.executable, "-m", "tools.film", "--line", "Hello.", "--takes", "2", "--size", "64"]
    done = subprocess.run([*command, "--out", str(out)], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in out.iterdir()} == {"demo.blend", "demo.mp4", "demo.png"}
    with Image.open(out / "demo.png") as image:
        assert image.width > image.height
    show = """
import sys, bpy
clip = bpy.data.movieclips.load(sys.argv[1])
print("film", *clip.size, clip.fps, clip.frame_duration)
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
(line,) = bpy.data.actions[0]["cteg_lines"].values()
print("scene", bpy.context.scene.frame_end, len(line["clips"]), bpy.context.scene.camera is not None)
"""
    command = [sys.executable, "-c", show, str(out / "demo.mp4"), str(out / "demo.blend")]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    film, scene = (next(line for line in printed.splitlines() if line.startswith(word)) for word in ("film", "scene"))
    frames = int(scene.split()[1])
    assert film == f"film 64 64 24.0 {frames}", "the whole performance, square, 24 frames per second"
    assert frames > 24
    assert scene.split()[2:] == ["2", "True"]


def test_a_refused_line_is_a_sentence_and_leaves_no_files(root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "resources")}
    for option, value, word in (("--emotion", "bliss", "'bliss'"), ("--line", "   ", "Type the line")):
        command = [sys.executable, "-m", "tools.film", option, value, "--out", str(tmp_path / "out")]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
