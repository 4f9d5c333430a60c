# SPDX-License-Identifier: GPL-3.0-or-later
"""A line in time: words, phonemes, phrases, accents, events, in seconds. docs/timeline.md describes its JSON.

A timeline says when the mouth does what, and nothing of what the face feels. It comes from a text alone
(`generator.speech`), or from outside: an aligner that has heard a recorded voice, or an animator's hand.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

#: Version of the JSON that `Timeline.to_json` writes.
TIMELINE_SCHEMA: Final = 1
#: Longest timeline, in words, sounds and seconds: what one performance may be.
MAX_WORDS: Final = 1000
MAX_PHONEMES: Final = 5000
MAX_TIMELINE_SECONDS: Final = 60.0
#: ARPAbet's vowels, and AX, the schwa.
VOWELS: Final = frozenset("AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW".split())
#: ARPAbet's consonants, and DX, the flap of "water".
CONSONANTS: Final = frozenset("B CH D DH DX F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())
#: Sounds that close the lips, and those that bring the lower lip to the teeth.
BILABIALS: Final = frozenset("P B M".split())
LABIODENTALS: Final = frozenset("F V".split())
#: What can be spoken (all but English need espeak-ng), by ISO 639-1 code.
LANGUAGES: Final = {
    "en": "English", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "es": "Spanish",
    "fi": "Finnish", "fr": "French", "hu": "Hungarian", "it": "Italian", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "tr": "Turkish",
    "uk": "Ukrainian",
}  # fmt: skip
#: Marks that may end a phrase.
MARKS: Final = (",", ";", ":", "-", ".", "!", "?", "…", "")
#: Two segments may share so much of a second before they count as overlapping: writers round.
_ROUNDING: Final = 1e-3
#: Two words that are farther apart, in seconds, have a pause between them.
_PAUSE: Final = 0.1
#: Fields of the JSON.
_FIELDS: Final = frozenset({"schema_version", "text", "language", "seconds", "words", "phrases", "accents", "events"})
#: What aligners write where nothing is said.
_SILENCES: Final = frozenset({"SIL", "SP", "SPN", "NSN", ""})
_DIGIT: Final = re.compile(r"([A-Z]{1,2})([012])?")


class TimelineError(ValueError):
    """A timeline that cannot be used; the message is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Phoneme:
    """A sound: ARPAbet ``symbol`` without its digit, ``stress`` (0 none, 1 primary, 2 secondary), seconds."""

    symbol: str
    stress: int
    start: float
    end: float

    @property
    def centre(self) -> float:
        """Its middle, in seconds."""
        return 0.5 * (self.start + self.end)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is spoken: its spelling and at least one sound."""

    text: str
    phonemes: tuple[Phoneme, ...]

    @property
    def start(self) -> float:
        """When it begins, in seconds."""
        return self.phonemes[0].start

    @property
    def end(self) -> float:
        """When it is over, in seconds."""
        return self.phonemes[-1].end

    @property
    def vowel(self) -> Phoneme:
        """The vowel that carries its stress; its first sound where it has none."""
        vowels = [p for p in self.phonemes if p.symbol in VOWELS]
        return next((p for p in vowels if p.stress == 1), vowels[0] if vowels else self.phonemes[0])


@dataclass(frozen=True, slots=True)
class Phrase:
    """A breath group: ``start`` and ``end`` in seconds, and the ``mark`` after it (one of `MARKS`)."""

    start: float
    end: float
    mark: str


@dataclass(frozen=True, slots=True)
class Accent:
    """Emphasis: the time of a stressed vowel in seconds, and its size, about 0.3 to 1.6."""

    time: float
    size: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is done besides words: ``name`` ("laugh", "sigh", "hesitation", ...), seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """A line in time.

    Attributes:
        text: the words as they are written.
        seconds: length of the performance, silence before and after the words included.
        words: in order, without overlap.
        phrases: in order; between two of them there is a pause.
        accents, events: in order of time.
        language: ISO 639-1 code.
        left_open: which of "phrases", "accents" and "events" its maker did not say; `generator.speech.timing.completed`
            finds them.
    """

    text: str
    seconds: float
    words: tuple[Word, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    accents: tuple[Accent, ...] = ()
    events: tuple[Event, ...] = ()
    language: str = "en"
    left_open: frozenset[str] = frozenset()

    @property
    def phonemes(self) -> tuple[Phoneme, ...]:
        """All sounds in order."""
        return tuple(phoneme for word in self.words for phoneme in word.phonemes)

    @property
    def start(self) -> float:
        """When the voice begins, in seconds."""
        return self.words[0].start if self.words else 0.0

    @property
    def end(self) -> float:
        """When the voice stops, in seconds."""
        return self.words[-1].end if self.words else 0.0

    @property
    def pauses(self) -> tuple[tuple[float, float], ...]:
        """Start and end of each silence between phrases."""
        return tuple((before.end, after.start) for before, after in pairwise(self.phrases))

    @property
    def stretches(self) -> tuple[tuple[float, float], ...]:
        """Start and end of what is said without a pause, whatever the marks are."""
        return tuple((phrase.start, phrase.end) for phrase in _phrases_of(self.words))

    def moved(self, time: Callable[[float], float], seconds: float) -> Timeline:
        """The same line where each moment is at ``time(moment)``, which must not decrease; ``seconds`` long."""
        words = tuple(
            Word(w.text, tuple(replace(p, start=time(p.start), end=time(p.end)) for p in w.phonemes))
            for w in self.words
        )
        return replace(
            self,
            seconds=seconds,
            words=words,
            phrases=tuple(replace(p, start=time(p.start), end=time(p.end)) for p in self.phrases),
            accents=tuple(replace(a, time=time(a.time)) for a in self.accents),
            events=tuple(replace(e, start=time(e.start), end=time(e.end)) for e in self.events),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; times are rounded to tenths of a millisecond."""
        return {
            "schema_version": TIMELINE_SCHEMA,
            "text": self.text,
            "language": self.language,
            "seconds": _rounded(self.seconds),
            "words": [
                {
                    "text": word.text,
                    "phonemes": [
                        [p.symbol + (str(p.stress) if p.symbol in VOWELS else ""), _rounded(p.start), _rounded(p.end)]
                        for p in word.phonemes
                    ],
                }
                for word in self.words
            ],
            "phrases": [{"start": _rounded(p.start), "end": _rounded(p.end), "mark": p.mark} for p in self.phrases],
            "accents": [{"time": _rounded(a.time), "size": _rounded(a.size)} for a in self.accents],
            "events": [{"name": e.name, "start": _rounded(e.start), "end": _rounded(e.end)} for e in self.events],
        }

    @classmethod
    def from_json(cls, data: Any) -> Timeline:
        """A timeline from anywhere. Only ``words`` must be there; what is null counts as missing.

        What is missing follows from the words: the text, the length (half a second after the last one), and phrases,
        which end where two words are more than a tenth of a second apart; so do phrases that do not hold the words, as
        when a word was moved by hand. Words that are silences ("SIL") are left out.

        Raises:
            TimelineError: another version, an unknown field, one of the wrong type, an unknown sound, times that are
                negative, not finite, out of order or overlap, an accent on no word, too many words or too long.
        """
        if not isinstance(data, Mapping):
            raise TimelineError("A timeline must be a JSON object with a list of words (docs/timeline.md).")
        data = {name: value for name, value in data.items() if value is not None}
        if unknown := sorted(set(map(str, data)) - _FIELDS):
            raise TimelineError(
                f"A timeline has no field {unknown[0]!r:.40}; it may have {', '.join(sorted(_FIELDS))}."
            )
        version = data.get("schema_version", TIMELINE_SCHEMA)
        if version != TIMELINE_SCHEMA or isinstance(version, bool):
            raise TimelineError(
                f"The timeline has schema version {version!r:.20} and this version reads {TIMELINE_SCHEMA}; "
                "export it again."
            )
        words = _words(data.get("words"))
        phrases = tuple(
            Phrase(*_span(row, f"phrase {n}"), _one_of(row.get("mark", ""), MARKS, f"The mark of phrase {n}"))
            for n, row in enumerate(_rows(data, "phrases"), 1)
        )
        accents = tuple(
            Accent(_time(row.get("time"), f"accent {n}"), _size(row.get("size", 1.0), f"accent {n}"))
            for n, row in enumerate(_rows(data, "accents"), 1)
        )
        events = tuple(
            Event(_name(row.get("name"), n), *_span(row, f"event {n}"))
            for n, row in enumerate(_rows(data, "events"), 1)
        )
        last = words[-1].end if words else 0.0
        seconds = _time(data.get("seconds", min(last + 0.5, MAX_TIMELINE_SECONDS)), "its end (seconds)")
        ends = [last, *(p.end for p in phrases), *(a.time for a in accents), *(e.end for e in events)]
        if seconds + _ROUNDING < max(ends):
            raise TimelineError(
                f"The timeline is {seconds:g} s long, but something in it ends at {max(ends):g} s; make it longer."
            )
        _check_order("Phrase", [(p.start, p.end) for p in phrases])
        text = data.get("text", " ".join(word.text for word in words))
        language = data.get("language", "en")
        _check_text(text, "The timeline's text")
        _check_text(language, "The timeline's language")
        if seconds == 0.0:
            raise TimelineError("A timeline must be longer than 0 s.")
        starts = [word.start for word in words]
        for accent in accents:
            at = bisect_right(starts, accent.time + _ROUNDING) - 1  # words are in order: the last that has begun
            if at < 0 or accent.time > words[at].end + _ROUNDING:
                raise TimelineError(
                    f"The accent at {accent.time:g} s of the timeline is on no word; move it with its word, or leave "
                    "accents out to have them found."
                )
        left_open = {name for name in ("phrases", "accents", "events") if name not in data}
        if not _hold(phrases, words):
            phrases, left_open = _phrases_of(words), left_open | {"phrases"}
        return cls(text, seconds, words, phrases, accents, events, language, frozenset(left_open))


