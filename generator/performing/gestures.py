# SPDX-License-Identifier: GPL-3.0-or-later
"""Gestures: curves of channels over a span of time, as tables write them.

A track is "share:value ...": minimum-jerk moves from 0 through the points and back to 0, shares of the gesture's
length. A channel that ends in "*" means its two sides, one that ends in "+" the side that leads; gazePitch and gazeYaw
move the eyes (radians in the world). Beats are tracks times 0..1, so many times a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..shared.easing import track

Floats = npt.NDArray[np.float64]
Track = tuple[tuple[float, float], ...]
Motion = dict[str, Floats]


@dataclass(frozen=True)
class Gesture:
    """Something done besides words.

    Attributes:
        seconds: shortest and longest.
        tracks: channel -> (share of the length, value) points.
        beats: the same, multiplied by 0..1 at ``beat_hz``.
        beat_hz: lowest and highest frequency of the beats.
    """

    seconds: tuple[float, float]
    tracks: Mapping[str, Track]
    beats: Mapping[str, Track]
    beat_hz: tuple[float, float]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Gesture:
        """A gesture from a table's row: seconds, tracks, beats, beat_hz."""
        low, high = row["seconds"]
        slow, fast = row.get("beat_hz", (1.0, 1.0))
        tracks, beats = (
            {channel: read_track(points) for channel, points in row.get(name, {}).items()}
            for name in ("tracks", "beats")
        )
        return cls((float(low), float(high)), tracks, beats, (float(slow), float(fast)))

    def motion(self, t: Floats, start: float, seconds: float, side: float, size: float, hz: float) -> Motion:
        """What it adds to channels from ``start`` for ``seconds``.

        Args:
            t: times (T,), seconds.
            side: +1 or -1, the side that leads: it signs yaw and roll.
            size: of all of it, 1 natural.
            hz: of its beats.

        Returns:
            channel, as the tracks name it -> (T,).
        """
        x = (t - start) / seconds
        result: Motion = {channel: size * _curve(x, points) for channel, points in self.tracks.items()}
        if self.beats:
            # A laugh slows down as the breath runs out (Ruch and Ekman 2001).
            phase = hz * (t - start) * (1.0 - 0.08 * np.clip(x, 0.0, 1.0))
            beat = 0.5 - 0.5 * np.cos(2.0 * np.pi * phase)
            for channel, points in self.beats.items():
                result[channel] = result.get(channel, 0.0) + size * beat * _curve(x, points)
        for channel in ("headYaw", "headRoll", "gazeYaw"):
            if channel in result:
                result[channel] = result[channel] * side
        return result


def read_track(notation: str) -> Track:
    """Points of a track: "0.3:0.5 0.6:0"."""
    return tuple((float(at), float(value)) for at, value in (part.split(":") for part in notation.split()))


def _curve(x: Floats, points: Track) -> Floats:
    """Minimum-jerk moves from 0 through the points and back to 0 at 1, shape of ``x``."""
    shares, values = (np.array(row) for row in zip((0.0, 0.0), *points, (1.0, 0.0), strict=True))
    return track(x, shares[:-1], np.maximum(np.diff(shares), 1e-3), values[1:])
