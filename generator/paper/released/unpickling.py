# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pickles without running them: plain data, and what stands in a table of names; nothing else is made or called.

A pickle is a program for a small stack machine, and unpickling runs it. Here the steps of the standard library's
machine that make plain data are used as they are, and the others are replaced: a name is looked up in the table and
never imported, a class becomes a `StandIn` that collects its state, bytes become views of the file.

The machine is the standard library's in Python. Its twin in C lets no step be replaced: it reserves 16 GB when a file
numbers a place of its memo 2^31, and hashing a deeply nested key crashes it.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

#: Readings of a file, one or two for each instruction. EmoAva's training split needs about half a million, the released
#: checkpoint a tenth of that. Bounds time, and what is made of a few bytes again and again.
MAX_READS: Final = 4_000_000
#: Longest class or function name worth repeating in a message.
_SHOWN_NAME: Final = 120
_NO_CLASS: Final = re.compile(r"(?!)")


class Refusal(Exception):
    """A file is not what it should be; the message is a clause such as "names os.system, which …"."""


class Filled:
    """A value that a pickle first makes and then gives its state."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Take ``state``; `Refusal` when it has another form than expected."""
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class StandIn(Filled):
    """What is read in place of an object of class ``name``: the attributes that were stored, never the object."""

    name: str
    attributes: dict[Any, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        """Keep ``state`` where it is attributes; no class in such a file stores another form."""
        self.attributes = state if isinstance(state, dict) else {}


class Items(dict[Any, Any], Filled):
    """What is read in place of an ``OrderedDict``: its items. Attributes stored on it are dropped."""

    def build(self, state: Any) -> None:
        """Drop ``state``: PyTorch keeps the version numbers of its modules there."""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """What stands for a class or function that a pickle names, and never the thing itself.

    Attributes:
        name: module and name, joined by a dot.
        function: our own function, called in its place; None where a pickle must not call it.
        is_class: an object of it may be made, as a `StandIn`.
    """

    name: str
    function: Callable[..., Any] | None
    is_class: bool


def read_pickle(
    data: bytes | memoryview,
    names: Mapping[str, Callable[..., Any] | None],
    classes: re.Pattern[str] = _NO_CLASS,
    resolve: Callable[[Any], Any] | None = None,
) -> Any:
    """The content of one pickle of protocol 2 to 5.

    Bytes in the pickle come back as read-only views of ``data``, so ``data`` must outlive them; sets come back as
    lists. What is returned may be nested deeply or contain itself: whoever walks through it needs a limit.

    Args:
        data: the pickle; what follows its end is ignored.
        names: the names it may use, and our own function that answers to a call; None where it must not call it.
        classes: names of classes, whose objects become stand-ins.
        resolve: answers persistent identifiers (``torch.save`` refers to tensor data by them); None refuses them.

    Raises:
        Refusal: anything but plain data and allowed names, or a damaged pickle.
    """
    machine = _Unpickler(_File(memoryview(data).toreadonly()), names, classes, resolve)
    try:
        content = machine.load()
    except _DAMAGE as error:
        lines = str(error).strip().splitlines()
        raise Refusal(f"is damaged or not a pickle ({shown(lines[0]) if lines else type(error).__name__})") from error
    if machine.stack or machine.metastack:
        raise Refusal("is damaged: it ends with unfinished values")
    return content


def shown(name: str) -> str:
    """``name`` as it is safe to print: one line, not too long."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= _SHOWN_NAME else f"{text[:_SHOWN_NAME]}…"


#: What the machine meets in a damaged program.
_DAMAGE: Final = (
    pickle.UnpicklingError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    struct.error,
)


class _File:
    """What the machine reads from. It never returns, nor reserves, more than there is."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at, self._left = data, 0, MAX_READS

    def view(self, size: int) -> memoryview:
        self._left -= 1
        if self._left < 0:
            raise Refusal(f"has more than {MAX_READS:,} pickle instructions and arguments")
        if size > len(self._data) - self._at:
            raise Refusal("is cut off or damaged: it ends in the middle of an instruction")
        self._at += size
        return self._data[self._at - size : self._at]

    def read(self, size: int) -> bytes:
        return bytes(self.view(size))

    def readline(self) -> bytes:
        # Only the names of classes and functions are written as lines.
        end = bytes(self._data[self._at : self._at + 4096]).find(b"\n") + 1
        if not end:
            raise Refusal("is cut off or damaged: it ends in the middle of a name")
        return self.read(end)


def _kind(value: Any) -> str:
    """What ``value`` is, for a message; never its content."""
    if isinstance(value, Named):
        return shown(value.name)
    if isinstance(value, StandIn):
        return f"an object of {shown(value.name)}"
    return f"a value of type {type(value).__name__}"


_Step = Callable[[Any], None]


class _Steps(dict[int, _Step]):
    """The steps of the machine by the code of their instruction; any other instruction is refused by its name."""

    def __missing__(self, code: int) -> _Step:
        for known in pickletools.opcodes:
            if known.code == chr(code):
                raise Refusal(f"uses the pickle instruction {known.name}, which such a file has no use for")
        raise Refusal("is damaged or not a pickle")


def _standard(instruction: str) -> _Step:
    return cast(_Step, pickle._Unpickler.dispatch[getattr(pickle, instruction)[0]])


def _integer(width: int) -> _Step:
    """An integer of so many bytes as stand in the ``width`` bytes before it."""

    def step(machine: _Unpickler) -> None:
        _standard("LONG1" if width == 1 else "LONG4")(machine)
        if machine.stack[-1].bit_length() > 64:
            raise Refusal("holds an integer of more than 64 bits")

    return step


def _bytes(width: int) -> _Step:
    """A view of so many bytes as stand in the ``width`` bytes before them."""
    return lambda machine: machine.append(machine.file.view(int.from_bytes(machine.read(width), "little")))


class _Unpickler(pickle._Unpickler):
    """The standard library's, with a table of names and of instructions."""

    stack: list[Any]
    metastack: list[Any]
    append: Callable[[Any], None]

    def __init__(
        self,
        file: _File,
        names: Mapping[str, Callable[..., Any] | None],
        classes: re.Pattern[str],
        resolve: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(file)
        self.file, self._names, self._classes, self._resolve = file, names, classes, resolve

    def find_class(self, module: str, name: str) -> Named:
        """What stands for a name; nothing is imported."""
        full = f"{module}.{name}"
        is_class = self._classes.fullmatch(full) is not None
        if full not in self._names and not is_class:
            raise Refusal(f"names {shown(full)}, which such a file has no use for")
        return Named(full, self._names.get(full), is_class)

    def persistent_load(self, pid: Any) -> Any:
        """What a persistent identifier refers to."""
        if self._resolve is None:
            raise Refusal("refers to data outside itself")
        return self._resolve(pid)

    def _new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not (isinstance(kind, Named) and kind.is_class):
            raise Refusal(f"makes an object of {_kind(kind)}")
        if arguments != ():
            raise Refusal(f"makes an object of {shown(kind.name)} with arguments")
        self.append(StandIn(kind.name))

    def _call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not (isinstance(function, Named) and function.function is not None and isinstance(arguments, tuple)):
            raise Refusal(f"calls {_kind(function)} with {_kind(arguments)} for arguments")
        try:
            value = function.function(*arguments)
        except _DAMAGE as error:
            raise Refusal(f"calls {shown(function.name)} with arguments it does not take") from error
        self.append(value)

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Filled):
            raise Refusal(f"sets the state of {_kind(target)}")
        target.build(state)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise Refusal(f"sets items of {_kind(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nested key can take for ever or overflow the C stack.
            if not isinstance(key, str | int | float | None):
                raise Refusal(f"has {_kind(key)} as the key of a dictionary")
            target[key] = value

    _plain: Final = """
        PROTO MARK STOP BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2
        BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST APPEND
        APPENDS EMPTY_DICT GLOBAL STACK_GLOBAL BINPERSID
    """.split()
    _steps: Final[dict[str, _Step]] = {
        **{name: _standard(name) for name in _plain},
        "FRAME": lambda machine: machine.read(8),  # it only tells how much may be read ahead
        "LONG1": _integer(1),
        "LONG4": _integer(4),
        "SHORT_BINBYTES": _bytes(1),
        "BINBYTES": _bytes(4),
        "BINBYTES8": _bytes(8),
        "BYTEARRAY8": _bytes(8),
        "EMPTY_SET": _standard("EMPTY_LIST"),  # nothing is hashed
        "ADDITEMS": _standard("APPENDS"),
        "SETITEM": lambda machine: machine._set_items([machine.stack.pop(-2), machine.stack.pop()]),
        "SETITEMS": lambda machine: machine._set_items(machine.pop_mark()),
        "NEWOBJ": _new,
        "REDUCE": _call,
        "BUILD": _build,
    }
    dispatch = _Steps({getattr(pickle, name)[0]: step for name, step in _steps.items()})
