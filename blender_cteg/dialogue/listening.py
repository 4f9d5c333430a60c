# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening: what characters do while others speak (no ``bpy``).

Between two of its own lines a character is silent, and such a silence is one performance: of somebody who hears what
the others say in it, at the moments at which they say it. It begins from the face that the character's own line has
left, and goes over into the next one; where there is time, it comes to rest before that.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..performance.record import Take
from ..shared import Timeline

#: What a listener shows at what is felt by who speaks, and how strongly: mostly the same, less of it; what is turned
#: against the listener is answered.
REACTIONS: Final[Mapping[str, tuple[str, float]]] = {
    "neutral": ("neutral", 0.8), "joy": ("joy", 0.8), "sadness": ("sadness", 0.9), "anger": ("fear", 0.9),
    "fear": ("fear", 0.8), "disgust": ("disgust", 0.7), "surprise": ("surprise", 0.9), "contempt": ("sadness", 0.8),
    "affection": ("affection", 0.9), "embarrassment": ("affection", 0.7), "confusion": ("confusion", 0.8),
    "pride": ("joy", 0.6), "amusement": ("amusement", 0.8), "boredom": ("neutral", 0.8),
    "happily_surprised": ("happily_surprised", 0.8), "awed": ("awed", 0.8), "bittersweet": ("sadness", 0.7),
    "sadly_angry": ("sadness", 0.9), "sadly_fearful": ("sadness", 0.9), "angrily_disgusted": ("fear", 0.9),
}  # fmt: skip
#: Of the mood that a listener is in, what is left beside the reaction.
_MOOD_LEFT: Final = 0.35
#: Emotions that are mixtures already, or nothing to mix with.
_PLAIN: Final = frozenset("joy sadness anger fear disgust surprise contempt affection embarrassment confusion pride "
                          "amusement boredom".split())  # fmt: skip
#: Seconds: silences that are shorter are none; longer ones come to rest at their end; and none is longer than the last.
_SHORTEST, _COMES_TO_REST, _LONGEST = 0.6, 4.0, 15.0
#: Seconds that listeners go on after the last line of the scene.
_AFTERWARDS: Final = 1.0
#: Seconds of one performance, at least and at most (`generator.direction.requests`).
_LEAST, _MOST = 0.5, 60.0


@dataclass(frozen=True)
class Spoken:
    """A line as it is said in the scene.

    Attributes:
        id: of the entry.
        character: who says it.
        start, end: first and last frame.
        take: what is shown; None where that cannot be read.
        stretch: how much slower it is played than it was performed.
        looks: the frames at which it turns to somebody, and to whom.
    """

    id: str
    character: str
    start: float
    end: float
    take: Take | None = None
    stretch: float = 1.0
    looks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Silence:
    """A character who says nothing.

    Attributes:
        character: who.
        start, end: first and last frame.
        heard: what the others say meanwhile, in order.
        before: what the character said last before it.
        rests: the face comes to rest at its end; else the next line takes over from it.
    """

    character: str
    start: int
    end: int
    heard: tuple[Spoken, ...]
    before: Spoken | None = None
    rests: bool = True


def silences(spoken: Sequence[Spoken], character: str, fps: float, blend: int) -> Iterator[Silence]:
    """The silences of a character from the first line of a scene to a second after the last, in order.

    Args:
        spoken: every line that is said.
        character: who is silent.
        fps: frames per second of the scene.
        blend: frames over which a line comes in: what is felt goes over into the next line within them.
    """
    if not spoken:
        return
    own = sorted((one for one in spoken if one.character == character), key=lambda one: one.start)
    first, last = min(one.start for one in spoken), max(one.end for one in spoken) + _AFTERWARDS * fps
    begin, before = first, None
    for line in (*own, None):
        stop = last if line is None else line.start
        rests = line is None or stop - begin >= _COMES_TO_REST * fps
        end = stop - 1 if rests else stop + blend
        if end - begin >= _SHORTEST * fps:
            yield from _pieces(spoken, character, round(begin), round(end), before, rests, fps)
        if line is not None:
            begin, before = max(begin, line.end - 2 * blend), line


