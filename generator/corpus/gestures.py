# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher's gestures in time: laughs, sighs, nods, glances. Their shapes are data (`recipes.GESTURES`)."""

from __future__ import annotations

import numpy as np

from ..performing.gestures import Motion
from .curves import Floats
from .recipes import GESTURES


def gesture_motion(name: str, t: Floats, start: float, seconds: float, side: float, rng: np.random.Generator) -> Motion:
    """What a gesture of `GESTURES` adds to channels from ``start`` for ``seconds``: see `Gesture.motion`."""
    gesture = GESTURES[name]
    size = float(rng.uniform(0.75, 1.2))
    hz = float(rng.uniform(*gesture.beat_hz)) if gesture.beats else 0.0
    return gesture.motion(t, start, seconds, side, size, hz)
