# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks from one take to another, from one emotion to another, from calm to extreme: is every step a small one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from ..direction.requests import MAX_INTENSITY, LineRequest, Vary
from ..evaluation.distances import Clip, distance
from ..evaluation.systems import HeldOutLine
from ..performing.load import load_performer
from .face import can_draw, sheet
from .page import Page, curves
from .study import Study

#: Rows of a sheet at most.
_ROWS: Final = 5
#: Where an emotion leads: of another kind, so that the walk is a long one.
_AWAY: Final = {"joy": "sadness", "sadness": "joy", "anger": "affection", "fear": "pride", "neutral": "surprise"}
_HEADS: Final = {"walks": "walks", "length": "length", "straight": "straight", "largest": "largest step / mean",
                 "onward": "steps onward"}  # fmt: skip


@dataclass(frozen=True)
class Walk:
    """Takes along a way.

    Attributes:
        kind: "takes", "emotions" or "intensities".
        title: from where to where.
        places: where each take is on the way.
        requests: of each.
    """

    kind: str
    title: str
    places: tuple[float, ...]
    requests: list[LineRequest]


def walks(line: HeldOutLine, count: int, kind: str) -> list[Walk]:
    """The walks of a line, ``count`` takes each; the paper's model, told nothing, walks between takes only."""
    emotion = line.emotion if kind == "default" else "auto"
    # Every take has the words at the same times, so that what differs is how they are said.
    ask = LineRequest(line.text, emotion, seed=line.seed).validated()
    other, to = line.seed + 1, _AWAY.get(emotion, "anger")
    shares, strengths = (tuple(np.linspace(0, end, count).tolist()) for end in (1, MAX_INTENSITY))
    found = [
        Walk("takes", f"from take {line.seed} to take {other}", shares,
             [replace(ask, seed=other, vary=Vary(line.seed, share)) for share in shares]),
        Walk("emotions", f"from {emotion} to {to}", shares,
             [replace(ask, emotion_with=to, share=share) for share in shares]),
        Walk("intensities", f"{emotion}, from intensity 0 to {MAX_INTENSITY:g}", strengths,
             [replace(ask, intensity=strength) for strength in strengths]),
    ]  # fmt: skip
    return found if kind == "default" else found[:1]


def smoothness(clips: Sequence[Clip]) -> dict[str, float]:
    """How even a walk is.

    Returns:
        ``straight``: distance of its ends over the length of the way, 1 for a straight line; ``largest``: the largest
        step over the mean one, 1 where all are alike; ``onward``: share of steps that lead farther from the start.
    """
    steps = [distance(a, b) for a, b in pairwise(clips)]
    far = [distance(clips[0], clip) for clip in clips]
    length = max(float(np.sum(steps)), 1e-9)
    return {
        "straight": far[-1] / length,
        "largest": float(np.max(steps)) / (length / len(steps)),
        "onward": float(np.mean(np.diff(far) > 0)),
        "length": length,
    }


def traverse(study: Study) -> Page:
    """See the module."""
    page = study.page("Does a small step on the way change the face a little?")
    performer, steps = load_performer(study.folder), int(study.size["walk"])
    seen: dict[str, list[dict[str, float]]] = {}
    page.heading("Sheets")
    for number, line in enumerate(study.lines, 1):
        for walk in walks(line, steps, study.kind):
            takes = performer.perform(walk.requests)
            seen.setdefault(walk.kind, []).append(smoothness([_acted(one) for one in takes]))
            _sheet(page, study, walk, [np.asarray(one.take(0)) for one in takes], f"{walk.kind}{number}", line.text)
    rows = {
        kind: {"walks": len(found), **{key: float(np.mean([one[key] for one in found])) for key in found[0]}}
        for kind, found in seen.items()
    }
    page.heading("Smoothness along the way")
    page.measured(
        "means", rows,
        "Straight: distance of the ends over the length of the way, 1 for a line. Largest step over the mean one: 1 "
        "where all steps are alike; one jump in a walk of n steps gives n.", _HEADS, "walk",
    )  # fmt: skip
    page.result["walks"] = seen
    kind, worst = max(rows.items(), key=lambda row: row[1]["largest"])
    page.found(
        f"The most uneven walk is that between {kind}: its largest step is {worst['largest']:.1f} times the mean one "
        f"({steps - 1} would be a single jump), and {worst['onward']:.0%} of its steps lead onward."
    )
    if not can_draw():
        page.text("Faces are drawn where the demo head has been baked: run 'python3.11 build.py head'.")
    return page


def _acted(clips: Any) -> Clip:
    return np.asarray(clips.take(0) if clips.timeline(0) is None else clips.performance(0))


def _sheet(page: Page, study: Study, walk: Walk, clips: Sequence[Clip], name: str, line: str) -> None:
    """Takes as rows, moments as columns; curves of the channels that move most where faces cannot be drawn."""
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(_ROWS, len(clips))).round().astype(int))
    shown = {f"{walk.places[k]:.2f}": clips[k] for k in chosen}
    faces = {place: face for place, clip in shown.items() if (face := study.face_of(clip)) is not None}
    caption = f"“{line}”, {walk.kind}: {walk.title}; rows are places on the way, columns moments of the line."
    if can_draw() and faces:
        moments = np.linspace(0.08, 0.92, int(study.size["moments"])).tolist()
        sheet(page, faces, moments, f"“{line}”: {walk.title}", name, caption)
    else:
        curves(page, {place: [clip] for place, clip in shown.items()}, study.space, name, caption)
