# SPDX-License-Identifier: GPL-3.0-or-later
"""The deterministic baseline: an LSTM that reads the line and the previous frame and regresses the next one.

Trained with the squared error, so it learns the mean of what a line could look like: the yardstick for what a
latent variable brings. Every take of a line is the same.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.layers import Attention, fourier
from ..performing.draws import TakeSeed
from ..shared.spaces import Space
from .data import DIRECTION, Length, LineMemory, Lines
from .model import BaselineModel

_TIME_BANDS = 4


class LstmRegressor(BaselineModel):
    """The model. Frames inside are divided by ``scale``."""

    kind: ClassVar[str] = "lstm"
    title: ClassVar[str] = "LSTM regressor"

    def __init__(self, space: Space, text_width: int, width: int, layers: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.space = space
        self._config = {
            "text_width": text_width, "width": width, "layers": layers, "heads": heads, "max_frames": max_frames,
        }  # fmt: skip
        self.max_frames = max_frames
        self.register_buffer("scale", torch.ones(space.size))
        self.memory = LineMemory(text_width, width)
        self.line = nn.Linear(text_width + DIRECTION, width)
        self.frame = nn.Linear(space.size + 2 * _TIME_BANDS + 1, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.attention = Attention(width, heads)
        self.output = nn.Linear(2 * width, space.size)
        self.length = Length(text_width, space.fps)

    def config(self) -> dict[str, Any]:
        """See `BaselineModel.config`."""
        return dict(self._config)

    def forward(self, previous: Tensor, lengths: Tensor, lines: Lines) -> Tensor:
        """Teacher forcing.

        Args:
            previous: the frame before each frame, scaled, (B, T, C).
            lengths: frames of each clip, (B,).
            lines: what is said.

        Returns:
            The frames, scaled, (B, T, C).
        """
        steps = torch.arange(previous.shape[1], device=previous.device)
        hidden, _ = self.lstm(self._inputs(previous, steps[None] / lengths[:, None], lines))
        return self._frames(hidden, *self.memory(lines))

    @torch.inference_mode()
    def perform(self, lines: Lines, seeds: list[TakeSeed]) -> list[Tensor]:
        """See `BaselineModel.perform`; the seeds change nothing."""
        lengths = self.length.frames(lines, self.max_frames)
        memory, mask = self.memory(lines)
        total = torch.tensor(lengths, device=self.scale.device)
        frame = torch.zeros(len(lengths), 1, self.space.size, device=self.scale.device)
        state: tuple[Tensor, Tensor] | None = None
        lower, upper = (torch.from_numpy(v).to(self.scale) / self.scale for v in (self.space.lower, self.space.upper))
        written = []
        for step in range(max(lengths)):
            hidden, state = self.lstm(self._inputs(frame, (step / total)[:, None], lines), state)
            frame = self._frames(hidden, memory, mask).clamp(lower, upper)
            written.append(frame)
        frames = torch.cat(written, 1) * self.scale
        return [frames[row, :length] for row, length in enumerate(lengths)]

    def _inputs(self, previous: Tensor, progress: Tensor, lines: Lines) -> Tensor:
        said = self.line(torch.cat([lines.pooled(), lines.direction], -1))[:, None]
        return F.gelu(self.frame(torch.cat([previous, fourier(progress, _TIME_BANDS)], -1)) + said)

    def _frames(self, hidden: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.output(torch.cat([hidden, self.attention(hidden, memory, mask=mask)], -1))
        return out
