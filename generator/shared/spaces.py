# SPDX-License-Identifier: GPL-3.0-or-later
"""Spaces: what the numbers of a clip mean.

A space names the channels, groups them (the groups drive Expression-wise Attention, region masks and intensity
alike) and gives neutral, limits and frame rate. Every checkpoint and every clip names its space.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

#: The 52 ARKit blend-shape coefficients, in the column order of Live Link Face.
ARKIT_CHANNELS: Final[tuple[str, ...]] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

#: Largest size of a layer of a clip, 1 natural.
MAX_SCALE: Final = 1.5

#: Head rotation in radians, FLAME axes (see docs/architecture.md, Axes and signs).
HEAD_CHANNELS: Final[tuple[str, ...]] = ("headPitch", "headYaw", "headRoll")


@dataclass(frozen=True)
class Space:
    """The meaning of a clip's channels.

    Attributes:
        name: the space's identifier, as stored in clips and checkpoints.
        channels: channel names, in column order.
        groups: group name -> column indices; together the groups cover every channel once.
        lower, upper: limits per channel, shape (C,); infinite where the space is unbounded.
        fps: frames per second.
        standard_face_norm: a frame whose Euclidean norm is below this is the standard face, the end of a clip.
    """

    name: str
    channels: tuple[str, ...]
    groups: MappingProxyType[str, tuple[int, ...]]
    lower: npt.NDArray[np.float32] = field(repr=False)
    upper: npt.NDArray[np.float32] = field(repr=False)
    fps: float
    standard_face_norm: float

    @property
    def size(self) -> int:
        """Number of channels C."""
        return len(self.channels)

    def column(self, channel: str) -> int:
        """Column index of ``channel``; KeyError when the space has no such channel."""
        try:
            return self.channels.index(channel)
        except ValueError:
            raise KeyError(f"{self.name} has no channel {channel!r}") from None


def _arkit_group(channel: str) -> str:
    if channel.startswith("head"):
        return "head"
    if channel.startswith("jaw"):
        return "jaw"
    if channel.startswith("eye"):
        return "eyes"
    if channel.startswith(("brow", "cheekSquint", "noseSneer")):
        return "upper face"
    return "mouth"


def _arkit55() -> Space:
    channels = (*ARKIT_CHANNELS, *HEAD_CHANNELS)
    groups: dict[str, list[int]] = {"upper face": [], "eyes": [], "mouth": [], "jaw": [], "head": []}
    for index, channel in enumerate(channels):
        groups[_arkit_group(channel)].append(index)
    lower = np.zeros(len(channels), np.float32)
    upper = np.ones(len(channels), np.float32)
    lower[-3:], upper[-3:] = -0.7, 0.7
    frozen = MappingProxyType({name: tuple(columns) for name, columns in groups.items()})
    return Space("arkit55", channels, frozen, lower, upper, 24.0, 0.2)


def _flame53() -> Space:
    channels = (*(f"exp{i}" for i in range(1, 51)), "jawX", "jawY", "jawZ")
    groups = MappingProxyType({"expression": tuple(range(50)), "jaw": (50, 51, 52)})
    unbounded = np.full(53, np.inf, np.float32)
    # Norm below 1.0 ends a clip: paper section 3 and the released code.
    return Space("flame53", channels, groups, -unbounded, unbounded, 24.0, 1.0)


#: 52 ARKit coefficients in 0..1 and head rotation in radians: what the bundled checkpoint speaks.
ARKIT55: Final = _arkit55()
#: 50 FLAME expression coefficients and 3 jaw axis-angle values (radians): EmoAva and the paper.
FLAME53: Final = _flame53()

SPACES: Final[MappingProxyType[str, Space]] = MappingProxyType({s.name: s for s in (ARKIT55, FLAME53)})
