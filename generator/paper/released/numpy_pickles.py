# SPDX-License-Identifier: GPL-3.0-or-later
"""Numpy arrays inside pickles, read without unpickling: numeric arrays as views of the file, nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .unpickling import Filled, Named, Refusal, read_pickle, shown

#: Booleans, integers, unsigned integers and floats; "O" (any Python object) is what must never pass.
_NUMERIC: Final = re.compile(r"b1|[iu][1248]|f[248]")


class StoredType(Filled):
    """An element type, such as ``f4``."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_: Any) -> None:
        if not (isinstance(code, str) and _NUMERIC.fullmatch(code)):
            what = shown(code) if isinstance(code, str) else type(code).__name__
            raise Refusal(f"has an array with elements of type {what!r} instead of numbers")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take the byte order. The state is (version, order, subarray, names, fields, …); structured types have more.

        Raises:
            Refusal: a structured type.
        """
        if not (isinstance(state, tuple) and len(state) >= 5 and state[1] in ("<", ">", "|", "=")):
            raise Refusal("has an array whose element type is described in an unknown way")
        if any(part is not None for part in state[2:5]):
            raise Refusal("has an array of structured elements instead of plain numbers")
        self.dtype = self.dtype.newbyteorder(state[1])


class StoredArray(Filled):
    """An array that is read. ``values`` is a read-only view of the file; None where it was announced and not filled."""

    __slots__ = ("values",)

    def __init__(self, kind: Any, *_: Any) -> None:
        if not (isinstance(kind, Named) and kind.name == "numpy.ndarray"):
            raise Refusal("has an array of an unknown class")
        self.values: npt.NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        """Take the state (version, shape, type, column-major, bytes) that ``ndarray.__reduce__`` gives.

        Raises:
            Refusal: elements that are not numbers, or another number of bytes than the shape needs.
        """
        match state:
            case (_, tuple(shape), StoredType(dtype=dtype), bool(column_major), bytes() | memoryview() as data):
                self.values = _array(shape, dtype, data, "F" if column_major else "C")
            case _:
                raise Refusal("has an array that is described in an unknown way")


def _array(shape: tuple[Any, ...], dtype: np.dtype[Any], data: bytes | memoryview, order: Any) -> npt.NDArray[Any]:
    with suppress(TypeError, ValueError, OverflowError):
        values: npt.NDArray[Any] = np.ndarray(shape, dtype, data, order=order)
        if values.nbytes == len(data):
            return values
    raise Refusal(f"has an array whose shape does not fit its {len(data):,} bytes of data")


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> StoredArray:
    """How protocol 5 writes an array."""
    array = StoredArray(_NDARRAY)
    array.build((1, shape, kind, order == "F", data))
    return array


_NDARRAY: Final = Named("numpy.ndarray", None, is_class=False)
_NAMES: Final[dict[str, Callable[..., Any] | None]] = {
    "numpy.ndarray": None,
    "numpy.dtype": StoredType,
    "__builtin__.bytes": lambda: b"",  # protocol 2 writes empty bytes as a call
    **{f"numpy.{core}.multiarray._reconstruct": StoredArray for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}


def read_numpy_pickle(data: bytes | memoryview) -> Any:
    """The content of a pickle of plain values and numeric numpy arrays, written by numpy 1 or 2.

    Arrays are `StoredArray`.

    Raises:
        Refusal: anything else in it.
    """
    left = len(data)

    def encode(text: Any, encoding: Any) -> bytes:
        # How protocol 2 writes bytes. A pickle may encode one long text again and again, an honest one does not.
        nonlocal left
        if not (isinstance(text, str) and encoding == "latin1"):
            raise Refusal("calls _codecs.encode for something other than bytes")
        left -= len(text)
        if left < 0:
            raise Refusal("makes more data than it has bytes")
        return text.encode("latin-1")

    return read_pickle(data, {**_NAMES, "_codecs.encode": encode})
