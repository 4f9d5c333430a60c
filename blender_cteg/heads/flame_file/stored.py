# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pickle's objects are read as: inert records of what was stored, and the arrays that they mean (no ``bpy``)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import Refusal, shown

Array = npt.NDArray[Any]

#: Booleans, integers, unsigned integers and floats.
_NUMERIC: Final = re.compile(r"b1|[iu][1248]|f[248]")
#: Most numbers of a sparse matrix written out: FLAME's joint regressor has 25,000.
MAX_NUMBERS: Final = 10_000_000
#: Chumpy's arrays refer to one another; FLAME's do so once or twice.
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A class or function that a pickle names; it stands for the name only.

    Attributes:
        name: module and name, joined by a dot.
        function: our own function, called in its place; None where a pickle must not call it.
        is_class: an object of it may be made, as a `StandIn`.
    """

    name: str
    function: Callable[..., Any] | None = None
    is_class: bool = False


@dataclass(slots=True, eq=False)
class StandIn:
    """What is read in place of an object of class ``name``: the state that was stored, never the object."""

    name: str
    state: Any = None

    def build(self, state: Any) -> None:
        """Keep ``state`` as it is."""
        self.state = state


@dataclass(slots=True, eq=False)
class StoredType:
    """An element type as numpy writes it: ``f8`` and a byte order; `plain` is False for structured types."""

    code: str
    order: str = "="
    plain: bool = True

    @classmethod
    def from_code(cls, code: Any, *_: Any) -> StoredType:
        """What ``numpy.dtype(code)`` would be."""
        if not isinstance(code, str):
            raise Refusal("has an array whose element type is no text")
        return cls(code)

    def build(self, state: Any) -> None:
        """Take the byte order from the state (version, order, subarray, names, fields, …)."""
        if not (isinstance(state, tuple) and len(state) >= 5 and state[1] in ("<", ">", "|", "=")):
            raise Refusal("has an array whose element type is described in an unknown way")
        self.order = state[1]
        self.plain = all(part is None for part in state[2:5])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype. Refusal where the elements are not numbers."""
        if not (self.plain and _NUMERIC.fullmatch(self.code)):
            if self.code.startswith("O"):
                raise Refusal("holds objects instead of numbers")
            raise Refusal("holds elements of type {type!r} instead of numbers", type=shown(self.code))
        return np.dtype(self.order + self.code)


@dataclass(slots=True, eq=False)
class StoredArray:
    """A numpy array as it lies in the pickle: bytes, or text that stands for bytes (Latin-1)."""

    shape: tuple[int, ...] = ()
    type: StoredType | None = None
    column_major: bool = False
    data: Any = b""

    def build(self, state: Any) -> None:
        """Take the state (version, shape, type, column-major, data) that ``ndarray.__reduce__`` gives."""
        match state:
            case (_, tuple(shape), StoredType() as kind, bool() | int() as column_major, data):
                pass
            case _:
                raise Refusal("has an array that is described in an unknown way")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise Refusal("has an array with an impossible shape")
        self.shape, self.type, self.column_major, self.data = shape, kind, bool(column_major), data

    def values(self) -> Array:
        """The numbers. Refusal where there are none, or not as many as the shape needs."""
        if self.type is None:
            raise Refusal("is an array without content")
        dtype = self.type.dtype
        if not isinstance(self.data, str | bytes | memoryview):
            raise Refusal("holds objects instead of numbers")
        if math.prod(self.shape) * dtype.itemsize != len(self.data):
            predicate = "has the shape {shape} and {size:,} bytes of data, which do not fit together"
            raise Refusal(predicate, shape=self.shape, size=len(self.data))
        data = self.data.encode("latin-1") if isinstance(self.data, str) else self.data
        return np.frombuffer(data, dtype).reshape(self.shape, order="F" if self.column_major else "C")


def dense(value: Any, depth: int = 0) -> Array:
    """The array that ``value`` stands for: numpy's, a sparse matrix of scipy's, or a chumpy object that stores one.

    Raises:
        Refusal: it is something else; the clause can follow the name of a field.
    """
    if depth > _MAX_DEPTH:
        raise Refusal("refers to other arrays without end")
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, StoredArray):
        return value.values()
    if isinstance(value, StandIn) and isinstance(value.state, dict):
        if value.name.startswith("scipy."):
            return _dense_of_sparse(value.name, value.state, depth)
        return _array_of_chumpy(value.name, value.state, depth)
    name = shown(value.name) if isinstance(value, StandIn | Named) else type(value).__name__
    raise Refusal("is a {name} instead of an array", name=name)


def _array_of_chumpy(name: str, state: dict[Any, Any], depth: int) -> Array:
    """Chumpy stores an array as ``x``; selections and new shapes of one are also read, other expressions are not."""
    if name.endswith(".Ch") and "x" in state:
        return dense(state["x"], depth + 1)
    if name.endswith((".Select", ".Reshape")) and "a" in state:
        source = dense(state["a"], depth + 1).ravel()
        shape = state.get("preferred_shape", state.get("newshape"))
        if name.endswith(".Select"):
            source = source[_indices(dense(state.get("idxs"), depth + 1), len(source))]
        sizes = (shape,) if isinstance(shape, int) else shape
        try:
            return source if sizes is None else source.reshape(sizes)
        except (ValueError, TypeError):
            raise Refusal("is a {name} whose shape does not fit its data", name=shown(name)) from None
    predicate = "is a {name}, a chumpy expression that would have to be computed, instead of an array"
    raise Refusal(predicate, name=shown(name))


def _dense_of_sparse(name: str, state: dict[Any, Any], depth: int) -> Array:
    """A scipy sparse matrix in one of the formats csc, csr and coo, as rows and columns."""
    match state.get("_shape", state.get("shape")):
        case (int(rows), int(columns)) if min(rows, columns) >= 0 and max(rows, columns, rows * columns) <= MAX_NUMBERS:
            pass
        case _:
            raise Refusal("is a sparse matrix with an impossible shape")
    data = dense(state.get("data"), depth + 1).ravel()
    if "coo_" in name:
        pair = state.get("coords", (state.get("row"), state.get("col")))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise Refusal("is a sparse matrix without rows and columns")
        row, column = (dense(part, depth + 1).ravel() for part in pair)
    else:
        starts = dense(state.get("indptr"), depth + 1).ravel()
        other = dense(state.get("indices"), depth + 1).ravel()
        lines = columns if "csc_" in name else rows
        counts = np.diff(_indices(starts, len(data) + 1))
        if len(counts) != lines or (counts < 0).any() or counts.sum() != len(data):
            raise Refusal("is a sparse matrix whose parts do not fit together")
        line = np.repeat(np.arange(lines), counts)
        row, column = (other, line) if "csc_" in name else (line, other)
    if not len(row) == len(column) == len(data):
        raise Refusal("is a sparse matrix whose parts do not fit together")
    result = np.zeros((rows, columns))
    # Where a place is named twice, scipy adds up.
    np.add.at(result, (_indices(row, rows), _indices(column, columns)), data)
    return result


def _indices(values: Array, size: int) -> npt.NDArray[np.int64]:
    """``values`` as indices into ``size`` elements."""
    if values.dtype.kind not in "iu" or (values.size and (values.min() < 0 or values.max() >= size)):
        raise Refusal("refers to elements that it does not have")
    return values.astype(np.int64).ravel()
