# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads single arrays of an ``.npz``; the sizes it declares are checked before memory is reserved (no ``bpy``)."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import Refusal

#: Most bytes of one array, unpacked: FLAME's largest has 48 million.
MAX_BYTES: Final = 1 << 29


class Archive:
    """The arrays in an ``.npz``, by name; only those that are asked for are unpacked."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        # The last of several members with one name counts, as in zipfile.
        self._members = {
            info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")
        }

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """The array ``name``. Refusal (a clause that can follow its name) where it is not a plain array of numbers."""
        info = self._members[name]
        if info.file_size > MAX_BYTES:
            raise Refusal("would unpack to {size:,} bytes, far more than a FLAME file's", size=info.file_size)
        try:
            return _array(self._archive.read(info))
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            ValueError,
            struct.error,
        ) as error:
            raise Refusal("cannot be unpacked ({why})", why=error) from error


@contextmanager
def open_npz(path: Path) -> Iterator[Archive]:
    """An ``.npz`` file. Refusal where it is no archive of arrays."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise Refusal("is a cut off or damaged archive") from error
    with archive:
        yield Archive(archive)


def _array(content: bytes) -> npt.NDArray[Any]:
    """The array of an ``.npy`` file's content, read-only."""
    stream = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, column_major, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, column_major, dtype = np.lib.format.read_array_header_2_0(stream)
    except Exception as error:  # the header is a Python literal, and whatever Python's own parser raises comes out
        raise Refusal("is not a numpy array") from error
    if dtype.hasobject:
        raise Refusal("holds objects instead of numbers")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise Refusal("holds elements of type {type!r} instead of numbers", type=dtype.str)
    start, size = stream.tell(), math.prod(shape) * dtype.itemsize
    if any(n < 0 for n in shape) or len(content) - start != size:
        predicate = "has the shape {shape} and {size:,} bytes of data, which do not fit together"
        raise Refusal(predicate, shape=shape, size=len(content) - start)
    return np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if column_major else "C")
