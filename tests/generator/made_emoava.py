# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up set in EmoAva's layout, for tests. It contains nothing of EmoAva."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from generator.paper.emoava import MEAN_FILE, STD_FILE, frames_file, text_file
from generator.shared.spaces import FLAME53
from generator.writing import write_atomically, write_whole

#: Few enough for a training step or two.
DRY_RUN_ROWS: Final[Mapping[str, int]] = MappingProxyType({"train": 24, "dev": 6, "test": 6})
_BEGINNINGS: Final = ("I never thought", "Who would believe", "Tell me again", "You promised", "Look, of course")
_ENDINGS: Final = ("we would see this day.", "that you could do it!", "why nobody called?", "and now it's gone...")


def make_emoava_like(
    folder: Path,
    rows: Mapping[str, int] = DRY_RUN_ROWS,
    frames: tuple[int, int] = (8, 60),
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
) -> Path:
    """Write a set of EmoAva's layout: random sentences, and smooth random motion that fades into the standard face.

    Args:
        folder: made if missing; files of the same names are replaced.
        rows: number of performances per split.
        frames: shortest and longest performance.
        seed: the same seed gives the same set.
        dtype: element type of the frames; EmoAva's code converts them to float32.

    Returns:
        ``folder``.
    """
    random = np.random.default_rng(seed)
    train: list[npt.NDArray[Any]] = []
    for split, count in rows.items():
        lengths = random.integers(frames[0], frames[1] + 1, count)
        motions = [_motion(int(length), random).astype(dtype) for length in lengths]
        texts = [f"{random.choice(_BEGINNINGS)} {random.choice(_ENDINGS)}" for _ in range(count)]
        # Written with the protocol that the released files have.
        _write(folder / text_file(split), pickle.dumps(texts, protocol=4))
        _write(folder / frames_file(split), pickle.dumps(motions, protocol=4))
        train = motions if split == "train" or not train else train
    every_frame = np.concatenate(train).astype(np.float32)
    write_atomically(folder / MEAN_FILE, lambda file: np.save(file, every_frame.mean(0), allow_pickle=False))
    write_atomically(folder / STD_FILE, lambda file: np.save(file, every_frame.std(0), allow_pickle=False))
    return folder


def _write(path: Path, content: bytes) -> None:
    write_whole(path, content)


def _motion(length: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """A sum of three slow waves per channel, (length, 53), about as large as FLAME coefficients and jaw radians are."""
    time = np.arange(length)[:, None, None] / FLAME53.fps
    frequency, phase = random.uniform(0.2, 2.0, (1, 53, 3)), random.uniform(0, 2 * np.pi, (1, 53, 3))
    size = np.where(np.arange(FLAME53.size) < 50, 0.6, 0.04)
    fade = np.clip((length - np.arange(length)[:, None]) / 6, 0.05, 1.0)
    motion: npt.NDArray[np.float64] = np.sin(2 * np.pi * frequency * time + phase).sum(2) * size * fade
    return motion
