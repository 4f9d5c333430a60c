# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems without training, taken from the train split: what a model must beat, and what a metric must notice.

None of them knows the emotion that is asked for or the length of the ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..clips import write_atomically
from ..datasets import Performances
from .distances import Clip
from .systems import Asked

#: Lines encoded at once.
_BATCH = 64


class CorpusMean:
    """The mean frame of the train split, held for its mean length: no motion at all, the same for every line."""

    name = "corpus mean"

    def __init__(self, train: Performances) -> None:
        self._train = train

    def perform(self, lines: Sequence[Asked], takes: int) -> list[list[Clip]]:
        """See `System.perform`."""
        return [[self._clip] * takes for _ in lines]

    @cached_property
    def _clip(self) -> Clip:
        total, frames = np.zeros(self._train.space.size), 0
        for index in range(len(self._train)):
            clip = self._train.frames(index)
            total, frames = total + clip.sum(axis=0, dtype=np.float64), frames + len(clip)
        return np.tile((total / frames).astype(np.float32), (round(frames / len(self._train)), 1))


class RandomSequence:
    """Clips of the train split at random: real motion that has nothing to do with the line."""

    name = "random sequence"

    def __init__(self, train: Performances) -> None:
        self._train = train

    def perform(self, lines: Sequence[Asked], takes: int) -> list[list[Clip]]:
        """See `System.perform`. Different clips for one line, as far as the split has them."""
        return [[self._train.frames(index) for index in self._chosen(line, takes)] for line in lines]

    def _chosen(self, line: Asked, takes: int) -> list[int]:
        count, rng = len(self._train), np.random.default_rng(line.seed)
        return [int(i) for i in rng.choice(count, takes, replace=takes > count)]


class ShuffledFrames(RandomSequence):
    """The clips of `RandomSequence`, their frames in random order: what does a metric say when time means nothing?

    The two rows hold the same frames, so that only the order differs between them.
    """

    name = "shuffled frames"

    def perform(self, lines: Sequence[Asked], takes: int) -> list[list[Clip]]:
        """See `System.perform`."""
        result = []
        for line, clips in zip(lines, super().perform(lines, takes), strict=True):
            rng = np.random.default_rng([line.seed, 1])
            result.append([rng.permutation(clip, axis=0) for clip in clips])
        return result


class NearestText:
    """Retrieval: the clips of the k train lines whose pooled text features have the largest cosine to the line's."""

    name = "nearest text"

    def __init__(self, train: Performances, encoder: str, cache: Path, device: str = "cpu") -> None:
        """``encoder`` as `TextEncoder.load` takes it; the train lines' features are kept in the file ``cache``."""
        from ..performing.devices import choose_device
        from ..text import TextEncoder

        self._train = train
        self._encoder = TextEncoder.load(encoder, choose_device(device))
        self._cache = cache

    def perform(self, lines: Sequence[Asked], takes: int) -> list[list[Clip]]:
        """See `System.perform`. Of train clips with the same line each counts; ties go to the earlier clip."""
        similarity = self._features([line.text for line in lines]) @ self._known.T  # (lines, train clips)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :takes]
        return [[self._train.frames(int(index)) for index in np.resize(row, takes)] for row in nearest]

    @cached_property
    def _known(self) -> npt.NDArray[np.float32]:
        """Unit features of the train clips' lines, (n, W)."""
        if self._cache.is_file():
            return np.asarray(np.load(self._cache, allow_pickle=False), np.float32)
        features = self._features([self._train.text(i) for i in range(len(self._train))], progress=True)
        write_atomically(self._cache, partial(np.save, arr=features, allow_pickle=False))
        return features

    def _features(self, lines: Sequence[str], progress: bool = False) -> npt.NDArray[np.float32]:
        """Unit pooled features, (n, W)."""
        # Sorted by length: batches without padding are several times faster.
        distinct = sorted(set(lines), key=lambda line: (len(line), line))
        starts = tqdm(range(0, len(distinct), _BATCH), "reading lines", unit="batch", disable=not progress)
        pooled = [self._encoder.encode(distinct[i : i + _BATCH]).pooled().cpu().numpy() for i in starts]
        features = np.concatenate(pooled).astype(np.float32)
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        row = {line: k for k, line in enumerate(distinct)}
        return np.asarray(features[[row[line] for line in lines]])
