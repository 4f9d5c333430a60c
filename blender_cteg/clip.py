# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip: one take as the worker hands it over, before it meets a rig (no ``bpy``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

JSON: TypeAlias = "bool | int | float | str | list[JSON] | Mapping[str, JSON] | None"

#: Version of the metadata that `Clip.to_json` writes.
SCHEMA_VERSION: Final = 1


class ClipError(ValueError):
    """A clip that cannot be used; the message is a sentence for the animator."""


@dataclass(frozen=True)
class Clip:
    """One take: the numbers and where they came from.

    Attributes:
        values: one row per frame, float32, shape (T, C); made read-only.
        channels: C unique channel names, in column order.
        fps: frames per second of ``values``.
        space: what the numbers mean, such as ``arkit55`` (see generator/spaces.py).
        text: the line of dialogue.
        seed: the seed that reproduces this take with the same settings.
        emotion: the emotion that was performed.
        settings: everything else the generator was told (intensity, temperature, checkpoint, ...).

    Raises:
        ClipError: the shape is wrong, a number is not finite, or a name is missing or repeated.
    """

    values: npt.NDArray[np.float32]
    channels: tuple[str, ...]
    fps: float
    space: str
    text: str = ""
    seed: int = 0
    emotion: str = "neutral"
    settings: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            values = np.array(self.values, np.float32)
        except (TypeError, ValueError):
            raise ClipError("This clip's values are not numbers. Generate the line again.") from None
        if values.ndim != 2 or 0 in values.shape:
            raise ClipError(
                f"This clip has values of shape {values.shape}, but needs at least one frame and one channel. "
                "Generate the line again."
            )
        if values.shape[1] != len(self.channels):
            raise ClipError(
                f"This clip has {values.shape[1]} columns but {len(self.channels)} channel names. "
                "Generate the line again."
            )
        if len(set(self.channels)) != len(self.channels):
            repeated = next(name for name in self.channels if self.channels.count(name) > 1)
            raise ClipError(f"This clip names the channel {repeated!r} twice. Generate the line again.")
        if not np.isfinite(values).all():
            frame, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ClipError(
                f"This clip's {self.channels[column]} is not a finite number at frame {frame}. "
                "Generate the line again with another seed."
            )
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ClipError(f"This clip has {self.fps} frames per second; it must be a number above 0.")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "fps", float(self.fps))

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return int(self.values.shape[0])

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last: (T - 1) / fps."""
        return (self.frames - 1) / self.fps

    def channel(self, name: str) -> npt.NDArray[np.float32]:
        """One channel over time, shape (T,). KeyError when the clip has no such channel."""
        try:
            return self.values[:, self.channels.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def with_values(self, values: npt.NDArray[np.float32], fps: float | None = None) -> Clip:
        """The same take with other numbers (and frame rate); same channels and provenance."""
        return replace(self, values=values, fps=self.fps if fps is None else fps)

    def to_json(self) -> dict[str, Any]:
        """What is needed to ask for this take again: everything but the values, as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.space,
            "fps": self.fps,
            "frames": self.frames,
            "text": self.text,
            "seed": int(self.seed),
            "emotion": self.emotion,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], values: npt.NDArray[np.float32], channels: tuple[str, ...]) -> Clip:
        """A clip from `to_json` metadata and its values, shape (T, C).

        Raises:
            ClipError: the metadata is of another version, or a field is missing or of the wrong type.
        """
        if data.get("schema_version") != SCHEMA_VERSION:
            raise ClipError(
                f"This take was stored with version {data.get('schema_version')!r} of CTEG's data, "
                f"and this CTEG reads version {SCHEMA_VERSION}. Update CTEG."
            )
        try:
            return cls(
                values,
                tuple(channels),
                float(data["fps"]),
                str(data["space"]),
                str(data["text"]),
                int(data["seed"]),
                str(data["emotion"]),
                dict(data["settings"]),
            )
        except (KeyError, TypeError) as error:
            raise ClipError(f"This take's stored data is damaged ({error}). Generate the line again.") from None
