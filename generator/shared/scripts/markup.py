# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts, subtitles and chats write around the words of a line, told from the words."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Longest name of a speaker, in characters.
MAX_NAME: Final = 40

_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0e\ufe0f\ufeff\U000e0020-\U000e007f]")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
_TAG_NAMES: Final = (
    "(?:a|b|big|blink|c|center|cite|code|del|div|em|font|i|ins|lang|mark|p|q|rt|ruby|s|small|span|strike|strong|sub|"
    "sup|tt|u|v)"
)
#: Those that break a line; other names in angle brackets are words ("x < y").
_BREAK_TAG: Final = re.compile(r"<\s{0,3}/?\s{0,3}br\s{0,3}/?\s{0,3}>|\\[Nnh]", re.IGNORECASE)
_TAG: Final = re.compile(
    rf"<\s{{0,3}}/?\s{{0,3}}{_TAG_NAMES}\s{{0,3}}/?\s{{0,3}}>|<{_TAG_NAMES}[.\s][^<>]{{0,200}}>|<!--[^<>]{{0,200}}-->",
    re.IGNORECASE,
)
#: Overrides of SubStation Alpha ({\an8}) and MicroDVD ({y:i}).
_OVERRIDE: Final = re.compile(r"\{(?:\\|[A-Za-z]:)[^{}]{0,500}\}")
_CLOCK: Final = r"(?:\d{1,3}:)?\d{1,2}:\d\d(?:[.,:;]\d{1,3})?"
#: When a subtitle is shown, with its number on the line before and WebVTT's settings after.
TIMING: Final = re.compile(
    rf"(?:^ ?\d{{1,7}} ?\n)? ?(?<![\d:])({_CLOCK}) ?-{{1,2}}> ?({_CLOCK})"
    r"(?: (?:align|line|position|region|size|vertical|[XY][12]):\S{1,40})*",
    re.MULTILINE,
)
_TIMESTAMP: Final = re.compile(rf"\[\s?{_CLOCK}(?:\s?[-–—>]{{1,3}}\s?{_CLOCK})?\s?\]|<{_CLOCK}>")
#: A time before a line: hours too, because "10:30" is said. "12:30:00 is late" goes on in small letters.
_LEADING_TIME: Final = re.compile(
    r"(?:\(\d{1,2}:\d\d:\d\d(?:[.,:;]\d{1,3})?\)|\d{1,2}:\d\d:\d\d(?:[.,:;]\d{1,3})?(?=[\s–—-]))(?!\s*[a-z])"
)
_EMOJI_CLASS: Final = (
    "\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u27bf\u2b00-\u2bff\u3030"
    "\u303d\u3297\u3299\U0001f000-\U0001faff"
)
#: Emoji, notes of music among them.
_PICTURE: Final = re.compile(rf" ?(?:[0-9#*]?\u20e3|[{_EMOJI_CLASS}])(?: ?(?:[0-9#*]?\u20e3|[{_EMOJI_CLASS}]))*")
#: Faces made of punctuation.
_FACE: Final = re.compile(r"(?<!\S)(?:[:;=]['’]?[-o^]?[)(\]\[DPpO/\\|*3]{1,5}|[xX]D+)(?!\S)")
#: What a screenplay says about the voice or the page.
_EXTENSION_WORDS: Final = (
    r"(?:(?i:v\.\s?o\.?|o\.\s?s\.?|o\.\s?c\.?|cont['’‘`]?d\.?|cont\.|continued|continuing|off[- ]?screen|"
    r"off[- ]?camera|voice[- ]?over|pre-?lap|subtitled?)|VO|OS|OC|MORE)"
)
_EXTENSION: Final = re.compile(rf"[(\[]\s?{_EXTENSION_WORDS}(?:\s?[,/;]\s?{_EXTENSION_WORDS})*\s?[)\]]")
_DASH: Final = re.compile(r"(?:-{1,2}|[–—―])(?:\s+|(?=[^\W\d_]|[\"“«‘(\[]))|>{1,3}\s+|>{2,3}|[•·]\s*")
_BRACKETED: Final = r"(?:\([^()\n]{1,60}\)|\[[^\[\]\n]{1,60}\])"
_NAME: Final = r"[^\W\d_][\w.'’&/#-]{0,39}(?: [\w.'’&/#-]{1,40}){0,4}"
#: A name with what is said of the voice; a colon, or, where an extension or a direction follows, none.
_LABEL: Final = re.compile(
    rf"(?P<name>{_NAME})(?P<notes>(?: ?{_BRACKETED}){{0,3}})"
    r"(?: ?(?P<colon>:)(?=[\s\"“«‘'(\[]|$)|(?P<direction>\n(?=\())|(?=\s|$))"
)
#: The same with emphasis: **Anna:** Yes.
_STRONG_LABEL: Final = re.compile(r"([*_]{1,3})([^*_:\n]{1,40})(?::\1|\1:)(?=\s|$)")
#: Small words within a name.
_PARTICLES: Final = frozenset("and at de der di from in la le of on the to van von with".split())
#: Words that lead into what follows a colon, or begin such a phrase ("Listen: ...", "One more thing: ...").
_INTRODUCES: Final = frozenset(
    """about actually advice after again all also always an and another answer anyway any as ask attention bad basically
    because before believe best breaking bottom but can case chapter check choose clearly conclusion consider correct
    correction danger day deal dear decide default don't done each either emergency end enough even every exactly
    example except exhibit fact figure final finally fine fire first five for four from fun funny get go good great
    guess hear hello help here here's hey hi hint his honestly how however i i'm idea if imagine important in is it it's
    item just know last later learn least lesson let let's life line listen long look love maybe meaning meanwhile meet
    message mind moral more most my mystery never new news next no nobody not note nothing notice now number of oh ok
    okay on once one only option or order other our p.s. part picture plan please plus point problem promise proof ps
    question quick quote read reason remember reminder repeat result right rule say second secret see seriously she so
    solution some something sorry spoiler step still stop story suggestion sure surprise take tell ten that that's the
    then there there's these they thing think third this those three time tip to today tomorrow tonight too translation
    trust truth try turns two ultimately understand update verdict very wait warning watch we well what what's when
    where which who who's why with word words worse worst yes yesterday yet you your""".split()
)
#: Those of them that may begin a name: THE DOCTOR, SECOND GUARD.
_BEFORE_NAMES: Final = frozenset("an another first last new other second the third".split())
#: Whoever has one is somebody: Dr. Weber.
_TITLE: Final = re.compile(
    r"(?:mr|mrs|ms|mx|dr|prof|st|sr|sgt|lt|cpt|capt|col|gen|rev|hon|sir|dame|lord|lady|miss|mister|madam|monsieur|madame|"
    r"señor|señora|herr|frau|doctor|professor|captain|colonel|general|sergeant|officer|inspector|detective|agent|nurse|"
    r"father|mother|sister|brother|aunt|uncle|king|queen|prince|princess|president)\b\.? \w",
    re.IGNORECASE,
)
#: Those that nothing but a name follows: what is said to him may go on in small letters.
_MISTER: Final = re.compile(r"(?:mr|mrs|ms|mx|dr|prof|sgt|lt|cpt|capt|col|gen|rev)\b\.? [^\W\d_]", re.IGNORECASE)
_CONTRACTION: Final = re.compile(r"n['’]t\b|['’](?:re|ll|ve|d|m)\b", re.IGNORECASE)
_QUOTES: Final = {'"': '"”', "“": '”"', "„": '“”"', "«": "»", "»": "«", "‹": "›", "‘": "’", "'": "'’", "「": "」"}
#: A single quotation mark that is no apostrophe.
_SINGLE: Final = re.compile(r"(?<!\w)['‘’]|['‘’](?!\w)")
_DIRECTIONS: Final = re.compile(rf"(?:{_BRACKETED}\s?){{0,4}}")
_STRONG: Final = re.compile(r"(?<![\w*_])[*_]{2,4}(?=\S)([^*_\n]{1,200})(?<=\S)[*_]{2,4}(?![\w*_])")
_EMPHASISED: Final = re.compile(r"([*_])(?=\S)[^*_]+(?<=\S)\1")
#: How many layers of markup around a line are taken away: a dash, a time, a name, quotation marks, a dash again.
_LAYERS: Final = 12


