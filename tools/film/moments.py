# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a performance tell it best (no `bpy`)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

#: Half the length, in frames, of the stretch that a moment is compared with: longer than a blink.
_AROUND: Final = 7


def choose_moments(motion: npt.NDArray[Any], count: int, eyes: npt.NDArray[Any] | None = None) -> list[int]:
    """Choose the frames of a contact sheet: from each stretch of the performance its clearest moment.

    The clearest moment is far from the face at rest and moves little: an expression that is held, not a blink or a
    transition.

    Args:
        motion: where every point of the face is, relative to rest, shape (T, D) with T >= 1.
        count: how many moments are wanted, >= 1.
        eyes: the columns of ``motion`` around the eyes, shape (T, E): frames in which they are briefly elsewhere than
            just before and after show a blink and are avoided; all columns by default.

    Returns:
        ``count`` frame indices in increasing order; a performance of fewer frames repeats some.
    """
    length = len(motion)
    eyes = motion if eyes is None else eyes
    amplitude = np.sqrt(np.mean(motion**2, axis=1))
    # Over four frames, because a blink stands still for an instant in its middle.
    steps = np.pad(np.sqrt(np.mean(np.diff(motion, axis=0) ** 2, axis=1)), 2)
    speed = np.lib.stride_tricks.sliding_window_view(steps, 4).mean(axis=1)
    usual = np.stack([np.median(eyes[max(0, t - _AROUND) : t + _AROUND + 1], axis=0) for t in range(length)])
    clarity = amplitude - 3.0 * speed - 3.0 * np.abs(eyes - usual).max(axis=1)
    edges = np.linspace(0, length, count + 1)
    chosen = []
    for start, end in pairwise(edges):
        # The middle of the stretch, so that two neighbours are never almost the same frame.
        margin = 0.15 * (end - start)
        first = min(int(start + margin), length - 1)
        last = max(int(np.ceil(end - margin)), first + 1)
        chosen.append(first + int(np.argmax(clarity[first:last])))
    return chosen
