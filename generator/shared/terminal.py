# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for people: a bar that is written over on a terminal, a line now and then elsewhere; rows for programs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

_WIDTH: Final = 24


class Shown:
    """Progress on a stream.

    Args:
        stream: a terminal gets a bar, a file or a pipe lines.
        every: seconds between lines.
    """

    def __init__(self, stream: TextIO, every: float = 10.0) -> None:
        self._stream, self._every = stream, every
        self._last, self._said = time.monotonic(), ""
        self._terminal, self._open, self._longest = stream.isatty(), False, 0

    def show(self, fraction: float, words: str) -> None:
        """``fraction`` of the work, 0..1, is done; 1 is always shown. The same words are not said twice in lines."""
        now = time.monotonic()
        if not self._terminal:
            if (fraction >= 1.0 or now - self._last >= self._every) and words != self._said:
                self._last, self._said = now, words
                tell(self._stream, f"{words}\n")
        else:
            bar = ("#" * round(_WIDTH * min(fraction, 1.0))).ljust(_WIDTH, "-")
            self._longest = max(self._longest, len(words))
            tell(self._stream, f"\r[{bar}] {words.ljust(self._longest)}")
            self._open = True

    def end(self) -> None:
        """Nothing more comes."""
        if self._open:
            tell(self._stream, "\n")
        self._open = False

    @staticmethod
    def row(entry: dict[str, Any]) -> None:
        """``entry`` as a line of JSON on stdout, whatever alphabet that can write."""
        if sys.stdout is not None:
            plain = "utf" not in (sys.stdout.encoding or "").lower()
            tell(sys.stdout, f"{json.dumps(entry, ensure_ascii=plain)}\n")


def tell(stream: TextIO, text: str) -> None:
    """Write ``text`` at once. Who stopped listening (``| head``), or has no room to keep it, ends nobody's work."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
