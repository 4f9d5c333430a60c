# SPDX-License-Identifier: GPL-3.0-or-later
"""What trains or judges a model reads: lines and how they were performed.

Where from: `generator.training.data_source`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from ..engine.moments import Moments
from ..shared.spaces import Space

#: Performances whose frames go into `data_identity`.
_SAMPLED: Final = 256


@dataclass(frozen=True)
class Shown:
    """What a performance shows beside its words.

    Attributes:
        weights: over `EMOTIONS`, (14,), sum 1.
        intensity: about 0..1.5; 1 is natural.
        towards: weights of the emotion that the performance moves to over the line, (14,); None where it stays.
        energy: 0.4..1.6, tempo and size of all movement; 1 is natural.
        turn: seconds at which it is halfway to ``towards``; None where it stays, or where nobody knows when.
        role: "speaking" the line, "listening" to it, or "silent".
        ending: "rest", "trace" or "held": what is left of it in the last frame.
        start: the face before its first frame, (C,); None for the standard face.
        moments: what is said when, by the face or by who it listens to; None where nobody knows.
    """

    weights: npt.NDArray[np.float32]
    intensity: float
    towards: npt.NDArray[np.float32] | None = None
    energy: float = 1.0
    turn: float | None = None
    role: str = "speaking"
    ending: str = "rest"
    start: npt.NDArray[np.float32] | None = None
    moments: Moments | None = None

    @property
    def speaking(self) -> bool:
        """Whether it says the line."""
        return self.role == "speaking"


class Performances(Protocol):
    """One split of a data set: lines and how they were performed."""

    @property
    def space(self) -> Space:
        """What the channels of its frames mean."""
        ...

    def __len__(self) -> int:
        """Number of performances."""
        ...

    def text(self, index: int) -> str:
        """The line."""
        ...

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """The performance, (T, C)."""
        ...

    def length(self, index: int) -> int:
        """Its number of frames T."""
        ...

    def direction(self, index: int) -> Shown | None:
        """The emotion it shows; None where the data set does not say."""
        ...


def data_identity(performances: Performances) -> str:
    """SHA-256 of a split: all lines, lengths and directions, and the frames of `_SAMPLED` performances spread over it.

    Frames are sampled because hashing every frame of a large set takes longer than judging a few lines.
    """
    digest = hashlib.sha256(performances.space.name.encode())
    sampled = set(np.linspace(0, len(performances) - 1, _SAMPLED).astype(int).tolist())
    for index in range(len(performances)):
        digest.update(json.dumps(_question(performances, index)).encode())
        if index in sampled:
            digest.update(performances.frames(index).tobytes())
    return digest.hexdigest()


def _question(performances: Performances, index: int) -> list[Any]:
    direction = performances.direction(index)
    shown = None if direction is None else [*direction.weights.tolist(), direction.intensity]
    return [performances.text(index), performances.length(index), shown]
