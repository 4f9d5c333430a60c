# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pickles of all protocols, 0 to 5, without running them (no ``bpy``).

A pickle is a program for a small stack machine, and unpickling runs it. Here plain data is made by the standard
library's own steps, and nothing else is made: names are looked up nowhere, and what is called, made or given a state is
written down, as a `StandIn`. Names beyond the few that numpy, scipy and chumpy write are refused.

The machine is the standard library's in Python. Its twin in C lets no step be replaced: it reserves 32 GB when a file
numbers one place of the memo 2^31, and hashes for ever where a key is nested.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ...sentences import told
from . import Refusal, shown

#: A FLAME file has a few thousand at most. Bounds time, and memory to a small multiple of the file's length.
MAX_INSTRUCTIONS: Final = 500_000
#: Classes of which objects may be made: scipy's sparse matrices in its old and new modules, and chumpy's.
_CLASSES: Final = re.compile(
    r"scipy\.sparse\.(_?(csc|csr|coo)\.)?(csc|csr|coo)_(matrix|array)|chumpy(\.\w+)+", re.ASCII
)
#: Functions that make such objects, what else may be called, and what may be mentioned and no more.
_MAKERS: Final = re.compile(r"(copyreg|copy_reg)\.(_reconstructor|__newobj__)")
_CALLED: Final = re.compile(
    r"numpy\.dtype|numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)|_codecs\.encode"
    r"|(builtins|__builtin__)\.(set|frozenset|bytes)"
)
_MENTIONED: Final = re.compile(r"numpy\.(ndarray|matrixlib\.defmatrix\.matrix)|(builtins|__builtin__)\.object")
#: Instructions that only make and move plain data, or call what is overridden here: the standard library's steps.
_PLAIN: Final = """
    PROTO MARK POP POP_MARK DUP STOP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING
    UNICODE BINUNICODE BINUNICODE8 SHORT_BINUNICODE BINBYTES BINBYTES8 SHORT_BINBYTES
    EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT
    GLOBAL STACK_GLOBAL INST OBJ PERSID BINPERSID EXT1 EXT2 EXT4
""".split()


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A class or function that a pickle names: module and name, joined by a dot, and never the thing itself."""

    name: str


@dataclass(slots=True, eq=False)
class StandIn:
    """What is read in place of an object: the class or function that would make it, from what, and its state."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


def read_pickle(data: bytes) -> Any:
    """The content of a pickle: plain values, and `StandIn` for all objects, numpy's arrays included.

    Python 2's strings come back as text decoded from Latin-1, newer sets as lists. What is returned may be nested
    deeply or contain itself: whoever walks through it needs a limit.

    Raises:
        Refusal: a name that is not allowed (the clause says which), an instruction that data has no use for, or a
            damaged pickle.
    """
    file = _Content(data)
    machine = _Unpickler(file, encoding="latin-1")
    try:
        with warnings.catch_warnings():  # a damaged file may hold escapes that mean nothing, which are kept as they are
            warnings.simplefilter("ignore")
            content = machine.load()
    except (Refusal, MemoryError):
        raise
    except Exception as error:  # whatever the machine meets in a damaged program
        raise Refusal("is not a whole pickle (it stops making sense at byte {at:,})", at=file.tell()) from error
    if machine.stack or machine.metastack:
        raise Refusal("is not a whole pickle (it ends with unfinished values)")
    return content


class _Content(io.BytesIO):
    """What is in the file. Where it ends, it says so; and there are only so many readings, one or more a step."""

    reads = 0

    def read(self, size: int) -> bytes:
        self.reads += 1
        if self.reads > MAX_INSTRUCTIONS:
            predicate = "has more than {most:,} pickle instructions and arguments, which a FLAME file has not"
            raise Refusal(predicate, most=MAX_INSTRUCTIONS)
        at, data = self.tell(), super().read(size)
        if len(data) < size:
            predicate = "is cut off or damaged: {size:,} bytes should follow byte {at:,}, and {rest:,} do"
            raise Refusal(predicate, size=size, at=at, rest=len(data))
        return data

    def readline(self) -> bytes:
        line = super().readline()
        if not line.endswith(b"\n"):
            raise Refusal("is cut off or damaged: it ends in the middle of a line")
        return line


