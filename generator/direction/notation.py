# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written in brackets: emotion names with numbers and an arrow, and known words of emotions and manners."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from ..errors import InputError
from .actions import Action, action_table, read_action
from .emotions import EMOTION_NAMES
from .vocabulary import DEGREES, EMOTION_WORDS, MANNERS, mixture_name, stems

_NAME: Final = r"([A-Za-z][A-Za-z_\- ]*?)\s*(-?\d+(?:[.,]\d+)?)?"
_ARROW: Final = re.compile(rf"\s*{_NAME}\s*(?:(?:->|→)\s*{_NAME}\s*)?")
_PLUS: Final = re.compile(rf"\s*{_NAME}\s*\+\s*{_NAME}\s*")
#: What stands around an emotion's word without changing it.
_FRAME: Final = re.compile(
    r"^(?:(?:with|in|out of|full of|still|now|more|growing|getting|becoming|turning(?! \w+ly)|sounding|sounds|looking|"
    r"looks|feeling|speaking|speaks|talking|talks|saying|says|"
    r"trying to be|is|are|suddenly|clearly|increasingly|sudden|mounting|rising(?! \w+ly)|great|forced|fake|feigned|"
    r"genuine|mock|an?|she|he|they|her|his|voice)\s+)+"
    r"|\s+(?:voice|tone|look|face|expression|smile|now|again|all of a sudden|suddenly|to herself|to himself)$"
)
#: What denies the rest, words that weaken that, and words that keep back what they name.
_NOT: Final = re.compile(
    r"(?:not|never|no longer|no more|without|without sounding|devoid of|lacking|no|isn't|doesn't|don't|n't|neither|"
    r"nor)\s+"
    r"((?:(?:at all|any|an?|the|a trace of|a hint of|a bit|even|exactly|really|trace of|hint of|sign of|being|"
    r"sounding|looking|feeling)\s+)*)(?:(too|so|very|overly|quite|that|entirely|completely)\s+)?(.+?)(?:\s+(?:any "
    r"?more|at all|now))?"
)
_KEPT_BACK: Final = re.compile(
    r"(?:trying|tries|struggling|struggles|doing (?:her|his) best|fighting|attempting)(?: hard| desperately)? not to "
    r"(.+)"
    r"|(?:holding back|holds back|fighting back|fights back|fighting|fights|choking back|chokes back|suppressing|"
    r"suppresses|"
    r"stifling|stifles|hiding|hides|masking|concealing|swallowing|biting back|trying to hide|barely concealing|"
    r"barely containing|controlling)(?: (?:her|his|their|an?|the))? (.+)"
)
#: How much of what is kept back shows, and of what is "not too" much.
_BACK, _LESS = 0.75, 0.65
#: The largest intensity a request may have (`generator.direction.requests.MAX_INTENSITY`).
_MAX_INTENSITY: Final = 1.5


#: Kinds of directions: how it is felt or said, something that is done, something for somebody else.
Kind = Literal["emotion", "action", "note"]


@dataclass(frozen=True)
class Meaning:
    """What a direction asks for.

    Attributes:
        emotion: a name of `EMOTION_NAMES`; None leaves it as it is.
        factor: of the intensity.
        emotion_to: what it moves to until the next direction, or None.
        intensity, intensity_to: as written, at the beginning and at the end; None for the request's.
        emotion_with, share: what is mixed with ``emotion``, and how much of the mixture it is.
        rate, energy: factors of the speaking rate and of the energy.
        barred: an emotion that is not felt, whatever the words say.
        actions: what is done where the direction stands.
        note: it holds something that is for somebody else: neither played nor spoken.
        to: whom the words are said to, as written, or None.
        kind: what it is first of all.
    """

    emotion: str | None
    factor: float = 1.0
    emotion_to: str | None = None
    intensity: float | None = None
    intensity_to: float | None = None
    emotion_with: str | None = None
    share: float = 0.5
    rate: float = 1.0
    energy: float = 1.0
    barred: str | None = None
    actions: tuple[Action, ...] = ()
    note: bool = False
    to: str | None = None
    kind: Kind = "emotion"

    @property
    def directs(self) -> bool:
        """Whether it says how the words are felt or said, until the next direction that does."""
        return self.emotion is not None or self.barred is not None or (self.factor, self.rate, self.energy) != (1,) * 3

    def then(self, other: Meaning) -> Meaning:
        """Both of them; what the later one says counts."""
        felt = other if other.emotion or other.barred else self
        return Meaning(
            felt.emotion, self.factor * other.factor, felt.emotion_to,
            self.intensity if other.intensity is None else other.intensity, other.intensity_to,
            felt.emotion_with, felt.share, self.rate * other.rate, self.energy * other.energy, felt.barred,
            (*self.actions, *other.actions), self.note or other.note, other.to or self.to,
            self.kind,
        )  # fmt: skip


def read_notation(words: str) -> Meaning | None:
    """``joy``, ``anger 1.2``, ``joy 0.8 -> sadness``, ``joy + fear 0.5``; None when that is not what ``words`` are.

    A number belongs to the emotion it follows, and is its intensity, 0 to 1.5. A mixture is as intense as the stronger
    of its emotions, and they share it as their intensities say.

    Raises:
        InputError: an intensity out of range.
    """
    if mixed := _PLUS.fullmatch(words):
        return _mixture(mixed, words)
    match = _ARROW.fullmatch(words)
    if match is None:
        return None
    first, first_number, second, second_number = match.groups()
    emotion = _emotion(first)
    emotion_to = _emotion(second) if second else None
    if emotion is None or (second and emotion_to is None):
        return None
    return Meaning(
        emotion, 1.0, emotion_to, _intensity(first_number, words), _intensity(second_number, words)
    )  # fmt: skip


