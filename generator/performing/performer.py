# SPDX-License-Identifier: GPL-3.0-or-later
"""What every performer is: requests for lines in, clips out. `load.load_performer` makes one from a checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from ..direction.requests import LineRequest
from ..direction.script import Part
from ..errors import DeviceLost, GeneratorError, InputError, lost_device
from ..shared.spaces import Space
from ..shared.timeline import Timeline
from .acting import Placed
from .clips import Clips
from .draws import TakeSeed
from .spread import most_different

#: Takes decoded together at most; more would only cost memory.
_BATCH: Final = 64

Progress = Callable[[float, str], None]


class Reader(Protocol):
    """What reads lines."""

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that its vocabulary does not have, 0..1."""

    def forget(self) -> None:
        """Forget the lines that were read."""


class OutOfMemory(GeneratorError):
    """The device's memory did not suffice."""

    kind = "memory"


@dataclass(frozen=True, slots=True)
class Take:
    """One row of the batch: take number ``seed - request.seed`` of line ``line``.

    Attributes:
        line: index of the request.
        request: what was asked for.
        parts: the line's passages; the emotion of the first is "auto" where the checkpoint cannot be told one.
        seed: the take's own.
    """

    line: int
    request: LineRequest
    parts: tuple[Part, ...]
    seed: int

    @property
    def words(self) -> str:
        """What is said, without stage directions."""
        return " ".join(part.text for part in self.parts)

    @property
    def source(self) -> TakeSeed:
        """Where its random numbers come from."""
        return TakeSeed(self.seed, self.words)


@dataclass(frozen=True, slots=True)
class Performed:
    """A take as it was decoded.

    Attributes:
        frames: (T, C); where there is a timeline, of the performance alone, else of the whole face.
        parts: the passages it has.
        starts: the frame each of them starts at.
        timeline: what it says, or None.
        warnings: what the user should know about how it is said.
        placed: what is done and noted beside the words.
        fps: of the frames.
    """

    frames: npt.NDArray[np.float32]
    parts: tuple[Part, ...]
    starts: tuple[int, ...] = (0,)
    timeline: Timeline | None = None
    warnings: tuple[str, ...] = ()
    placed: tuple[Placed, ...] = ()
    fps: float = 24.0

    def segments(self) -> tuple[dict[str, Any], ...]:
        """The passages as the protocol writes them; what is done is told with the one in which it begins."""
        count = len(self.frames)
        edges = [min(start, count) for start in (*self.starts, count)]
        told = [part.to_json(a, b) for part, (a, b) in zip(self.parts, pairwise(edges), strict=True)]
        for one in self.placed:
            row = one.to_json(self.fps)
            there = next((k for k, edge in enumerate(edges[1:]) if row["start"] < edge), len(told) - 1)
            told[there]["stage"].append({**row, "start": min(row["start"], count), "end": min(row["end"], count)})
        return tuple(told)


