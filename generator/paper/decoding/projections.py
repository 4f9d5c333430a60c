# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight matrices laid out for decoding, where every step reads all of them once for a handful of rows.

Shapes: B rows, I inputs, O outputs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError

#: "fp32" is exact. "int8" reads a quarter of the bytes: 8-bit weights, and for several rows 8-bit activations;
#: everything else in fp32. How fast and how close: `benchmarks/paper_decoding.py`.
Precision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")
#: Weights of a matrix that is worth laying out in blocks.
MANY: Final = 1 << 18


@dataclass(frozen=True)
class Scheme:
    """How weights are held.

    Attributes:
        precision: of the weights.
        recorded: for steps that are recorded (`replay`), which changes what is fastest and what is possible.
    """

    precision: Precision = "fp32"
    recorded: bool = False

    @property
    def kept_type(self) -> torch.dtype:
        """Of the keys and values that attention keeps: bfloat16 beside 8-bit weights where the CPU multiplies it."""
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if self.precision == "int8" and supported else torch.float32

    def kind(self, weight: Tensor, rows: int) -> type[Layout]:
        """The layout of ``weight`` for products of ``rows`` rows."""
        if self.precision == "int8":
            return self._of_bytes(rows)
        blocked = rows > 1 and weight.numel() >= MANY and weight.device.type == "cpu"
        return Blocked if blocked and torch.backends.mkl.is_available() else Plain

    def kind_for_text(self, rows: int) -> type[Layout]:
        """The layout of what a line is folded into, which is small and made anew for every line."""
        kind = self._of_bytes(rows) if self.precision == "int8" else Plain
        # Activations of 7 bits cost twice as much accuracy: then the text stays exact.
        return Plain if kind is MultipliedBytes and not _multiplies_bytes() else kind

    def _of_bytes(self, rows: int) -> type[Layout]:
        # With more threads products of 8-bit activations are faster, but they cannot be recorded.
        sums = rows == 1 and sums_bytes() and (self.recorded or torch.get_num_threads() == 1)
        return SummedBytes if sums else MultipliedBytes


class Layout(Protocol):
    """A linear map with fixed weights, laid out for one row or for several."""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Layout:
        """Lay out ``weight`` (O, I), ``bias`` (O,)."""
        ...

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """``x`` (B, I) -> (B, O); ``residual`` (B, O) or (1, O) is added when given."""
        ...


class Projection:
    """A linear map with fixed weights, laid out for one row or several when that is first needed.

    Args:
        weight: (O, I); ``bias`` (O,).
        scheme: how they are held.

    Raises:
        InputError: this device or this build of torch has no 8-bit product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scheme: Scheme) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._scheme = scheme
        self._layouts: dict[bool, Layout] = {}  # for one row, for several
        if scheme.precision == "fp32":
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
        """The layout for products of ``rows`` rows."""
        several = bool(rows > 1)
        if several not in self._layouts:
            kind = self._scheme.kind(self._weight, rows)
            fit = next((layout for layout in self._layouts.values() if type(layout) is kind), None)
            self._layouts[several] = fit or kind.of(self._weight, self._bias)
        return self._layouts[several]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        rows = x.shape[0]  # a step that is compiled for any number of them may not ask for len
        layout = self._layouts.get(bool(rows > 1)) or self.prepare(rows)
        return layout(x, residual)


@dataclass(frozen=True)
class Plain:
    """fp32 weights, on a CPU transposed in memory."""

    matrix: Tensor  # (I, O)
    bias: Tensor | None

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Plain:
        """See `Layout`."""
        return cls(weight.t().contiguous() if weight.device.type == "cpu" else weight.contiguous().t(), bias)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        if self.bias is None:
            return torch.mm(x, self.matrix) if residual is None else torch.addmm(residual, x, self.matrix)
        y = torch.addmm(self.bias, x, self.matrix)
        return y if residual is None else y + residual


@dataclass(frozen=True)
class Blocked:
    """fp32 weights in blocks of outputs, each read from one end to the other: for several rows."""

    blocks: Tensor  # (ceil(O / WIDTH), I, WIDTH), filled up with zeros
    outputs: int  # O
    bias: Tensor | None

    #: Of a block: 8 rows of it are the sums that the registers of AVX-512 hold. 32 and 64 take a tenth longer.
    WIDTH: ClassVar[int] = 48

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Blocked:
        """See `Layout`."""
        outputs = len(weight)
        filled = F.pad(weight, (0, 0, 0, -outputs % cls.WIDTH))
        return cls(filled.unflatten(0, (-1, cls.WIDTH)).transpose(1, 2).contiguous(), outputs, bias)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        y = torch.bmm(x.expand(len(self.blocks), -1, -1), self.blocks).transpose(0, 1).flatten(1)
        if y.shape[1] > self.outputs:
            y = y[:, : self.outputs].contiguous()
        if self.bias is not None:
            y.add_(self.bias)
        return y if residual is None else y.add_(residual)


@dataclass(frozen=True)
class SummedBytes:
    """8-bit weights with a scale and an offset per input, activations as they are: for one row.

    A sum of table rows times a number each, which torch knows as an embedding bag. Its 8-bit kernel reads the bytes as
    fast as a product with 8-bit activations does, and nothing has to be rounded or set up before. It knows no threads.
    """

    table: Tensor  # (I, O + BESIDE) bytes
    every: Tensor  # 0 .. I - 1
    first: Tensor  # 0, where the only sum begins
    bias: Tensor | None

    #: Bytes of an input's scale and offset, which stand beside its weights.
    BESIDE: ClassVar[int] = 8

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> SummedBytes:
        """See `Layout`."""
        table = torch.ops.quantized.embedding_bag_byte_prepack(weight.float().t().contiguous())
        return cls(table, torch.arange(len(table)), torch.zeros(1, dtype=torch.long), bias)

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
        """See `Layout`."""
        weight = weight.float()
        scale = (weight.abs().amax(1) / 127).clamp(min=1e-12).double()
        with warnings.catch_warnings():
            # These operators are to move out of torch some day; torch is pinned, and `Projection` notices.
            warnings.simplefilter("ignore", UserWarning)
            zero = torch.zeros(len(scale), dtype=torch.long)
            rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
            return cls(torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.clone()))

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Layout`."""
        y: Tensor = torch.ops.quantized.linear_dynamic.default(x, self.packed, not _multiplies_bytes())
        return y if residual is None else residual + y


@cache
def sums_bytes() -> bool:
    """Whether this torch has the fast 8-bit embedding bag: on x86, with FBGEMM."""
    return "fbgemm" in torch.backends.quantized.supported_engines


@cache
def _multiplies_bytes() -> bool:
    """Without the VNNI instructions sums of full 8-bit products saturate in 16 bits; 7-bit activations do not."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())
