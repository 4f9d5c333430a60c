# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME files of every layout are read; hostile and damaged ones are refused by name, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from blender_cteg.heads.flame_file import FlameFileError
from blender_cteg.heads.flame_file.read import FlameModel, read_flame
from tests.hostile import PROTO, Calls, named, text

from . import flame_files
from .flame_files import Fields, Python2, write_npz, write_pickle

VERTICES = 200


@pytest.fixture(scope="module")
def fields() -> Fields:
    return flame_files.flame_fields(VERTICES)


def same(model: FlameModel, fields: Fields) -> bool:
    """Whether the model is what was written, to the last bit."""
    pairs = [
        (model.template, fields["v_template"]),
        (model.faces, fields["f"]),
        (model.identity, fields["shapedirs"][:, :, :300]),
        (model.expression, fields["shapedirs"][:, :, 300:]),
        (model.joint_regressor, fields["J_regressor"]),
        (model.weights, fields["weights"]),
        (model.correctives, fields["posedirs"]),
    ]
    return model.parents == (-1, 0, 1, 1, 1) and all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("chumpy", [False, True], ids=["numpy", "chumpy"])
@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_all_protocols(tmp_path: Path, fields: Fields, protocol: int, chumpy: bool) -> None:
    assert same(read_flame(write_pickle(tmp_path / "flame.pkl", fields, protocol, chumpy)), fields)


@pytest.mark.parametrize("protocol", [0, 2])
def test_pickles_of_python_2(tmp_path: Path, fields: Fields, protocol: int) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(Python2(protocol).dumps(fields))
    assert same(read_flame(path), fields)


def test_npz_and_wrong_endings(tmp_path: Path, fields: Fields) -> None:
    path = write_npz(tmp_path / "flame.npz", fields)
    assert same(read_flame(path), fields)
    assert same(read_flame(path.rename(tmp_path / "flame.pkl")), fields)


def test_expressions_apart_and_single_precision(tmp_path: Path, fields: Fields) -> None:
    both = fields["shapedirs"].astype(np.float32)
    apart = {**fields, "shapedirs": both[:, :, :10], "expr_dirs": np.asfortranarray(both[:, :, 300:380])}
    model = read_flame(write_npz(tmp_path / "flame.npz", apart))
    assert model.identity.shape[2] == 10 and np.array_equal(model.expression, both[:, :, 300:380])
    del apart["posedirs"]
    assert read_flame(write_npz(tmp_path / "flame.npz", apart)).correctives is None
    assert "200 vertices (FLAME's releases have 5,023), 10 identities, 80 expressions" in model.summary()


