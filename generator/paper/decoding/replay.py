# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding steps recorded once and replayed: a step is some seventy small operations, and starting them one by one
from Python takes long beside what they compute.

What "recorded" means is a `Recorder`'s matter: CUDA graphs on a GPU (here), machine code on a CPU (`compiled`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

import torch
from torch import Tensor

from .state import StepInputs

#: The frame that a position predicts, (B, E).
Step = Callable[[StepInputs], Tensor]
#: The same from the inputs it was recorded with, when attention looks at that many positions.
Recording = Callable[[int], Tensor]

#: CUDA graphs look at a multiple of so many positions: one for each.
SPAN: Final = 64

_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """A way to record steps."""

    def suits(self, rows: int) -> bool:
        """Whether steps of ``rows`` rows are worth recording."""
        ...

    def record(self, step: Step, inputs: StepInputs) -> Recording:
        """``step`` on ``inputs``, whose contents may change but neither addresses nor shapes."""
        ...


class Replay:
    """The steps of one batch of clips, replayed.

    Args:
        inputs: what the step was recorded with; frame, noise and position are written into it.
        recording: of it.
    """

    def __init__(self, inputs: StepInputs, recording: Recording) -> None:
        self._inputs, self._recording = inputs, recording

    def __call__(self, frame: Tensor, noise: Tensor, position: int) -> Tensor:
        """The frame that ``position`` predicts, (B, E)."""
        self._inputs.frame.copy_(frame)
        self._inputs.noise.copy_(noise)
        self._inputs.position.fill_(position)
        return self._recording(position + 1)


class CudaGraphs:
    """Records steps as CUDA graphs."""

    def suits(self, rows: int) -> bool:
        """See `Recorder`: any."""
        return True

    def record(self, step: Step, inputs: StepInputs) -> Recording:
        """See `Recorder`; a graph for every `SPAN` positions, recorded when its turn comes."""
        graphs: dict[int, Callable[[], Tensor]] = {}

        def run(seen: int) -> Tensor:
            span = min(-(-seen // SPAN) * SPAN, len(inputs.reach))
            if span not in graphs:
                graphs[span] = self._recorded(step, replace(inputs, reach=inputs.reach[:span]))
            return graphs[span]().clone()  # the next replay writes over it

        return run

    def _recorded(self, step: Step, inputs: StepInputs) -> Callable[[], Tensor]:
        def run() -> Tensor:
            return step(inputs)

        try:
            # Libraries set themselves up in the first call, which capturing does not allow. Keys and values may be
            # written twice, the frame may not be added twice.
            total = inputs.total.clone()
            run()
            inputs.total.copy_(total)
            return self.capture(run)
        except RuntimeError as error:
            _log.warning("A decoding step could not be recorded (%s); steps run one by one.", error)
            return run

    def capture(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """``run`` as a graph, which writes into the same output every time. Capturing executes nothing.

        Raises:
            RuntimeError: something in it cannot be captured.
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
