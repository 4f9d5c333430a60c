# SPDX-License-Identifier: GPL-3.0-or-later
"""BERT's encoder (Devlin et al. 2019) in NumPy: what reads a line. Equal to `generator.model.bert` within rounding.

Lines of different lengths are computed together without padding: the tokens of all lines are the columns of one
matrix, and only attention tells the lines apart. Shapes: R tokens of all lines, S of one, W width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from .arrays import Floats, Stored, check_shapes, widened
from .numerics import gelu, linear, norm, softmax, stacked


@dataclass(frozen=True)
class BertConfig:
    """The part of a BERT ``config.json`` that says how the encoder computes, under its own names."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    hidden_act: str = "gelu"
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} heads")

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> BertConfig:
        """From the content of a ``config.json``; KeyError names a size that is missing."""
        values: dict[str, Any] = {name: int(settings[name]) for name in BERT_SIZES}
        values |= {name: settings[name] for name in BERT_OPTIONS if name in settings}
        return cls(**values)


#: What every BERT ``config.json`` states.
BERT_SIZES: Final = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings",
)  # fmt: skip
#: What some leave to the defaults of `BertConfig`.
BERT_OPTIONS: Final = ("hidden_act", "type_vocab_size", "layer_norm_eps")


def is_bert(settings: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` describes BERT's encoder, whatever its activation."""
    return (
        settings.get("model_type", "bert") == "bert"
        and settings.get("position_embedding_type", "absolute") == "absolute"
        and not settings.get("is_decoder", False)
    )


def weight_shapes(config: BertConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight, in the names of published checkpoints."""
    width = config.hidden_size
    yield "embeddings.word_embeddings.weight", (config.vocab_size, width)
    yield "embeddings.position_embeddings.weight", (config.max_position_embeddings, width)
    yield "embeddings.token_type_embeddings.weight", (config.type_vocab_size, width)
    yield from _weight_and_bias("embeddings.LayerNorm", width)
    for index in range(config.num_hidden_layers):
        yield from layer_shapes(index, width, config.intermediate_size)


def layer_name(index: int) -> str:
    """What the names of a layer's weights begin with."""
    return f"encoder.layer.{index}."


def layer_shapes(index: int, width: int, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of one layer; ``inner`` is the width of its feed-forward network."""
    layer = layer_name(index)
    for part in ("self.query", "self.key", "self.value", "output.dense"):
        yield from _weight_and_bias(f"{layer}attention.{part}", width, width)
    yield from _weight_and_bias(f"{layer}attention.output.LayerNorm", width)
    yield from _weight_and_bias(f"{layer}intermediate.dense", inner, width)
    yield from _weight_and_bias(f"{layer}output.dense", width, inner)
    yield from _weight_and_bias(f"{layer}output.LayerNorm", width)


def _weight_and_bias(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


class EncoderLayer:
    """Self-attention and a feed-forward network, each with residual and post-norm.

    Args:
        weights: tensors whose names begin with ``encoder.layer.{index}.``; others are left alone.
        index: of the layer.
        config: the sizes.

    Raises:
        ValueError: a weight is missing or has another shape.
    """

    def __init__(self, weights: Mapping[str, Stored], index: int, config: BertConfig) -> None:
        check_shapes(weights, layer_shapes(index, config.hidden_size, config.intermediate_size))
        layer = layer_name(index)
        self._heads = config.num_attention_heads
        self._mix = stacked([linear(weights, f"{layer}attention.self.{part}") for part in ("query", "key", "value")])
        for part in self._mix:
            if part is not None:
                part[: config.hidden_size] *= np.float32((config.hidden_size // self._heads) ** -0.5)
        self._mixed = linear(weights, f"{layer}attention.output.dense")
        self._mixed_norm = norm(weights, f"{layer}attention.output.LayerNorm", config.layer_norm_eps)
        self._widen = linear(weights, f"{layer}intermediate.dense")
        self._narrow = linear(weights, f"{layer}output.dense")
        self._norm = norm(weights, f"{layer}output.LayerNorm", config.layer_norm_eps)

    def __call__(self, x: Floats, runs: Sequence[tuple[int, int]]) -> Floats:
        """``x`` (W, R), the tokens of ``runs`` = (how many lines, of how many tokens) one after the other -> (W, R)."""
        mix = self._mix(x)
        mixed = np.empty_like(x)
        first = 0
        for lines, length in runs:
            columns = slice(first, first + lines * length)
            # (3, lines, H, W / H, S)
            query, key, value = mix[:, columns].reshape(3, self._heads, -1, lines, length).transpose(0, 3, 1, 2, 4)
            weights = softmax(query.swapaxes(-1, -2) @ key)  # (lines, H, S, S)
            read = value @ weights.swapaxes(-1, -2)  # (lines, H, W / H, S)
            mixed[:, columns] = read.transpose(1, 2, 0, 3).reshape(len(x), -1)
            first = columns.stop
        mixed = self._mixed(mixed)
        mixed += x
        x = self._mixed_norm(mixed)
        y = self._narrow(gelu(self._widen(x)))
        y += x
        return self._norm(y)


class Encoder:
    """Token ids in, hidden states out.

    Args:
        config: the sizes.
        weights: published weights; "bert." in front of names is dropped, heads and the pooler are left out. The table
            of words is kept as it is stored and widened row by row.

    Raises:
        ValueError: a weight is missing or has another shape, or the activation is another than GELU.
    """

    def __init__(self, config: BertConfig, weights: Mapping[str, Stored]) -> None:
        if config.hidden_act != "gelu":
            raise ValueError(f"its activation {config.hidden_act!r} is not 'gelu'")
        self.config = config
        weights = {name.removeprefix("bert."): value for name, value in weights.items()}
        check_shapes(weights, weight_shapes(config))
        self._words = weights["embeddings.word_embeddings.weight"]
        kinds, places = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("token_type", "position"))
        self._places = widened(places) + widened(kinds)[0]  # a line is one sentence, of the first kind
        self._norm = norm(weights, "embeddings.LayerNorm", config.layer_norm_eps)
        self._layers = [EncoderLayer(weights, index, config) for index in range(config.num_hidden_layers)]

    def __call__(self, lines: Sequence[Sequence[int]], upto: int | None = None) -> list[Floats]:
        """Hidden states (S, W) of each of ``lines`` of token ids after the first ``upto`` layers; None: after the last.

        Raises:
            ValueError: a line has more tokens than there are positions.
        """
        if (longest := max(map(len, lines), default=0)) > len(self._places):
            raise ValueError(f"{longest} tokens are more than {len(self._places)}")
        order, runs = _by_length([len(line) for line in lines])
        ids = np.concatenate([np.asarray(lines[index], np.intp) for index in order] or [np.zeros(0, np.intp)])
        places = np.concatenate([np.tile(np.arange(s), n) for n, s in runs] or [np.zeros(0, np.intp)])
        x = self._norm(np.ascontiguousarray((widened(self._words[ids]) + self._places[places]).T))
        return _apart(_through(self._layers[:upto], x, runs), order, runs)

    def onwards(self, hidden: Sequence[Floats], layers: Sequence[EncoderLayer]) -> list[Floats]:
        """Hidden states (S, W) of each line after further ``layers``: others than the encoder's own, as a rule."""
        order, runs = _by_length([len(one) for one in hidden])
        return _apart(_through(layers, np.concatenate([hidden[index].T for index in order], 1), runs), order, runs)

    def from_layer(self, first: int) -> list[EncoderLayer]:
        """The encoder's own layers from ``first`` on."""
        return self._layers[first:]


def tuned_layers(config: BertConfig, weights: Mapping[str, Stored]) -> tuple[int, list[EncoderLayer]]:
    """The first layer that ``weights`` replace, and the new layers from there to the top.

    Args:
        config: of the encoder that they replace the top of.
        weights: named like the encoder's own, ``encoder.layer.3.attention.self.query.weight``.

    Raises:
        ValueError: a name is no weight of a layer, or the layers up to the top are not complete.
    """
    width, inner, count = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    names = {name for index in range(count) for name, _ in layer_shapes(index, width, inner)}
    if unknown := sorted(set(weights) - names):
        raise ValueError(f"{unknown[0]} is no weight of the encoder's layers")
    first = min((int(name.split(".")[2]) for name in weights), default=count)
    return first, [EncoderLayer(weights, index, config) for index in range(first, count)]


def _through(layers: Sequence[EncoderLayer], x: Floats, runs: Sequence[tuple[int, int]]) -> Floats:
    for layer in layers:
        x = layer(x, runs)
    return x


def _by_length(lengths: Sequence[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """The order of lines by length, and runs of equal length: (how many, how long)."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return order, [(len(list(run)), length) for length, run in groupby(lengths[index] for index in order)]


def _apart(x: Floats, order: Sequence[int], runs: Sequence[tuple[int, int]]) -> list[Floats]:
    """The columns of each line as rows, in the lines' own order."""
    ends = np.cumsum([length for lines, length in runs for _ in range(lines)])
    parts = np.split(np.ascontiguousarray(x.T), ends[:-1])
    found: dict[int, Floats] = dict(zip(order, parts, strict=False))
    return [found[index] for index in range(len(order))]
