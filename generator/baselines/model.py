# SPDX-License-Identifier: GPL-3.0-or-later
"""What every baseline is: a model that performs lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from ..performing.draws import TakeSeed
from ..shared.spaces import Space
from .data import Lines


class BaselineModel(nn.Module, ABC):
    """A model that performs lines.

    Attributes:
        kind: of the baseline, in its checkpoint.
        title: its row in a report.
        scale: divides every channel, (C,).
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    scale: Tensor
    space: Space

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Arguments that build an empty model of this shape, JSON-able."""

    @abstractmethod
    def perform(self, lines: Lines, seeds: list[TakeSeed]) -> list[Tensor]:
        """One take per line, (T_i, C) in the space's units; what is random comes from the line's own seed only."""
