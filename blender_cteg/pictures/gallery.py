# SPDX-License-Identifier: GPL-3.0-or-later
"""The gallery: pictures of takes as icons, drawn in slices while nothing else happens, and kept while Blender runs.

Drawing a panel asks for them and gets what is there. Where that is nothing they are drawn, a moment later.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import bpy
import bpy.utils.previews
from bpy.app.handlers import persistent

from .. import cast
from ..character.choose import brought_to
from ..character.mapping import MappingError
from ..clip import Clip, ClipError
from ..performance.layers import face_of
from ..performance.lines import clip_of
from ..performance.owners import owners_of
from ..performance.record import Line, Take
from ..performance.targets import Target, targets_of
from ..worker import session
from .moments import telling
from .raster import picture
from .stand_in import StandIn

T = TypeVar("T")

#: Pictures of a take, and pixels of a side of each.
PICTURES: Final = 4
SIZE: Final = 80
#: Seconds that a slice goes on beginning steps, and between two of them; while something plays or is directed.
_SLICE: Final = 0.01
_PAUSE: Final = 0.03
_WAIT: Final = 0.5
#: Most takes that have pictures; the oldest go.
_MOST: Final = 600


@dataclass
class Strip:
    """Pictures of one take, or of several at the same moments.

    Attributes:
        takes: as they were when they were drawn.
        frames: of their clips.
        icons: numbers of icons, those of each take in order.
    """

    takes: tuple[Take, ...]
    frames: tuple[int, ...] = ()
    icons: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class _Wish:
    """A strip that somebody wants to see: its key, and what it is of."""

    key: tuple[object, ...]
    scene: int
    line: Line
    takes: tuple[Take, ...]


_strips: dict[tuple[object, ...], Strip] = {}
_names: dict[tuple[object, ...], list[str]] = {}
_wishes: dict[tuple[object, ...], _Wish] = {}
_work: Iterator[None] | None = None
_previews: Any = None
_count = 0
#: The character that was drawn last: its datablocks and mapping, and how it looks.
_stand_in: tuple[object, StandIn] | None = None


def strip(scene: bpy.types.Scene, line: Line, *takes: Take) -> Strip | None:
    """The pictures of takes of a line, as they are now: of one take, or of two at the moments where they differ most.

    None while they are not drawn, and in background mode; asking costs nothing.
    """
    now = cast.character(scene)
    if now.rig.object is None:
        return None
    key = (now.rig.object.session_uid, line.id, *(take.key for take in takes))
    there = _strips.get(key)
    if there is not None and there.takes == takes:
        return there
    if not bpy.app.background and (key not in _wishes or _wishes[key].takes != takes):
        _wishes[key] = _Wish(key, scene.session_uid, line, takes)
        if not bpy.app.timers.is_registered(_go_on):
            bpy.app.timers.register(_go_on, first_interval=_PAUSE)
    # What was directed otherwise meanwhile is shown as it was, until it is drawn again.
    return there if there is not None and len(there.takes) == len(takes) else None


def draw_now(scene: bpy.types.Scene, line: Line, *takes: Take) -> Strip | None:
    """The same without waiting, for scripts; None where it cannot be drawn."""
    now = cast.character(scene)
    if now.rig.object is None:
        return None
    key = (now.rig.object.session_uid, line.id, *(take.key for take in takes))
    finished(_drawn(_Wish(key, scene.session_uid, line, takes)))
    return _strips.get(key)


def finished(work: Generator[None, None, T]) -> T:
    """What comes of work that is done step by step, of all its steps at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def _go_on() -> float | None:
    """Draw for some milliseconds."""
    global _work
    windows = bpy.context.window_manager.windows
    if session.live is not None or any(window.screen.is_animation_playing for window in windows):
        return _WAIT
    until = time.monotonic() + _SLICE
    while time.monotonic() < until:
        if _work is None:
            if not _wishes:
                return None
            _work = _drawn(_wishes.pop(next(iter(_wishes))))
        try:
            next(_work)
        except StopIteration:
            _work = None
            cast.redraw_panels(bpy.context)
        except (ReferenceError, MappingError, ClipError):  # it is gone, or cannot be brought to the face
            _work = None
    return _PAUSE


def _drawn(wish: _Wish) -> Generator[None, None, None]:
    """Draw a strip, step by step."""
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == wish.scene), None)
    if scene is None:
        return
    now = cast.character(scene)
    clips = [clip_of(now.rig, _showing(wish.line, take)) for take in wish.takes]
    yield
    faces: list[Clip] = []
    moved: list[list[Target]] = []
    for clip in clips:
        if clip is None:
            return
        (clip,), mapping = brought_to(now.rig, [clip])
        faces.append(face_of(clip, clip.fps))
        moved.append(targets_of(now.rig, owners_of(now.rig), mapping, faces[-1]))
        yield
    frames = telling([face.values for face in faces], faces[0].channels, PICTURES)
    like = yield from stand_in(now, moved[0])
    made = Strip(wish.takes, frames)
    names: list[str] = []
    for targets in moved:
        made.icons.append([])
        for frame in frames:
            yield
            pose = like.posed(now.rig, targets, frame)
            if pose is None:
                return
            yield
            name, icon = _icon(picture(*pose, SIZE))
            names.append(name)
            made.icons[-1].append(icon)
    _keep(wish.key, made, names)


def _showing(line: Line, take: Take) -> Line:
    return replace(line, takes=(take,), shown=0)


def stand_in(now: cast.Character, moved: list[Target]) -> Generator[None, None, StandIn]:
    """How a character looks, read step by step; again when what it is made of changes."""
    global _stand_in
    parts = tuple((obj.session_uid, len(obj.data.vertices)) for obj in now.rig.meshes)
    key = parts, tuple(sorted({(target.owner.kind, target.label) for target in moved}))
    if _stand_in is None or _stand_in[0] != key:
        like = StandIn(now.rig, moved)
        yield from like.read()
        _stand_in = key, like
    return _stand_in[1]


def _icon(pixels: Any) -> tuple[str, int]:
    global _previews, _count
    if _previews is None:
        _previews = bpy.utils.previews.new()
    _count += 1
    name = str(_count)
    preview = _previews.new(name)
    preview.image_size = SIZE, SIZE
    preview.image_pixels_float.foreach_set(pixels.ravel())
    return name, preview.icon_id


def _keep(key: tuple[object, ...], made: Strip, names: list[str]) -> None:
    _forget(key)
    _strips[key], _names[key] = made, names
    while len(_strips) > _MOST:
        _forget(next(iter(_strips)))


def _forget(key: tuple[object, ...]) -> None:
    _strips.pop(key, None)
    for name in _names.pop(key, ()):
        with suppress(KeyError):
            del _previews[name]


def forget() -> None:
    """Forget all pictures: the extension is disabled, or another file was loaded."""
    global _previews, _work, _stand_in
    for known in (_strips, _names, _wishes):
        known.clear()
    _work = _stand_in = None
    if bpy.app.timers.is_registered(_go_on):
        bpy.app.timers.unregister(_go_on)
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None


@persistent
def _loaded(*_arguments: object) -> None:
    forget()


@persistent
def _replaced(*_arguments: object) -> None:
    """Undo and redo free what is being read of a character; who still wants to see it asks again."""
    global _work
    _work = None


#: What has to happen when in Blender.
HANDLERS: Final = (("load_pre", _loaded), ("undo_post", _replaced), ("redo_post", _replaced))
