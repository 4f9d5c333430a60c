# SPDX-License-Identifier: GPL-3.0-or-later
"""The actor's resting face: nobody's is the zero vector, and no phone stands exactly in front of the nose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..shared.spaces import ARKIT55
from .live_link import NEUTRAL, read_recording
from .settings import SETTINGS, CaptureSettings

_PERCENTILE: Final = 5
#: Beyond this a "resting" coefficient is an expression, and taking it away would leave too little of the scale.
_MOST: Final = 0.6
#: A resting face this far from zero is worth a warning: coefficients, and radians of the head.
_NOTABLE, _NOTABLE_TURN = 0.2, 0.15


@dataclass(frozen=True)
class Rest:
    """A resting face in the channels of `ARKIT55`, (55,)."""

    face: npt.NDArray[np.float64]

    def remove(self, frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``frames`` (T, 55) with the resting face at zero; a coefficient of 1 stays 1, so closed lids stay closed."""
        moved = frames - self.face
        moved[:, :52] /= 1.0 - self.face[:52]
        return moved.astype(np.float32)


def resting_face(
    folder: Path, settings: CaptureSettings, recordings: list[npt.NDArray[np.float32]]
) -> tuple[Rest, list[str]]:
    """The resting face that ``settings`` asks for, and sentences of doubt.

    Args:
        folder: may hold neutral.csv, a recording of the resting face; its mean counts.
        settings: of the folder.
        recordings: frames (T, 55) of all takes, not limited.
    """
    everything = np.concatenate(recordings).astype(np.float64)
    typical = np.percentile(everything, _PERCENTILE, axis=0)
    typical[52:] = np.median(everything[:, 52:], axis=0)
    path = folder / NEUTRAL
    if settings.rest == "auto" and path.is_file():
        face = read_recording(path, settings.timecode_fps).values.mean(axis=0)
        face[52:] *= settings.head
    elif settings.rest == "percentile":
        face = typical
    else:
        return Rest(np.zeros(ARKIT55.size)), _doubts(typical)
    face[:52] = np.clip(face[:52], 0.0, _MOST)
    return Rest(face), []


def _doubts(typical: npt.NDArray[np.float64]) -> list[str]:
    strong = int(typical[:52].argmax())
    turned = 52 + int(np.abs(typical[52:]).argmax())
    for column, most in ((strong, _NOTABLE), (turned, _NOTABLE_TURN)):
        if abs(typical[column]) > most:
            return [
                f"The resting face is not neutral ({ARKIT55.channels[column]} stays near {typical[column]:.2f}); "
                f'record a few still seconds as {NEUTRAL}, or put {{"rest": "percentile"}} into {SETTINGS}.'
            ]
    return []
