# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes for ``benchmarks.lips``: held-out lines under every emotion and several intensities, in one file.

    python -m benchmarks.lip_clips teacher --xed XED_DIR --out runs/lips/teacher.npz
    python -m benchmarks.lip_clips generator/checkpoints/default --xed XED_DIR --out runs/lips/default.npz

Lines are those of the test split, which no checkpoint has seen; without other texts our own few.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from generator.corpus.build import gather_lines
from generator.corpus.direction import ActingDirection
from generator.corpus.teacher import act_timed
from generator.corpus.texts import split_of
from generator.direction.emotions import EMOTIONS
from generator.direction.requests import LineRequest
from generator.shared.timeline import Timeline

INTENSITIES: Final = (0.5, 1.0, 1.5)
#: Lines are said fast and slowly too.
_RATES: Final = (1.0, 1.35, 0.75)


@dataclass(frozen=True, eq=False)
class Said:
    """One take: ``performance`` (T, 55) at 24 frames per second, when it says what, and under which direction."""

    performance: npt.NDArray[np.float32]
    timeline: Timeline
    scale: float
    emotion: str
    intensity: float


def main() -> None:
    """Perform and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", help="a folder, or 'teacher'")
    parser.add_argument("--xed", type=Path)
    parser.add_argument("--goemotions", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=1, help="of every emotion and intensity, each on other lines")
    options = parser.parse_args()
    lines, _ = gather_lines(options.xed, options.goemotions)
    texts = [line.text for line in lines if split_of(line.text) == "test"]
    np.random.default_rng(0).shuffle(texts)
    wanted = [(e, i) for _ in range(options.rounds) for i in INTENSITIES for e in EMOTIONS]
    perform = _acted if options.checkpoint == "teacher" else _performed
    write(options.out, list(perform(options.checkpoint, texts, wanted)))
    print(options.out)


def _acted(_: str, texts: Sequence[str], wanted: Sequence[tuple[str, float]]) -> Iterator[Said]:
    for number, (emotion, intensity) in enumerate(wanted):
        acted = act_timed(texts[number % len(texts)], ActingDirection.named(emotion, intensity=intensity), number)
        if acted.timeline is not None:
            yield Said(acted.performance, acted.timeline, acted.loudness, emotion, intensity)


def _performed(folder: str, texts: Sequence[str], wanted: Sequence[tuple[str, float]]) -> Iterator[Said]:
    from generator.performing.load import load_performer

    requests = [
        LineRequest(
            texts[n % len(texts)], emotion, intensity, seed=n, rate=_RATES[n % len(_RATES)], timing=n
        ).validated()
        for n, (emotion, intensity) in enumerate(wanted)
    ]
    for clips, (emotion, intensity) in zip(load_performer(Path(folder)).perform(requests), wanted, strict=True):
        timeline = clips.timeline(0)
        if timeline is not None:
            yield Said(clips.performance(0), timeline, clips.speech_scale, emotion, intensity)


def write(path: Path, takes: Sequence[Said]) -> None:
    """One file of many takes."""
    about = [
        {"timeline": t.timeline.to_json(), "scale": t.scale, "emotion": t.emotion, "intensity": t.intensity}
        for t in takes
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        performances=np.concatenate([take.performance for take in takes]),
        lengths=np.array([len(take.performance) for take in takes]),
        about=np.array(json.dumps(about)),
    )


def read(path: Path) -> list[Said]:
    """The takes of a file."""
    with np.load(path, allow_pickle=False) as file:
        parts = np.split(file["performances"], np.cumsum(file["lengths"])[:-1])
        about: list[dict[str, Any]] = json.loads(str(file["about"]))
    return [
        Said(part, Timeline.from_json(row["timeline"]), row["scale"], row["emotion"], row["intensity"])
        for part, row in zip(parts, about, strict=True)
    ]


if __name__ == "__main__":
    main()
