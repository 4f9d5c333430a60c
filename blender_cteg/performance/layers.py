# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers: a stored take as a face on the frames of a scene, each part as large as the animator wants (no ``bpy``)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from ..character.mapping import Adjustment, Mapping
from ..clip import Clip
from ..shared import ARKIT55, ARKIT_GROUPS, SPACES, whole_face
from .gaze import looking
from .record import Line, Region
from .retime import retime

#: Longest line in frames of the scene: an hour at 24 frames per second.
MOST_FRAMES: Final = 86_400
_AS_PERFORMED: Final = Line("", "")


def frames_at(seconds: float, fps: float, stretch: float) -> int:
    """How many frames of a scene a clip takes that lasts so long between its first and last frame, as `retime` does."""
    return math.ceil(seconds * fps * stretch - 1e-6) + 1


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
    if line.intensity != 1.0:
        values = np.clip(values * line.intensity, space.lower, space.upper).astype(np.float32)
    if line.speech > 0.0:
        speech = min(clip.speech_scale * line.speech, 1.5)
        values = whole_face(values, clip.timeline, fps * line.stretch, speech)
    if line.gaze and clip.space == ARKIT55.name:
        values = looking(values, line.gaze, fps * line.stretch)
    scales = np.array([line.regions.get(region_of(name), Region()).scale for name in clip.channels], np.float32)
    if (scales != 1.0).any():
        values = np.clip(values * scales, space.lower, space.upper).astype(np.float32)
    return replace(performance, values=values, timeline=None)


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
