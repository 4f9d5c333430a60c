# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickles of strangers: plain data comes through, and nothing a hostile file names is ever imported or called."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from generator.paper.released.numpy_pickles import StoredArray, read_numpy_pickle
from generator.paper.released.unpickling import Items, Refusal, StandIn, read_pickle
from tests.hostile import PROTO, Calls, named, text

#: Like the tables for checkpoints: an ordered dictionary, a function, what may only be mentioned; stand-ins.
NAMES: dict[str, Any] = {"collections.OrderedDict": Items, "builtins.len": lambda _: 5, "torch.float32": None}
CLASSES = re.compile(r"argparse\.Namespace|torch\.nn\.modules\.[\w.]+")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_back(protocol: int) -> None:
    shared = ["é", 3.5, -1, 2**40, 300, None]
    data = {"a": shared, "b": (shared, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), 7: {True: False}}
    content = read_pickle(pickle.dumps(data, protocol), {})
    assert content == data
    assert content["a"] is content["b"][0]


def test_sets_are_read_as_lists() -> None:
    assert read_pickle(pickle.dumps({"a": {3}, "b": set()}, 4), {}) == {"a": [3], "b": []}


def test_bytes_are_views_of_the_file() -> None:
    pickled = pickle.dumps([b"abc", b"x" * 300, bytearray(b"de")], 5)
    content = read_pickle(pickled, {})
    assert [bytes(part) for part in content] == [b"abc", b"x" * 300, b"de"]
    assert all(isinstance(part, memoryview) and part.readonly and part.obj is pickled for part in content)


