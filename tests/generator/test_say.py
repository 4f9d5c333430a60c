# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator say``: files in and out, and none that is lost."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from generator import say
from generator.errors import InputError
from generator.shared.composing import whole_face
from generator.shared.timeline import Timeline

LINE = "Maybe my mom bought the big pie."


def run(out: Path, *options: str, text: str = LINE) -> None:
    parser = argparse.ArgumentParser()
    say.add_arguments(parser)
    say.run(parser.parse_args([text, "--out", str(out), *options]))


def test_times_are_written_and_performed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = tmp_path / "times.json"
    run(tmp_path / "one.npz", "--timeline", str(times), "--emotion", "joy")
    assert "written to it" in capsys.readouterr().err
    run(tmp_path / "two.npz", "--timeline", str(times), "--emotion", "joy")
    assert "performing the times in" in capsys.readouterr().err
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        np.testing.assert_array_equal(one["values"], two["values"])
        timeline = Timeline.from_json(json.loads(str(one["timelines"][0])))
        assert timeline.to_json() == json.loads(times.read_text("utf-8"))
        face = whole_face(one["performance"][0], timeline, 24.0, float(one["speech_scale"]))
        np.testing.assert_allclose(one["values"][0], face, atol=1e-6)


def test_every_format_holds_the_same_face(tmp_path: Path) -> None:
    for name in ("clip.npz", "clip.json", "clip.csv"):
        run(tmp_path / name, "--seed", "3")
    written = json.loads((tmp_path / "clip.json").read_text("utf-8"))
    rows = (tmp_path / "clip.csv").read_text("utf-8").splitlines()[1:]
    with np.load(tmp_path / "clip.npz") as clip:
        (take,) = written["takes"]
        np.testing.assert_allclose(take["values"], clip["values"][0], atol=1e-5)
        np.testing.assert_allclose(take["performance"], clip["performance"][0], atol=1e-5)
        assert take["timeline"] == json.loads(str(clip["timelines"][0]))
        np.testing.assert_allclose([float(v) for v in rows[30].split(",")[2:54]], clip["values"][0, 30, :52], atol=1e-5)


def test_no_file_is_lost(tmp_path: Path) -> None:
    clip = tmp_path / "clip.json"
    with pytest.raises(InputError, match="name the same file"):
        run(clip, "--timeline", str(clip))
    (tmp_path / "t_2.json").write_text("mine", "utf-8")
    with pytest.raises(InputError, match=r"t_2\.json is there already"):
        run(clip, "--timeline", str(tmp_path / "t.json"), "--vary-timing", "--takes", "2")
    (tmp_path / "bad.json").write_text("[1, 2", "utf-8")
    with pytest.raises(InputError, match="is no JSON file"):
        run(clip, "--timeline", str(tmp_path / "bad.json"))
    assert not clip.exists() and (tmp_path / "t_2.json").read_text("utf-8") == "mine"
