# SPDX-License-Identifier: GPL-3.0-or-later
"""The emotion that words carry, in NumPy. Equal to `generator.model.heads.EmotionClassifier` within rounding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from .arrays import Array, Floats, check_shapes, widened
from .encoder import layer_shapes
from .numerics import gelu, linear, softmax

HEAD_SCHEMA: Final = 2
#: At most so many of the encoder's last layers may be tuned: three of all-MiniLM-L6-v2 are 10.6 MB in half precision.
MOST_TUNED: Final = 3
#: Tuned layers have a feed-forward network that is so many times as wide as they are, as all published BERTs have.
INNER: Final = 4
#: What the names of the head's weights begin with.
HEAD: Final = "head."


@dataclass(frozen=True)
class EmotionHead:
    """Shape of what reads emotions. Stored in a checkpoint's ``config.json``.

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
        if version != HEAD_SCHEMA:
            raise ValueError(f"emotion head schema {version!r} is not {HEAD_SCHEMA}")
        return cls(**data)


class EmotionClassifier:
    """Which emotions the words of a line carry, as calibrated probabilities over K emotions.

    Args:
        weights: those of a `generator.model.heads.EmotionClassifier`.
        shape: of the head.
        text_width: W of the text features.
        emotions: K.

    Raises:
        ValueError: a weight is missing or has another shape, or the calibration is not above 0.
    """

    def __init__(self, weights: Mapping[str, Array], shape: EmotionHead, text_width: int, emotions: int) -> None:
        check_shapes(weights, _head_shapes(shape, text_width, emotions))
        self._hidden, self._output = linear(weights, "hidden"), linear(weights, "output")
        self._queries = widened(weights["queries"]) if shape.queries else None
        self._calibration = np.float32(weights["calibration"])
        if not self._calibration > 0:
            raise ValueError(f"its calibration {self._calibration} is not above 0")

    def __call__(self, lines: Sequence[Floats]) -> Floats:
        """Probabilities (B, K) from the hidden states (S, W) of each line's tokens."""
        read = np.stack([self._read(hidden) for hidden in lines], 1)  # (W (1 + Q), B)
        logits = self._output(gelu(self._hidden(read))) / self._calibration
        return softmax(np.ascontiguousarray(logits.T))

    def _read(self, hidden: Floats) -> Floats:
        """The mean of ``hidden`` (S, W) and what each query attends to, (W (1 + Q),)."""
        mean: Floats = hidden.mean(0)
        if self._queries is None:
            return mean
        attended = softmax(self._queries @ hidden.T) @ hidden  # (Q, W)
        return np.concatenate([mean, attended.reshape(-1)])


def reader_shapes(shape: EmotionHead, text_width: int, emotions: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of everything stored of what reads emotions: its head, and its layers as in published weights."""
    for name, size in _head_shapes(shape, text_width, emotions):
        yield f"{HEAD}{name}", size
    for index in shape.layers:
        yield from layer_shapes(index, text_width, INNER * text_width)


def _head_shapes(shape: EmotionHead, width: int, emotions: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "hidden.weight", (shape.width, width * (1 + shape.queries))
    yield "hidden.bias", (shape.width,)
    yield "output.weight", (emotions, shape.width)
    yield "output.bias", (emotions,)
    yield "calibration", ()
    if shape.queries:
        yield "queries", (shape.queries, width)