def clean(text: str, names: Collection[str] | None = None) -> str:
    """What is left of a line when its markup is gone: what is said, with its stage directions and *emphasis*.

    Names of speakers, tags, overrides, timecodes, notes of music, emoji, quotation marks around all of it, (V.O.) and
    the like, and leading dashes go. The time it takes grows with the length alone. ``names``: see `speaker_of`.
    """
    return speaker_of(text, names)[1]


def speaker_of(
    text: str, names: Collection[str] | None = None, words: Collection[str] = ()
) -> tuple[str, str]:  # fmt: skip
    """Who says a line, "" where it does not tell, and the line without markup (`clean`).

    Args:
        text: as it was typed or read.
        names: who may speak; None where that is not known, and whatever is written as a name is one. Where it is,
            "Coffee: Black, please." is nobody's line, and what is said of a voice or written as names are in scripts
            names somebody all the same: "ANNA: Hi", "Anna (V.O.): Hi", "**Anna:** Hi", "Dr. Weber: Hi".
        words: what is nobody, however it is written.
    """
    who = _Who(None if names is None else frozenset(map(_folded, names)), frozenset(map(_folded, words)))
    text = re.sub(r"[^\S\n]+", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
    # Most lines have none of it, and scripts have many lines.
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    if ":" in text:
        text = _TIMESTAMP.sub(" ", TIMING.sub("", text))
    if "{" in text:
        text = _OVERRIDE.sub("", text)
    if "<" in text or "\\" in text:
        text = _TAG.sub("", _BREAK_TAG.sub(" ", text))
    if not text.isascii():
        text = _PICTURE.sub(_gap, _INVISIBLE.sub("", text))
    text = _FACE.sub(_gap, text)
    text = "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))
    speaker, text = _peeled(text, who)
    first, *rest = text.split("\n")
    lines = (first, *(_peeled(line, who)[1] for line in rest))
    return speaker, "\n".join(filter(None, map(_plain, lines)))


def _plain(line: str) -> str:
    """A line without what stands within it."""
    if "*" in line or "_" in line:
        line = _STRONG.sub(r"*\1*", line)
    if "(" in line or "[" in line:
        line = _EXTENSION.sub(" ", line)
    return " ".join(line.split())


def _gap(found: re.Match[str]) -> str:
    """What stands where a picture stood: nothing before a mark of punctuation."""
    return "" if found.string[found.end() : found.end() + 1] in tuple(",.!?;:…") else " "


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("’", "'").split())


