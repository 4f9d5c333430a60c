# SPDX-License-Identifier: GPL-3.0-or-later
"""A line as passages: when each is performed, and what the decoder is asked for in it.

The decoder has learned clips of up to ten seconds that begin from any face. A longer line, and one whose directions
change, is decoded in passages: each begins from the face that the one before it has arrived at, and the two become one
over `OVERLAP_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction.brackets import SILENCE
from ..direction.requests import MAX_ENERGY, MIN_ENERGY
from ..direction.script import Part
from ..engine.conditioning import Asked
from ..engine.moments import Moments
from ..shared.easing import minimum_jerk
from ..shared.timeline import Timeline
from ..speech.reading import QUESTION_WORDS

#: Seconds over which a passage becomes the next one.
OVERLAP_SECONDS: Final = 0.5
#: Longest silent passage, in seconds.
_SILENT_SECONDS: Final = 5.0
#: A line that moves to another emotion turns at this share of a passage, as the teacher's takes do (median 0.49, nine
#: in ten between 0.42 and 0.59 of their length); over several passages it moves between two shares of its span.
_TURN_AT: Final = 0.48
_MOVE_BEGIN, _MOVE_END = 0.3, 0.7

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Passage:
    """What is decoded in one go.

    Attributes:
        text: what the decoder reads; "..." for silence.
        start: frame of the take at which it begins to take over.
        asked: everything but the face that it begins from.
        turned: it goes on with the part of the one before, after a turn.
    """

    text: str
    start: int
    asked: Asked
    turned: bool = False

    @property
    def finish(self) -> int:
        """The frame of the take after its last one."""
        return self.start + self.asked.frames


def silent_parts(part: Part, seconds: float, fps: float) -> tuple[tuple[Part, ...], list[int]]:
    """A silence as parts, none too long, and the frames of each."""
    frames = max(round(seconds * fps), 1)
    edges = np.linspace(0, frames, max(int(np.ceil(seconds / _SILENT_SECONDS)), 1) + 1).round().astype(int)
    return (part,) * (len(edges) - 1), np.diff(edges).tolist()


def passages(
    parts: tuple[Part, ...], own: Sequence[int], fps: float, *, energy: float = 1.0, role: str = "speaking",
    ending: str = "rest", timeline: Timeline | None = None,
) -> tuple[Passage, ...]:  # fmt: skip
    """The passages of a take in which part k has ``own[k]`` frames for itself.

    Args:
        parts: what is said or heard, and how it is felt.
        own: at least one frame each.
        fps: of the frames.
        energy: of all of it.
        role: of the parts with words; the others are silent.
        ending: of the last one.
        timeline: when it says, or hears, what.
    """
    overlap = round(OVERLAP_SECONDS * fps)
    edges = np.cumsum([0, *own])
    result = []
    for k, part in enumerate(parts):
        start, last = int(edges[k]), k + 1 == len(parts)
        end = int(edges[k + 1]) + (0 if last else min(overlap, own[k + 1]))
        voiced = part.text != SILENCE and timeline is not None
        for first, stop, felt in _turned(_felt(parts, k, edges, (end - start) / fps), start, end, fps):
            result.append(
                Passage(
                    part.text,
                    first,
                    replace(
                        felt,
                        frames=stop - first,
                        energy=float(np.clip(energy * part.energy, MIN_ENERGY, MAX_ENERGY)),
                        role=role if part.text != SILENCE else "silent",
                        ending=ending if last and stop == end else "held",
                        moments=_moments(timeline, first / fps, stop / fps)
                        if voiced and timeline is not None
                        else None,
                    ),
                    first > start,
                )
            )
    return tuple(result)


def _turned(asked: Asked, start: int, end: int, fps: float) -> Iterator[tuple[int, int, Asked]]:
    """What is felt from which frame to which: before and after it turns.

    Weights that are told of a turn keep to the face that they are on; told of the second emotion alone, from that face,
    they go there.
    """
    if asked.towards is None or np.array_equal(asked.towards, asked.emotion):  # or its part of the line does not move
        yield start, end, replace(asked, towards=None, turn=np.inf)
        return
    middle = start + round(asked.turn * fps)
    yield start, min(middle + round(OVERLAP_SECONDS * fps), end), replace(asked, towards=None, turn=np.inf)
    yield middle, end, replace(asked, emotion=asked.towards, towards=None, turn=np.inf)


def _felt(parts: tuple[Part, ...], k: int, edges: npt.NDArray[np.int64], seconds: float) -> Asked:
    """What is felt in a part, and what it moves to."""
    part = parts[k]
    begin, end = part.weights(), part.weights_to()
    if part.emotion_to is None:
        return Asked(0, begin, intensity=part.intensity)
    members = [j for j, other in enumerate(parts) if other.span == part.span] if part.span else range(len(parts))
    shares = (0.0, 1.0)
    if len(members) > 1:
        first, last = edges[members[0]], edges[members[-1] + 1]
        at = (edges[[k, k + 1]] - first) / max(last - first, 1)
        moved = minimum_jerk((at - _MOVE_BEGIN) / (_MOVE_END - _MOVE_BEGIN))
        shares = float(moved[0]), float(moved[1])
    # One intensity per passage, the larger one; each end's share of it is in its weights.
    strengths = [part.intensity + share * (part.intensity_to - part.intensity) for share in shares]
    most = max(*strengths, 1e-6)
    ends = [
        np.asarray(((1 - share) * begin + share * end) * (strength / most), np.float32)
        for share, strength in zip(shares, strengths, strict=True)
    ]
    return Asked(0, ends[0], ends[1], _TURN_AT * seconds, most)


def _moments(timeline: Timeline, start: float, end: float) -> Moments:
    """What a passage is told of a timeline: what begins within it."""

    def within(time: float) -> bool:
        return start <= time < end

    phrases = [phrase for phrase in timeline.phrases if phrase.start < end and phrase.end > start]
    first = {word.start: word.text for word in timeline.words}
    asks = [phrase.mark == "?" and first.get(phrase.start, "") in QUESTION_WORDS for phrase in phrases]
    part = replace(
        timeline,
        words=tuple(word for word in timeline.words if within(0.5 * (word.start + word.end))),
        phrases=tuple(phrases),
        accents=tuple(accent for accent in timeline.accents if within(accent.time)),
        events=tuple(event for event in timeline.events if within(event.start)),
    )
    return Moments.of_timeline(part, asks, start)
