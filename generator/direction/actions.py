# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions in a direction: "(nods slowly, then smiles)", "(a long sigh)", "[she gets up]"; ``actions.toml`` has them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Action:
    """Something to be done.

    Attributes:
        name: a row of ``actions.toml``; None for what a face cannot play ("sits down").
        size: of the movement, 1 natural.
        pace: how fast it is done, 1 natural.
        goes_on: it is done while speaking ("laughing"), not before ("laughs").
        manner: words of it that are none of its own, such as "sadly" of "smiles sadly".
    """

    name: str | None
    size: float = 1.0
    pace: float = 1.0
    goes_on: bool = False
    manner: str = ""


@cache
def action_table() -> Mapping[str, Mapping[str, Any]]:
    """``actions.toml``: name -> words, seconds, apart, movement."""
    table = tomllib.loads(Path(__file__).with_name("actions.toml").read_text(encoding="utf-8"))
    return {name: row for name, row in table.items() if "words" in row}


@cache
def opposites() -> Mapping[str, str]:
    """Channel -> the channel that a face cannot show with it."""
    found: Mapping[str, str] = tomllib.loads(
        Path(__file__).with_name("actions.toml").read_text(encoding="utf-8")
    )["opposes"]  # fmt: skip
    return found


#: Words that leave no trace: articles, whose eyes they are, light verbs, "then".
_EMPTY: Final = frozenset(
    "a an the his her their its my your own again just now suddenly finally still only and another one both really "
    "it's there's there some more first straight directly full".split()
)
_LIGHT: Final = frozenset(
    "with give gives giving let lets letting out heave heaves heaving make makes making has have having begin begins "
    "beginning start starts starting to do does doing is are tries trying almost nearly half utters uttering".split()
)
_SUBJECTS: Final = frozenset("he she they it we everyone everybody both all someone somebody".split())
#: Word -> size and pace of what is done so.
_DEGREES: Final[Mapping[str, tuple[float, float]]] = {
    **dict.fromkeys(("slowly", "slow", "longer"), (1.0, 0.72)),
    **dict.fromkeys(("long", "lengthy", "endless"), (1.0, 0.5)),
    **dict.fromkeys(("quickly", "quick", "briefly", "brief", "short", "sharp", "sharply", "abruptly"), (1.0, 1.4)),
    **dict.fromkeys(("slightly", "slight", "little", "small", "tiny", "faint", "faintly", "bit", "barely"), (0.6, 1.0)),
    **dict.fromkeys(("softly", "soft", "quietly", "quiet", "gently", "gentle", "lightly", "subtly"), (0.75, 0.9)),
    **dict.fromkeys(("deeply", "deep", "heavily", "heavy", "big", "loudly", "loud", "hard", "vigorously", "violently",
                     "broadly", "broad", "wide", "widely", "huge", "very", "dramatically", "firmly"), (1.25, 0.95)),
}  # fmt: skip
#: What may follow an action without making it another one.
_FOLLOW: Final = frozenset(
    "at to with in into from for of as like through toward towards against over around on by behind across beside "
    "under "
    "between but so before after while until".split()
)
#: Words that end in s and are no verbs.
_NO_VERBS: Final = frozenset(
    "this his its hers yours ours theirs as is was yes thanks us always perhaps sometimes besides plus unless "
    "afterwards "
    "towards minus ladies guys folks congratulations sorry news years days words keys means says thinks knows wants "
    "likes "
    "loves hates needs has does seems hours minutes pounds dollars times".split()
)
_NO_GERUNDS: Final = frozenset(
    "nothing anything something everything during morning evening wedding building spring string according "
    "thing".split()
)
#: Adverbs by which a speaker vouches for what is said.
ASSERTIVE: Final = frozenset(
    "obviously actually really exactly absolutely definitely certainly probably apparently unfortunately hopefully "
    "finally luckily mostly possibly usually frankly presumably supposedly allegedly literally basically fortunately "
    "incidentally admittedly technically theoretically surely undoubtedly".split()
)
#: Words in -ly that are no manner of saying or doing something.
NO_MANNERS: Final = ASSERTIVE | frozenset(
    "clearly naturally evidently generally normally especially particularly eventually recently lately currently "
    "originally precisely entirely totally completely partly only nearly hardly rarely early truly likely unlikely "
    "family daily weekly monthly yearly lovely ugly silly july italy reply supply emily sally billy molly kelly".split()
)
#: What follows a verb: "his coat", "up", "for the door", "slowly".
_AFTER_VERB: Final = frozenset(
    "a an the his her their its my your up down out off away back in into on onto over to toward towards at around "
    "about "
    "through from with for by past along across behind him them it himself herself themselves each one another and "
    "something everyone under against between outside inside together forward closer round aside".split()
)

