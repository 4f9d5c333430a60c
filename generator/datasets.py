# SPDX-License-Identifier: GPL-3.0-or-later
"""What trains or judges a model reads: lines and how they were performed. Where from: `generator.data_source`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .emotions import basic_weights
from .shared.spaces import Space


@dataclass(frozen=True)
class Direction:
    """What a performance shows beside its words.

    Attributes:
        weights: over `EMOTIONS`, (14,), sum 1.
        intensity: about 0..1.5; 1 is natural.
        towards: weights of the emotion that the performance moves to over the line, (14,); None where it stays.
        energy: 0.4..1.6, tempo and size of all movement; 1 is natural.
        role: "speaking", "listening" to somebody else who says the line, or "silent".
        start: the face that the performance begins from, float32 (C,); None or zeros at rest.
        ending: "rest", "trace" or "held"; see `generator.corpus.direction.Direction`.
        timeline: when what is said, the partner's where it listens: "words", "phrases", "accents" and "events" in
            seconds (`generator.corpus.build.compact`); None in silence, or where the data set does not say.
        turn: seconds at which it is halfway to ``towards``; None where it stays, or where nobody knows when.
    """

    weights: npt.NDArray[np.float32]
    intensity: float
    towards: npt.NDArray[np.float32] | None = None
    energy: float = 1.0
    role: str = "speaking"
    turn: float | None = None
    start: npt.NDArray[np.float32] | None = None
    ending: str = "rest"
    timeline: Mapping[str, Any] | None = None

    @property
    def speaking(self) -> bool:
        """Whether the performer says the line."""
        return self.role == "speaking"

    @property
    def basic(self) -> npt.NDArray[np.float32]:
        """``weights`` as the nearest blend of `BASIC_EMOTIONS`, (7,)."""
        return basic_weights(self.weights)


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

    def direction(self, index: int) -> Direction | None:
        """The emotion it shows; None where the data set does not say."""
        ...
