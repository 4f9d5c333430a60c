# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of clips for teacher forcing, with the frozen text encoder's features computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from ..clips import write_atomically
from ..conditioning import Condition, step_means, turned
from ..conditioning import Direction as AskedDirection
from ..config import ModelConfig
from ..datasets import Direction, Performances
from ..emotions import EMOTIONS, basic_weights
from ..errors import DataError
from ..line_statistics import line_statistics
from ..text import TextEncoder

#: Where a data set does not say what a performance shows.
UNKNOWN: Final = Direction(np.eye(len(EMOTIONS), dtype=np.float32)[0], 1.0)
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
        condition: text, emotion, intensity, length.
        pooled: mean-pooled text features, (B, W).
        statistics: `line_statistics`, (B, `STATISTICS`).
        whole: where this is a part of a batch (gradient accumulation, several processes), that batch.
    """

    frames: Tensor
    step_mask: Tensor
    condition: Condition
    pooled: Tensor
    statistics: Tensor
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
        if not all(p.is_file() for p in paths):
            self._compute(lines, encoder, paths)
        self._hidden, self._position, self._offset = (np.load(p, mmap_mode="r", allow_pickle=False) for p in paths)

    def get(self, line: str) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
        """Hidden states (S, W) and relative positions (S,) of a line."""
        row = self._row[line]
        start, end = int(self._offset[row]), int(self._offset[row + 1])
        return self._hidden[start:end], self._position[start:end]

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
            write_atomically(path, partial(_save_array, array))


class Batches:
    """Batches of similar length; the order of epoch e depends on (seed, e) only, so training resumes exactly."""

    def __init__(self, clips: Performances, features: FeatureStore, config: ModelConfig, size: int, seed: int) -> None:
        self.clips, self.features, self.config, self.size, self.seed = clips, features, config, size, seed
        self._lengths = np.array([clips.length(i) for i in range(len(clips))])

    def __len__(self) -> int:
        return -(-len(self.clips) // self.size)

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Clip indices of every batch of an epoch."""
        return similar_lengths(self._lengths, self.size, self.seed, epoch)

    def collate(self, indices: list[int]) -> Batch:
        """One batch of the given clips."""
        p = self.config.frames_per_step
        lines, clips = [self.clips.text(i) for i in indices], [self.clips.frames(i) for i in indices]
        shown = [self.clips.direction(i) or UNKNOWN for i in indices]
        texts = [self.features.get(line) for line in lines]
        steps = _round_up(-(-max(len(c) for c in clips) // p))
        tokens = _round_up(max(len(h) for h, _ in texts))
        channels, width = clips[0].shape[1], texts[0][0].shape[1]
        frames = np.zeros((len(clips), steps * p, channels), np.float32)
        hidden = np.zeros((len(clips), tokens, width), np.float32)
        place = np.zeros((len(clips), tokens), np.float32)
        mask = np.zeros((len(clips), tokens), bool)
        for row, (clip, (h, q)) in enumerate(zip(clips, texts, strict=True)):
            frames[row, : len(clip)], frames[row, len(clip) :] = clip, clip[-1]
            hidden[row, : len(h)], place[row, : len(h)], mask[row, : len(h)] = h, q, True
        length = torch.tensor([len(c) for c in clips])
        condition = Condition(
            torch.from_numpy(hidden),
            torch.from_numpy(mask),
            torch.from_numpy(place),
            self._weights([d.weights for d in shown]),
            torch.tensor([d.intensity for d in shown]),
            length,
            self._asked(shown, length, steps) if self.config.conditioning == "direction" else None,
        )
        pooled = (condition.text * condition.text_mask[..., None]).sum(1) / condition.text_mask.sum(1, keepdim=True)
        return Batch(
            torch.from_numpy(frames).unflatten(1, (steps, p)),
            torch.arange(steps)[None] * p < length[:, None],
            condition,
            pooled,
            torch.tensor([line_statistics(line) for line in lines]),
        )

    def _weights(self, weights: list[npt.NDArray[np.float32]]) -> Tensor:
        """Weights over the emotions that the model knows, (B, 7) or (B, 14)."""
        stacked = np.stack(weights)
        return torch.from_numpy(stacked if stacked.shape[1] == len(self.config.emotions) else basic_weights(stacked))

    def _asked(self, shown: list[Direction], length: Tensor, steps: int) -> AskedDirection:
        """Everything that was asked of the performers; what a data set does not say is left open."""
        known = torch.tensor([[float(d is not UNKNOWN)] for d in shown])
        return AskedDirection(
            self._weights([d.weights if d.towards is None else d.towards for d in shown]),
            torch.tensor([d.energy for d in shown]),
            torch.tensor([float(d.speaking) for d in shown]),
            known.expand(-1, 3).contiguous(),
            self._moved(shown, length, steps),
        )

    def _moved(self, shown: list[Direction], length: Tensor, steps: int) -> Tensor:
        """How far each clip has moved on in every step, (B, N); where nobody says when, it does in the middle."""
        fps, size = self.clips.space.fps, self.config.frames_per_step
        turns = [
            np.inf if d.towards is None else float(n) / (2 * fps) if d.turn is None else d.turn
            for d, n in zip(shown, length, strict=True)
        ]
        since = np.arange(steps * size) / fps - np.array(turns)[:, None]
        return step_means(torch.from_numpy(turned(since)), self.config)


def similar_lengths(lengths: npt.NDArray[Any], size: int, seed: int, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Indices of every batch of an epoch: clips of similar length together, the batches in random order."""
    rng = np.random.default_rng([seed, epoch])
    # Jitter the lengths so that batches differ between epochs yet waste little padding.
    ranked = np.argsort(lengths * rng.uniform(0.9, 1.1, len(lengths)), kind="stable")
    groups = [ranked[i : i + size] for i in range(0, len(ranked), size)]
    return [groups[i] for i in rng.permutation(len(groups))]


def require_clips(**splits: Performances) -> None:
    """DataError when a split has no clips; keywords name the splits."""
    for name, clips in splits.items():
        if not len(clips):
            raise DataError(f"The {name} split of the data is empty; training needs at least one clip in it.")


def _save_array(array: npt.NDArray[Any], file: IO[bytes]) -> None:
    np.save(file, array, allow_pickle=False)


def _round_up(count: int) -> int:
    return -(-count // _ROUND) * _ROUND


def channel_scale(clips: Performances, floor: float = 0.03) -> Tensor:
    """Standard deviation per channel over a split, floored so that rare channels are not blown up, (C,)."""
    # Running sums over blocks: the whole split need not fit in memory twice.
    total, squares, count = np.zeros(clips.space.size), np.zeros(clips.space.size), 0
    for values in blocks(clips):
        total, squares, count = total + values.sum(0), squares + (values**2).sum(0), count + len(values)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return torch.from_numpy(np.maximum(deviation, floor).astype(np.float32))


def blocks(clips: Performances, size: int = 1000) -> Iterator[npt.NDArray[np.float64]]:
    """All frames of a split in order, in blocks of ``size`` clips, (frames, C)."""
    for start in range(0, len(clips), size):
        yield np.concatenate([clips.frames(i) for i in range(start, min(start + size, len(clips)))]).astype(np.float64)