@pytest.mark.parametrize("form", ["csc", "csr", "coo"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse_matrices(tmp_path: Path, fields: Fields, form: str, kind: str) -> None:
    sparse = getattr(scipy.sparse, f"{form}_{kind}")(fields["J_regressor"])
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({**fields, "J_regressor": sparse}, 4))
    assert np.array_equal(read_flame(path).joint_regressor, fields["J_regressor"])


def test_selections_and_shapes_of_chumpy(tmp_path: Path, fields: Fields) -> None:
    path = tmp_path / "flame.pkl"
    more = np.concatenate([fields["v_template"], fields["v_template"]]).ravel()
    with flame_files.chumpy_modules() as modules:
        stored = modules["ch"].Ch(more)
        indices = np.arange(VERTICES * 3)
        chosen = modules["reordering"].Select(a=stored, idxs=indices, preferred_shape=(VERTICES, 3))
        weights = modules["reordering"].Reshape(a=modules["ch"].Ch(fields["weights"].ravel()), newshape=(VERTICES, 5))
        path.write_bytes(pickle.dumps({**fields, "v_template": chosen, "weights": weights}, 2))
        model = read_flame(path)
        assert np.array_equal(model.template, fields["v_template"])
        assert np.array_equal(model.weights, fields["weights"])
        sums = modules["ch_ops"].add(a=stored, b=stored)
        path.write_bytes(pickle.dumps({**fields, "v_template": sums}, 2))
        with pytest.raises(FlameFileError, match=r"its v_template is a chumpy\.ch_ops\.add, a chumpy expression"):
            read_flame(path)
        # What is not needed may be anything harmless.
        path.write_bytes(pickle.dumps({**fields, "J": sums}, 2))
        assert same(read_flame(path), fields)
        endless = modules["ch"].Ch(None)
        endless.x = endless
        path.write_bytes(pickle.dumps({**fields, "v_template": endless}, 2))
        with pytest.raises(FlameFileError, match="its v_template refers to other arrays without end"):
            read_flame(path)


# ------------------------------------------------------------------------------------------------ hostile


@pytest.mark.parametrize("protocol", range(6))
def test_calls_are_refused_by_name_and_not_made(tmp_path: Path, fields: Fields, protocol: int) -> None:
    witness, path = tmp_path / "ran", tmp_path / "evil.pkl"
    hostile = {
        r"(posix|nt)\.system": Calls(os.system, f"touch {witness}"),
        r"(builtins|__builtin__)\.eval": Calls(eval, f"open({str(witness)!r}, 'w')"),
        r"(builtins|__builtin__)\.exec": Calls(exec, f"open({str(witness)!r}, 'w')"),
        r"(builtins|__builtin__)\.getattr": Calls(getattr, "", "join"),
        r"(subprocess|commands)\.Popen": Calls(subprocess.Popen, ["touch", str(witness)]),
        r"numpy\.load|numpy\.lib\.\w+\.load": Calls(np.load, str(witness)),
    }
    for name, call in hostile.items():
        for content in (call, {**fields, "extra": [(1, {"x": call})]}, {**fields, "v_template": call}):
            path.write_bytes(pickle.dumps(content, protocol))
            with pytest.raises(FlameFileError, match=rf"^evil\.pkl names {name}.*nothing of it was run"):
                read_flame(path)
    assert not witness.exists()
    # The witness is worth something: ordinary unpickling does make the call.
    pickle.loads(pickle.dumps(hostile[r"(builtins|__builtin__)\.eval"], protocol))  # noqa: S301
    assert witness.exists()


def test_a_class_called_like_chumpys_that_runs_something(tmp_path: Path, fields: Fields) -> None:
    witness, path = tmp_path / "ran", tmp_path / "evil.pkl"
    with flame_files.chumpy_modules() as modules:
        kind = modules["ch"].Ch
        kind.__reduce__ = lambda _: (subprocess.Popen, (["touch", str(witness)],))
        path.write_bytes(pickle.dumps({**fields, "v_template": kind(fields["v_template"])}, 2))
        kind.__reduce__ = lambda _: (kind, (["touch", str(witness)],))
        with pytest.raises(FlameFileError, match=r"(subprocess|commands)\.Popen"):
            read_flame(path)
        path.write_bytes(pickle.dumps({**fields, "v_template": kind(fields["v_template"])}, 2))
        with pytest.raises(FlameFileError, match=r"calls chumpy\.ch\.Ch"):
            read_flame(path)
    assert not witness.exists()


CH = named("chumpy.ch", "Ch")
HOSTILE_PROGRAMS = {
    # what is refused: (program, what the message says)
    "os.system": (PROTO + named("os", "system") + text("true") + b"\x85R.", r"names os\.system"),
    "os.system in protocol 0": (b"cos\nsystem\n(S'true'\ntR.", r"names os\.system"),
    "os.system by INST": (b"(S'true'\nios\nsystem\n.", r"names os\.system"),
    "os.system by OBJ": (b"(cos\nsystem\nS'true'\no.", r"names os\.system"),
    "a name put together on the stack": (PROTO + text("posix") + text("system") + b"\x93.", r"names posix\.system"),
    "names within names": (PROTO + CH + b")\x81}" + text("x") + text("os") + text("system") + b"\x93.", r"os\.system"),
    "a dotted name": (PROTO + text("chumpy.ch") + text("Ch.os.system()") + b"\x93.", r"Ch\.os\.system\(\)"),
    "a dunder of numpy": (PROTO + text("numpy") + text("ndarray.__reduce__") + b"\x93.", r"ndarray\.__reduce__"),
    "a name with a line break": (PROTO + text("os\nx") + text("system") + b"\x93.", r"'os\\nx\.system'"),
    "a name that is not text": (PROTO + b"K\x01K\x02\x93.", "stops making sense at byte 7"),
    "another class of scipy's": (PROTO + named("scipy.sparse", "load_npz") + b".", r"scipy\.sparse\.load_npz"),
    "importlib": (b"cimportlib\nimport_module\n(S'os'\ntR.", r"importlib\.import_module"),
    "pickle in a pickle": (b"cpickle\nloads\n(S'cos'\ntR.", r"names pickle\.loads"),
    "a registered extension": (PROTO + b"\x82\x07.", "the registered extension 7"),
    "a registered extension of two bytes": (PROTO + b"\x83\x01\x01.", "the registered extension 257"),
    "a persistent identifier": (PROTO + b"K\x01Q.", "a persistent identifier"),
    "a persistent identifier as text": (b"Pmodule:os\n.", r"a persistent identifier \(module:os\)"),
    "a buffer from outside": (PROTO + b"\x97.", "a buffer outside the file"),
    "a call of a class": (PROTO + CH + b")R.", r"calls chumpy\.ch\.Ch"),
    "a call of a constant": (PROTO + named("numpy", "ndarray") + b")R.", r"calls numpy\.ndarray"),
    "a call of an object": (PROTO + CH + b")\x81)R.", r"calls a chumpy\.ch\.Ch"),
    "a call of text": (PROTO + text("system") + b")R.", "calls a value of type str"),
    "an object with arguments": (PROTO + CH + b"K\x01\x85\x81.", r"makes a chumpy\.ch\.Ch with arguments"),
    "an object with keywords": (PROTO + CH + b")}" + text("x") + b"Ns\x92.", "with arguments"),
    "an object of a function": (PROTO + named("numpy", "dtype") + b")\x81.", r"an object of numpy\.dtype"),
    "a reconstructed function": (
        b"ccopy_reg\n_reconstructor\n(cnumpy\ndtype\nc__builtin__\nobject\nNtR.",
        r"an object of numpy\.dtype",
    ),
    "a state for a class": (PROTO + CH + b"}b.", r"sets the state of chumpy\.ch\.Ch"),
    "a state for a dictionary": (PROTO + b"}}b.", "sets the state of a value of type dict"),
    "items of an object": (PROTO + CH + b")\x81K\x01K\x02s.", r"sets items of a chumpy\.ch\.Ch"),
    "a nested key": (PROTO + b"})K\x01s.", "as the key of a dictionary"),
    "text of 4 GB in a few bytes": (PROTO + b"X\xff\xff\xff\xffab.", "cut off or damaged: 4,294,967,295 bytes"),
    "bytes of 2**62 in a few bytes": (PROTO + b"\x8e" + struct.pack("<Q", 2**62) + b"ab.", "cut off or damaged"),
    "a negative length": (b"T\xff\xff\xff\xffab.", "stops making sense at byte 5"),
    "a huge integer": (PROTO + b"\x8a\xff" + b"\x7f" * 255 + b".", "more than 64 bits"),
    "a huge decimal integer": (b"L" + b"9" * 5000 + b"L\n.", "stops making sense at byte 5,003"),
    "an endless program": (PROTO + b"N0" * 300_000 + b".", "more than 500,000 pickle instructions"),
    "nothing": (b"", "is empty"),
    "a text file": (b"hello, this is a readme\n" * 9, "is not a whole pickle"),
    "a single array": (b"\x93NUMPY\x01\x00v\x00", "is a single numpy array"),
    "a compressed file": (b"\x1f\x8b\x08\x00", "compressed with gzip"),
    "a list": (PROTO + b"].", "without named fields"),
    "another dictionary": (PROTO + b"}" + text("poses") + b"Ns.", r"has no field 'v_template'.*it has poses"),
    "two values": (PROTO + b"NN.", "unfinished values"),
    "no stop": (PROTO + b"}", "cut off"),
}


@pytest.mark.parametrize("title", HOSTILE_PROGRAMS)
def test_programs_that_are_no_flame_file_are_refused(tmp_path: Path, title: str) -> None:
    program, message = HOSTILE_PROGRAMS[title]
    path = tmp_path / "evil.pkl"
    path.write_bytes(program)
    with pytest.raises(FlameFileError, match=rf"^evil\.pkl .*{message}") as raised:
        read_flame(path)
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


def test_bombs_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pkl"
    deep = 200_000
    for program in (
        PROTO + b"}r\xff\xff\xff\x7f.",  # a memo of two thousand million places
        PROTO + b"]" * deep + b"a" * (deep - 1) + b".",  # nested too deeply for recursion
        PROTO + (CH + b"q\x00)\x81" + b"h\x00)\x81" * 60_000 + b"b" * 60_000) + b".",
        PROTO + b")" + b"q\x00h\x00\x86" * 90 + b".",  # doubled ninety times
    ):
        path.write_bytes(program)
        with pytest.raises(FlameFileError, match="field"):
            read_flame(path)
    # One large text as the content of many arrays: none of them is asked for, none is made.
    array = named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    kind = named("numpy", "dtype") + text("u1") + b"\x89\x88\x87R"
    state = b"(K\x01J" + struct.pack("<i", 10**6) + b"\x85" + kind + b"\x89h\x05tb"
    once = text("a" * 10**6) + b"q\x050"
    path.write_bytes(PROTO + once + b"]" + (array + state + b"a") * 5_000 + b".")
    with pytest.raises(FlameFileError, match="without named fields"):
        read_flame(path)


def test_a_pickle_that_is_cut_or_damaged_anywhere_is_a_sentence(tmp_path: Path) -> None:
    small = {"v_template": np.zeros((2, 3)), "J_regressor": scipy.sparse.csc_matrix(np.eye(5, 2))}
    path = tmp_path / "flame.pkl"
    for whole in (pickle.dumps(small, 4), pickle.dumps(small, 2), Python2(0).dumps({"v_template": np.zeros((2, 3))})):
        for length in range(0, len(whole), 7):
            path.write_bytes(whole[:length])
            with pytest.raises(FlameFileError, match=r"^flame\.pkl "):
                read_flame(path)
        for position in range(0, len(whole), 3):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x11]) + whole[position + 1 :])
            with pytest.raises(FlameFileError, match=r"^flame\.pkl "):  # at best a field is missing
                read_flame(path)


