# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip: one take as the worker hands it over, before it meets a rig (no ``bpy``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from .arrays import Singles
from .segments import Segment
from .sentences import Told, told
from .shared import ARKIT55, MAX_SCALE, Timeline

JSON: TypeAlias = "bool | int | float | str | list[JSON] | Mapping[str, JSON] | None"


class ClipError(Told, ValueError):
    """A clip that cannot be used; the message is a sentence for the animator."""


@dataclass(frozen=True)
class Clip:
    """One take: the numbers and where they came from.

    Attributes:
        values: one row per frame, float32, shape (T, C); made read-only. With a timeline, the performance alone:
            `layers.face_of` adds the speech.
        channels: C unique channel names, in column order.
        fps: frames per second of ``values``.
        space: what the numbers mean, such as ``arkit55`` (see generator/shared/spaces.py).
        text: the line of dialogue.
        seed: the seed that reproduces this take with the same settings.
        emotion: the emotion that was performed.
        settings: everything else the generator was told (intensity, temperature, checkpoint, ...).
        segments: how the line was understood, part by part; empty where the generator did not say.
        last_seed: the last seed its request drew from, None for ``seed``: the most different takes are a choice from
            more seeds than takes.
        timeline: when the mouth says what; None where the values are the whole face.
        speech_scale: size of the speech, 0 to 1.5.

    Raises:
        ClipError: the shape is wrong, a number is not finite, a name is missing or repeated, or there is a timeline
            and the channels are not those of arkit55.
    """

    values: Singles
    channels: tuple[str, ...]
    fps: float
    space: str
    text: str = ""
    seed: int = 0
    emotion: str = "neutral"
    settings: Mapping[str, JSON] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    last_seed: int | None = None
    timeline: Timeline | None = None
    speech_scale: float = 1.0

    def __post_init__(self) -> None:
        try:
            values = np.array(self.values, np.float32)
        except (TypeError, ValueError):
            raise ClipError("This clip's values are not numbers. Generate the line again.") from None
        if values.ndim != 2 or 0 in values.shape:
            raise ClipError(
                "This clip has values of shape {shape}, but needs at least one frame and one channel. Generate the "
                "line again.", shape=values.shape,
            )  # fmt: skip
        if values.shape[1] != len(self.channels):
            raise ClipError(
                "This clip has {columns} columns but {names} channel names. Generate the line again.",
                columns=values.shape[1], names=len(self.channels),
            )  # fmt: skip
        if len(set(self.channels)) != len(self.channels):
            repeated = next(name for name in self.channels if self.channels.count(name) > 1)
            raise ClipError("This clip names the channel {name!r} twice. Generate the line again.", name=repeated)
        if not np.isfinite(values).all():
            frame, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ClipError(
                "This clip's {channel} is not a finite number at frame {frame}. Generate the line again with another "
                "seed.", channel=self.channels[column], frame=frame,
            )  # fmt: skip
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ClipError("This clip has {fps} frames per second; it must be a number above 0.", fps=self.fps)
        if self.timeline is not None and tuple(self.channels) != ARKIT55.channels:
            sentence = "This clip has speech, and its channels are not those of {space}. Generate the line again."
            raise ClipError(sentence, space=ARKIT55.name)
        if not 0.0 <= self.speech_scale <= MAX_SCALE:
            sentence = "The size of this clip's speech is {size}; it must be from 0 to {most:g}."
            raise ClipError(sentence, size=self.speech_scale, most=MAX_SCALE)
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

    def channel(self, name: str) -> Singles:
        """One channel over time, shape (T,). KeyError when the clip has no such channel."""
        try:
            return self.values[:, self.channels.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def with_values(self, values: Singles, fps: float | None = None) -> Clip:
        """The same take with other numbers (and frame rate); same channels, speech and provenance."""
        return replace(self, values=values, fps=self.fps if fps is None else fps)


def origin_of(settings: Mapping[str, Any], fps: float) -> str:
    """Which take a take came from, in a few words; "" for a take of its own. ``fps`` is the clip's."""
    branch, vary = settings.get("branch"), settings.get("vary")
    try:
        if isinstance(branch, Mapping):
            seed, until = branch.get("seed"), branch.get("frame", 0) / fps
            return told("{seed} until {until:.1f} s", seed=seed, until=until)
        if isinstance(vary, Mapping):
            return told("near {seed}" if vary.get("amount", 1.0) <= 0.5 else "from {seed}", seed=vary.get("seed"))
    except TypeError:  # stored, and damaged
        pass
    return ""
