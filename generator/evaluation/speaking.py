# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the mouth say the line? Lips that are seen, against sounds that somebody else reads from its words.

Every number is of the sounds between a phrase's first and last; pauses are left out. What is `Watched` may come from
`lips.lips_of`, or from the vertices of a mesh (``benchmarks.lips``). NaN: nothing to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from ..shared.spaces import ARKIT55
from ..shared.timeline import BILABIALS, LABIODENTALS, Phoneme, Timeline
from .distances import Clip, Floats, mean
from .lips import CLOSED, Lips, lips_of
from .lips import faces as lip_faces
from .sounds import reference_sounds

Flags = npt.NDArray[np.bool_]

#: How far a closure may be from its sound, in seconds: a frame at 24 frames per second.
TOLERANCE: Final = 1.0 / 24.0
#: Sounds with round and with spread lips.
ROUND: Final = frozenset("UW UH OW AO AW OY W ER R SH ZH CH JH".split())
SPREAD: Final = frozenset("IY IH EY EH AE AY S Z Y".split())
#: What closes the lips, or may.
_MAY_CLOSE: Final = BILABIALS | {"W"}
#: With how many other lines the mouth of a line is compared.
_OTHERS: Final = 3
#: How far the brow's or the head's quickest moment may be from an accent, in seconds.
_ANSWER: Final = 0.15
_SAMPLES: Final = 100
#: Seconds; what changes more slowly is no speech.
_SLOW: Final = 0.6
_LOWER_IS_BETTER: Final = frozenset({"closures_elsewhere"})
_BROWS: Final = tuple(i for i, name in enumerate(ARKIT55.channels) if name.startswith("brow"))
_HEAD: Final = ARKIT55.groups["head"]


@dataclass(frozen=True, eq=False)
class Watched:
    """A mouth that is seen while a line is said.

    Attributes:
        lips: of T frames, the first at 0 s.
        timeline: when which word is said.
        fps: frames per second.
    """

    lips: Lips
    timeline: Timeline
    fps: float

    @cached_property
    def times(self) -> Floats:
        """Seconds of each frame, (T,)."""
        return np.arange(len(self.lips.width)) / self.fps

    @cached_property
    def sounds(self) -> tuple[Phoneme, ...]:
        """What is said, by espeak-ng."""
        return reference_sounds(self.timeline)

    @cached_property
    def speech(self) -> Flags:
        """Frames within a phrase, (T,)."""
        return self.near([(phrase.start, phrase.end) for phrase in self.timeline.phrases])

    def near(self, spans: Sequence[tuple[float, float]], seconds: float = 0.0) -> Flags:
        """Frames within ``seconds`` of one of ``spans``, (T,)."""
        found = np.zeros(len(self.times), bool)
        for start, end in spans:
            found |= (self.times >= start - seconds - 1e-6) & (self.times <= end + seconds + 1e-6)
        return found

    def saying(self, symbols: frozenset[str]) -> Flags:
        """Frames in which one of ``symbols`` is said; a sound shorter than a frame has the nearest one, (T,)."""
        half = 0.5 / self.fps
        said = [p for p in self.sounds if p.symbol in symbols]
        return self.near([(min(p.start, p.centre - half), max(p.end, p.centre + half)) for p in said])


@dataclass(frozen=True)
class Closures:
    """How lips close, counted over lines.

    Attributes:
        wanted, made: p, b and m of the lines, and those whose lips are closed on a frame within `TOLERANCE` of them.
        frames, right_frames: closed frames in speech, and those within `TOLERANCE` of a p, b or m.
        events, right_events: the same of runs of closed frames.
        lines, elsewhere: lines without p, b, m and w, and runs of closed frames in them.
        correlation: over lines, of the number of runs with the number of p, b and m.
    """

    wanted: int
    made: int
    frames: int
    right_frames: int
    events: int
    right_events: int
    lines: int
    elsewhere: int
    correlation: float

    @property
    def recall(self) -> float:
        """Share of p, b and m whose lips close, 0..1."""
        return _share(self.made, self.wanted)

    @property
    def precision(self) -> float:
        """Share of closed frames that belong to a p, b or m, 0..1."""
        return _share(self.right_frames, self.frames)

    @property
    def event_precision(self) -> float:
        """Share of closures that belong to a p, b or m, 0..1."""
        return _share(self.right_events, self.events)

    @property
    def per_line(self) -> float:
        """Closures in a line that has none."""
        return _share(self.elsewhere, self.lines)


