# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: which channel a shape key stands for, and which role a bone plays (no ``bpy``).

Names are compared by their words: ``A24_Mouth_Smile_Left``, ``MouthSmile_L`` and ``!ex-mouthSmileLeft`` all say
*mouth, smile, left*. Words or numbers that several names of a mesh have before or after such a name are its exporter's
and say nothing. Where rigs of a kind have names of their own, a preset says what they mean. Any other name is not
matched; nothing is guessed from order, and what a name says is a hint of where to look (`..measuring`).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ...shared import ARKIT_CHANNELS, FLAME_EXPRESSIONS

_DATA: Final = Path(__file__).parents[1] / "data"


def load_table(name: str) -> dict[str, Any]:
    """One of the JSON tables in ``rigs/data``, by file name without its ending."""
    return json.loads((_DATA / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class KeyNames:
    """Which shape keys of one mesh were recognised.

    Attributes:
        matched: channel -> the key names it drives (two where a channel was split into sides, and a key that
            joins both sides is listed under both channels).
        ignored: names that no channel drives, in the mesh's order.
        doubled: those of ``ignored`` that say the same as a driven key in other letters -> that key.
        backwards: keys that a channel drives below zero, as (channel, key): one slider for brows up and down.
    """

    matched: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    doubled: dict[str, str] = field(default_factory=dict)
    backwards: frozenset[tuple[str, str]] = frozenset()


# ---------------------------------------------------------------------------------------------- ARKit

#: What exporters put before a name: "!ex-" (MPFB), "A24_" and "AK_24_" (Apple's order), a mesh's name and a dot.
_PREFIX = re.compile(
    r"^(?:!ex-|a\d{1,2}_|ak_(?:\d{1,2}_)?|arkit_?|blendshapes?[._]?\d*\.|bs_|face_|shp_)", re.IGNORECASE
)
_NAMESPACE = re.compile(r"^.*[:|](?=.)|^\w+\.(?=[A-Za-z]\w{3,})")
_COPY_NUMBER = re.compile(r"\.\d{3}$")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SIDES: Final = MappingProxyType(
    {"l": "left", "left": "left", "lf": "left", "r": "right", "right": "right", "rt": "right"}
)


#: So many names with the same words around what they say are no coincidence.
_SEVERAL: Final = 3
#: What is shorter and has words around it may be anything, but for what longer ones beside it say.
_SHORTEST: Final = 5
#: A preset is meant where a mesh has this share of its names; nothing else is with the other one.
_MOST_OF_IT: Final = 0.5
_ALL_OF_IT: Final = 0.9
#: Words that are never an exporter's: a corrective of two shapes has them around each, and half a shape its side.
_PARTS: Final = frozenset(
    "brow brows cheek eye eyes jaw lip lips mouth nose tongue corrective fix not upper lower inner outer".split()
) | frozenset(_SIDES)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _comparable(name: str) -> str:
    """The words of ``name`` in lower case, its side written out and put last."""
    name = _COPY_NUMBER.sub("", name.strip())
    name = _NAMESPACE.sub("", name)
    return _said(_words(_PREFIX.sub("", name)))


def _said(words: Iterable[str]) -> str:
    """Words as they are compared. Two sides are two things: which eye, and where it looks."""
    words = tuple(words)
    sides = [_SIDES[word] for word in words if word in _SIDES]
    return "".join(word for word in words if word not in _SIDES) + "".join(sides)


def _spoken(names: Iterable[str]) -> dict[str, str]:
    """What each name of a mesh says, without what several of them have before or after what they say."""
    known = _vocabulary()
    spoken, around = {name: _comparable(name) for name in names}, defaultdict[tuple[str, ...], dict[str, str]](dict)
    for name in [name for name, said in spoken.items() if said not in known]:
        words = _words(_COPY_NUMBER.sub("", name))
        windows = [(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
        for i, j in sorted(windows, key=lambda window: window[0] - window[1])[1:]:
            said, left = _said(words[i:j]), (*words[:i], "…", *words[j:])
            if said in known and _PARTS.isdisjoint(left):
                around[tuple("#" if word.isdigit() else word for word in left)].setdefault(said, name)
                break
    several = {rest for rest, of in around.items() if sum(len(said) >= _SHORTEST for said in of) >= _SEVERAL}
    theirs = {word for rest in several for word in rest}
    for rest, of in around.items():
        if rest in several or theirs.issuperset(rest):
            spoken |= {name: said for said, name in of.items()}
    return spoken


@cache
def _vocabulary() -> frozenset[str]:
    """Everything that a name may say."""
    own = {words for s in _arkit_spellings().values() for words in (*s.whole, *s.halves, *s.joined)}
    return frozenset(own.union(*(convention for convention in _conventions())))


@cache
def _conventions() -> tuple[dict[str, dict[str, float]], ...]:
    """For each preset of ARKit's channels: what a name says -> the channels that it stands for, and how much."""
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((_DATA / "presets").glob("*.json"))]
    return tuple(
        {_comparable(key): row for key, row in table.get("shape_keys", {}).items()}
        for table in tables
        if table["source_space"] == "arkit55"
    )


@dataclass(frozen=True)
class _Spellings:
    """For one channel, the comparable names of a key of its own, of its two halves, and of a key that joins sides."""

    whole: tuple[str, ...]
    halves: tuple[str, ...]
    joined: tuple[str, ...]


@cache
def _arkit_spellings() -> dict[str, _Spellings]:
    aliases = load_table("key_aliases")

    def spelled(table: str, channel: str) -> tuple[str, ...]:
        return tuple(name for name, of in aliases[table].items() if channel == of or channel in of)

    def spellings(channel: str) -> _Spellings:
        whole = (channel, *spelled("spellings", channel))
        halves = [half for name in whole if channel in aliases["split"] for half in _halves(name)]
        return _Spellings(*(tuple(map(_comparable, names)) for names in (whole, halves, spelled("joined", channel))))

    return {channel: spellings(channel) for channel in ARKIT_CHANNELS}


def _halves(name: str) -> Iterator[str]:
    """What the parts of a shape are called that was split into sides, upper and lower lip, or both."""
    stem, side = re.fullmatch(r"(.*?)(Left|Right)?", name).groups()  # type: ignore[union-attr]
    for lip in ("", "Upper", "Lower"):
        for part in (side,) if side else ("", "Left", "Right"):
            if lip or (part and not side):
                yield stem + lip + part


def match_arkit(names: Iterable[str]) -> KeyNames:
    """Match shape-key names to the 52 ARKit channels.

    A channel takes its own key, else the two halves it was split into, else a key that joins it with its other side
    (Ready Player Me's ``mouthSmile``), but only where that side has no key of its own either. Of several keys with
    the same words the one spelled like the channel wins, else the one with the fewest digits: others are in-betweens.
    """
    names = list(names)
    spoken = _spoken(names)
    by_words: dict[str, str] = {}
    for name in sorted(names, key=lambda n: (n not in ARKIT_CHANNELS, sum(map(str.isdigit, n)))):
        by_words.setdefault(spoken[name], name)
    spellings = _arkit_spellings()
    matched: dict[str, tuple[str, ...]] = {}
    for channel, spelling in spellings.items():
        own = [by_words[words] for words in spelling.whole if words in by_words][:1]
        keys = own or [by_words[words] for words in spelling.halves if words in by_words]
        if keys:
            matched[channel] = tuple(keys)
    theirs, backwards, all_of_it = _by_convention(by_words)
    if all_of_it:  # names that mean something else elsewhere as well
        taken = {name for names_of in theirs.values() for name in names_of}
        matched = {c: names_of for c, names_of in matched.items() if taken.isdisjoint(names_of)}
    matched = theirs | matched
    sides_with_keys = {words for channel in matched for words in spellings[channel].joined}
    for channel, spelling in spellings.items():
        joined = [by_words[w] for w in spelling.joined if w in by_words and w not in sides_with_keys][:1]
        if joined and channel not in matched:
            matched[channel] = tuple(joined)
    in_order = {c: matched[c] for c in ARKIT_CHANNELS if c in matched}
    backwards &= {(c, name) for c, names_of in in_order.items() for name in names_of}
    return replace(_key_names(names, in_order, lambda name: spoken[name]), backwards=backwards)


def _by_convention(
    by_words: MappingABC[str, str],
) -> tuple[dict[str, tuple[str, ...]], frozenset[tuple[str, str]], bool]:
    """The keys of each channel by the preset whose names are most of all there, which of them go below zero, and
    whether it can be nothing else.

    Args:
        by_words: what a name says -> the name.
    """
    best = max(_conventions(), key=lambda table: len(table.keys() & by_words.keys()))
    there = {words: channels for words, channels in best.items() if words in by_words}
    if len(there) < max(_SEVERAL, _MOST_OF_IT * len(best)):
        return {}, frozenset(), False
    found: dict[str, tuple[str, ...]] = {}
    backwards = set()
    for words, channels in there.items():
        for channel, weight in channels.items():
            if channel in ARKIT_CHANNELS:
                found[channel] = (*found.get(channel, ()), by_words[words])
                backwards |= {(channel, by_words[words])} if weight < 0 else set()
    return found, frozenset(backwards), len(there) >= _ALL_OF_IT * len(best)


def _key_names(names: list[str], matched: dict[str, tuple[str, ...]], meaning: Callable[[str], object]) -> KeyNames:
    used = {key for keys in matched.values() for key in keys}
    by_meaning = {meaning(key): key for key in used}
    ignored = tuple(name for name in names if name not in used)
    return KeyNames(
        matched, ignored, {name: by_meaning[meaning(name)] for name in ignored if meaning(name) in by_meaning}
    )


# ---------------------------------------------------------------------------------------------- FLAME

_EXPRESSION = re.compile(
    r"^(?:\w+[.:|])?(?:exp|expr|expression|psi)[ _.\-]*(?:coeff?[ _.\-]*)?0*(\d{1,3})$", re.IGNORECASE
)
#: A jaw as a shape key, the alternative to a jaw bone.
_JAW_KEY: Final = frozenset({"jaw", "jawopen", "openjaw"})


def match_flame(names: Iterable[str]) -> KeyNames:
    """Match shape-key names to FLAME expression channels ``exp1`` .. ``exp50``, and a jaw key to ``jawOpen``.

    ``Exp1..`` counts from one (MPI's FLAME add-on), ``Exp000..`` from zero (SMPL-X); the presence of a key numbered
    zero tells which. Keys beyond the 50th, identity and pose keys are ignored.
    """
    names = list(names)
    numbers = {name: int(found.group(1)) for name in names if (found := _EXPRESSION.match(name))}
    first = 0 if 0 in numbers.values() else 1
    matched: dict[str, tuple[str, ...]] = {}
    for name, number in numbers.items():
        channel = f"exp{number - first + 1}"
        if channel in FLAME_EXPRESSIONS and channel not in matched:
            matched[channel] = (name,)
    jaw = next((name for name in names if _comparable(name) in _JAW_KEY), None)
    if jaw is not None:
        matched["jawOpen"] = (jaw,)
    ordered = {c: matched[c] for c in (*FLAME_EXPRESSIONS, "jawOpen") if c in matched}
    return _key_names(names, ordered, lambda name: numbers.get(name, name))


def counts_from_zero(matched: Iterable[tuple[str, ...]]) -> bool:
    """Whether the matched FLAME expression keys begin with number zero, as those of SMPL-X do."""
    return any(
        found is not None and int(found.group(1)) == 0 for (key, *_) in matched if (found := _EXPRESSION.match(key))
    )


def is_modelling(name: str) -> bool:
    """Whether a shape key is one of those by which MPFB gives a human its figure: nothing a performance could use."""
    return name.startswith("$md-")


def is_makehuman(names: Iterable[str]) -> bool:
    """Whether shape keys are named by MPFB: expression keys ``!ex-jawOpen``, modelling keys ``$md-...``."""
    return any(name.startswith("!ex-") or is_modelling(name) for name in names)


# ---------------------------------------------------------------------------------------------- bones

_BONE_PREFIX = re.compile(
    r"^(?:.*[:|]|facial_(?:c_)?|mixamorig\d*_?|(?:def|org|mch|ctrl|ctr|fk)[-_]|bip0*1[ _]|valvebiped\.bip01_|cc_base_|"
    r"j_(?:bip|adj|sec)_(?:c_)?|c_|b_)",
    re.IGNORECASE,
)
#: The words of a bone without its side -> (role, rank); the lowest rank wins where several bones fit.
_BONE_WORDS: Final = MappingProxyType({
    "head": ("head", 0),
    "neck": ("neck", 0), "neck1": ("neck", 1), "necklower": ("neck", 1), "necktwist1": ("neck", 2),
    "jawmaster": ("jaw", -1),  # beside it, Rigify's jaw moves the chin alone
    "jaw": ("jaw", 0), "jawbone": ("jaw", 1), "jawroot": ("jaw", 1), "lowerjaw": ("jaw", 1), "mandible": ("jaw", 2),
    "eye": ("eye", 0), "eyeball": ("eye", 1), "faceeye": ("eye", 1), "mastereye": ("eye", 2), "eyesmplhf": ("eye", 0),
})  # fmt: skip
#: Generated rig layers: used only when the bone that the animator would hold is not there.
_INNER_LAYER = re.compile(r"^(?:def|org|mch)[-_]", re.IGNORECASE)


def match_bones(names: Iterable[str]) -> dict[str, str]:
    """Bones by role (``head``, ``neck``, ``jaw``, ``left_eye``, ``right_eye``), from their names."""
    best: dict[str, tuple[tuple[bool, int, bool], str]] = {}
    for name in names:
        found = _bone_role(name)
        if found is None:
            continue
        role, rank = found
        score = (bool(_INNER_LAYER.match(name)), rank, not name.startswith("c_"))  # Auto-Rig Pro's controls
        if role not in best or score < best[role][0]:
            best[role] = (score, name)
    return {role: name for role, (_, name) in best.items()}


def _bone_role(name: str) -> tuple[str, int] | None:
    bare = _BONE_PREFIX.sub("", _COPY_NUMBER.sub("", name))
    bare = re.sub(r"\.x$", "", bare)  # Auto-Rig Pro's mark for "in the middle"
    words = [str(int(word)) if word.isdigit() else word for word in _words(bare)]
    sides = [_SIDES[word] for word in words if word in _SIDES]
    base = "".join(word for word in words if word not in _SIDES)
    # Names written without a word break: "lefteye", "eyeleft".
    if not sides and base in {"lefteye", "eyeleft", "righteye", "eyeright", "leye", "reye"}:
        sides, base = ["left" if base in {"lefteye", "eyeleft", "leye"} else "right"], "eye"
    role, rank = _BONE_WORDS.get(base, (None, 0))
    if role is None or (role == "eye") != bool(sides):
        return None
    return (f"{sides[0]}_eye" if role == "eye" else role), rank
