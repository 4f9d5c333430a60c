# SPDX-License-Identifier: GPL-3.0-or-later
"""Numpy arrays inside pickles, read without unpickling: numeric arrays as views of the file, nothing else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .unpickling import AllowedNames, Global, Pickle, Refusal, read_pickle, shown

#: Booleans, integers, unsigned integers and floats; "O" (any Python object) is what must never pass.
_NUMERIC: Final = re.compile(r"b1|[iu][1248]|f[248]")


@dataclass(slots=True, eq=False)
class StoredType:
    """An element type, such as ``f4`` in byte order ``<``."""

    code: str
    order: str = "="

    def build(self, state: Any) -> None:
        """Take the byte order. The state is (version, order, subarray, names, fields, …); structured types have more.

        Raises:
            Refusal: a structured type.
        """
        if not (isinstance(state, tuple) and len(state) >= 5 and state[1] in ("<", ">", "|", "=")):
            raise Refusal("has an array whose element type is described in an unknown way")
        if any(part is not None for part in state[2:5]):
            raise Refusal("has an array of structured elements instead of plain numbers")
        self.order = state[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype."""
        return np.dtype(self.order + self.code)


@dataclass(slots=True, eq=False)
class StoredArray:
    """An array as it lies in the file."""

    shape: tuple[int, ...] = ()
    type: StoredType | None = None
    column_major: bool = False
    data: bytes | memoryview = b""

    def build(self, state: Any) -> None:
        """Take the state (version, shape, type, column-major, bytes) that ``ndarray.__reduce__`` gives.

        Raises:
            Refusal: elements that are not numbers, or another number of bytes than the shape needs.
        """
        match state:
            case (_, tuple(shape), StoredType() as kind, bool(column_major), bytes() | memoryview() as data):
                pass
            case _:
                raise Refusal("has an array that is described in an unknown way")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise Refusal("has an array with an impossible shape")
        if math.prod(shape) * kind.dtype.itemsize != len(data):
            raise Refusal(f"has an array of shape {shape} with {len(data):,} bytes of data, which do not fit together")
        self.shape, self.type, self.column_major, self.data = shape, kind, column_major, data

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The numpy dtype; None for an array that was announced and never filled."""
        return self.type.dtype if self.type else None

    def view(self) -> npt.NDArray[Any]:
        """The array, read-only, without a copy."""
        if self.type is None:
            raise Refusal("has an array without content")
        values: npt.NDArray[Any] = np.frombuffer(self.data, self.type.dtype)
        return values.reshape(self.shape, order="F") if self.column_major else values.reshape(self.shape)


def read_numpy_pickle(data: bytes | memoryview) -> Pickle:
    """Read a pickle of plain values and numeric numpy arrays, written by numpy 1 or 2; arrays become `StoredArray`.

    Raises:
        Refusal: anything else in it.
    """
    return read_pickle(data, _names(len(data)))


def _names(budget: int) -> AllowedNames:
    """The names numpy's pickles use. ``budget``: most bytes that decoding text may make in all."""
    left = budget

    def encode(text: Any, encoding: Any) -> bytes:
        # How protocol 2 writes bytes. A pickle may encode one long text again and again, an honest one does not.
        nonlocal left
        if not (isinstance(text, str) and encoding == "latin1"):
            raise Refusal("calls _codecs.encode for something other than bytes")
        left -= len(text)
        if left < 0:
            raise Refusal("makes more data than it has bytes")
        return text.encode("latin-1")

    # (protocol 2 writes empty bytes as a call of bytes)
    functions: dict[str, Any] = {"numpy.dtype": _dtype, "_codecs.encode": encode, "__builtin__.bytes": lambda: b""}
    for package in ("numpy.core", "numpy._core"):
        functions[f"{package}.multiarray._reconstruct"] = _reconstruct
        functions[f"{package}.numeric._frombuffer"] = _frombuffer
    return AllowedNames(functions, constants=frozenset({"numpy.ndarray"}))


def _dtype(code: Any, *_: Any) -> StoredType:
    if not (isinstance(code, str) and _NUMERIC.fullmatch(code)):
        shown_code = shown(code) if isinstance(code, str) else type(code).__name__
        raise Refusal(f"has an array with elements of type {shown_code!r} instead of numbers")
    return StoredType(code)


def _reconstruct(kind: Any, *_: Any) -> StoredArray:
    if not (isinstance(kind, Global) and kind.name == "numpy.ndarray"):
        raise Refusal("has an array of an unknown class")
    return StoredArray()


def _frombuffer(data: Any, kind: Any, shape: Any, order: Any) -> StoredArray:
    """How protocol 5 writes an array."""
    array = StoredArray()
    array.build((1, shape, kind, order == "F", data))
    return array
