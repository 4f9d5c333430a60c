# SPDX-License-Identifier: GPL-3.0-or-later
"""Direction: what an actor is told besides the line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..direction import ENDINGS, ROLES, Ending, Role
from ..direction.emotions import EMOTIONS, emotion_vector, full_vector
from ..shared.spaces import ARKIT55

MAX_INTENSITY = 1.5
MIN_ENERGY, MAX_ENERGY = 0.4, 1.6


@dataclass(frozen=True)
class ActingDirection:
    """How a line is to be acted.

    Attributes:
        feelings: weights over `EMOTIONS` (14,), not negative, not all zero; normalised here.
        towards: weights of a second emotion that the performance moves to over the line; None stays.
        intensity: 0..1.5, how strongly it is felt, 1 natural.
        energy: 0.4..1.6, tempo and size of movement whatever is felt, 1 natural.
        role: "speaking" says the line, "listening" hears somebody else say it, "silent" thinks it or holds.
        seconds: length wanted, clipped to 1..10; None lets the line decide.
        start: the face (55,) that it begins from, a performance without words; None begins at rest.
        ending: "rest" returns to the standard face, "trace" sinks to a third of the feeling, "held" keeps it.

    Raises:
        ValueError: a value is out of its range.
    """

    feelings: tuple[float, ...]
    towards: tuple[float, ...] | None = None
    intensity: float = 1.0
    energy: float = 1.0
    role: Role = "speaking"
    seconds: float | None = None
    start: tuple[float, ...] | None = None
    ending: Ending = "rest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "feelings", _normalised("feelings", self.feelings))
        if self.towards is not None:
            object.__setattr__(self, "towards", _normalised("towards", self.towards))
        if not 0.0 <= self.intensity <= MAX_INTENSITY:
            raise ValueError(f"intensity must lie between 0 and {MAX_INTENSITY}, not {self.intensity!r}")
        if not MIN_ENERGY <= self.energy <= MAX_ENERGY:
            raise ValueError(f"energy must lie between {MIN_ENERGY} and {MAX_ENERGY}, not {self.energy!r}")
        if self.role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}, not {self.role!r}")
        if self.ending not in ENDINGS:
            raise ValueError(f"ending must be one of {', '.join(ENDINGS)}, not {self.ending!r}")
        if self.start is not None:
            start = tuple(float(value) for value in self.start)
            if len(start) != ARKIT55.size or not all(map(math.isfinite, start)):
                raise ValueError(f"start must be a face of {ARKIT55.size} finite numbers, not {len(start)}")
            object.__setattr__(self, "start", start)

    @property
    def speaking(self) -> bool:
        """Whether the actor says the line."""
        return self.role == "speaking"

    @classmethod
    def named(
        cls,
        emotion: str,
        towards: str | None = None,
        intensity: float = 1.0,
        energy: float = 1.0,
        role: Role = "speaking",
        seconds: float | None = None,
        start: tuple[float, ...] | None = None,
        ending: Ending = "rest",
    ) -> ActingDirection:
        """A direction by names of `generator.direction.emotions.EMOTION_NAMES`; KeyError for another name."""
        goal = None if towards is None else tuple(float(w) for w in emotion_vector(towards))
        felt = tuple(float(w) for w in emotion_vector(emotion))
        return cls(felt, goal, intensity, energy, role, seconds, start, ending)


def _normalised(name: str, weights: tuple[float, ...]) -> tuple[float, ...]:
    vector = [float(w) for w in full_vector(weights)]
    total = sum(vector)
    if any(w < 0.0 or not math.isfinite(w) for w in vector) or not total > 0.0:
        raise ValueError(f"{name} must be weights >= 0 over {len(EMOTIONS)} emotions with a positive sum")
    return tuple(w / total for w in vector)
