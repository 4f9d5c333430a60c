# SPDX-License-Identifier: GPL-3.0-or-later
"""Retiming: a clip onto a scene's frames, its speech computed there (no ``bpy``).

Keys go on whole scene frames, where animators expect and can edit them. At equal frame rates every sample is kept
exactly; otherwise the curve is read between samples with a monotone cubic, which neither overshoots a held
expression nor leaves the range of its neighbours (Fritsch and Carlson 1980). The speech is not read between samples:
lips that close at 24 frames per second would be ajar at 30. It is made for the scene's own frames.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..clip import Clip

Floats = npt.NDArray[np.float64]


def retime(clip: Clip, fps: float) -> Clip:
    """The clip with one row per frame at ``fps``, of the same duration rounded up to a whole frame.

    Args:
        clip: any clip.
        fps: the scene's frames per second, ``render.fps / render.fps_base``; above 0.

    Returns:
        The same clip when the rates agree, else one of ``ceil(duration * fps) + 1`` frames whose last row is the
        clip's last pose. Of a clip with speech, its performance.
    """
    if math.isclose(fps, clip.fps, rel_tol=1e-6) or clip.frames == 1:
        return clip.with_values(clip.values, fps)
    count = math.ceil(clip.duration * fps - 1e-6) + 1
    at = np.minimum(np.arange(count) * (clip.fps / fps), clip.frames - 1)
    return clip.with_values(_monotone_cubic(clip.values.astype(np.float64), at).astype(np.float32), fps)


def _monotone_cubic(values: Floats, at: Floats) -> Floats:
    """Values, shape (T, C) at positions 0..T-1, read at positions ``at``, shape (N,); result (N, C)."""
    steps = np.diff(values, axis=0)
    before, after = steps[:-1], steps[1:]
    # Slope at a sample: the harmonic mean of its two steps where they agree in sign, else level (a peak stays a peak).
    total = before + after
    product = before * after
    inner = np.where(product > 0, 2 * product / np.where(total == 0, 1, total), 0.0)
    slopes = np.concatenate([steps[:1], inner, steps[-1:]])
    index = np.minimum(at.astype(np.intp), len(values) - 2)
    t = (at - index)[:, None]
    start, end = values[index], values[index + 1]
    result: Floats = (
        (1 + 2 * t) * (1 - t) ** 2 * start
        + t * (1 - t) ** 2 * slopes[index]
        + t**2 * (3 - 2 * t) * end
        + t**2 * (t - 1) * slopes[index + 1]
    )
    return result
