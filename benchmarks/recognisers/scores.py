# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers are worth: balanced shares, mean probabilities, intervals, and judges that must fail (no `bpy`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .protocol import EMOTIONS

Array = npt.NDArray[Any]
_DRAWS: Final = 2000
_NEUTRAL: Final = EMOTIONS.index("neutral")


@dataclass(frozen=True)
class Answers:
    """What one recogniser said.

    Attributes:
        truth: what each picture or take shows, (n,), indices of `EMOTIONS`.
        given: probabilities, (n, 7).
    """

    truth: Array
    given: Array

    @classmethod
    def of(cls, truth: Sequence[str], given: Sequence[Sequence[float]] | Array) -> Answers:
        """From names of emotions."""
        return cls(np.array([EMOTIONS.index(name) for name in truth]), np.asarray(given, np.float64))

    def without(self, emotion: str) -> Answers:
        """Without what shows an emotion, which stays a possible answer."""
        kept = self.truth != EMOTIONS.index(emotion)
        return Answers(self.truth[kept], self.given[kept])


def confusion(answers: Answers) -> Array:
    """Row: shown, column: read; shares, (7, 7); rows of emotions that are not shown are NaN."""
    table = np.full((len(EMOTIONS), len(EMOTIONS)), np.nan)
    for emotion in np.unique(answers.truth):
        read = answers.given[answers.truth == emotion].argmax(1)
        table[emotion] = np.bincount(read, minlength=len(EMOTIONS)) / len(read)
    return table


def balanced_share(answers: Answers) -> float:
    """Mean over the emotions shown of the share that is read as such."""
    return float(np.nanmean(np.diag(confusion(answers))))


def mean_probability(answers: Answers) -> float:
    """Mean over the emotions shown of the probability given to them."""
    own = answers.given[np.arange(len(answers.truth)), answers.truth]
    return float(np.mean([own[answers.truth == emotion].mean() for emotion in np.unique(answers.truth)]))


def interval(answers: Answers) -> tuple[float, float]:
    """95 % of the balanced share when the takes of each emotion are drawn again."""
    rng = np.random.default_rng(0)
    right = answers.given.argmax(1) == answers.truth
    parts = [right[answers.truth == emotion] for emotion in np.unique(answers.truth)]
    shares = [rng.choice(part, (_DRAWS, len(part))).mean(1) for part in parts]
    low, high = np.percentile(np.mean(shares, axis=0), (2.5, 97.5))
    return float(low), float(high)


def shuffled_share(answers: Answers) -> float:
    """The balanced share when what is shown is dealt out at random: 1/7 from a judge that can fail."""
    rng = np.random.default_rng(0)
    return float(np.mean([balanced_share(Answers(rng.permutation(answers.truth), answers.given)) for _ in range(200)]))


def rest_share(answers: Answers) -> float:
    """The balanced share of a head that shows its rest whatever is asked: 1/7 again."""
    rest = answers.given[answers.truth == _NEUTRAL]
    return balanced_share(Answers(np.repeat(np.arange(len(EMOTIONS)), len(rest)), np.tile(rest, (len(EMOTIONS), 1))))


def swapped_share(answers: Answers) -> float:
    """The balanced share of a head that shows the next emotion of `EMOTIONS` instead."""
    return balanced_share(Answers((answers.truth + 1) % len(EMOTIONS), answers.given))


def summary(answers: Answers) -> dict[str, Any]:
    """Everything about one recogniser's answers, ready for JSON."""
    less = answers.without("anger")
    table = confusion(answers)
    return {
        "count": len(answers.truth),
        "right": balanced_share(answers),
        "interval": interval(answers),
        "probability": mean_probability(answers),
        "right_without_anger": balanced_share(less),
        "interval_without_anger": interval(less),
        "probability_without_anger": mean_probability(less),
        "each": dict(zip(EMOTIONS, np.diag(table).round(3).tolist(), strict=True)),
        "confusion": table.round(3).tolist(),
        "checks": {
            "shuffled": shuffled_share(answers),
            "rest": rest_share(answers),
            "swapped": swapped_share(answers),
        },
    }


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Summaries by name as a Markdown table."""
    lines = [
        "| what | recogniser | right | without anger | mean probability | " + " | ".join(EMOTIONS) + " |",
        "|---" * (5 + len(EMOTIONS)) + "|",
    ]
    for name, row in rows.items():
        what, _, reader = name.rpartition(", ")
        spans = [
            f"{row[key]:.2f} ({row[span][0]:.2f}–{row[span][1]:.2f})"
            for key, span in (("right", "interval"), ("right_without_anger", "interval_without_anger"))
        ]
        each = " | ".join(f"{share:.2f}" for share in row["each"].values())
        chance = f"{row['probability']:.2f}, {row['probability_without_anger']:.2f}"
        lines.append(f"| {what} | {reader} | {spans[0]} | {spans[1]} | {chance} | {each} |")
    return lines


def checks_table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What the same answers are worth when they should be worth nothing."""
    lines = ["| | labels shuffled | rest for every emotion | the next emotion shown |", "|---|---|---|---|"]
    for name, row in rows.items():
        checks = row["checks"]
        lines.append(f"| {name} | {checks['shuffled']:.2f} | {checks['rest']:.2f} | {checks['swapped']:.2f} |")
    return lines
