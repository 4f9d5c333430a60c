# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches for the baselines, from any data set. Shapes: B clips, T frames, C channels, S text tokens, W their width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..corpus.datasets import Shown
from ..direction.emotions import EMOTIONS
from ..direction.spelling import words_and_syllables
from ..model.layers import fourier
from ..model.text import TextEncoder

#: Width of `Lines.direction`: emotion weights, intensity, and 1 where the data set says what is shown.
DIRECTION: Final = len(EMOTIONS) + 2
#: Width of `Lines.statistics`.
STATISTICS: Final = 7


@dataclass(frozen=True)
class Lines:
    """What a baseline reads of B lines.

    Attributes:
        text: features of the frozen text encoder, (B, S, W).
        text_mask: True where a token is real, (B, S).
        place: relative position of each token in its line, 0..1, (B, S).
        direction: `direction_vector`, (B, DIRECTION).
        statistics: `line_statistics`, (B, STATISTICS).
    """

    text: Tensor
    text_mask: Tensor
    place: Tensor
    direction: Tensor
    statistics: Tensor

    def pooled(self) -> Tensor:
        """Mean of the text over real tokens, (B, W)."""
        weights = self.text_mask.unsqueeze(-1).to(self.text.dtype)
        return (self.text * weights).sum(1) / weights.sum(1)

    @classmethod
    def encode(cls, encoder: TextEncoder, texts: Sequence[str], directions: Sequence[Shown | None]) -> Lines:
        """Lines that are to be performed, on the encoder's device."""
        features = encoder.encode(list(texts))
        direction = torch.from_numpy(np.stack([direction_vector(d) for d in directions]))
        statistics = torch.tensor([line_statistics(text) for text in texts])
        device = encoder.device
        return cls(features.hidden, features.mask, features.position, direction.to(device), statistics.to(device))


@dataclass(frozen=True)
class BaselineBatch:
    """B clips for training.

    Attributes:
        frames: in the space's units; the standard face (zeros) follows a clip's end, (B, T, C).
        lengths: frames of each clip, (B,).
        lines: what was said, and how.
    """

    frames: Tensor
    lengths: Tensor
    lines: Lines

    def mask(self) -> Tensor:
        """1 where a frame belongs to its clip, (B, T)."""
        steps = torch.arange(self.frames.shape[1], device=self.frames.device)
        return (steps < self.lengths[:, None]).to(self.frames.dtype)


def line_statistics(text: str) -> list[float]:
    """What a line's speaking time depends on, each scaled to about 0..2.

    Returns:
        `STATISTICS` numbers: characters, words, syllables (vowel groups) and their root, marks of three kinds.
    """
    words, syllables = words_and_syllables(text)
    return [
        len(text) / 50,
        words / 10,
        syllables / 15,
        (syllables + 1) ** 0.5 / 4,
        sum(text.count(c) for c in ",;:-—") / 3,
        sum(text.count(c) for c in ".?!") / 3,
        float(text.count("...") + text.count("…")),
    ]


def direction_vector(direction: Shown | None) -> npt.NDArray[np.float32]:
    """Emotion weights (14), intensity, 1; all zero for None, which is how a model knows that nothing was said."""
    vector = np.zeros(DIRECTION, np.float32)
    if direction is not None:
        vector[:-2], vector[-2], vector[-1] = direction.weights, direction.intensity, 1.0
    return vector


class LineMemory(nn.Module):
    """Text tokens with their place in the line, and the direction as one more token: what attention looks at."""

    _BANDS: Final = 4

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.text = nn.Linear(text_width, width)
        self.place = nn.Linear(2 * self._BANDS + 1, width)
        self.direction = nn.Linear(DIRECTION, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, lines: Lines) -> tuple[Tensor, Tensor]:
        """Memory (B, S + 1, width) and its mask (B, 1, 1, S + 1), True where attention may look."""
        tokens = self.text(lines.text) + self.place(fourier(lines.place, self._BANDS))
        memory = self.norm(torch.cat([self.direction(lines.direction)[:, None], tokens], 1))
        return memory, F.pad(lines.text_mask, (1, 0), value=True)[:, None, None]


class Length(nn.Module):
    """Frames a line takes: log seconds from its statistics, text and direction, squared error."""

    def __init__(self, text_width: int, fps: float) -> None:
        super().__init__()
        self.fps = fps
        self.text = nn.Linear(text_width, 16)
        self.hidden = nn.Linear(16 + STATISTICS + DIRECTION, 64)
        self.output = nn.Linear(64, 1)

    def forward(self, lines: Lines) -> Tensor:
        """Log seconds, (B,)."""
        features = torch.cat([self.text(lines.pooled()), lines.statistics, lines.direction], -1)
        out: Tensor = self.output(F.gelu(self.hidden(features)))[:, 0]
        return out

    def loss(self, lines: Lines, lengths: Tensor) -> Tensor:
        """Mean over clips of the squared error of log seconds."""
        return (self(lines) - (lengths / self.fps).log()).square().mean()

    def frames(self, lines: Lines, most: int) -> list[int]:
        """Whole frames, 1 to ``most``."""
        frames = (self(lines).exp() * self.fps).round().clamp(1, most)
        return [int(n) for n in frames.tolist()]
