# SPDX-License-Identifier: GPL-3.0-or-later
"""Texture coordinates for a FLAME mesh, from a template file: an ``.obj``, or an ``.npz`` with ``vt`` and ``ft``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import FlameFileError, Refusal, shown
from .arrays import dense, read_npz

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: FLAME's own template has 1.5 MB.
_MAX_TEXT_BYTES: Final = 1 << 26


def read_uv(path: Path, faces: Integers) -> Floats:
    """Texture coordinates for every corner of ``faces`` (F, 3), shape (F, 3, 2).

    An ``.npz`` lists its faces in the model's order unless it has ``f``; the faces of an ``.obj`` may be in any order
    and begin at any corner.

    Raises:
        FlameFileError: the template is missing, damaged, without texture coordinates, or of another mesh.
    """
    try:
        if not path.is_file():
            raise Refusal("is not there")
        with path.open("rb") as file:
            archive = file.read(2) == b"PK"
        coordinates, indices, corners = _from_npz(path) if archive else _from_obj(path)
        if len(indices) != len(faces):
            raise Refusal("has {count:,} faces and the model {faces:,}", count=len(indices), faces=len(faces))
        if not len(coordinates) or indices.min() < 0 or indices.max() >= len(coordinates):
            raise Refusal("has faces with texture coordinates that it does not have")
        return coordinates[indices if corners is None else _in_order(corners, indices, faces)]
    except Refusal as refusal:
        sentence = "The UV template {file} {problem}. Choose FLAME's own template, or none."
        raise FlameFileError(sentence, file=shown(path.name), problem=refusal) from refusal
    except OSError as error:
        sentence = "The UV template {file} cannot be read ({why})."
        raise FlameFileError(sentence, file=shown(path.name), why=error.strerror) from error
    except Exception as error:  # whatever else a damaged file makes of a reader
        sentence = "The UV template {file} is damaged ({why}). Choose FLAME's own template, or none."
        raise FlameFileError(sentence, file=shown(path.name), why=shown(f"{type(error).__name__}: {error}")) from error


def _in_order(corners: Integers, indices: Integers, faces: Integers) -> Integers:
    """``indices`` (F, 3) of faces whose vertices are ``corners`` (F, 3), for ``faces`` and their corners."""

    def sorted_faces(triangles: Integers) -> tuple[Integers, Integers, Integers]:
        inner = np.argsort(triangles, axis=1, kind="stable")
        names = np.take_along_axis(triangles, inner, axis=1)
        order = np.lexsort(names.T[::-1])
        return inner[order], names[order], order

    theirs, their_names, their_order = sorted_faces(corners)
    ours, our_names, our_order = sorted_faces(faces)
    if (their_names != our_names).any():
        raise Refusal("is of another mesh: its faces join other vertices")
    result = np.empty_like(indices)
    result[our_order[:, None], ours] = np.take_along_axis(indices[their_order], theirs, axis=1)
    return result


def _from_npz(path: Path) -> tuple[Floats, Integers, Integers | None]:
    """Texture coordinates (n, 2), their indices (F, 3), and the vertices (F, 3) at those corners if it has them."""
    fields = {name: dense(member) for name, member in read_npz(path).items() if name in ("vt", "ft", "f")}
    for name, width, kinds in (("vt", 2, "f"), ("ft", 3, "iu"), ("f", 3, "iu")):
        if name not in fields:
            if name == "f":
                continue
            raise Refusal("has no field {name!r}", name=name)
        if fields[name].ndim != 2 or fields[name].shape[1] < width or fields[name].dtype.kind not in kinds:
            shape, kind = fields[name].shape, fields[name].dtype
            raise Refusal("has a {name} of the shape {shape} and the type {type}", name=name, shape=shape, type=kind)
    coordinates = fields["vt"][:, :2].astype(np.float64)
    indices = fields["ft"][:, :3].astype(np.int64)
    corners = fields["f"].astype(np.int64) if "f" in fields else None
    if not np.isfinite(coordinates).all() or (corners is not None and corners.shape != indices.shape):
        raise Refusal("is damaged: its vt holds no numbers, or its ft and f differ")
    return coordinates, indices, corners


def _from_obj(path: Path) -> tuple[Floats, Integers, Integers]:
    """The same from the ``vt`` and ``f`` lines of a Wavefront file of triangles."""
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise Refusal("has {size:,} bytes, far more than a template", size=path.stat().st_size)
    coordinates: list[tuple[float, float]] = []
    faces: list[list[tuple[int, int]]] = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        words = line.split()
        try:
            if words[:1] == ["vt"]:
                coordinates.append((float(words[1]), float(words[2])))
            elif words[:1] == ["f"]:
                faces.append([_corner(word) for word in words[1:]])
        except (ValueError, IndexError) as error:
            text = shown(line.strip(), 40)
            raise Refusal("cannot be read in line {number:,} ({text})", number=number, text=text) from error
        if faces and len(faces[-1]) != 3:
            predicate = "has a face of {count} corners in line {number:,}, and FLAME has triangles"
            raise Refusal(predicate, count=len(faces[-1]), number=number)
    if not coordinates or not faces:
        raise Refusal("has no texture coordinates")
    table: npt.NDArray[Any] = np.array(faces, np.int64) - 1
    values = np.array(coordinates)
    if not np.isfinite(values).all():
        raise Refusal("is damaged: its texture coordinates are not all numbers")
    return values, table[..., 1], table[..., 0]


def _corner(word: str) -> tuple[int, int]:
    """Vertex and texture coordinate of ``7/9`` or ``7/9/2``, counted from one."""
    vertex, coordinate = word.split("/")[:2]
    return int(vertex), int(coordinate)