def _pieces(
    spoken: Sequence[Spoken], character: str, begin: int, end: int, before: Spoken | None, rests: bool, fps: float
) -> Iterator[Silence]:
    """A silence, cut where somebody begins to speak if it is long: it is performed and written piece by piece."""
    heard = sorted(
        (one for one in spoken if one.character != character and one.end > begin and one.start < end),
        key=lambda one: one.start,
    )  # fmt: skip
    while end - begin > _LONGEST * fps:
        cuts = [round(one.start) for one in heard if _COMES_TO_REST * fps < one.start - begin < end - begin - fps]
        near = [cut for cut in cuts if cut - begin <= _LONGEST * fps]
        cut = max(near) if near else min(cuts, default=min(round(begin + (_MOST - 1) * fps), end))
        if cut >= end:
            break
        yield Silence(character, begin, cut - 1, tuple(o for o in heard if o.start < cut and o.end > begin), before)
        begin, before, heard = cut, None, [one for one in heard if one.end > cut]
    yield Silence(character, begin, end, tuple(heard), before, rests)


def asked(silence: Silence, fps: float, *, mood: str, intensity: float, energy: float, seed: int) -> dict[str, Any]:
    """What the generator is asked for: a LINE of docs/protocol.md without the face that it begins from.

    Args:
        silence: who hears what.
        fps: frames per second of the scene.
        mood: what the character feels anyway, or "auto" for what it felt in its last line.
        intensity, energy: of the character.
        seed: of the scene; each character has its own from it.
    """
    own = silence.before.take.emotion if silence.before is not None and silence.before.take is not None else "neutral"
    felt, seconds = own if mood == "auto" else mood, max((silence.end - silence.start + 1) / fps, _LEAST)
    texts: list[str] = []
    words: list[dict[str, Any]] = []
    language = None
    for one in silence.heard:
        said, take = _heard(one, silence.start, fps), one.take
        timeline = take.timeline if take is not None else None
        follows = said is not None and (not words or said[0]["phonemes"][0][1] >= words[-1]["phonemes"][-1][2])
        if take is None or timeline is None or said is None or not follows or language not in (None, timeline.language):
            texts.append(f"[{_reaction('neutral' if take is None else take.emotion, felt, intensity)}] ...")
            continue
        language = timeline.language
        words += said
        texts += [
            f"[{_reaction(segment.emotion, felt, intensity)}] {_unbracketed(segment.text)}" for segment in take.segments
        ]
    last = words[-1]["phonemes"][-1][2] if words else 0.0
    line: dict[str, Any] = {
        "text": " ".join(texts) or f"[{_reaction('neutral', felt, intensity)}] ...",
        "speaking": False, "energy": round(energy, 4), "ending": "rest" if silence.rests else "held",
        "seed": (seed + zlib.crc32(silence.character.encode())) % 1_000_000, "takes": 1,
    }  # fmt: skip
    length = round(min(max(seconds, last + 0.1), _MOST), 4)
    if words and last < length:
        # Given its length, it is over when the silence is, and does not linger.
        return {**line, "seconds": length, "timeline": {"words": words, "seconds": length, "language": language}}
    return plain(line, length)


def plain(line: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
    """The same silence without what is heard: for words that the generator does not take."""
    direction, length = str(line["text"]).partition("]")[0], line.get("seconds") if seconds is None else seconds
    return {**{k: v for k, v in line.items() if k != "timeline"}, "text": f"{direction}] ...", "seconds": length}


def digest(line: Mapping[str, Any]) -> str:
    """Tells whether something is asked for as it was."""
    text = json.dumps(line, sort_keys=True, default=str)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]


def _heard(one: Spoken, start: int, fps: float) -> list[dict[str, Any]] | None:
    """The words of a line at the moments at which they are heard; None where it had begun before, or has none."""
    timeline, at = one.take.timeline if one.take is not None else None, (one.start - start) / fps
    if timeline is None or not timeline.words or at < 0.0:
        return None
    moved: Timeline = timeline.moved(lambda second: at + one.stretch * second, at + one.stretch * timeline.seconds)
    return list(moved.to_json()["words"])


def _reaction(emotion: str, mood: str, intensity: float) -> str:
    """What is shown, in the notation of directions: ``sadness 0.6 + anger 0.3``."""
    shown, size = REACTIONS.get(emotion, ("neutral", 0.5))
    size = min(size * intensity, 1.5)
    if mood in _PLAIN and mood != shown:
        if shown not in _PLAIN:  # nothing that goes against the mood
            return f"{mood.replace('_', ' ')} {0.6 * size:.2f}"
        return f"{shown} {size:.2f} + {mood} {size * _MOOD_LEFT:.2f}"
    return f"{shown.replace('_', ' ')} {size:.2f}"


def _unbracketed(text: str) -> str:
    """Words in brackets are said, and must not be taken for a direction."""
    return text.translate(str.maketrans("()[]", "    ")).strip() or "..."
