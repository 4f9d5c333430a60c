# SPDX-License-Identifier: GPL-3.0-or-later
"""How single moves of a face go in time: rise, fall, peak speed and acceleration of what a channel does.

A move is what a channel does from a low to the next high (rise), or back (fall), of at least `LEAST`. Speed and
acceleration are of a move of size 1, so what is compared are shapes in time, not how far somebody moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..shared.spaces import ARKIT55

Floats = npt.NDArray[np.float64]

#: Region -> starts of the names of its channels. Lids and blinks are one channel, so a blink counts as a lid's move.
REGIONS: Final = {
    "brows": ("brow",),
    "cheeks, nose": ("cheekSquint", "noseSneer", "eyeSquint"),
    "blinks": ("eyeBlink",),
    "mouth": ("mouthSmile", "mouthFrown", "mouthPress", "mouthStretch", "mouthShrug", "mouthDimple", "mouthUpper"),
}
#: Smallest move that counts, and how far a move may turn back without being over.
LEAST: Final = 0.15
_BACK: Final = 0.03
_BLINK: Final = 0.45
#: A move is over where its speed is below this share of its peak: what creeps on is a hold.
_STILL: Final = 0.15


@dataclass(frozen=True)
class Moves:
    """Rises and falls of a region: seconds from 10 to 90 % of each, and peak speed and acceleration at size 1."""

    rises: Floats
    falls: Floats
    speeds: Floats
    accelerations: Floats

    def row(self) -> tuple[float, float, float, float]:
        """Medians: rise (s), fall (s), peak speed (1/s), peak acceleration (1/s²)."""
        parts = (self.rises, self.falls, self.speeds, self.accelerations)
        return tuple(float(np.median(part)) if len(part) else float("nan") for part in parts)  # type: ignore[return-value]


def moves_of(clips: Sequence[npt.NDArray[Any]], columns: Sequence[int], least: float, smooth: bool) -> Moves:
    """All moves of at least ``least`` in ``columns`` of clips (T, C) at 24 frames a second.

    ``smooth`` both sides alike: what a tracker adds from frame to frame would count as acceleration.
    """
    fps = ARKIT55.fps
    rises: list[float] = []
    falls: list[float] = []
    speeds, accelerations = [], []
    for clip in clips:
        for column in columns:
            values = clip[:, column].astype(np.float64)
            if smooth:
                values = np.convolve(np.pad(values, 1, "edge"), (0.25, 0.5, 0.25), "valid")
            for start, end in _monotone(values):
                size = values[end] - values[start]
                if abs(size) < least or end - start < 1:
                    continue
                part = (values[max(start - 1, 0) : end + 2] - values[start]) / size
                share = (values[start : end + 1] - values[start]) / size
                fine = np.interp(np.linspace(0.0, end - start, 20 * (end - start) + 1), np.arange(len(share)), share)
                seconds = float(((fine > 0.9).argmax() - (fine > 0.1).argmax()) / (20.0 * fps))
                (rises if size > 0.0 else falls).append(seconds)
                speeds.append(float(np.abs(np.diff(part)).max()) * fps)
                accelerations.append(float(np.abs(np.diff(part, n=2)).max()) * fps * fps if len(part) > 2 else np.nan)
    found = (np.array(x) for x in (rises, falls, speeds, accelerations))
    return Moves(*(x[np.isfinite(x)] for x in found))


def _monotone(values: Floats) -> list[tuple[int, int]]:
    """The move between a turning point and the next: around its quickest frame while it is not nearly still.

    What turns back by less than `_BACK` goes on.
    """
    spans, start, far = [], 0, 0
    for i in range(1, len(values)):
        direction = np.sign(values[far] - values[start]) or np.sign(values[i] - values[start])
        if direction * (values[i] - values[far]) > 0.0:
            far = i
        elif direction * (values[far] - values[i]) > _BACK:
            spans.append((start, far))
            start, far = far, i
    spans.append((start, far))
    return [_quick_part(values, *span) for span in spans if span[1] > span[0]]


def _quick_part(values: Floats, start: int, end: int) -> tuple[int, int]:
    speed = np.abs(np.diff(values[start : end + 1]))
    peak = int(speed.argmax())
    still = np.flatnonzero(speed < _STILL * speed[peak])
    before, after = still[still < peak], still[still > peak]
    return start + (int(before[-1]) + 1 if len(before) else 0), start + (int(after[0]) if len(after) else len(speed))


#: What `Moves.row` holds.
MEASURED: Final = ("rise (s)", "fall (s)", "peak speed (1/s)", "peak acceleration (1/s²)")


def compared(filmed: Sequence[npt.NDArray[Any]], acted: Sequence[npt.NDArray[Any]]) -> list[tuple[str, ...]]:
    """Per region: its name, moves filmed / acted, and medians of `MEASURED`, filmed / acted (acted's share)."""
    rows = []
    for region, starts in REGIONS.items():
        columns = [i for i, name in enumerate(ARKIT55.channels) if name.startswith(starts)]
        least = _BLINK if region == "blinks" else LEAST
        both = [moves_of(clips, columns, least, region != "blinks") for clips in (filmed, acted)]
        cells = [f"{a:.2f} / {b:.2f} ({b / a:.2f})" for a, b in zip(*(m.row() for m in both), strict=True)]
        counts = " / ".join(str(len(m.speeds)) for m in both)
        rows.append((region, counts, *cells))
    return rows
