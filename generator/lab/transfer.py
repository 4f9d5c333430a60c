# SPDX-License-Identifier: GPL-3.0-or-later
"""Beyond the data it learned from: texts of another source through the same tables, recorded motion beside its own."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..captures.live_link import find_recordings, read_recording
from ..captures.resample import to_clip_rate
from ..corpus.datasets import Shown
from ..corpus.reader import Corpus
from ..direction.emotions import EMOTIONS
from ..direction.requests import clean_text
from ..errors import DataError, InputError
from ..evaluation import motion
from ..evaluation.distances import Clip
from ..evaluation.implied import Implied, confusion_table, implied_lines, measure
from ..evaluation.judge import judge
from ..evaluation.kinematics import MEASURED, compared
from ..evaluation.lines import spread
from ..evaluation.plots import new_figure
from ..evaluation.systems import HeldOutLine
from ..reading import TABLE, reading
from .page import Page
from .study import MOST_LINES, SPLIT, Study

#: A frame that differs less from the one before is still.
_STILL: Final = 0.005
#: What is told of takes -> what `evaluation.judge` calls it.
_VALUES: Final = {"speed": "velocity_ratio", "jerk": "jerk_ratio", "peak": "peak", "variety": "mmodality_all",
                  "Fréchet": "frechet", "emotion followed": "emotion_followed"}  # fmt: skip
_READ: Final = ("lines", "accuracy", "balanced_accuracy", "read_as_neutral", "calibration_error")
Line = tuple[str, str]


def transfer(study: Study) -> Page:
    """See the module."""
    page = study.page("How much of what it does on its own data holds for other texts, and beside filmed faces?")
    given = study.files.get("texts")
    name = "implied.tsv" if given is None else given.name
    lines = implied_lines() if given is None else labelled_texts(given)
    filmed = _recordings(study)  # what is wrong with them is said before minutes are spent
    _reading(page, study, name, lines)
    own = _acting(page, study, name, lines)
    if filmed:
        _filmed(page, study, {"filmed": filmed, "performed": own})
    else:
        page.text("Name Live Link Face recordings with --captures to see its motion beside filmed faces.")
    return page


def labelled_texts(path: Path) -> list[Line]:
    """Emotion and text of every row of a CSV file with columns "text" and "emotion".

    Raises:
        DataError: no such file or columns, an emotion that is none of ours, or too few or too many lines.
    """
    with reading(
        path, TABLE, lambda why: DataError(f"{path} cannot be read ({why}); name a CSV file in UTF-8.")
    ) as file:
        rows = list(csv.DictReader(io.StringIO(file.text(), newline=""), strict=True))
    if not rows or not {"text", "emotion"} <= set(rows[0]):
        raise DataError(f"{path} needs a first line with the columns text and emotion, and lines below it.")
    if len(rows) > MOST_LINES:
        raise DataError(
            f"{path} has {len(rows):,} lines and lab transfer takes {MOST_LINES:,} at most; give it a part of them."
        )
    found = []
    for number, row in enumerate(rows, 2):
        emotion, text = (row["emotion"] or "").strip().lower(), (row["text"] or "").strip()
        if emotion not in EMOTIONS:
            raise DataError(
                f"{path}, line {number}: the emotion {emotion!r} is none of {', '.join(EMOTIONS)}; leave such lines "
                "out or name the nearest."
            )
        try:
            clean_text(text)
        except InputError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
        found.append((emotion, text))
    if len(found) < 2:
        raise DataError(f"{path} has one line, and lab transfer compares lines; give it more.")
    return found


def _reading(page: Page, study: Study, name: str, lines: list[Line]) -> None:
    """Emotion read from the other source's words, beside the data's own held-out lines."""
    performer: Any = getattr(study.system(), "performer", None)
    if not hasattr(performer, "emotion_probabilities"):
        page.text("This model reads no emotions from words.")
        return
    found: dict[str, Implied] = {name: measure(performer.emotion_probabilities, lines)}
    held = study.source.open(SPLIT)
    if isinstance(held, Corpus) and (labelled := held.labelled()):
        own = [(EMOTIONS[int(weights.argmax())], text) for text, weights in labelled.items()]
        own = [own[i] for i in spread(len(own), max(len(lines), 200))]
        found[f"{study.source.folder.resolve().name}, {SPLIT}"] = measure(performer.emotion_probabilities, own)
    page.heading("Emotion read from words")
    read = {source: one.measured for source, one in found.items()}
    page.measured("read", read, heads={key: key for key in _READ}, corner="source")
    table = [row.strip("| ").split(" | ") for row in confusion_table(found[name]).splitlines()]
    page.table(["asked", *table[0]], table[2:], f"{name}: rows are the label, columns what is read.")
    said = ", ".join(f"{source} {values['balanced_accuracy']:.2f}" for source, values in read.items())
    page.found(f"Emotion read (mean recall over the emotions): {said}.")


def _acting(page: Page, study: Study, name: str, lines: list[Line]) -> list[Clip]:
    """Both sources performed, their emotions asked for; returns the takes of the data's own lines."""
    system, chosen = study.system(), [lines[i] for i in spread(len(lines), len(study.lines))]
    asked = np.array([EMOTIONS.index(emotion) for emotion, _ in chosen])
    shown = np.eye(len(EMOTIONS), dtype=np.float32)[asked]
    others = [
        HeldOutLine(i, text, Shown(weights, 1.0), 0, 1000 * i + study.seed)
        for i, ((_, text), weights) in enumerate(zip(chosen, shown, strict=True))
    ]
    kept: list[Clip] = []
    rows: dict[str, dict[str, float]] = {}
    probe = study.probe if study.kind == "default" else None  # the paper's model is told no emotion
    sources = {"the data's own lines": (study.lines, study.reference.emotions), name: (others, asked)}
    for source, (held, emotions) in sources.items():
        takes = system.perform(held, 2)
        judged = judge(takes, replace(study.reference, emotions=emotions, probe=probe, timelines=()))
        rows[source] = {"lines": len(takes), **{what: judged[key] for what, key in _VALUES.items() if key in judged}}
        kept = kept or [line[0].acted for line in takes]
    page.heading("Acting")
    page.measured(
        "acted", rows, "Speed and jerk are over those of the data's own performances.", corner="performed"
    )  # fmt: skip
    own, other = rows.values()
    speed, jerk, variety = (other[key] / own[key] for key in ("speed", "jerk", "variety"))
    page.found(
        f"On {name} takes move {speed:.2f} times as fast, with {jerk:.2f} times the jerk, and two takes of a line are "
        f"{variety:.2f} times as far apart as on its own lines."
    )
    return kept