#: Plain forms of what is done on a stage: any noun may follow one of these ("shows diary").
_STAGE_VERBS: Final = frozenset(
    "accept advance appear approach arrange arrive assist attempt avoid bang beckon bend blow bow break bring brush "
    "bump burst busy button call carry catch check clap clasp climb clink close collapse collect come conceal count "
    "crawl creep cross crouch crumple curtsy cut dance dart dash disappear draw dress drink drop dust eat embrace "
    "enter escort examine exit extend fall fetch fiddle fill finger finish fix flick fling flop fold follow fumble "
    "gather gesture get give go grab grasp greet grip grope grow hand hang hasten help hide hold hug hurry indicate "
    "inspect jump kick kiss kneel knock lay lead lean leap leave lie lift light limp linger load lock lower lurch "
    "march motion mount move obey offer open pace pack pass pat pause pay peel pick place play plunge pocket point "
    "pour preface prepare present press proceed produce pull push put raise reach read recede receive recover rejoin "
    "release remain remove reopen replace resume retire retreat return ring rise rock roll rub run rush salute "
    "scribble seat seize send separate set settle shake shove show shut sit skip slam slap slide slip smell smooth "
    "snatch sniff sort spill spin spring squeeze stagger stamp stand start stay steal step stick stir stop "
    "straighten stretch stride strike stroke stroll struggle stumble subside surrender sweep swing take tap taste "
    "tear throw tie tiptoe toss touch toy trip trot try tuck turn uncover unfold unlock unroll unwrap wait wake walk "
    "wander wave wear whirl whistle wind wipe withdraw wrap wring write see hear notice watch observe stare gaze "
    "glance face shudder restrain control survey meet point shield support sink squat crouch clutch caress dress "
    "undress button dry wash pour sew knit stir taste count search rummage ransack admire introduce interpose halt "
    "edge saunter hurl detach disengage free bar block guide usher conduct accompany overtake pursue chase wheel "
    "spread dangle brandish swallow munch chew nibble puff smoke light extinguish snuff kindle polish scrape scratch "
    "tug yank wrench haul drag heave hoist ladle sprinkle bind untie fasten unfasten buckle strap slice carve hammer "
    "tear rip bite".split()
)
#: No direction speaks of these.
_PARTNERS: Final = frozenset("i you we i'm you're".split())
#: Comings and goings, as plays have them.
_ENTRANCES: Final = frozenset("enter exit exeunt re-enter".split())
#: What "they" and "Tom and Anna" are and think, rather than do.
_STATES: Final = frozenset(
    "are were have had do did can could will would shall should must may might know say think want like love hate "
    "need mean seem look feel believe understand agree live work never always both all just also really who".split()
)
_TITLES: Final = frozenset("the mr mrs miss ms dr sir lady lord".split())


@cache
def _phrases() -> tuple[tuple[tuple[str, ...], str], ...]:
    """Phrases and the actions they mean, the longest first."""
    found = [(tuple(words.split()), name) for name, row in action_table().items() for words in row["words"]]
    return tuple(sorted(found, key=lambda row: -len(row[0])))


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for words, _ in _phrases() for word in words)


def read_action(text: str, *, plainly: bool = False) -> Action | None:
    """What a piece of a direction says to do; None where it says nothing that the table has.

    A verb alone must be inflected ("waits"), unless it is the action's name ("sigh", "pause") or ``plainly`` will do.
    """
    tokens = _tokens(text)
    size = pace = 1.0
    kept: list[str] = []
    for token in tokens:
        if token in _DEGREES and not (token in _known_words() and (kept and (*kept, token) in _starts())):
            size, pace = size * _DEGREES[token][0], pace * _DEGREES[token][1]
        elif token not in _EMPTY:
            kept.append(token)
    for begin in range(min(len(kept), 4)):
        if begin and not _may_precede(kept[:begin]):
            break
        if (found := _matched(kept[begin:], plainly)) is not None:
            return replace(found, size=min(size, 1.5), pace=min(max(pace, 0.5), 2.0))
    return None


def is_business(text: str) -> bool:
    """Whether ``text`` reads like something that is done with more than a face: "grabs his coat", "she gets up"."""
    words = re.findall(r"[A-Za-z][\w'’-]*", text)
    lower = [word.lower() for word in words]
    if not words or _PARTNERS & set(lower):
        return False
    if lower[0] in _ENTRANCES:
        return len(words) == 1 or words[1][0].isupper() or lower[1] not in _STATES
    if lower[0] in _SUBJECTS:
        plural = lower[0] in ("they", "both", "all", "everyone", "everybody") and len(words) > 1
        return (plural and _is_plain(lower[1])) or any(
            _is_finite(word, lower[k + 2 :]) for k, word in enumerate(lower[1:3])
        )
    if names := _names(words):
        several = any(word in ("and", "both") for word in lower[:names])
        if words[names].islower() and (
            _is_finite(lower[names], lower[names + 1 :]) or (several and _is_plain(lower[names]))
        ):
            return True
    if lower[0] in ("the", "a", "an", "his", "her") and len(lower) > 2:
        return any(_is_finite(word, lower[k + 3 :]) for k, word in enumerate(lower[2:4]))
    if lower[0] in ("not", "still", "already", "now", "then") and len(lower) > 1:
        lower = lower[1:]
    if lower[0].endswith("ly") and lower[0] not in NO_MANNERS and len(lower) > 1:  # "hurriedly puts it down"
        lower = lower[1:]
    return _is_finite(lower[0], lower[1:]) or (
        len(lower[0]) > 4 and lower[0].endswith("ing") and lower[0] not in _NO_GERUNDS
    )  # fmt: skip


