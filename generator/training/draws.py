# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise of a batch that is computed in parts: every part draws what the whole batch would have drawn for its clips.

So gradient accumulation and several processes give the gradient of the whole batch, not one of another draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWS: Final[Mapping[Any, Callable[..., Tensor]]] = {torch.randn_like: torch.randn, torch.rand_like: torch.rand}
#: Moves the seed of a part away from those of the next steps.
_PRIME: Final = 15_485_863


class StepDraws:
    """The random numbers of one training step, or of one evaluation: a function of ``seed`` alone."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        torch.manual_seed(seed)
        self._generator = torch.Generator(device).manual_seed(seed)
        self._batch = self._generator.get_state()

    def of(self, rows: slice, size: int) -> AbstractContextManager[Any]:
        """Enter it to compute ``rows`` of a batch of ``size`` clips."""
        if rows == slice(0, size):
            return nullcontext()  # the whole batch draws from torch's generator
        self._generator.set_state(self._batch)
        # For dropout, whose masks must not repeat. The CPU's generator reads the lowest 32 bits of a seed.
        torch.manual_seed(self._seed + _PRIME * (rows.start + 1))
        return RowDraws(self._generator, rows, size)

    def next_batch(self) -> None:
        """All parts of a batch have been computed; the next batch's draws follow on."""
        self._batch = self._generator.get_state()


class RowDraws(TorchFunctionMode):
    """While entered, ``randn_like`` and ``rand_like`` of a tensor of ``rows`` clips are those rows of a whole draw.

    Dropout is not covered: its masks are drawn inside torch's kernels. They stay independent from part to part.

    Args:
        generator: on the device of the draws; in the same state for every part of a batch.
        rows: the part's clips.
        size: clips in the whole batch.
    """

    def __init__(self, generator: torch.Generator, rows: slice, size: int) -> None:
        super().__init__()
        self._generator, self._rows, self._size = generator, rows, size
        self._count = len(range(*rows.indices(size)))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        draw = _DRAWS.get(func)
        if draw is not None and args and args[0].ndim and len(args[0]) == self._count:
            like: Tensor = args[0]
            shape = (self._size, *like.shape[1:])
            return draw(shape, generator=self._generator, dtype=like.dtype, device=like.device)[self._rows]
        return func(*args, **(kwargs or {}))
