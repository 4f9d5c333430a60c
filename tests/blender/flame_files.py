# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME files of the true layout, made from the CC0 demo head, and what FLAME itself would show."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.spatial.transform import Rotation

from blender_cteg.character.fitting import FLAME_VERTICES
from blender_cteg.character.fitting.actions import template
from blender_cteg.character.fitting.fit import flame_landmarks
from blender_cteg.heads.demo_head.assemble import load_head, locate_head_asset

Floats = npt.NDArray[np.float64]
Fields = dict[str, Any]


def flame_fields(vertices: int = FLAME_VERTICES) -> Fields:
    """A FLAME release's fields, from this many vertices of the demo head.

    Its fifty expressions are the head's. The identities, the other fifty and the pose correctives are smooth noise of
    some millimetres. At FLAME's own size, the vertices that FLAME's landmarks name lie at those places of the face.
    """
    head = baked_head()
    full = head["v_template"].astype(np.float64)
    joints = head["J_regressor"].astype(np.float64) @ full
    kept = _kept(head, joints, vertices)
    template = full[kept]
    places = np.full(len(full), -1)
    places[kept] = np.arange(vertices)
    faces = places[head["f"]]
    weights = head["weights"][kept].astype(np.float64)
    rng = np.random.default_rng(5)
    waves = np.sin(template @ rng.normal(0, 20, (3, 24)) + rng.uniform(0, 6, 24))  # (V, 24)

    def noise(count: int, size: float) -> Floats:
        return np.einsum("vw,wck->vck", waves, rng.normal(0, size / 5, (24, 3, count)))

    directions = head["shapedirs"][kept].astype(np.float64)
    return {
        "v_template": template,
        "f": faces[(faces >= 0).all(axis=1)].astype(np.uint32),
        "shapedirs": np.concatenate([noise(300, 0.002), directions, noise(50, 0.001)], axis=2),
        "posedirs": noise(36, 0.01),
        "J_regressor": _regressor(template, joints),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def baked_head() -> Fields:
    """The arrays of the demo head, without its images."""
    return load_head(locate_head_asset())


def _kept(head: Fields, joints: Floats, count: int) -> npt.NDArray[np.int64]:
    """Which vertices are kept, in their new order."""
    skin = np.unique(head["polygons"][head["material_index"] == head["materials"].tolist().index("Skin")][:, :3])
    if count != FLAME_VERTICES:
        used = head["f"].ravel()
        return used[np.sort(np.unique(used, return_index=True)[1])][:count]  # neighbours, so that there are faces
    kept = np.random.default_rng(1).permutation(len(head["v_template"]))
    marks = template().positions[:68]
    marks = marks * np.linalg.norm(joints[3] - joints[4]) + joints[3:].mean(axis=0) + [0, 0, 0.012]
    distances = np.linalg.norm(head["v_template"][skin][None] - marks[:, None], axis=2)
    named: list[int] = []
    for row in distances:
        row[np.isin(skin, named)] = np.inf
        named.append(int(skin[row.argmin()]))
    rest = kept[~np.isin(kept, named)]
    result = rest[:count].copy()
    result[flame_landmarks()] = named
    return result


def _regressor(template: Floats, joints: Floats) -> Floats:
    """(5, V) weights over the vertices nearest to each joint, which add up to one and give the joint."""
    regressor = np.zeros((len(joints), len(template)))
    for row, joint in enumerate(joints):
        near = np.argsort(((template - joint) ** 2).sum(axis=1))[:60]
        system = np.concatenate([template[near].T, np.ones((1, len(near)))])
        regressor[row, near] = np.linalg.lstsq(system, np.append(joint, 1.0), rcond=None)[0]
    return regressor


def forward(
    fields: Fields, expression: Floats, pose: Floats, *, correctives: bool = False, joints_follow: bool = False
) -> Floats:
    """What FLAME computes: (V, 3) vertices in its own axes and metres.

    Args:
        fields: see `flame_fields`.
        expression: up to 100 coefficients.
        pose: rotation vector of root, neck, jaw, left and right eye, shape (5, 3).
        correctives: add the pose correctives.
        joints_follow: regress the joints from the expressive face, as FLAME's own code does; else from the template,
            as every rig of bones does.
    """
    template = fields["v_template"]
    vertices = template + fields["shapedirs"][:, :, 300 : 300 + len(expression)] @ expression
    joints = fields["J_regressor"] @ (vertices if joints_follow else template)
    rotations = Rotation.from_rotvec(pose).as_matrix()
    if correctives:
        vertices = vertices + fields["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    world = np.zeros((5, 4, 4))
    for joint, parent in enumerate([-1, 0, 1, 1, 1]):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world[joint] = world[parent] @ local if parent >= 0 else local
    world[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], joints)
    blended = np.einsum("vj,jab->vab", fields["weights"], world)
    moved: Floats = np.einsum("vab,vb->va", blended[:, :3, :3], vertices) + blended[:, :3, 3]
    return moved


# ------------------------------------------------------------------------------------------------ files


def write_npz(path: Path, fields: Fields) -> Path:
    np.savez(path, **{name: value for name, value in fields.items() if isinstance(value, np.ndarray)})
    return path


def write_pickle(path: Path, fields: Fields, protocol: int = 2, chumpy: bool = False) -> Path:
    """A pickle as FLAME's releases are: a sparse regressor and, up to 2020, chumpy arrays."""
    fields = {**fields, "J_regressor": scipy.sparse.csc_matrix(fields["J_regressor"])}
    with chumpy_modules() as modules:
        if chumpy:
            for name in ("v_template", "shapedirs", "weights", "posedirs"):
                fields[name] = modules["ch"].Ch(fields[name])
        path.write_bytes(pickle.dumps(fields, protocol))
    return path


@contextmanager
def chumpy_modules() -> Iterator[dict[str, Any]]:
    """Modules that pickle as chumpy's do, while they are needed: ``ch`` with Ch, ``reordering`` with Select."""

    class Chumpy:
        def __getstate__(self) -> Fields:
            return {"_dirty_vars": {"x"}, "_itr": None, "_make_dense": False, "_depends_on_deps": {}, **self.__dict__}

    def ch(self: Any, x: Any) -> None:
        self.x = x

    def select(self: Any, **state: Any) -> None:
        self.__dict__.update(state)

    made: dict[str, Any] = {}
    classes = (("ch", "Ch", ch), ("reordering", "Select", select), ("reordering", "Reshape", select))
    for module_name, class_name, init in (*classes, ("ch_ops", "add", select)):
        full = f"chumpy.{module_name}"
        module = made.setdefault(module_name, types.ModuleType(full))
        kind = type(class_name, (Chumpy,), {"__init__": init, "__module__": full})
        setattr(module, class_name, kind)
    names = {"chumpy": types.ModuleType("chumpy"), **{f"chumpy.{name}": module for name, module in made.items()}}
    assert not names.keys() & sys.modules.keys()
    sys.modules.update(names)
    try:
        yield made
    finally:
        for name in names:
            del sys.modules[name]


class Python2:
    """Writes pickles as Python 2 did, in protocol 0 or 2: 8-bit strings, names of the old modules."""

    def __init__(self, protocol: int) -> None:
        self.old = protocol == 0

    def dumps(self, fields: Fields) -> bytes:
        parts = [b"" if self.old else b"\x80\x02", b"(dp0\n" if self.old else b"}q\x00"]
        for name, value in fields.items():
            parts += [self.text(name.encode()), self.value(name, value), b"s"]
        return b"".join([*parts, b"."])

    def value(self, name: str, value: Any) -> bytes:
        if isinstance(value, str):
            return self.text(value.encode())
        if name == "J_regressor":
            sparse = scipy.sparse.csc_matrix(value)
            state = {"_shape": value.shape, "maxprint": 50, "data": sparse.data, "indices": sparse.indices}
            return self.object("scipy.sparse.csc", "csc_matrix", {**state, "indptr": sparse.indptr, "format": "csc"})
        if name in ("v_template", "shapedirs"):
            return self.object("chumpy.ch", "Ch", {"_dirty_vars": {"x"}, "_itr": None, "x": value})
        return self.array(value)

    def text(self, value: bytes) -> bytes:
        if self.old:
            escaped = "".join(chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\x{b:02x}" for b in value)
            return b"S'" + escaped.encode() + b"'\n"
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value

    def number(self, value: int) -> bytes:
        return f"I{value}\n".encode() if self.old else b"J" + struct.pack("<i", value)

    def truth(self, value: bool) -> bytes:
        return f"I0{int(value)}\n".encode() if self.old else (b"\x88" if value else b"\x89")

    def tuple(self, *parts: bytes) -> bytes:
        return b"(" + b"".join(parts) + b"t"

    def array(self, value: npt.NDArray[Any]) -> bytes:
        shape = self.tuple(*(self.number(n) for n in value.shape))
        empty = self.tuple(b"cnumpy\nndarray\n", self.tuple(self.number(0)), self.text(b"b"))
        kind = self.tuple(self.text(value.dtype.str[1:].encode()), self.number(0), self.number(1))
        order = self.text(b"<" if value.dtype.itemsize > 1 else b"|")
        state = self.tuple(self.number(3), order, b"NNN", self.number(-1), self.number(-1), self.number(0))
        dtype = b"cnumpy\ndtype\n" + kind + b"R" + state + b"b"
        content = self.tuple(self.number(1), shape, dtype, self.truth(False), self.text(value.tobytes()))
        return b"cnumpy.core.multiarray\n_reconstruct\n" + empty + b"R" + content + b"b"

    def object(self, module: str, name: str, state: Fields) -> bytes:
        kind = f"c{module}\n{name}\n".encode()
        if self.old:
            made = b"ccopy_reg\n_reconstructor\n" + self.tuple(kind, b"c__builtin__\nobject\n", b"N") + b"R"
        else:
            made = kind + b")\x81"
        parts = [made, b"(d" if self.old else b"}"]
        for key, value in state.items():
            match value:
                case None:
                    stored = b"N"
                case set():
                    listed = b"(l" + b"".join(self.text(item.encode()) + b"a" for item in value)
                    stored = b"c__builtin__\nset\n" + self.tuple(listed) + b"R"
                case tuple():
                    stored = self.tuple(*(self.number(int(n)) for n in value))
                case int():
                    stored = self.number(value)
                case str():
                    stored = self.text(value.encode())
                case _:
                    stored = self.array(value)
            parts += [self.text(key.encode()), stored, b"s"]
        return b"".join([*parts, b"b"])
