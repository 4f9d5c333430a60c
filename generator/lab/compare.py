# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints beside each other and beside the data: the numbers of ``evaluate``, sheets, and a blind quiz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..evaluation.judge import judge, judge_truth
from ..evaluation.systems import JudgedTake
from ..evaluation.table import GROUPS, METRICS
from .face import can_draw, sheet
from .page import Page
from .quiz import KEY, QUIZ, Shown, make_quiz
from .study import Study

#: What the data's own performances are called.
DATA: Final = "the data"
#: Metrics that are said in words.
_SAID: Final = {
    "emotion_followed": "Emotion followed, as the probe reads it",
    "mmodality_all": "How far apart two takes of a line are",
    "frechet": "Fréchet distance to the data (its own: of its other takes)",
    "jerk": "Roughness",
}
_MOMENTS: Final = np.linspace(0.06, 0.94, 8).tolist()
_SHEETS: Final = 3
Takes = dict[str, Sequence[Sequence[JudgedTake]]]


def compare(study: Study) -> Page:
    """See the module."""
    page = study.page("The same lines by every checkpoint: numbers, faces, and what people make of them.")
    takes: Takes = {DATA: study.truth}
    for name, folder in zip(study.names, study.folders, strict=True):
        takes[name] = study.system(folder).perform(study.lines, int(study.size["takes"]))
    _numbers(page, study, takes)
    count = int(study.size["quiz_lines"])
    shown = _faces(study, takes, max(_SHEETS, count))
    if not can_draw() or not shown:
        page.text(
            "No faces are drawn: run 'python3.11 build.py head' first; and faces of FLAME cannot be shown on the "
            "demo head."
        )
        return page
    page.heading("Faces")
    for number, line in enumerate(shown[:_SHEETS], 1):
        said = f"“{line.text}” ({line.emotion})"
        sheet(page, line.clips, _MOMENTS, said, f"faces{number}", f"{said}, first takes.")
    page.heading("Ask people")
    page.text(
        f"Give {QUIZ} to people, and keep {KEY}, which says whose clip is which. Every person sends back a file; "
        "'python -m generator lab compare --out THIS FOLDER --answers FILE ...' says what they answered."
    )
    html, key = make_quiz(shown[:count], study.seed)
    page.file(QUIZ, html, "the quiz")
    page.file(KEY, key)
    return page


def _numbers(page: Page, study: Study, takes: Takes) -> None:
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


def _faces(study: Study, takes: Takes, count: int) -> list[Shown]:
    """Lines of as many emotions as there are, by every system, as whole faces; none where none can be shown."""
    emotions = [line.emotion for line in study.lines]
    order = sorted(
        range(len(emotions)), key=lambda k: k != emotions.index(emotions[k])
    )  # one line of each emotion first
    found = []
    for number in order[:count]:
        clips = {}
        for name, performed in takes.items():
            take = performed[number][0]
            face = study.face_of(take.frames if study.kind == "default" else take.acted)
            if face is None:
                return []
            clips[name] = face
        found.append(Shown(study.lines[number].text, emotions[number], clips))
    return found
