# SPDX-License-Identifier: GPL-3.0-or-later
"""``cteg run``: a script is performed on the characters of a scene without an interface."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

import blender_cteg
from blender_cteg import cli
from tests.blender.scenes import arkit_face

SCRIPT = "MIRA: I thought you were gone for good.\nTOMAS: (angrily) I never meant to leave you.\nGHOST: Boo.\n"


@pytest.fixture(autouse=True)
def people(scripted: bpy.types.Scene) -> None:
    for place, name in enumerate(("Mira", "Tomas", "Head")):
        face = arkit_face(bones=())
        face.name = name
        face.location.x = place
    bpy.context.view_layer.update()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "scene.txt"
    path.write_text(SCRIPT, "utf-8")
    return path


def rows(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_every_line_lands_on_its_character(
    scene: bpy.types.Scene, script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    saved, report = tmp_path / "new" / "out.blend", tmp_path / "report.json"
    options = ["--takes", "2", "--seed", "7", "--character", "ghost=Head", "--no-listen"]
    assert cli.run(["run", str(script), *options, "--save", str(saved), "--report", str(report)]) == 0
    told = capfd.readouterr()
    found = rows(told.out)
    assert [(row["line"], row["speaker"], row["status"], row["character"]) for row in found] == [
        (1, "MIRA", "done", "Mira"), (2, "TOMAS", "done", "Tomas"), (3, "GHOST", "done", "Head"),
    ]  # fmt: skip
    assert found[0]["end"] > found[0]["start"] and found[1]["start"] >= found[0]["end"]
    assert json.loads(report.read_text("utf-8"))["lines"] == found
    assert "3 of 3 lines are performed" in told.err
    assert bpy.data.filepath == "" and saved.is_file(), "a copy was saved, and the scene is as it was opened"
    lines = blender_cteg.cast.found(scene, scene.objects["Mira"]).lines
    assert [(len(line.takes), line.takes[0].seed) for line in lines] == [(2, 7)]


def test_who_is_not_there_is_reported_and_the_rest_is_done(script: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", str(script), "--no-listen", "--no-look"]) == 3
    told = capfd.readouterr()
    found = rows(told.out)
    assert [row["status"] for row in found] == ["done", "done", "skipped"] and "GHOST" in told.err
    assert found[2]["why"] and "nothing was saved" in told.err
    assert found[2]["why"] not in told.err, "it is said once"


@pytest.mark.parametrize("form", ["npz", "json", "csv"])
def test_lines_are_exported_as_a_batch_writes_them(
    script: Path, tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    options = ["--takes", "2", "--no-listen", "--no-look", "--export", str(folder), "--format", form]
    assert cli.run(["run", str(script), *options]) == 3
    files = rows(capfd.readouterr().out)[1]["files"]
    assert files == (["00002_tomas_1.csv", "00002_tomas_2.csv"] if form == "csv" else [f"00002_tomas.{form}"])
    data = (folder / files[0]).read_bytes()
    if form == "npz":
        with np.load(folder / files[0], allow_pickle=False) as clip:
            assert clip["values"].shape[0] == 2 and clip["text"] == "(angrily) I never meant to leave you."
            assert clip["seeds"][0] == 0 and len(clip["seeds"]) == 2 and clip["channels"][0] == "eyeBlinkLeft"
    else:
        assert (b"Timecode" if form == "csv" else b'"takes"') in data


@pytest.mark.parametrize("form", ["glb", "usd", "fbx"])
def test_the_scene_is_exported(script: Path, tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    cli.run(["run", str(script), "--no-listen", "--no-look", "--export", str(tmp_path / "out"), "--format", form])
    told = capfd.readouterr()
    if "cannot write" in told.err:
        pytest.skip(told.err.splitlines()[-1])
    assert (tmp_path / "out" / f"scene.{form}").stat().st_size > 2000, told.err


def test_where_nothing_can_be_written_nothing_is_performed(
    script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for options, words in (
        (["--export", str(script), "--format", "csv"], "cannot be a folder to write to"),
        (["--save", str(script / "scene.blend")], "cannot be a folder to write to"),
        (["--save", str(tmp_path)], "is a folder; name a file in it"),
        (["--report", str(tmp_path)], "is a folder; name a file in it"),
    ):
        assert cli.run(["run", str(script), *options]) == 1
        told = capfd.readouterr().err
        assert words in told and "Errno" not in told
    assert not bpy.context.scene.cteg_dialogue.entries


def test_a_scene_that_finds_no_room_is_reported_and_the_old_file_stays(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.blend"
    path.write_bytes(b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert cli.run(["run", str(script), "--no-listen", "--no-look", "--save", str(path)]) == 1
    told = capfd.readouterr()
    assert len(rows(told.out)) == 3 and "out.blend cannot be saved (No space left on device); make room" in told.err
    assert path.read_bytes() == b"old" and [one.name for one in tmp_path.glob("*.blend*")] == ["out.blend"]
    assert not list(tmp_path.glob(".*"))


#: A Blender that performs a script on a file and saves over it.
BLENDER = """
import sys
import bpy, blender_cteg
from blender_cteg import cli
blender_cteg.register()
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
sys.exit(cli.run(["run", sys.argv[2], "--no-listen", "--no-look", "--save", sys.argv[1]]))
"""


@pytest.mark.long
def test_two_blenders_that_save_one_file_leave_one_that_is_whole(script: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(scene))
    command = [sys.executable, "-c", BLENDER, str(scene), str(script)]
    root = Path(__file__).parents[2]
    for _ in range(2):
        both = [subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate(timeout=300)[1] for process in both]
        assert [process.returncode for process in both] == [3, 3], said
        bpy.ops.wm.open_mainfile(filepath=str(scene))
        lines = blender_cteg.cast.found(bpy.context.scene, bpy.data.objects["Mira"]).lines
        assert lines and len(bpy.context.scene.cteg_dialogue.entries) % 3 == 0
    assert [path.name for path in tmp_path.iterdir() if "blend" in path.name] == ["scene.blend"]


def test_wrong_usage_is_said_in_a_sentence(script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for options, words, code in (
        (["--character", "ANNA=Head"], "Nobody in the script is called ANNA; it has GHOST, MIRA, TOMAS.", 1),
        (["--character", "MIRA=Nose"], "The scene has no object called Nose", 1),
        (["--character", "MIRA"], "is not NAME=OBJECT", 2),
        (["--takes", "99"], "choose 1 to 16", 1),
        (["--seed", "-1"], "choose 0 to", 1),
        (["--start", "-99999999"], "choose a frame from", 1),
        (["--format", "mp4", "--export", "x"], "invalid choice", 2),
    ):
        assert cli.run(["run", str(script), *options]) == code
        assert words in capfd.readouterr().err
    assert cli.run(["run", str(tmp_path / "none.fountain")]) == 1
    assert "none.fountain" in capfd.readouterr().err
    assert cli.run(["run", "--help"]) == 0
    assert "--character ANNA=Head.001" in capfd.readouterr().out
