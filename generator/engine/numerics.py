# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of both networks, in fp32. Shapes: D width, R rows (tokens, takes), which are columns here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from .arrays import Floats, Stored, widened

#: ln of the normal distribution's tail, 0.5 erfc(x / √2), as a polynomial in x on 0..7, the highest power first: a
#: minimax fit of the tail itself. Rounding included, the tail is within 8e-8 and GELU within 9e-8 of max(1, |x|).
_TAIL: Final = (
    -1.577560624355101e-06, 2.2852298570796847e-05, -0.00010902057692874223, -0.00014033890329301357,
    0.00495098577812314, -0.036422401666641235, -0.3182883858680725, -0.7978865504264832, -0.6931471228599548,
)  # fmt: skip
_TAIL_END: Final = 7.0
#: Values that `gelu` takes at once: they stay in the processor's cache for its twenty-odd passes.
_BLOCK: Final = 32_768


class Linear(NamedTuple):
    """``weight @ x + bias`` of columns x: weight (out, in) as torch has it, bias (out, 1) or None.

    Rows or tokens are columns because OpenBLAS multiplies a large matrix by a narrow one nearly twice as fast that way
    round, and what torch stores need not be turned.
    """

    weight: Floats
    bias: Floats | None

    def __call__(self, x: Floats) -> Floats:
        """``x`` (in, R) -> (out, R)."""
        y: Floats = self.weight @ x
        if self.bias is not None:
            y += self.bias
        return y


class Norm:
    """Layer normalisation of columns."""

    def __init__(self, weight: Floats, bias: Floats, eps: float) -> None:
        self._weight, self._bias, self._eps = weight[:, None], bias[:, None], np.float32(eps)
        self._mean = np.full((1, len(weight)), 1 / len(weight), np.float32)

    def __call__(self, x: Floats) -> Floats:
        """``x`` (D, R), which is overwritten, -> (D, R). Means by matrix products: a third of the time of `mean`."""
        x -= self._mean @ x
        variance = self._mean @ (x * x)
        variance += self._eps
        np.sqrt(variance, out=variance)
        x /= variance
        x *= self._weight
        x += self._bias
        return x


def linear(weights: Mapping[str, Stored], name: str) -> Linear:
    """The layer ``name`` of ``weights``: "name.weight" and, if there is one, "name.bias"."""
    bias = weights.get(f"{name}.bias")
    weight = np.ascontiguousarray(widened(weights[f"{name}.weight"]))
    return Linear(weight, None if bias is None else widened(bias)[:, None])


def stacked(layers: Sequence[Linear]) -> Linear:
    """Several layers that read the same as one, their results one below the other."""
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return Linear(np.concatenate([layer.weight for layer in layers]), np.concatenate(biases) if biases else None)


def norm(weights: Mapping[str, Stored], name: str, eps: float) -> Norm:
    """The normalisation ``name`` of ``weights``."""
    return Norm(widened(weights[f"{name}.weight"]), widened(weights[f"{name}.bias"]), eps)


def softmax(x: Floats) -> Floats:
    """Softmax over the last axis of ``x``, which is overwritten."""
    x -= x.max(-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(-1, keepdims=True)
    return x


def gelu(x: Floats) -> Floats:
    """x times the normal distribution's function at x (Hendrycks and Gimpel 2016), in place; contiguous ``x``."""
    flat = x.reshape(-1)
    for first in range(0, len(flat), _BLOCK):
        part = flat[first : first + _BLOCK]
        size = np.abs(part)
        # x Φ(x) = max(x, 0) - |x| tail(|x|): nothing cancels where x is negative.
        loss = _tail(size)
        loss *= size
        np.maximum(part, np.float32(0), out=part)
        part -= loss
    return x


def _tail(x: Floats) -> Floats:
    """Probability that a standard normal number is above ``x``, which is not negative."""
    x = np.minimum(x, np.float32(_TAIL_END))
    logarithm = x * np.float32(_TAIL[0])
    for coefficient in _TAIL[1:-1]:
        logarithm += np.float32(coefficient)
        logarithm *= x
    logarithm += np.float32(_TAIL[-1])
    tail: Floats = np.exp(logarithm, out=logarithm)
    return tail