@dataclass(frozen=True)
class _Who:
    """Names that somebody has, None for any, and what is no name; small letters."""

    names: frozenset[str] | None
    words: frozenset[str]

    def is_somebody(self, name: str, told: bool) -> bool:
        """Whether what may be a name is one; ``told``: only names are written so."""
        return _folded(name) not in self.words and (told or self.names is None)


def _peeled(text: str, who: _Who) -> tuple[str, str]:
    """The speaker's name before a line, and the line without what stands before and around it."""
    speaker = ""
    for _ in range(_LAYERS):
        before = text = text.strip()
        if found := _DASH.match(text) or _LEADING_TIME.match(text) or _EXTENSION.match(text):
            text = text[found.end() :]
        elif not speaker and (label := _labelled(text, who)):
            speaker, text = label
        else:
            text = _unwrapped(text)
        if text == before:
            break
    return speaker, text


def _labelled(text: str, who: _Who) -> tuple[str, str] | None:
    """The name that a line begins with and the rest; None for a sentence."""
    if strong := _STRONG_LABEL.match(text):
        text = f"{strong[2]}:{text[strong.end() :]}"
    found = _LABEL.match(text)
    if found is None or len(found["name"]) > MAX_NAME:
        return None
    name, notes, rest = found["name"], found["notes"], text[found.end() :].lstrip()
    kept = _EXTENSION.sub("", notes).strip()
    large, extended = name.upper() == name, _EXTENSION.search(notes) is not None
    if who.names is not None and _folded(name) in who.names and found["colon"]:
        return name, f"{kept} {rest}".strip()
    if not who.is_somebody(name, bool(large or strong or extended or _TITLE.match(name))):
        return None
    if found["colon"]:
        # After a name begins a sentence; after "Paris: the city of ..." goes one on.
        if not _is_name(name) or not (large or extended or _MISTER.match(name) or not rest or not rest[0].islower()):
            return None
    elif not (_is_name(name) and (extended or (found["direction"] and large))):
        return None
    return name, f"{kept} {rest}".strip()


def leads_on(words: str) -> bool:
    """Whether words before a colon lead to what follows it, as "Listen" and "One more thing" do."""
    plain = words.lower().replace("’", "'").split()
    if _CONTRACTION.search(words) or plain[-1] in _INTRODUCES:
        return True
    return plain[0] in _INTRODUCES and plain[0] not in _BEFORE_NAMES


def _is_name(words: str) -> bool:
    """Whether words before a colon are written as a name is, and do not just lead to what follows."""
    small = [word for word in words.split()[1:] if word[0].islower()]
    large = words.upper() == words or (not words[0].islower() and _PARTICLES.issuperset(small))
    return large and not leads_on(words)


def _unwrapped(text: str) -> str:
    """A line without what is around all of it: quotation marks (directions may stand before them), #, emphasis."""
    found = _DIRECTIONS.match(text)
    head, body = (text[: found.end()], text[found.end() :]) if found else ("", text)
    if len(body) < 3:
        return text
    first, last, inner = body[0], body[-1], body[1:-1]
    if last in _QUOTES.get(first, ()) and not any(mark in inner for mark in ('"', "“", "”", "„", "«", "»", "「")):
        if first not in "'‘" or not _SINGLE.search(inner):
            return head + inner.strip()
    elif body.startswith("# ") and body.endswith(" #"):
        return head + body[2:-2].strip()
    elif _EMPHASISED.fullmatch(body) and (len(inner.split()) > 3 or inner[-1] in ".?!…,"):
        return head + inner  # all of it is none of it; *sighs* is a cue
    return text
