# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests hold in place of time, which depends on what else the machine does."""

from __future__ import annotations

import sys
from collections.abc import Callable


def calls(act: Callable[..., object], *arguments: object) -> int:
    """How many functions are called, those that are written in C included (Blender's and NumPy's, not ufuncs')."""
    count = 0

    def seen(_frame: object, event: str, _value: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        act(*arguments)
    finally:
        sys.setprofile(None)
    return count