def _recordings(study: Study) -> list[Clip]:
    """The filmed faces that were named, none where none were."""
    if (folder := study.files.get("captures")) is None:
        return []
    if study.kind != "default":
        raise InputError("Recordings speak arkit55 and the paper's model flame53; leave out --captures.")
    found = find_recordings(folder)
    if not found:
        raise DataError(
            f"There are no Live Link Face recordings (.csv) in {folder}; name their folder with --captures."
        )
    return [to_clip_rate(read_recording(path)) for path in found]


def _filmed(page: Page, study: Study, seen: dict[str, list[Clip]]) -> None:
    """Moves and regions of filmed faces beside the model's."""
    page.heading("Beside filmed faces")
    page.table(
        ("region", "moves filmed / performed", *MEASURED), compared(seen["filmed"], seen["performed"]),
        "Medians, filmed / performed (and performed over filmed), of single moves at size 1: how they go in time.",
    )  # fmt: skip
    rows: dict[str, dict[str, float]] = {}
    for region, columns in study.space.groups.items():
        both = {who: motion.region_motion(clips, columns, study.space.fps) for who, clips in seen.items()}
        rows[region] = {
            f"{what}, {who}": getattr(one, key)
            for key, what in (("speed", "speed"), ("jerk", "jerk"), ("tremor", "8–12 Hz"))
            for who, one in both.items()
        }
    page.measured("filmed", rows, "Per second; what is performed has no words on its mouth.", corner="region")
    still = {who: float((motion.speeds(clips) < _STILL).mean()) for who, clips in seen.items()}
    page.result["still"] = still
    page.found(
        f"From one frame to the next the face changes by less than {_STILL:g} in {still['filmed']:.1%} of filmed and "
        f"in {still['performed']:.1%} of performed frames."
    )
    figure, axes = new_figure(9, 3, 2)
    for label, clips in seen.items():
        for axis, values in zip(axes, (motion.speeds(clips), motion.jerks(clips)), strict=True):
            if len(values := values[values > 1e-6]):
                share, edges = np.histogram(values, np.geomspace(1e-4, max(1.0, float(values.max())), 50))
                axis.stairs(share / len(values), edges, label=label)
    axes[0].set(xscale="log", xlabel="change per frame", ylabel="share of frames")
    axes[1].set(xscale="log", xlabel="third difference per frame³")
    axes[0].legend(frameon=False, fontsize=8)
    page.figure(figure, "filmed", "How fast and how roughly filmed faces and the model's move, frame by frame.")
