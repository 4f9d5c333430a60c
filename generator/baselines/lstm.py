# SPDX-License-Identifier: GPL-3.0-or-later
"""The deterministic baseline: an LSTM that reads the line and the previous frame and regresses the next one.

Trained with the squared error, so it learns the mean of what a line could look like: the yardstick for what a
latent variable brings. Every take of a line is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..corpus.datasets import Performances
from ..model.layers import Attention, fourier
from ..performing.draws import TakeSeed
from ..shared.spaces import Space
from ..training.batches import channel_scale
from ..training.recipe import Terms
from .data import DIRECTION, BaselineBatch, Length, LineMemory, Lines
from .model import BaselineModel
from .recipe import BaselineRecipe, BaselineSettings

_TIME_BANDS = 4


@dataclass(frozen=True)
class LstmSettings(BaselineSettings):
    """Settings of `LstmRecipe`.

    Attributes:
        width: of the LSTM's state.
        layers: LSTM layers.
        heads: of the attention over the text.
        input_noise: strength of the noise on the frames it reads while training, in standard deviations of a channel:
            without it the network copies the previous frame and stands still when it runs freely.
        length_weight: of the length's error in the objective.
    """

    width: int = 256
    layers: int = 1
    heads: int = 4
    input_noise: float = 0.5
    length_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least_one("layers")
        self.require_heads_fit(self.width, self.heads)


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


class LstmObjective(nn.Module):
    """`LstmRegressor` with its objective."""

    def __init__(self, model: LstmRegressor, settings: LstmSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings

    def forward(self, batch: BaselineBatch, step: int) -> Terms:
        """Means over clips: ``reconstruction``, per value and in units of `scale`; ``length``, squared log seconds."""
        model, settings = self.model, self.settings
        target = batch.frames / model.scale
        previous = F.pad(target[:, :-1], (0, 0, 1, 0))
        if self.training:
            strength = torch.rand_like(target[:, :1, :1]) * settings.input_noise
            previous = previous + strength * torch.randn_like(previous)
        error = (model(previous, batch.lengths, batch.lines) - target).square().mean(-1)
        reconstruction = ((error * batch.mask()).sum(1) / batch.lengths).mean()
        length = model.length.loss(batch.lines, batch.lengths)
        total = reconstruction + settings.length_weight * length
        return {"total": total, "reconstruction": reconstruction, "length": length}


class LstmRecipe(BaselineRecipe):
    """How the LSTM regressor is trained."""

    name = "lstm"
    settings_type = LstmSettings

    def build(self, train: Performances) -> nn.Module:
        """See `BaselineRecipe.build`."""
        s = self._settings
        assert isinstance(s, LstmSettings)
        model = LstmRegressor(train.space, self.encoder.width, s.width, s.layers, s.heads, s.max_frames)
        model.scale.copy_(channel_scale(train))
        return LstmObjective(model, s)
