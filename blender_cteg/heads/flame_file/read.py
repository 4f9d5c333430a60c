# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a FLAME model from a release's ``.pkl`` or ``.npz`` (no ``bpy``).

Every release (2017, 2020, 2023, 2023 Open) has the fields ``v_template``, ``f``, ``shapedirs`` with 300 identity and
100 expression directions, ``posedirs``, ``J_regressor``, ``weights`` and ``kintree_table``. Files that keep the
expressions apart, as ``exprdirs``, are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...sentences import told
from . import JOINTS, FlameFileError, Refusal, shown
from .arrays import dense, read_npz
from .unpickle import read_pickle

Floats = npt.NDArray[np.float64]

#: Identity and expression directions in the ``shapedirs`` of every release.
IDENTITY: Final = 300
EXPRESSION: Final = 100
#: Fewer expressions are no basis to perform with.
FEWEST_EXPRESSIONS: Final = 10
#: (R - I) of neck, jaw and both eyes, row by row: nine pose correctives for each joint but the root.
CORRECTIVES: Final = 36
#: The vertices of every release; other numbers are read too.
FLAME_VERTICES: Final = 5023
#: Releases have 50 to 250 MB.
MAX_FILE_BYTES: Final = 1 << 29

#: Field -> its names in the files that are around, the releases' own first.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "v_template": ("v_template",),
    "f": ("f", "faces"),
    "shapedirs": ("shapedirs",),
    "exprdirs": ("exprdirs", "expr_dirs", "expressiondirs", "expression_dirs", "expdirs"),
    "posedirs": ("posedirs",),
    "J_regressor": ("J_regressor",),
    "weights": ("weights", "lbs_weights"),
    "kintree_table": ("kintree_table",),
}
_OPTIONAL: Final = frozenset({"exprdirs", "posedirs"})
#: Joints of the body models whose files look much the same.
_OTHER_MODELS: Final = {24: "SMPL", 52: "SMPL+H", 55: "SMPL-X", 16: "MANO", 35: "SMAL"}


@dataclass(frozen=True)
class FlameModel:
    """A FLAME model in its own axes (x to the character's left, y up, z forward), in metres.

    Attributes:
        template: vertices at rest, shape (V, 3).
        faces: triangles, shape (F, 3).
        identity: vertex offsets per unit of each identity coefficient, shape (V, 3, K); K may be 0.
        expression: vertex offsets per unit of each expression coefficient, shape (V, 3, M).
        joint_regressor: what gives the joints (`JOINTS`) from the vertices, shape (5, V).
        weights: how much each vertex follows each joint, shape (V, 5); rows add up to 1.
        parents: the parent of each joint, -1 for the root.
        correctives: vertex offsets per unit of each element of R - I, neck to right eye and row by row, shape
            (V, 3, 36), or None where the file has none.
    """

    template: Floats
    faces: npt.NDArray[np.int64]
    identity: Floats
    expression: Floats
    joint_regressor: Floats
    weights: Floats
    parents: tuple[int, ...]
    correctives: Floats | None = None

    @property
    def joints(self) -> Floats:
        """Where the joints are on the template, shape (5, 3)."""
        return self.joint_regressor @ self.template

    def summary(self) -> str:
        """What the file holds, in words."""
        count = len(self.template)
        parts = [
            told("{count:,} vertices", count=count)
            if count == FLAME_VERTICES
            else told("{count:,} vertices (FLAME's releases have {usual:,})", count=count, usual=FLAME_VERTICES),
            told("{count} identities", count=self.identity.shape[2]),
            told("{count} expressions", count=self.expression.shape[2]),
        ]
        return ", ".join(parts if self.correctives is None else [*parts, told("pose correctives")])


def read_flame(path: Path) -> FlameModel:
    """The FLAME model in a file. The file's content decides how it is read, not its ending.

    Raises:
        FlameFileError: the file is missing, hostile, damaged, or no FLAME model; the sentence names it, and the field
            or the name that is at fault.
    """
    try:
        return _model(_fields(path))
    except Refusal as refusal:
        sentence = "{file} {problem}. Download the model again from the FLAME website, or choose another file."
        raise FlameFileError(sentence, file=shown(path.name), problem=refusal) from refusal
    except (MemoryError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error) or told("there is not enough memory")
        raise FlameFileError("{file} cannot be read: {why}.", file=shown(path.name), why=why) from error
    except Exception as error:  # whatever else a damaged file makes of a reader
        sentence = "{file} is damaged ({why}). Download the model again from the FLAME website, or choose another file."
        raise FlameFileError(sentence, file=shown(path.name), why=shown(f"{type(error).__name__}: {error}")) from error


