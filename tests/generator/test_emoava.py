# SPDX-License-Identifier: GPL-3.0-or-later
"""EmoAva's layout: every row is checked, a bad one is named by file, row and reason, and frames stay in the file."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from generator.errors import DataError
from generator.paper.emoava import open_emoava
from tests.generator.made_emoava import make_emoava_like
from tests.hostile import Calls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_emoava_like(tmp_path / "EmoAva", {"train": 8, "dev": 3, "test": 4}, seed=3)


def write(path: Path, content: Any, protocol: int = 4) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


def motions(count: int, dtype: Any = np.float32) -> list[npt.NDArray[Any]]:
    random = np.random.default_rng(5)
    return [random.standard_normal((length + 2, 53)).astype(dtype) for length in range(count)]


def test_a_made_set_has_every_split_and_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    again = make_emoava_like(tmp_path / "again", {"train": 8, "dev": 3, "test": 4}, seed=3)
    other = make_emoava_like(tmp_path / "other", {"train": 8, "dev": 3, "test": 4}, seed=4)
    for split, count in (("train", 8), ("dev", 3), ("test", 4)):
        rows = open_emoava(folder, split)
        assert len(rows) == count and rows.skipped == ()
        assert rows.mean.shape == rows.std.shape == (53,) and (rows.std > 0).all()
        for index, (text, frames) in enumerate(rows):
            assert text == rows.text(index) and text.strip()
            assert frames.dtype == np.float32 and frames.shape == (rows.length(index), 53)
            assert np.linalg.norm(frames[-1]) < 1.0 < np.linalg.norm(frames, axis=1).max()
            np.testing.assert_array_equal(frames, open_emoava(again, split).frames(index))
    assert not np.array_equal(open_emoava(folder, "train").mean, open_emoava(other, "train").mean)
    everything = np.concatenate([frames for _, frames in open_emoava(folder, "train")])
    np.testing.assert_allclose(open_emoava(folder, "dev").mean, everything.mean(0), atol=1e-5)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<f2"])
def test_floats_of_any_width_and_protocol_become_float32(folder: Path, protocol: int, dtype: str) -> None:
    written = motions(3, dtype)
    written[1] = np.asfortranarray(written[1])
    write(folder / "dev_stage1_exps.pkl", written, protocol)
    rows = open_emoava(folder, "dev")
    for index, frames in enumerate(written):
        np.testing.assert_array_equal(rows.frames(index), frames.astype(np.float32))
    rows.frames(0)[:] = 9.0  # a copy, ours to change
    np.testing.assert_array_equal(rows.frames(0), written[0].astype(np.float32))


def test_frames_stay_in_the_file(tmp_path: Path) -> None:
    make_emoava_like(tmp_path, {"train": 40}, frames=(400, 500))
    size = (tmp_path / "train_stage1_exps.pkl").stat().st_size
    assert size > 3e6
    tracemalloc.start()
    rows = open_emoava(tmp_path, "train")
    rows.frames(7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 4


BAD_FRAMES: dict[str, tuple[Any, str]] = {
    "too narrow": (np.zeros((4, 52), np.float32), r"its shape is \(4, 52\), not \(frames, 53\)"),
    "one frame without its axis": (np.zeros(53, np.float32), r"its shape is \(53,\)"),
    "integers": (np.zeros((4, 53), np.int64), "its elements are int64, not floats"),
    "no frames": (np.zeros((0, 53), np.float32), "it has no frames"),
    "a list": ([[0.0] * 53], "it is of type list, not a numpy array"),
    "nothing": (None, "it is nothing, not a numpy array"),
    "not a number": (np.full((4, 53), np.nan, np.float32), "frame 0, channel exp1 is not a finite number"),
    "infinite": (np.where(np.arange(212).reshape(4, 53) == 211, -np.inf, 0), "frame 3, channel jawZ is not a finite"),
    "too large for float32": (np.full((4, 53), 1e39), "frame 0, channel exp1 is not a finite number"),
}


@pytest.mark.parametrize("title", BAD_FRAMES)
def test_bad_frames_are_named_by_file_row_and_reason(folder: Path, title: str) -> None:
    bad, reason = BAD_FRAMES[title]
    rows = [*motions(2), bad]
    write(folder / "dev_stage1_exps.pkl", rows)
    with pytest.raises(DataError, match=rf"dev_stage1_exps\.pkl, row 2 \(the first is row 0\): {reason}"):
        open_emoava(folder, "dev")
    left = open_emoava(folder, "dev", bad_rows="skip")
    assert len(left) == 2 and len(left.skipped) == 1 and "row 2" in left.skipped[0]
    np.testing.assert_array_equal(left.frames(1), rows[1])


def test_bad_texts_are_named_and_skipped_with_their_frames(folder: Path) -> None:
    write(folder / "dev_stage1_exps.pkl", motions(3))
    write(folder / "dev_stage1_text.pkl", ["\n \t", "Fine.", 3])
    with pytest.raises(DataError, match=r"dev_stage1_text\.pkl, row 0 .*: the text is empty\. 1 more rows are bad"):
        open_emoava(folder, "dev")
    left = open_emoava(folder, "dev", bad_rows="skip")
    assert [text for text, _ in left] == ["Fine."]
    np.testing.assert_array_equal(left.frames(0), motions(3)[1])
    assert "row 2" in left.skipped[1] and "it is of type int, not a text" in left.skipped[1]
    write(folder / "dev_stage1_text.pkl", ["", "", ""])
    with pytest.raises(DataError, match="row 0"):
        open_emoava(folder, "dev", bad_rows="skip")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no texts": ("train_stage1_text.pkl", Path.unlink, "is missing"),
    "no frames": ("train_stage1_exps.pkl", Path.unlink, "is missing"),
    "no mean": ("stage1_mean.npy", Path.unlink, "is missing"),
    "no std": ("stage1_std.npy", Path.unlink, "is missing"),
    "an empty file": ("train_stage1_exps.pkl", lambda path: path.write_bytes(b""), "is empty"),
    "a cut file": ("train_stage1_exps.pkl", cut, "is cut off"),
    "another kind of file": ("train_stage1_text.pkl", lambda path: path.write_text("a\nb\n"), "not a pickle"),
    "a dict": ("train_stage1_text.pkl", lambda path: write(path, {"a": 1}), "holds a dict, not a list of texts"),
    "an empty list": ("train_stage1_text.pkl", lambda path: write(path, []), "holds an empty list"),
    "fewer texts": ("train_stage1_text.pkl", lambda path: write(path, ["a"] * 7), "has 7 rows and train_stage1_exps"),
    "arrays of objects": (
        "train_stage1_exps.pkl",
        lambda path: write(path, [np.array([[None] * 53])] * 8),
        "'O8' instead of numbers",
    ),
    "one ragged array": (
        "train_stage1_exps.pkl",
        lambda path: write(path, np.array([[0.0], None], dtype=object)),
        "'O8' instead of numbers",
    ),
    "a mean of 52": ("stage1_mean.npy", lambda path: np.save(path, np.zeros(52, np.float32)), "instead of 53 floats"),
    "a mean of objects": ("stage1_mean.npy", lambda path: np.save(path, np.array([None] * 53)), "not a .npy file"),
    "a mean that is no number": ("stage1_mean.npy", lambda path: np.save(path, np.full(53, np.nan)), "exp1"),
    "a std of zero": ("stage1_std.npy", lambda path: np.save(path, np.zeros(53)), "the value 0.0 for exp1"),
    "a mean that is cut off": ("stage1_mean.npy", lambda path: path.write_bytes(path.read_bytes()[:140]), "not a .npy"),
    "a mean that promises terabytes": (
        "stage1_mean.npy",
        lambda path: path.write_bytes(path.read_bytes().replace(b"(53,), }        ", b"(5300000000000,)}")),
        "not a .npy file",
    ),
}


@pytest.mark.parametrize("title", BAD_FILES)
def test_bad_files_are_named(folder: Path, title: str) -> None:
    name, damage, reason = BAD_FILES[title]
    damage(folder / name)
    with pytest.raises(DataError, match=reason) as caught:
        open_emoava(folder, "train", bad_rows="skip")
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["train_stage1_text.pkl", "train_stage1_exps.pkl"])
def test_a_hostile_file_is_refused_by_name_and_not_run(folder: Path, tmp_path: Path, name: str) -> None:
    witness = tmp_path / "ran"
    write(folder / name, [*motions(7), Calls(os.system, f"touch {witness}")])
    with pytest.raises(DataError, match=rf"{name} names (numpy|{os.system.__module__}\.system)"):
        open_emoava(folder, "train")
    assert not witness.exists()


def test_unknown_split_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'validation'; choose train, dev, test"):
        open_emoava(tmp_path, "validation")
    with pytest.raises(DataError, match="There is no folder"):
        open_emoava(tmp_path / "missing", "train")
