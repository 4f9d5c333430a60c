# SPDX-License-Identifier: GPL-3.0-or-later
"""A line as it will be performed: what is said in each passage, under which emotion, and who decided that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from .brackets import SILENCE, Stage, StageDirection, Stretch, read_directions
from .clauses import split_clauses, split_sentences
from .emotions import EMOTIONS, emotion_vector
from .notation import Meaning
from .requests import MAX_INTENSITY, LineRequest
from .turning import steady_emotions

#: Who decided an emotion: the request, a stage direction, or the words.
Source = Literal["asked", "direction", "words"]
#: Emotions of the words that are reported.
_ALTERNATIVES: Final = 3
#: Calibrated probabilities over the first K of `EMOTIONS` of n passages, (n, K).
Classify = Callable[[list[str]], npt.NDArray[np.float32]]
#: Words say two things at once when both are at least this likely. Less is not knowing which of many they say.
_BOTH: Final = 0.3
#: So much of the mixture is the second then. With more, the first does not lead on the face (docs/quality.md).
_SECOND_SHARE: Final = 0.3
#: A passage turns when its first and its last sentence are this sure of what they say, and neither says nothing.
_TURN: Final = 0.5


@dataclass(frozen=True)
class Part:
    """One passage of a line.

    Attributes:
        text: what is said.
        emotion: at its beginning; a name of `EMOTION_NAMES`.
        intensity: at its beginning, 0 to 1.5.
        emotion_to: what it moves to over its span, or None.
        intensity_to: intensity at the end of its span.
        span: passages with the same number share one movement from ``emotion`` to ``emotion_to``; 0 is the whole line.
        direction: the stage direction it is under, as written, or None.
        source: who decided ``emotion``.
        alternatives: what the words say, the likeliest three; empty unless ``source`` is "words".
        emotion_with: what is mixed with ``emotion``, or None.
        share: how much of the mixture it is, 0 to 1.
        rate, energy: factors of the speaking rate and of the energy.
        barred: an emotion that it is not, whatever the words say.
        stage: what is done or noted beside its words, in order.
    """

    text: str
    emotion: str
    intensity: float
    emotion_to: str | None = None
    intensity_to: float = 1.0
    span: int = 0
    direction: str | None = None
    source: Source = "asked"
    alternatives: dict[str, float] = field(default_factory=dict)
    emotion_with: str | None = None
    share: float = 0.5
    rate: float = 1.0
    energy: float = 1.0
    barred: str | None = None
    stage: tuple[Stage, ...] = ()

    def weights(self) -> npt.NDArray[np.float32]:
        """Weights over `EMOTIONS` at the beginning, (14,)."""
        weights = emotion_vector(self.emotion)
        if self.emotion_with is not None:
            weights = (1 - self.share) * weights + self.share * emotion_vector(self.emotion_with)
        return np.asarray(weights, np.float32)

    def weights_to(self) -> npt.NDArray[np.float32]:
        """Weights over `EMOTIONS` at the end of its span, (14,)."""
        return self.weights() if self.emotion_to is None else emotion_vector(self.emotion_to)

    def to_json(self, start: int, end: int) -> dict[str, Any]:
        """As the protocol writes it; it lasts from frame ``start`` to before frame ``end`` of its take."""
        return {
            "text": self.text,
            "emotion": self.emotion,
            "emotion_to": self.emotion_to,
            "intensity": round(self.intensity, 3),
            "start": start,
            "end": end,
            "direction": self.direction,
            "source": self.source,
            "alternatives": self.alternatives,
            "emotion_with": self.emotion_with,
            "share": round(self.share, 3),
            "stage": [],
        }


def write_script(
    request: LineRequest, classify: Classify, nearest: Callable[[str], Meaning | None]
) -> tuple[Part, ...]:
    """The passages of a line: its stage directions obeyed, long stretches cut, and the rest read from the words.

    A stage direction decides for the words under it; the request for all others; with "auto" the words decide.

    Raises:
        InputError: a stage direction with an intensity out of range.
    """
    parts: list[Part] = []
    rate = 1.0 if request.seconds is not None else request.rate
    template: Part | None = None
    for number, stretch in enumerate(read_directions(request.text, nearest), start=1):
        template = _directed(request, stretch.direction, number, template)
        parts += _cut(template, stretch, rate)
    result: list[Part] = []
    for unread, group in groupby(parts, lambda part: part.emotion == "auto"):
        run = list(group)
        result += _read(run, classify) if unread else run
    return tuple(result)


def _cut(template: Part, stretch: Stretch, rate: float) -> list[Part]:
    """A stretch in passages, each with what is done beside its words."""
    parts, begin, stage = [], 0, list(stretch.stage)
    for text in split_clauses(stretch.text, rate):
        here = [one for one in stage if one.at <= begin + len(text)]
        stage = stage[len(here) :]
        parts.append(replace(template, text=text, stage=tuple(replace(one, at=one.at - begin) for one in here)))
        begin += len(text) + 1
    return parts


def spoken(text: str) -> str:
    """The words of ``text`` that are certainly spoken: without the stage directions that need no text encoder."""
    said = [stretch.text for stretch in read_directions(text)]
    return " ".join(words for words in said if words != SILENCE) or SILENCE


def _directed(request: LineRequest, direction: StageDirection | None, number: int, before: Part | None) -> Part:
    """A passage under ``direction``, its text to be filled in; ``before`` is what held until then."""
    mixed = request.emotion_with, request.share
    base = Part("", request.emotion, request.intensity, request.emotion_to, request.intensity)
    base = replace(base, emotion_with=mixed[0], share=mixed[1])
    if direction is None:
        return base
    meaning, strength = direction.meaning, min(request.intensity * direction.meaning.factor, MAX_INTENSITY)
    begin = strength if meaning.intensity is None else meaning.intensity
    base = replace(base, direction=direction.written, intensity=begin, intensity_to=begin)
    base = replace(base, rate=meaning.rate, energy=meaning.energy)
    if meaning.barred is not None:
        if request.emotion == meaning.barred:
            return replace(base, emotion="neutral", emotion_to=None, span=number, source="direction")
        return replace(base, barred=meaning.barred)
    if meaning.emotion is None:  # a manner: the emotion that was directed stays
        if before is None or before.source != "direction":
            return base
        base = replace(base, emotion_to=None, span=number, source="direction")
        if before.emotion_to is not None:
            return replace(base, emotion=before.emotion_to, emotion_with=None)
        return replace(base, emotion=before.emotion, emotion_with=before.emotion_with, share=before.share)
    end = begin
    if meaning.emotion_to is not None:
        end = strength if meaning.intensity_to is None else meaning.intensity_to
    return replace(
        base, emotion=meaning.emotion, emotion_to=meaning.emotion_to, intensity_to=end, span=number, source="direction",
        emotion_with=meaning.emotion_with, share=meaning.share,
    )  # fmt: skip


def _read(parts: list[Part], classify: Classify) -> list[Part]:
    """Passages in a row whose emotion the words decide: one emotion, two at once, or a turn from one to another."""
    whole = _without(classify([part.text for part in parts]), [part.barred for part in parts])
    result = []
    for number, (part, row, chosen) in enumerate(zip(parts, whole, steady_emotions(whole), strict=True), start=1):
        course = _turn(part, chosen, classify)
        likeliest = [int(k) for k in np.argsort(-row, kind="stable")[:_ALTERNATIVES]]
        alternatives = {EMOTIONS[k]: round(float(row[k]), 3) for k in likeliest}
        read = replace(part, emotion=EMOTIONS[chosen], source="words", alternatives=alternatives)
        if part.emotion_to is None and course is not None:
            # A span of its own: the passages around it do not move with it.
            read = replace(read, emotion=EMOTIONS[course[0]], emotion_to=EMOTIONS[course[1]], span=-number)
        elif part.emotion_with is None and chosen == likeliest[0] and row[likeliest[1]] >= _BOTH:
            both = [EMOTIONS[k] for k in likeliest[:2]]
            if "neutral" not in both:
                read = replace(read, emotion_with=both[1], share=_SECOND_SHARE)
        result.append(read)
    return result


def _without(probabilities: npt.NDArray[np.float32], barred: Sequence[str | None]) -> npt.NDArray[np.float32]:
    """Probabilities (n, K) of what is felt where each row's ``barred`` emotion is not."""
    if not any(barred):
        return probabilities
    result = probabilities.copy()
    for row, name in zip(result, barred, strict=True):
        for part in np.flatnonzero(emotion_vector(name)) if name else ():
            if part < len(row):
                row[part] = 0.0
        row /= max(row.sum(), 1e-9)
    return result


def _turn(part: Part, chosen: int, classify: Classify) -> tuple[int, int] | None:
    """From which emotion to which the sentences of a passage lead; None where they agree.

    ``chosen`` is what the passage says as a whole; where it is neither, the sentences are misread without the others.
    Reading is most of what a line costs, so the next sentence is read only where a turn is still possible.
    """
    sentences, neutral = split_sentences(part.text), EMOTIONS.index("neutral")
    if chosen == neutral or len(sentences) < 2 or part.emotion_to is not None:
        return None

    def read(texts: list[str]) -> npt.NDArray[np.float32]:
        return _without(classify(texts), [part.barred] * len(texts))

    ends: dict[str, int] = {}
    for text in sorted((sentences[0], sentences[-1]), key=len):
        row = read([text])[0]
        ends[text] = int(row.argmax())
        if row.max() < _TURN or ends[text] == neutral:
            return None
    first, last = ends[sentences[0]], ends[sentences[-1]]
    if first == last or chosen not in (first, last):
        return None
    course = steady_emotions(read(sentences))
    return (first, last) if (course[0], course[-1]) == (first, last) else None