class Performer(ABC):
    """A loaded checkpoint, ready to perform lines.

    Attributes:
        name: the checkpoint's, stored with each clip.
        reader: reads the lines.
        space: what the channels of its clips mean.
        side_by_side: how many of its kind one process may let perform at once, each on a thread, and gain by it.
    """

    side_by_side = 1  # torch has threads of its own

    def __init__(self, name: str, reader: Reader, space: Space) -> None:
        self.name, self.reader, self.space = name, reader, space

    def forget(self) -> None:
        """Forget the lines that were read before; what is remembered of them depends on what they were read with."""
        self.reader.forget()

    def perform(self, requests: list[LineRequest], progress: Progress | None = None) -> list[Clips]:
        """Perform validated requests; all takes of all lines are decoded together.

        Args:
            requests: from `LineRequest.validated`.
            progress: called with (fraction 0..1, stage); may raise, to stop.

        Raises:
            InputError: a line the text encoder cannot read, or a length the checkpoint cannot perform.
            OutOfMemory: too much for the device. DeviceLost: it is gone.
        """
        report = progress or (lambda fraction, stage: None)
        report(0.0, "reading the line")
        try:
            takes = self._plan(requests)
            performed: list[Performed] = []
            for start in range(0, len(takes), _BATCH):
                batch = takes[start : start + _BATCH]

                def on_step(done: int, steps: int, start: int = start, count: int = len(batch)) -> None:
                    report((start + count * done / steps) / len(takes), "performing")

                performed += self._decode(batch, on_step)
        except RuntimeError as error:
            if lost_device(error):
                raise DeviceLost(error) from error
            if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported here
                raise
            raise OutOfMemory("The device ran out of memory; ask for fewer takes or choose the cpu device.") from error
        return self._collect(requests, takes, performed)

    def read(self, requests: list[LineRequest]) -> list[tuple[dict[str, Any], ...]]:
        """How validated requests are understood, without performing them: the segments of the first take of each.

        Raises:
            InputError: a line the text encoder cannot read.
        """
        takes = self._plan([replace(request, takes=1, spread=False) for request in requests])
        return [self._read(take).segments() for take in takes]

    def _read(self, take: Take) -> Performed:
        """A take as it will be performed, its frames empty."""
        return Performed(np.zeros((0, self.space.size), np.float32), take.parts)

    @abstractmethod
    def _scripts(self, requests: list[LineRequest]) -> list[tuple[Part, ...]]:
        """The passages each request is performed in; InputError where one cannot be performed at all."""

    @abstractmethod
    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[Performed]:
        """Each take as it is performed; ``on_step`` is called with (steps done, steps in all) and may raise."""

    def _warnings(self, request: LineRequest, performed: list[Performed]) -> tuple[str, ...]:
        """What the user should know about a line's takes."""
        warnings = [*request.warnings, *dict.fromkeys(note for take in performed for note in take.warnings)]
        longest = max(len(take.frames) for take in performed) / self.space.fps
        if request.branch and request.branch.frame >= longest * self.space.fps:
            warnings.append(
                f"The take of seed {request.branch.seed} has no frame {request.branch.frame}; nothing was changed."
            )
        if request.rate != 1.0 and request.seconds is not None and request.timeline is None:
            warnings.append("The speaking rate has no effect where a length in seconds is given.")
        return tuple(warnings)

    def _plan(self, requests: list[LineRequest]) -> list[Take]:
        for request in requests:
            if self.reader.unknown_share(request.text) > 0.5 and any(c.isalpha() for c in request.text):
                raise InputError("The text encoder knows few of the line's words; write it in English.")
        return [
            Take(index, request, parts, request.seed + k)
            for index, (request, parts) in enumerate(zip(requests, self._scripts(requests), strict=True))
            for k in range(request.drawn)
        ]

    def _collect(self, requests: list[LineRequest], takes: list[Take], performed: list[Performed]) -> list[Clips]:
        result = []
        for index, request in enumerate(requests):
            rows = [k for k, take in enumerate(takes) if take.line == index]
            if request.spread:
                rows = [rows[k] for k in most_different([performed[k].frames for k in rows], request.takes)]
            kept = [performed[k] for k in rows]
            lengths = np.array([len(take.frames) for take in kept], np.int64)
            longest = int(lengths.max())
            # Padded with the last frame, so that a reader who forgets `lengths` sees a face at rest, not a jump.
            padded = [np.pad(take.frames, ((0, longest - len(take.frames)), (0, 0)), mode="edge") for take in kept]
            result.append(
                Clips(
                    np.stack(padded).astype(np.float32),
                    lengths,
                    np.array([takes[k].seed for k in rows], np.int64),
                    self.space,
                    request.text,
                    _leading_emotion(kept[0]),
                    self._settings(request),
                    self._warnings(request, kept),
                    tuple(take.segments() for take in kept),
                    tuple(take.timeline for take in kept),
                    speech_scale(request.energy),
                )
            )
        return result

    def _settings(self, request: LineRequest) -> dict[str, Any]:
        return {
            "intensity": request.intensity,
            "temperature": request.temperature,
            "seconds": request.seconds,
            "checkpoint": self.name,
            "emotion_requested": request.emotion,
            "emotion_to": request.emotion_to,
            "emotion_with": request.emotion_with,
            "share": request.share,
            "energy": request.energy,
            "speaking": request.speaking,
            "rate": request.rate,
            "spread": request.spread,
            "timing": request.timing,
            "vary_timing": request.vary_timing,
            "language": request.language,
            "ending": request.ending,
            "begin": None if request.begin is None else list(request.begin),
            **(request.origin.to_json() or {"branch": None, "vary": None}),
        }


def speech_scale(energy: float) -> float:
    """How large the mouth speaks at an energy; 1 is natural."""
    return round(0.6 + 0.4 * energy, 3)


def _leading_emotion(take: Performed) -> str:
    """The emotion that a take shows longest; of the first passage where several do."""
    shown: dict[str, int] = {}
    for segment in take.segments():
        shown[segment["emotion"]] = shown.get(segment["emotion"], 0) + segment["end"] - segment["start"]
    return max(shown, key=lambda name: shown[name])
