# SPDX-License-Identifier: GPL-3.0-or-later
"""Gestures in time: laughs, sighs, nods, glances. Their shapes are data (`recipes.GESTURES`)."""

from __future__ import annotations

import numpy as np

from .curves import Floats, track
from .recipes import GESTURES, Track

Motion = dict[str, Floats]


def gesture_motion(name: str, t: Floats, start: float, seconds: float, side: float, rng: np.random.Generator) -> Motion:
    """What a gesture adds to channels from ``start`` for ``seconds``.

    Args:
        name: of `GESTURES`.
        t: times (T,), seconds.
        side: +1 or -1, the side that leads: it signs yaw and roll.

    Returns:
        channel ("*" for both sides, gazePitch and gazeYaw for the eyes) -> (T,).
    """
    gesture = GESTURES[name]
    x = (t - start) / seconds
    size = float(rng.uniform(0.75, 1.2))
    result: Motion = {channel: size * _curve(x, points) for channel, points in gesture.tracks.items()}
    if gesture.beats:
        hz = float(rng.uniform(*gesture.beat_hz))
        # A laugh slows down as the breath runs out (Ruch and Ekman 2001).
        phase = hz * (t - start) * (1.0 - 0.08 * np.clip(x, 0.0, 1.0))
        beat = 0.5 - 0.5 * np.cos(2.0 * np.pi * phase)
        for channel, points in gesture.beats.items():
            result[channel] = result.get(channel, 0.0) + size * beat * _curve(x, points)
    for channel in ("headYaw", "headRoll", "gazeYaw"):
        if channel in result:
            result[channel] = result[channel] * side
    return result


def _curve(x: Floats, points: Track) -> Floats:
    """Minimum-jerk moves from 0 through the points and back to 0 at 1, shape of ``x``."""
    shares, values = (np.array(row) for row in zip((0.0, 0.0), *points, (1.0, 0.0), strict=True))
    return track(x, shares[:-1], np.maximum(np.diff(shares), 1e-3), values[1:])
