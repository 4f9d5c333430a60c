# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions as printed plays have them: whole sentences about somebody, clauses, places of the stage."""

from __future__ import annotations

import re
from typing import Final, Literal

#: Places of the stage: "R.C.", "Still seated L.C.", "Up C.", "down stage", "outside".
_PLACE: Final = re.compile(
    r"(?:(?:(?:still|up|down|off|on|at|by|of|to|back|seated|sitting|standing|sofa|table|door) )*"
    r"(?:[RLCUD]\.? ?){1,3}(?:E\. ?)?\.?)"
    r"|(?:(?:still|up|down|off|back|from) ?-?)*(?:stage|centre|center|within|without|outside|nearer|close by)\.?",
    re.IGNORECASE,
)
#: What goes before a direction and leaves it what it is.
LEADING: Final = re.compile(
    r"(?:(?:and|but|again|also|still|once (?:more|again)|always|already|now|then|here|suddenly|at last|at once|finally|"
    r"presently|immediately|at the same (?:time|moment)|at this(?: moment)?|in the same (?:tone|manner|voice|way)|"
    r"as before|both|all|half|unconsciously|meanwhile),? )+(?=\w)",
    re.IGNORECASE,
)
#: What happens on a stage without a verb: "Military bow", "a gesture of despair", "Another moment of silence".
_HAPPENS: Final = re.compile(
    r"(?:[\w-]+ ){0,3}(?:bow|curtsy|gesture|movement|murmurs?|applause|exclamation|sensation|commotion|handshake|"
    r"noise|embrace|cries|cheers|hubbub|uproar)(?:,.*| (?:of|from|between|towards?|at|among|in|outside|within|as) .*)?"
    r"|(?:a|one|two|a few) steps? (?:forward|back|nearer.*|closer.*|towards?.*)"
)
_ASIDE: Final = frozenset("i you we me us my your our i'm you're we're it's that's was were did had told said".split())
#: Verbs of what somebody thinks or is, and no direction tells.
_OPINIONS: Final = frozenset(
    "says thinks knows means loves hates needs wants likes wishes seems owes lives works".split()
)
_HELPERS: Final = frozenset("is are has have does do can cannot".split())
_PEOPLE: Final = frozenset("he she they both all each everyone everybody".split())
_ARTICLES: Final = frozenset("his her their the a an another this".split())
_WHEN: Final = frozenset("as while whilst when before after until till".split())
_NO_VERBS: Final = frozenset("his hers theirs this its always perhaps besides sometimes as yes thanks".split())
_TITLES: Final = frozenset("mr mrs dr miss lady lord sir the and".split())
_NOT_NAMES: Final = frozenset("who which as at in on with without to from of for by not no if so".split())
#: A sentence about somebody has so many words at least, and one of a state so many.
_LEAST, _LEAST_STATE = 4, 6


def narrated(words: str) -> Literal["note", "action"] | None:
    """What ``words`` are that tell of the stage: a place of it, or what somebody does or what happens; else None."""
    written = LEADING.sub("", re.sub(r'["“][^"”]*["”]', "", words).strip(), count=1)
    if _PLACE.fullmatch(re.sub(r"[\s,;:]+", " ", written).strip()) and not written.islower() | written.isdigit():
        return "note"
    tokens = re.findall(r"[^\W\d_][\w'’-]*", written)
    lower = [token.lower().replace("’", "'") for token in tokens]
    if not tokens or re.search(r"[!?]\W*$", written) or _ASIDE & set(lower):
        return None
    if _HAPPENS.fullmatch(" ".join(written.lower().split()).strip(" .,;:")):
        return "action"
    if lower[0] in ("who", "is", "has", "are", "have"):
        return "action" if len(lower) > 2 and lower[1] not in ("this", "that", "it", "there", "he", "she") else None
    if lower[0] in _WHEN:
        told = len(lower) > 2 and (lower[1] in _PEOPLE or tokens[1][0].isupper())
        return "action" if told and not _OPINIONS & set(lower[2:4]) and not set(lower[2:4]) & {"is", "are"} else None
    return "action" if _tells(written, tokens, lower) else None


def _tells(written: str, tokens: list[str], lower: list[str]) -> bool:
    """Whether it is a sentence about a third person, in the present."""
    printed = written[0].isupper() and written.endswith((".", ";", ":"))
    if lower[0] in _PEOPLE:
        at = 1
    elif lower[0] in _ARTICLES and printed:
        at = 2
    elif tokens[0][0].isupper() and lower[0] not in _NOT_NAMES | _ARTICLES:
        at = next((k for k, (t, low) in enumerate(zip(tokens, lower, strict=True))
                   if not (t[0].isupper() or low in _TITLES)), len(tokens))  # fmt: skip
        if not at or at == len(tokens) or (at == 1 and lower[0].endswith(("ly", "ing", "ed"))):
            return False
    else:
        return False
    for k, word in enumerate(lower[at : at + 10], at):
        rest = lower[k + 1 :]
        if word in _HELPERS:
            state = len(lower) >= _LEAST_STATE or (bool(rest) and rest[0].endswith("ly") and len(rest) > 1)
            return state or rest[:1] in (["about"], ["silent"], ["heard"], ["seen"])
        if word in _OPINIONS:
            return False
        if word.endswith("s") and not word.endswith(("ss", "us", "'s")) and word not in _NO_VERBS:
            return len(lower) >= _LEAST or (lower[0] in ("he", "she") and len(lower) > 2)
    return False
