# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching: which key or bone a channel probably means on a face with names of its own, and how sure that is (no bpy).

Names that say the same as a channel are sure (`SURE` and above) and are used without asking. Names that only share
words with it are suggestions, which an animator accepts or not. Sides must agree. Nothing is guessed from a language
that the table of words does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final, Literal

from ..shared import ARKIT_CHANNELS, HEAD_CHANNELS
from .detection.naming import load_table, match_arkit, match_bones, match_flame
from .direct import EYE_TURNS, JAW_TURNS

Kind = Literal["KEY", "BONE", "ROLE"]

#: Candidates from this score on are used without asking.
SURE: Final = 0.8
#: Candidates below this are not worth showing.
_FAINT: Final = 0.4
#: What a name whose words all agree gets at most, when it is not a known spelling.
_SIMILAR: Final = 0.75
#: A key without a side may stand for both sides, and one of a side for half of a channel that has none.
_OTHER_SIDE: Final = 0.85
_REGION_WEIGHT: Final = 0.4
#: Words that differ by a letter or two are the same word.
_SAME_WORD: Final = 0.82
_SIDES: Final = MappingProxyType({"l": "left", "left": "left", "r": "right", "right": "right"})
_DIRECTIONS: Final = frozenset({"mouthLeft", "mouthRight", "jawLeft", "jawRight"})
_WORD: Final = re.compile(r"[A-Z]{2,}(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]")
_INNER_BONE: Final = re.compile(r"^(?:def|org|mch|vis)[-_]", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """A key, a bone by its name, or a role that a bone plays, which a channel may mean.

    Attributes:
        kind: KEY, BONE or ROLE.
        name: name of the key, of the bone, or of the role.
        score: how sure that is, 0..1; from `SURE` on it is used without asking.
        shared: whether it stands for both sides, and so is driven by two channels.
        half: the side it stands for, where the channel has none; else "".
    """

    kind: Kind
    name: str
    score: float
    shared: bool = False
    half: str = ""


@lru_cache(maxsize=32)  # asked at every redraw of the editor
def candidates(
    channels: tuple[str, ...], keys: tuple[str, ...], bones: tuple[str, ...]
) -> MappingABC[str, tuple[Candidate, ...]]:
    """For each of ``channels`` what it may mean among these names, surest first; a channel without any is left out.

    Args:
        channels: of arkit55 or flame53; others match only keys called exactly like them.
        keys: the mesh's shape keys without the basis.
        bones: the bones of the armature that deforms it.

    Returns:
        Either sure candidates, which belong together (two halves), or suggestions, of which the best belong together.
    """
    sure = _sure(channels, keys, bones)
    used = {candidate.name for found in sure.values() for candidate in found}
    used |= set(match_bones(bones).values())
    open_channels = [c for c in channels if c not in sure and c in ARKIT_CHANNELS]
    names: list[tuple[Kind, str]] = [("KEY", key) for key in keys if key not in used]
    names += [("BONE", bone) for bone in bones if bone not in used and not _INNER_BONE.match(bone)]
    similar: dict[str, list[Candidate]] = {}
    for kind, name in names:
        scores = {channel: _similarity(channel, name) for channel in open_channels}
        best = max((score for score, _ in scores.values()), default=0.0)
        for channel, (score, shared) in scores.items():
            # A name suggests itself where it fits best and nowhere else.
            if score >= max(best - 1e-6, _FAINT):
                half = "" if _said(channel)[1] else _said(name)[1]
                similar.setdefault(channel, []).append(Candidate(kind, name, round(score, 2), shared, half))
    ranked = {c: tuple(sorted(found, key=lambda k: (k.kind == "BONE", -k.score))) for c, found in similar.items()}
    return MappingProxyType({c: (sure | ranked)[c] for c in channels if c in sure or c in ranked})


def suggestion(found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Of a channel's candidates those to accept together: the best one, or its two halves. Empty when they are sure."""
    if not found or found[0].score >= SURE:
        return ()
    best = found[0]
    other = next((c for c in found if best.half and c.kind == best.kind and c.half not in ("", best.half)), None)
    return (best,) if other is None else (best, other)


def _sure(channels: tuple[str, ...], keys: tuple[str, ...], bones: tuple[str, ...]) -> dict[str, tuple[Candidate, ...]]:
    matched = match_arkit(keys).matched
    matched |= {channel: names for channel, names in match_flame(keys).matched.items() if channel != "jawOpen"}
    times: dict[str, int] = {}
    for names in matched.values():
        for name in names:
            times[name] = times.get(name, 0) + 1
    sure = {}
    for channel in channels:
        names = matched.get(channel, (channel,) if channel in keys else ())
        found = []
        for name in names:
            if len(names) > 1 or times.get(name, 0) > 1:
                found.append(Candidate("KEY", name, 0.8, times.get(name, 0) > 1))
            else:
                same = name.lower() == channel.lower()
                found.append(Candidate("KEY", name, 1.0 if same else 0.95))
        if found:
            sure[channel] = tuple(found)
    roles = match_bones(bones)
    head = next((role for role in ("head", "neck") if role in roles), None)
    turning: dict[str, tuple[str, ...]] = {role: tuple(turns) for role, turns in EYE_TURNS.items()}
    turning |= {"jaw": tuple(JAW_TURNS)} | ({head: HEAD_CHANNELS} if head is not None else {})
    for role, turns in turning.items():
        for channel in turns if role in roles else ():
            if channel in channels and channel not in sure:
                sure[channel] = (Candidate("ROLE", role, 0.95),)
    return sure


def _similarity(channel: str, name: str) -> tuple[float, bool]:
    """How much a name says what a channel says, 0..1, and whether it says it for both sides."""
    wanted, wanted_side = _said(channel)
    words, side = _said(name)
    if channel in _DIRECTIONS:
        # The side is where it goes, and a bare letter is not enough to say that.
        if not side or side not in name.lower():
            return 0.0, False
        wanted, words, wanted_side, side = wanted | {wanted_side}, words | {side}, "", ""
    if wanted_side and side and wanted_side != side:
        return 0.0, False
    regions = _regions()
    if (wanted & regions) and (words & regions) and not (wanted & words & regions):
        return 0.0, False
    if not any(_same(word, other) for word in wanted - regions for other in words - regions):
        return 0.0, False
    found = _share(wanted, words)
    said = _share(words, wanted)
    agreement = 2 * found * said / (found + said)
    other_side = 1.0 if wanted_side == side else _OTHER_SIDE
    return _SIMILAR * agreement * other_side, bool(wanted_side) and not side


def _share(words: frozenset[str], others: frozenset[str]) -> float:
    """How much of what ``words`` say is said by ``others``, 0..1; regions say less than what happens there."""
    weights = {word: _REGION_WEIGHT if word in _regions() else 1.0 for word in words}
    return sum(w for word, w in weights.items() if any(_same(word, o) for o in others)) / sum(weights.values())


@lru_cache(maxsize=4096)
def _same(word: str, other: str) -> bool:
    if word == other:
        return True
    from difflib import SequenceMatcher  # here, because enabling the extension needs none of it

    return min(len(word), len(other)) >= 4 and SequenceMatcher(None, word, other).ratio() >= _SAME_WORD


@lru_cache(maxsize=4096)
def _said(name: str) -> tuple[frozenset[str], str]:
    """The words of a name in the words of the channels, and its side ("" without one)."""
    table = _load_words()
    parts = [word.lower() for word in _WORD.findall(name)]
    sides = [_SIDES[word] for word in parts if word in _SIDES]
    side = sides[-1] if sides else ""
    if len(sides) == 2 and not {"eye", "eyes"}.isdisjoint(parts):  # which eye, and where it looks
        side, parts = sides[0], [*parts, "out" if sides[0] == sides[1] else "in"]
    words = {table.words.get(word, word) for word in parts if word not in _SIDES and word not in table.noise}
    for region, meanings in table.in_region.items():
        for word, meaning in meanings.items():
            if words >= {region, word} and not {"upper", "lower"} & words:
                words = (words - {region, word}) | set(meaning)
    return frozenset(words), side


@dataclass(frozen=True)
class _Words:
    regions: frozenset[str]
    noise: frozenset[str]
    words: MappingABC[str, str]
    in_region: MappingABC[str, MappingABC[str, list[str]]]


@cache
def _load_words() -> _Words:
    """The table of words, ``data/key_words.json``."""
    table = load_table("key_words")
    return _Words(frozenset(table["regions"]), frozenset(table["noise"]), table["words"], table["in_region"])


def _regions() -> frozenset[str]:
    return _load_words().regions
