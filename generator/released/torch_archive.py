# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ``torch.save``, read without ``torch.load``: an inert pickle, and tensor data as raw bytes of a zip file."""

from __future__ import annotations

import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import torch

from .unpickling import AllowedNames, Global, Items, Pickle, Refusal, read_pickle

#: Element types by the storage class that names them; quantized and complex ones are not among them.
STORAGES: Final[dict[str, torch.dtype]] = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
#: A pickle without tensor data is small: the released one has a few hundred kilobytes.
_MAX_PICKLE: Final = 64 * 2**20
_MAX_MEMBERS: Final = 20_000
_MAX_DIMENSIONS: Final = 8
#: How ``torch.save`` began its files before PyTorch 1.6 (a pickled magic number), and before 0.1.10 (a tar archive).
_OLD_MAGIC: Final = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True, slots=True)
class Storage:
    """``count`` elements of ``dtype`` in the archive's member ``data/<key>``."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies: a view of a storage. Equal values mean the very same data."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class TorchArchive:
    """An open file of ``torch.save`` (PyTorch 1.6 or newer); a context manager.

    Tensors in ``content`` are `StoredTensor`; `tensor` reads one. The device a tensor was saved from plays no part.

    Attributes:
        content: what was saved; objects of classes of ``transformers`` and ``torch.nn`` are stand-ins.
        globals: the classes and functions the file names.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` and read everything but tensor data; `Refusal` when it is not such a file, OSError."""
        _refuse_other_formats(path)
        self._flat: tuple[Storage, torch.Tensor] | None = None
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise Refusal(f"is cut off or not a file of torch.save ({error})") from error
        try:
            self._members, self._root = _checked_members(self._zip, path.stat().st_size)
            pickled = self._read()
        except BaseException:
            self._zip.close()
            raise
        self.content: Any = pickled.content
        self.globals = pickled.globals

    def __enter__(self) -> TorchArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def tensor(self, stored: StoredTensor) -> torch.Tensor:
        """The tensor, contiguous, on the CPU, with memory of its own. `Refusal` when its data is damaged."""
        storage = stored.storage
        if math.prod(stored.size) == 0:
            return torch.empty(stored.size, dtype=storage.dtype)
        # Tensors come in the order they were saved, so keeping the last storage reads a shared one only once.
        if self._flat is None or self._flat[0] != storage:
            data = bytearray(self._bytes(f"data/{storage.key}"))
            self._flat = storage, torch.frombuffer(data, dtype=storage.dtype)
        return torch.as_strided(self._flat[1], stored.size, stored.stride, stored.offset).clone(
            memory_format=torch.contiguous_format
        )

    def _read(self) -> Pickle:
        info = self._members["data.pkl"]
        if info.file_size > _MAX_PICKLE:
            raise Refusal(f"has a data.pkl of {info.file_size:,} bytes, more than {_MAX_PICKLE:,}")
        if "byteorder" in self._members and self._bytes("byteorder") != b"little":
            raise Refusal("was written on a big-endian machine; save it again on an ordinary one")
        return read_pickle(self._bytes("data.pkl"), _NAMES, self._storage)

    def _bytes(self, name: str) -> bytes:
        try:
            return self._zip.read(self._members[name])
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise Refusal(f"is damaged: {name} cannot be read ({error})") from error

    def _storage(self, identifier: Any) -> Storage:
        """The storage a pickle refers to as ("storage", class, key, device, elements)."""
        match identifier:
            case ("storage", Global(name=name), str(key), str(), int(count)) if name in STORAGES:
                storage = Storage(STORAGES[name], key, count)
            case _:
                raise Refusal("refers to tensor data in an unknown way")
        info = self._members.get(f"data/{key}") if re.fullmatch(r"[0-9]{1,9}", key) else None
        if info is None:
            raise Refusal(f"is damaged: the tensor data {key[:40]!r} is missing")
        if count * storage.dtype.itemsize != info.file_size:
            raise Refusal(
                f"is damaged: data/{key} has {info.file_size:,} bytes and should hold {count:,} elements of "
                f"{storage.dtype}"
            )
        return storage


def _refuse_other_formats(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(512)
    if start[257:262] == b"ustar" or start[2:15] == _OLD_MAGIC:
        raise Refusal(
            "is in PyTorch's old file format; load it where you trust it and write it again with torch.save of "
            "PyTorch 1.6 or newer"
        )
    if not start.startswith(b"PK\x03\x04"):
        raise Refusal("is not a file of torch.save")


def _checked_members(archive: zipfile.ZipFile, file_size: int) -> tuple[dict[str, zipfile.ZipInfo], str]:
    """The archive's members by name inside its one folder, and that folder."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise Refusal(f"has {len(infos):,} members, more than {_MAX_MEMBERS:,}")
    root = next((name.removesuffix("data.pkl") for name in archive.namelist() if name.count("/") == 1
                 and name.endswith("/data.pkl")), None)  # fmt: skip
    if root is None:
        raise Refusal("is a zip file without data.pkl, so not a file of torch.save")
    if f"{root}constants.pkl" in archive.namelist():
        raise Refusal("is a TorchScript program, not a checkpoint")
    members: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in infos:
        # Nothing is ever unpacked to disk; such names only show that the file was tampered with.
        parts = info.filename.split("/")
        if not info.filename.startswith(root) or ".." in parts or "" in parts or "\\" in info.filename:
            raise Refusal(f"has a member called {info.filename[:80]!r}, which torch.save does not write")
        if info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refusal(f"has a compressed or encrypted member ({info.filename[:80]!r})")
        name = info.filename.removeprefix(root)
        if name in members:
            raise Refusal(f"has two members called {info.filename[:80]!r}")
        members[name] = info
        total += info.file_size
    if total > file_size:
        raise Refusal(f"declares {total:,} bytes of data in a file of {file_size:,}")
    return members, root


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        raise Refusal("describes a tensor in an unknown way")
    if not (len(size) == len(stride) <= _MAX_DIMENSIONS and all(map(_is_count, (offset, *size, *stride)))):
        raise Refusal("describes a tensor with an impossible shape")
    elements = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # An expanded tensor (stride 0) may be any size on paper; one no larger than its data cannot exhaust the memory.
    if elements and (elements > storage.count or last >= storage.count):
        raise Refusal(f"has a tensor of shape {size} that reaches beyond its data")
    return StoredTensor(storage, offset, size, stride)


def _rebuild_parameter(data: Any, *_: Any) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise Refusal("describes a parameter in an unknown way")
    return data


def _ordered_dict() -> Items:
    return Items()


def _set(items: Any = None) -> Any:
    """Sets only list buffers to leave out; they stay lists, for building a set could be made to take for ever."""
    return [] if items is None else items


def _rebuild_typed(function: Any, _type: Any, arguments: Any, _state: Any) -> StoredTensor:
    """A tensor that has attributes besides its data, such as transformers gives its parameters; they are dropped."""
    if not (isinstance(function, Global) and function.function in (_rebuild_tensor, _rebuild_parameter)):
        raise Refusal("describes a tensor in an unknown way")
    rebuilt: StoredTensor = function.function(*arguments)
    return rebuilt


_NAMES: Final = AllowedNames(
    functions={
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
        "torch._tensor._rebuild_from_type_v2": _rebuild_typed,
        "collections.OrderedDict": _ordered_dict,
        "__builtin__.set": _set,
        "builtins.set": _set,
    },
    classes=frozenset({"argparse.Namespace"}),
    class_prefixes=("transformers.", "torch.nn.modules."),
    constants=frozenset(
        {
            *STORAGES,
            "torch._C._nn.gelu",
            "torch.Tensor",
            "torch.nn.parameter.Parameter",
            *(f"torch.{name}" for name in "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool".split()),
        }
    ),
)
