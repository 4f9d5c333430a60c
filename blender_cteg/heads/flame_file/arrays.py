# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays of a file: members of an ``.npz``, or what a pickle stores of numpy, scipy and chumpy (no ``bpy``).

The sizes that they declare are checked before memory is reserved.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import Refusal, shown
from .unpickle import Named, StandIn

Array = npt.NDArray[Any]

#: Most numbers of one array, each worked with in eight bytes: FLAME's largest, its directions, has six million.
MAX_NUMBERS: Final = 10_000_000
#: Most bytes of a member of an ``.npz``, unpacked: so many numbers of eight bytes, and what describes them.
MAX_BYTES: Final = 8 * MAX_NUMBERS + 65_536
#: Chumpy's arrays refer to one another; FLAME's do so once or twice.
_MAX_DEPTH: Final = 8
#: Element types as numpy's pickles write them, but for structured ones.
_ELEMENTS: Final = re.compile(r"[biufcSUVOmM]\d{0,9}", re.ASCII)


@dataclass(frozen=True)
class Member:
    """An array in an ``.npz``, which is unpacked when it is asked for."""

    path: Path
    info: zipfile.ZipInfo


def read_npz(path: Path) -> dict[str, Member]:
    """The arrays in an ``.npz``, by name. Refusal where it is no archive of arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            # The last of several members with one name counts, as in zipfile.
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    except OSError:
        raise
    except Exception as error:  # what damaged zip files raise has no end
        raise Refusal("is a cut off or damaged archive") from error
    return {info.filename.removesuffix(".npy"): Member(path, info) for info in members}


def dense(value: Any, depth: int = 0) -> Array:
    """The array of numbers that ``value`` stands for, read-only or a new one.

    Args:
        value: a member of an ``.npz``, or a pickle's array of numpy's, sparse matrix of scipy's, or chumpy object that
            stores one.
        depth: how many others refer to it.

    Raises:
        Refusal: it is something else; the clause can follow the name of a field.
    """
    if depth > _MAX_DEPTH:
        raise Refusal("refers to other arrays without end")
    match value:
        case Member():
            return _unpacked(value)
        case StandIn() if value.name.endswith(("._reconstruct", "._frombuffer")):
            return _array_of_numpy(value)
        case StandIn(name, _, dict(state)) if name.startswith("scipy."):
            return _dense_of_sparse(name, state, depth)
        case StandIn(name, _, dict(state)):
            return _array_of_chumpy(name, state, depth)
        case StandIn(name) | Named(name):
            raise Refusal("is a {name} instead of an array", name=shown(name))
    raise Refusal("is a {name} instead of an array", name=type(value).__name__)


def _unpacked(member: Member) -> Array:
    if member.info.file_size > MAX_BYTES:
        raise Refusal("would unpack to {size:,} bytes, far more than a FLAME file's", size=member.info.file_size)
    if member.info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refusal("is packed in a way that numpy does not use")
    try:
        with zipfile.ZipFile(member.path) as archive, archive.open(member.info) as file:
            content = file.read(member.info.file_size + 1)  # read whole, a member may unfold beyond its claim
    except Exception as error:  # what zip files, their parts and their compression raise has no end
        raise Refusal("cannot be unpacked ({why})", why=error) from error
    stream = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, column_major, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, column_major, dtype = np.lib.format.read_array_header_2_0(stream)
    except Exception as error:  # the header is a Python literal, and whatever Python's own parser raises comes out
        raise Refusal("is not a numpy array") from error
    return _numbers(memoryview(content)[stream.tell() :], dtype, shape, column_major)


def _array_of_numpy(stored: StandIn) -> Array:
    """What ``numpy._reconstruct`` with its state, or ``numpy._frombuffer``, would make."""
    match stored:
        case StandIn(arguments=(data, StandIn("numpy.dtype") as kind, tuple(shape), str(order))):
            column_major = order == "F"
        case StandIn(state=(_, tuple(shape), StandIn("numpy.dtype") as kind, int(column_major), data)):
            pass
        case StandIn(state=None):
            raise Refusal("is an array without content")
        case _:
            raise Refusal("is an array that is described in an unknown way")
    match kind.arguments, kind.state:
        case (str(code), *_), None:
            order = "="
        case (str(code), *_), (_, "<" | ">" | "|" | "=" as order, None, None, None, *_):
            pass
        case _:
            code = ""
    if not _ELEMENTS.fullmatch(code):
        raise Refusal("holds elements of an unknown type instead of numbers")
    match data:  # text stands for bytes, as Python 2 wrote them, and Python 3 in protocols 0 to 2
        case str(text) | StandIn("_codecs.encode", (str(text), "latin1" | "latin-1")):
            data = text.encode("latin-1")
        case StandIn("builtins.bytes" | "__builtin__.bytes", ()):
            data = b""
        case bytes():
            pass
        case _:
            raise Refusal("holds objects instead of numbers")
    return _numbers(data, np.dtype(order + code), shape, bool(column_major))


def _numbers(data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[Any, ...], column_major: bool) -> Array:
    """``data`` as an array, read-only. Refusal where it is no numbers, or not as many as the shape needs."""
    if dtype.hasobject:
        raise Refusal("holds objects instead of numbers")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise Refusal("holds elements of type {type!r} instead of numbers", type=dtype.str)
    if len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise Refusal("has an impossible shape")
    if len(data) != math.prod(shape) * dtype.itemsize:
        predicate = "has the shape {shape} and {size:,} bytes of data, which do not fit together"
        raise Refusal(predicate, shape=shown(str(shape)), size=len(data))
    if math.prod(shape) > MAX_NUMBERS:
        raise Refusal("has the shape {shape}, far larger than a FLAME file's", shape=shown(str(shape)))
    return np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")


def _array_of_chumpy(name: str, state: dict[Any, Any], depth: int) -> Array:
    """Chumpy stores an array as ``x``; selections and new shapes of one are also read, other expressions are not."""
    if name.endswith(".Ch") and "x" in state:
        return dense(state["x"], depth + 1)
    if name.endswith((".Select", ".Reshape")) and "a" in state:
        source = dense(state["a"], depth + 1).ravel()
        if name.endswith(".Select"):
            source = source[_indices(dense(state.get("idxs"), depth + 1), len(source))]
        shape = state.get("preferred_shape", state.get("newshape"))
        try:
            return source if shape is None else source.reshape(shape)
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
