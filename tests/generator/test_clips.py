# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip files: what is written can be read back, whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator.errors import InputError
from generator.performing.clips import Clips
from generator.shared.spaces import ARKIT55
from generator.writing import write_atomically

#: Of two takes.
SEGMENTS = (({"text": "Hi «you»", "start": 0, "end": 30},), ({"text": "Hi «you»", "start": 0, "end": 20},))


@pytest.fixture
def clips() -> Clips:
    values = np.random.default_rng(0).uniform(0, 0.5, (2, 30, ARKIT55.size)).astype(np.float32)
    values[1, 20:] = values[1, 19]
    seeds = np.array([7, 8], np.int64)
    return Clips(
        values, np.array([30, 20], np.int64), seeds, ARKIT55, "Hi «you»", "joy", {"intensity": 1.0}, (), SEGMENTS
    )


def test_npz_holds_what_the_format_promises(clips: Clips, tmp_path: Path) -> None:
    (path,) = clips.write(tmp_path / "clip.npz")
    with np.load(path, allow_pickle=False) as file:
        assert file["values"].dtype == np.float32 and file["values"].shape == (2, 30, ARKIT55.size)
        np.testing.assert_array_equal(file["values"], clips.values)
        assert file["lengths"].tolist() == [30, 20] and file["seeds"].tolist() == [7, 8]
        assert tuple(file["channels"]) == ARKIT55.channels
        assert float(file["fps"]) == 24.0 and str(file["space"]) == "arkit55"
        assert json.loads(str(file["segments"])) == [list(take) for take in SEGMENTS]
        assert str(file["text"]) == "Hi «you»" and str(file["emotion"]) == "joy"


def rewritten(path: Path, **changes: Any) -> Path:
    """The same file with other arrays; None takes one out."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_npz_is_read_as_it_was_written(clips: Clips, tmp_path: Path) -> None:
    (path,) = clips.write(tmp_path / "clip.npz")
    read = Clips.read(path)
    assert read.warnings == () and read.files(path) == clips.files(path)
    older = Clips.read(rewritten(path, schema_version=None, performance=None, timelines=None, speech_scale=None))
    assert older.warnings == () and older.timelines == (None, None) and older.segments == SEGMENTS
    np.testing.assert_array_equal(older.values, clips.values)
    newer = Clips.read(rewritten(path, schema_version=np.array(7), mood=np.array("blue")))
    assert newer.warnings == ("clip.npz is of a newer version (7); what this one does not know was left out.",)
    np.testing.assert_array_equal(newer.values, clips.values)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"text": None}, "it lacks 'text'"), ({"space": np.array("mars")}, "it lacks 'mars'"),
        ({"lengths": np.array([30])}, "do not fit"), ({"values": np.zeros((2, 30, 3))}, "do not fit"),
        ({"lengths": np.array([30, 31])}, "no takes"), ({"segments": np.array("[[[")}, "damaged|Expecting"),
        ({"values": np.full((2, 30, 55), np.nan)}, "no takes"), ({"settings": np.array("7")}, "iterable"),
    ],
)  # fmt: skip
def test_a_damaged_npz_is_a_sentence(clips: Clips, tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    path = rewritten(clips.write(tmp_path / "clip.npz")[0], performance=None, **changes)
    with pytest.raises(InputError, match=rf"clip\.npz holds no takes that can be read \(.*{why}"):
        Clips.read(path)


def test_csv_has_the_61_columns_of_a_live_link_face_recording(clips: Clips, tmp_path: Path) -> None:
    paths = clips.write(tmp_path / "clip.csv")
    assert [p.name for p in paths] == ["clip_1.csv", "clip_2.csv"]
    header, *rows = csv.reader(paths[1].open(encoding="utf-8"))
    assert len(rows) == 20 and len(header) == 2 + 61 and {len(r) for r in rows} == {63}
    assert header[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert header[53] == "TongueOut"
    assert rows[0][0] == "00:00:00:00.000" and rows[0][1] == "61"
    for name, channel in (("JawOpen", "jawOpen"), ("HeadYaw", "headYaw"), ("HeadPitch", "headPitch")):
        written, value = float(rows[3][header.index(name)]), clips.values[1, 3, ARKIT55.column(channel)]
        assert written == pytest.approx(value, abs=1e-6)


def test_json_is_readable(clips: Clips, tmp_path: Path) -> None:
    (path,) = clips.write(tmp_path / "clip.json")
    data = json.loads(path.read_text("utf-8"))
    assert [t["frames"] for t in data["takes"]] == [30, 20] and data["text"] == "Hi «you»"
    np.testing.assert_allclose(data["takes"][1]["values"], clips.take(1), atol=1e-5)


def test_unknown_suffix_is_refused(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.npz, \.json or \.csv, not '\.fbx'"):
        clips.write(tmp_path / "clip.fbx")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    path.write_bytes(b"old")

    def fail(_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
