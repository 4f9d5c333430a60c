# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher: a line, a direction and a seed become a performance in the space arkit55.

It is the author of the bundled model's training data. What it knows is in ``acting.toml`` (`recipes`): facial actions
moved along minimum-jerk curves, visual speech from phonemes, gaze and blinks, head, gestures. docs/teacher.md explains
it. A take begins at rest or from any face, and ends at the standard face, in a trace of its feeling, or holding it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ..direction import Ending, Role
from ..direction.emotions import BASIC_EMOTIONS, EMOTIONS
from ..shared.composing import whole_face
from ..shared.spaces import ARKIT55
from ..shared.timeline import Timeline
from ..speech.reading import read_line
from .direction import ActingDirection
from .mixture import choose
from .plan import make_plan
from .take import ActedTake

#: Changes whenever the same arguments would give another performance.
TEACHER_VERSION: Final = "3.1"

_FEWEST_FRAMES: Final = 24


@dataclass(frozen=True, eq=False)
class Acted:
    """A performance, and what an assistant with a stopwatch would note of it.

    Attributes:
        performance: everything but its words, (T, 55).
        start: the face just before its first frame, (55,); zeros for a beginning at rest.
        ending: "rest", "trace" or "held", see `ActingDirection`.
        role: "speaking", "listening" or "silent".
        turn: seconds at which it is halfway from the first to the second emotion; None where it stays with one.
        timeline: when it says what, or when a listener's partner does; None where nobody says anything.
        loudness: how large its mouth speaks, 1 natural.
    """

    performance: npt.NDArray[np.float32]
    start: npt.NDArray[np.float32]
    ending: Ending
    role: Role
    turn: float | None
    timeline: Timeline | None
    loudness: float

    @property
    def said(self) -> Timeline | None:
        """What the actor says, None for one who listens or is silent."""
        return self.timeline if self.role == "speaking" else None

    @property
    def frames(self) -> npt.NDArray[np.float32]:
        """The whole face, as `act` returns it, (T, 55)."""
        return whole_face(self.performance, self.said, ARKIT55.fps, self.loudness)


def perform(
    text: str, weights: npt.ArrayLike, intensity: float, seed: int, seconds: float | None = None
) -> npt.NDArray[np.float32]:
    """Acts a line.

    Args:
        text: the line; one without words is acted as a silent reaction.
        weights: blend over `BASIC_EMOTIONS` (7,) or over `EMOTIONS` (14,), not negative, not all zero; normalised.
        intensity: 0..1.5, 1 natural.
        seed: the take; the same arguments give the same numbers.
        seconds: length wanted, clipped to 1..10; None lets the line decide.

    Returns:
        as `act`.
    """
    given = np.asarray(weights, np.float64)
    if given.shape not in ((len(BASIC_EMOTIONS),), (len(EMOTIONS),)):
        raise ValueError(f"weights must be {len(BASIC_EMOTIONS)} or {len(EMOTIONS)} numbers, not {weights!r}")
    if (given < 0.0).any() or not np.isfinite(given).all() or not given.sum():
        raise ValueError(f"weights must be numbers >= 0 with a positive sum, not {weights!r}")
    return act(text, ActingDirection(tuple(float(w) for w in given), intensity=intensity, seconds=seconds), seed)


def act(text: str, direction: ActingDirection, seed: int) -> npt.NDArray[np.float32]:
    """Acts a line as directed.

    Args:
        text: the line; one without words is acted as a silent reaction. Stage cues such as *sighs* are acted.
        direction: what is felt and how.
        seed: the take; the same arguments give the same numbers.

    Returns:
        float32 (T, 55) in the space arkit55 at 24 frames per second, 24 <= T <= 240. With the ending "rest" its last
        frame is the standard face (norm below `ARKIT55.standard_face_norm`).
    """
    return act_timed(text, direction, seed).frames


def act_timed(text: str, direction: ActingDirection, seed: int) -> Acted:
    """Acts a line as `act` does, and says when it moves on."""
    feelings = np.array(direction.feelings)
    towards = None if direction.towards is None else np.array(direction.towards)
    # Intensity and energy are no part of the seed: turning them up gives the same take, larger, perhaps with a sound
    # added.
    felt = np.concatenate((feelings, np.zeros(0) if towards is None else towards))
    key = zlib.crc32(text.encode("utf-8"), zlib.crc32(np.round(felt * 1000.0).astype(np.int64).tobytes()))
    rng = np.random.default_rng([seed, key])
    acting = choose(feelings, towards, rng)
    plan = make_plan(read_line(text), acting, direction, rng)
    frames = max(round(plan.seconds * ARKIT55.fps), _FEWEST_FRAMES)
    take = ActedTake(acting, plan, direction, np.arange(frames) / ARKIT55.fps, rng)
    said = replace(plan.utterance.timeline, seconds=frames / ARKIT55.fps)
    start = np.zeros(ARKIT55.size, np.float32) if direction.start is None else np.array(direction.start, np.float32)
    return Acted(
        take.render(), start, direction.ending, direction.role, take.turn, said if said.words else None, plan.loudness
    )
