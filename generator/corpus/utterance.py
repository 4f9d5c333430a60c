# SPDX-License-Identifier: GPL-3.0-or-later
"""A timeline as an actor reads it: the moments that brows, head, eyes and breath answer, speaking or listening."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..shared.timeline import Timeline
from ..speech.reading import AGREEMENTS, NEGATIONS, QUESTION_WORDS
from .curves import Floats
from .recipes import Numbers

_LISTENING = Numbers("listening")
_NONE = np.zeros(0)


@dataclass(frozen=True)
class SpokenPhrase:
    """A breath group: start and end in seconds, its closing mark, whether it asks what, who, why ..."""

    start: float
    end: float
    mark: str
    asks_what: bool


@dataclass(frozen=True)
class Utterance:
    """The moments of a timeline.

    Attributes:
        timeline: all of it.
        phrases: breath groups in order.
        accents: times of emphasised words' stressed vowels (m,), with accent_sizes 0.3..1.6.
        shakes, nods, hesitations: times of spoken negations, agreements and fillers.
        events: (gesture, time) that the words themselves call for: laughter, "oh", stage cues.
        start, end: when the voice begins and stops, seconds.
        heard: breath groups that somebody else says; then ``phrases`` is empty.
    """

    timeline: Timeline
    phrases: tuple[SpokenPhrase, ...]
    accents: Floats
    accent_sizes: Floats
    shakes: Floats
    nods: Floats
    hesitations: Floats
    events: tuple[tuple[str, float], ...]
    start: float
    end: float
    heard: tuple[SpokenPhrase, ...] = ()

    @classmethod
    def of(cls, timeline: Timeline, start: float) -> Utterance:
        """``start``: when the voice would begin, for a line without words."""
        first = {word.start: word.text for word in timeline.words}
        phrases = tuple(
            SpokenPhrase(p.start, p.end, p.mark, p.mark == "?" and first.get(p.start, "") in QUESTION_WORDS)
            for p in timeline.phrases
        )
        spoken = bool(timeline.words)
        return cls(
            timeline,
            phrases,
            np.array([a.time for a in timeline.accents]),
            np.array([a.size for a in timeline.accents]),
            _times(timeline, NEGATIONS),
            _times(timeline, AGREEMENTS),
            np.array([e.start for e in timeline.events if e.name == "hesitation"]),
            tuple((e.name, e.start) for e in timeline.events if e.name != "hesitation"),
            timeline.start if spoken else start,
            timeline.end if spoken else start,
        )

    @classmethod
    def listened(cls, timeline: Timeline, nods: float, rng: np.random.Generator) -> Utterance:
        """What a listener answers of a partner's ``timeline``: some accents and phrase ends, a reaction later.

        ``nods``: chance of a nod at the end of a phrase.
        """
        said = cls.of(timeline, timeline.start)
        answered = rng.random(len(said.accents)) < _LISTENING["answer_chance"]
        reactions = rng.uniform(*_LISTENING.range("reaction"), len(said.accents))
        ends = np.array([p.end for p in said.phrases]) + rng.uniform(*_LISTENING.range("nod_after"), len(said.phrases))
        nodding = rng.random(len(ends)) < nods
        return replace(
            said,
            phrases=(),
            accents=(said.accents + reactions)[answered],
            accent_sizes=_LISTENING["answer_size"] * said.accent_sizes[answered],
            shakes=_NONE,
            nods=ends[nodding],
            hesitations=_NONE,
            events=(),
            heard=said.phrases,
        )


def _times(timeline: Timeline, words: frozenset[str]) -> Floats:
    return np.array([word.vowel.centre for word in timeline.words if word.text in words])
