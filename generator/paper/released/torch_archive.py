# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ``torch.save``, read without ``torch.load``: an inert pickle, and tensor data as raw bytes of a zip file.

``torch.load(weights_only=True)`` is not enough for files of strangers: the classes in them (transformers') would have
to be there and allowed, and of what it always allows some reserve as much memory as a file asks for (``bytearray``).
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from ...reading import why
from .unpickling import Items, Named, Refusal, read_pickle

#: Element types by the storage class that names them; quantized and complex ones are not among them.
_STORAGES: Final[dict[str, torch.dtype]] = {
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
_CLASSES: Final = re.compile(r"argparse\.Namespace|(transformers|torch\.nn\.modules)\.[\w.]+", re.ASCII)
#: What ``torch.save`` writes inside its folder.
_MEMBERS: Final = re.compile(r"\.?[a-z_]+(\.pkl)?|data/[0-9]{1,9}|\.data/\w+", re.ASCII)
_MAX_DIMENSIONS: Final = 8
#: How ``torch.save`` began its files before PyTorch 1.6 (a pickled magic number), and before 0.1.10 (a tar archive).
_OLD_MAGIC: Final = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def read_torch_archive(path: Path) -> Any:
    """What was saved in a file of ``torch.save`` (PyTorch 1.6 or newer).

    Tensors are on the CPU, whatever device they were saved from, and share memory where they did; objects of classes
    of ``transformers`` and ``torch.nn`` are stand-ins. What is read is at most as large as the file.

    Raises:
        Refusal: it is not such a file, it is damaged, or it names anything else. OSError.
    """
    _refuse_other_formats(path)
    try:
        with zipfile.ZipFile(path) as archive:
            root = _checked_folder(archive, path.stat().st_size)
            if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
                raise Refusal("was written on a big-endian machine; save it again on an ordinary one")
            return read_pickle(archive.read(f"{root}data.pkl"), _NAMES, _CLASSES, _Storages(archive, root))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError) as error:
        raise Refusal(f"is damaged, cut off or not a file of torch.save ({why(error)})") from error


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


def _checked_folder(archive: zipfile.ZipFile, file_size: int) -> str:
    """The archive's one folder, with its slash. Nothing is unpacked to disk, and nothing in it unfolds when read."""
    names = archive.namelist()
    root = next((name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)), None)
    if root is None:
        raise Refusal("is a zip file without data.pkl, so not a file of torch.save")
    if f"{root}constants.pkl" in names:
        raise Refusal("is a TorchScript program, not a checkpoint")
    total = 0
    for info in archive.infolist():
        if not (info.filename.startswith(root) and _MEMBERS.fullmatch(info.filename.removeprefix(root))):
            raise Refusal(f"has a member called {info.filename[:80]!r}, which torch.save does not write")
        if info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refusal(f"has a compressed or encrypted member ({info.filename[:80]!r})")
        total += info.file_size
    if total > file_size:
        raise Refusal(f"declares {total:,} bytes of data in a file of {file_size:,}")
    return root


class _Storages:
    """Answers what a pickle calls ("storage", class, key, device, elements): the member ``data/<key>``, flat."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._bytes: dict[str, torch.Tensor] = {}

    def __call__(self, identifier: Any) -> torch.Tensor:
        match identifier:
            case ("storage", Named(name=kind), str(key), str(), int(count)) if kind in _STORAGES:
                dtype = _STORAGES[kind]
            case _:
                raise Refusal("refers to tensor data in an unknown way")
        if key not in self._bytes:
            try:
                data = bytearray(self._archive.read(f"{self._root}data/{key}"))
            except KeyError as error:
                raise Refusal(f"is damaged: the tensor data {key[:40]!r} is missing") from error
            self._bytes[key] = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
        size = len(self._bytes[key])
        if count * dtype.itemsize != size:
            raise Refusal(f"is damaged: data/{key} has {size:,} bytes and should hold {count:,} elements of {dtype}")
        return self._bytes[key].view(dtype)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _tensor(flat: Any, offset: Any, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    if not (isinstance(flat, torch.Tensor) and isinstance(size, tuple) and isinstance(stride, tuple)):
        raise Refusal("describes a tensor in an unknown way")
    if not (len(size) == len(stride) <= _MAX_DIMENSIONS and all(map(_is_count, (offset, *size, *stride)))):
        raise Refusal("describes a tensor with an impossible shape")
    elements = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if elements == 0:
        return flat.new_empty(size)
    # An expanded tensor (stride 0) may be any size on paper; one no larger than its data cannot exhaust the memory.
    if elements > len(flat) or last >= len(flat):
        raise Refusal(f"has a tensor of shape {size} that reaches beyond its data")
    return torch.as_strided(flat, size, stride, offset)


def _parameter(data: Any, *_: Any) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise Refusal("describes a parameter in an unknown way")
    return data


def _typed(function: Any, _type: Any, arguments: Any, _state: Any) -> torch.Tensor:
    """A tensor that has attributes besides its data, such as transformers gives its parameters; they are dropped."""
    if not (isinstance(function, Named) and function.function in (_tensor, _parameter)):
        raise Refusal("describes a tensor in an unknown way")
    return function.function(*arguments)


_NAMES: Final[dict[str, Callable[..., Any] | None]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "collections.OrderedDict": lambda: Items(),
    # Sets only list buffers to leave out; they stay lists, for building a set could be made to take for ever.
    "__builtin__.set": lambda items: items,
    "builtins.set": lambda items: items,
    **dict.fromkeys((*_STORAGES, "torch._C._nn.gelu", "torch.Tensor", "torch.nn.parameter.Parameter")),
    **dict.fromkeys(map(str, _STORAGES.values())),
}
