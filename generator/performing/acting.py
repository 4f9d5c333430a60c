# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions beside the words, performed: when each is done, and what it adds to a decoded face.

They are laid over what the decoder did, whatever decodes. Their movement is data, ``direction/actions.toml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..direction.actions import Action, action_table, opposites
from ..direction.brackets import Stage
from ..direction.requests import Origin
from ..shared.articulation import columns
from ..shared.easing import minimum_jerk
from ..shared.spaces import ARKIT55, Space
from .draws import STREAM_STAGE, TakeSeed
from .gestures import Gesture, Motion
from .lineage import inherited

Floats = npt.NDArray[np.float64]

#: An action for which more than this share of it the words wait lies in its pause, and not over the words.
_APART: Final = 0.75
#: Seconds from the last word to what is done after it, and from the beginning to what is done first.
_AFTER, _FIRST = 0.12, 0.2
#: An action that lies over the words begins so many seconds before the first of them.
_AHEAD: Final = 0.15
#: Two things that are done in a row overlap by this share of the first.
_OVERLAP: Final = 0.2
#: Deviations of what a take's seed changes: size and length as logarithms, beginning in seconds.
_SIZE, _LENGTH, _BEGIN = 0.1, 0.07, 0.05
#: Radians of eye rotation at coefficient 1; the farthest that eyes turn.
_EYE_RANGE, _EYE_MOST = 0.52, 0.98
#: Eyes that look at somebody make up for so much of what the head turns.
_STEADY: Final = 0.85
_HEAD: Final = [columns(name)[0] for name in ("headPitch", "headYaw", "headRoll")]
_LIDS: Final = list(columns("eyeBlink*"))
#: For each eye the columns that look down, up, to the character's left and to the right.
_EYES: Final = [
    [columns(f"eyeLook{way}{side}")[0] for way in ("Down", "Up", *(("Out", "In") if side == "Left" else ("In", "Out")))]
    for side in ("Left", "Right")
]


@dataclass(frozen=True)
class Placed:
    """Something beside the words, in time.

    Attributes:
        stage: what it is.
        start, seconds: when, and for how long; a note is where it stands.
    """

    stage: Stage
    start: float
    seconds: float = 0.0

    def to_json(self, fps: float) -> dict[str, Any]:
        """As the protocol writes it, in frames."""
        return {
            "kind": self.stage.kind,
            "written": self.stage.written,
            "name": self.stage.name,
            "start": round(self.start * fps),
            "end": round((self.start + self.seconds) * fps),
        }


@cache
def gesture_of(name: str) -> Gesture:
    """The movement of an action."""
    row: dict[str, Any] = dict(action_table()[name])
    low, high = row["seconds"]
    if cycles := row.get("cycles"):  # so many in its length
        row["beat_hz"] = [cycles / high, cycles / low]
    return Gesture.from_row(row)


def natural_seconds(action: Action, energy: float = 1.0) -> float:
    """How long an action takes on average; 0 for one that a face cannot play."""
    if action.name is None:
        return 0.0
    low, high = gesture_of(action.name).seconds
    return 0.5 * (low + high) / (action.pace * energy**0.3)


def seconds_apart(stage: Sequence[Stage], energy: float = 1.0) -> float:
    """For how long the words wait for what is done at one place."""
    return sum(
        natural_seconds(one.action, energy) * float(action_table()[one.action.name]["apart"])
        for one in stage
        if one.action is not None and one.action.name is not None
    )