def is_staged(text: str) -> bool:
    """Whether the first verb of ``text`` in -ing is done on a stage, and hardly felt: "rising", "taking her hand"."""
    verb = re.match(r"(?:\w+ly )?(\w+ing)\b", text.lower())
    return verb is not None and bool(_plain(verb[1]) & _STAGE_VERBS)


def _names(words: list[str]) -> int:
    """How many words at the beginning name who does it: "Anna", "Lady Hunt and Tom"; 0 where the next is no verb's."""
    if words[0].lower() in _SPEAKERS | _FOLLOW | _AFTER_VERB | _STATES:
        return 0
    count = 0
    for word in words[:-1]:
        if not (word[0].isupper() or word.lower() in _TITLES or (count and word == "and")):
            break
        count += 1
    return count


def _is_finite(word: str, rest: list[str]) -> bool:
    if len(word) < 3 or not word.endswith("s") or word.endswith(("ss", "us", "'s", "’s")) or word in _NO_VERBS:
        return False
    return not rest or rest[0] in _AFTER_VERB or rest[0].endswith("ly") or bool(_plain(word) & _STAGE_VERBS)


def _is_plain(word: str) -> bool:
    """Whether ``word`` is what several people do: "(they) sit down", "(Tom and Anna) embrace"."""
    return word not in _STATES and (word in _STAGE_VERBS or any(phrase[0] == word for phrase, _ in _phrases()))


def _tokens(text: str) -> list[str]:
    # Who it is done to is no part of it: "looks Anna in the eye", "kissing MRS. LEE".
    text = re.sub(r"^(\w+(?:s|ing)) [A-ZÀ-Þ][\w'’-]*\.?(?: [A-ZÀ-Þ][\w-]*)*(?!['’])", r"\1 him", text)
    return re.findall(r"[a-z][a-z'’]*", text.lower().replace("-", " "))


def _may_precede(words: list[str]) -> bool:
    """Whether words before an action leave it one: who does it, or a light verb."""
    return all(word in _LIGHT or word in _SUBJECTS for word in words) or (
        len(words) == 1 and words[0] not in _NO_VERBS and not words[0].endswith(("ly", "ing", "ed"))
        and words[0] not in _SPEAKERS and words[0] not in _FOLLOW
    )  # fmt: skip


#: Words of the table that are an action without being inflected, beside the names of actions.
_NOUNS: Final = frozenset("moment hesitation then breath laughter silent ahem".split())
#: Who speaks of these is speaking.
_SPEAKERS: Final = frozenset(
    "without i you we i'm you're i'll let's don't please no not never why what who how if when".split()
)


@cache
def _starts() -> frozenset[tuple[str, ...]]:
    return frozenset(words[:k] for words, _ in _phrases() for k in range(1, len(words) + 1))


def _matched(words: list[str], plainly: bool) -> Action | None:
    if not words:
        return None
    first = words[0]
    for phrase, name in _phrases():
        rest = words[len(phrase) :]
        # Any word of a phrase may be inflected: "eyes closing".
        if len(words) < len(phrase) or not all(p in _plain(w) for w, p in zip(words, phrase, strict=False)):
            continue
        if not plainly and first == phrase[0] and len(phrase) == 1 and first != name and first not in _NOUNS:
            continue  # "wait", "look": said, rather
        manner = list(takewhile(lambda word: word not in _FOLLOW, rest))
        if manner and not all(word.endswith("ly") for word in manner):
            continue
        return Action(name, goes_on=first.endswith("ing") and first != phrase[0], manner=" ".join(rest))
    return None


@cache
def _plain(word: str) -> frozenset[str]:
    """Plain forms that ``word`` may be an inflection of, itself included."""
    return frozenset(_plain_forms(word))


def _plain_forms(word: str) -> Iterator[str]:
    yield word
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) >= len(ending) + 2:
            stem = word[: -len(ending)]
            yield from (stem, stem + "e")
            if stem[-1] == stem[-2]:
                yield stem[:-1]
            if ending == "ed" and stem.endswith("i"):
                yield stem[:-1] + "y"
    yield from _IRREGULAR.get(word, ())


_IRREGULAR: Final[Mapping[str, tuple[str, ...]]] = {
    "shook": ("shake",), "took": ("take",), "bit": ("bite",), "shrunk": ("shrink",), "broke": ("break",),
    "drew": ("draw",), "wept": ("weep",), "blew": ("blow",), "eyebrow": ("brow",),
}  # fmt: skip
