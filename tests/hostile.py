# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile files: real small ones, changed in every way, and a watch over whoever reads them.

A reader may read, or refuse with its own kind of sentence. It may do nothing else: run nothing, write nothing, look at
no other file, take little memory and little time.
"""

from __future__ import annotations

import contextlib
import copy
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

#: Inputs that one reader is given: in the default suite, and in the long one.
FEW, MANY = 120, 700
#: Megabytes that reading one small input may take, and seconds of processor time.
MOST_MEMORY, MOST_SECONDS = 500.0, 10.0

#: What programs stumble over, as text and as bytes.
NASTY = [
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"1" + b"0" * 400,
    b"9" * 5000, b"1e-400", b"null", b"true", b"[" * 3000, b'{"a":' * 3000, b"(" * 3000, b"\\ud800", b"\xed\xa0\x80",
    b"\r\n" * 50, b"\n" * 5000, b'"', b"'", b",", b";", b"\t", b"%s%n", b"{0.__class__}", b"../../etc/passwd",
    b"__import__('os').system('true')", b"//server/share", b"\x80\x04\x95", b"cos\nsystem\n(S'true'\ntR.",
    b"PK\x03\x04", b"\x93NUMPY", b"99:59:59:59.999", b"4294967295", b"18446744073709551616", b"-9223372036854775808",
    "ÅŐ漢\u202e🙂".encode(), b" " * 3000,
]  # fmt: skip
#: Values that a place in JSON may have after it was changed.
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 10**17, 10**400, -(10**30), 1e308, float("nan"), float("inf"), "", "a" * 5000, [],
         [[]], "\ud800", "__class__", "//host/x", "NaN", [None] * 300, {"": 0}, "cpu:99", 0.5, 2**63]
    ),
    st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=4),
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """``seed`` after a few changes: cut, doubled, overwritten, something nasty put in; if it is JSON, also by value."""
    data = seed
    if seed[:1] in b"{[" and seed and draw(st.booleans()):
        with contextlib.suppress(ValueError):
            tree = [json.loads(seed)]
            for _ in range(draw(st.integers(1, 3))):
                _change_value(draw, tree)
            data = json.dumps(tree[0]).encode("utf-8", "surrogatepass")
            if draw(st.booleans()):
                return data
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.sampled_from([0, 1, 2, 4, 8, 64, 1024]))
        match draw(st.integers(0, 5)):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[at + size :]
            case 2:
                data = data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at + size :]
            case 3:
                data = data[:at] + draw(st.sampled_from(NASTY)) + data[at + size :]
            case 4:
                data = data[:at] + data[at : at + size] * draw(st.sampled_from([2, 3, 50])) + data[at + size :]
            case _:
                bit = bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) if at < len(data) else b""
                data = data[:at] + bit + data[at + 1 :]
    return data


def _change_value(draw: st.DrawFn, tree: list[Any]) -> None:
    """Replace, remove or double something somewhere in a tree of JSON."""
    box: Any = tree
    place: Any = 0
    while draw(st.integers(0, 5)) and isinstance(box[place], dict | list) and box[place]:
        box = box[place]
        place = (
            draw(st.sampled_from(sorted(box, key=str))) if isinstance(box, dict) else draw(st.integers(0, len(box) - 1))
        )
    match draw(st.integers(0, 4)):
        case 0 if box is not tree:
            del box[place]
        case 1 if isinstance(box, list):
            box.insert(place, copy.deepcopy(box[place]))
        case 2 if isinstance(box, dict):
            box[draw(st.text(max_size=5))] = copy.deepcopy(draw(VALUES))  # it may be changed in its turn
        case _:
            box[place] = copy.deepcopy(draw(VALUES))


@dataclass(frozen=True)
class Reader:
    """Something that reads.

    Attributes:
        name: of the kind of file.
        seeds: whole contents of real small files.
        read: reads what ``put`` returned.
        refusals: what it may raise.
        put: puts the content where it belongs.
    """

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[Any], object]
    refusals: tuple[type[Exception], ...]
    put: Callable[[bytes], Any] = lambda content: content

    def __str__(self) -> str:
        return self.name


def attack(reader: Reader, folder: Path, examples: int) -> None:
    """Give ``reader`` its files as they are, and then so many changed ones."""
    for seed in reader.seeds:  # imports happen here, and a real file is read
        reader.read(reader.put(seed))
    each = max(1, examples // len(reader.seeds))
    for seed in reader.seeds:

        @settings(
            max_examples=each, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # making a failure smaller takes minutes
        )  # fmt: skip
        @given(changed(seed))
        def one(content: bytes) -> None:
            there = reader.put(content)
            with watched(folder):
                try:
                    reader.read(there)
                except reader.refusals as refusal:
                    said = str(refusal)
                    assert said.strip() and len(said) < 5000, said[:300]

        try:
            one()
        finally:
            reader.put(seed)  # the next reader may want it whole


# Pickles ---------------------------------------------------------------------------------------------------------

#: How one of protocol 4 begins.
PROTO = b"\x80\x04"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    """The old way to name a global: two lines."""
    return f"c{module}\n{name}\n".encode()


class Calls:
    """Pickles as a call of ``function``; loading the pickle makes the call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


# The watch -------------------------------------------------------------------------------------------------------

#: Events of Python's audit that no reader has reason for.
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.chmod", "os.putenv", "os.truncate", "subprocess.Popen", "socket.", "pickle.find_class",
    "webbrowser.", "ctypes.dlopen", "shutil.", "urllib.", "ftplib.", "sqlite3.", "pty.", "syslog.", "winreg.",
)  # fmt: skip
_watching: Path | None = None
_seen: list[str] = []
_hooked = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is None:
        return
    if event.startswith(_FORBIDDEN):
        _seen.append(f"{event}{arguments!r:.200}")
    elif event == "exec" and getattr(arguments[0], "co_filename", "<") in ("<string>", "<unknown>", "<pickle>"):
        _seen.append(f"exec {arguments!r:.200}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        name, mode = str(arguments[0]), str(arguments[1] or "")
        if set(mode) & set("wax+"):
            _seen.append(f"open {name} {mode}")
        elif not name.startswith((str(_watching), sys.prefix, sys.base_prefix, "/proc/self/", "/dev/null")) and (
            not name.endswith((".py", ".pyc", ".so", ".toml", ".npz", ".json", ".dict", ".whl"))
        ):
            _seen.append(f"open {name}")


def file_reader(name: str, path: Path, read: Callable[[], object], refusals: Any) -> Reader:
    """A reader of a file that is there."""
    return Reader(name, (path.read_bytes(),), lambda _: read(), refusals, path.write_bytes)


def attack_all(readers: list[Reader], folder: Path, long: bool) -> None:
    """`attack` each, so often as there is time for."""
    for reader in readers:
        attack(reader, folder, MANY if long else FEW // len(readers) + 20)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Fails where what is done inside does more than read files in ``folder``, or takes too much."""
    global _watching, _hooked
    if not _hooked:
        sys.addaudithook(_audit)  # for as long as the process lives: there is no way to take one out
        _hooked = True
    _seen.clear()
    before, start = _fresh_memory(), time.process_time()
    _watching = folder
    try:
        yield
    finally:
        _watching = None
    assert not _seen, f"it did more than read: {_seen[:3]}"
    assert (took := time.process_time() - start) < MOST_SECONDS, f"it took {took:.1f} s"
    assert (grew := _peak() - before) < MOST_MEMORY, f"it took {grew:.0f} MB"


def _fresh_memory() -> float:
    """Megabytes that are in use, from which on the peak is counted anew (Linux; 0 elsewhere)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0
