# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight matrices prepared for decoding, where every step reads all of them once for a handful of rows.

Shapes: B rows, I inputs, O outputs.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Final, Literal, Protocol

import torch
from torch import Tensor

from ..errors import InputError

#: "fp32" is exact. "int8" reads a quarter of the bytes: products of 8-bit weights and activations, everything else
#: in fp32. How fast and how close: `benchmarks/paper_decoding.py`.
Precision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")


class Projection(Protocol):
    """A linear map with fixed weights."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """``x`` (B, I) -> (B, O); a projection without bias adds ``residual`` (B, O) when given."""
        ...


class FullPrecision:
    """fp32 weights, (O, I). For several rows a transposed copy is kept: on CPUs the product is twice as fast."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight = weight.detach().contiguous()
        self._bias = None if bias is None else bias.detach()

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Projection`."""
        matrix = self._weight.t() if len(x) == 1 or x.device.type != "cpu" else self._transposed
        added = self._bias if residual is None else residual
        return torch.mm(x, matrix) if added is None else torch.addmm(added, x, matrix)

    @cached_property
    def _transposed(self) -> Tensor:
        return self._weight.t().contiguous()


class EightBit:
    """8-bit weights with a scale per output; activations are rounded to 8 bits with a scale per product. CPU only."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        weight = weight.detach().float()
        scale = (weight.abs().amax(1) / 127).clamp(min=1e-12).double()
        with warnings.catch_warnings():
            # These operators are to move out of torch some day; torch is pinned, and `projection` notices.
            warnings.simplefilter("ignore", UserWarning)
            zero = torch.zeros(len(scale), dtype=torch.long)
            rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.detach().clone())
        # Without the VNNI instructions sums of full 8-bit products saturate in 16 bits; 7-bit activations do not.
        self._seven_bit = not getattr(torch.cpu, "_is_vnni_supported", lambda: False)()

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Projection`."""
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, self._seven_bit)
        return y if residual is None else residual + y


def projection(weight: Tensor, bias: Tensor | None, precision: Precision) -> Projection:
    """Prepare a weight (O, I) and bias (O,).

    Raises:
        InputError: this device or this build of torch has no 8-bit product.
    """
    if precision == "fp32":
        return FullPrecision(weight, bias)
    if weight.device.type != "cpu":
        raise InputError(f"8-bit weights are for the CPU; use the precision fp32 on {weight.device.type}.")
    try:
        return EightBit(weight, bias)
    except (AttributeError, RuntimeError) as error:
        raise InputError(f"This torch ({torch.__version__}) has no 8-bit product; use the precision fp32.") from error
