# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for a performance of a line, validated. Every refusal is an `InputError` sentence."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .emotions import EMOTION_NAMES
from .errors import InputError

#: Longest line accepted, in characters; about 30 s of speech, far beyond `MAX_SECONDS`.
MAX_CHARACTERS: Final = 500
#: Longest performance, in seconds: the longest the bundled corpus teaches.
MAX_SECONDS: Final = 10.0
#: Shortest performance, in seconds.
MIN_SECONDS: Final = 0.5
MAX_TAKES: Final = 64
MAX_INTENSITY: Final = 1.5
MAX_TEMPERATURE: Final = 2.0
MAX_SEED: Final = 2**31 - 1


@dataclass(frozen=True)
class LineRequest:
    """What to perform.

    Attributes:
        text: the line, cleaned by `clean_text`; 1 to `MAX_CHARACTERS` characters.
        emotion: a name of `EMOTION_NAMES`, or "auto" to let the text decide.
        intensity: 0 (calm) to 1.5 (extreme); 1 is natural.
        takes: how many performances, 1 to `MAX_TAKES`.
        seed: take k uses seed + k; 0 to 2^31 - 1.
        temperature: 0 (the likeliest performance) to 2; 1 is what the model learned.
        seconds: length, or None to let the line decide.
        warnings: what was changed in the text, for the user.
    """

    text: str
    emotion: str = "auto"
    intensity: float = 1.0
    takes: int = 1
    seed: int = 0
    temperature: float = 1.0
    seconds: float | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def validated(self) -> LineRequest:
        """A cleaned copy, or `InputError` with a sentence that names the offending value."""
        text, warnings = clean_text(self.text)
        if self.emotion != "auto" and self.emotion not in EMOTION_NAMES:
            raise InputError(
                f"There is no emotion called {self.emotion!r}; choose auto, {', '.join(EMOTION_NAMES[:-1])} or "
                f"{EMOTION_NAMES[-1]}."
            )
        _in_range("Intensity", self.intensity, 0.0, MAX_INTENSITY)
        _in_range("Temperature", self.temperature, 0.0, MAX_TEMPERATURE)
        _whole_in_range("The number of takes", self.takes, 1, MAX_TAKES)
        _whole_in_range("The seed", self.seed, 0, MAX_SEED - self.takes + 1)
        if self.seconds is not None:
            _in_range("The length in seconds", self.seconds, MIN_SECONDS, MAX_SECONDS)
        return replace(self, text=text, warnings=warnings)

    @classmethod
    def from_json(cls, fields: Any) -> LineRequest:
        """A validated request from a protocol LINE object; unknown or wrongly typed fields are refused by name."""
        if not isinstance(fields, Mapping):
            raise InputError("A line must be an object with a 'text' field.")
        known = {"text", "emotion", "intensity", "takes", "seed", "temperature", "seconds"}
        if unknown := sorted(set(fields) - known):
            raise InputError(f"A line has no field {unknown[0]!r}; it may have {', '.join(sorted(known))}.")
        for name in ("text", "emotion"):
            if name in fields and not isinstance(fields[name], str):
                raise InputError(f"The field {name!r} must be text, not {fields[name]!r}.")
        if "text" not in fields:
            raise InputError("A line must have a 'text' field.")
        return cls(**fields).validated()


def clean_text(text: str) -> tuple[str, tuple[str, ...]]:
    """The line as the text encoder will read it, and warnings about what it will not read.

    Line breaks and tabs become spaces. Control characters, an empty line, a line that is too long, and a line with
    nothing the English encoder can read are refused with `InputError`.
    """
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise InputError(
                f"The line has a control character (U+{ord(character):04X}) at position {position + 1}; remove it."
            )
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if not text:
        raise InputError("The line is empty; type what the character says.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"The line has {len(text):,} characters and the limit is {MAX_CHARACTERS}; split it into several lines."
        )
    letters = [c for c in text if c.isalpha()]
    foreign = [c for c in letters if not unicodedata.name(c, "").startswith("LATIN")]
    if letters and len(foreign) * 2 > len(letters):
        raise InputError(
            f"The line is mostly in a script the English text encoder cannot read (it starts with {foreign[0]!r}); "
            "write it in Latin letters, in English."
        )
    symbols = sorted({c for c in text if unicodedata.category(c) in ("So", "Sk", "Co", "Cn") and not c.isascii()})
    if symbols and not letters and not any(c in ".?!…" or c.isdigit() for c in text):
        raise InputError("The line holds only symbols or emoji; type words, and choose the emotion beside them.")
    warnings = []
    if symbols:
        warnings.append(f"{' '.join(symbols)} cannot be read by the text encoder and will be ignored.")
    if foreign:
        warnings.append(f"{' '.join(sorted(set(foreign)))} cannot be read by the English text encoder.")
    if not letters and not any(c.isdigit() for c in text) and not any(c in ".?!…" for c in text):
        raise InputError("The line has no words; type what the character says, or '...' for a silent reaction.")
    return text, tuple(warnings)


def _in_range(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}.")
    if not low <= value <= high:
        raise InputError(f"{name} must be from {low:g} to {high:g}, not {value:g}.")


def _whole_in_range(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")
