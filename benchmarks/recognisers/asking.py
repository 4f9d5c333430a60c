# SPDX-License-Identifier: GPL-3.0-or-later
"""Subjects pose, recognisers answer; every answer is kept at once, so that a run goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from generator.corpus.texts import builtin_lines, everyday_lines, split_of
from generator.direction.requests import LineRequest, clean_text
from generator.training.data_source import DataSource

from .pictures import Studio, crops_of, is_blank
from .protocol import EMOTIONS, INTENSITIES, MOMENTS, PROTOTYPES, TAKE_VIEW, VERSION, VIEWS, pose_of
from .readers import Reader
from .scores import Answers

Array = npt.NDArray[Any]
#: Of takes, only the first few of each emotion leave their pictures.
_SHOWN: Final = 3
_BATCH: Final = 16


class BlankError(Exception):
    """Nothing was rendered, so there is nothing to judge."""


class Notebook:
    """Answers by picture, kept in a file of JSON lines."""

    def __init__(self, path: Path, readers: Sequence[Reader]) -> None:
        self._path, self._readers = path, readers
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
        self.answers: dict[str, dict[str, list[float]]] = {row.pop("picture"): row for row in rows}

    def ask(self, name: str, picture: Image.Image, keep: Path | None = None) -> None:
        """Show a close-up to every recogniser. BlankError where no face can be in it."""
        if is_blank(picture):
            raise BlankError(f"{name}: the picture is empty or black; is the head in front of the camera?")
        crops = crops_of(picture)
        row = {r.name: np.mean([r.read(c) for c in crops], axis=0).round(4).tolist() for r in self._readers}
        if keep is not None:
            keep.parent.mkdir(parents=True, exist_ok=True)
            picture.save(keep)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"picture": name, **row}) + "\n")
        self.answers[name] = row


@dataclass(frozen=True)
class Script:
    """Takes to show: ``name`` -> what it shows and the whole face, (T, 55)."""

    emotions: dict[str, str]
    faces: dict[str, Array]
    note: str


def ask_prototypes(studio: Studio, readers: Sequence[Reader], out: Path) -> dict[str, Answers]:
    """Recogniser -> its answers to the textbook's faces from every view."""
    subject = studio.subject
    notebook = Notebook(_file(out, "prototypes", studio), readers)
    wanted = [(emotion, units) for emotion, sets in PROTOTYPES.items() for units in sets]
    poses = np.stack([pose_of(units) for _, units in wanted])
    names = {
        (row, view): f"{emotion} {'+'.join(map(str, units)) or 'rest'} {view[0]:g} {view[1]:g} {view[2]}"
        for row, (emotion, units) in enumerate(wanted)
        for view in VIEWS
    }
    missing = [key for key in names if names[key] not in notebook.answers]
    for row in subject.play(poses, sorted({row for row, _ in missing})):
        for view in (view for of, view in missing if of == row):
            name = names[row, view]
            notebook.ask(name, studio.picture(*view), out / "pictures" / subject.name / f"{name.replace(' ', '_')}.png")
    truth = [wanted[row][0] for row, _ in names]
    return {r.name: Answers.of(truth, [notebook.answers[n][r.name] for n in names.values()]) for r in readers}


def ask_takes(studio: Studio, readers: Sequence[Reader], script: Script, out: Path, label: str) -> dict[str, Answers]:
    """Recogniser -> its answers to takes, each the mean over the moments."""
    subject = studio.subject
    notebook = Notebook(_file(out, f"takes-{label}", studio), readers)
    asked: dict[str, list[str]] = {}
    for take, face in script.faces.items():
        rows = [round(moment * (len(face) - 1)) for moment in MOMENTS]
        asked[take] = [f"{take} {row}" for row in rows]
        missing = [row for row, name in zip(rows, asked[take], strict=True) if name not in notebook.answers]
        if not missing:
            continue
        shown = int(take.rsplit(" ", 1)[-1]) < _SHOWN
        for row in subject.play(face, missing):
            name = f"{take} {row}"
            keep = out / "pictures" / subject.name / f"{label}_{name.replace(' ', '_')}.png" if shown else None
            notebook.ask(name, studio.picture(*TAKE_VIEW), keep)
    return {
        r.name: Answers.of(
            [script.emotions[take] for take in asked],
            [np.mean([notebook.answers[n][r.name] for n in names], axis=0) for names in asked.values()],
        )
        for r in readers
    }


def perform(checkpoint: Path, data: str, count: int, intensity: float) -> Script:
    """``count`` takes of each emotion, of the same held-out lines and with seeds of their own."""
    from generator.performing.load import load_performer  # brings torch: not where the judge's tests run

    texts, note = held_out(data, count)
    # Line by line, so that a run that was stopped has as many of each emotion.
    wanted = [(e, n) for n in range(count) for e in EMOTIONS]
    requests = [
        LineRequest(texts[n % len(texts)], emotion, intensity, seed=1000 * EMOTIONS.index(emotion) + n, timing=n)
        for emotion, n in wanted
    ]
    performer = load_performer(checkpoint, "cpu")
    faces: list[Array] = []
    for first in range(0, len(requests), _BATCH):
        batch = [request.validated() for request in requests[first : first + _BATCH]]
        faces += [clips.take(0) for clips in performer.perform(batch)]
    names = [f"{emotion} {n}" for emotion, n in wanted]
    return Script(
        dict(zip(names, (emotion for emotion, _ in wanted), strict=True)), dict(zip(names, faces, strict=True)), note
    )


def held_out(data: str, count: int) -> tuple[list[str], str]:
    """Lines that no checkpoint was trained on, and a sentence that says which.

    Of the test split of a corpus where there is one; else our own few that `split_of` holds back, again and again.
    """
    if data:
        split = DataSource.parse(data).open("test")
        texts = sorted({clean_text(split.text(index))[0] for index in range(len(split))})
        np.random.default_rng(0).shuffle(texts)  # the same first lines, however many are asked for
        chosen = texts[:count]
        return chosen, f"{len(chosen)} lines of the test split of {data}"
    own = [line.text for lines in (builtin_lines(), everyday_lines()) for line in lines.lines]
    chosen = [text for text in own if split_of(text) != "train"][:count]
    return (
        chosen,
        f"{len(chosen)} of our own lines outside the train split, each up to {-(-count // len(chosen))} times",
    )


def intensities(only: float | None) -> tuple[float, ...]:
    """Those of the protocol, or one."""
    return INTENSITIES if only is None else (only,)


def _file(out: Path, what: str, studio: Studio) -> Path:
    subject = studio.subject
    engine = studio.engine.removeprefix("BLENDER_").lower()
    return out / "answers" / f"{subject.name}-{what}-{subject.identity}-{engine}-v{VERSION}.jsonl"
