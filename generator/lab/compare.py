# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints beside each other and beside the data: the numbers of ``evaluate``, sheets, and a blind quiz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..errors import InputError
from ..evaluation.judge import judge, judge_truth
from ..evaluation.plots import new_figure
from ..evaluation.systems import JudgedTake
from ..evaluation.table import GROUPS, METRICS
from .face import can_draw, draw_face
from .page import Page
from .quiz import KEY, QUIZ, Shown, make_quiz
from .study import Study
from .traverse import faces_of

#: What the data's own performances are called.
DATA: Final = "the data"
#: Metrics that are said in words.
_SAID: Final = {
    "emotion_followed": "Emotion followed, as the probe reads it",
    "mmodality_all": "How far apart two takes of a line are",
    "frechet": "Fréchet distance to the data (its own: of its other takes)",
    "jerk": "Roughness",
}
_CELL, _MOMENTS, _SHEETS = 104, 8, 3


def compare(study: Study) -> Page:
    """See the module."""
    if len(set(study.folders)) < len(study.folders):
        raise InputError("A checkpoint is named twice; name each once.")
    page = study.page("The same lines by every checkpoint: numbers, faces, and what people make of them.")
    takes: dict[str, Sequence[Sequence[JudgedTake]]] = {DATA: study.truth}
    for name, folder in zip(study.names, study.folders, strict=True):
        takes[name] = study.system(folder).perform(study.lines, int(study.size["takes"]))
    _numbers(page, study, takes)
    shown = _faces(study, takes, max(_SHEETS, int(study.size["quiz_lines"])))
    if not can_draw() or not shown:
        page.text(
            "No faces are drawn: run 'python3.11 build.py head' first; and faces of FLAME cannot be shown on the "
            "demo head."
        )
        return page
    _sheets(page, shown[:_SHEETS])
    html, key = make_quiz(shown[: int(study.size["quiz_lines"])], study.seed)
    page.file(QUIZ, html)
    page.file(KEY, key)
    page.heading("Ask people")
    page.text(
        f"Give {QUIZ} to people, and keep {KEY}, which says whose clip is which. Every person sends back a file; "
        "'python -m generator lab compare --out THIS FOLDER --answers FILE ...' says what they answered."
    )
    page.link(QUIZ, "the quiz")
    return page


def _numbers(page: Page, study: Study, takes: dict[str, Sequence[Sequence[JudgedTake]]]) -> None:
    values = {
        name: judge_truth(performed, study.reference, []) if name == DATA else judge(performed, study.reference)
        for name, performed in takes.items()
    }
    page.result["metrics"] = values
    for key, what in _SAID.items():
        said = ", ".join(f"{name} {found[key]:.3g}" for name, found in values.items() if key in found)
        if said:
            page.found(f"{what}: {said}.")
    for group, title in GROUPS.items():
        rows = [
            (metric.heading, *(found.get(metric.key) for found in values.values()), metric.sentence)
            for metric in METRICS
            if metric.group == group and any(metric.key in found for found in values.values())
        ]
        if rows:
            page.heading(title)
            page.table(("", *values, ""), rows)


def _faces(study: Study, takes: dict[str, Sequence[Sequence[JudgedTake]]], count: int) -> list[Shown]:
    """Lines of as many emotions as there are, by every system, as whole faces."""
    order, seen = [], set()
    for number, line in enumerate(study.lines):  # first one line of each emotion
        if line.emotion not in seen:
            seen.add(line.emotion)
            order.append(number)
    order += [number for number in range(len(study.lines)) if number not in order]
    found = []
    for number in order[:count]:
        line = study.lines[number]
        clips = {
            name: faces_of(
                study, performed[number][0].frames if study.kind == "default" else performed[number][0].acted
            )
            for name, performed in takes.items()
        }
        if any(clip is None for clip in clips.values()):
            return []
        found.append(Shown(line.text, line.emotion, {k: v for k, v in clips.items() if v is not None}))
    return found


def _sheets(page: Page, shown: Sequence[Shown]) -> None:
    page.heading("Faces")
    moments = np.linspace(0.06, 0.94, _MOMENTS)
    for number, line in enumerate(shown, 1):
        rows = [
            np.concatenate([draw_face(clip[int(m * (len(clip) - 1))], _CELL) for m in moments], 1)
            for clip in line.clips.values()
        ]
        picture = np.concatenate(rows)
        figure, (axis,) = new_figure(picture.shape[1] / 110 + 1.2, picture.shape[0] / 110 + 0.6)
        axis.imshow(picture)
        axis.set_yticks(_CELL * (np.arange(len(rows)) + 0.5), list(line.clips), fontsize=8)
        axis.set_xticks([])
        axis.spines[:].set_visible(False)
        axis.set_title(f"“{line.text}” ({line.emotion})", fontsize=9, loc="left")
        page.figure(figure, f"faces{number}", f"“{line.text}” ({line.emotion}), first takes.")
