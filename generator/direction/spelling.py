# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a line is, from its spelling: without a dictionary."""

from __future__ import annotations

import re
from typing import Final

_VOWELS: Final = re.compile(r"[aeiouy]+", re.IGNORECASE)


def words_and_syllables(text: str) -> tuple[int, int]:
    """How many words and syllables a line has, by spaces and by groups of vowels."""
    words = [w for w in text.split() if any(c.isalnum() for c in w)]
    return len(words), sum(max(1, len(_VOWELS.findall(w))) for w in words)
