# SPDX-License-Identifier: GPL-3.0-or-later
"""What trains or judges a model reads: lines and how they were performed. Where from: `generator.data_source`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .spaces import Space


@dataclass(frozen=True)
class Direction:
    """What a performance shows beside its words: weights over `BASIC_EMOTIONS` (7,) and an intensity, about 0..1.5."""

    weights: npt.NDArray[np.float32]
    intensity: float


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
