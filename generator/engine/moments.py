# SPDX-License-Identifier: GPL-3.0-or-later
"""What a decoder is told of a timeline: in each step voice, phrase and its mark, accents, events, place in the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..shared.timeline import Timeline

Floats = npt.NDArray[np.float32]
_Times = npt.NDArray[np.float64]

#: What a phrase may end with, as faces tell it apart: on, done, with force, asked, asked for what, left open.
_KINDS: Final = (",;:-", ".", "!", "?", "what", "…")
#: Events as faces tell them apart; the teacher's gestures that words and cues call for.
_EVENTS: Final[Mapping[str, int]] = {
    name: number
    for number, names in enumerate((
        "laugh chuckle giggle snort", "sigh soft_sigh", "sob", "gasp inhale", "hesitation", "brow_flash",
        "grimace shiver gag swallow lip_curl", "scoff eye_roll", "slow_nod", "slow_shake", "yawn",
    ))
    for name in names.split()
}  # fmt: skip
_EVENT_KINDS: Final = max(_EVENTS.values()) + 2
#: Farther than so many seconds away is just far.
_FAR: Final = 2.0
#: Seconds within which an accent is felt before and after.
_ACCENT: Final = (0.12, 0.3)
#: Width of what `Moments.at` tells.
MOMENTS: Final = 1 + 8 + len(_KINDS) + 5 + _EVENT_KINDS


@dataclass(frozen=True, eq=False)
class Moments:
    """A timeline without its sounds; times in seconds.

    Attributes:
        words: start and end of each word, (n, 2).
        phrases: of each phrase, (m, 2).
        kinds: of each phrase the index of its mark among `_KINDS`, (m,).
        accents: time and size, (k, 2).
        events: kind, start and end, (e, 3).
        known: whether there is a timeline.
    """

    words: _Times
    phrases: _Times
    kinds: npt.NDArray[np.int64]
    accents: _Times
    events: _Times
    known: bool = True

    @classmethod
    def none(cls) -> Moments:
        """Nobody speaks."""
        return cls.of((), (), (), (), known=False)

    @classmethod
    def of(
        cls, words: Sequence[Any], phrases: Sequence[Any], accents: Sequence[Any], events: Sequence[Any], *,
        known: bool = True,
    ) -> Moments:  # fmt: skip
        """From rows: (start, end), (start, end, mark, asks for something), (time, size) and (name, start, end)."""
        kinds = [
            _KINDS.index("what") if mark == "?" and asks else _kind(mark) for _, _, mark, asks in phrases
        ]  # fmt: skip
        named = [(_EVENTS.get(name, _EVENT_KINDS - 1), start, end) for name, start, end in events]
        return cls(
            np.array(words, np.float64).reshape(-1, 2),
            np.array([row[:2] for row in phrases], np.float64).reshape(-1, 2),
            np.array(kinds, np.int64),
            np.array(accents, np.float64).reshape(-1, 2),
            np.array(named, np.float64).reshape(-1, 3),
            known,
        )

    @classmethod
    def of_timeline(cls, timeline: Timeline, asks: Sequence[bool], start: float = 0.0) -> Moments:
        """From a timeline whose second ``start`` becomes 0; ``asks``: of each phrase whether it asks what or who."""
        phrases = zip(timeline.phrases, asks, strict=True)
        return cls.of(
            [(w.start - start, w.end - start) for w in timeline.words],
            [(p.start - start, p.end - start, p.mark, what) for p, what in phrases],
            [(a.time - start, a.size) for a in timeline.accents],
            [(e.name, e.start - start, e.end - start) for e in timeline.events],
        )

    def at(self, middle: _Times, step: float) -> Floats:
        """What steps of ``step`` seconds around ``middle`` (N,) are told, (N, `MOMENTS`)."""
        count = len(middle)
        voice = _covered(self.words, middle, step)
        inside = np.zeros((count, 8))
        kinds = np.zeros((count, len(_KINDS)))
        if len(self.phrases):
            starts, ends = self.phrases.T
            now = np.searchsorted(starts, middle, "right") - 1  # the phrase that is spoken, or was last
            last, after = np.maximum(now, 0), np.minimum(now + 1, len(starts) - 1)
            speaks = (now >= 0) & (middle < ends[last])
            length = ends[last] - starts[last]
            inside[:, 0] = speaks
            inside[:, 1] = np.where(speaks, _far(middle - starts[last]), 0.0)
            inside[:, 2] = np.where(speaks, _far(ends[last] - middle), 0.0)
            inside[:, 3] = np.where(speaks, (middle - starts[last]) / np.maximum(length, 1e-3), 0.0)
            inside[:, 4] = np.where(now + 1 < len(starts), _far(starts[after] - middle), 1.0)
            inside[:, 5] = np.where((now >= 0) & ~speaks, _far(middle - ends[last]), np.where(speaks, 0.0, 1.0))
            inside[:, 6] = now + 1 < len(starts)
            inside[:, 7] = now == len(starts) - 1
            kinds[np.arange(count), self.kinds[last]] = now >= 0
        accents = np.zeros((count, 5))
        if len(self.accents):
            off = middle[:, None] - self.accents[:, 0]
            size, (near, wide) = self.accents[:, 1], _ACCENT
            accents[:, 0] = (size * np.exp(-0.5 * (off / near) ** 2)).sum(1)
            accents[:, 1] = np.where(off < 0, size * np.exp(off / wide), 0.0).max(1)
            accents[:, 2] = np.where(off >= 0, size * np.exp(-off / wide), 0.0).max(1)
            accents[:, 3] = _far(np.where(off < 0, -off, _FAR).min(1))
            accents[:, 4] = _far(np.where(off >= 0, off, _FAR).min(1))
        events = np.zeros((count, _EVENT_KINDS))
        for kind, start, end in self.events:
            column = events[:, int(kind)]
            np.maximum(column, _covered(np.array([[start - 0.2, end]]), middle, step), out=column)
        known = np.full((count, 1), float(self.known))
        return np.concatenate([voice[:, None] * known, inside, kinds, accents, events], 1).astype(np.float32)

    def position(self, middle: _Times) -> Floats:
        """Which part of the line is being said, 0..1, (N,); between words the place goes on to the next."""
        if not len(self.words):
            return np.zeros(len(middle), np.float32)
        count = len(self.words)
        edges = np.maximum.accumulate(self.words.ravel())
        places = np.repeat(np.arange(count + 1) / count, 2)[1:-1]
        return np.interp(middle, edges, places).astype(np.float32)


def _kind(mark: str) -> int:
    return next((k for k, marks in enumerate(_KINDS) if mark and mark in marks), _KINDS.index("."))


def _far(seconds: _Times) -> _Times:
    return np.asarray(np.clip(seconds, 0.0, _FAR) / _FAR)


def _covered(spans: _Times, middle: _Times, step: float) -> _Times:
    """Which share of each step lies within some spans, (N,)."""
    low, high = middle[:, None] - 0.5 * step, middle[:, None] + 0.5 * step
    inside = np.minimum(high, spans[:, 1]) - np.maximum(low, spans[:, 0])
    return np.asarray(np.minimum(np.maximum(inside, 0.0).sum(1) / step, 1.0))
