# SPDX-License-Identifier: GPL-3.0-or-later
"""An inert reader of pickles: it knows names and plain data, and imports, constructs and calls nothing else.

A pickle is a program for a small stack machine. `pickle.Unpickler` with a restricted ``find_class`` is not enough for
files of strangers: its BUILD sets attributes on whatever lies on the stack, allowed classes included; a memo index of
four bytes makes it reserve gigabytes; hashing a deeply nested key crashes the interpreter; and it copies every array.
So this machine is our own. `pickletools.genops` takes the program apart, and the dozen instructions that data needs
are carried out on plain values. A class becomes a `StandIn` that collects its state, bytes become views of the file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final, Protocol, cast, runtime_checkable

#: EmoAva's training split needs about 400,000 instructions, the released checkpoint about 40,000.
MAX_INSTRUCTIONS: Final = 20_000_000
#: Longest class or function name worth repeating in a message.
_SHOWN_NAME: Final = 120


class Refusal(Exception):
    """A file is not what it should be; the message is a clause such as "names os.system, which …"."""


@runtime_checkable
class Buildable(Protocol):
    """A value that takes the state a pickle gives it."""

    def build(self, state: Any) -> None:
        """Take ``state``; `Refusal` when it has another form than expected."""


@dataclass(slots=True, eq=False)
class StandIn:
    """What is read in place of an object of class ``name``: the state that was stored, never the object."""

    name: str
    state: Any = None

    def build(self, state: Any) -> None:
        """Keep ``state`` as it is."""
        self.state = state

    @property
    def attributes(self) -> dict[str, Any]:
        """The state as attributes; empty when it has another form."""
        return self.state if isinstance(self.state, dict) else {}


class Items(dict[Any, Any]):
    """What is read in place of an ``OrderedDict``: its items. Attributes stored on it are dropped."""

    def build(self, state: Any) -> None:
        """Drop ``state``: PyTorch keeps the version numbers of its modules there."""


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A class or function that a pickle names; it stands for the name only.

    Attributes:
        name: module and name, joined by a dot.
        function: our own function, called in its place; None where a pickle must not call it.
        is_class: an object of it may be made, as a `StandIn`.
    """

    name: str
    function: Callable[..., Any] | None = None
    is_class: bool = False


@dataclass(frozen=True)
class AllowedNames:
    """The table of names a pickle may use. Any other name is refused.

    Attributes:
        functions: names that may be called, and our own function that answers.
        classes: names whose objects become stand-ins.
        class_prefixes: beginnings of names whose objects become stand-ins.
        constants: names that may be mentioned, neither called nor constructed.
    """

    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    classes: frozenset[str] = frozenset()
    class_prefixes: tuple[str, ...] = ()
    constants: frozenset[str] = frozenset()

    def look_up(self, name: str) -> Global:
        """The entry for ``name``; `Refusal` names it when there is none."""
        if name in self.functions:
            return Global(name, self.functions[name])
        if name in self.constants:
            return Global(name)
        if name in self.classes or name.startswith(self.class_prefixes):
            return Global(name, is_class=True)
        raise Refusal(f"names {shown(name)}, which such a file has no use for")


@dataclass(frozen=True)
class Pickle:
    """What a pickle holds: ``content``, and the ``globals`` it names, in order of first use."""

    content: Any
    globals: tuple[str, ...]


def read_pickle(
    data: bytes | memoryview,
    allowed: AllowedNames,
    resolve: Callable[[Any], Any] | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
) -> Pickle:
    """Read one pickle of protocol 2 to 5.

    Bytes in the pickle come back as read-only views of ``data``, so ``data`` must outlive them; sets come back as
    lists. Memory is bounded by a small multiple of the pickle's length. What is returned may be nested deeply or
    contain itself: whoever walks through it needs a limit.

    Args:
        data: the pickle; what follows its end is ignored.
        allowed: the names it may use.
        resolve: answers persistent identifiers (``torch.save`` refers to tensor data by them); None refuses them.
        max_instructions: longer programs are refused.

    Raises:
        Refusal: anything but plain data and allowed names, or a damaged pickle.
    """
    machine = _Machine(memoryview(data), allowed, resolve)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], machine.file))):
            if count >= max_instructions:
                raise Refusal(f"has more than {max_instructions:,} pickle instructions")
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument)
        return Pickle(machine.result(), tuple(machine.names))
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise Refusal(f"is damaged or not a pickle ({_first_line(error)})") from error


def shown(name: str) -> str:
    """``name`` as it is safe to print: one line, not too long."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= _SHOWN_NAME else f"{text[:_SHOWN_NAME]}…"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return shown(lines[0]) if lines else type(error).__name__


class _File:
    """What `pickletools.genops` reads from. It never returns, nor reserves, more than there is."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    def read(self, size: int) -> bytes:
        if size > len(self._data) - self.position:
            raise Refusal("is cut off or damaged: it ends in the middle of an instruction")
        self.position += size
        return bytes(self._data[self.position - size : self.position])

    def readline(self) -> bytes:
        # Only the names of classes and functions are written as lines.
        line, newline, _ = bytes(self._data[self.position : self.position + 4096]).partition(b"\n")
        if not newline:
            raise Refusal("is cut off or damaged: it ends in the middle of a name")
        self.position += len(line) + 1
        return line + newline

    def last(self, size: int) -> memoryview:
        """The ``size`` bytes that were read last, without a copy."""
        return self._data[self.position - size : self.position].toreadonly()


