# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments: how the generator understood a line, part by part (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any, Final

from .sentences import Told, told, translated

#: Where the emotion of a segment can come from.
SOURCES: Final = ("asked", "direction", "words")
#: What can stand beside the words of a segment.
KINDS: Final = ("action", "note")


class SegmentError(Told, ValueError):
    """A segment that cannot be read, or not found in its line; the message is a sentence."""


@dataclass(frozen=True)
class Stage:
    """What stands beside the words of a segment.

    Attributes:
        kind: one of `KINDS`: something that is done, or a note that is neither played nor spoken.
        written: the direction, as written.
        name: what is done, a name such as "shake_head", or None for what a face cannot play; of a note whom the words
            are for, or None.
        start, end: first frame and the frame after the last, in frames of the clip.
    """

    kind: str
    written: str
    name: str | None = None
    start: int = 0
    end: int = 0

    @classmethod
    def from_json(cls, data: Any) -> Stage:
        """One of a segment's ``stage``. SegmentError when a field is missing or of the wrong type."""
        fields = ("kind", str), ("written", str), ("name", str | None), ("start", int), ("end", int)
        if not isinstance(data, Mapping) or not all(
            name in data and isinstance(data[name], kind) and not isinstance(data[name], bool) for name, kind in fields
        ) or data["kind"] not in KINDS:  # fmt: skip
            raise SegmentError("What is done beside a segment's words is {value!r:.80}.", value=data)
        return cls(*(data[name] for name, _ in fields))


@dataclass(frozen=True)
class Segment:
    """One part of a performed line.

    Attributes:
        text: the spoken words, without directions.
        emotion: what is played, a name of `emotions.NAMES`.
        emotion_to: what it moves to, or None.
        intensity: 0 (calm) to 1.5 (extreme).
        start, end: first frame and the frame after the last, in frames of the clip.
        direction: the inline direction that holds here, as written, or None.
        source: who chose the emotion: one of `SOURCES`.
        alternatives: what the words could mean as well, name -> probability; only for the source "words".
        emotion_with: what is mixed with ``emotion``, or None; ``share`` (0 to 1) of the mixture is this one.
        stage: what is done or noted beside its words, in order.
    """

    text: str
    emotion: str
    emotion_to: str | None = None
    intensity: float = 1.0
    start: int = 0
    end: int = 0
    direction: str | None = None
    source: str = "asked"
    alternatives: Mapping[str, float] = field(default_factory=dict)
    emotion_with: str | None = None
    share: float = 0.5
    stage: tuple[Stage, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as in docs/protocol.md."""
        return {**asdict(self), "alternatives": dict(self.alternatives), "stage": [asdict(one) for one in self.stage]}

    @classmethod
    def from_json(cls, data: Any) -> Segment:
        """A segment of a clip event or of a stored take. SegmentError when a field is missing or of the wrong type."""
        if not isinstance(data, Mapping):
            raise SegmentError("A segment is not an object: {value!r:.80}.", value=data)
        for name, kinds in _KINDS.items():
            value = data.get(name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise SegmentError("A segment's {name} is {value!r:.80}.", name=name, value=value)
        if data["source"] not in SOURCES:
            raise SegmentError("A segment's source is {value!r:.80}.", value=data["source"])
        # Takes of an earlier version know no mixtures.
        if not isinstance(data.get("emotion_with"), str | None) or not isinstance(data.get("share", 0.5), int | float):
            sentence = "A segment's mixture is {emotion!r:.40}, {share!r:.40}."
            raise SegmentError(sentence, emotion=data["emotion_with"], share=data.get("share"))
        alternatives = data.get("alternatives") or {}
        if not isinstance(alternatives, Mapping) or not all(
            isinstance(name, str) and isinstance(share, int | float) for name, share in alternatives.items()
        ):
            raise SegmentError("A segment's alternatives are {value!r:.80}.", value=alternatives)
        stage = data.get("stage") or []  # nor what is done
        if not isinstance(stage, list):
            raise SegmentError("What is done beside a segment's words is {value!r:.80}.", value=stage)
        plain: dict[str, Any] = {name: data.get(name) for name in (*_KINDS, "emotion_with")}
        plain |= {"intensity": float(data["intensity"]), "share": float(data.get("share", 0.5))}
        shares = {name: float(share) for name, share in alternatives.items()}
        return cls(**plain, alternatives=shares, stage=tuple(map(Stage.from_json, stage)))


_KINDS: Final[dict[str, Any]] = {
    "text": str, "emotion": str, "emotion_to": str | None, "intensity": int | float, "start": int, "end": int,
    "direction": str | None, "source": str,
}  # fmt: skip


def in_order(segments: Sequence[Segment]) -> str:
    """What is felt, one after the other, in words: "joy, then sadness"; "" without segments."""
    felt: list[str] = []
    for segment in segments:
        names = segment.emotion, segment.emotion_to, segment.emotion_with
        begin, end, other = (name and translated(name.replace("_", " ")) for name in names)
        if other:
            begin = told("{emotion} with {other}", emotion=begin, other=other)
        felt += [emotion for emotion in (begin, end) if emotion and emotion not in felt[-1:]]
    return reduce(lambda before, after: told("{before}, then {after}", before=before, after=after), felt or [""])