# ------------------------------------------------------------------------------------------------ fields


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Fields], Fields]:
    return lambda fields: {**fields, name: change(np.array(fields[name]))}


def with_value(name: str, value: float) -> Callable[[Fields], Fields]:
    def change(array: Any) -> Any:
        array = array.copy()
        array.flat[7] = value
        return array

    return changed(name, change)


BAD_FIELDS: dict[str, tuple[Callable[[Fields], Fields], str]] = {
    "another width": (changed("shapedirs", lambda a: a[:, :, :150]), "its shapedirs has 150 directions where"),
    "few expressions apart": (
        lambda f: {**f, "exprdirs": f["shapedirs"][:, :, :4]},
        "its exprdirs has 4 expressions, and performing needs at least 10",
    ),
    "a template of another size": (changed("v_template", lambda a: a[:-1]), "its weights is 200 x 5 where .* 199 x n"),
    "a flat template": (changed("v_template", np.ravel), "its v_template is 600 where a FLAME file has n x 3"),
    "no vertices": (changed("v_template", lambda a: a[:0]), "a v_template without vertices"),
    "NaN": (with_value("shapedirs", np.nan), r"is damaged: its shapedirs holds values that are not numbers \(NaN"),
    "infinity": (with_value("posedirs", np.inf), "its posedirs holds values that are not numbers"),
    "far away": (with_value("v_template", 1e30), "its v_template holds values as large as 1e"),
    "faces of another mesh": (changed("f", lambda a: a + 100), "f that names vertices beyond the 200"),
    "negative faces": (changed("f", lambda a: a.astype(np.int64) - 500), "f that names vertices beyond"),
    "fractions as faces": (changed("f", lambda a: a + 0.5), "its f holds fractions where whole numbers belong"),
    "quads": (changed("f", lambda a: np.c_[a, a[:, 0]]), "its f is .* x 4 where a FLAME file has n x 3"),
    "a regressor turned": (changed("J_regressor", np.transpose), "its J_regressor is 200 x 5 where .* 5 x 200"),
    "weights of nothing": (changed("weights", lambda a: a * 0), "weights that do not add up to 1"),
    "SMPL-X": (changed("weights", lambda a: np.full((200, 55), 1 / 55)), "is a SMPL-X model, and FLAME has 5 joints"),
    "seven joints": (changed("weights", lambda a: np.full((200, 7), 1 / 7)), "a model with 7 joints"),
    "a child before its parent": (changed("kintree_table", lambda a: a * 0 + 4), "kintree_table names the parents"),
    "correctives of a body": (changed("posedirs", lambda a: a[:, :, :9]), "its posedirs is 200 x 3 x 9 where"),
    "objects": (lambda f: {**f, "weights": np.array([None, {}])}, "its weights holds objects instead of numbers"),
    "text": (lambda f: {**f, "f": np.array(["a"])}, r"its f holds elements of type '(<U1|U1)' instead of numbers"),
    "no regressor": (lambda f: {k: v for k, v in f.items() if k != "J_regressor"}, "has no field 'J_regressor'"),
}


