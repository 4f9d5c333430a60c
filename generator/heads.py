# SPDX-License-Identifier: GPL-3.0-or-later
"""Two small heads on the text features: how long a line takes, and which emotion its words carry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_VOWELS: Final = re.compile(r"[aeiouy]+", re.IGNORECASE)
#: Width of `line_statistics`.
STATISTICS: Final = 7


def line_statistics(text: str) -> list[float]:
    """Numbers that speaking time depends on: characters, words, syllables (vowel groups), pauses, marks; scaled."""
    words = [w for w in re.split(r"\s+", text) if any(c.isalnum() for c in w)]
    syllables = sum(max(1, len(_VOWELS.findall(w))) for w in words)
    return [
        len(text) / 50,
        len(words) / 10,
        syllables / 15,
        (syllables + 1) ** 0.5 / 4,
        sum(text.count(c) for c in ",;:-—") / 3,
        sum(text.count(c) for c in ".?!") / 3,
        float(text.count("...") + text.count("…")),
    ]


@dataclass(frozen=True)
class LengthDistribution:
    """Log-normal distribution of a performance's length: ``mean`` and ``deviation`` of log seconds, (B,)."""

    mean: Tensor
    deviation: Tensor

    def sample(self, noise: Tensor, temperature: float) -> Tensor:
        """Seconds for standard normal ``noise`` (B,)."""
        return (self.mean + temperature * noise * self.deviation).exp()


class LengthPredictor(nn.Module):
    """How long a line takes, from its statistics, its text features and what is asked for.

    Args:
        text_width: W of the text features.
        asked: width of what is asked for (`length_features`).
    """

    def __init__(self, text_width: int, asked: int) -> None:
        super().__init__()
        self.text = nn.Linear(text_width, 16)
        self.hidden = nn.Linear(16 + STATISTICS + asked, 64)
        self.output = nn.Linear(64, 2)

    def forward(self, pooled: Tensor, statistics: Tensor, asked: Tensor) -> LengthDistribution:
        """``pooled`` (B, text_width), ``statistics`` (B, 7), ``asked`` (B, asked)."""
        features = torch.cat([self.text(pooled), statistics, asked], -1)
        mean, log_deviation = self.output(F.gelu(self.hidden(features))).unbind(-1)
        return LengthDistribution(mean, log_deviation.clamp(-4.0, 0.0).exp())


class EmotionClassifier(nn.Module):
    """Which emotion the words of a line carry, as calibrated probabilities over K emotions."""

    def __init__(self, text_width: int, emotions: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(text_width, 128)
        self.output = nn.Linear(128, emotions)
        #: Divides the logits; fitted on held-out lines after training (Guo et al. 2017, temperature scaling).
        self.calibration: Tensor
        self.register_buffer("calibration", torch.ones(()))

    def forward(self, pooled: Tensor) -> Tensor:
        """Calibrated logits (B, K) from mean-pooled text features (B, text_width)."""
        out: Tensor = self.output(F.dropout(F.gelu(self.hidden(pooled)), 0.2, self.training))
        return out / self.calibration
