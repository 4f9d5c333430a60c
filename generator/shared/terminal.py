# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for people: a bar that is written over on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Final, TextIO

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
                self._stream.write(f"{words}\n")
        else:
            bar = ("#" * round(_WIDTH * min(fraction, 1.0))).ljust(_WIDTH, "-")
            self._longest = max(self._longest, len(words))
            self._stream.write(f"\r[{bar}] {words.ljust(self._longest)}")
            self._open = True
        self._stream.flush()

    def end(self) -> None:
        """Nothing more comes."""
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
        self._open = False
