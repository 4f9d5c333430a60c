# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts: at which frames the lines of a scene begin, by the rule that each of them has (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..performance.record import too_far
from ..sentences import told

Rule = Literal["AFTER", "FRAME", "MARKER", "SOUND"]

#: How long a line takes that was never performed, to show roughly where the next one will be: seconds, and per letter.
_BEFORE, _LETTER = 0.8, 0.065


@dataclass(frozen=True)
class Cue:
    """When a line begins.

    Attributes:
        id: of the entry.
        rule: AFTER another line, at a FRAME, at a MARKER, with a SOUND strip.
        frame: for FRAME.
        after: id of the other line; "" for the one before it in the list.
        pause: seconds between that one's end and this one's start; below 0 it begins before the other ends.
        name: of the marker or the strip.
        length: frames from its first to its last.
    """

    id: str
    rule: Rule
    frame: int = 1
    after: str = ""
    pause: float = 0.0
    name: str = ""
    length: int = 1


def guessed(text: str, fps: float) -> int:
    """Frames of a line that was never performed, roughly."""
    return round(fps * (_BEFORE + _LETTER * len(text)))


def starts(
    cues: Sequence[Cue], fps: float, first: int, markers: Mapping[str, int], sounds: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, str]]:  # fmt: skip
    """The frames at which lines begin.

    Args:
        cues: in the order of the list.
        fps: frames per second of the scene.
        first: where a line begins that comes after nothing.
        markers, sounds: name -> frame.

    Returns:
        id -> frame, and id -> why a line has none, a sentence: its marker, strip or line is not there, or the lines
        that it comes after come after it themselves.
    """
    known: dict[str, int] = {}
    wrong: dict[str, str] = {}
    by_id = {cue.id: cue for cue in cues}
    before = {cue.id: cues[k - 1].id if k else "" for k, cue in enumerate(cues)}

    def comes_after(cue: Cue) -> str:
        return (cue.after or before[cue.id]) if cue.rule == "AFTER" else ""

    for cue in cues:
        chain: list[Cue] = []
        there: dict[str, int] = {}
        while cue.id not in known and cue.id not in wrong and cue.id not in there:
            there[cue.id] = len(chain)
            chain.append(cue)
            other = comes_after(cue)
            if other not in by_id:
                break
            cue = by_id[other]
        if cue.id in there and comes_after(cue) in there:  # the rest of the chain goes round
            for one in chain[there[cue.id] :]:
                wrong[one.id] = told(
                    "This line begins after a line that begins after it. Let one of them begin at a frame."
                )
        for one in reversed(chain):
            if one.id not in wrong:
                _settle(one, comes_after(one), by_id, fps, first, markers, sounds, known, wrong)
    return known, wrong


def _settle(
    cue: Cue, other: str, by_id: Mapping[str, Cue], fps: float, first: int, markers: Mapping[str, int],
    sounds: Mapping[str, int], known: dict[str, int], wrong: dict[str, str],
) -> None:  # fmt: skip
    """The start of one line, where those that it depends on are settled."""
    if cue.rule == "FRAME":
        known[cue.id] = cue.frame
    elif cue.rule == "AFTER":
        if other in known:
            known[cue.id] = after(known[other] + by_id[other].length, cue.pause, fps)
        elif other in wrong:
            wrong[cue.id] = told("The line that this one begins after has no start yet.")
        elif other:
            wrong[cue.id] = told("The line that this one begins after is not there any more. Choose another.")
        else:
            known[cue.id] = first
    else:
        places = markers if cue.rule == "MARKER" else sounds
        if cue.name in places:
            known[cue.id] = places[cue.name]
        elif cue.rule == "MARKER":
            wrong[cue.id] = told("There is no marker called {name!r} in this scene. Choose another.", name=cue.name)
        else:
            wrong[cue.id] = told("There is no sound strip called {name!r} in this scene.", name=cue.name)
    if cue.id in known and (reason := too_far(known[cue.id])):
        del known[cue.id]
        wrong[cue.id] = reason


def after(end: int, pause: float, fps: float) -> int:
    """The first frame of a line that follows one whose last frame is ``end``; they share none unless they overlap."""
    return end + (max(1, round(pause * fps)) if pause >= 0 else round(pause * fps))


def pause_between(end: int, start: int, fps: float) -> float:
    """The pause, in seconds, with which `after` leads from an end to a start."""
    return round((start - end) / fps, 4)
