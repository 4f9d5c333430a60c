# SPDX-License-Identifier: GPL-3.0-or-later
"""The most different takes of a larger draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def most_different(clips: Sequence[npt.NDArray[np.float32]], count: int) -> list[int]:
    """Indices of ``count`` of ``clips`` (T_i, C): the first, then always the one farthest from all chosen ones.

    Farthest-point selection (Gonzalez 1985). Two clips are as far apart as the root mean square over frames of their
    frames' distance, the shorter one padded with the standard face.
    """
    longest = max(len(clip) for clip in clips)
    flat = np.stack([np.pad(clip, ((0, longest - len(clip)), (0, 0))).ravel() for clip in clips])
    chosen = [0]
    nearest = np.linalg.norm(flat - flat[0], axis=1)
    while len(chosen) < count:
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(flat - flat[chosen[-1]], axis=1))
    return chosen