def _rounded(number: float) -> float:
    return round(float(number), 4)


def _words(value: Any) -> tuple[Word, ...]:
    if not isinstance(value, list):
        raise TimelineError("A timeline must have a list of words (docs/timeline.md).")
    if len(value) > MAX_WORDS:
        raise TimelineError(
            f"The timeline has {len(value):,} words and the limit is {MAX_WORDS:,}; split it into several lines."
        )
    words = []
    for number, row in enumerate(value, 1):
        if not isinstance(row, Mapping) or not isinstance(row.get("text"), str):
            raise TimelineError(f"Word {number} of the timeline must be an object with a text and phonemes.")
        _check_text(row["text"], f"Word {number} of the timeline")
        sounds = row.get("phonemes")
        if isinstance(sounds, list) and sounds and all(_is_silence(sound) for sound in sounds):
            continue
        if not isinstance(sounds, list) or not sounds:
            raise TimelineError(f"The word {row['text']!r} of the timeline has no phonemes; leave it out or add them.")
        words.append(Word(row["text"], tuple(_phoneme(sound, row["text"]) for sound in sounds)))
    spans = [(p.start, p.end) for word in words for p in word.phonemes]
    if len(spans) > MAX_PHONEMES:
        raise TimelineError(f"The timeline has {len(spans):,} phonemes and the limit is {MAX_PHONEMES:,}; split it.")
    _check_order("Phoneme", spans)
    return tuple(words)


