# SPDX-License-Identifier: GPL-3.0-or-later
"""What is judged: systems that perform held-out lines. A checkpoint and the ground truth; more in `untrained`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from ..corpus.datasets import Performances, Shown
from ..direction.emotions import EMOTION_NAMES, EMOTIONS, emotion_vector
from ..direction.requests import MAX_ENERGY, MAX_INTENSITY, MAX_TAKES, MIN_ENERGY, LineRequest
from ..errors import DataError, InputError
from ..shared.composing import whole_face
from ..shared.spaces import ARKIT55
from ..shared.timeline import Timeline
from .distances import Clip

if TYPE_CHECKING:
    from ..performing.clips import Clips


@dataclass(frozen=True)
class HeldOutLine:
    """One held-out line.

    Attributes:
        index: its performance in the split.
        text: the line.
        direction: the emotion to show; None where the data set does not say.
        frames: length of the ground truth. Part of the question for a system that has to be told; none here reads it.
        seed: take k uses seed + k.
    """

    index: int
    text: str
    direction: Shown | None
    frames: int
    seed: int

    @property
    def emotion(self) -> str:
        """The direction as an emotion's name: an exact blend of `EMOTION_NAMES`, else its strongest emotion.

        "auto" without a direction.
        """
        if self.direction is None:
            return "auto"
        for name in EMOTION_NAMES:
            if np.allclose(self.direction.weights, emotion_vector(name), atol=0.01):
                return name
        return EMOTIONS[int(self.direction.weights.argmax())]


@dataclass(frozen=True, eq=False)
class JudgedTake:
    """One performance of a line.

    Attributes:
        frames: the whole face, (T, C).
        timeline: when it says what; None for a system that does not know.
        performance: the face without what speech does to it, (T, C); None where the two are one.
    """

    frames: Clip
    timeline: Timeline | None = None
    performance: Clip | None = None

    @property
    def acted(self) -> Clip:
        """What is performed rather than pronounced, (T, C): what variety, motion and emotion are measured on."""
        return self.frames if self.performance is None else self.performance


def spoken(performance: Clip, timeline: Timeline | None, fps: float, speech_scale: float = 1.0) -> JudgedTake:
    """The take whose face performs ``performance`` (T, 55) and says ``timeline``."""
    if timeline is None or not timeline.words:
        return JudgedTake(performance)
    return JudgedTake(whole_face(performance, timeline, fps, speech_scale), timeline, performance)


class System(Protocol):
    """Anything that performs lines."""

    @property
    def name(self) -> str:
        """Its row in the report."""
        ...

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """``takes`` takes of each line. A line's takes depend on the line alone; the same seed repeats them."""
        ...


class WithoutSpeech:
    """A system whose takes are clips of the whole face: the trained baselines."""

    def __init__(self, system: PerformsClips) -> None:
        self.name, self._system = system.name, system

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`."""
        return [[JudgedTake(clip) for clip in clips] for clips in self._system.perform(lines, takes)]


class PerformsClips(Protocol):
    """What `WithoutSpeech` wraps."""

    @property
    def name(self) -> str:
        """Its row in the report."""
        ...

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[Clip]]:
        """``takes`` clips (T, C) of each line."""
        ...


class CheckpointSystem:
    """A folder that `load_performer` loads. Lengths are its own; a take's seed is ``HeldOutLine.seed`` + k."""

    def __init__(self, folder: Path, name: str, space: str, temperature: float = 1.0, device: str = "auto") -> None:
        """``space`` is the name of the data's space; InputError from `perform` when the checkpoint has another."""
        from ..performing.load import load_performer

        self.name, self._space, self._temperature = name, space, temperature
        # Whatever kind of performer this is, all that is used of it is `perform` and, if it has them, its emotions.
        self.performer: Any = load_performer(folder, device)

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`. DataError names a line the checkpoint refuses."""
        result: list[list[JudgedTake]] = [[] for _ in lines]
        for first in range(0, takes, MAX_TAKES):
            count = min(MAX_TAKES, takes - first)
            requests = [self._request(line, line.seed + first, count) for line in lines]
            try:
                performed: list[Clips] = self.performer.perform(requests)
            except InputError as error:
                rows = f"{lines[0].index} to {lines[-1].index}"
                raise DataError(f"{self.name} refuses one of the lines {rows} of the data: {error}") from error
            for row, clips in enumerate(performed):
                if clips.space.name != self._space:
                    raise InputError(
                        f"{self.name} performs in the space {clips.space.name} and the data is in {self._space}; "
                        "evaluate it on data of its own space."
                    )
                result[row] += [_take_of(clips, k) for k in range(count)]
        return result

    def _request(self, line: HeldOutLine, seed: int, takes: int) -> LineRequest:
        intensity = 1.0 if line.direction is None else min(max(line.direction.intensity, 0.0), MAX_INTENSITY)
        energy = 1.0 if line.direction is None else min(max(line.direction.energy, MIN_ENERGY), MAX_ENERGY)
        request = LineRequest(line.text, line.emotion, intensity, takes, seed, self._temperature, energy=energy)
        shown = line.direction
        if shown is not None:
            begin = None if shown.start is None else tuple(map(float, shown.start))
            request = replace(request, speaking=shown.speaking, ending=shown.ending, begin=begin)
        try:
            return request.validated()
        except InputError as error:
            raise DataError(f"Line {line.index} of the data cannot be asked of {self.name}: {error}") from error


class GroundTruth:
    """The performances of the data set itself; other takes of a line only where the data's author can act it again."""

    name = "ground truth"

    def __init__(self, performances: Performances, has_teacher: bool) -> None:
        """``has_teacher``: the data is a corpus of `generator.corpus`, so its teacher gives the second take and on."""
        self._performances, self._has_teacher = performances, has_teacher

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """The clip of the data set first, then other takes; without a teacher one take however many were asked."""
        return [
            [take_of_data(self._performances, line.index)]
            + [self._again(line, k) for k in range(1, takes if self._has_teacher else 1)]
            for line in lines
        ]

    @staticmethod
    def _again(line: HeldOutLine, take: int) -> JudgedTake:
        from ..corpus.direction import ActingDirection
        from ..corpus.teacher import act_timed
        from ..direction import Ending, Role

        shown = line.direction
        assert shown is not None  # a corpus always says
        towards = None if shown.towards is None else tuple(shown.towards)
        start = None if shown.start is None or not shown.start.any() else tuple(shown.start.tolist())
        acting = ActingDirection(
            tuple(shown.weights), towards, shown.intensity, shown.energy, cast(Role, shown.role),
            start=start, ending=cast(Ending, shown.ending),
        )  # fmt: skip
        acted = act_timed(line.text, acting, line.seed + take)
        return spoken(acted.performance, acted.said, ARKIT55.fps, acted.loudness)


def take_of_data(performances: Performances, index: int) -> JudgedTake:
    """A performance of a data set; it speaks where the data says when."""
    timeline_of = getattr(performances, "timeline", None)
    timeline = None if timeline_of is None else timeline_of(index)
    scale_of = getattr(performances, "speech_scale", None)
    scale = 1.0 if scale_of is None else scale_of(index)
    return spoken(performances.frames(index), timeline, performances.space.fps, scale)


def _take_of(clips: Clips, index: int) -> JudgedTake:
    timeline = clips.timeline(index)
    return JudgedTake(clips.take(index), timeline, None if timeline is None else clips.performance(index))
