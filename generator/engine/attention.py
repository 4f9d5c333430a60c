# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention one step at a time, and feed-forward: the decoder's blocks, equal to those of `generator.model.layers`.

Shapes: B takes, which are columns, D width, H heads, N steps, S text tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from .arrays import Array, Floats
from .numerics import Linear, linear, norm, softmax, stacked

_EPS: Final = 1e-6


@dataclass
class Past:
    """Keys and values of the steps so far, room for all of them, (B, H, N, D / H); ``length`` steps are filled."""

    key: Floats
    value: Floats
    length: int = 0


@dataclass(frozen=True)
class Text:
    """Keys and values of a text, (B, H, S, D / H), and what is added to scores: -inf where no token is, (B, 1, 1, S).

    ``hidden`` is None where every token of every line is real.
    """

    key: Floats
    value: Floats
    hidden: Floats | None


class Attention:
    """Multi-head attention of one step with residual and post-norm."""

    def __init__(self, weights: Mapping[str, Array], heads: int) -> None:
        self._heads = heads
        self._all = stacked([linear(weights, name) for name in ("query", "key", "value")])
        width = self._all.weight.shape[1]
        query, keys_values = self._all.weight[:width], self._all.weight[width:]
        query *= np.float32((width / heads) ** -0.5)  # the root that scores are divided by
        self._query, self._keys_values = Linear(query, None), Linear(keys_values, None)
        self._output, self._norm = linear(weights, "output"), norm(weights, "norm", _EPS)

    def past(self, rows: int, steps: int) -> Past:
        """Nothing yet, with room for ``steps`` steps of ``rows`` takes."""
        shape = (rows, self._heads, steps, self._all.weight.shape[1] // self._heads)
        return Past(np.empty(shape, np.float32), np.empty(shape, np.float32))

    def step(self, x: Floats, past: Past) -> Floats:
        """Causal self-attention of the newest step ``x`` (D, B), reading and extending ``past``, of B takes or more."""
        query, key, value = self._all(x).reshape(3, self._heads, -1, x.shape[1]).transpose(0, 3, 1, 2)
        rows = x.shape[1]
        past.key[:rows, :, past.length], past.value[:rows, :, past.length] = key, value
        past.length += 1
        return self._attend(x, query, past.key[:rows, :, : past.length], past.value[:rows, :, : past.length])

    def text(self, memory: Floats, mask: Array) -> Text:
        """Keys and values of ``memory`` (B, S, D), of which ``mask`` (B, S) says which tokens are real."""
        rows, tokens, width = memory.shape
        projected = self._keys_values(memory.reshape(-1, width).T)
        key, value = projected.reshape(2, self._heads, -1, rows, tokens).transpose(0, 3, 1, 4, 2)
        hidden = None if mask.all() else np.where(mask, np.float32(0), np.float32(-np.inf))[:, None, None]
        return Text(np.ascontiguousarray(key), np.ascontiguousarray(value), hidden)

    def read(self, x: Floats, text: Text) -> Floats:
        """``x`` (D, B) attends to the texts of the first B takes."""
        rows = x.shape[1]
        query = self._query(x).reshape(self._heads, -1, rows).transpose(2, 0, 1)
        hidden = None if text.hidden is None else text.hidden[:rows]
        return self._attend(x, query, text.key[:rows], text.value[:rows], hidden)

    def _attend(self, x: Floats, query: Floats, key: Floats, value: Floats, hidden: Floats | None = None) -> Floats:
        """``query`` (B, H, D / H) looks at keys and values (B, H, T, D / H)."""
        scores = np.ascontiguousarray(query)[:, :, None] @ key.swapaxes(-1, -2)  # (B, H, 1, T)
        if hidden is not None:
            scores += hidden
        mixed = (softmax(scores) @ value).reshape(x.shape[1], -1)  # (B, D)
        y = self._output(mixed.T)
        y += x
        return self._norm(y)


class FeedForward:
    """Position-wise feed-forward network with residual and post-norm, (D, B) -> (D, B)."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._widen, self._narrow = linear(weights, "widen"), linear(weights, "narrow")
        self._norm = norm(weights, "norm", _EPS)

    def __call__(self, x: Floats) -> Floats:
        """``x`` (D, B) -> (D, B)."""
        wide = self._widen(x)
        y = self._narrow(np.maximum(wide, np.float32(0), out=wide))
        y += x
        return self._norm(y)


def attention_shapes(prefix: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of an `Attention`."""
    for part in ("query", "key", "value", "output"):
        yield f"{prefix}{part}.weight", (width, width)
    yield f"{prefix}norm.weight", (width,)
    yield f"{prefix}norm.bias", (width,)


def feed_forward_shapes(prefix: str, width: int, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of a `FeedForward`."""
    yield f"{prefix}widen.weight", (inner, width)
    yield f"{prefix}widen.bias", (inner,)
    yield f"{prefix}narrow.weight", (width, inner)
    yield f"{prefix}narrow.bias", (width,)
    yield f"{prefix}norm.weight", (width,)
    yield f"{prefix}norm.bias", (width,)
