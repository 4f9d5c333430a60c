# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights from safetensors files, with NumPy and nothing else.

The format (https://huggingface.co/docs/safetensors): eight bytes with the length of a JSON header, the header with each
tensor's type, shape and place, then the tensors. Files come from strangers: everything is held against the file's own
size before anything is allocated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from ..reading import SETTINGS, WEIGHTS, from_json

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

#: Behind the name of a tensor in 8 bits: what stores its scales.
SCALES: Final = ".scales"


@dataclass(frozen=True, eq=False)
class EightBits:
    """A matrix in 8 bits: numbers of -127..127 (R, C), and what each block of every row is multiplied by, (R, blocks).

    Rows are widened as they are looked up, so that a large table stays small in memory.
    """

    numbers: npt.NDArray[np.int8]
    scales: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """(R, C), as of an array."""
        return self.numbers.shape

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Floats:
        """Some ``rows`` (K,) in fp32, (K, C)."""
        return self._widened(self.numbers[rows], self.scales[rows])

    def widened(self) -> Floats:
        """All of it in fp32."""
        return self._widened(self.numbers, self.scales)

    def _widened(self, numbers: npt.NDArray[np.int8], scales: Floats) -> Floats:
        blocks = numbers.reshape(len(numbers), scales.shape[1], -1) * scales[..., None]
        return blocks.reshape(numbers.shape)


#: A tensor as it was stored.
Stored = Array | EightBits

#: How each type is stored. BF16 is the upper half of an F32.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8", "I8": "<i1", "U8": "<u1", "I16": "<i2", "I32": "<i4",
        "I64": "<i8", "BOOL": "|b1",
    }
)  # fmt: skip


def read_weights(path: Path) -> dict[str, Stored]:
    """The tensors of a file, of which some may be matrices in 8 bits, their scales beside them.

    Raises:
        OSError, ValueError: as `read_arrays`, and where numbers and scales do not fit together.
    """
    found: dict[str, Stored] = dict(read_arrays(path))
    for name in [name for name in found if name.endswith(SCALES)]:
        numbers, scales = found.get(name.removesuffix(SCALES)), found.pop(name)
        if not isinstance(numbers, np.ndarray) or not isinstance(scales, np.ndarray):
            raise ValueError(f"{name} belongs to no tensor")
        if (
            numbers.dtype != np.int8 or scales.dtype != np.float32 or numbers.ndim != 2 or scales.ndim != 2
            or len(scales) != len(numbers) or not scales.size or numbers.shape[1] % scales.shape[1]
        ):  # fmt: skip
            raise ValueError(f"{name} does not fit its tensor")
        check_finite({name: scales})
        found[name.removesuffix(SCALES)] = EightBits(numbers, scales)
    return found


def read_arrays(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Array]:
    """The tensors of a safetensors file whose name is ``wanted``, as they are stored, BF16 widened to fp32.

    Half precision stays half, so that what is used row by row (a table of words) need not be widened whole; `widened`
    widens.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or not a safetensors file; a sentence names it, its SHA-256 and what is wrong.
    """
    with path.open("rb") as file:
        try:
            return _read(file, wanted)
        except ValueError as error:
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            raise ValueError(f"{path.name} with the SHA-256 {digest}: {error}") from error


def _read(file: BinaryIO, wanted: Callable[[str], bool]) -> dict[str, Array]:
    if (size := file.seek(0, 2)) > WEIGHTS.bytes:
        raise ValueError(f"it has {size / 1e6:,.0f} MB, and at most {WEIGHTS.bytes / 1e6:,.0f} MB are read")
    header, start = _header(file, size)
    entries = {name: _entry(name, entry, size - start) for name, entry in header.items() if name != "__metadata__"}
    _check_places(entries, size - start)
    found: dict[str, Array] = {}
    for name, (kind, shape, first, _) in entries.items():
        if wanted(name):
            file.seek(start + first)
            array = np.fromfile(file, _TYPES[kind], math.prod(shape)).reshape(shape)
            found[name] = (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array
    return found


def widened(array: Stored) -> Floats:
    """The same in fp32; not copied if it is already."""
    if isinstance(array, EightBits):
        return array.widened()
    return array.astype(np.float32, copy=False)


def check_finite(arrays: Mapping[str, Array]) -> None:
    """ValueError names the first of ``arrays`` that is of whole numbers or has a value that is not finite."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} is stored as {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")


def check_shapes(arrays: Mapping[str, Stored], shapes: Iterator[tuple[str, tuple[int, ...]]]) -> None:
    """ValueError names the first of ``shapes`` that is missing or has another shape."""
    for name, shape in shapes:
        if name not in arrays:
            raise ValueError(f"the weight {name} is missing")
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors begin."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, SETTINGS.bytes):
        raise ValueError(f"its header would be {length} bytes long and the file has {size}")
    try:
        header = from_json(file.read(length))  # about a hundred bytes a tensor
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header, 8 + length


def _entry(name: str, entry: Any, room: int) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, first byte and the one after the last of a tensor, held against each other and the file."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{name} lacks a type, a shape or a place")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"{name} is stored as {kind!r}, which is none of {', '.join(_TYPES)}")
    if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2 and len(shape) <= 32):
        raise ValueError(f"{name} has no proper shape and place")
    first, last = offsets
    # The product of Python's integers cannot overflow.
    if not 0 <= first <= last <= room or math.prod(shape) * np.dtype(_TYPES[kind]).itemsize != last - first:
        raise ValueError(f"{name} of shape {tuple(shape)} does not lie within the file's {room} bytes")
    return kind, tuple(shape), first, last


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_places(entries: Mapping[str, tuple[str, tuple[int, ...], int, int]], room: int) -> None:
    """Tensors lie one behind the other, up to the end: nothing twice (a small file cannot unfold), nothing hidden."""
    at = 0
    for name, (_, _, first, last) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if first != at:
            raise ValueError(f"{name} does not begin where the tensor before it ends")
        at = last
    if at != room:
        raise ValueError(f"its tensors end at byte {at} of {room}")
