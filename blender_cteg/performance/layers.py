# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers: a stored take as a face on the frames of a scene, each part as large as the animator wants (no ``bpy``).

Keys go on whole scene frames, where animators expect and can edit them. At equal frame rates every sample is kept
exactly; otherwise the curve is read between samples with a monotone cubic, which neither overshoots a held
expression nor leaves the range of its neighbours (Fritsch and Carlson 1980). The speech is not read between samples:
lips that close at 24 frames per second would be ajar at 30. It is made for the scene's own frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ..arrays import Floats, Singles
from ..character.mapping import Adjustment, Mapping
from ..clip import Clip
from ..shared import ARKIT55, ARKIT_GROUPS, SPACES, whole_face
from .gaze import looking
from .record import REGIONS, Line, Region

#: Longest line in frames of the scene: an hour at 24 frames per second.
MOST_FRAMES: Final = 86_400
#: What a performance is exaggerated beside: its course under so many seconds.
_SLOW_SECONDS: Final = 0.7
#: What of a line may be played alone: the regions that are left out then, and the size of the speech.
PRESETS: Final = {
    "ALL": ((), 1.0),
    "UPPER_FACE": (("eyes", "mouth", "jaw", "head"), 1.0),
    "MOUTH": (("upper face", "eyes", "head"), 1.0),
    "NO_EYES_HEAD": (("eyes", "head"), 1.0),
    "NO_SPEECH": ((), 0.0),
}
_AS_PERFORMED: Final = Line("", "")


def frames_at(seconds: float, fps: float, stretch: float) -> int:
    """How many frames of a scene a clip takes that lasts so long between its first and last frame, as `retime` does."""
    return math.ceil(seconds * fps * stretch - 1e-6) + 1


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
    count = frames_at(clip.duration, fps, 1.0)
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
    return np.asarray(
        (1 + 2 * t) * (1 - t) ** 2 * start
        + t * (1 - t) ** 2 * slopes[index]
        + t**2 * (3 - 2 * t) * end
        + t**2 * (t - 1) * slopes[index + 1]
    )


def face_of(clip: Clip, fps: float, line: Line = _AS_PERFORMED) -> Clip:
    """The whole face of a take, with one row per frame of a scene: retimed, its layers scaled, then its regions.

    Args:
        clip: a take as it was performed.
        fps: the scene's frames per second; above 0.
        line: says how slow it is played and how large each layer and region is.
    """
    performance = retime(clip, fps * line.stretch)
    values = performance.values
    space = SPACES.get(clip.space)
    if space is None:  # shape keys and bones themselves: what they mean is not known
        return replace(performance, timeline=None)
    values = _shaped(values, performance.channels, line, fps)
    if line.intensity != 1.0:
        values = values * np.float32(line.intensity)
    if values is not performance.values:
        values = np.clip(values, space.lower, space.upper)
    if line.speech > 0.0:
        speech = min(clip.speech_scale * line.speech, 1.5)
        values = whole_face(values, clip.timeline, fps * line.stretch, speech)
    if line.gaze and clip.space == ARKIT55.name:
        values = looking(values, line.gaze, fps * line.stretch)
    regions = [line.regions.get(region_of(name), Region()) for name in clip.channels]
    share = np.linspace(0.0, 1.0, len(values))
    sizes = {region: region.size(share).astype(np.float32) for region in set(regions)}
    scales = np.stack([sizes[region] for region in regions], axis=1)
    if (scales != 1.0).any():
        values = np.clip(values * scales, space.lower, space.upper).astype(np.float32)
    return replace(performance, values=values, timeline=None)


def _shaped(values: Singles, channels: Sequence[str], line: Line, fps: float) -> Singles:
    """The performance evened out and exaggerated; lids close as they did, and it begins and ends where it did."""
    if line.smoothing == 0.0 and line.exaggeration == 1.0:
        return values
    shaped = smoothed(values, line.smoothing * fps)
    if line.exaggeration != 1.0:
        slow = smoothed(shaped, _SLOW_SECONDS * fps)
        shaped = slow + line.exaggeration * (shaped - slow)
    closing = np.array([name.startswith("eyeBlink") for name in channels])
    return np.where(closing, values, shaped).astype(np.float32)


def smoothed(values: Singles, frames: float) -> Singles:
    """Values (T, C) under a Gaussian that is so many frames wide: to neither side, and the ends where they were."""
    reach = min(math.ceil(3.0 * frames), len(values) - 1)
    if frames <= 0.0 or reach < 1:
        return values
    # Mirrored in its end points, what is level in the mean beyond the ends goes through them.
    before, after = 2.0 * values[0] - values[reach:0:-1], 2.0 * values[-1] - values[-2 : -reach - 2 : -1]
    beyond = np.concatenate([before, values, after])
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
    weights /= weights.sum()
    result = np.zeros_like(values)
    for shift, weight in enumerate(weights.astype(np.float32)):
        result += weight * beyond[shift : shift + len(values)]
    return result


def played_only(line: Line, preset: str) -> dict[str, Any]:
    """The fields of a line that plays only what a preset of `PRESETS` lets play; how its regions are mixed stays."""
    muted, speech = PRESETS[preset]
    regions = {name: replace(line.regions.get(name, Region()), mute=name in muted) for name in REGIONS}
    return {"regions": regions, "speech": speech}


def without_muted(mapping: Mapping, line: Line) -> Mapping:
    """The mapping without the channels of regions that the line leaves out."""
    muted = {name for name, region in line.regions.items() if region.mute}
    channels = {channel for channel in mapping.driving() if region_of(channel) in muted} if muted else set()
    if not channels:
        return mapping
    adjusted = {name: replace(mapping.channels.get(name, Adjustment()), mute=True) for name in channels}
    return replace(mapping, channels={**mapping.channels, **adjusted})


def region_of(channel: str) -> str:
    """The region of `record.REGIONS` that a channel belongs to."""
    if channel.startswith("jaw"):
        return "jaw"
    return ARKIT_GROUPS.get(channel, "expression")