def test_objects_become_stand_ins_that_collect_their_state() -> None:
    pickled = pickle.dumps({"settings": argparse.Namespace(lr=2.0, order=collections.OrderedDict(a=1))}, 2)
    settings = read_pickle(pickled, NAMES, CLASSES)["settings"]
    assert type(settings) is StandIn
    assert (settings.name, settings.attributes) == ("argparse.Namespace", {"lr": 2.0, "order": {"a": 1}})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_hostile_call_is_refused_by_name_and_not_made(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "ran"
    hostile = {
        f"{os.system.__module__}.system": Calls(os.system, f"touch {witness}"),
        "eval": Calls(eval, f"open({str(witness)!r}, 'w')"),
        "exec": Calls(exec, f"open({str(witness)!r}, 'w')"),
        "getattr": Calls(getattr, "", "join"),
        "remove": Calls(os.remove, str(tmp_path)),
    }
    for name, call in hostile.items():
        for nested in (call, {"settings": [argparse.Namespace(inner=(1, call))]}):
            with pytest.raises(Refusal, match=name):
                read_pickle(pickle.dumps(nested, protocol), NAMES, CLASSES)
    assert not witness.exists()
    # The witness is worth something: the ordinary reader does make the call.
    pickle.loads(pickle.dumps(hostile["eval"], protocol))  # noqa: S301
    assert witness.exists()


HOSTILE_PROGRAMS = {
    # what is refused: (program, what the message says)
    "os.system": (PROTO + named("os", "system") + text("true") + b"\x85R.", "os.system"),
    "a name put together on the stack": (PROTO + text("posix") + text("system") + b"\x93.", "posix.system"),
    "a dotted name": (PROTO + text("os") + text("path.os.system") + b"\x93.", r"os\.path\.os\.system"),
    "a name that is not text": (PROTO + b"K\x01K\x02\x93.", "damaged"),
    "a submodule of an allowed class": (PROTO + named("argparse", "Namespace.__init__") + b".", "Namespace.__init__"),
    "copyreg._reconstructor": (PROTO + named("copyreg", "_reconstructor") + b".", "copyreg._reconstructor"),
    "copy_reg, as Python 2 wrote it": (PROTO + named("copy_reg", "__newobj__") + b".", "copy_reg"),
    "extension codes": (PROTO + b"\x82\x01.", "EXT1"),
    "INST": (PROTO + b"(ios\nsystem\n.", "INST"),
    "OBJ": (PROTO + b"(" + named("argparse", "Namespace") + b"o.", "OBJ"),
    "NEWOBJ_EX": (PROTO + named("argparse", "Namespace") + b")}\x92.", "NEWOBJ_EX"),
    "an object with arguments": (PROTO + named("argparse", "Namespace") + b"K\x01\x85\x81.", "with arguments"),
    "an object of what is no class": (PROTO + named("builtins", "len") + b")\x81.", "builtins.len"),
    "an object of an object": (PROTO + named("argparse", "Namespace") + b")\x81)\x81.", "object of argparse"),
    "a call of a class": (PROTO + named("torch.nn.modules.linear", "Linear") + b")R.", "calls torch.nn.modules"),
    "a call of a constant": (PROTO + named("torch", "float32") + b")R.", "calls torch.float32"),
    "a call of a stand-in": (PROTO + named("argparse", "Namespace") + b")\x81)R.", "calls an object"),
    "a call of text": (PROTO + text("system") + b")R.", "calls a value of type str"),
    "a call with too many arguments": (PROTO + named("builtins", "len") + b"K\x01K\x02\x86R.", "does not take"),
    "a call with a list of arguments": (PROTO + named("builtins", "len") + b"]R.", "for arguments"),
    "state for a class": (PROTO + named("argparse", "Namespace") + b"}b.", "sets the state of argparse"),
    "state for a function": (PROTO + named("builtins", "len") + b"}b.", "sets the state of builtins.len"),
    "state for a list": (PROTO + b"]}b.", "sets the state of a value of type list"),
    "__setstate__ on a dict": (PROTO + b"}" + text("__setstate__") + b"K\x01s}b.", "sets the state of"),
    "items of a stand-in": (PROTO + named("argparse", "Namespace") + b")\x81K\x01K\x02s.", "sets items"),
    "items of a class": (PROTO + named("argparse", "Namespace") + b"K\x01K\x02s.", "sets items of argparse"),
    "appending to a tuple": (PROTO + b")K\x01a.", "damaged"),
    "a persistent identifier": (PROTO + b"K\x01Q.", "outside itself"),
    "a persistent identifier as text": (b"Pos.system\n.", "PERSID"),
    "a buffer from outside": (PROTO + b"\x97.", "NEXT_BUFFER"),
    "a nested key": (PROTO + b"})K\x01s.", "key of a dictionary"),
    "an empty stack": (PROTO + b"0.", "POP|damaged"),
    "a memo that was never filled": (PROTO + b"h\x07.", "damaged"),
    "a tuple of more than there is": (PROTO + b"\x87.", "damaged"),
    "no mark": (PROTO + b"t.", "damaged"),
    "an odd number of items": (PROTO + b"}(K\x01u.", "damaged"),
    "two values": (PROTO + b"K\x01K\x02.", "unfinished"),
    "an open mark": (PROTO + b"(K\x01.", "unfinished"),
    "no STOP": (PROTO + b"K\x01", "cut off"),
    "nothing": (b"", "cut off"),
    "not a pickle": (b"\xff\xfe hello", "not a pickle"),
    "a name without an end": (PROTO + b"c" + b"a" * 9000, "in the middle of a name"),
    "text of 4 GB in a few bytes": (PROTO + b"X\xff\xff\xff\xffab.", "cut off"),
    "bytes of 2**62 in a few bytes": (PROTO + b"\x8e" + struct.pack("<Q", 2**62) + b"ab.", "cut off"),
    "a bytearray of 2**62": (PROTO + b"\x96" + struct.pack("<Q", 2**62) + b"ab.", "cut off"),
    "a negative length": (PROTO + b"\x8b\xff\xff\xff\xff.", "damaged"),
    "a huge integer": (PROTO + b"\x8a\xff" + b"\x7f" * 255 + b".", "more than 64 bits"),
    "text that is not UTF-8": (PROTO + b"\x8c\x01\xff.", "damaged"),
}


@pytest.mark.parametrize("title", HOSTILE_PROGRAMS)
def test_programs_that_are_not_data_are_refused(title: str) -> None:
    program, message = HOSTILE_PROGRAMS[title]
    with pytest.raises(Refusal, match=message):
        read_pickle(program, NAMES, CLASSES)


@pytest.mark.parametrize("length", range(0, 120, 3))
def test_any_cut_is_a_refusal(length: int) -> None:
    whole = pickle.dumps({"settings": argparse.Namespace(a=[1.5, "text", (2, None)], b=b"bytes" * 9)}, 4)
    assert len(whole) > 120
    with pytest.raises(Refusal):
        read_pickle(whole[:length], NAMES, CLASSES)


def test_any_flipped_byte_is_read_or_refused() -> None:
    whole = pickle.dumps({"settings": argparse.Namespace(a=[1.5, "text"]), "x": np.arange(3.0)}, 2)
    for position in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :]
            try:
                read_numpy_pickle(damaged)
                read_pickle(damaged, NAMES, CLASSES)
            except Refusal:
                pass