@pytest.mark.parametrize("write", [write_npz, lambda path, fields: path.write_bytes(pickle.dumps(fields, 4)) and path])
@pytest.mark.parametrize("title", BAD_FIELDS)
def test_a_field_that_does_not_fit_is_named(tmp_path: Path, fields: Fields, title: str, write: Any) -> None:
    change, message = BAD_FIELDS[title]
    path = write(tmp_path / "flame.npz", change(fields))
    with pytest.raises(FlameFileError, match=rf"^flame\.npz .*{message}.*Download the model again"):
        read_flame(path)


def test_sparse_matrices_that_lie(tmp_path: Path, fields: Fields) -> None:
    path = tmp_path / "flame.pkl"
    for attribute, value in (
        ("_shape", (5, 10**12)), ("_shape", (-5, 200)), ("_shape", 7), ("indptr", np.arange(3)), ("data", None),
        ("indices", np.full(300, 10**9)), ("indices", np.full(300, -1)), ("indptr", np.full(201, 10**9)),
    ):  # fmt: skip
        sparse = scipy.sparse.csc_matrix(fields["J_regressor"])
        sparse.__dict__[attribute] = value
        path.write_bytes(pickle.dumps({**fields, "J_regressor": sparse}, 4))
        with pytest.raises(FlameFileError, match=r"its J_regressor (is a sparse matrix|refers to|is a NoneType)"):
            read_flame(path)


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + data


