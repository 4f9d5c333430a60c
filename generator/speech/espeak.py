# SPDX-License-Identifier: GPL-3.0-or-later
"""Languages other than English, read by espeak-ng where it is installed; its IPA becomes the nearest ARPAbet symbols.

espeak-ng comes from PyPI (``espeakng-loader``, ``phonemizer-fork``). English never depends on it: `english_phrase` is
for judges and tests.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from ..shared.timeline import VOWELS
from .dictionary import Phones

__all__ = ["available", "english_phrase", "nearest", "phrase"]

#: ISO 639-1 code -> espeak-ng's voice.
_VOICES: Final[dict[str, str]] = {
    "ca": "ca", "cs": "cs", "da": "da", "de": "de", "el": "el", "es": "es", "fi": "fi", "fr": "fr-fr", "hu": "hu",
    "it": "it", "nl": "nl", "no": "nb", "pl": "pl", "pt": "pt", "ro": "ro", "ru": "ru", "sv": "sv", "tr": "tr",
    "uk": "uk",
}  # fmt: skip
_ENGLISH: Final = "en-us"

#: IPA without stress, length and ties -> ARPAbet. Lips and jaw decide what is near: [y] is a rounded UW.
_IPA: Final[dict[str, str]] = {
    "i": "IY", "ɪ": "IH", "ᵻ": "IH", "ɨ": "IH", "e": "EH", "ɛ": "EH", "ε": "EH", "æ": "AE", "a": "AA", "ɑ": "AA",
    "ɒ": "AA", "ɐ": "AX", "ə": "AX", "ʌ": "AH", "ɔ": "AO", "o": "OW", "ɵ": "UH", "ʊ": "UH", "u": "UW", "ʉ": "UW",
    "ɯ": "UH", "y": "UW", "ʏ": "UH", "ø": "ER", "œ": "ER", "ɶ": "ER", "ɜ": "ER", "ɚ": "ER", "ɝ": "ER", "ɘ": "AX",
    "ɤ": "AH", "eɪ": "EY", "ɛɪ": "EY", "ei": "EY", "ɛi": "EY", "ej": "EY", "aɪ": "AY", "ai": "AY", "aj": "AY",
    "ɑɪ": "AY", "aʊ": "AW", "au": "AW", "ɑu": "AW", "ʌʊ": "AW", "ɔɪ": "OY", "ɔø": "OY", "ɔy": "OY", "ɔʏ": "OY",
    "oi": "OY", "oʊ": "OW", "əʊ": "OW", "ou": "OW", "eː": "EY", "œy": "ER IY", "ʌy": "AY",
    "p": "P", "b": "B", "t": "T", "d": "D", "ʈ": "T", "ɖ": "D", "k": "K", "g": "G", "ɡ": "G", "c": "K", "ɟ": "G",
    "q": "K", "f": "F", "v": "V", "ɸ": "F", "β": "B", "ʋ": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH",
    "ʒ": "ZH", "ʂ": "SH", "ʐ": "ZH", "ɕ": "SH", "ʑ": "ZH", "ç": "HH", "ʝ": "Y", "x": "HH", "ɣ": "G", "χ": "HH",
    "ʁ": "R", "h": "HH", "ɦ": "HH", "ɧ": "SH", "m": "M", "n": "N", "ɱ": "M", "ŋ": "NG", "ɲ": "N Y", "ɳ": "N",
    "l": "L", "ɫ": "L", "ɬ": "L", "ɭ": "L", "ʎ": "L Y", "r": "R", "ɹ": "R", "ɾ": "R", "ɽ": "R", "ʀ": "R", "w": "W",
    "ʍ": "W", "ɥ": "W", "ɰ": "G", "j": "Y", "ʔ": "", "tʃ": "CH", "dʒ": "JH", "tɕ": "CH", "dʑ": "JH", "tʂ": "CH",
    "dʐ": "JH", "ts": "T S", "dz": "D Z", "pf": "P F",
}  # fmt: skip
#: Where English differs from the table: its [a] is that of "cat", its flap is the DX, the "o" of "or" is open.
_ENGLISH_IPA: Final[dict[str, str]] = {"a": "AE", "ɾ": "DX", "oː": "AO", "x": "K", "ɐɐ": "AX"}
_STRESSES: Final = {"ˈ": 1, "ˌ": 2}

_Reader = Callable[[str], list[list[str]]]


@cache
def _reader(voice: str) -> _Reader | None:
    """Reads a phrase into words of IPA phones, or None where espeak-ng is not installed or lacks the voice."""
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
        from phonemizer.separator import Separator
    except ModuleNotFoundError:
        return None
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    silent = logging.getLogger("generator.speech.espeak")
    silent.setLevel(logging.CRITICAL)
    try:
        backend: Any = EspeakBackend(voice, with_stress=True, language_switch="remove-flags", logger=silent)
    except RuntimeError:
        return None
    separator = Separator(phone=" ", word="|", syllable="")

    def read(text: str) -> list[list[str]]:
        spoken: str = backend.phonemize([text], separator=separator, strip=True)[0]
        return [word.split() for word in spoken.split("|") if word.strip()]

    return read


def available() -> bool:
    """Whether espeak-ng is installed."""
    return _reader(_ENGLISH) is not None


def phrase(words: Sequence[str], language: str) -> list[Phones] | None:
    """The phonemes of the words of one phrase, one entry per word; None where espeak-ng cannot read the language.

    Args:
        words: lower-case words; digits are read as numbers of the language.
        language: ISO 639-1 code.
    """
    if (voice := _VOICES.get(language)) is None or _reader(voice) is None:
        return None
    return _phrase(tuple(words), voice)


def english_phrase(words: Sequence[str]) -> list[Phones] | None:
    """English as espeak-ng reads it, to judge our own reading by; None where it is not installed."""
    return None if _reader(_ENGLISH) is None else _phrase(tuple(words), _ENGLISH)


def nearest(ipa: str, english: bool = False) -> tuple[Phones, str]:
    """The phonemes nearest to one IPA phone with its stress mark, and the signs of it that have no equivalent."""
    stress = next((_STRESSES[sign] for sign in ipa if sign in _STRESSES), 0)
    table = {**_IPA, **_ENGLISH_IPA} if english else _IPA
    whole = "".join(sign for sign in unicodedata.normalize("NFC", ipa) if sign not in _STRESSES)
    # Nasal, long, palatal: what remains without the marks, as one phone if it can be, else sign by sign.
    plain = "".join(_letter(sign, table) for sign in whole)
    for bare in (whole, plain):
        if bare in table:
            return _stressed(table[bare], stress), ""
    return (
        _stressed(" ".join(table.get(sign, "") for sign in plain), stress),
        "".join(sign for sign in plain if sign not in table),
    )


def _letter(sign: str, table: Mapping[str, str]) -> str:
    """The sign without its marks; nothing of a mark that stands alone."""
    if sign in table:
        return sign
    return unicodedata.normalize("NFD", sign)[0] if unicodedata.category(sign) in ("Ll", "Lo") else ""


def _stressed(symbols: str, stress: int) -> Phones:
    return tuple((symbol, stress if symbol in VOWELS else 0) for symbol in symbols.split())


@lru_cache(maxsize=8192)
def _phrase(words: tuple[str, ...], voice: str) -> list[Phones]:
    read = _reader(voice)
    assert read is not None  # asked before
    parts = read(" ".join(words))
    # Where espeak-ng runs words together ("of the") or reads one as several, each is read by itself.
    if len(parts) == len(words):
        return [_phones(part, voice) for part in parts]
    return [tuple(phone for part in read(word) for phone in _phones(part, voice)) for word in words]


def _phones(ipa: list[str], voice: str) -> Phones:
    return tuple(phone for token in ipa for phone in nearest(token, voice == _ENGLISH)[0])
