# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion from words that do not name it: 280 test lines (``implied.tsv``), 20 of each emotion.

They are never trained on and choose nothing. ``python -m generator.evaluation.implied CHECKPOINT`` measures what is
ready.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..direction.emotions import EMOTIONS
from ..engine.files import DEFAULT_CHECKPOINT
from ..errors import DataError, GeneratorError
from ..performing.load import load_engine

LINES: Final = Path(__file__).with_name("implied.tsv")
#: Calibrated probabilities over `EMOTIONS` of lines, (B, 14).
Read = Callable[[list[str]], npt.NDArray[np.float32]]
_BATCH: Final = 40
_BINS: Final = 10


@dataclass(frozen=True)
class Implied:
    """What was read of the test lines.

    Attributes:
        texts, truth: the lines and the number of the emotion of each, (L,).
        probabilities: that were read, (L, 14).
    """

    texts: tuple[str, ...]
    truth: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    @property
    def guess(self) -> npt.NDArray[np.int64]:
        """The likeliest emotion of each line, (L,); where several are, the first."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    @property
    def accuracy(self) -> float:
        """Share of lines that are read right."""
        return float((self.guess == self.truth).mean())

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """How many lines of each emotion (rows) are read as which (columns), (14, 14)."""
        table = np.zeros((len(EMOTIONS), len(EMOTIONS)), np.int64)
        np.add.at(table, (self.truth, self.guess), 1)
        return table

    @property
    def measured(self) -> dict[str, Any]:
        """Accuracy, mean recall of the emotions, how many feelings are read as neutral, expected calibration error."""
        sure = self.probabilities.max(1)
        gap = sure - (self.guess == self.truth)
        bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
        felt, table = self.truth != 0, self.confusion
        recalls = {name: float(table[k, k] / table[k].sum()) for k, name in enumerate(EMOTIONS) if table[k].sum()}
        return {
            "lines": len(self.texts),
            "accuracy": round(self.accuracy, 4),
            "balanced_accuracy": round(float(np.mean(list(recalls.values()))), 4),
            "read_as_neutral": round(float((self.guess[felt] == 0).mean()), 4),
            "calibration_error": round(sum(abs(float(gap[bins == b].sum())) for b in range(_BINS)) / len(gap), 4),
            "recall": {name: round(value, 3) for name, value in recalls.items()},
        }

    def misread(self) -> list[tuple[str, str, str]]:
        """The lines that are read wrong: line, emotion, and what was read."""
        pairs = zip(self.texts, self.truth, self.guess, strict=True)
        return [(text, EMOTIONS[truth], EMOTIONS[guess]) for text, truth, guess in pairs if truth != guess]


def implied_lines(path: Path = LINES) -> list[tuple[str, str]]:
    """The test lines: emotion and line. DataError when the file is damaged."""
    try:
        rows = [row.split("\t") for row in path.read_text("utf-8").splitlines() if row]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); install the repository again.") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[0] not in EMOTIONS or not row[1]:
            raise DataError(f"{path.name}, line {number}: expected an emotion, a tab and a line, found {row}.")
    return [(emotion, line) for emotion, line in rows]


def measure(read: Read, lines: Sequence[tuple[str, str]] | None = None) -> Implied:
    """What ``read`` makes of the test lines (or of others: emotion and line)."""
    lines = implied_lines() if lines is None else lines
    texts = [text for _, text in lines]
    read_rows = [np.asarray(read(texts[i : i + _BATCH]), np.float32) for i in range(0, len(texts), _BATCH)]
    truth = np.array([EMOTIONS.index(emotion) for emotion, _ in lines], np.int64)
    return Implied(tuple(texts), truth, np.concatenate(read_rows))


def confusion_table(found: Implied) -> str:
    """The confusion as a table in Markdown: rows are what is implied, columns what is read."""
    head = ["", *(name[:5] for name in EMOTIONS)]
    rows = [[name, *(str(n or "·") for n in row)] for name, row in zip(EMOTIONS, found.confusion, strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a checkpoint and print JSON, or say in a sentence why not."""
    parser = argparse.ArgumentParser(prog="python -m generator.evaluation.implied", description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="a checkpoint folder; by default the bundled one")
    parser.add_argument("--misread", action="store_true", help="print the confusion and the lines that are misread too")
    options = parser.parse_args(arguments)
    try:
        engine, _ = load_engine(options.checkpoint or DEFAULT_CHECKPOINT)
        found = measure(engine.emotions)
    except GeneratorError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found.measured, indent=1))
    if options.misread:
        print(confusion_table(found))
        for text, truth, guess in found.misread():
            print(f"{truth} read as {guess}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