def placed_between(stage: Sequence[Stage], start: float, end: float, energy: float = 1.0) -> Iterator[Placed]:
    """What is done one after the other between a word that ends at ``start`` and one that begins at ``end``, seconds.

    What needs voice or mouth keeps to the pause; the rest goes on over the words. Before the first word ``start`` is 0.
    """
    alone = [one for one in stage if one.action is not None and one.action.name is not None]
    wanted = seconds_apart(stage, energy)
    begin = start + (_AFTER if start > 0.0 else _FIRST)
    room = max(end - begin - 0.05, 0.25)
    # In a pause that is too short, as in a recording, everything is done faster.
    faster = min(room / wanted, 1.0) if wanted else 1.0
    for one in stage:
        if one not in alone or one.action is None or one.action.name is None:
            yield Placed(one, begin)
            continue
        seconds, apart = natural_seconds(one.action, energy), float(action_table()[one.action.name]["apart"])
        if apart >= _APART:
            seconds *= faster
            yield Placed(one, begin, seconds)
            begin += seconds * (1.0 - _OVERLAP if one is not alone[-1] else 1.0)
        else:
            yield Placed(one, min(begin, max(end - _AHEAD, begin)), seconds)
            begin += seconds * (apart * faster if one is alone[-1] else 1.0 - _OVERLAP)


def within(placed: Sequence[Placed], seconds: float) -> tuple[Placed, ...]:
    """The same in a take of so many seconds: what would end after it is over before."""
    last = seconds - 0.1
    kept = (replace(one, start=min(one.start, max(last - 0.2, 0.0))) for one in placed)
    return tuple(replace(one, seconds=min(one.seconds, max(last - one.start, 0.0))) for one in kept)


def variation(seed: TakeSeed, origin: Origin, placed: Sequence[Placed], fps: float) -> Floats:
    """What a take does differently with each of its actions, standard normal, (n, 4); made as the take was made."""

    def own(number: int) -> Floats:
        return TakeSeed(number, seed.line).rng(STREAM_STAGE).standard_normal((len(placed), 4))

    def near(first: Floats, then: Floats, amount: float) -> Floats:
        return np.asarray(np.sqrt(1 - amount**2) * first + amount * then)

    def begun(first: Floats, then: Floats, frame: int) -> Floats:
        before = np.array([one.start * fps < frame for one in placed], bool)
        return np.where(before[:, None], first, then)

    return inherited(seed.seed, origin, own, near, begun)


def act(
    frames: npt.NDArray[np.float32], placed: Sequence[Placed], draws: Floats, space: Space, *, strength: float = 1.0
) -> npt.NDArray[np.float32]:
    """Frames (T, 55) with what is done beside the words; those in which nothing is done stay as they are.

    Args:
        frames: a performance in the space arkit55.
        placed: what is done when.
        draws: of each of them, from `variation`, (n, 4).
        space: of the frames.
        strength: size of all of it, 1 natural.
    """
    done = [(one, row) for one, row in zip(placed, draws, strict=True) if one.seconds > 0.0 and one.stage.action]
    if not done or space is not ARKIT55:
        return frames
    t = np.arange(len(frames)) / space.fps
    added = _Added(len(frames))
    for one, row in done:
        action = one.stage.action
        if action is None or action.name is None:
            continue
        gesture = gesture_of(action.name)
        size = strength * action.size * float(np.exp(_SIZE * np.clip(row[0], -2, 2)))
        # Later by as much as it is shorter, so that it stays within its time.
        seconds = one.seconds * float(np.exp(-_LENGTH * abs(np.clip(row[1], -2, 2))))
        start = one.start + min(_BEGIN * abs(float(np.clip(row[2], -2, 2))), one.seconds - seconds)
        low, high = gesture.beat_hz
        hz = low + (high - low) * float(np.clip(0.5 + 0.25 * row[1], 0.0, 1.0))
        side = 1.0 if row[3] >= 0.0 else -1.0
        motion = gesture.motion(t, start, seconds, side, size, hz * (one.seconds / seconds) * action.pace)
        holds = bool(action_table()[action.name].get("holds_gaze", False))
        span = (minimum_jerk((t - start) / 0.15) - minimum_jerk((t - start - seconds + 0.25) / 0.25)).clip(0.0)
        added.take(motion, side, size, span if holds else np.zeros_like(t))
    return added.over(frames, space)


