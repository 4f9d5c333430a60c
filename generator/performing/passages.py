# SPDX-License-Identifier: GPL-3.0-or-later
"""When each passage of a line is performed, and how emotion and intensity move over the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ..conditioning import turned
from ..direction.brackets import SILENCE
from ..direction.script import Part, WeightsOf
from ..shared.easing import minimum_jerk
from .asked import SILENT, Asked
from .continuity import OVERLAP_SECONDS, SKIP_SECONDS, Passage

#: Shortest part of a passage that is its own, in seconds.
_SHORTEST: Final = 1.0
#: Speech is stretched so far to fill a length that is asked for; then the face goes on in silence.
_STRETCH: Final = 1.15
#: Longest silent passage, in seconds.
_SILENT_SECONDS: Final = 5.0
#: An emotion moves to the other one between these shares of its span, where two passages are blended;
_MOVE_BEGIN, _MOVE_END = 0.3, 0.7
#: or it turns at this share, where the decoder performs the move: as the teacher's takes do (median 0.49, nine in ten
#: between 0.42 and 0.59 of their length).
_TURN_AT: Final = 0.48

Floats = npt.NDArray[np.float32]


def own_frames(frames: Sequence[int], fps: float) -> list[int]:
    """Frames of the take that each passage has for itself, when decoded alone it would last ``frames``.

    A passage's skipped beginning and the overlap with the next one are taken off.
    """
    skip, overlap = round(SKIP_SECONDS * fps), round(OVERLAP_SECONDS * fps)
    last = len(frames) - 1
    return [
        max(count - (skip if k else 0) - (overlap if k < last else 0), round(_SHORTEST * fps))
        if last
        else count
        for k, count in enumerate(frames)
    ]  # fmt: skip


def fitted(own: Sequence[int], total: int) -> list[int]:
    """``own`` frames scaled in proportion to add up to ``total``."""
    edges = np.round(np.cumsum([0, *own]) * (total / sum(own))).astype(int)
    return [int(n) for n in np.maximum(np.diff(edges), 1)]


def filled(parts: tuple[Part, ...], own: Sequence[int], total: int, fps: float) -> tuple[tuple[Part, ...], list[int]]:
    """Parts and own frames, with silent passages at the end where ``total`` frames are much longer than the line."""
    room = total - _STRETCH * sum(own)
    count = int(np.ceil(room / (_SILENT_SECONDS * fps)))
    if room < fps or count < 1:
        return parts, list(own)
    silent = replace(parts[-1], text=SILENCE)
    return (*parts, *[silent] * count), [*own, *[max(1, round(room / count))] * count]


def passages(
    parts: tuple[Part, ...],
    own: Sequence[int],
    fps: float,
    weights_of: WeightsOf,
    energy: float = 1.0,
    speaking: bool = True,
    *,
    turns: bool = False,
    layered: bool = False,
) -> tuple[Passage, ...]:
    """The passages of a take in which part k has ``own[k]`` frames for itself.

    ``turns``: the decoder can be told when an emotion moves on (`ModelConfig.knows_when`), so that a passage which
    moves all the way turns at a moment. ``layered``: what they say is a layer of its own.
    """
    overlap = round(OVERLAP_SECONDS * fps)
    edges = np.cumsum([0, *own])
    result = []
    for k, part in enumerate(parts):
        start, skip = int(edges[k]), round(SKIP_SECONDS * fps) if k else 0
        end = int(edges[k + 1]) + (min(overlap, own[k + 1]) if k + 1 < len(parts) else 0)
        at = np.arange(start - skip, end)
        members = [j for j, other in enumerate(parts) if other.span == part.span] if part.span else range(len(parts))
        begin, finish = int(edges[members[0]]), int(edges[members[-1] + 1])
        if turns and len(members) == 1:
            moved = turned((at - (begin + _TURN_AT * (finish - begin))) / fps)
        else:
            moved = _moved(at, begin, finish)
        speaks = speaking and part.text != SILENCE
        told = 1.0 if speaks else SILENT
        first = Asked(part.weights(weights_of), part.intensity, energy, told)
        last = first
        if part.emotion_to is not None:
            last = Asked(part.weights_to(weights_of), part.intensity_to, energy, told)
        else:
            moved = np.zeros_like(moved)
        result.append(Passage(part.text, start, skip, first, last, moved, layered and speaks))
    return tuple(result)


def _moved(at: npt.NDArray[np.int64], begin: int, end: int) -> Floats:
    share = (at - begin) / max(end - begin, 1)
    return minimum_jerk(((share - _MOVE_BEGIN) / (_MOVE_END - _MOVE_BEGIN)).astype(np.float32))