def _fields(path: Path) -> dict[Any, Any]:
    """What the file holds, by name; `dense` gives the arrays."""
    if not path.is_file():
        raise Refusal("is not there" if not path.exists() else "is not a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Refusal("has {size:,} bytes, far more than a FLAME file", size=path.stat().st_size)
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK"):
        return read_npz(path)
    if not start:
        raise Refusal("is empty")
    if start.startswith(b"\x93NUMPY"):
        raise Refusal("is a single numpy array, not a FLAME model")
    if start.startswith(b"\x1f\x8b"):
        raise Refusal("is compressed with gzip, not a FLAME model")
    content = read_pickle(path.read_bytes())
    if type(content) is not dict:
        raise Refusal("is a pickle without named fields, so not a FLAME model")
    return content


def _model(fields: dict[Any, Any]) -> FlameModel:
    """The model in a table of fields, each checked."""
    found = {field: next((name for name in names if name in fields), None) for field, names in _NAMES.items()}
    missing = [field for field, name in found.items() if name is None and field not in _OPTIONAL]
    if missing:
        has = ", ".join(shown(str(name), 20) for name in list(fields)[:6]) or told("no fields")
        raise Refusal("has no field {name!r}, so it is not a FLAME model (it has {has})", name=missing[0], has=has)

    def field(name: str, *shape: int | None, whole: bool = False) -> Any:
        key = found[name]
        return None if key is None else _checked(key, fields, shape, whole)

    template = field("v_template", None, 3)
    count = len(template)
    if count == 0:
        raise Refusal("has a v_template without vertices")
    weights = field("weights", count, None)
    joints = weights.shape[1]
    if joints != len(JOINTS):
        if joints in _OTHER_MODELS:
            name = _OTHER_MODELS[joints]
            raise Refusal("is a {name} model, and FLAME has {count} joints", name=name, count=len(JOINTS))
        raise Refusal("is a model with {joints} joints, and FLAME has {count} joints", joints=joints, count=len(JOINTS))
    if weights.min() < -1e-3 or np.abs(weights.sum(axis=1) - 1).max() > 0.01:
        raise Refusal("has weights that do not add up to 1 for every vertex")
    faces = field("f", None, 3, whole=True)
    if not len(faces) or faces.min() < 0 or faces.max() >= count:
        raise Refusal("has an f that names vertices beyond the {count:,} of its v_template", count=count)
    identity, expression = _split(field("shapedirs", count, 3, None), field("exprdirs", count, 3, None), found)
    return FlameModel(
        template,
        faces,
        identity,
        expression,
        field("J_regressor", len(JOINTS), count),
        weights,
        _parents(field("kintree_table", 2, len(JOINTS), whole=True)),
        field("posedirs", count, 3, CORRECTIVES),
    )


def _checked(name: str, fields: dict[Any, Any], shape: tuple[int | None, ...], whole: bool) -> Any:
    """Field ``name`` as floats (integers where ``whole``) of this shape; None stands for any length."""
    try:
        values = dense(fields[name])
    except Refusal as refusal:
        raise Refusal("cannot be used: its {name} {problem}", name=name, problem=refusal) from refusal
    except (ValueError, TypeError, OverflowError) as error:
        # More dimensions than numpy has, text that stands for no bytes, sizes beyond 64 bits.
        raise Refusal("cannot be used: its {name} is described in an impossible way", name=name) from error
    expected = tuple(given if wanted is None else wanted for wanted, given in zip(shape, values.shape, strict=False))
    if len(values.shape) != len(shape) or values.shape != expected:
        wanted = " x ".join("n" if n is None else f"{n:,}" for n in shape)
        given = " x ".join(f"{n:,}" for n in values.shape) or told("a single number")
        predicate = "cannot be used: its {name} is {given} where a FLAME file has {wanted}"
        raise Refusal(predicate, name=name, given=given, wanted=wanted)
    if whole:
        # Some releases count with unsigned numbers, some with floats.
        if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
            raise Refusal("cannot be used: its {name} holds fractions where whole numbers belong", name=name)
        return values.astype(np.int64)
    result = values.astype(np.float64)
    if not np.isfinite(result).all():
        raise Refusal("is damaged: its {name} holds values that are not numbers (NaN or infinite)", name=name)
    if result.size and (most := np.abs(result).max()) > 1e4:
        raise Refusal("is damaged: its {name} holds values as large as {most:.3g}", name=name, most=most)
    return result


def _split(shape: Floats, apart: Floats | None, names: Mapping[str, str | None]) -> tuple[Floats, Floats]:
    """Identity and expression directions."""
    if apart is not None:
        if apart.shape[2] < FEWEST_EXPRESSIONS:
            raise Refusal(
                "cannot be used: its {name} has {count} expressions, and performing needs at least {fewest}",
                name=names["exprdirs"], count=apart.shape[2], fewest=FEWEST_EXPRESSIONS,
            )  # fmt: skip
        # A file may have the expressions in both places.
        return shape[:, :, :IDENTITY], apart
    if shape.shape[2] != IDENTITY + EXPRESSION:
        raise Refusal(
            "cannot be used: its shapedirs has {count} directions where a FLAME file has {wanted} ({identities} "
            "identities and {expressions} expressions), so which of them are expressions is not known",
            count=shape.shape[2], wanted=IDENTITY + EXPRESSION, identities=IDENTITY, expressions=EXPRESSION,
        )  # fmt: skip
    return shape[:, :, :IDENTITY], shape[:, :, IDENTITY:]


def _parents(table: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Parents from a kintree table; whatever it says of the root (-1, or 2**32 - 1), the root has none."""
    parents = (-1, *(int(parent) for parent in table[0, 1:]))
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents) if joint):
        raise Refusal("cannot be used: its kintree_table names the parents {parents}", parents=list(parents[1:]))
    return parents
