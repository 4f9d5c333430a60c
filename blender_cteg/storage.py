# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored in files and custom properties: the one place where text is escaped, read and written (no ``bpy``).

Blender crashes on text that is not UTF-8 (a lone surrogate), and a number of thousands of digits or a NaN would travel
into panels; neither gets past this module.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from .sentences import Told

#: Longest integer that anything stored here has; longer ones are damage.
_DIGITS: Final = 18


class StoredError(Told, ValueError):
    """Stored data that cannot be read; the message is the end of a sentence, such as "it is not JSON"."""


def clean(text: str) -> str:
    """The text as Blender may have it: what is not UTF-8 becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def to_text(data: Any) -> str:
    """Data of plain JSON values as text in ASCII. ValueError for a number that is not finite."""
    return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def from_text(text: object) -> Any:
    """What `to_text` wrote, or anybody's JSON; its strings are clean.

    Raises:
        StoredError: it is no JSON, or holds a number that nothing of ours has.
    """
    if not isinstance(text, str | bytes):
        raise StoredError("it is not text")
    try:
        return _cleaned(json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_refuse))
    except RecursionError:
        raise StoredError("it is nested too deeply") from None
    except StoredError:
        raise
    except ValueError as error:
        raise StoredError("it is not JSON: {why}", why=error) from None


def write_file(path: Path, text: str) -> None:
    """Write a text file all or not at all: on a full disk the old file stays. OSError when it cannot be written."""
    handle = tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False)  # noqa: SIM115
    try:
        with handle:
            handle.write(clean(text))
            handle.flush()
            os.fsync(handle.fileno())
        if path.exists():  # a temporary file is for its owner alone
            shutil.copymode(path, handle.name)
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
