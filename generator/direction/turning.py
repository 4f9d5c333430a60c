# SPDX-License-Identifier: GPL-3.0-or-later
"""The emotion of each passage of a line, read from the words, without flickering."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: What a change of emotion costs, in log probability: another emotion must be this many times as likely, or stay long.
_CHANGE: Final = float(np.log(1.7))


def steady_emotions(probabilities: npt.NDArray[np.float32]) -> list[int]:
    """The likeliest course of emotions over passages, (n, K) calibrated probabilities -> n indices.

    A Viterbi path with a price on every change: a passage leaves the emotion of its neighbours only when its words are
    clearly for another one (1.7 times as likely for a turn, 2.9 times for an exception amid others).
    """
    scores = np.log(np.maximum(probabilities.astype(np.float64), 1e-6))
    best, back = scores[0], []
    for score in scores[1:]:
        stay, move = best, best.max() - _CHANGE
        back.append(np.where(stay >= move, np.arange(len(best)), best.argmax()))
        best = np.maximum(stay, move) + score
    path = [int(best.argmax())]
    for came_from in reversed(back):
        path.append(int(came_from[path[-1]]))
    return path[::-1]
