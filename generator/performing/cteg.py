# SPDX-License-Identifier: GPL-3.0-or-later
"""The default model as a performer: directions, timelines, passages that follow one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction.brackets import SILENCE
from ..direction.emotions import emotion_vector
from ..direction.nearest import NearestDirection
from ..direction.requests import MAX_LINE_SECONDS, LineRequest
from ..direction.script import Part, write_script
from ..engine import Engine
from ..engine.builtin import NumpyEngine
from ..errors import InputError
from ..shared.spaces import SPACES
from ..shared.timeline import LANGUAGES, Timeline
from ..speech.language import guess
from .acting import Placed, act, natural_seconds, placed_between, variation, within
from .continuity import Performance, perform_all
from .draws import STREAM_LENGTH, TakeSeed
from .lineage import ancestor
from .passages import Passage, passages, silent_parts
from .performer import Performed, Performer, Take
from .speaking import read_parts, say_parts

#: How long a silence lasts, in seconds, and how much takes of one differ: the teacher's last 3.9 s, nine in ten 3 to 5.
_SILENT_SECONDS: Final = 3.9
_SILENT_SPREAD: Final = 0.1
#: Who listens goes on reacting so many seconds after the last word.
_AFTER_LISTENING: Final = 0.8
#: Two threads are 1.6 times as fast as one (docs/batch.md); more would wait for each other.
_SIDE_BY_SIDE: Final = 2
#: Silence around what is done in a line without words, in seconds.
_AROUND: Final = 1.6


@dataclass(frozen=True, eq=False)
class _Laid:
    """What takes that share a timing do: their parts, the passages these are decoded in, and what is said."""

    parts: tuple[Part, ...]
    passages: tuple[Passage, ...]
    timeline: Timeline | None = None
    warnings: tuple[str, ...] = ()
    placed: tuple[Placed, ...] = ()


class CtegPerformer(Performer):
    """The default model: emotion, intensity, energy, and how it begins and ends can be asked for.

    Args:
        engine: decodes and reads lines.
        name: of the checkpoint.
        layered: it performs without words, under a computed speech.
    """

    def __init__(self, engine: Engine, name: str, *, layered: bool) -> None:
        super().__init__(name, engine, SPACES[engine.config.space])
        self.engine, self.layered = engine, layered
        if isinstance(engine, NumpyEngine):  # which leaves the interpreter to others for most of its time
            self.side_by_side = _SIDE_BY_SIDE
        self._nearest = NearestDirection(engine.pooled)

    def emotion_probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """What the words of each line say, as calibrated probabilities over `EMOTIONS`, (B, 14)."""
        return self.engine.emotions(lines)

    def _scripts(self, requests: list[LineRequest]) -> list[tuple[Part, ...]]:
        for request in requests:
            if request.begin is not None and len(request.begin) != self.space.size:
                raise InputError(
                    f"The face to begin from has {len(request.begin)} numbers and {self.name} speaks "
                    f"{self.space.name}, which has {self.space.size}; take it from a take of the same checkpoint."
                )
        # Written until nothing is asked for that was not read, so that what all lines ask for is read together.
        found: list[tuple[Part, ...]] = [()] * len(requests)
        known: dict[str, npt.NDArray[np.float32]] = {}
        asked: list[str] = []
        nothing = emotion_vector("neutral")

        def classify(texts: list[str]) -> npt.NDArray[np.float32]:
            asked.extend(texts)
            return np.stack([known.get(text, nothing) for text in texts])

        left = list(range(len(requests)))
        while left:
            again, unread = [], dict[str, None]()
            for index in left:
                asked.clear()
                found[index] = write_script(requests[index], classify, self._nearest.find)
                if new := [text for text in asked if text not in known]:
                    again.append(index)
                    unread |= dict.fromkeys(new)
            if unread:
                known |= zip(unread, self.emotion_probabilities(list(unread)), strict=True)
            left = again
        return found

    def _decode(self, takes: list[Take], on_step: Callable[[int, int], None]) -> list[Performed]:
        laid = self._laid(takes)
        rows = [
            Performance(
                lay.passages, take.seed, take.words, take.request.temperature, self._begin(take.request),
                _is_fixed(take.request, lay), take.request.origin, _until(take.request, lay, self.space.fps),
            )
            for take, lay in zip(takes, laid, strict=True)
        ]  # fmt: skip
        frames = perform_all(self.engine, rows, on_step)
        return [
            Performed(
                self._acted(values, take, lay.placed), lay.parts,
                tuple(passage.start for passage in lay.passages if not passage.turned),
                lay.timeline if self.layered and take.request.speaking else None, lay.warnings, lay.placed,
                self.space.fps,
            )
            for values, take, lay in zip(frames, takes, laid, strict=True)
        ]  # fmt: skip

    def _read(self, take: Take) -> Performed:
        lay = self._lay_out(take)
        frames = np.zeros((lay.passages[-1].finish, self.space.size), np.float32)
        starts = tuple(passage.start for passage in lay.passages if not passage.turned)
        return Performed(frames, lay.parts, starts, lay.timeline, lay.warnings, lay.placed, self.space.fps)

    def _acted(
        self, frames: npt.NDArray[np.float32], take: Take, placed: tuple[Placed, ...]
    ) -> npt.NDArray[np.float32]:
        """A take with what is done beside the words."""
        request = take.request
        draws = variation(take.source, request.origin, placed, self.space.fps) * min(request.temperature, 1.0)
        strength = float(request.energy**0.5 * (0.55 + 0.45 * request.intensity))
        return act(frames, placed, draws, self.space, strength=strength)

    def _begin(self, request: LineRequest) -> npt.NDArray[np.float32] | None:
        if request.begin is None:
            return None
        return np.clip(np.array(request.begin, np.float32), self.space.lower, self.space.upper)

    def _laid(self, takes: list[Take]) -> list[_Laid]:
        """When each take does what; takes of a line share it, but for those that are timed by their own seeds."""
        laid: dict[tuple[int, int], _Laid] = {}
        result = []
        for take in takes:
            key = take.line, _timing_seed(take)
            if key not in laid:
                laid[key] = self._lay_out(take)
            result.append(laid[key])
        return result

    def _lay_out(self, take: Take) -> _Laid:
        request, parts, fps = take.request, take.parts, self.space.fps
        if read_parts(request, parts).words:
            spoken = say_parts(request, parts, _timing_seed(take), fps)
            parts, own, timeline, warnings = spoken.parts, spoken.own, spoken.timeline, spoken.warnings
            placed = spoken.placed
            if not request.speaking and request.seconds is None:
                own = (*own[:-1], own[-1] + round(_AFTER_LISTENING * fps))
        else:
            parts, own, placed = self._silent(take)
            timeline, warnings = None, ()
        role = "speaking" if request.speaking else "listening"
        laid = passages(
            parts, own, fps, energy=request.energy, role=role, ending=request.ending, timeline=timeline
        )  # fmt: skip
        return _Laid(parts, laid, timeline, warnings, placed)

    def _silent(self, take: Take) -> tuple[tuple[Part, ...], tuple[int, ...], tuple[Placed, ...]]:
        """A silence in parts, the frames of each, and what is done in it."""
        request = take.request
        stage = [one for part in take.parts for one in part.stage]
        done = sum(natural_seconds(one.action, request.energy) for one in stage if one.action)
        seconds = request.seconds if request.timeline is None else request.timeline.seconds
        if seconds is None:
            noise = float(TakeSeed(_timing_seed(take), take.words).rng(STREAM_LENGTH).standard_normal())
            seconds = _SILENT_SECONDS * np.exp(_SILENT_SPREAD * min(request.temperature, 1.0) * noise) / request.rate
            # What is done takes its time, and the face comes to rest after it.
            seconds = max(seconds, (done + _AROUND) / len(take.parts)) if done else seconds
        seconds = min(seconds * len(take.parts), MAX_LINE_SECONDS)
        part = replace(take.parts[0], text=SILENCE)
        silent, frames = silent_parts(part, seconds, self.space.fps)
        placed = within(list(placed_between(stage, 0.3, seconds, request.energy)), seconds)
        return silent, tuple(frames), placed

    def _warnings(self, request: LineRequest, performed: list[Performed]) -> tuple[str, ...]:
        warnings = list(super()._warnings(request, performed))
        longest = max(performed, key=lambda take: len(take.frames))
        if request.timeline is not None and longest.timeline is None:
            warnings.append("The timeline decided the length only: nothing is said, or the face has one layer.")
        language = guess(request.text) if request.language == "auto" else request.language
        if language != "en" and request.emotion == "auto":
            name = LANGUAGES.get(language, language)
            warnings.append(f"Emotions are read from English words only; choose one for this line in {name}.")
        return tuple(warnings)


def _is_fixed(request: LineRequest, laid: _Laid) -> bool:
    """Whether a take has a length that it must keep."""
    is_made = request.origin != type(request.origin)()
    return (
        request.seconds is not None or laid.timeline is not None or any(one.seconds for one in laid.placed) or is_made
    )


def _until(request: LineRequest, laid: _Laid, fps: float) -> int | None:
    """How many frames are wanted; None for all of them, because the last second depends on where the take ends."""
    frames = laid.passages[-1].finish
    short = request.until is not None and request.until < frames - fps and _is_fixed(request, laid)
    return request.until if short else None


def _timing_seed(take: Take) -> int:
    """The seed that times a take: the line's own, or that of the take that decides how long it is."""
    if not take.request.vary_timing and any(part.text != SILENCE for part in take.parts):
        return take.request.timing
    seed = ancestor(take.request.origin)
    return take.seed if seed is None else seed
