# SPDX-License-Identifier: GPL-3.0-or-later
"""EmoAva's files: what people said, and how their faces moved, as the paper's authors lay them out.

A folder with ``{train,dev,test}_stage1_text.pkl`` (a list of str), ``{train,dev,test}_stage1_exps.pkl`` (a list of
float arrays (T, 53): 50 FLAME expression coefficients and 3 jaw rotations in radians, 24 frames per second),
``stage1_mean.npy`` and ``stage1_std.npy`` (53,). Access is by permission of the authors; nothing here contains data.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..reading import SETTINGS, reading
from ..shared.spaces import FLAME53, Space
from .released.numpy_pickles import StoredArray, read_numpy_pickle
from .released.unpickling import Refusal, read_pickle

SPLITS: Final = ("train", "dev", "test")
MEAN_FILE: Final = "stage1_mean.npy"
STD_FILE: Final = "stage1_std.npy"


def text_file(split: str) -> str:
    """Name of the file with a split's texts."""
    return f"{split}_stage1_text.pkl"


def frames_file(split: str) -> str:
    """Name of the file with a split's frames."""
    return f"{split}_stage1_exps.pkl"


@dataclass(frozen=True)
class EmoAvaSplit:
    """One split: lines and their performances, in the files' order. Frames stay in the file until they are asked for.

    Attributes:
        name: "train", "dev" or "test".
        mean, std: of the frames of the training split, float32 (53,).
        skipped: what `open_emoava` left out, one sentence each.
    """

    name: str
    mean: npt.NDArray[np.float32] = field(repr=False)
    std: npt.NDArray[np.float32] = field(repr=False)
    skipped: tuple[str, ...]
    _texts: list[str] = field(repr=False)
    _frames: list[npt.NDArray[Any]] = field(repr=False)  # views of the file

    @property
    def space(self) -> Space:
        """What the frames mean: "flame53"."""
        return FLAME53

    def __len__(self) -> int:
        return len(self._texts)

    def direction(self, index: int) -> None:
        """EmoAva does not label emotions."""

    def text(self, index: int) -> str:
        """The line that was said."""
        return self._texts[index]

    def length(self, index: int) -> int:
        """Number of frames T of a performance."""
        return self._frames[index].shape[0]

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """A performance, float32 (T, 53); a copy, yours to change."""
        return np.array(self._frames[index], np.float32, order="C")

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        return ((self.text(index), self.frames(index)) for index in range(len(self)))


def open_emoava(folder: Path, split: str, bad_rows: Literal["refuse", "skip"] = "refuse") -> EmoAvaSplit:
    """Open one split and check every row of it. The frames' file is mapped, not loaded.

    Args:
        folder: where EmoAva's files are.
        split: "train", "dev" or "test".
        bad_rows: "refuse" raises when a row is bad; "skip" leaves it out and says so in ``skipped``. What is wrong
            with a file as a whole is always refused.

    Raises:
        DataError: the message names file, row and reason.
    """
    if split not in SPLITS:
        raise DataError(f"EmoAva has no split {split!r}; choose {', '.join(SPLITS)}.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give the folder with EmoAva's *_stage1_*.pkl files.")
    texts = _list(folder / text_file(split), "texts")
    frames = _list(folder / frames_file(split), "arrays of frames")
    if len(texts) != len(frames):
        raise DataError(
            f"{text_file(split)} has {len(texts):,} rows and {frames_file(split)} has {len(frames):,}; they must be "
            "equal, so copy both files again from the same release."
        )
    problems: dict[int, str] = {}
    for row, (text, array) in enumerate(zip(texts, frames, strict=True)):
        file, reason = text_file(split), _text_problem(text)
        if reason is None:
            file, reason = frames_file(split), _frames_problem(array)
        if reason is not None:
            problems[row] = f"{file}, row {row} (the first is row 0): {reason}."
    if problems and (bad_rows == "refuse" or len(problems) == len(texts)):
        others = f" {len(problems) - 1:,} more rows are bad." if len(problems) > 1 else ""
        raise DataError(f"{next(iter(problems.values()))}{others} Repair them, or leave bad rows out.")
    kept = [row for row in range(len(texts)) if row not in problems]
    return EmoAvaSplit(
        split,
        _statistics(folder / MEAN_FILE, smallest=-np.inf),
        _statistics(folder / STD_FILE, smallest=0.0),
        tuple(problems.values()),
        [texts[row] for row in kept],
        [frames[row] for row in kept],
    )


def _list(path: Path, what: str) -> list[Any]:
    """The list in a pickle; DataError when there is none, it is empty, or it has no business in EmoAva."""
    if not path.is_file():
        raise DataError(f"{path} is missing; EmoAva's folder needs it (access is by permission of its authors).")
    try:
        with path.open("rb") as file:
            try:
                # The arrays are views of the mapping and keep it open for as long as they live.
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError as error:  # an empty file cannot be mapped
                raise Refusal("is empty") from error
        rows = read_pickle(data, {}) if what == "texts" else read_numpy_pickle(data)
    except Refusal as refusal:
        raise DataError(f"{path.name} {refusal}. Nothing in it was run; copy it again from EmoAva.") from refusal
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror}); copy it again from EmoAva.") from error
    if not isinstance(rows, list):
        raise DataError(f"{path.name} holds a {type(rows).__name__}, not a list of {what}; copy it again from EmoAva.")
    if not rows:
        raise DataError(f"{path.name} holds an empty list of {what}; copy it again from EmoAva.")
    return [row.values if isinstance(row, StoredArray) else row for row in rows]


def _text_problem(text: Any) -> str | None:
    if not isinstance(text, str):
        return f"it is {_name(text)}, not a text"
    return None if text.strip() else "the text is empty"


def _frames_problem(array: Any) -> str | None:
    if not isinstance(array, np.ndarray):
        return f"it is {_name(array)}, not a numpy array"
    if array.dtype.kind != "f":
        return f"its elements are {array.dtype}, not floats"
    if array.ndim != 2 or array.shape[1] != FLAME53.size:
        return f"its shape is {array.shape}, not (frames, {FLAME53.size})"
    if len(array) == 0:
        return "it has no frames"
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32))
    if not finite.all():
        frame, channel = np.argwhere(~finite)[0]
        return f"frame {frame}, channel {FLAME53.channels[channel]} is not a finite number"
    return None


def _name(value: Any) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"


def _statistics(path: Path, smallest: float) -> npt.NDArray[np.float32]:
    """The 53 numbers of a .npy file, each finite and greater than ``smallest``."""
    if not path.is_file():
        raise DataError(f"{path} is missing; EmoAva's folder needs it.")
    sentence = f"{path.name} is not a .npy file of numbers; copy it again from EmoAva."
    with reading(path, SETTINGS, lambda _why: DataError(sentence)) as file:
        values = file.array()
    if values.shape != (FLAME53.size,) or values.dtype.kind != "f":
        raise DataError(f"{path.name} holds {values.dtype} {values.shape} instead of {FLAME53.size} floats.")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > smallest)))
    if bad.size:
        raise DataError(f"{path.name} has the value {values[bad[0]]} for {FLAME53.channels[bad[0]]}, which cannot be.")
    return values