def test_archives_that_lie(tmp_path: Path, fields: Fields) -> None:
    path = tmp_path / "flame.npz"
    whole = write_npz(path, fields).read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "is a cut off or damaged archive"),
        (whole[:3000] + b"\xff" * 64 + whole[3064:], "its v_template cannot be unpacked|damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(FlameFileError, match=message):
            read_flame(path)

    def refused(member: bytes, message: str) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("v_template.npy", member)
            for name in ("f", "shapedirs", "J_regressor", "weights", "kintree_table"):
                archive.writestr(f"{name}.npy", b"")
        with pytest.raises(FlameFileError, match=rf"its v_template {message}"):
            read_flame(path)

    plain = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s)}"
    refused(npy(plain % "10**9, 3"), "is not a numpy array")
    refused(npy(plain % f"{10**15}, 3"), "has the shape .* and 0 bytes of data")
    refused(npy(plain % "-1, 3", bytes(24)), "has an impossible shape|is not a numpy array")
    refused(npy("__import__('os').system('true')"), "is not a numpy array")
    refused(npy("(" * 5000), "is not a numpy array")
    refused(npy(plain.replace("<f8", "|O") % "2, 3", bytes(48)), "holds objects instead of numbers")
    refused(b"cos\nsystem\n.", "is not a numpy array")
    refused(bytes((1 << 29) + 1), "would unpack to 536,870,913 bytes")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n(S'true'\ntR.")  # what torch writes
    with pytest.raises(FlameFileError, match=r"has no field 'v_template'.*it has no fields"):
        read_flame(path)


def test_arrays_described_in_impossible_ways(tmp_path: Path) -> None:
    path = tmp_path / "flame.pkl"
    kind = named("numpy", "dtype") + text("u1") + b"\x89\x88\x87R"
    array = named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    for shape, data in (
        (b"(" + b"K\x01" * 99 + b"t", b"C\x01\x00"),  # 99 dimensions
        (b"K\x00\x8a\x08" + b"\xff" * 7 + b"\x7f\x86", b"C\x00"),  # none of 2**63 - 1
        (b"K\x02\x85", text("\u2713\u2713")),  # text that stands for no bytes
        (b"K\x05\x85", text("1234")),
        (b"K\xff\x85", b"]"),
    ):
        template = text("v_template") + array + b"(K\x01" + shape + kind + b"\x89" + data + b"tbs"
        others = (text(name) + b"Ns" for name in ("f", "shapedirs", "J_regressor", "weights", "kintree_table"))
        path.write_bytes(PROTO + b"}" + template + b"".join(others) + b".")
        with pytest.raises(
            FlameFileError, match=r"its v_template (is described|has (the|an .*) shape|holds objects|is 0 x)"
        ):
            read_flame(path)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(FlameFileError, match=r"nowhere\.pkl is not there"):
        read_flame(tmp_path / "nowhere.pkl")
    with pytest.raises(FlameFileError, match="is not a file"):
        read_flame(tmp_path)