class _Added:
    """What all actions of a take do to a face."""

    def __init__(self, count: int) -> None:
        self.shapes = np.zeros((count, ARKIT55.size))
        self.head = np.zeros((count, 3))
        self.gaze = np.zeros((count, 2))
        self.lids = np.zeros((count, 2))
        self.open = np.ones((count, 2))
        #: How much of the decoder's own gaze is gone, 0..1.
        self.taken = np.zeros(count)

    def take(self, motion: Motion, side: float, size: float, span: Floats) -> None:
        """Add the motion of one action."""
        self.taken = np.maximum(self.taken, span)
        aimed = np.zeros(len(self.taken))
        for channel, curve in motion.items():
            if channel in ("headPitch", "headYaw", "headRoll"):
                self.head[:, ("headPitch", "headYaw", "headRoll").index(channel)] += curve
            elif channel in ("gazePitch", "gazeYaw"):
                # However small, a look goes where it goes.
                self.gaze[:, int(channel == "gazeYaw")] += curve / size
                aimed = np.maximum(aimed, np.abs(curve) / max(float(np.abs(curve).max()), 1e-6))
            elif channel.startswith("eyeBlink"):
                self._close(channel, curve, side, size)
            else:
                for column in _columns(channel, side):
                    self.shapes[:, column] = 1.0 - (1.0 - self.shapes[:, column]) * (1.0 - np.clip(curve, 0.0, 1.0))
        self.taken = np.maximum(self.taken, np.clip(2.0 * aimed, 0.0, 1.0))

    def _close(self, channel: str, curve: Floats, side: float, size: float) -> None:
        lid = np.clip(curve / min(size, 1.0), 0.0, 1.0)  # a closed eye is closed, however small the rest
        for eye, column in enumerate(_LIDS):
            if column in _columns(channel, side):
                self.lids[:, eye] = np.maximum(self.lids[:, eye], lid)
            else:  # a wink is no blink
                self.open[:, eye] *= 1.0 - 0.9 * lid

    def over(self, frames: npt.NDArray[np.float32], space: Space) -> npt.NDArray[np.float32]:
        """The face (T, 55) with all of it."""
        every = np.concatenate([self.shapes, self.head, self.gaze, self.lids, self.taken[:, None]], axis=1)
        rows = np.flatnonzero(np.abs(every).max(1) > 1e-6)
        result = frames.copy()
        face, shapes = frames[rows].astype(np.float64), self.shapes[rows]
        for channel, other in _opposed():
            face[:, other] *= 1.0 - shapes[:, channel]
        face += shapes * (1.0 - face)
        face[:, _LIDS] = np.maximum(face[:, _LIDS] * self.open[rows], self.lids[rows])
        self._look(face, rows)
        face[:, _HEAD] += self.head[rows]
        result[rows] = np.clip(face, space.lower, space.upper)
        return result

    def _look(self, face: Floats, rows: npt.NDArray[np.int64]) -> None:
        """Eyes: the decoder's gaze as far as it is left, what is looked at, and what the head's turn takes back."""
        left = 1.0 - self.taken[rows]
        turned = [self.gaze[rows, axis] - _STEADY * self.head[rows, axis] for axis in (0, 1)]
        for down, up, leftward, rightward in _EYES:
            for axis, (plus, minus) in enumerate(((down, up), (leftward, rightward))):
                angle = left * (face[:, plus] - face[:, minus]) + turned[axis] / _EYE_RANGE
                angle = np.where(
                    np.abs(turned[axis]) + self.taken[rows] > 0.0, np.clip(angle, -_EYE_MOST, _EYE_MOST), angle
                )
                face[:, plus], face[:, minus] = np.maximum(angle, 0.0), np.maximum(-angle, 0.0)


def _columns(channel: str, side: float) -> tuple[int, ...]:
    """Columns of a channel; "+" is the side that leads, "-" the other one."""
    if channel[-1] in "+-":
        leads = (side > 0) == (channel[-1] == "+")
        return columns(channel[:-1] + ("Left" if leads else "Right"))
    return columns(channel)


@cache
def _opposed() -> tuple[tuple[int, int], ...]:
    return tuple(pair for one, other in opposites().items() for pair in _pairs(columns(one), columns(other)))


def _pairs(one: tuple[int, ...], other: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    if len(one) == len(other):
        yield from zip(one, other, strict=True)
    else:
        yield from ((a, b) for a in one for b in other)
