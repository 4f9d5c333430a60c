# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of a corpus for teacher forcing, with the frozen text encoder's features computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
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
from ..corpus.reader import Corpus
from ..heads import line_statistics
from ..model import Condition
from ..text import TextEncoder

#: Step and token counts are rounded up to multiples of this: oneDNN compiles a kernel per shape.
_ROUND: Final = 8


@dataclass(frozen=True)
class Batch:
    """A teacher-forcing batch.

    Attributes:
        frames: (B, N, P, C) in the space's units; clips are followed by their last frame.
        step_mask: True where a step holds at least one frame of the clip, (B, N).
        condition: text, emotion, intensity, length.
        pooled: mean-pooled text features, (B, W).
        statistics: `line_statistics`, (B, 7).
    """

    frames: Tensor
    step_mask: Tensor
    condition: Condition
    pooled: Tensor
    statistics: Tensor


class FeatureStore:
    """Text features of every distinct line of a corpus split, half precision, memory-mapped from a cache beside it."""

    def __init__(self, corpus: Corpus, encoder: TextEncoder, cache: Path) -> None:
        lines = sorted({line["text"] for line in corpus.lines})
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
        for path, array in zip(paths, (np.concatenate(hidden), np.concatenate(position), offset), strict=True):
            write_atomically(path, partial(_save_array, array))


class Batches:
    """Batches of similar length; the order of epoch e depends on (seed, e) only, so training resumes exactly."""

    def __init__(self, corpus: Corpus, features: FeatureStore, steps: int, size: int, seed: int) -> None:
        self.corpus, self.features, self.frames_per_step, self.size, self.seed = corpus, features, steps, size, seed
        self._lengths = np.diff(corpus.offsets)

    def __len__(self) -> int:
        return -(-len(self.corpus) // self.size)

    def order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Clip indices of every batch of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        # Jitter the lengths so that batches differ between epochs yet waste little padding.
        ranked = np.argsort(self._lengths * rng.uniform(0.9, 1.1, len(self._lengths)), kind="stable")
        groups = [ranked[i : i + self.size] for i in range(0, len(ranked), self.size)]
        return [groups[i] for i in rng.permutation(len(groups))]

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, without the first ``skip``."""
        for indices in self.order(epoch)[skip:]:
            yield self.collate(indices.tolist())

    def collate(self, indices: list[int]) -> Batch:
        """One batch of the given clips."""
        p = self.frames_per_step
        lines, weights, intensities, clips = zip(*(self.corpus.clip(i) for i in indices), strict=True)
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
            torch.from_numpy(np.stack(weights)),
            torch.tensor(intensities),
            length,
        )
        pooled = (condition.text * condition.text_mask[..., None]).sum(1) / condition.text_mask.sum(1, keepdim=True)
        return Batch(
            torch.from_numpy(frames).unflatten(1, (steps, p)),
            torch.arange(steps)[None] * p < length[:, None],
            condition,
            pooled,
            torch.tensor([line_statistics(line) for line in lines]),
        )


def _save_array(array: npt.NDArray[Any], file: IO[bytes]) -> None:
    np.save(file, array, allow_pickle=False)


def _round_up(count: int) -> int:
    return -(-count // _ROUND) * _ROUND


def channel_scale(corpus: Corpus, floor: float = 0.03) -> Tensor:
    """Standard deviation per channel over a corpus split, floored so that rare channels are not blown up, (C,)."""
    # Running sums over blocks: the whole split need not fit in memory twice.
    total, squares = np.zeros(corpus.space.size), np.zeros(corpus.space.size)
    for block in np.array_split(corpus.values, max(1, len(corpus.values) // 100_000)):
        values = block.astype(np.float64)
        total, squares = total + values.sum(0), squares + (values**2).sum(0)
    mean = total / len(corpus.values)
    deviation = np.sqrt(np.maximum(squares / len(corpus.values) - mean**2, 0))
    return torch.from_numpy(np.maximum(deviation, floor).astype(np.float32))
