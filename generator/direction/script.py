# SPDX-License-Identifier: GPL-3.0-or-later
"""A line as it will be performed: what is said in each passage, under which emotion, and who decided that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..emotions import EMOTIONS
from ..requests import MAX_INTENSITY, LineRequest
from .brackets import SILENCE, Direction, read_directions
from .clauses import split_clauses
from .notation import Meaning
from .turning import steady_emotions

#: Who decided an emotion: the request, a stage direction, or the words.
Source = Literal["asked", "direction", "words"]
#: Emotions of the words that are reported.
_ALTERNATIVES: Final = 3
#: Calibrated probabilities over the first K of `EMOTIONS` of n passages, (n, K).
Classify = Callable[[list[str]], npt.NDArray[np.float32]]


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
        parts += [replace(template, text=text) for text in split_clauses(stretch.text, rate)]
    result: list[Part] = []
    for unread, group in groupby(parts, lambda part: part.emotion == "auto"):
        run = list(group)
        result += _read(run, classify([part.text for part in run])) if unread else run
    return tuple(result)


def spoken(text: str) -> str:
    """The words of ``text`` that are certainly spoken: without the stage directions that need no text encoder."""
    said = [stretch.text for stretch in read_directions(text)]
    return " ".join(words for words in said if words != SILENCE) or SILENCE


def _directed(request: LineRequest, direction: Direction | None, number: int, before: Part | None) -> Part:
    """A passage under ``direction``, its text to be filled in; ``before`` is what held until then."""
    base = Part("", request.emotion, request.intensity, request.emotion_to, request.intensity)
    if direction is None:
        return base
    meaning, strength = direction.meaning, min(request.intensity * direction.meaning.factor, MAX_INTENSITY)
    begin = strength if meaning.intensity is None else meaning.intensity
    base = replace(base, direction=direction.written, intensity=begin, intensity_to=begin)
    if meaning.emotion is None:  # a manner: the emotion that was directed stays
        if before is None or before.source != "direction":
            return base
        emotion = before.emotion_to or before.emotion
        return replace(base, emotion=emotion, emotion_to=None, span=number, source="direction")
    end = begin
    if meaning.emotion_to is not None:
        end = strength if meaning.intensity_to is None else meaning.intensity_to
    return replace(
        base, emotion=meaning.emotion, emotion_to=meaning.emotion_to, intensity_to=end, span=number, source="direction"
    )


def _read(parts: list[Part], probabilities: npt.NDArray[np.float32]) -> list[Part]:
    """Passages in a row whose emotion the words decide."""
    result = []
    for part, row, chosen in zip(parts, probabilities, steady_emotions(probabilities), strict=True):
        likeliest = np.argsort(-row, kind="stable")[:_ALTERNATIVES]
        alternatives = {EMOTIONS[k]: round(float(row[k]), 3) for k in likeliest}
        result.append(replace(part, emotion=EMOTIONS[chosen], source="words", alternatives=alternatives))
    return result
