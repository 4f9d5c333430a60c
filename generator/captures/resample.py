# SPDX-License-Identifier: GPL-3.0-or-later
"""From the frames of a recording to the frames of a clip: 24 per second, by time, without losing a blink."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.signal import find_peaks, firwin, resample_poly

from ..shared.spaces import ARKIT55
from .live_link import Recording

#: The recording is laid on a grid that 24, 30 and 60 frames per second divide.
_GRID: Final = 120
_DOWN: Final = round(_GRID / ARKIT55.fps)
#: Low-pass below half of the clip's frame rate, a third of a second long, so that a fast move does not ring.
_TAPS: Final = 41
#: Recordings up to this rate hold nothing that 24 frames per second could not.
_SLOW_RECORDING: Final = 26.0
_LIDS: Final = [ARKIT55.column("eyeBlinkLeft"), ARKIT55.column("eyeBlinkRight")]
#: How much a lid must close and open again to be a blink.
_BLINK: Final = 0.2
#: The two lids close within this many seconds of each other.
_TOGETHER: Final = 0.035


def to_clip_rate(recording: Recording) -> npt.NDArray[np.float32]:
    """Frames at 24 per second from the first row on, float32 (T, 55), not limited.

    Rows are placed by their timecode, so that missing ones do not speed the face up; between rows runs a monotone cubic
    (no overshoot). A low-pass keeps what is faster than 12 Hz from turning into something else. A blink of 100 ms would
    lose a third of its depth to that and to the grid, so the frame nearest to a blink's peak is given the peak.
    """
    between = PchipInterpolator(recording.times, recording.values, axis=0)
    count = round(recording.seconds * ARKIT55.fps) + 1
    frames: npt.NDArray[np.float64]
    if recording.fps <= _SLOW_RECORDING:
        frames = between(np.minimum(np.arange(count) / ARKIT55.fps, recording.seconds))
    else:
        grid = np.minimum(np.arange((count - 1) * _DOWN + 1) / _GRID, recording.seconds)
        low_pass = firwin(_TAPS, ARKIT55.fps / 2, fs=_GRID, window="hann")
        frames = resample_poly(between(grid), 1, _DOWN, axis=0, window=low_pass, padtype="edge")
    _keep_blinks(recording, frames)
    return frames.astype(np.float32)


def _keep_blinks(recording: Recording, frames: npt.NDArray[np.float64]) -> None:
    """Puts the peak of each blink into the frame nearest to it; both lids into the same frame."""
    lids = recording.values[:, _LIDS]
    peaks, _ = find_peaks(lids.max(axis=1), prominence=_BLINK)
    for time in recording.times[peaks]:
        near = np.abs(recording.times - time) <= _TOGETHER
        frame = min(round(float(time) * ARKIT55.fps), len(frames) - 1)
        frames[frame, _LIDS] = np.maximum(frames[frame, _LIDS], lids[near].max(axis=0))
