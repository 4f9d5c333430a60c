# SPDX-License-Identifier: GPL-3.0-or-later
"""What else is read of a line: which emotion its words carry, by tuned encoder layers, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bert import layer_shapes
from .line_statistics import STATISTICS
from .text import TextEncoder

HEAD_SCHEMA: Final = 2
#: About what readers of a line differ by: 13 % of its length.
_USUAL_LOG_DEVIATION: Final = -2.0
#: At most so many of the encoder's last layers may be tuned: three of all-MiniLM-L6-v2 are 10.6 MB in half precision.
MOST_TUNED: Final = 3
#: Tuned layers have a feed-forward network that is so many times as wide as they are, as all published BERTs have.
INNER: Final = 4


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
        statistics: how many of `line_statistics` it reads, from the first on.
    """

    def __init__(self, text_width: int, asked: int, statistics: int = STATISTICS) -> None:
        super().__init__()
        self.statistics = statistics
        self.text = nn.Linear(text_width, 16)
        self.hidden = nn.Linear(16 + statistics + asked, 64)
        self.output = nn.Linear(64, 2)
        with torch.no_grad():  # a deviation that starts above its limit would not be learned
            self.output.bias[1] = _USUAL_LOG_DEVIATION

    def forward(self, pooled: Tensor, statistics: Tensor, asked: Tensor) -> LengthDistribution:
        """``pooled`` (B, text_width), ``statistics`` (B, `STATISTICS`), ``asked`` (B, asked)."""
        features = torch.cat([self.text(pooled), statistics[:, : self.statistics], asked], -1)
        mean, log_deviation = self.output(F.gelu(self.hidden(features))).unbind(-1)
        return LengthDistribution(mean, log_deviation.clamp(-4.0, 0.0).exp())


@dataclass(frozen=True)
class EmotionHead:
    """Shape of an `EmotionReader`. Stored in a checkpoint's ``config.json``.

    Attributes:
        kind: "mean" reads the mean of a line's tokens; "attention" reads also what learned queries attend to, so that
            one telling word is not lost among others.
        width: of the hidden layer.
        queries: Q, how many of the kind "attention".
        dropout: of the hidden layer while it is fitted.
        layers: of the encoder that are tuned, from 0 on: its last ones, at most `MOST_TUNED`; none for a head on the
            frozen encoder.
    """

    kind: Literal["mean", "attention"] = "attention"
    width: int = 64
    queries: int = 4
    dropout: float = 0.2
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("mean", "attention"):
            raise ValueError(f"emotion head {self.kind!r} is none of mean, attention")
        if self.width < 1 or (self.queries < 1) != (self.kind == "mean"):
            raise ValueError(f"an emotion head {self.kind!r} cannot have width {self.width}, {self.queries} queries")
        object.__setattr__(self, "layers", tuple(self.layers))  # JSON has lists
        first = self.layers[0] if self.layers else 0
        if len(self.layers) > MOST_TUNED or self.layers != tuple(range(first, first + len(self.layers))) or first < 0:
            raise ValueError(f"{list(self.layers)} are not the last {MOST_TUNED} layers of an encoder or fewer")

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, with its schema version."""
        return {"schema_version": HEAD_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EmotionHead:
        """The shape stored by `to_json`; ValueError for another schema, TypeError for unknown fields."""
        data = dict(data)
        version = data.pop("schema_version", None)
        if version not in (1, HEAD_SCHEMA):  # 1 had no tuned layers
            raise ValueError(f"emotion head schema {version!r} is not {HEAD_SCHEMA}")
        return cls(**data)


#: The only head of checkpoints of schema 1.
MEAN_HEAD: Final = EmotionHead("mean", 128, 0, 0.2)


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