def closures(mouths: Sequence[Watched]) -> Closures:
    """Counts how the lips close in at least one line."""
    rows = []
    for mouth in mouths:
        wanted = [(p.start, p.end) for p in mouth.sounds if p.symbol in BILABIALS]
        closed, near = mouth.lips.closed, mouth.near(wanted, TOLERANCE)
        seen = closed & mouth.speech
        runs = _runs(seen)
        may_close = any(p.symbol in _MAY_CLOSE for p in mouth.sounds)
        rows.append(
            {
                "wanted": len(wanted),
                "made": sum(bool((closed & mouth.near([span], TOLERANCE)).any()) for span in wanted),
                "frames": int(seen.sum()),
                "right_frames": int((seen & near).sum()),
                "events": len(runs),
                "right_events": sum(bool(near[start:end].any()) for start, end in runs),
                "lines": int(not may_close),
                "elsewhere": 0 if may_close else len(runs),
            }
        )
    counts = {name: sum(row[name] for row in rows) for name in rows[0]}
    events, wanted_of = (np.array([row[name] for row in rows]) for name in ("events", "wanted"))
    return Closures(**counts, correlation=_correlation(events, wanted_of))


def contrast(
    mouths: Sequence[Watched], measure: Callable[[Lips], Floats], more: frozenset[str], less: frozenset[str] | None
) -> float:
    """How surely ``measure`` tells frames of the sounds ``more`` from those of ``less``, 0..1; 0.5 is chance.

    The area under the ROC curve, over pairs of frames of one line, so that what a face shows all along does not count.
    ``less`` None: all other speech.
    """
    wins, pairs = 0.0, 0
    for mouth in mouths:
        values, high = measure(mouth.lips), mouth.saying(more) & mouth.speech
        low = (mouth.speech if less is None else mouth.saying(less) & mouth.speech) & ~high
        if high.any() and low.any():
            ranks = rankdata(np.concatenate([values[high], values[low]]))[: high.sum()]
            wins += float(ranks.sum()) - high.sum() * (high.sum() + 1) / 2
            pairs += int(high.sum()) * int(low.sum())
    return wins / pairs if pairs else float("nan")


def closing(mouth: Watched, said: Watched | None = None) -> float:
    """Correlation over speech of how far the lips are closed with whether p, b or m is said, -1..1.

    With ``said``, that line's sounds, stretched to this one's time from first to last: what a mouth would get that says
    something else. NaN for a line without them; 0 for lips that do not move.
    """
    other = mouth if said is None else Watched(mouth.lips, _stretched(said.timeline, mouth.timeline), mouth.fps)
    said_here = other.saying(BILABIALS)[mouth.speech]
    if said_here.all() or not said_here.any():
        return float("nan")
    return -_correlation(mouth.lips.gap[mouth.speech], said_here)


def closing_of_lines(mouths: Sequence[Watched]) -> tuple[float, float]:
    """Mean `closing` over lines, and by how much it exceeds that with the sounds of the next lines.

    A mouth that opens and closes like speech, but not like this line, has a second number of 0.
    """
    own, ahead = [], []
    for k, mouth in enumerate(mouths):
        mine = closing(mouth)
        others = [closing(mouth, mouths[(k + n) % len(mouths)]) for n in range(1, min(_OTHERS + 1, len(mouths)))]
        others = [value for value in others if np.isfinite(value)]
        if np.isfinite(mine):
            own.append(mine)
            ahead += [mine - mean(others)] if others else []
    return mean(own), mean(ahead)


def same_line(lines: Sequence[Sequence[Watched]]) -> tuple[float, float]:
    """Correlation of the lips' opening between two takes of a line, and between two lines of about the same length.

    Both over speech, sound by sound, so that takes may be timed differently, and without what changes slowly: takes of
    a line share an emotion too. Lips that move by less than `CLOSED` count as nearly still. ``lines[i][k]`` is take k
    of line i.
    """
    curves = [[_opening(take) for take in line[:2]] for line in lines]
    lengths = np.array([line[0].timeline.end - line[0].timeline.start for line in lines])
    same = [_correlation(pair[0], pair[1], CLOSED) for pair in curves if len(pair) == 2]
    other = []
    for k, pair in enumerate(curves):
        apart = np.abs(lengths - lengths[k])
        apart[k] = np.inf
        if np.isfinite(apart.min()):
            other.append(_correlation(pair[0], curves[int(apart.argmin())][0], CLOSED))
    return mean(same), mean(other)


