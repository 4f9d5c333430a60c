# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: what is kept of a line and its takes, and how it is stored (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from ..arrays import Floats
from ..clip import origin_of
from ..segments import Segment
from ..sentences import Told, told
from ..shared import Timeline
from .gaze import Glance

Mode = Literal["FILL", "TAKE", "ADD"]

#: The regions of a face that are mixed by themselves; FLAME's expression coefficients move all of it at once.
REGIONS: Final = ("upper face", "eyes", "mouth", "jaw", "head", "expression")


#: Where lines may begin, from minus this on; Blender's own last frame is a little later.
LAST_FRAME: Final = 1_000_000


class LineError(Told, RuntimeError):
    """A line that could not be written, changed or removed; the message is a sentence. Nothing was changed."""


@dataclass(frozen=True)
class Style:
    """How curves are keyed.

    Attributes:
        interpolation: how Blender goes from key to key.
        reduction: how far a curve may be off to save keys, percent of its range (`reduction`); 0: a key on every frame.
    """

    interpolation: Literal["BEZIER", "LINEAR"] = "BEZIER"
    reduction: float = 0.5


@dataclass(frozen=True)
class Region:
    """What becomes of a region of the face.

    Attributes:
        mode: FILL leaves what somebody else animates, TAKE puts it aside, ADD adds the take to it.
        scale: size of the take's movement, 0 to 10; 1 as it was performed.
        mute: the region is left out.
        course: the size over time, in place of ``scale``: moments of the line in order, 0 to 1, and the size at each.
    """

    mode: Mode = "FILL"
    scale: float = 1.0
    mute: bool = False
    course: tuple[tuple[float, float], ...] = ()

    def size(self, share: Floats | float) -> Floats:
        """Its size at moments of the line, 0 to 1: straight from one of its course to the next."""
        if not self.course:
            return np.full(np.shape(share), self.scale)
        shares, sizes = np.array(self.course).T
        return np.interp(np.asarray(share), shares, sizes)

    def sized(self, share: float, size: float) -> Region:
        """With another size: all over, or where it has a course at one moment of it."""
        if not self.course:
            return replace(self, scale=size)
        return replace(self, course=tuple(sorted({**dict(self.course), share: size}.items())))


@dataclass(frozen=True)
class Take:
    """One performance of a line, without its numbers.

    Attributes:
        key: names its numbers in the store; unique within the line, never given twice.
        seed, last_seed, emotion, settings, segments: as in `Clip`.
        fps, frames: of its numbers.
        space: what they mean; "targets" for a take whose numbers are those of shape keys and bones themselves.
        timeline: when the mouth says what, or None.
        speech_scale: as in `Clip`.
        edit: whether a hand edit was kept as part of it.
        name: what the animator calls it; "" for no name.
        favourite: whether the animator likes it.
    """

    key: str
    seed: int = 0
    last_seed: int = 0
    emotion: str = "neutral"
    settings: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    fps: float = 24.0
    frames: int = 1
    space: str = "arkit55"
    timeline: Timeline | None = None
    speech_scale: float = 1.0
    edit: bool = False
    name: str = ""
    favourite: bool = False

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.fps

    @property
    def ending(self) -> str:
        """What is left of the feeling at its end: "rest", "trace" or "held" (docs/protocol.md)."""
        return str(self.settings.get("ending", "rest"))

    @property
    def origin(self) -> str:
        """Which take it came from, in a few words; "" for a take of its own."""
        return origin_of(self.settings, self.fps)


@dataclass(frozen=True)
class Line:
    """A line of dialogue that a character performs.

    Attributes:
        id: unique among the lines of a character and its copies.
        text: what is said, with directions, as the animator wrote it.
        character: who says it.
        start, end: first and last frame in the scene, where its keys are found now.
        takes: oldest first.
        shown: place of the take whose keys are on the curves, -1 for none.
        regions: region -> what becomes of it; those that are not here are as `Region`.
        intensity: size of the performance layer, 0 to 10; 1 as it was performed.
        speech: size of the speech layer, 0 to 1.5; 1 as it was performed.
        smoothing: over how many seconds the performance is evened out, 0 to 0.5; blinks and speech stay as they are.
        exaggeration: size of what the performance does beside its slow course, 0 to 3; 1 as it was performed.
        stretch: how much slower it is played than it was performed.
        style: how its curves are keyed.
        blend: frames over which it leaves from, and returns to, what is there without it.
        edited: keys of it were changed by hand since they were written.
        layer: whether a hand edit is kept as a layer over all its takes.
        theirs: what of the face is left to the animator, in words.
        fps: frames per second of the scene when its keys were written.
        gaze: where it looks, beside what its takes do; nothing for where they look by themselves.
        span: id of the line with whose keys its own are written: of those that overlap, the first.
        moved: what it moved when it was hidden: owner, data path, and the channels that did and parts of the bone.
    """

    id: str
    text: str
    character: str = ""
    start: float = 1.0
    end: float = 1.0
    takes: tuple[Take, ...] = ()
    shown: int = -1
    regions: Mapping[str, Region] = field(default_factory=dict)
    intensity: float = 1.0
    speech: float = 1.0
    smoothing: float = 0.0
    exaggeration: float = 1.0
    stretch: float = 1.0
    style: Style = Style()
    blend: int = 6
    edited: bool = False
    layer: bool = False
    theirs: tuple[str, ...] = ()
    fps: float = 24.0
    gaze: tuple[Glance, ...] = ()
    span: str = ""
    moved: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    @property
    def take(self) -> Take | None:
        """The take that is shown, or None."""
        return self.takes[self.shown] if 0 <= self.shown < len(self.takes) else None

    @property
    def lasts(self) -> bool:
        """Whether the face does not come to rest at its end."""
        return self.take is not None and self.take.ending != "rest"

    def clip_frame(self, frame: float) -> int:
        """The frame of the shown take's clip at a frame of the scene; below 0 or beyond its frames when outside."""
        take = self.take
        length = max(self.end - self.start, 1e-6)
        return 0 if take is None else round((frame - self.start) / length * (take.frames - 1))

    def share(self, frame: float) -> float:
        """How much of the line is over at a frame of the scene, 0 to 1."""
        return round(min(max((frame - self.start) / max(self.end - self.start, 1e-6), 0.0), 1.0), 4)

    def scene_frame(self, frame: float) -> int:
        """The frame of the scene that shows a frame of the shown take's clip."""
        take = self.take
        share = 0.0 if take is None or take.frames < 2 else frame / (take.frames - 1)
        return round(self.start + share * (self.end - self.start))


def too_far(start: float) -> str:
    """Why no line can begin at a frame, a sentence, or ""."""
    sentence = "A line begins at a frame from {first:,d} to {last:,d}, not at {start:,.0f}."
    return "" if abs(start) <= LAST_FRAME else told(sentence, first=-LAST_FRAME, last=LAST_FRAME, start=start)


def value_in(line: Line, name: str) -> Any:
    """What a field of a line or of its style is; times are whole frames."""
    value = getattr(line.style if hasattr(line.style, name) else line, name)
    return round(value) if name in ("start", "end") else value


def changes_of(line: Line, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line in which it is another with these of its own and of its style; its end comes along."""
    style = {name: value for name, value in values.items() if hasattr(line.style, name)}
    fields = {name: value for name, value in values.items() if name not in style}
    if style:
        fields["style"] = replace(line.style, **style)
    if "start" in fields and "end" not in fields:
        fields["end"] = fields["start"] + line.end - line.start
    return fields
