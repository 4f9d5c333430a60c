# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects: what a channel does to a face, and what is to be thought of it (numpy only).

Lengths are in distances between the eyes, axes are FLAME's.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from ..arrays import Floats
from ..sentences import told
from .direct import EYE_TURNS

#: RIGHT: the right part moves the right way. WEAK: so it does, but hardly, or not as far as another one needs. PART:
#: the lids of a look move and its eye does not. STILL: nothing moves. WRONG: something else does. DOUBT: something like
#: it does, or more. UNEVEN: it is no mirror image of its other side, or of itself in the middle; or it is one at the
#: side. FAR: it goes much farther than on other faces. APART: another object, or an eye, does not go with the skin.
#: UNKNOWN: nobody can tell.
Kind = Literal["RIGHT", "WEAK", "PART", "STILL", "WRONG", "DOUBT", "UNEVEN", "FAR", "APART", "UNKNOWN"]
#: Less than this is no movement: a quarter of a millimetre on a face of ordinary size.
STILL: Final = 0.004
#: What moves all of a mouth or jaw to a side.
TO_A_SIDE: Final = frozenset({"jawLeft", "jawRight", "mouthLeft", "mouthRight"})


@dataclass(frozen=True)
class Effect:
    """What one channel at full strength does.

    Attributes:
        reach: how far what moves most goes.
        skin: how the template's places move, shape (P, 3); None where they were not found.
        turns: part (``left_eye``, ``right_eye``, ``head``) -> rotation vector, radians; without what was not found.
        place: the middle of what moves, from between the eyes.
        way: the mean displacement there.
        mirrored: ``skin`` as a mirror between the eyes shows it: how the other side of each place moves.
        led: the shape keys that drivers move with it.
        apart: the other objects that do not go with the skin beside them.
        shifts: eye -> how far its middle goes.
    """

    reach: float
    skin: Floats | None = None
    turns: MappingABC[str, Floats] = field(default_factory=dict)
    place: Floats = field(default_factory=lambda: np.zeros(3))
    way: Floats = field(default_factory=lambda: np.zeros(3))
    mirrored: Floats | None = None
    led: frozenset[str] = frozenset()
    apart: tuple[str, ...] = ()
    shifts: MappingABC[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Whether a channel does what its name says.

    Attributes:
        kind: see `Kind`.
        seems: what it does instead, or as well: a channel; ``-CHANNEL`` for the opposite of one; "" where nobody knows.
            Where it is APART, the object, or the role of the eye, that is.
        swapped: whether that channel does what this one should do.
        reach: how far what moves most goes, in eye distances.
        alike: cosine with what it should do; NaN where it was not compared.
    """

    kind: Kind
    seems: str = ""
    swapped: bool = False
    reach: float = 0.0
    alike: float = float("nan")

    @property
    def holds(self) -> bool:
        """Whether the channel counts as found."""
        return self.kind not in ("STILL", "WRONG")


def other_side(channel: str) -> str:
    """The same channel of the other side; itself without one."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if channel.endswith(side):
            return channel.removesuffix(side) + other
    return channel


def sentence(channel: str, verdict: Verdict) -> str:
    """What is wrong with a channel, for a list; "" where nothing is."""
    if verdict.kind in ("RIGHT", "UNKNOWN"):
        return ""
    if verdict.kind == "STILL":
        return told("{channel} moves nothing.", channel=channel)
    if verdict.kind == "WEAK" and verdict.seems:
        return told("{channel} closes little of what {seems} opens.", channel=channel, seems=verdict.seems)
    if verdict.kind == "WEAK":
        return told("{channel} hardly moves anything.", channel=channel)
    if verdict.kind == "FAR":
        return told("{channel} goes much farther than on other faces.", channel=channel)
    if verdict.kind == "APART" and verdict.seems in EYE_TURNS:
        return told("{channel} moves an eye out of its place.", channel=channel)
    if verdict.kind == "APART":
        return told("{channel} does not move {name} as it moves the skin there.", channel=channel, name=verdict.seems)
    if verdict.kind == "PART":
        return told("{channel} moves the lids, and the eye does not turn.", channel=channel)
    if verdict.kind == "UNEVEN":
        if verdict.seems == channel and other_side(channel) != channel and channel not in TO_A_SIDE:
            return told("{channel} moves both sides of the face.", channel=channel)
        if verdict.seems == channel:
            return told("{channel} moves one side of the face more than the other.", channel=channel)
        one, other = sorted((channel, verdict.seems))  # both say it in the same words
        return told("{channel} does not mirror {other}.", channel=one, other=other)
    if verdict.kind == "DOUBT" and verdict.seems and not verdict.seems.startswith("-"):
        return told("{channel} moves what {seems} should move as well.", channel=channel, seems=verdict.seems)
    if not verdict.seems:
        return told("{channel} moves something else than its name says.", channel=channel)
    if verdict.seems.startswith("-"):
        if verdict.seems[1:] == channel:
            return told("{channel} goes the other way than its name says.", channel=channel)
        return told("{channel} does the opposite of {seems}.", channel=channel, seems=verdict.seems[1:])
    if verdict.swapped:
        one, other = sorted((channel, verdict.seems))
        return told("{channel} and {seems} are swapped.", channel=one, seems=other)
    if verdict.seems == other_side(channel):
        return told("{channel} moves the other side.", channel=channel)
    return told("{channel} moves like {seems}.", channel=channel, seems=verdict.seems)
