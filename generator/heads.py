# SPDX-License-Identifier: GPL-3.0-or-later
"""A small head on the text features: which emotion the words carry."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_SCHEMA: Final = 1


@dataclass(frozen=True)
class EmotionHead:
    """Shape of an `EmotionClassifier`. Stored in a checkpoint's ``config.json``.

    Attributes:
        kind: "mean" reads the mean of a line's tokens; "attention" reads also what learned queries attend to, so that
            one telling word is not lost among others.
        width: of the hidden layer.
        queries: Q, how many of the kind "attention".
        dropout: of the hidden layer while it is fitted.
    """

    kind: Literal["mean", "attention"] = "attention"
    width: int = 256
    queries: int = 4
    dropout: float = 0.4

    def __post_init__(self) -> None:
        if self.kind not in ("mean", "attention"):
            raise ValueError(f"emotion head {self.kind!r} is none of mean, attention")
        if self.width < 1 or (self.queries < 1) != (self.kind == "mean"):
            raise ValueError(f"an emotion head {self.kind!r} cannot have width {self.width}, {self.queries} queries")

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, with its schema version."""
        return {"schema_version": HEAD_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EmotionHead:
        """The shape stored by `to_json`; ValueError for another schema, TypeError for unknown fields."""
        data = dict(data)
        version = data.pop("schema_version", None)
        if version != HEAD_SCHEMA:
            raise ValueError(f"emotion head schema {version!r} is not {HEAD_SCHEMA}")
        return cls(**data)


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
