# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for a performance of a line, validated. Every refusal is an `InputError` sentence."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..errors import InputError
from ..shared.scripts.markup import speaker_of
from ..shared.timeline import LANGUAGES, Timeline, TimelineError
from . import ENDINGS
from .emotions import EMOTION_NAMES

#: Longest line accepted, in characters.
MAX_CHARACTERS: Final = 2000
#: Longest text that is looked at, in characters: spaces and line breaks go, so a line may be typed with many of them.
MOST_TYPED: Final = 20_000
#: Longest performance, in seconds.
MAX_LINE_SECONDS: Final = 60.0
#: Longest clip a checkpoint learns and decodes in one go, in seconds: longer lines are performed in passages.
MAX_SECONDS: Final = 10.0
#: Shortest performance, in seconds.
MIN_SECONDS: Final = 0.5
MAX_TAKES: Final = 64
MAX_INTENSITY: Final = 1.5
MAX_TEMPERATURE: Final = 2.0
MAX_SEED: Final = 2**31 - 1
#: How many takes may lie between a take and the one it descends from.
MAX_GENERATIONS: Final = 50
MIN_RATE: Final = 0.5
MAX_RATE: Final = 2.0
MIN_ENERGY: Final = 0.4
MAX_ENERGY: Final = 1.6
#: Seeds drawn for every take that is kept where the most different are, and at most.
DRAWN_PER_TAKE: Final = 4
MOST_DRAWN: Final = 64
#: What a line can be pronounced in; all but English need espeak-ng.
LANGUAGE_CODES: Final = ("auto", *LANGUAGES)

#: Scripts, by their names in Unicode, whose letters are in the text encoder's vocabulary and that some language is
#: pronounced from.
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK")
#: A line break that nothing but the next stage direction sets apart from the words before it.
_BREAK_BEFORE_DIRECTION: Final = re.compile(r"(?<![\s.!?…,;:—–-])[^\S\n\r]*[\n\r]\s*(?=[(\[])")


@dataclass(frozen=True)
class Branch:
    """Begin like the take of ``seed`` (same line and settings) and go on by oneself after ``frame`` frames.

    ``origin`` says what that take was made from itself.
    """

    seed: int
    frame: int
    origin: Origin = field(default_factory=lambda: Origin())


@dataclass(frozen=True)
class Vary:
    """Stay near the take of ``seed`` (same line and settings): ``amount`` 0 is that take, 1 a new one.

    ``origin`` says what that take was made from itself.
    """

    seed: int
    amount: float
    origin: Origin = field(default_factory=lambda: Origin())


@dataclass(frozen=True)
class Origin:
    """What a take was made from; nothing for a take of its own."""

    branch: Branch | None = None
    vary: Vary | None = None

    @classmethod
    def from_json(cls, fields: Any, generations: int = 0) -> Origin:
        """From the protocol's ``of``, or a line's own ``branch`` and ``vary``; `InputError` names what is wrong."""
        if fields is None:
            return cls()
        if not isinstance(fields, Mapping) or set(fields) - {"branch", "vary"}:
            raise InputError(f"The field 'of' must be null or an object with 'branch' and 'vary', not {fields!r:.80}.")
        if generations > MAX_GENERATIONS:
            raise InputError(f"A take can descend from at most {MAX_GENERATIONS} others; start from an earlier one.")
        made: dict[str, Any] = {}
        for name, second in (("branch", "frame"), ("vary", "amount")):
            value = fields.get(name)
            if value is not None and (
                not isinstance(value, Mapping) or not {"seed", second} <= set(value) <= {"seed", second, "of"}
            ):
                raise InputError(f"The field {name!r:.80} must be null or an object with 'seed' and {second!r:.80}.")
            made[name] = value and (value["seed"], value[second], cls.from_json(value.get("of"), generations + 1))
        branch, vary = made["branch"], made["vary"]
        return cls(branch and Branch(*branch), vary and Vary(*vary))

    def to_json(self) -> dict[str, Any] | None:
        """As `from_json` reads it; None for a take of its own."""
        if self == Origin():
            return None
        made: dict[str, Any] = {"branch": None, "vary": None}
        for name, given, second in (("branch", self.branch, "frame"), ("vary", self.vary, "amount")):
            if given is not None:
                of = given.origin.to_json()
                made[name] = {"seed": given.seed, second: getattr(given, second), **({"of": of} if of else {})}
        return made

    def check(self) -> None:
        """`InputError` names a number out of its range."""
        if self.branch is not None:
            _whole_in_range("The seed to branch from", self.branch.seed, 0, MAX_SEED)
            _whole_in_range("The frame to branch at", self.branch.frame, 0, round(MAX_LINE_SECONDS * 24))
            self.branch.origin.check()
        if self.vary is not None:
            _whole_in_range("The seed to vary", self.vary.seed, 0, MAX_SEED)
            _in_range("The amount to vary by", self.vary.amount, 0.0, 1.0)
            self.vary.origin.check()


