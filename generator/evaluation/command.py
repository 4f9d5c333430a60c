# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator evaluate``: free-running takes of held-out lines against the teacher's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..clips import write_atomically
from ..emotions import BASIC_EMOTIONS
from . import metrics
from .metrics import Clip

if TYPE_CHECKING:
    from ..corpus.reader import Corpus
    from ..performer import Performer

#: Clips of the train split the emotion probe is fitted to.
_PROBE_CLIPS: Final = 3000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder made by 'corpus'")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where report.json and report.md go")
    parser.add_argument("--lines", type=int, default=200, help="held-out lines (default 200)")
    parser.add_argument("--takes", type=int, default=4, help="takes per line (default 4)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--device", default="auto")


def run(options: argparse.Namespace) -> None:
    """Write ``report.json`` and ``report.md``."""
    from ..corpus.reader import Corpus
    from ..performer import Performer

    performer = Performer.load(options.checkpoint, options.device)
    report = evaluate(
        performer,
        Corpus.open(options.data, "train"),
        Corpus.open(options.data, "test"),
        options.lines,
        options.takes,
        options.temperature,
    )
    table = markdown(report)
    write_atomically(options.out / "report.json", lambda file: file.write(json.dumps(report, indent=1).encode()))
    write_atomically(options.out / "report.md", lambda file: file.write(table.encode()))
    print(table)


@dataclass(frozen=True)
class _Rollout:
    """Takes of one held-out line and what was asked for."""

    takes: list[Clip]
    emotion: int
    teacher_frames: int


def evaluate(
    performer: Performer, train: Corpus, test: Corpus, lines: int, takes: int, temperature: float
) -> dict[str, Any]:
    """Metrics of the teacher's held-out clips and of the checkpoint's free-running takes of the same lines.

    Every line is performed with the emotion and intensity of the teacher's clip. ``emotion followed`` is what a probe
    fitted to train clips reads off the motion; its value in the teacher's row is the probe's own ceiling.
    """
    from .probe import EmotionProbe

    probe = EmotionProbe(*_pure_clips(train, _PROBE_CLIPS))
    chosen = _pure_indices(test, lines)
    rollouts = [_roll_out(performer, test, i, takes, temperature) for i in chosen]
    teacher = [test.clip(i)[3] for i in chosen]
    asked = np.array([r.emotion for r in rollouts])
    firsts = [r.takes[0] for r in rollouts]
    blink = (performer.checkpoint.generator.decoder.space.column("eyeBlinkLeft"),
             performer.checkpoint.generator.decoder.space.column("eyeBlinkRight"))  # fmt: skip
    fps = performer.checkpoint.generator.decoder.space.fps
    train_clips = [train.clip(i)[3] for i in _pure_indices(train, len(chosen))]

    def row(clips: Sequence[Clip]) -> dict[str, float]:
        return {
            "diversity": metrics.diversity(clips),
            "variation": metrics.variation(clips),
            "peak": metrics.peak(clips),
            "fgd": metrics.frame_change(clips),
            "jerk": metrics.jerk(clips),
            "blinks_per_minute": metrics.blinks_per_minute(clips, blink, fps),
            "end_norm": metrics.end_norm(clips),
            "frechet": metrics.frechet(clips, teacher),
            "emotion_followed": float((probe.read(clips) == asked).mean()),
        }

    teacher_row = row(teacher)
    teacher_row["frechet"] = metrics.frechet(train_clips, teacher)
    teacher_row["multimodality"] = metrics.multimodality([_teacher_takes(test, i, takes) for i in chosen])
    model_row = row(firsts)
    model_row["multimodality"] = metrics.multimodality([r.takes for r in rollouts])
    model_row["length_error_seconds"] = float(
        np.mean([abs(len(t) - r.teacher_frames) / fps for r in rollouts for t in r.takes])
    )
    labelled = {line["text"]: line["weights"] for line in test.lines if line["labelled"]}
    guess = performer.emotion_probabilities(list(labelled)).argmax(-1)
    truth = np.array(list(labelled.values())).argmax(-1)
    recalls = [(guess[truth == k] == k).mean() for k in range(len(BASIC_EMOTIONS)) if (truth == k).any()]
    return {
        "checkpoint": performer.checkpoint.name,
        "lines": len(chosen),
        "takes": takes,
        "temperature": temperature,
        "teacher": {k: round(v, 4) for k, v in teacher_row.items()},
        "model": {k: round(v, 4) for k, v in model_row.items()},
        "emotion_from_text": {
            "accuracy": round(float((guess == truth).mean()), 4),
            "balanced_accuracy": round(float(np.mean(recalls)), 4),
            "lines": len(truth),
        },
    }


def _pure_indices(corpus: Corpus, count: int) -> list[int]:
    """The first ``count`` clips that show one basic emotion at a natural intensity."""
    pure = [i for i, line in enumerate(corpus.lines) if max(line["weights"]) > 0.99 and 0.6 <= line["intensity"] <= 1.3]
    return pure[:count]


def _pure_clips(corpus: Corpus, count: int) -> tuple[list[Clip], npt.NDArray[np.int64]]:
    indices = _pure_indices(corpus, count)
    emotions = np.array([int(np.argmax(corpus.lines[i]["weights"])) for i in indices])
    return [corpus.clip(i)[3] for i in indices], emotions


def _teacher_takes(corpus: Corpus, index: int, takes: int) -> list[Clip]:
    """Other takes by the teacher of the line, emotion and intensity of a clip."""
    from ..corpus.teacher import perform

    text, weights, intensity, _ = corpus.clip(index)
    return [perform(text, weights, intensity, 1000 * index + k) for k in range(takes)]


def _roll_out(performer: Performer, corpus: Corpus, index: int, takes: int, temperature: float) -> _Rollout:
    from ..requests import LineRequest

    text, weights, intensity, frames = corpus.clip(index)
    emotion = int(weights.argmax())
    request = LineRequest(text, BASIC_EMOTIONS[emotion], intensity, takes, 1000 * index, temperature).validated()
    (clips,) = performer.perform([request])
    return _Rollout([clips.take(k) for k in range(takes)], emotion, len(frames))


def markdown(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    names = list(report["model"])
    rows = [
        f"{report['lines']} held-out lines x {report['takes']} takes, temperature {report['temperature']}",
        "",
        "| | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for name in ("teacher", "model"):
        rows.append(f"| {name} | " + " | ".join(str(report[name].get(k, "–")) for k in names) + " |")
    text = report["emotion_from_text"]
    rows += ["", f"Emotion from text: {text['balanced_accuracy']} balanced accuracy over {text['lines']} lines."]
    return "\n".join(rows) + "\n"
