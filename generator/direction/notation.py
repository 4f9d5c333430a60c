# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written in brackets: emotion names with numbers and an arrow, and known words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..errors import InputError
from .emotions import EMOTION_NAMES
from .vocabulary import DEGREES, EMOTION_WORDS, MANNERS, mixture_name, stems

_NAME: Final = r"([A-Za-z][A-Za-z_\- ]*?)\s*(-?\d+(?:[.,]\d+)?)?"
_ARROW: Final = re.compile(rf"\s*{_NAME}\s*(?:(?:->|→)\s*{_NAME}\s*)?")
_PLUS: Final = re.compile(rf"\s*{_NAME}\s*\+\s*{_NAME}\s*")
_FRAME: Final = re.compile(r"^(?:with|in|out of|full of|still|now|more)\s+(?:an?\s+)?|\s+(?:voice|tone|look|face)$")
#: The largest intensity a request may have (`generator.direction.requests.MAX_INTENSITY`).
_MAX_INTENSITY: Final = 1.5


@dataclass(frozen=True)
class Meaning:
    """What a direction asks for.

    Attributes:
        emotion: a name of `EMOTION_NAMES`; None leaves it as it is.
        factor: of the intensity.
        emotion_to: what it moves to until the next direction, or None.
        intensity, intensity_to: as written, at the beginning and at the end; None for the request's.
        emotion_with, share: what is mixed with ``emotion``, and how much of the mixture it is.
    """

    emotion: str | None
    factor: float = 1.0
    emotion_to: str | None = None
    intensity: float | None = None
    intensity_to: float | None = None
    emotion_with: str | None = None
    share: float = 0.5


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
    """Known words: ``angrily``, ``very softly``, ``with anger``, ``sad and angry``, ``joyful, then sad``; else None."""
    words = " ".join(words.lower().split()).strip(" .!,;:")
    if (found := _single(words)) is not None:
        return found
    parts = re.split(r",?\s+then\s+", words)
    if len(parts) == 2:
        before, after = map(_single, parts)
        if before and after and before.emotion and after.emotion:
            return Meaning(before.emotion, before.factor, after.emotion)
    parts = re.split(r",?\s+(?:and|but|yet)\s+|\s*[,/]\s*", words)
    if len(parts) == 2:
        one, other = map(_single, parts)
        if one and other:
            return _both(one, other)
    return None


def _both(one: Meaning, other: Meaning) -> Meaning:
    factor = one.factor * other.factor
    if one.emotion and other.emotion and one.emotion != other.emotion:
        return Meaning(mixture_name(one.emotion, other.emotion) or one.emotion, factor)
    return Meaning(one.emotion or other.emotion, factor)


def _single(words: str) -> Meaning | None:
    """One word or phrase of the table, with a degree before it."""
    for degree, factor in DEGREES.items():
        if words.startswith(degree + " "):
            rest = _single(words[len(degree) + 1 :])
            if rest is not None and rest.emotion is None:  # "very softly" is softer still
                return Meaning(None, rest.factor**factor)
            return rest and Meaning(rest.emotion, rest.factor * factor)
    for form in (words, _FRAME.sub("", words)):
        for stem in stems(form):
            if stem in MANNERS:
                return Meaning(None, MANNERS[stem])
            if stem in EMOTION_WORDS:
                return Meaning(*EMOTION_WORDS[stem])
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
