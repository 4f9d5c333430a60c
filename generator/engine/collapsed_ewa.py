# SPDX-License-Identifier: GPL-3.0-or-later
"""Expression-wise Attention (paper section 3) in the few numbers that it collapses to, see `generator.model.ewa`.

Shapes: J jaw channels, C channels, D token width, H heads, B takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from .arrays import Array, Floats, check_shapes

#: As in the attention's normalisation.
_EPS: Final = 1e-6


class CollapsedEwa:
    """The jaw looks at the other channels of its frame and is shifted by what it sees.

    Args:
        weights: those of a `generator.model.ewa.EwA`.
        jaw: columns of the jaw channels.
        channels: C.
        width, heads: D and H.

    Raises:
        ValueError: a weight is missing or has another shape.
    """

    def __init__(self, weights: Mapping[str, Array], jaw: Sequence[int], channels: int, width: int, heads: int) -> None:
        check_shapes(weights, _shapes(width))
        self._jaw = np.array(jaw)
        self._others = np.array([column for column in range(channels) if column not in jaw])
        # In double precision: computed once, and sums over D would lose what they are to be held against.
        w = {name: value.astype(np.float64) for name, value in weights.items()}
        slope, offset = w["token.weight"][:, 0], w["token.bias"]  # (D,)
        query, key, value = (w[f"attention.{part}.weight"] for part in ("query", "key", "value"))
        a, b, c = (
            (matrix @ vector).reshape(heads, -1) for matrix, vector in ((query, slope), (query, offset), (key, slope))
        )
        root = math.sqrt(width / heads)
        output = w["attention.output.weight"]
        directions = (output.reshape(width, heads, -1) * (value @ slope).reshape(heads, -1)).sum(-1)  # (D, H)
        constant = output @ (value @ offset)
        columns = np.concatenate([slope[:, None], directions, (offset + constant)[:, None]], 1)  # (D, H + 2)
        columns -= columns.mean(0)
        back = w["back.weight"][0]
        #: A jaw value x attends with gain x · slope + offset, (H, 1).
        self._gain_slope = _single((a * c).sum(-1) / root)[:, None]
        self._gain_offset = _single((b * c).sum(-1) / root)[:, None]
        #: The normalised token's way back, and its squared length, as forms in s = (x, mean seen by each head, 1).
        self._numerator = _single((back * w["attention.norm.weight"]) @ columns)
        self._quadratic = _single(columns.T @ columns / width)
        self._constant = np.float32(back @ w["attention.norm.bias"] + w["back.bias"][0])

    def __call__(self, frames: Floats) -> Floats:
        """``frames`` (B, C) with the jaw shifted."""
        jaw, others = frames[:, self._jaw], frames[:, None, None, self._others]  # (B, J), (B, 1, 1, C - J)
        gain = jaw[:, :, None, None] * self._gain_slope + self._gain_offset  # (B, J, H, 1)
        weights = gain * others  # (B, J, H, C - J)
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        seen = (weights @ others.swapaxes(-1, -2)) / weights.sum(-1, keepdims=True)  # (B, J, H, 1)
        s = np.empty((*jaw.shape, len(self._numerator)), np.float32)
        s[..., 0], s[..., 1:-1], s[..., -1] = jaw, seen[..., 0], 1
        variance = ((s @ self._quadratic) * s).sum(-1)
        shifted = frames.copy()
        shifted[:, self._jaw] = jaw + (s @ self._numerator) / np.sqrt(variance + np.float32(_EPS)) + self._constant
        return shifted


def _single(values: Array) -> Floats:
    return values.astype(np.float32)


def _shapes(width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "token.weight", (width, 1)
    yield "token.bias", (width,)
    for part in ("query", "key", "value", "output"):
        yield f"attention.{part}.weight", (width, width)
    yield "attention.norm.weight", (width,)
    yield "attention.norm.bias", (width,)
    yield "back.weight", (1, width)
    yield "back.bias", (1,)
