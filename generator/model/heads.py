# SPDX-License-Identifier: GPL-3.0-or-later
"""Which emotion the words of a line carry: the text encoder's last layers, tuned for it, and a small head on them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..engine.encoder import layer_shapes
from ..engine.heads import INNER as INNER
from ..engine.heads import MOST_TUNED as MOST_TUNED
from ..engine.heads import EmotionHead as EmotionHead
from .text import TextEncoder


class EmotionClassifier(nn.Module):
    """Which emotions the words of a line carry, as calibrated probabilities over K emotions.

    Args:
        text_width: W of the text features.
        emotions: K.
        shape: of the head.
    """

    def __init__(self, text_width: int, emotions: int, shape: EmotionHead) -> None:
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


class EmotionReader(nn.Module):
    """Reads which emotions the words of lines carry. Made empty; `load_state_dict` or fitting fills it.

    Its state is named as it is stored: ``head.*`` and, as in published checkpoints, ``encoder.layer.N.*``.

    Args:
        text_width: W of the text encoder.
        emotions: K.
        shape: of the head, and which layers are tuned.
    """

    def __init__(self, text_width: int, emotions: int, shape: EmotionHead) -> None:
        super().__init__()
        self.shape = shape
        self.head = EmotionClassifier(text_width, emotions, shape)
        self.encoder = _Tree(
            {
                name.removeprefix("encoder."): torch.zeros(size)
                for layer in shape.layers
                for name, size in layer_shapes(layer, text_width, INNER * text_width)
            }
        )

    @property
    def frozen(self) -> int | None:
        """How many of the encoder's layers a line runs through before the tuned ones; None for all."""
        return self.shape.layers[0] if self.shape.layers else None

    @property
    def tuned(self) -> dict[str, Tensor]:
        """The tuned layers' weights, in the names of published checkpoints."""
        return {f"encoder.{name}": value for name, value in self.encoder.named_parameters()}

    def forward(self, encoder: TextEncoder, states: Tensor, mask: Tensor) -> Tensor:
        """Calibrated logits (B, K) from hidden states (B, S, W) and their mask (B, S).

        The states are those after the encoder's frozen layers: the last ones where no layer is tuned.
        """
        if self.shape.layers:
            assert encoder.bert is not None  # `prepare` has asked
            states = encoder.bert.tuned(self.tuned).upper(states, mask, self.shape.layers[0])
        out: Tensor = self.head(states, mask)
        return out

    def start_from(self, encoder: TextEncoder) -> None:
        """Give the layers that are to be tuned the weights that ``encoder`` has; ValueError as `prepare`."""
        self.prepare(encoder)
        if encoder.bert is not None:
            known = encoder.bert.state_dict()
            self.load_state_dict({name: known[name] for name in self.tuned}, strict=False)

    def prepare(self, encoder: TextEncoder) -> None:
        """Have ``encoder`` keep the states that the tuned layers go on from; ValueError when it is another encoder."""
        if not self.shape.layers:
            return
        if encoder.bert is None or self.shape.layers[-1] != encoder.bert.layers - 1:
            raise ValueError(f"the tuned layers {list(self.shape.layers)} are not the last ones of {encoder.name}")
        encoder.keep_lower(self.shape.layers[0])

    @torch.no_grad()
    def probabilities(self, encoder: TextEncoder, lines: list[str]) -> Tensor:
        """Calibrated probabilities over the emotions, (B, K); a line runs through the frozen layers once."""
        self.prepare(encoder)
        features = encoder.encode(lines)
        states = features.lower if self.shape.layers else features.hidden
        assert states is not None
        out: Tensor = self(encoder, states, features.mask)
        return out.softmax(-1)


class _Tree(nn.Module):
    """Parameters under dotted names, "layer.3.output.dense.bias", which a state dict then has."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        for head in dict.fromkeys(name.partition(".")[0] for name in values):
            inside = {n.partition(".")[2]: v for n, v in values.items() if n.partition(".")[0] == head}
            if "" in inside:
                self.register_parameter(head, nn.Parameter(inside[""]))
            else:
                self.add_module(head, _Tree(inside))