def test_bombs_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    # A memo index of four bytes: the ordinary reader reserves 16 GB for it.
    assert read_pickle(PROTO + b"K\x01r\xff\xff\xff\x7f.", {}) == 1
    # Nested very deeply: built and thrown away without overflowing any stack.
    deep = 150_000
    read_pickle(PROTO + b"]" * deep + b"a" * (deep - 1) + b".", {})
    read_pickle(PROTO + b")" + b"\x85" * deep + b".", {})
    made = named("argparse", "Namespace") + b"q\x00)\x81"
    read_pickle(PROTO + made + b"h\x00)\x81" * deep + b"b" * deep + b".", NAMES, CLASSES)
    # Doubled seventy times: two references each, never expanded.
    read_pickle(PROTO + b")" + b"q\x00h\x00\x86" * 70 + b".", {})
    monkeypatch.setattr("generator.paper.released.unpickling.MAX_READS", 1_000)
    with pytest.raises(Refusal, match="more than 1,000 pickle instructions"):
        read_pickle(PROTO + b"K\x01" * 1_000 + b".", {})


ARRAYS: list[npt.NDArray[Any]] = [
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.arange(6, dtype=">f8").reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype="<f2").reshape(2, 3)),
    np.arange(20, dtype="<i8")[::2],
    np.zeros((0, 53), np.float32),
    np.array(2.5),
    np.array([True, False]),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_numeric_arrays_come_back_from_both_numpys(protocol: int, package: str) -> None:
    pickled = pickle.dumps(ARRAYS, protocol)
    written = "numpy._core" if b"numpy._core" in pickled else "numpy.core"
    if package != written:
        # The other numpy's name; the length before it in protocol 4 and the frame's length change with it.
        change = len(package) - len(written)
        at = pickled.index(written.encode())
        end = at + len(written) + len(".multiarray" if b"multiarray" in pickled[at : at + 25] else ".numeric")
        if protocol >= 4:
            frame = struct.pack("<Q", struct.unpack("<Q", pickled[3:11])[0] + change)
            pickled = pickled[:3] + frame + pickled[11 : at - 1] + bytes([end - at + change]) + pickled[at:]
        pickled = pickled.replace(written.encode(), package.encode(), 1)
    for read, array in zip(read_numpy_pickle(pickled), ARRAYS, strict=True):
        assert isinstance(read, StoredArray) and read.values is not None
        assert read.values.dtype == array.dtype and read.values.shape == array.shape
        np.testing.assert_array_equal(read.values, array)
        assert not read.values.flags.writeable and not read.values.flags.owndata


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_that_are_not_plain_numbers_are_refused(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "ran"
    hostile = np.array([Calls(os.system, f"touch {witness}")], dtype=object)
    for array, message in (
        (np.array([{}, None], dtype=object), "'O8' instead of numbers"),
        (hostile, "numbers|system"),
        (np.zeros(2, dtype=[("a", "f4"), ("b", "O")]), "instead of numbers"),
        (np.array(["text"]), "instead of numbers"),
        (np.zeros(2, dtype="c8"), "'c8' instead of numbers"),
        (np.zeros(2, dtype="M8[s]"), "instead of numbers"),
        (np.float32(3), "scalar"),
    ):
        with pytest.raises(Refusal, match=message):
            read_numpy_pickle(pickle.dumps(array, protocol))
    assert not witness.exists()


def test_arrays_that_do_not_fit_their_data_are_refused() -> None:
    pickled = pickle.dumps(np.arange(6, dtype="<f4").reshape(2, 3), 4)
    shape = b"K\x02K\x03\x86"
    assert pickled.count(shape) == 1
    for other in (
        b"K\x02K\x04\x86",
        b"J\xff\xff\xff\xffK\x03\x86",
        b"\x8a\x08" + b"\xff" * 7 + b"\x7fK\x03\x86",
        b"NN\x86",
    ):
        with pytest.raises(Refusal, match="array"):
            read_numpy_pickle(PROTO + pickled[11:].replace(shape, other))


def test_text_cannot_be_encoded_again_and_again() -> None:
    once = named("_codecs", "encode") + b"q\x00" + text("a" * 500) + b"q\x01" + text("latin1") + b"q\x02\x87"
    again = b"h\x00h\x01h\x02\x86R"
    with pytest.raises(Refusal, match="more data than it has bytes"):
        read_numpy_pickle(PROTO + b"(" + once + again * 200 + b"t.")
