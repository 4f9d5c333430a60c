# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pickles of all protocols, 0 to 5, without running them (no ``bpy``).

A pickle is a program for a small stack machine, and unpickling runs it. This machine is our own: it carries out what
plain data needs, imports nothing, and knows the few names that numpy, scipy and chumpy write; their objects become
inert stand-ins (`stored`). Any other name is refused, and so is what only programs need: persistent identifiers,
extension codes, buffers from outside. Memory is bounded by a small multiple of the file's length, time by
`MAX_INSTRUCTIONS`.
"""

from __future__ import annotations

import codecs
import struct
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from . import Refusal, shown
from .names import allowed, kind_of
from .stored import Named, StandIn, StoredArray, StoredType

#: A FLAME file needs a few hundred to a few thousand.
MAX_INSTRUCTIONS: Final = 500_000
_BUFFER: Final = "refers to a buffer outside the file, which a FLAME file has no use for"


def read_pickle(data: bytes) -> Any:
    """The content of a pickle: plain values, `StoredArray` for numpy's arrays, `StandIn` for allowed classes.

    Bytes come back as read-only views of ``data``, Python 2's strings as text decoded from Latin-1, sets as lists.
    What is returned may be nested deeply or contain itself: whoever walks through it needs a limit.

    Raises:
        Refusal: a name that is not allowed (the clause says which), an instruction that data has no use for, or a
            damaged pickle.
    """
    machine = _Machine(memoryview(data))
    try:
        return machine.run()
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error) as error:
        raise Refusal("is not a whole pickle (it stops making sense at byte {at:,})", at=machine.at) from error


class _Machine:
    """The stack, the stacks below each mark, the memo, and how far the file is read."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_INSTRUCTIONS):
            code = bytes(self.take(1))
            if code == b".":
                if self.below or len(self.stack) != 1:
                    raise Refusal("is not a whole pickle (it ends with unfinished values)")
                return self.stack[0]
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(code)
            step(self)
        raise Refusal("has more than {most:,} pickle instructions, which a FLAME file has not", most=MAX_INSTRUCTIONS)

    # ------------------------------------------------------------------------------------ reading the file

    def take(self, size: int) -> memoryview:
        """The next ``size`` bytes, without a copy; never more than there are."""
        if not 0 <= size <= len(self.data) - self.at:
            predicate = "is cut off or damaged: {size:,} bytes should follow byte {at:,}, and {rest:,} do"
            raise Refusal(predicate, size=max(size, 0), at=self.at, rest=len(self.data) - self.at)
        self.at += size
        return self.data[self.at - size : self.at].toreadonly()

    def number(self, form: str) -> Any:
        """One number in `struct`'s form."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        """Up to the next line feed, without it: how protocol 0 writes everything."""
        end = _find_line_feed(self.data, self.at)
        line = bytes(self.take(end - self.at))
        self.take(1)
        return line

    def integer(self, digits: bytes) -> int:
        """A decimal integer of at most 64 bits."""
        return _bounded(int(digits[:32])) if len(digits) <= 32 else _bounded(1 << 64)

    # ------------------------------------------------------------------------------------ the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        """What lies above the last mark, taken off with it."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def tuple_of(self, size: int) -> None:
        if size > len(self.stack):
            raise IndexError("a tuple of more than there is")
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def memorise(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise Refusal("appends to {kind}", kind=kind_of(target))
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise Refusal("sets items of {kind}", kind=kind_of(target))
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nested key can take for ever.
            if not isinstance(key, str | int | float | None):
                raise Refusal("has {kind} as the key of a dictionary", kind=kind_of(key))
            target[key] = value

    def dictionary(self) -> None:
        items = self.above_mark()
        self.push({})
        self.update(items)

    # ------------------------------------------------------------------------------------ names and objects

    def look_up(self, module: Any, name: Any) -> None:
        """Push what a name stands for; a name that is not allowed is refused by name."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refusal("names a function by something that is not text")
        self.push(allowed(f"{module}.{name}"))

    def global_lines(self) -> None:
        module, name = self.line(), self.line()
        self.look_up(module.decode("utf-8", "backslashreplace"), name.decode("utf-8", "backslashreplace"))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.look_up(module, name)

    def new_object(self, kind: Any, arguments: Any) -> None:
        if not (isinstance(kind, Named) and kind.is_class):
            raise Refusal("makes an object of {kind}", kind=kind_of(kind))
        if arguments:
            raise Refusal("makes a {name} with arguments", name=shown(kind.name))
        self.push(StandIn(kind.name))

    def new_from_stack(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.new_object(kind, arguments)

    def new_with_keywords(self) -> None:
        keywords, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.new_object(kind, arguments or keywords)

    def instance(self) -> None:
        """INST, how Python 2 wrote objects of old-style classes: the class by name, its arguments above a mark."""
        self.global_lines()
        kind = self.stack.pop()
        self.new_object(kind, self.above_mark())

    def old_object(self) -> None:
        kind, *arguments = self.above_mark()
        self.new_object(kind, arguments)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not (isinstance(function, Named) and function.function is not None and isinstance(arguments, tuple)):
            raise Refusal("calls {kind}", kind=kind_of(function))
        self.push(function.function(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, StandIn | StoredArray | StoredType):
            raise Refusal("sets the state of {kind}", kind=kind_of(target))
        target.build(state)


def _find_line_feed(data: memoryview, start: int) -> int:
    # A memoryview cannot be searched; copies of growing pieces stay linear in the length of the line.
    size = 256
    while start < len(data):
        found = bytes(data[start : start + size]).find(b"\n")
        if found >= 0:
            return start + found
        if start + size >= len(data):
            break
        size *= 4
    raise Refusal("is cut off or damaged: it ends in the middle of a line")


def _bounded(value: int) -> int:
    if value.bit_length() > 64:
        raise Refusal("holds an integer of more than 64 bits")
    return value


# ---------------------------------------------------------------------------------------- instructions

_Step = Callable[[_Machine], Any]


def _constant(value: Any) -> _Step:
    return lambda m: m.push(value)


def _number(form: str) -> _Step:
    return lambda m: m.push(m.number(form))


def _counted(form: str, decode: Callable[[memoryview], Any]) -> _Step:
    """Something whose length stands before it."""
    return lambda m: m.push(decode(m.take(m.number(form))))


def _of_line(decode: Callable[[_Machine, bytes], Any]) -> _Step:
    return lambda m: m.push(decode(m, m.line()))


def _get(read: Callable[[_Machine], int]) -> _Step:
    return lambda m: m.push(m.memo[read(m)])


def _put(read: Callable[[_Machine], int]) -> _Step:
    return lambda m: m.memorise(read(m))


def _refused(refusal: Callable[[_Machine], Refusal]) -> _Step:
    def step(machine: _Machine) -> None:
        raise refusal(machine)

    return step


def _persistent(machine: _Machine) -> Refusal:
    name = shown(str(machine.line(), "latin-1"))
    return Refusal("refers to the persistent identifier {name}, which a FLAME file has no use for", name=name)


def _extension(form: str) -> _Step:
    text = "refers to the registered extension {number}, which a FLAME file has no use for"
    return _refused(lambda m: Refusal(text, number=m.number(form)))


def _latin(data: memoryview) -> str:
    return str(data, "latin-1")


def _utf8(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _small_integer(data: memoryview) -> int:
    return _bounded(int.from_bytes(data[:16], "little", signed=True)) if len(data) <= 16 else _bounded(1 << 64)


def _integer_line(machine: _Machine, line: bytes) -> int | bool:
    # Protocol 0 and 1 write booleans as 00 and 01.
    return line == b"01" if line in (b"00", b"01") else machine.integer(line)


def _string_line(_: _Machine, line: bytes) -> str:
    """Python 2's string between quotes, with backslashes."""
    line = line.strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    with warnings.catch_warnings():  # a damaged file may hold escapes that mean nothing, which are kept as they are
        warnings.simplefilter("ignore")
        return str(codecs.escape_decode(line[1:-1])[0], "latin-1")


def _line_number(machine: _Machine) -> int:
    return machine.integer(machine.line())


_STEPS: Final[Mapping[bytes, _Step]] = MappingProxyType(
    {
        b"\x80": lambda m: m.take(1),  # PROTO
        b"\x95": lambda m: m.take(8),  # FRAME
        # constants and empty containers
        b"N": _constant(None),
        b"\x88": _constant(True),
        b"\x89": _constant(False),
        b")": _constant(()),
        b"]": lambda m: m.push([]),
        b"}": lambda m: m.push({}),
        b"\x8f": lambda m: m.push([]),  # EMPTY_SET
        # numbers
        b"K": _number("<B"),
        b"M": _number("<H"),
        b"J": _number("<i"),
        b"G": _number(">d"),
        b"I": _of_line(_integer_line),
        b"L": _of_line(lambda m, line: m.integer(line.rstrip(b"L"))),
        b"F": _of_line(lambda _, line: float(line)),
        b"\x8a": _counted("<B", _small_integer),
        b"\x8b": _counted("<i", _small_integer),
        # text and bytes
        b"S": _of_line(_string_line),
        b"V": _of_line(lambda _, line: str(line, "raw-unicode-escape")),
        b"U": _counted("<B", _latin),
        b"T": _counted("<i", _latin),
        b"\x8c": _counted("<B", _utf8),
        b"X": _counted("<I", _utf8),
        b"\x8d": _counted("<Q", _utf8),
        b"C": _counted("<B", memoryview),
        b"B": _counted("<I", memoryview),
        b"\x8e": _counted("<Q", memoryview),
        b"\x96": _counted("<Q", memoryview),  # BYTEARRAY8
        # the stack and the memo
        b"(": _Machine.mark,
        b"0": lambda m: m.stack.pop(),
        b"1": lambda m: m.above_mark(),
        b"2": lambda m: m.push(m.stack[-1]),
        b"g": _get(_line_number),
        b"h": _get(lambda m: m.number("<B")),
        b"j": _get(lambda m: m.number("<I")),
        b"p": _put(_line_number),
        b"q": _put(lambda m: m.number("<B")),
        b"r": _put(lambda m: m.number("<I")),
        b"\x94": _put(lambda m: len(m.memo)),
        # containers
        b"\x85": lambda m: m.tuple_of(1),
        b"\x86": lambda m: m.tuple_of(2),
        b"\x87": lambda m: m.tuple_of(3),
        b"t": lambda m: m.push(tuple(m.above_mark())),
        b"l": lambda m: m.push(m.above_mark()),
        b"\x91": lambda m: m.push(m.above_mark()),  # FROZENSET
        b"d": _Machine.dictionary,
        b"a": lambda m: m.extend([m.stack.pop()]),
        b"e": lambda m: m.extend(m.above_mark()),
        b"\x90": lambda m: m.extend(m.above_mark()),  # ADDITEMS
        b"s": lambda m: m.update([m.stack.pop(-2), m.stack.pop()]),
        b"u": lambda m: m.update(m.above_mark()),
        # names and objects
        b"c": _Machine.global_lines,
        b"\x93": _Machine.stack_global,
        b"i": _Machine.instance,
        b"o": _Machine.old_object,
        b"\x81": _Machine.new_from_stack,
        b"\x92": _Machine.new_with_keywords,
        b"R": _Machine.call,
        b"b": _Machine.build,
        # what only programs need
        b"P": _refused(_persistent),
        b"Q": _refused(lambda _: Refusal("refers to a persistent identifier, which a FLAME file has no use for")),
        b"\x82": _extension("<B"),
        b"\x83": _extension("<H"),
        b"\x84": _extension("<i"),
        b"\x97": _refused(lambda _: Refusal(_BUFFER)),
        b"\x98": _refused(lambda _: Refusal(_BUFFER)),
    }
)
