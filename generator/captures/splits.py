# SPDX-License-Identifier: GPL-3.0-or-later
"""Which captured lines are trained on, which choose the checkpoint, and which judge it."""

from __future__ import annotations

import hashlib
import re
from typing import Final

#: Of a thousand lines, this many are test lines and as many dev lines.
_HELD_OUT: Final = 100


def assign_splits(texts: list[str]) -> tuple[list[str], list[str]]:
    """A split ("train", "dev" or "test") for every text, and sentences about what could not be done.

    A line's words decide (its spelling does not), so that adding recordings moves no other line, and no line is in two
    splits. A split that stays empty takes the line whose hash comes next. With fewer than three different lines
    single recordings are divided instead; with fewer than three recordings all are training data.
    """
    doubts = []
    keys = [_words(text) for text in texts]
    if len(texts) < 3:
        return ["train"] * len(texts), ["There are fewer than 3 recorded lines, too few to hold any out."]
    if len(set(keys)) < 3:
        keys = [f"{key} {row}" for row, key in enumerate(keys)]
        doubts = ["There are fewer than 3 different lines, so recordings of one line are in several splits."]
    ranked = sorted(set(keys), key=_hash)
    of = {key: _split(_hash(key) % 1000) for key in ranked}
    for needy in ("test", "dev", "train"):
        if needy not in of.values():
            rich = max(("train", "dev", "test"), key=list(of.values()).count)
            of[next(key for key in ranked if of[key] == rich)] = needy
    return [of[key] for key in keys], doubts


def _split(part: int) -> str:
    return "test" if part < _HELD_OUT else "dev" if part < 2 * _HELD_OUT else "train"


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower())) or text


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