def _mixture(match: re.Match[str], words: str) -> Meaning | None:
    emotions = _emotion(match[1]), _emotion(match[3])
    if emotions[0] is None or emotions[1] is None:
        return None
    given = _intensity(match[2], words), _intensity(match[4], words)
    one, other = (1.0 if value is None else value for value in given)
    asked = None if given == (None, None) else max(one, other)
    share = other / (one + other) if one + other > 0 else 0.5
    return Meaning(emotions[0], intensity=asked, emotion_with=emotions[1], share=share)


def read_words(words: str) -> Meaning | None:
    """Known words: ``angrily``, ``very softly``, ``not angry``, ``sad and angry``, ``joyful, then sad``; else None."""
    words = plain(words)
    if (found := _known(words)) is not None:
        return found
    parts = re.split(r",?\s+then\s+", words)
    if len(parts) == 2:
        before, after = map(_known, parts)
        if before and after and before.emotion and after.emotion:
            return replace(before, emotion_to=after.emotion)
    parts = re.split(r"\s*[,/]\s*(?:(?:and|but|yet)\s+)?|,?\s+(?:and|but|yet)\s+", words)
    read = [_known(part) for part in parts]
    if len(parts) == 1 or None in read:
        return None
    first, *rest = (meaning for meaning in read if meaning is not None)
    for other in rest:
        first = _both(first, other)
    return first


def plain(words: str) -> str:
    """``words`` in lower case, without the marks around them."""
    return " ".join(words.lower().replace("’", "'").split()).strip(" .!,;:…")


def _known(words: str) -> Meaning | None:
    """An emotion or a manner, or that it is none."""
    if (found := _single(words)) is not None:
        return found
    if match := _NOT.fullmatch(words):
        return _denied(match[3], weaker=match[2] is not None)
    if match := _KEPT_BACK.fullmatch(words):
        held = match[1] or match[2]
        kept = _single(held) or _felt_in(held)
        return kept and Meaning(kept.emotion, kept.factor * _BACK, rate=kept.rate, energy=kept.energy * _BACK)
    return None


def _denied(words: str, *, weaker: bool) -> Meaning | None:
    """What "not ..." says of an emotion or a manner; "not too ..." is less of it."""
    meant = _single(words) or _felt_in(words)
    if meant is None:
        opposite = re.fullmatch(r"un(.+)", words)  # "not unkindly"
        kind = opposite and _single(opposite[1])
        return kind and replace(kind, factor=kind.factor * _LESS)
    if weaker and meant.emotion:
        return replace(meant, factor=meant.factor * _LESS)
    if meant.emotion:
        return Meaning(None, barred=meant.emotion)
    return Meaning(None, 1 / meant.factor, rate=1 / meant.rate, energy=1 / meant.energy)


def _felt_in(words: str) -> Meaning | None:
    """What somebody feels who does what ``words`` say: "laugh", "a smile"."""
    action = read_action(words, plainly=True)
    feels = action and action.name and action_table()[action.name].get("feels")
    return Meaning(feels) if feels else None


def _both(one: Meaning, other: Meaning) -> Meaning:
    both = one.then(other)
    if one.emotion and other.emotion and one.emotion != other.emotion:
        return replace(both, emotion=mixture_name(one.emotion, other.emotion) or one.emotion)
    # "not sad, but proud": what is denied needs no saying where something is felt.
    felt = one.emotion or other.emotion
    return replace(both, emotion=felt, barred=None if felt else one.barred or other.barred)


def _single(words: str) -> Meaning | None:
    """One word or phrase of the table, with a degree or a manner before it."""
    framed = _FRAME.sub("", words)
    for form in (words, framed):
        for stem in stems(form):
            if stem in EMOTION_WORDS:
                return Meaning(*EMOTION_WORDS[stem])
            if stem in MANNERS:
                factor, rate, energy = MANNERS[stem]
                return Meaning(None, factor, rate=rate, energy=energy)
    for degree, factor in DEGREES.items():
        if words.startswith(degree + " "):
            rest = _single(words[len(degree) + 1 :])
            if rest is not None and rest.emotion is None:  # "very softly" is softer still
                return Meaning(None, rest.factor**factor, rate=rest.rate**factor, energy=rest.energy**factor)
            return rest and replace(rest, factor=rest.factor * factor)
    if framed != words and (within := _single(framed)) is not None:  # "speaking very rapidly", "with great dignity"
        return within
    manner, _, what = words.partition(" ")
    if manner.endswith("ly") and what and (said := _single(manner)) and (felt := _single(what)) and felt.emotion:
        return _both(said, felt)  # "quietly furious"
    return None


def _emotion(name: str) -> str | None:
    plain = name.strip().lower()
    if (listed := plain.replace(" ", "_").replace("-", "_")) in EMOTION_NAMES:
        return listed
    found = _single(plain)
    return found.emotion if found else None


def _intensity(number: str | None, words: str) -> float | None:
    if number is None:
        return None
    value = float(number.replace(",", "."))
    if not 0 <= value <= _MAX_INTENSITY:
        raise InputError(f"The intensity in [{words}] must be from 0 to {_MAX_INTENSITY:g}, not {value:g}.")
    return value
