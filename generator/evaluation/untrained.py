# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems without training, taken from the train split: what a model must beat, and what a metric must notice.

None knows the length of the ground truth, and only the static poses know the emotion that is asked for. Clips of other
lines keep their own lips, which say those lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..corpus.datasets import Performances
from ..direction.emotions import EMOTIONS
from ..shared.easing import minimum_jerk
from ..writing import write_atomically
from .distances import Clip
from .lines import emotions_of, pure_indices
from .systems import HeldOutLine, JudgedTake, spoken, take_of_data

#: Lines encoded at once.
_BATCH: Final = 64
#: Seconds in which a static pose comes and goes, and clips it is the mean of.
_RISE, _FALL = 0.5, 0.5
_POSED: Final = 3000


class CorpusMean:
    """The mean frame of the train split, held for its mean length: no motion at all, the same for every line."""

    name = "corpus mean"

    def __init__(self, train: Performances) -> None:
        self._train = train

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`."""
        return [[JudgedTake(self._clip)] * takes for _ in lines]

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

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`. Different clips for one line, as far as the split has them."""
        return [[_without_words(self._train, index) for index in self._chosen(line, takes)] for line in lines]

    def _chosen(self, line: HeldOutLine, takes: int) -> list[int]:
        count, rng = len(self._train), np.random.default_rng(line.seed)
        return [int(i) for i in rng.choice(count, takes, replace=takes > count)]


class ShuffledFrames(RandomSequence):
    """The clips of `RandomSequence`, their frames in random order: what does a metric say when time means nothing?

    The two rows hold the same frames, so that only the order differs between them.
    """

    name = "shuffled frames"

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`."""
        result = []
        for line, ordered in zip(lines, super().perform(lines, takes), strict=True):
            rng = np.random.default_rng([line.seed, 1])
            result.append([_shuffled(take, rng) for take in ordered])
        return result


class StaticPose:
    """The mean pose of the emotion that is asked for, held; what a probe of emotions is content with.

    The pose is the mean of the middle of the train clips that show the emotion, times the intensity; it rises and falls
    along minimum-jerk curves.
    """

    name = "static pose"
    _speaks = False

    def __init__(self, train: Performances) -> None:
        """``train`` names emotions, in the space arkit55."""
        self._train = train

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`. As long as the line takes to say; takes differ in that alone."""
        return [[self._take(line, line.seed + k) for k in range(takes)] for line in lines]

    def _take(self, line: HeldOutLine, seed: int) -> JudgedTake:
        from ..speech.reading import read_line
        from ..speech.timing import time_line

        timeline = time_line(read_line(line.text), seed)
        fps = self._train.space.fps
        t = np.arange(max(round(timeline.seconds * fps), 2)) / fps
        assert line.direction is not None  # data that names emotions does so for every line
        weights, size = line.direction.weights, line.direction.intensity
        held = minimum_jerk(t / _RISE) * (1.0 - minimum_jerk((t - t[-1] + _FALL) / _FALL))
        performance = (held[:, None] * (weights @ self._poses) * size).astype(np.float32)
        performance = np.clip(performance, self._train.space.lower, self._train.space.upper)
        return spoken(performance, timeline, fps) if self._speaks else JudgedTake(performance)

    @cached_property
    def _poses(self) -> npt.NDArray[np.float64]:
        """Of each of `EMOTIONS`, zero where no clip shows it, (emotions, C)."""
        indices = pure_indices(self._train, _POSED)
        emotions = emotions_of(self._train, indices)
        poses = np.zeros((len(EMOTIONS), self._train.space.size))
        middles = [self._train.frames(i)[self._train.length(i) // 4 : -(self._train.length(i) // 4)] for i in indices]
        for emotion in np.unique(emotions):
            poses[emotion] = np.concatenate([m for m, e in zip(middles, emotions, strict=True) if e == emotion]).mean(0)
        return poses


class StaticPoseWithLips(StaticPose):
    """The same face, saying the line: what speech alone is worth."""

    name = "static pose with computed lips"
    _speaks = True


class NearestText:
    """Retrieval: the clips of the k train lines whose pooled text features have the largest cosine to the line's."""

    name = "nearest text"

    def __init__(self, train: Performances, encoder: str, cache: Path, device: str = "cpu") -> None:
        """``encoder`` as `TextEncoder.load` takes it; the train lines' features are kept in the file ``cache``."""
        from ..model.text import TextEncoder
        from ..performing.devices import choose_device

        self._train = train
        self._encoder = TextEncoder.load(encoder, choose_device(device))
        self._cache = cache

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`. Of train clips with the same line each counts; ties go to the earlier clip."""
        similarity = self._features([line.text for line in lines]) @ self._known.T  # (lines, train clips)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :takes]
        return [[_without_words(self._train, int(index)) for index in np.resize(row, takes)] for row in nearest]

    @cached_property
    def _known(self) -> npt.NDArray[np.float32]:
        """Unit features of the train clips' lines, (n, W)."""
        with contextlib.suppress(OSError, ValueError, EOFError):  # not there yet, or damaged
            known = np.asarray(np.load(self._cache, allow_pickle=False), np.float32)
            if len(known) == len(self._train):
                return known
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


def _without_words(train: Performances, index: int) -> JudgedTake:
    """A clip of the train split, its lips included; which words they say is not known to a system that repeats it."""
    return replace(take_of_data(train, index), timeline=None)


def _shuffled(take: JudgedTake, rng: np.random.Generator) -> JudgedTake:
    order = rng.permutation(len(take.frames))
    return JudgedTake(take.frames[order], None, None if take.performance is None else take.performance[order])