def accents_answered(faces: Sequence[Clip], timelines: Sequence[Timeline], fps: float) -> tuple[float, float]:
    """Share of accents near which brow or head are quickest, and what the same accents at other times would get.

    Quickest: a maximum of the speed that is above its mean over the line. Near: within 0.15 s. By chance an accent is
    answered as often as a moment of the speech is near such a maximum, which is what shifting all accents round gives.
    """
    hits, chances = [], []
    for face, timeline in zip(faces, timelines, strict=True):
        if not timeline.accents:
            continue
        moments = np.concatenate([_quickest(face[:, list(columns)], fps) for columns in (_BROWS, _HEAD)])
        grid = np.arange(timeline.start, timeline.end, 0.01)
        chance = float(_near(grid, moments).mean()) if len(grid) else 0.0
        answered = _near(np.array([accent.time for accent in timeline.accents]), moments)
        hits += answered.tolist()
        chances += [chance] * len(answered)
    return mean(hits), mean(chances)


def judge_speech(lines: Sequence[Sequence[tuple[Clip, Timeline]]], fps: float) -> dict[str, float]:
    """The metrics of the group "speech": of takes of lines, each a whole face (T, 55) and when it says what.

    Of each number the worse of the two faces of `lips.faces`. All look at the first take, but `same_line`.
    """
    faces = []
    for face in lip_faces():
        mouths = [[Watched(lips_of(frames, face), timeline, fps) for frames, timeline in line] for line in lines]
        faces.append(judge_mouths(mouths))
    worst = {key: (max if key in _LOWER_IS_BETTER else min)(values[key] for values in faces) for key in faces[0]}
    firsts = [line[0] for line in lines]
    answered, chance = accents_answered([frames for frames, _ in firsts], [timeline for _, timeline in firsts], fps)
    return worst | {"accents_answered": answered - chance}


def judge_mouths(lines: Sequence[Sequence[Watched]]) -> dict[str, float]:
    """The metrics that lips alone tell, of takes of lines."""
    firsts = [line[0] for line in lines]
    counted, (own, ahead), (same, other) = closures(firsts), closing_of_lines(firsts), same_line(lines)
    return {
        "closure_recall": counted.recall,
        "closure_precision": counted.precision,
        "closure_events": counted.event_precision,
        "closures_elsewhere": counted.per_line,
        "closure_counts": counted.correlation,
        "closing": own,
        "closing_ahead": ahead,
        "same_line": same - other,
        "teeth_on_lip": contrast(firsts, lambda lips: lips.tuck, LABIODENTALS, None),
        "rounding": contrast(firsts, lambda lips: -lips.width, ROUND, SPREAD),
    }


def _quickest(values: Clip, fps: float) -> Floats:
    """Seconds at which ``values`` (T, n) change quickest."""
    speed = np.linalg.norm(np.diff(values.astype(np.float64), axis=0), axis=1)
    if len(speed) < 3 or speed.max() < 1e-6:
        return np.empty(0)
    top = (speed[1:-1] > speed[:-2]) & (speed[1:-1] >= speed[2:]) & (speed[1:-1] > speed.mean())
    return (np.flatnonzero(top) + 1.5) / fps


def _near(times: Floats, moments: Floats) -> Flags:
    if not len(moments):
        return np.zeros(len(times), bool)
    return np.asarray((np.abs(times[:, None] - moments) <= _ANSWER).any(1))


def _stretched(timeline: Timeline, like: Timeline) -> Timeline:
    """``timeline`` with its words from the first to the last sound of ``like``."""
    scale = (like.end - like.start) / max(timeline.end - timeline.start, 1e-6)
    return timeline.moved(lambda time: like.start + scale * (time - timeline.start), like.seconds)


def _opening(mouth: Watched) -> Floats:
    """How far the lips are open beyond their mean over `_SLOW` around each moment, sampled sound by sound."""
    half = max(round(0.5 * _SLOW * mouth.fps), 1)
    padded = np.pad(mouth.lips.gap, half, mode="edge")
    quick = mouth.lips.gap - np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    sounds = mouth.timeline.phonemes
    edges = [*(sound.start for sound in sounds), mouth.timeline.end]
    moments = np.interp(np.linspace(0, len(sounds), _SAMPLES), np.arange(len(edges)), edges)
    return np.interp(moments, mouth.times, quick)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Starts and ends of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _correlation(first: npt.NDArray[Any], second: npt.NDArray[Any], least: float = 1e-9) -> float:
    """Pearson's, where deviations below ``least`` count as ``least``; NaN for fewer than two values."""
    if len(first) < 2:
        return float("nan")
    deviations = [max(float(values.std()), least) for values in (first, second)]
    return float(np.mean((first - first.mean()) * (second - second.mean()))) / (deviations[0] * deviations[1])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
