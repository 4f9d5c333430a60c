# SPDX-License-Identifier: GPL-3.0-or-later
"""A small head on the text features: which emotion the words carry."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .engine.heads import EmotionHead as EmotionHead

#: The only head of checkpoints of schema 1, and the one of a model whose head is not fitted yet.
MEAN_HEAD: Final = EmotionHead("mean", 128, 0, 0.2)


class EmotionClassifier(nn.Module):
    """Which emotions the words of a line carry, as calibrated probabilities over K emotions.

    Args:
        text_width: W of the text features.
        emotions: K.
        shape: of the head.
    """

    def __init__(self, text_width: int, emotions: int, shape: EmotionHead = MEAN_HEAD) -> None:
        super().__init__()
        self.shape = shape
        self.hidden = nn.Linear(text_width * (1 + shape.queries), shape.width)
        self.output = nn.Linear(shape.width, emotions)
        if shape.queries:
            self.queries = nn.Parameter(torch.randn(shape.queries, text_width) * text_width**-0.5)
        #: Divides the logits; fitted on held-out lines after training (Guo et al. 2017, temperature scaling).
        self.calibration: Tensor
        self.register_buffer("calibration", torch.ones(()))

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        """Calibrated logits (B, K) from text features (B, S, text_width) and a mask of real tokens (B, S)."""
        weights = mask.unsqueeze(-1).to(text.dtype)
        read = (text * weights).sum(1) / weights.sum(1)  # (B, W)
        if self.shape.queries:
            scores = (text @ self.queries.T).masked_fill(~mask.unsqueeze(-1), -torch.inf)  # (B, S, Q)
            attended = scores.softmax(1).transpose(1, 2) @ text  # (B, Q, W)
            read = torch.cat([read, attended.flatten(1)], -1)
        hidden = F.dropout(F.gelu(self.hidden(read)), self.shape.dropout, self.training)
        out: Tensor = self.output(hidden)
        return out / self.calibration