@dataclass(frozen=True)
class LineRequest:
    """What to perform.

    Attributes:
        text: the line, cleaned by `clean_text`; 1 to `MAX_CHARACTERS` characters. Stage directions in brackets are
            obeyed, not spoken (`generator.direction`).
        emotion: a name of `EMOTION_NAMES`, or "auto" to let the text decide.
        intensity: 0 (calm) to 1.5 (extreme); 1 is natural.
        takes: how many performances, 1 to `MAX_TAKES`.
        seed: take k uses seed + k; 0 to 2^31 - 1.
        temperature: 0 (the likeliest performance) to 2; 1 is what the model learned.
        seconds: length, up to `MAX_LINE_SECONDS`, or None to let the line decide.
        emotion_to: an emotion the line moves to from ``emotion``, or None.
        rate: speaking rate, 0.5 to 2; 1 is natural. Without effect where ``seconds`` is given.
        spread: choose the takes as the most different ones of a larger draw (`generator.performing.spread`).
        branch: the take that every take begins like, or None.
        vary: the take that every take stays near, or None. With both, the end of ``branch``'s take is varied, and its
            length is kept.
        emotion_with: an emotion mixed with ``emotion`` over the whole line, or None.
        share: how much of the mixture it is, 0 to 1.
        energy: tempo and size of all movement, whatever is felt, 0.4 to 1.6; 1 is natural.
        speaking: False where the line is heard and reacted to in silence.
        timing: seed of the line's timing, the same for all takes; 0 to 2^31 - 1.
        vary_timing: each take has a timing of its own, from its own seed.
        timeline: when every sound is made, from outside; None to make it from the text. It decides the length, too.
        language: what the line is pronounced in, one of `LANGUAGE_CODES`; "auto" to find out.
        ending: "rest" (at the standard face), "trace" (some of what was felt is left) or "held" (it is still felt).
        begin: the face that every take begins from, a number for each channel of the checkpoint's space; None for the
            standard face.
        until: only so many frames are performed, the same as of the whole take; None for all of it.
        names: who may be named before the words, as in "Anna: Hello"; None where that is not known.
        warnings: what was changed in the text, for the user.
    """

    text: str
    emotion: str = "auto"
    intensity: float = 1.0
    takes: int = 1
    seed: int = 0
    temperature: float = 1.0
    seconds: float | None = None
    emotion_to: str | None = None
    rate: float = 1.0
    spread: bool = False
    branch: Branch | None = None
    vary: Vary | None = None
    emotion_with: str | None = None
    share: float = 0.5
    energy: float = 1.0
    speaking: bool = True
    timing: int = 0
    vary_timing: bool = False
    timeline: Timeline | None = None
    language: str = "auto"
    ending: str = "rest"
    begin: tuple[float, ...] | None = None
    until: int | None = None
    names: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def validated(self) -> LineRequest:
        """A cleaned copy, or `InputError` with a sentence that names the offending value."""
        text, warnings = clean_text(self.text, self.names)
        _emotion_in(self.emotion, ("auto", *EMOTION_NAMES))
        if self.emotion_to is not None:
            _emotion_in(self.emotion_to, EMOTION_NAMES)
        if self.emotion_with is not None:
            _emotion_in(self.emotion_with, EMOTION_NAMES)
        _in_range("The share of the second emotion", self.share, 0.0, 1.0)
        _in_range("Intensity", self.intensity, 0.0, MAX_INTENSITY)
        _in_range("Temperature", self.temperature, 0.0, MAX_TEMPERATURE)
        _whole_in_range("The number of takes", self.takes, 1, MAX_TAKES)
        _whole_in_range("The seed", self.seed, 0, MAX_SEED - self.drawn + 1)
        if self.seconds is not None:
            _in_range("The length in seconds", self.seconds, MIN_SECONDS, MAX_LINE_SECONDS)
        _in_range("The speaking rate", self.rate, MIN_RATE, MAX_RATE)
        _in_range("The energy", self.energy, MIN_ENERGY, MAX_ENERGY)
        _whole_in_range("The seed of the timing", self.timing, 0, MAX_SEED)
        if self.language not in LANGUAGE_CODES:
            raise InputError(f"There is no language {self.language!r:.80}; choose {', '.join(LANGUAGE_CODES)}.")
        if self.ending not in ENDINGS:
            raise InputError(f"There is no ending {self.ending!r:.80}; choose {', '.join(ENDINGS)}.")
        for value in self.begin or ():
            _in_range("A number of the face to begin from", value, -100.0, 100.0)
        if self.until is not None:
            _whole_in_range("The number of frames to perform", self.until, 1, round(MAX_LINE_SECONDS * 24))
        self.origin.check()
        return replace(self, text=text, warnings=warnings)

    @property
    def origin(self) -> Origin:
        """What every take is made from."""
        return Origin(self.branch, self.vary)

    @property
    def drawn(self) -> int:
        """How many seeds are performed: with ``spread`` more than there are takes."""
        return drawn_for(self.takes) if self.spread else self.takes

    @classmethod
    def from_json(cls, fields: Any) -> LineRequest:
        """A validated request from a protocol LINE object; unknown or wrongly typed fields are refused by name."""
        if not isinstance(fields, Mapping):
            raise InputError("A line must be an object with a 'text' field.")
        known = {f.name for f in dataclasses.fields(cls)} - {"warnings"}
        if unknown := sorted(set(fields) - known):
            raise InputError(f"A line has no field {unknown[0]!r:.80}; it may have {', '.join(sorted(known))}.")
        for name in ("text", "emotion", "language", "ending"):
            if name in fields and not isinstance(fields[name], str):
                raise InputError(f"The field {name!r:.80} must be text, not {fields[name]!r:.80}.")
        if "text" not in fields:
            raise InputError("A line must have a 'text' field.")
        for name in ("emotion_to", "emotion_with"):
            if not isinstance(fields.get(name), str | None):
                raise InputError(f"The field {name!r:.80} must be an emotion or null, not {fields[name]!r:.80}.")
        for name in ("spread", "speaking", "vary_timing"):
            if not isinstance(fields.get(name, False), bool):
                raise InputError(f"The field {name!r:.80} must be true or false, not {fields[name]!r:.80}.")
        begin = fields.get("begin")
        if not isinstance(begin, list | tuple | None):
            raise InputError("The field 'begin' must be null or a list of numbers, the face to begin from.")
        names = fields.get("names")
        if names is not None and not (isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)):
            raise InputError("The field 'names' must be null or a list of names that may stand before the words.")
        origin = Origin.from_json({name: fields.get(name) for name in ("branch", "vary")})
        timeline = None if fields.get("timeline") is None else read_timeline(fields["timeline"])
        made = {"branch": origin.branch, "vary": origin.vary, "timeline": timeline, "begin": begin and tuple(begin)}
        made["names"] = None if names is None else tuple(names)
        return cls(**{**fields, **made}).validated()


