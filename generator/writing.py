# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: bytes) -> Path:
    """Write ``data`` to ``path``, whole or not at all."""
    return write_atomically(path, lambda file: file.write(data))


def write_atomically(path: Path, write: Callable[[Any], object]) -> Path:
    """Call ``write`` on a temporary file beside ``path``, then rename it: the file appears whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())  # or a power cut leaves the new name with nothing behind it
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is not None:  # what was asked for, not what it was going to be made of
            error.filename, error.filename2 = str(path), None
        raise
    return path
