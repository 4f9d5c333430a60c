# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight matrices laid out for decoding, where every step reads all of them once for a handful of rows.

Shapes: B rows, I inputs, O outputs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, Protocol

import torch
from torch import Tensor

from ..errors import InputError

#: "fp32" is exact. "int8" reads a quarter of the bytes: 8-bit weights, and for several rows 8-bit activations;
#: everything else in fp32. How fast and how close: `benchmarks/paper_decoding.py`.
Precision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")


class Layout(Protocol):
    """A linear map with fixed weights in the layout that one number of rows, or some, wants."""

    def suits(self, rows: int) -> bool:
        """Whether it is the one for ``rows`` rows."""
        ...

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """``x`` (B, I) -> (B, O); ``residual`` (B, O) or (1, O) is added when given."""
        ...


class Projection:
    """A linear map with fixed weights, laid out for a number of rows when it is first needed.

    Args:
        weight: (O, I); ``bias`` (O,).
        precision: of the weights.

    Raises:
        InputError: this device or this build of torch has no 8-bit product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, precision: Precision) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._precision = precision
        self._layouts: dict[int, Layout] = {}
        if precision == "fp32":
            return
        if weight.device.type != "cpu":
            raise InputError(f"8-bit weights are for the CPU; use the precision fp32 on {weight.device.type}.")
        try:
            self.prepare(1)
        except (AttributeError, RuntimeError) as error:
            raise InputError(
                f"This torch ({torch.__version__}) has no 8-bit product; use the precision fp32."
            ) from error

    def prepare(self, rows: int) -> Layout:
        """The layout for products of ``rows`` rows. One row's is kept beside one other: each copies the weights."""
        if rows not in self._layouts:
            fit = next((layout for layout in self._layouts.values() if layout.suits(rows)), None)
            kept = {number: layout for number, layout in self._layouts.items() if number == 1 or layout is fit}
            self._layouts = {**kept, rows: fit or self._laid_out(rows)}
        return self._layouts[rows]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        layout = self._layouts.get(len(x)) or self.prepare(len(x))
        return layout(x, residual)

    def _laid_out(self, rows: int) -> Layout:
        if self._precision == "int8":
            bytes_ = SummedBytes if SummedBytes.serves(rows) else MultipliedBytes
            return bytes_.of(self._weight.float(), self._bias)
        if rows > 1 and self._weight.device.type == "cpu" and _packs():
            return Packed(self._weight, self._bias, rows)
        return Plain.of(self._weight, self._bias)


@dataclass(frozen=True)
class Plain:
    """fp32 weights, on a CPU transposed in memory: for one row there, and for any number elsewhere."""

    matrix: Tensor  # (I, O)
    bias: Tensor | None

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Plain:
        """Lay out ``weight`` (O, I), ``bias`` (O,)."""
        return cls(weight.t().contiguous() if weight.device.type == "cpu" else weight.contiguous().t(), bias)

    def suits(self, rows: int) -> bool:
        """See `Layout`."""
        return rows == 1 or self.matrix.device.type != "cpu" or not _packs()

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        if self.bias is None:
            return torch.mm(x, self.matrix) if residual is None else torch.addmm(residual, x, self.matrix)
        y = torch.addmm(self.bias, x, self.matrix)
        return y if residual is None else y + residual


class Packed:
    """fp32 weights packed by MKL for one number of rows."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int) -> None:
        self._weight, self._bias, self._rows = weight.contiguous(), bias, rows
        self._packed = torch.ops.mkl._mkl_reorder_linear_weight(self._weight, rows)

    def suits(self, rows: int) -> bool:
        """See `Layout`."""
        return rows == self._rows

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        y: Tensor = torch.ops.mkl._mkl_linear.default(x, self._packed, self._weight, self._bias, self._rows)
        return y if residual is None else y + residual


@dataclass(frozen=True)
class SummedBytes:
    """8-bit weights with a scale and an offset per input, activations as they are: for one row on one thread.

    A sum of table rows times a number each, which torch knows as an embedding bag. Its 8-bit kernel reads the bytes as
    fast as a product with 8-bit activations does, and nothing has to be rounded or set up before. It knows no threads.
    """

    table: Tensor  # (I, O + 8) bytes
    every: Tensor  # 0 .. I - 1
    first: Tensor  # 0, where the only sum begins
    bias: Tensor | None

    @staticmethod
    def serves(rows: int) -> bool:
        """Whether 8-bit weights are laid out like this for ``rows`` rows: where torch has the kernel, on x86."""
        return rows == 1 and torch.get_num_threads() == 1 and "fbgemm" in torch.backends.quantized.supported_engines

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> SummedBytes:
        """Round and lay out ``weight`` (O, I), ``bias`` (O,)."""
        table = torch.ops.quantized.embedding_bag_byte_prepack(weight.t().contiguous())
        return cls(table, torch.arange(len(table)), torch.zeros(1, dtype=torch.long), bias)

    def suits(self, rows: int) -> bool:
        """See `Layout`."""
        return self.serves(rows)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        y: Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets.default(
            self.table, self.every, self.first, False, 0, False, x.view(-1)
        )
        if self.bias is not None:
            y.add_(self.bias)
        return y if residual is None else y.add_(residual)


@dataclass(frozen=True)
class MultipliedBytes:
    """8-bit weights with a scale per output; activations are rounded to 8 bits with a scale per product."""

    packed: Any

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> MultipliedBytes:
        """Round and lay out ``weight`` (O, I), ``bias`` (O,)."""
        scale = (weight.abs().amax(1) / 127).clamp(min=1e-12).double()
        with warnings.catch_warnings():
            # These operators are to move out of torch some day; torch is pinned, and `Projection` notices.
            warnings.simplefilter("ignore", UserWarning)
            zero = torch.zeros(len(scale), dtype=torch.long)
            rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
            return cls(torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.clone()))

    def suits(self, rows: int) -> bool:
        """See `Layout`."""
        return not SummedBytes.serves(rows)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        y: Tensor = torch.ops.quantized.linear_dynamic.default(x, self.packed, not _multiplies_bytes())
        return y if residual is None else residual + y


def rounds_to_seven_bits(rows: int) -> bool:
    """Whether 8-bit products of ``rows`` rows round activations to 7 bits."""
    return not _multiplies_bytes() and not SummedBytes.serves(rows)


@cache
def _multiplies_bytes() -> bool:
    """Without the VNNI instructions sums of full 8-bit products saturate in 16 bits; 7-bit activations do not."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())


@cache
def _packs() -> bool:
    """Whether this torch can pack fp32 weights: on x86 with MKL. Without, products of several rows are slower."""
    return torch.backends.mkl.is_available() and hasattr(torch.ops.mkl, "_mkl_linear")


def kept_type(precision: Precision) -> torch.dtype:
    """Of the keys and values that attention keeps: bfloat16 beside 8-bit weights where the CPU multiplies it."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if precision == "int8" and supported else torch.float32
