# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks from one take to another, from one emotion to another, from calm to extreme: is every step a small one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..direction.requests import MAX_INTENSITY, LineRequest, Vary
from ..evaluation.distances import Clip, distance
from ..evaluation.plots import new_figure
from ..evaluation.systems import HeldOutLine
from .face import can_draw, draw_face
from .page import Page
from .study import Study

#: Pixels of a face on a sheet, and rows at most.
_CELL: Final = 104
_ROWS: Final = 5
#: Where an emotion leads: of another kind, so that the walk is a long one.
_AWAY: Final = {"joy": "sadness", "sadness": "joy", "anger": "affection", "fear": "pride", "neutral": "surprise"}


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
    requests: tuple[LineRequest, ...]


def walks(line: HeldOutLine, count: int, kind: str) -> list[Walk]:
    """The walks of a line, ``count`` takes each; the paper's model, told nothing, walks between takes only."""
    emotion = line.emotion if kind == "default" else "auto"
    # Every take has the words at the same times, so that what differs is how they are said.
    ask = LineRequest(line.text, emotion, seed=line.seed).validated()
    shares = tuple(np.linspace(0, 1, count).tolist())
    other = line.seed + 1
    found = [
        Walk("takes", f"from take {line.seed} to take {other}", shares,
             tuple(replace(ask, seed=other, vary=Vary(line.seed, share)) for share in shares))
    ]  # fmt: skip
    if kind == "default":
        to = _AWAY.get(emotion, "anger")
        found.append(
            Walk("emotions", f"from {emotion} to {to}", shares,
                 tuple(replace(ask, emotion_with=to, share=share) for share in shares))
        )  # fmt: skip
        strengths = tuple(np.linspace(0, MAX_INTENSITY, count).tolist())
        found.append(
            Walk("intensities", f"{emotion}, from intensity 0 to {MAX_INTENSITY:g}", strengths,
                 tuple(replace(ask, intensity=strength) for strength in strengths))
        )  # fmt: skip
    return found


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
    performer: Any = getattr(study.system(), "performer", None) or _paper_performer(study)
    jumps: dict[str, list[dict[str, float]]] = {}
    for number, line in enumerate(study.lines):
        for walk in walks(line, int(study.size["walk"]), study.kind):
            takes = performer.perform(list(walk.requests))
            clips = [_acted(one) for one in takes]
            jumps.setdefault(walk.kind, []).append(smoothness(clips))
            name = f"{walk.kind}{number + 1}"
            if number == 0 and walk.kind == "takes":
                page.heading("Sheets")
            _sheet(page, study, walk, [np.asarray(one.take(0)) for one in takes], name, line.text)
    rows: list[tuple[Any, ...]] = [
        (
            kind,
            len(values),
            *(float(np.mean([v[key] for v in values])) for key in ("length", "straight", "largest", "onward")),
        )
        for kind, values in jumps.items()
    ]
    page.heading("Smoothness along the way")
    page.table(
        ("walk", "walks", "length", "straight", "largest step / mean", "steps onward"),
        rows,
        "Straight: distance of the ends over the length of the way, 1 for a line. Largest step over the mean one: 1 "
        "where all "
        "steps are alike; one jump in a walk of n steps gives n.",
    )
    page.result["walks"] = jumps
    worst = max(rows, key=lambda row: row[4])
    steps = int(study.size["walk"]) - 1
    page.found(
        f"The most uneven walk is that between {worst[0]}: its largest step is {worst[4]:.1f} times the mean one "
        f"({steps} would be a single jump), and {worst[5]:.0%} of its steps lead onward."
    )
    if not can_draw():
        page.text("Faces are drawn where the demo head has been baked: run 'python3.11 build.py head'.")
    return page


def _paper_performer(study: Study) -> Any:
    from ..performing.load import load_performer

    return load_performer(study.folder, "cpu")


def _acted(clips: Any) -> Clip:
    return np.asarray(clips.take(0) if clips.timeline(0) is None else clips.performance(0))


def faces_of(study: Study, clip: Clip) -> npt.NDArray[np.float32] | None:
    """``clip`` as frames of arkit55, (T, 55), where the demo head can show them; None for faces of FLAME."""
    if study.kind == "default":
        return clip
    return study.projection.back(clip) if study.is_projected else None


def _sheet(page: Page, study: Study, walk: Walk, clips: Sequence[Clip], name: str, line: str) -> None:
    """Takes as rows, moments as columns; curves of the channels that move most where faces cannot be drawn."""
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(_ROWS, len(clips))).round().astype(int))
    faces = [faces_of(study, clips[k]) for k in chosen]
    labels = [f"{walk.places[k]:.2f}" for k in chosen]
    if can_draw() and all(face is not None for face in faces):
        moments = np.linspace(0.08, 0.92, int(study.size["moments"]))
        drawn = [
            [draw_face(face[int(m * (len(face) - 1))], _CELL) for m in moments] for face in faces if face is not None
        ]
        picture = np.concatenate([np.concatenate(row, 1) for row in drawn])
        figure, (axis,) = new_figure(picture.shape[1] / 110 + 0.6, picture.shape[0] / 110 + 0.7)
        axis.imshow(picture)
        axis.set_yticks(_CELL * (np.arange(len(labels)) + 0.5), labels, fontsize=8)
        axis.set_xticks(_CELL * (np.arange(len(moments)) + 0.5), [f"{m:.0%}" for m in moments], fontsize=7)
        axis.spines[:].set_visible(False)
    else:
        figure, axes = new_figure(10, 1.2 * len(chosen), 1, len(chosen), sharex=True, sharey=True)
        columns = np.argsort(np.concatenate(list(clips)).var(0))[::-1][:3]
        for axis, k, label in zip(axes, chosen, labels, strict=True):
            axis.plot(np.arange(len(clips[k])) / study.space.fps, clips[k][:, columns], linewidth=1)
            axis.set_ylabel(label, fontsize=8)
        axis = axes[0]
    axis.set_title(f"“{line}”: {walk.title}", fontsize=9, loc="left")
    page.figure(figure, name, f"{walk.kind}: {walk.title}; rows are places on the way, columns moments of the line.")