def _kind(value: Any) -> str:
    """What ``value`` is, for a message; never its content."""
    if isinstance(value, Named):
        return shown(value.name)
    if isinstance(value, StandIn):
        return told("a {name}", name=shown(value.name))
    return told("a value of type {name}", name=type(value).__name__)


_Step = Callable[[Any], None]


def _standard(instruction: str) -> _Step:
    return pickle._Unpickler.dispatch[getattr(pickle, instruction)[0]]


def _bounded(step: _Step) -> _Step:
    def checked(machine: _Unpickler) -> None:
        step(machine)
        if machine.stack[-1].bit_length() > 64:
            raise Refusal("holds an integer of more than 64 bits")

    return checked


class _Unpickler(pickle._Unpickler):
    """The standard library's, with a list of the names and of the instructions that are allowed."""

    def find_class(self, module: str, name: str) -> Named:
        """What stands for a name; nothing is imported."""
        full = f"{module}.{name}"
        if len(full) > 200 or not any(names.fullmatch(full) for names in (_CLASSES, _MAKERS, _CALLED, _MENTIONED)):
            raise Refusal("names {name}, which a FLAME file has no use for; nothing of it was run", name=shown(full))
        return Named(full)

    def persistent_load(self, pid: Any) -> Any:
        name = shown(pid) if isinstance(pid, str) else _kind(pid)
        raise Refusal("refers to a persistent identifier ({name}), which a FLAME file has no use for", name=name)

    def get_extension(self, code: int) -> None:
        raise Refusal("refers to the registered extension {number}, which a FLAME file has no use for", number=code)

    def _buffer(self) -> None:
        raise Refusal("refers to a buffer outside the file, which a FLAME file has no use for")

    def _instantiate(self, kind: Any, arguments: Any) -> None:
        if not (isinstance(kind, Named) and _CLASSES.fullmatch(kind.name)):
            raise Refusal("makes an object of {kind}", kind=_kind(kind))
        if arguments:
            raise Refusal("makes a {name} with arguments", name=shown(kind.name))
        self.append(StandIn(kind.name))

    def _new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self._instantiate(kind, arguments)

    def _new_with_keywords(self) -> None:
        keywords, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._instantiate(kind, arguments or keywords)

    def _call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        name = function.name if isinstance(function, Named) and isinstance(arguments, tuple) else ""
        if _MAKERS.fullmatch(name):
            kind, *more = arguments  # a base class and its state mean nothing where they are `object` and None
            self._instantiate(kind, [part for part in more if not (part is None or isinstance(part, Named))])
        elif _CALLED.fullmatch(name):
            self.append(StandIn(name, arguments))
        else:
            raise Refusal("calls {kind}", kind=_kind(function))

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, StandIn):
            raise Refusal("sets the state of {kind}", kind=_kind(target))
        target.state = state

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise Refusal("sets items of {kind}", kind=_kind(target))
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nested key can take for ever.
            if not isinstance(key, str | int | float | None):
                raise Refusal("has {kind} as the key of a dictionary", kind=_kind(key))
            target[key] = value

    def _dictionary(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    _steps: Final[dict[str, _Step]] = {
        **{name: _standard(name) for name in _PLAIN},
        **{name: _bounded(_standard(name)) for name in ("INT", "LONG", "LONG1")},
        "FRAME": lambda machine: machine.read(8),  # it only tells how much may be read ahead
        "BYTEARRAY8": _standard("BINBYTES8"),  # no memory is reserved for what may not follow
        "EMPTY_SET": _standard("EMPTY_LIST"),  # sets are read as lists: nothing is hashed
        "FROZENSET": _standard("LIST"),
        "ADDITEMS": _standard("APPENDS"),
        "DICT": _dictionary,
        "SETITEM": lambda machine: machine._set_items([machine.stack.pop(-2), machine.stack.pop()]),
        "SETITEMS": lambda machine: machine._set_items(machine.pop_mark()),
        "REDUCE": _call,
        "NEWOBJ": _new,
        "NEWOBJ_EX": _new_with_keywords,
        "BUILD": _build,
        "NEXT_BUFFER": _buffer,
        "READONLY_BUFFER": _buffer,
    }
    dispatch = {getattr(pickle, name)[0]: step for name, step in _steps.items()}