def read_timeline(fields: Any) -> Timeline:
    """A timeline from outside; `InputError` says what is wrong with it."""
    try:
        return Timeline.from_json(fields)
    except TimelineError as error:
        raise InputError(str(error)) from None


def clean_text(text: str, names: Collection[str] | None = None) -> tuple[str, tuple[str, ...]]:
    """The line as the text encoder will read it, and warnings about what it will not read.

    What scripts and subtitles write around the words goes (`generator.shared.scripts.clean`; ``names``: who may be
    named there). Line breaks and tabs
    become spaces; a line break before a stage direction is a pause. Control characters, an empty line, a line that is
    too long, and a line with nothing the encoder can read are refused with `InputError`.
    """
    if len(text) > MOST_TYPED:
        raise InputError(
            f"The line has {len(text):,} characters and the limit is {MAX_CHARACTERS:,}; split it into several lines."
        )
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise InputError(
                f"The line has a control character (U+{ord(character):04X}) at position {position + 1}; remove it."
            )
    symbols = sorted({c for c in text if unicodedata.category(c) in ("So", "Sk", "Co", "Cn") and not c.isascii()})
    typed = text.strip()
    speaker, text = speaker_of(typed_text := unicodedata.normalize("NFC", text), names)
    text = " ".join(_BREAK_BEFORE_DIRECTION.sub(", ", text.strip()).split())
    if not text and symbols:
        raise InputError("The line holds only symbols or emoji; type words, and choose the emotion beside them.")
    if not text and typed:
        raise InputError("The line holds only names or markup; type what the character says.")
    if not text:
        raise InputError("The line is empty; type what the character says.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"The line has {len(text):,} characters and the limit is {MAX_CHARACTERS:,}; split it into several lines."
        )
    letters = [c for c in text if c.isalpha()]
    foreign = [c for c in letters if not unicodedata.name(c, "").startswith(_SCRIPTS)]
    if letters and len(foreign) * 2 > len(letters):
        raise InputError(
            f"The line is mostly in a script the text encoder cannot read (it starts with {foreign[0]!r:.80}); "
            "write it in Latin letters."
        )
    if symbols and not letters and not any(c in ".?!…" or c.isdigit() for c in text):
        raise InputError("The line holds only symbols or emoji; type words, and choose the emotion beside them.")
    warnings = []
    if speaker:
        warnings.append(f"“{speaker}” is taken for the speaker's name and not spoken.")
    elif names is not None and (other := speaker_of(typed_text)[0]):
        warnings.append(f"“{other}” is nobody here and is spoken; write {other.upper()}: for who says the line.")
    if symbols:
        warnings.append(f"{' '.join(symbols)} cannot be read by the text encoder and will be ignored.")
    if foreign:
        warnings.append(f"{' '.join(sorted(set(foreign)))} cannot be read by the text encoder.")
    if not letters and not any(c.isdigit() for c in text) and not any(c in ".?!…" for c in text):
        raise InputError("The line has no words; type what the character says, or '...' for a silent reaction.")
    return text, tuple(warnings)


def _emotion_in(name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise InputError(f"There is no emotion called {name!r:.80}; choose {', '.join(names[:-1])} or {names[-1]}.")


def _in_range(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InputError(f"{name} must be a number from {low:g} to {high:g}, not {value!r:.80}.")
    if not low <= value <= high:
        raise InputError(f"{name} must be from {low:g} to {high:g}, not {value!r:.80}.")


def _whole_in_range(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r:.80}.")


def drawn_for(takes: int) -> int:
    """How many seeds are drawn to choose ``takes`` from."""
    return max(takes, min(DRAWN_PER_TAKE * takes, MOST_DRAWN))
