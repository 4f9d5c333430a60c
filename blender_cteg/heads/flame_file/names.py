# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a FLAME pickle may use, and what stands in their place (no ``bpy``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ...sentences import told
from . import Refusal, shown
from .stored import Named, StandIn, StoredArray, StoredType

#: Classes that become stand-ins: scipy's sparse matrices in the modules of its old and new releases, and chumpy's.
_CLASSES: Final = re.compile(
    r"scipy\.sparse\.(_?(csc|csr|coo)\.)?(csc|csr|coo)_(matrix|array)|chumpy(\.\w+)+", re.ASCII
)
#: Names that may be mentioned and are neither called nor constructed.
_CONSTANTS: Final = frozenset(
    {"numpy.ndarray", "numpy.matrixlib.defmatrix.matrix", "__builtin__.object", "builtins.object"}
)


def allowed(name: str) -> Named:
    """What stands for a module and name, joined by a dot. Refusal names it where it is not allowed."""
    if name in _FUNCTIONS:
        return Named(name, function=_FUNCTIONS[name])
    if name in _CONSTANTS:
        return Named(name)
    if _CLASSES.fullmatch(name):
        return Named(name, is_class=True)
    raise Refusal("names {name}, which a FLAME file has no use for; nothing of it was run", name=shown(name))


def kind_of(value: Any) -> str:
    """What ``value`` is, for a message; never its content."""
    if isinstance(value, Named):
        return shown(value.name)
    if isinstance(value, StandIn):
        return told("a {name}", name=shown(value.name))
    return told("a value of type {name}", name=type(value).__name__)


def _reconstruct_array(kind: Any, *_: Any) -> StoredArray:
    if not (isinstance(kind, Named) and kind.name in _CONSTANTS):
        raise Refusal("has an array of an unknown class")
    return StoredArray()


def _array_from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> StoredArray:
    array = StoredArray()
    array.build((1, shape, kind, order == "F", data))
    return array


def _scalar(kind: Any, data: Any = "") -> StoredArray:
    return _array_from_buffer(data, kind, (), "C")


def _reconstruct_object(kind: Any, base: Any = None, state: Any = None) -> StandIn:
    """What copyreg does for protocols 0 and 1, and ``__newobj__`` for an object without arguments."""
    if not (isinstance(kind, Named) and kind.is_class and state is None):
        raise Refusal("makes an object of {kind}", kind=kind_of(kind))
    return StandIn(kind.name)


def _encode(text: Any, encoding: Any) -> str:
    # How Python 3 writes bytes for protocols 0 to 2. They stay text, as Python 2's do, until they are needed: so
    # that a pickle cannot multiply them.
    if not (isinstance(text, str) and encoding in ("latin1", "latin-1")):
        raise Refusal("calls _codecs.encode for something other than bytes")
    return text


def _set(items: Any) -> list[Any]:
    # The list itself and no copy, which a pickle could ask for again and again.
    if type(items) is not list:
        raise Refusal("makes a set of {kind}", kind=kind_of(items))
    return items


def _empty_bytes() -> str:
    return ""


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "numpy.dtype": StoredType.from_code,
        "_codecs.encode": _encode,
        **{f"{package}.multiarray._reconstruct": _reconstruct_array for package in ("numpy.core", "numpy._core")},
        **{f"{package}.multiarray.scalar": _scalar for package in ("numpy.core", "numpy._core")},
        **{f"{package}.numeric._frombuffer": _array_from_buffer for package in ("numpy.core", "numpy._core")},
        **{f"{module}._reconstructor": _reconstruct_object for module in ("copy_reg", "copyreg")},
        **{f"{module}.__newobj__": _reconstruct_object for module in ("copy_reg", "copyreg")},
        **{f"{module}.{name}": _set for module in ("__builtin__", "builtins") for name in ("set", "frozenset")},
        **{f"{module}.bytes": _empty_bytes for module in ("__builtin__", "builtins")},
    }
)
