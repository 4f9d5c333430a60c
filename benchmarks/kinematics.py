# SPDX-License-Identifier: GPL-3.0-or-later
"""How the teacher's face moves beside a filmed one: velocity, acceleration, rise and fall of single moves.

    python -m benchmarks.kinematics ../shared/captures

The recordings are Live Link Face .csv files. Only numbers of how moves go in time are taken from them. What a move is:
`generator.evaluation.kinematics`. Compared are shapes in time, since actors who show the range of their face move
farther than people who talk, and those only of what both do: brows, cheeks and nose, lids, mouth. There is no speech
in the recordings and their heads do not turn: speech is left out on both sides, and heads are not compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.captures.live_link import find_recordings, read_recording
from generator.captures.resample import to_clip_rate
from generator.corpus.direction import ActingDirection
from generator.corpus.teacher import act_timed
from generator.corpus.texts import builtin_lines
from generator.direction.emotions import EMOTIONS
from generator.evaluation.kinematics import MEASURED, compared
from generator.shared.spaces import ARKIT55


def table(filmed: Sequence[npt.NDArray[Any]], acted: Sequence[npt.NDArray[Any]]) -> str:
    """The comparison as Markdown: medians, and the teacher's share of the filmed value."""
    head = ["| region | moves filmed / acted | " + " | ".join(MEASURED) + " |", "|---" * 6 + "|"]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in compared(filmed, acted))])


def acted_clips(takes: int, intensity: float) -> list[npt.NDArray[np.float32]]:
    """The performance layer of the teacher, all emotions, spoken and silent in turn."""
    lines = [line.text for line in builtin_lines().lines]
    return [
        act_timed(
            lines[(7 * take + 31 * number) % len(lines)],
            ActingDirection.named(emotion, intensity=intensity, role="speaking" if take % 2 == 0 else "silent"),
            take,
        ).performance
        for number, emotion in enumerate(EMOTIONS)
        for take in range(takes)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("captures", type=Path, help="a folder with Live Link Face .csv files")
    parser.add_argument("--takes", type=int, default=10, help="of every emotion")
    parser.add_argument("--intensity", type=float, default=1.0)
    options = parser.parse_args()
    filmed = [to_clip_rate(read_recording(path)) for path in find_recordings(options.captures)]
    print(
        f"{sum(map(len, filmed)) / ARKIT55.fps:.0f} s filmed, {14 * options.takes} takes acted; filmed / acted (share)"
    )
    print(table(filmed, acted_clips(options.takes, options.intensity)))


if __name__ == "__main__":
    main()
