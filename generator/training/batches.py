# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of clips for teacher forcing, with the frozen text encoder's features computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from ..corpus.datasets import Performances
from ..direction.emotions import EMOTIONS
from ..engine.conditioning import Asked, Condition, condition_of
from ..engine.config import ModelConfig
from ..errors import DataError
from ..model.text import TextEncoder
from ..writing import write_atomically

#: Where a data set does not say what a performance shows.
UNKNOWN: Final = np.eye(len(EMOTIONS), dtype=np.float32)[0]
#: Step and token counts are rounded up to multiples of this: oneDNN compiles a kernel per shape.
_ROUND: Final = 8


@dataclass(frozen=True)
class Whole:
    """The batch that a part was taken from.

    Attributes:
        clips: it has.
        first: of its clips that is in the part.
        steps: that hold frames, in all its clips.
    """

    clips: int
    first: int
    steps: float


@dataclass(frozen=True)
class Batch:
    """A teacher-forcing batch.

    Attributes:
        frames: (B, N, P, C) in the space's units; clips are followed by their last frame.
        step_mask: True where a step holds at least one frame of the clip, (B, N).
        condition: what the decoder is told.
        whole: where this is a part of a batch (gradient accumulation, several processes), that batch.
    """

    frames: Tensor
    step_mask: Tensor
    condition: Condition[Tensor]
    whole: Whole | None = None