def _is_silence(sound: Any) -> bool:
    """Whether an aligner noted silence or noise here."""
    return isinstance(sound, Sequence) and len(sound) == 3 and str(sound[0]).upper() in _SILENCES


def _check_text(value: Any, what: str) -> None:
    if not isinstance(value, str):
        raise TimelineError(f"{what} must be text, not {value!r:.40}.")
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise TimelineError(f"{what} holds half a character (a lone surrogate); write it again.")


def _phoneme(value: Any, word: str) -> Phoneme:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3 or not isinstance(value[0], str):
        raise TimelineError(f"A phoneme of {word!r} must be [symbol, start, end] in seconds, not {value!r:.60}.")
    match = _DIGIT.fullmatch(value[0].upper())
    symbol = match[1] if match else ""
    if symbol not in VOWELS and symbol not in CONSONANTS:
        raise TimelineError(
            f"The word {word!r} of the timeline has an unknown phoneme {value[0]!r:.20}; use ARPAbet's, "
            "such as AA1 or B."
        )
    assert match is not None
    start, end = _span({"start": value[1], "end": value[2]}, f"the phoneme {value[0]} of {word!r}")
    return Phoneme(symbol, int(match[2] or 0) if symbol in VOWELS else 0, start, end)


def _rows(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = data.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise TimelineError(f"The timeline's {name} must be a list of objects.")
    if len(rows) > 2 * MAX_WORDS:
        raise TimelineError(f"The timeline has {len(rows):,} {name} and the limit is {2 * MAX_WORDS:,}.")
    return rows


def _span(row: Mapping[str, Any], what: str) -> tuple[float, float]:
    start, end = _time(row.get("start"), what), _time(row.get("end"), what)
    if end < start:
        raise TimelineError(f"In the timeline, {what} ends at {end:g} s, before it begins at {start:g} s.")
    return start, end


def _time(value: Any, what: str) -> float:
    # NaN is between no two numbers.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= MAX_TIMELINE_SECONDS:
        raise TimelineError(
            f"In the timeline, the time of {what} must be a number of seconds from 0 to {MAX_TIMELINE_SECONDS:g}, not "
            f"{value!r:.40}."
        )
    return float(value)


def _size(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 4.0:
        raise TimelineError(f"In the timeline, the size of {what} must be a number from 0 to 4, not {value!r:.40}.")
    return float(value)


def _name(value: Any, number: int) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z_ ]{0,39}", value):
        raise TimelineError(f"The name of event {number} must be a word such as 'laugh', not {value!r:.40}.")
    return value


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> str:
    if value not in allowed:
        raise TimelineError(f"{what} must be one of {' '.join(filter(None, allowed))} or empty, not {value!r:.20}.")
    return str(value)


def _check_order(what: str, spans: Sequence[tuple[float, float]]) -> None:
    for (_, end), (start, _) in pairwise(spans):
        if start + _ROUNDING < end:
            raise TimelineError(
                f"{what}s of the timeline overlap: one ends at {end:g} s and the next begins at {start:g} s."
            )


def _hold(phrases: tuple[Phrase, ...], words: tuple[Word, ...]) -> bool:
    """Whether every word lies in a phrase, and every phrase has one."""

    held, place = set(), 0
    for word in words:  # both are in order
        while place < len(phrases) and word.end > phrases[place].end + _ROUNDING:
            place += 1
        if place == len(phrases) or word.start < phrases[place].start - _ROUNDING:
            return False
        held.add(place)
    return len(held) == len(phrases)


def _phrases_of(words: tuple[Word, ...]) -> tuple[Phrase, ...]:
    """Phrases by the silences between words."""
    starts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(words)) if b.start - a.end > _PAUSE)]
    edges = [*starts, len(words)]
    return tuple(Phrase(words[a].start, words[b - 1].end, "") for a, b in pairwise(edges) if b > a)
