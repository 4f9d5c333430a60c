# SPDX-License-Identifier: GPL-3.0-or-later
"""Words to phonemes with stress: espeak-ng reads whole phrases, so "the", "to" and "of" get their weak forms.

espeak-ng comes from PyPI (``espeakng-loader``, ``phonemizer-fork``); it is needed to build a corpus, never to run the
generator. Where it is not installed the CMU dictionary stands in (`cmu`); `reader_name` says which one reads.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final

from .cmu import Phone, parse
from .cmu import phones as cmu_phones

__all__ = ["Phone", "phones", "phrase_phones", "reader_name"]

_SOUNDS: Final[dict[str, str]] = {
    "hm": "HH M M", "hmm": "HH M M M", "hmmm": "HH M M M M", "mm": "M M", "mmm": "M M M", "mhm": "M HH M",
    "uh": "AH1", "um": "AH1 M", "ugh": "AH1 G", "urgh": "ER1 G", "argh": "AA1 R G", "aargh": "AA1 R G",
    "haha": "HH AA1 HH AA1", "hahaha": "HH AA1 HH AA1 HH AA1", "hehe": "HH EH1 HH EH1", "lol": "L AA1 L",
    "shh": "SH SH", "pff": "P F F", "pfft": "P F T", "tsk": "T S K", "psst": "P S S T", "grr": "G R R",
    "ew": "IY1 UW0", "eww": "IY1 UW0", "yuck": "Y AH1 K", "aw": "AO1", "aww": "AO1", "ooh": "UW1", "aah": "AA1",
    "omg": "OW1 EH1 M JH IY1", "wtf": "D AH1 B AH0 L Y UW0 T IY1 EH1 F", "ok": "OW0 K EY1",
}  # fmt: skip

#: espeak-ng's American English phones (IPA without stress marks) -> ARPAbet; AX is the schwa, DX the flap.
_IPA: Final[dict[str, str]] = {
    "i": "IY", "iː": "IY", "ɪ": "IH", "ᵻ": "IH", "eɪ": "EY", "ɛ": "EH", "e": "EH", "æ": "AE", "aɪ": "AY", "aʊ": "AW",
    "a": "AE", "ɑː": "AA", "ɑ": "AA", "ɑ̃": "AA", "ɒ": "AA", "ɔː": "AO", "ɔ": "AO", "ɔɪ": "OY", "oʊ": "OW", "o": "OW",
    "oː": "AO", "ʊ": "UH", "uː": "UW", "u": "UW", "ʌ": "AH", "ɐ": "AX", "ə": "AX", "ɚ": "ER", "ɜː": "ER", "ɜ": "ER",
    "iə": "IY AX", "əl": "AX L", "ɐɐ": "AX", "n̩": "N", "m̩": "M", "l̩": "L", "aɪə": "AY AX", "aɪɚ": "AY ER",
    "aʊɚ": "AW ER", "ɔːɹ": "AO R", "oːɹ": "AO R", "ɑːɹ": "AA R", "ɪɹ": "IH R", "ɛɹ": "EH R", "ʊɹ": "UH R", "æɹ": "AE R",
    "p": "P", "b": "B", "t": "T", "d": "D", "ɾ": "DX", "k": "K", "ɡ": "G", "g": "G", "f": "F", "v": "V", "θ": "TH",
    "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "tʃ": "CH", "dʒ": "JH", "m": "M", "n": "N", "ŋ": "NG",
    "l": "L", "ɬ": "L", "r": "R", "ɹ": "R", "w": "W", "ʍ": "W", "j": "Y", "h": "HH", "x": "K", "ɣ": "G", "ʔ": "",
    "ts": "T S", "dz": "D Z", "ç": "HH", "ʋ": "V", "ɲ": "N Y", "β": "V", "y": "UW", "ø": "ER", "œ": "ER", "ɛ̃": "AE",
    "ɔ̃": "AO", "aː": "AA", "eː": "EY", "ɵ": "OW", "ɯ": "UW",
}  # fmt: skip
_VOWELS: Final = frozenset("AA AE AH AX AO AW AY EH ER EY IH IY OW OY UH UW".split())
#: Letters that are read one by one although they could be a word.
_SPELLED: Final = frozenset("FBI CIA USA UFO ID IT TV DNA ATM IQ PhD".split())


@cache
def _espeak() -> Callable[[str], list[list[str]]] | None:
    """Reads a phrase into words of IPA phones, or None where espeak-ng is not installed."""
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
        from phonemizer.separator import Separator
    except ModuleNotFoundError:
        return None
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    silent = logging.getLogger("generator.corpus.espeak")
    silent.setLevel(logging.ERROR)
    backend: Any = EspeakBackend("en-us", with_stress=True, language_switch="remove-flags", logger=silent)
    separator = Separator(phone=" ", word="|", syllable="")

    def read(phrase: str) -> list[list[str]]:
        spoken: str = backend.phonemize([phrase], separator=separator, strip=True)[0]
        return [word.split() for word in spoken.split("|") if word.strip()]

    return read


def reader_name() -> str:
    """Who pronounces: "espeak-ng" or "cmudict"."""
    return "cmudict" if _espeak() is None else "espeak-ng"


def _arpabet(ipa: list[str]) -> tuple[Phone, ...]:
    """Phones of one word; an unknown sound is left out."""
    result: list[Phone] = []
    for token in ipa:
        stress = 1 if "ˈ" in token else 2 if "ˌ" in token else 0
        bare = token.strip("ˈˌ").replace("ˈ", "").replace("ˌ", "")
        found = _IPA.get(bare)
        if found is None:
            # Foreign sounds, long consonants: what remains after the marks.
            found = " ".join(_IPA.get(sign, "") for sign in re.sub(r"[ː̩̃ʲ͡\d-]", "", bare))
        for symbol in found.split():
            result.append((symbol, stress if symbol in _VOWELS else 0))
    return tuple(result)


def _plain(word: str) -> str:
    """A word as espeak-ng should see it: "SOOO" is "so", "FBI" stays letters."""
    if word in _SPELLED or (len(word) > 1 and word.isupper() and not re.search(r"[AEIOUY]", word)):
        return word
    return re.sub(r"(.)\1{2,}", r"\1", word.lower()).strip("'")


def _exclaimed(word: str) -> tuple[Phone, ...] | None:
    """Sounds that are no words of the language."""
    lower = word.lower()
    if lower in _SOUNDS:
        return parse(_SOUNDS[lower].split())
    if re.fullmatch(r"(ha|he|hi|ho){2,}h?", lower):
        return parse(["HH", "AA1"] * min(len(lower) // 2, 6))
    return None


@lru_cache(maxsize=65536)
def phones(word: str) -> tuple[Phone, ...]:
    """Phonemes of one word by itself, possibly none; digits are read as numbers."""
    if (sound := _exclaimed(word)) is not None:
        return sound
    read = _espeak()
    plain = _plain(word)
    if read is None:
        return cmu_phones(word)
    return tuple(phone for part in read(plain) for phone in _arpabet(part)) if plain else ()


def phrase_phones(words: list[str]) -> list[tuple[Phone, ...]]:
    """Phonemes of the words of one phrase, as they are said together; one entry per word."""
    read = _espeak()
    alone = [_exclaimed(word) for word in words]
    plain = [_plain(word) or "a" for word in words]
    # Digits and spelled letters become several words.
    if read is not None and not all(alone) and all(word.islower() for word in plain):
        parts = read(" ".join(plain))
        # Phrases in which espeak-ng runs words together ("of the") are read word by word.
        if len(parts) == len(words):
            return [_arpabet(part) if sound is None else sound for part, sound in zip(parts, alone, strict=True)]
    return [phones(word) for word in words]
