# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up recordings in the layout of Live Link Face. They hold nobody's face."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from generator.corpus.teacher import perform
from generator.direction.emotions import emotion_weights
from generator.shared.spaces import ARKIT55, ARKIT_CHANNELS
from generator.writing import write_whole

_ROTATIONS: Final = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw",
                     "RightEyePitch", "RightEyeRoll")  # fmt: skip
#: Texts and emotions of `make_captures`.
MADE_LINES: Final = (
    ("You kept it, after all these years!", "joy"),
    ("I never said that.", "sadly_angry"),
    ("Where is everybody?", "fear"),
    ("The train leaves at ten, and I will be on it.", ""),
    ("I miss her so much.", "sadness"),
    ("Get out of my house!", "anger"),
)


def make_captures(folder: Path, lines: Sequence[tuple[str, str]] = MADE_LINES, seed: int = 0) -> Path:
    """Write takes of the teacher as if they had been filmed: a folder per take, 60 fps, some frames dropped.

    Returns:
        ``folder``, with ``transcripts.csv``.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "text", "emotion"])
    for number, (text, emotion) in enumerate(lines, start=1):
        frames = perform(text, emotion_weights(emotion or "neutral"), 1.0, seed + number)
        name = f"MySlate_{number}_iPhone"
        write_recording(folder / f"20250101_MySlate_{number}" / f"{name}.csv", frames, seed=seed + number)
        writer.writerow([name, text, emotion])
    write_whole(folder / "transcripts.csv", table.getvalue().encode())
    return folder


def write_recording(
    path: Path,
    frames: npt.NDArray[np.float32],
    fps: float = 60.0,
    start: float = 14 * 3600 + 3 * 60 + 52.4701,
    dropped: float = 0.02,
    seed: int = 0,
    header: str = "BlendshapeCount",
) -> Path:
    """Write one recording of a clip.

    Args:
        path: the .csv file.
        frames: in the space arkit55 at 24 frames per second, (T, 55).
        fps: rows per second, and frames that a timecode counts.
        start: time of day of the first row, seconds.
        dropped: share of rows that are missing.
        seed: chooses the missing rows.
        header: name of the second column; the app's versions differ.
    """
    curve = PchipInterpolator(np.arange(len(frames)) / ARKIT55.fps, frames, axis=0)
    times = np.arange(int((len(frames) - 1) / ARKIT55.fps * fps + 1e-6) + 1) / fps
    keep = np.random.default_rng(seed).random(len(times)) >= dropped
    keep[[0, -1]] = True
    head = {f"Head{name}": ARKIT55.column(f"head{name}") for name in ("Yaw", "Pitch", "Roll")}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["Timecode", header, *(c[0].upper() + c[1:] for c in ARKIT_CHANNELS), *_ROTATIONS])
    for time, values in zip(times[keep], curve(times[keep]), strict=True):
        rotations = [values[head[name]] if name in head else 0.0 for name in _ROTATIONS]
        numbers = (f"{v:.10f}" for v in (*values[: len(ARKIT_CHANNELS)], *rotations))
        writer.writerow([_timecode(start + float(time), fps), len(ARKIT_CHANNELS) + len(_ROTATIONS), *numbers])
    data = out.getvalue().encode()
    write_whole(path, data)
    return path


def _timecode(time: float, fps: float) -> str:
    """``HH:MM:SS:FF.fff``, past midnight from 00:00 on again."""
    seconds = int(time)
    frame = min((time - seconds) * fps, fps - 0.001)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame:06.3f}"