class FeatureStore:
    """Text features of distinct lines, half precision, computed once and memory-mapped from ``cache``.

    Args:
        texts: the lines; duplicates are encoded once.
        encoder: the frozen text encoder.
        cache: folder for the features; a second store of the same lines and encoder reads what is there.
    """

    def __init__(self, texts: Iterable[str], encoder: TextEncoder, cache: Path) -> None:
        lines = sorted(set(texts))
        self._row = {line: row for row, line in enumerate(lines)}
        key = hashlib.sha256(json.dumps([encoder.name, lines]).encode()).hexdigest()[:16]
        paths = [cache / f"features_{key}_{part}.npy" for part in ("hidden", "position", "offset")]
        if (stored := self._read(paths, len(lines))) is None:
            self._compute(lines, encoder, paths)
            stored = self._read(paths, len(lines))
            assert stored is not None
        self._hidden, self._position, self._offset = stored

    @classmethod
    def of(cls, clips: Performances, encoder: TextEncoder, cache: Path) -> FeatureStore:
        """The lines of a split."""
        return cls((clips.text(i) for i in range(len(clips))), encoder, cache)

    def get(self, line: str) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
        """Hidden states (S, W) and relative positions (S,) of a line."""
        row = self._row[line]
        start, end = int(self._offset[row]), int(self._offset[row + 1])
        return self._hidden[start:end], self._position[start:end]

    @staticmethod
    def _read(paths: list[Path], lines: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """What is there, memory-mapped; None where something is missing or damaged."""
        try:
            hidden, position, offset = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
        except (OSError, ValueError, EOFError):
            return None
        fits = offset.shape == (lines + 1,) and len(hidden) == len(position) == offset[-1]
        return (hidden, position, offset) if fits else None

    @staticmethod
    def _compute(lines: list[str], encoder: TextEncoder, paths: list[Path]) -> None:
        hidden: list[npt.NDArray[np.float16]] = [np.empty(0, np.float16)] * len(lines)
        position: list[npt.NDArray[np.float16]] = [np.empty(0, np.float16)] * len(lines)
        # Sorted by length: batches without padding are several times faster.
        order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
        for start in tqdm(range(0, len(order), 128), desc="reading lines", unit="batch"):
            rows = order[start : start + 128]
            features = encoder.encode([lines[i] for i in rows])
            counts = features.mask.sum(1).tolist()
            for k, (i, n) in enumerate(zip(rows, counts, strict=True)):
                hidden[i] = features.hidden[k, :n].cpu().numpy().astype(np.float16)
                position[i] = features.position[k, :n].cpu().numpy().astype(np.float16)
        offset = np.cumsum([0] + [len(p) for p in position])
        arrays: list[npt.NDArray[Any]] = [np.concatenate(hidden), np.concatenate(position), offset]
        for path, array in zip(paths, arrays, strict=True):
            write_atomically(path, partial(np.save, arr=array, allow_pickle=False))


class ClipBatches:
    """Batches of clips of similar length; subclasses collate them, and are then a `recipe.BatchSource`.

    Args:
        clips: the performances.
        features: of their lines.
        size: clips in a batch.
        seed: of the order.
    """

    def __init__(self, clips: Performances, features: FeatureStore, size: int, seed: int) -> None:
        self.clips, self.features, self.size, self.seed = clips, features, size, seed
        self._lengths = np.array([clips.length(i) for i in range(len(clips))])

    def __len__(self) -> int:
        return -(-len(self.clips) // self.size)

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Clip indices of every batch of an epoch; it depends on (seed, epoch) only, so training resumes exactly."""
        rng = np.random.default_rng([self.seed, epoch])
        # Jitter the lengths so that batches differ between epochs yet waste little padding.
        ranked = np.argsort(self._lengths * rng.uniform(0.9, 1.1, len(self._lengths)), kind="stable")
        groups = in_groups(ranked, self.size)
        return [groups[i] for i in rng.permutation(len(groups))]

    def texts(
        self, indices: list[int], multiple: int = _ROUND, least: int = 0
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """What is said in these clips, padded to a ``multiple`` of tokens, ``least`` at least.

        Returns:
            hidden states (B, S, W), True at real tokens (B, S), relative positions (B, S).
        """
        read = [self.features.get(self.clips.text(i)) for i in indices]
        shape = len(read), max(least, round_up(max(len(hidden) for hidden, _ in read), multiple))
        states = np.zeros((*shape, read[0][0].shape[1]), np.float32)
        mask, places = np.zeros(shape, bool), np.zeros(shape, np.float32)
        for row, (hidden, place) in enumerate(read):
            states[row, : len(hidden)], mask[row, : len(hidden)], places[row, : len(hidden)] = hidden, True, place
        return states, mask, places


class Batches(ClipBatches):
    """Of the default model.

    Args:
        clips, features, size: see `ClipBatches`.
        config: of the decoder.
        seed: of the order, and of what is left open.
        open: how often emotion, intensity and energy are not told, so that each may be left open when performing.
    """

    def __init__(
        self, clips: Performances, features: FeatureStore, config: ModelConfig, size: int, seed: int,
        open: tuple[float, float, float] = (0.0, 0.0, 0.0),  # noqa: A002 - reads as it is meant
    ) -> None:  # fmt: skip
        super().__init__(clips, features, size, seed)
        self.config, self._open = config, np.array(open)

    def collate(self, indices: list[int]) -> Batch:
        """One batch of the given clips."""
        p = self.config.frames_per_step
        clips = [self.clips.frames(i) for i in indices]
        steps = round_up(-(-max(len(c) for c in clips) // p))
        frames = np.zeros((len(clips), steps * p, clips[0].shape[1]), np.float32)
        for row, clip in enumerate(clips):
            frames[row, : len(clip)], frames[row, len(clip) :] = clip, clip[-1]
        asked = [self._asked(i, len(clip)) for i, clip in zip(indices, clips, strict=True)]
        told = condition_of(self.config, self.texts(indices), asked, steps)
        condition = Condition(**{name: torch.from_numpy(array) for name, array in vars(told).items()})
        return Batch(
            torch.from_numpy(frames).unflatten(1, (steps, p)),
            torch.arange(steps)[None] * p < condition.frames[:, None],
            condition,
        )

    def _asked(self, index: int, frames: int) -> Asked:
        """What was asked of a performer; what a data set does not say is left open."""
        shown = self.clips.direction(index)
        if shown is None:
            return Asked(frames, UNKNOWN, given=(False, False, False))
        turn = np.inf
        if shown.towards is not None:  # where nobody says when, it moves on in the middle
            turn = frames / (2 * self.clips.space.fps) if shown.turn is None else shown.turn
        kept = np.random.default_rng([self.seed, index]).random(3) >= self._open
        return Asked(
            frames, shown.weights, shown.towards, turn, shown.intensity, shown.energy, shown.role, shown.ending,
            shown.start, shown.moments, (bool(kept[0]), bool(kept[1]), bool(kept[2])),
        )  # fmt: skip


def in_groups(indices: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    """``indices`` in groups of ``size``, the last one perhaps smaller."""
    return [indices[i : i + size] for i in range(0, len(indices), size)]


def require_clips(**splits: Performances) -> None:
    """DataError when a split has no clips; keywords name the splits."""
    for name, clips in splits.items():
        if not len(clips):
            raise DataError(f"The {name} split of the data is empty; training needs at least one clip in it.")


def round_up(count: int, multiple: int = _ROUND) -> int:
    """``count``, or the next multiple."""
    return -(-count // multiple) * multiple


def channel_scale(clips: Performances, floor: float = 0.03) -> Tensor:
    """Standard deviation per channel over a split, floored so that rare channels are not blown up, (C,)."""
    # Running sums over blocks: the whole split need not fit in memory twice.
    total, squares, count = np.zeros(clips.space.size), np.zeros(clips.space.size), 0
    for values in blocks(clips):
        total, squares, count = total + values.sum(0), squares + (values**2).sum(0), count + len(values)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return torch.from_numpy(np.maximum(deviation, floor).astype(np.float32))


def channel_reach(clips: Performances) -> Tensor:
    """Lowest and highest value of each channel over a split, the standard face included, (2, C)."""
    reach = np.zeros((2, clips.space.size))
    for values in blocks(clips):
        reach = np.stack([np.minimum(reach[0], values.min(0)), np.maximum(reach[1], values.max(0))])
    return torch.from_numpy(reach).float()


def channel_motion(clips: Performances, scale: Tensor, floor: float = 0.01) -> tuple[Tensor, Tensor]:
    """Rms of each channel's change from frame to frame, and of the change of that, in ``scale``, (C,) each."""
    first, second = np.zeros(clips.space.size), np.zeros(clips.space.size)
    count = 0
    for i in range(len(clips)):
        moves = np.diff(clips.frames(i).astype(np.float64), axis=0)
        first, second, count = (
            first + (moves**2).sum(0),
            second + (np.diff(moves, axis=0) ** 2).sum(0),
            count + len(moves),
        )
    pace, turns = (torch.from_numpy(np.sqrt(sums / max(count, 1))).float() / scale for sums in (first, second))
    return pace.clamp_min(floor), turns.clamp_min(floor)


def blocks(clips: Performances, size: int = 1000) -> Iterator[npt.NDArray[np.float64]]:
    """All frames of a split in order, in blocks of ``size`` clips, (frames, C)."""
    for start in range(0, len(clips), size):
        yield np.concatenate([clips.frames(i) for i in range(start, min(start + size, len(clips)))]).astype(np.float64)
