# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight matrices laid out for decoding, where every step reads all of them once for a handful of rows.

Shapes: B rows, I inputs, O outputs.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Final, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

#: "fp32" is exact. "int8" reads a quarter of the bytes: 8-bit weights, and for several rows 8-bit activations;
#: everything else in fp32. How fast and how close: `benchmarks/paper_decoding.py`.
Precision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")
#: Weights of a matrix that is worth laying out in blocks.
MANY: Final = 1 << 18
#: Outputs in a block: 8 rows of it are the sums that the registers of AVX-512 hold. 32 and 64 take a tenth longer.
_BLOCK: Final = 48


class Product(Protocol):
    """A linear map with fixed weights."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """``x`` (B, I) -> (B, O); ``residual`` (B, O) or (1, O) is added when given."""
        ...


class Layout(Protocol):
    """A way to lay out weights."""

    def __call__(self, weight: Tensor, bias: Tensor | None) -> Product:
        """The product with ``weight`` (O, I), ``bias`` (O,) added."""
        ...


class Projection:
    """A linear map with fixed weights, laid out for one row or several when that is first needed.

    Args:
        weight: (O, I); ``bias`` (O,).
        precision: of the weights.

    Raises:
        InputError: this device or this build of torch has no 8-bit product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, precision: Precision) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._precision = precision
        self._made: dict[Layout, Product] = {}
        self._products: dict[bool, Product] = {}  # for one row, for several
        if precision == "fp32":
            return
        if weight.device.type != "cpu":
            raise InputError(f"8-bit weights are for the CPU; use the precision fp32 on {weight.device.type}.")
        try:
            self._prepared(1)
        except (AttributeError, RuntimeError) as error:
            raise InputError(
                f"This torch ({torch.__version__}) has no 8-bit product; use the precision fp32."
            ) from error

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Product`."""
        rows = len(x)
        return (self._products.get(rows > 1) or self._prepared(rows))(x, residual)

    def _prepared(self, rows: int) -> Product:
        layout = self._layout(rows)
        if layout not in self._made:
            self._made[layout] = layout(self._weight, self._bias)
        self._products[rows > 1] = self._made[layout]
        return self._made[layout]

    def _layout(self, rows: int) -> Layout:
        if self._precision == "int8":
            return _of_bytes(rows)
        blocked = rows > 1 and self._weight.numel() >= MANY and self._weight.device.type == "cpu"
        return _blocked if blocked and torch.backends.mkl.is_available() else _plain


def text_product(weight: Tensor, rows: int, precision: Precision) -> Product:
    """What a line is folded into, ``weight`` (O, I), for ``rows`` rows: it is small and made anew for every line."""
    layout = _of_bytes(rows) if precision == "int8" else _plain
    # Activations of 7 bits cost twice as much accuracy: then the text stays exact.
    return (_plain if layout is _multiplied_bytes and not _multiplies_bytes() else layout)(weight, None)


def kept_type(precision: Precision) -> torch.dtype:
    """Of the keys and values that attention keeps: bfloat16 beside 8-bit weights where the CPU multiplies it."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if precision == "int8" and supported else torch.float32


def _of_bytes(rows: int) -> Layout:
    # With more threads products of 8-bit activations are faster.
    return _summed_bytes if rows == 1 and _sums_bytes() and torch.get_num_threads() == 1 else _multiplied_bytes


def _plain(weight: Tensor, bias: Tensor | None) -> Product:
    """fp32 weights, on a CPU transposed in memory."""
    matrix = weight.t().contiguous() if weight.device.type == "cpu" else weight.contiguous().t()

    def product(x: Tensor, residual: Tensor | None = None) -> Tensor:
        if bias is None:
            return torch.mm(x, matrix) if residual is None else torch.addmm(residual, x, matrix)
        y = torch.addmm(bias, x, matrix)
        return y if residual is None else y + residual

    return product


def _blocked(weight: Tensor, bias: Tensor | None) -> Product:
    """fp32 weights in blocks of outputs, each read from one end to the other: for several rows."""
    outputs = len(weight)
    filled = F.pad(weight, (0, 0, 0, -outputs % _BLOCK))  # up with zeros
    blocks = filled.unflatten(0, (-1, _BLOCK)).transpose(1, 2).contiguous()  # (ceil(O / _BLOCK), I, _BLOCK)

    def product(x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = torch.bmm(x.expand(len(blocks), -1, -1), blocks).transpose(0, 1).flatten(1)
        return _plus(y[:, :outputs].contiguous() if y.shape[1] > outputs else y, bias, residual)

    return product


def _summed_bytes(weight: Tensor, bias: Tensor | None) -> Product:
    """8-bit weights with a scale and an offset per input, activations as they are: for one row.

    A sum of table rows times a number each, which torch knows as an embedding bag. Its 8-bit kernel reads the bytes as
    fast as a product with 8-bit activations does, and nothing has to be rounded or set up before. It knows no threads.
    """
    table = torch.ops.quantized.embedding_bag_byte_prepack(weight.float().t().contiguous())  # I rows
    every, first = torch.arange(len(table)), torch.zeros(1, dtype=torch.long)

    def product(x: Tensor, residual: Tensor | None = None) -> Tensor:
        y: Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets.default(
            table, every, first, False, 0, False, x.view(-1)
        )
        return _plus(y, bias, residual)

    return product


def _multiplied_bytes(weight: Tensor, bias: Tensor | None) -> Product:
    """8-bit weights with a scale per output; activations are rounded to 8 bits with a scale per product."""
    weight = weight.float()
    scale = (weight.abs().amax(1) / 127).clamp(min=1e-12).double()
    with warnings.catch_warnings():
        # These operators are to move out of torch some day; torch is pinned, and `Projection` notices.
        warnings.simplefilter("ignore", UserWarning)
        zero = torch.zeros(len(scale), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.clone())

    def product(x: Tensor, residual: Tensor | None = None) -> Tensor:
        y: Tensor = torch.ops.quantized.linear_dynamic.default(x, packed, not _multiplies_bytes())
        return _plus(y, None, residual)

    return product


def _plus(y: Tensor, *parts: Tensor | None) -> Tensor:
    """``y`` with ``parts`` added to it in place."""
    for part in parts:
        if part is not None:
            y.add_(part)
    return y


@cache
def _sums_bytes() -> bool:
    """Whether this torch has the fast 8-bit embedding bag: on x86, with FBGEMM."""
    return "fbgemm" in torch.backends.quantized.supported_engines


@cache
def _multiplies_bytes() -> bool:
    """Without the VNNI instructions sums of full 8-bit products saturate in 16 bits; 7-bit activations do not."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())
