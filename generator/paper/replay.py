# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding steps recorded once and replayed: on a GPU a step is some seventy small kernels, and starting them one by
one from Python takes longer than they do.

A recording has fixed addresses and shapes, so its inputs are copied into place, its position is a tensor, and
attention looks at a round number of positions of which the later ones are masked. On CUDA a recording is a CUDA graph;
elsewhere it is the function itself, which makes everything but the graph testable on a CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

#: A step over (frame (B, E), noise (2 L, B, D), position (1,), span), see `Replay`.
Step = Callable[[Tensor, Tensor, Tensor, int], Tensor]
#: Computes again from the same inputs and returns the same output tensor.
Recording = Callable[[], Tensor]

#: Attention looks at a multiple of so many positions: a recording for each.
SPAN: Final = 64

_log = logging.getLogger(__name__)


class Replay:
    """The steps of one batch of clips.

    Args:
        step: computes one position from its inputs; ``span`` is how many positions attention may look at. Its other
            state stays at its addresses.
        frame, noise: inputs of the first step, for their shapes.
        positions: of the whole clip.
    """

    def __init__(self, step: Step, frame: Tensor, noise: Tensor, positions: int) -> None:
        self._step = step
        self._frame, self._noise = torch.empty_like(frame), torch.empty_like(noise)
        self._position = torch.zeros(1, dtype=torch.long, device=frame.device)
        self._positions = positions
        self._recordings: dict[int, Recording] = {}

    def __call__(self, frame: Tensor, noise: Tensor, position: int) -> Tensor:
        """The frame that ``position`` predicts, (B, E)."""
        self._frame.copy_(frame)
        self._noise.copy_(noise)
        self._position.fill_(position)
        span = min(-(-(position + 1) // SPAN) * SPAN, self._positions)
        if span not in self._recordings:
            self._recordings[span] = self._recorded(span)
        return self._recordings[span]().clone()  # the next replay writes over it

    def _recorded(self, span: int) -> Recording:
        def run() -> Tensor:
            return self._step(self._frame, self._noise, self._position, span)

        record = RECORDERS.get(self._frame.device.type)
        if record is None:
            return run
        try:
            return record(run)
        except RuntimeError as error:
            _log.warning("A decoding step could not be recorded (%s); steps run one by one.", error)
            return run


def cuda_graph(run: Recording) -> Recording:
    """``run`` as a CUDA graph. Recording executes nothing.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        graph.capture_begin()
        try:
            output = run()
        finally:
            graph.capture_end()
    torch.cuda.current_stream().wait_stream(side)

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


#: How a type of device records; the others run the function.
RECORDERS: dict[str, Callable[[Recording], Recording]] = {"cuda": cuda_graph}
