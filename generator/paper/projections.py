# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight matrices prepared for decoding, where every step reads all of them once for a handful of rows.

Shapes: B rows, I inputs, O outputs.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Final, Literal, Protocol

import torch
from torch import Tensor

from ..errors import InputError

#: "fp32" is exact. "int8" reads a quarter of the bytes: products of 8-bit weights and activations, everything else
#: in fp32. How fast and how close: `benchmarks/paper_decoding.py`.
Precision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")


class Projection(Protocol):
    """A linear map with fixed weights, or one cut off at zero."""

    def prepare(self, rows: int) -> None:
        """Get ready for products of ``rows`` rows; others stay possible."""
        ...

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """``x`` (B, I) -> (B, O); ``residual`` (B, O) or (1, O) is added when given, to a map that is not cut off."""
        ...


class FullPrecision:
    """fp32 weights. On a CPU they are kept transposed, (I, O), for one row, and packed by MKL for several."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> None:
        weight = weight.detach()
        self._matrix = weight.t().contiguous() if weight.device.type == "cpu" else weight.contiguous().t()  # (I, O)
        self._bias = None if bias is None else bias.detach()
        self._relu = relu
        self._packed: Tensor | None = None
        self._packed_rows = 0

    def prepare(self, rows: int) -> None:
        """See `Projection`."""
        if rows > 1 and rows != self._packed_rows and self._matrix.device.type == "cpu" and _packs():
            self._packed = torch.ops.mkl._mkl_reorder_linear_weight(self._matrix.t().contiguous(), rows)
            self._packed_rows = rows

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Projection`."""
        y = self._product(x, residual)
        return y.relu_() if self._relu else y

    def _product(self, x: Tensor, residual: Tensor | None) -> Tensor:
        if self._packed is not None and len(x) == self._packed_rows:
            y: Tensor = torch.ops.mkl._mkl_linear.default(x, self._packed, self._matrix.t(), self._bias, len(x))
            return y if residual is None else y + residual
        if self._bias is None:
            return torch.mm(x, self._matrix) if residual is None else torch.addmm(residual, x, self._matrix)
        y = torch.addmm(self._bias, x, self._matrix)
        return y if residual is None else y + residual


@cache
def _packs() -> bool:
    """Whether this torch can pack fp32 weights: on x86 with MKL. Without, products of several rows are slower."""
    return torch.backends.mkl.is_available() and hasattr(torch.ops.mkl, "_mkl_linear")


class EightBit:
    """8-bit weights with a scale per output; activations are rounded to 8 bits with a scale per product. CPU only."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> None:
        weight = weight.detach().float()
        scale = (weight.abs().amax(1) / 127).clamp(min=1e-12).double()
        with warnings.catch_warnings():
            # These operators are to move out of torch some day; torch is pinned, and `projection` notices.
            warnings.simplefilter("ignore", UserWarning)
            zero = torch.zeros(len(scale), dtype=torch.long)
            rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.detach().clone())
        operators = torch.ops.quantized
        self._product = operators.linear_relu_dynamic.default if relu else operators.linear_dynamic.default
        self._seven_bit = seven_bit()

    def prepare(self, rows: int) -> None:
        """See `Projection`: the same for any."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Projection`."""
        y: Tensor = self._product(x, self._packed, self._seven_bit)
        return y if residual is None else residual + y


@cache
def seven_bit() -> bool:
    """Without the VNNI instructions sums of full 8-bit products saturate in 16 bits; 7-bit activations do not."""
    return not getattr(torch.cpu, "_is_vnni_supported", lambda: False)()


def kept_type(precision: Precision) -> torch.dtype:
    """Of the keys and values that attention keeps: bfloat16 beside 8-bit weights where the CPU multiplies it."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if precision == "int8" and supported else torch.float32


def projection(weight: Tensor, bias: Tensor | None, precision: Precision, *, relu: bool = False) -> Projection:
    """Prepare a weight (O, I) and bias (O,); with ``relu`` the outputs are cut off at zero.

    Raises:
        InputError: this device or this build of torch has no 8-bit product.
    """
    if precision == "fp32":
        return FullPrecision(weight, bias, relu=relu)
    if weight.device.type != "cpu":
        raise InputError(f"8-bit weights are for the CPU; use the precision fp32 on {weight.device.type}.")
    try:
        return EightBit(weight, bias, relu=relu)
    except (AttributeError, RuntimeError) as error:
        raise InputError(f"This torch ({torch.__version__}) has no 8-bit product; use the precision fp32.") from error
