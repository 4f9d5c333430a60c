# SPDX-License-Identifier: GPL-3.0-or-later
"""An evaluation from end to end: choose lines, perform them, judge the takes, write the report."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..corpus.datasets import Performances
from ..direction.emotions import full_vector
from ..errors import InputError
from ..model.text import DEFAULT_ENCODER
from ..training.data_source import DataSource
from ..writing import write_whole
from . import entries, rollouts
from .judge import Reference, judge, judge_truth
from .lines import Chosen, Settings, choose_lines, emotions_of, pure_indices, spread
from .paper_system import PaperSystem
from .plots import Plotted, write_plots
from .probe import EmotionProbe, balanced_accuracy
from .report import Report, Row
from .sounds import can_read
from .systems import JudgedTake, System
from .teacher_forced import paper_perplexity

#: Clips of the train split the emotion probe is fitted to.
_PROBE_CLIPS: Final = 3000


def evaluate(folders: Sequence[Path], data: str, out: Path, settings: Settings) -> Report:
    """Judge checkpoints on a data set and write ``report.json``, ``report.md``, plots and takes into ``out``.

    Args:
        folders: checkpoints; may be empty when ``settings.baselines``.
        data: as `DataSource.parse` takes it.
        out: made if missing. Takes that are there from an earlier, interrupted run are used.
        settings: what is asked.

    Raises:
        InputError, DataError, CheckpointError, EnvironmentProblem: a sentence that says what to do.
    """
    settings = settings.validated()
    if not folders and not settings.baselines:
        raise InputError("There is nothing to judge: name a checkpoint, or leave out --no-baselines.")
    source = DataSource.parse(data)
    train, held_out = source.open("train"), source.open(settings.split)
    chosen, kept = choose_lines(held_out, settings), out / "takes"
    judged = [
        entries.ground_truth(source, held_out),
        *entries.checkpoints(folders, held_out.space.name, settings),
        *(entries.untrained(train, settings, kept) if settings.baselines else ()),
    ]
    takes = [rollouts.perform(entry, chosen.lines, settings.takes, kept) for entry in judged]
    reference = _reference(takes[0], chosen, train, held_out)
    others = [train.frames(index) for index in _train_indices(train, len(chosen.lines))]
    rows = [Row(judged[0].name, judged[0].kind, judged[0].identity, judge_truth(takes[0], reference, others))]
    for entry, performed in zip(judged[1:], takes[1:], strict=True):
        values = judge(performed, reference)
        details: dict[str, Any] = {}
        if entry.folder is not None:
            more, details = _beside_takes(entry.load(), chosen, held_out, reference, settings.seed)
            values |= more
        rows.append(Row(entry.name, entry.kind, entry.identity, values, details))
    plotted = [
        Plotted(row.name, row.kind, row.values, [line[0].acted for line in performed])
        for row, performed in zip(rows, takes, strict=True)
    ]
    report = Report(
        _data(source, settings.split, train, held_out),
        {
            "lines": len(chosen.lines),
            "takes": settings.takes,
            "temperature": settings.temperature,
            "seed": settings.seed,
            "text_encoder": settings.text_encoder or DEFAULT_ENCODER,
        },
        rows,
        [*chosen.notes, *_notes(source, settings)],
        write_plots(plotted, reference, out) if _can_plot() else {},
    )
    text, table = json.dumps(report.as_json(), indent=1, ensure_ascii=False), report.as_markdown()
    write_whole(out / "report.json", text.encode())
    write_whole(out / "report.md", table.encode())
    return report


def _reference(
    takes: Sequence[Sequence[JudgedTake]], chosen: Chosen, train: Performances, held_out: Performances
) -> Reference:
    """The ground truth's takes and, where the data names emotions, a probe fitted to the train split."""
    reference = Reference.of(takes, held_out.space)
    if chosen.emotions is None:
        return reference
    indices = pure_indices(train, _PROBE_CLIPS)
    emotions = emotions_of(train, indices)
    if len(np.unique(emotions)) < 2:
        return reference
    probe = EmotionProbe([train.frames(index) for index in indices], emotions)
    return replace(reference, emotions=chosen.emotions, probe=probe)


def _train_indices(train: Performances, count: int) -> list[int]:
    """As many train clips as lines are asked, chosen as they are (`choose_lines`)."""
    return pure_indices(train, count) or spread(len(train), count)


def _beside_takes(
    system: System, chosen: Chosen, held_out: Performances, reference: Reference, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Numbers of a checkpoint that its takes do not tell, and their details."""
    if isinstance(system, PaperSystem):
        return paper_perplexity(system.checkpoint, [line.text for line in chosen.lines], reference.clips, seed), {}
    if measured := _emotion_from_text(system, held_out):
        return {"emotion_from_text": measured["balanced_accuracy"]}, {"emotion_from_text": measured}
    return {}, {}


def _emotion_from_text(system: System, held_out: Performances) -> dict[str, float]:
    """How often the words of a labelled line give its emotion, over all held-out lines; {} where none is labelled."""
    rows: list[dict[str, Any]] = getattr(held_out, "lines", [])
    labelled = {row["text"]: row.get("feelings", row["weights"]) for row in rows if row.get("labelled")}
    performer: Any = getattr(system, "performer", None)
    if not labelled or not hasattr(performer, "emotion_probabilities"):
        return {}
    guess = performer.emotion_probabilities(list(labelled)).argmax(-1)
    truth = np.stack([full_vector(weights) for weights in labelled.values()]).argmax(-1)
    return {
        "accuracy": round(float((guess == truth).mean()), 4),
        "balanced_accuracy": round(balanced_accuracy(guess, truth), 4),
        "lines": len(truth),
    }


def _data(source: DataSource, split: str, train: Performances, held_out: Performances) -> dict[str, Any]:
    return {
        "kind": source.kind,
        "name": source.folder.resolve().name,
        "split": split,
        "space": held_out.space.name,
        "fps": held_out.space.fps,
        "performances": len(held_out),
        "train_performances": len(train),
    }


def _notes(source: DataSource, settings: Settings) -> list[str]:
    notes = []
    if source.kind == "corpus" and settings.takes > 1:
        notes.append("The ground truth's other takes of a line are by the teacher that made the corpus.")
    if source.kind != "corpus":
        notes.append("The data has one take of each line, so the ground truth has no metrics of takes.")
    if not _can_plot():
        notes.append("There are no plots, because this Python has no matplotlib.")
    if settings.baselines:
        notes.append(
            "Corpus mean, random sequence, shuffled frames and nearest text need no training; they are taken from the "
            "train split and are told neither emotion nor length. Static poses are told the emotion."
        )
    if not can_read():
        notes.append("Speech is not judged: espeak-ng, which reads the lines for the judges, is not installed.")
    return notes


def _can_plot() -> bool:
    # Asked beforehand: hours of takes should not end in a missing package.
    return importlib.util.find_spec("matplotlib") is not None