class _Machine:
    """The stack machine: a stack, the stacks below each mark, and the memo."""

    def __init__(self, data: memoryview, allowed: AllowedNames, resolve: Callable[[Any], Any] | None) -> None:
        self.file = _File(data)
        self.names: dict[str, None] = {}
        self._allowed = allowed
        self._resolve = resolve
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode])
        elif opcode in _LITERALS:
            self._stack.append(argument)
        elif opcode in _INTEGERS:
            if argument.bit_length() > 64:
                raise Refusal("holds an integer of more than 64 bits")
            self._stack.append(argument)
        elif opcode in _BYTES:
            self._stack.append(self.file.last(len(argument)))
        elif opcode in _TUPLES:
            size = _TUPLES[opcode]
            if size > len(self._stack):
                raise IndexError("a tuple of more than there is")
            self._stack[-size:] = [tuple(self._stack[-size:])]
        elif opcode in _GETS:
            if argument not in self._memo:
                raise Refusal("is damaged: it refers to a value that it does not hold")
            self._stack.append(self._memo[argument])
        elif opcode in _PUTS:
            self._memo[argument] = self._stack[-1]
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        elif opcode not in _NOTHING:
            raise Refusal(f"uses the pickle instruction {opcode}, which such a file has no use for")

    def result(self) -> Any:
        if self._below or len(self._stack) != 1:
            raise Refusal("is damaged: it ends with unfinished values")
        return self._stack[0]

    def _above_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _tuple(self, _: Any) -> None:
        items = tuple(self._above_mark())
        self._stack.append(items)

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _append(self, _: Any) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _appends(self, _: Any) -> None:
        self._extend(self._above_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise Refusal(f"appends to {_kind(target)}")
        target.extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def _set_items(self, _: Any) -> None:
        self._update(self._above_mark())

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise Refusal(f"sets items of {_kind(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nested key can take for ever or overflow the C stack.
            if not isinstance(key, str | int | float | None):
                raise Refusal(f"has {_kind(key)} as the key of a dictionary")
            target[key] = value

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refusal("names a class by something that is not text")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        entry = self._allowed.look_up(f"{module}.{name}")
        self.names[entry.name] = None
        self._stack.append(entry)

    def _new_object(self, _: Any) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if not (isinstance(kind, Global) and kind.is_class):
            raise Refusal(f"makes an object of {_kind(kind)}")
        if arguments != ():
            raise Refusal(f"makes an object of {shown(kind.name)} with arguments")
        self._stack.append(StandIn(kind.name))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not (isinstance(function, Global) and function.function is not None):
            raise Refusal(f"calls {_kind(function)}")
        if not isinstance(arguments, tuple):
            raise Refusal(f"calls {shown(function.name)} with {_kind(arguments)} for arguments")
        try:
            value = function.function(*arguments)
        except (TypeError, ValueError, LookupError) as error:
            raise Refusal(f"calls {shown(function.name)} with arguments it does not take") from error
        self._stack.append(value)

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(target, Buildable):
            raise Refusal(f"sets the state of {_kind(target)}")
        target.build(state)

    def _persistent(self, _: Any) -> None:
        if self._resolve is None:
            raise Refusal("refers to data outside itself")
        identifier = self._stack.pop()
        self._stack.append(self._resolve(identifier))


def _kind(value: Any) -> str:
    """What ``value`` is, for a message; never its content."""
    if isinstance(value, Global):
        return shown(value.name)
    if isinstance(value, StandIn):
        return f"an object of {shown(value.name)}"
    return f"a value of type {type(value).__name__}"


_NOTHING: Final = frozenset({"PROTO", "FRAME"})
_CONSTANTS: Final[Mapping[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS: Final = frozenset({"BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_INTEGERS: Final = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "LONG4"})
_BYTES: Final = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
_TUPLES: Final[Mapping[str, int]] = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_GETS: Final = frozenset({"BINGET", "LONG_BINGET"})
_PUTS: Final = frozenset({"BINPUT", "LONG_BINPUT"})
_STEPS: Final[Mapping[str, Callable[[_Machine, Any], None]]] = {
    "MARK": _Machine._mark,
    "EMPTY_LIST": _Machine._empty_list,
    "EMPTY_SET": _Machine._empty_list,
    "ADDITEMS": _Machine._appends,
    "EMPTY_DICT": _Machine._empty_dict,
    "TUPLE": _Machine._tuple,
    "MEMOIZE": _Machine._memoize,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "NEWOBJ": _Machine._new_object,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent,
}
