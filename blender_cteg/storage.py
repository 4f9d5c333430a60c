# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored in files and custom properties: the one place where text is escaped, read and written (no ``bpy``).

Blender crashes on text that is not UTF-8 (a lone surrogate), and a number of thousands of digits or a NaN would travel
into panels; neither gets past this module.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, Final

from .sentences import Told, told

#: Largest file that is read, in bytes: a fit of all channels to all keys of a face is about 150 kB.
LARGEST_FILE: Final = 2_500_000
#: Longest text of one record in a scene, in characters: a line with two hundred takes has a tenth of that.
LARGEST_RECORD: Final = 16_000_000
#: Longest integer that anything stored here has; longer ones are damage.
_DIGITS: Final = 18


class StoredError(Told, ValueError):
    """Stored data that cannot be read; the message is the end of a sentence, such as "it is not JSON"."""


class FileError(Told, ValueError):
    """A file that cannot be read or written; the message is a sentence that names it."""


def clean(text: str) -> str:
    """The text as Blender may have it: what is not UTF-8 becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def to_text(data: Any) -> str:
    """Data of plain JSON values as text in ASCII. ValueError for a number that is not finite."""
    return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def from_text(text: object, most: int = LARGEST_RECORD) -> Any:
    """What `to_text` wrote, or anybody's JSON of up to ``most`` characters; its strings are clean.

    Raises:
        StoredError: it is no JSON, is too long, or holds a number that nothing of ours has.
    """
    if not isinstance(text, str | bytes):
        raise StoredError("it is not text")
    if len(text) > most:
        sentence = "it has {count:,} characters, and nothing of ours has more than {most:,}"
        raise StoredError(sentence, count=len(text), most=most)
    try:
        data = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_refuse)
        plain = isinstance(text, str) and text.isascii() and "\\ud" not in text.lower()  # no surrogate is in it
        return data if plain else _cleaned(data)
    except RecursionError:
        raise StoredError("it is nested too deeply") from None
    except MemoryError:
        raise StoredError("there is not enough memory for it") from None
    except StoredError:
        raise
    except ValueError as error:
        raise StoredError("it is not JSON: {why}", why=error) from None


def name_of(path: Path) -> str:
    """The name of a file as Blender may have it."""
    return clean(path.name) or told("The file")


def read_file(path: Path) -> str:
    """The text of a JSON file. FileError when it is too large, is no text, or cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device never ends
            raise FileError("{name} is not a file. Choose another file.", name=name_of(path))
        if (size := status.st_size) > LARGEST_FILE:
            sentence = "{name} has {size:.0f} MB, and no file of ours has more than {most:.1f}. Choose another file."
            raise FileError(sentence, name=name_of(path), size=size / 1e6, most=LARGEST_FILE / 1e6)
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE)
        return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
    except FileError:
        raise
    except (OSError, ValueError) as error:  # a name with a zero in it is a ValueError too
        why = error.strerror or str(error) if isinstance(error, OSError) else told("it is not text")
        raise FileError("{name} cannot be read ({why}). Choose another file.", name=name_of(path), why=why) from None


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file all or not at all: on a full disk the old file stays. FileError when it cannot be written."""
    try:
        _write(path, clean(content).encode() if isinstance(content, str) else content)
    except OSError as error:
        sentence = "{name} cannot be written ({why}). Choose another folder."
        raise FileError(sentence, name=name_of(path), why=error.strerror or error) from None


def _write(path: Path, data: bytes) -> None:
    import shutil  # here, because enabling the extension needs neither
    import tempfile

    handle = tempfile.NamedTemporaryFile(dir=path.parent, delete=False)  # noqa: SIM115
    try:
        with handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        if path.exists():  # a temporary file is for its owner alone
            shutil.copymode(path, handle.name)
        else:
            Path(handle.name).chmod(0o644)
        Path(handle.name).replace(path)
    except BaseException:
        Path(handle.name).unlink(missing_ok=True)
        raise


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise StoredError("it holds a number of {count} digits", count=len(digits))
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _refuse(name: str) -> float:
    raise StoredError("it holds {name} where a number belongs", name=name)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): _cleaned(item) for name, item in value.items()}
    return value
