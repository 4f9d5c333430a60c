# SPDX-License-Identifier: GPL-3.0-or-later
"""The ghost: another take of a line, drawn over the character in the viewport or beside it, and moving with it.

It is drawn from the arrays of a `StandIn`: nothing of it is in the scene or in the file, and there is nothing to undo.
What it shows is what the take would play in place of the shown one; hand edits of the shown one are not in it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import bpy
import numpy as np
from bpy.app.handlers import persistent
from mathutils import Matrix

from .. import cast
from ..character.choose import brought_to
from ..character.mapping import MappingError
from ..clip import ClipError
from ..performance.layers import face_of, without_muted
from ..performance.lines import clip_of
from ..performance.owners import owners_of
from ..performance.record import Line, Take
from ..performance.targets import Target, targets_of
from . import gallery
from .raster import lit, srgb
from .stand_in import Floats, Ints, StandIn

#: How a compared take is shown in the viewport: identifier, name, description.
MODES: Final = (
    ("OFF", "No Ghost", "The viewport shows the take that is played, and nothing else"),
    ("OVER", "Over", "Over the face: the compared take as a veil, through which the one that is played is seen"),
    ("BESIDE", "Beside", "Beside the face, on the left wherever you look from"),
)
#: Colour of a veil, linear, and how much of it is seen; what colours beside the face are multiplied by.
_VEIL: Final = (0.1, 0.35, 0.9)
_SEEN: Final = 0.5
_PALE: Final = (0.5, 0.68, 0.95)
#: How far a ghost stands beside the face, in halves of what a picture of the face shows.
_APART: Final = 2.1
#: Brings depths before all others, and keeps their order: a veil hides itself, and nothing else hides it.
_IN_FRONT: Final = Matrix(((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0.01, -0.99), (0, 0, 0, 1)))


@dataclass(frozen=True)
class Shape:
    """A face in the viewport.

    Attributes:
        of: what it was made of.
        points: (V, 3): x to its left and y upwards, -1 to 1 where pictures show it, z ahead.
        triangles: places of corners, (F, 3).
        colours: of points, sRGB and how much is seen, (V, 4).
    """

    of: tuple[object, ...]
    points: Floats
    triangles: Ints
    colours: Floats


@dataclass(frozen=True)
class _Known:
    """A take that is ready to be drawn: of which line, as it was, and what it moves on whom."""

    of: tuple[object, ...]
    stand_in: StandIn
    targets: list[Target]


#: What draws it.
_drawn_by: Any = bpy.types.SpaceView3D
_mode, _compared = "OFF", ""
_handle: Any = None
_known: _Known | None = None
#: What was drawn last, and as what.
_shape: Shape | None = None
_batch: tuple[Shape, Any] | None = None


def compared() -> str:
    """Id of a line and key of its take that is compared with the shown one; or ""."""
    return _compared


def compare(name: str) -> None:
    """Compare another take, as `compared` names it, or none."""
    global _compared
    _compared = name
    _settle()


def mode() -> str:
    """How the compared take is shown in the viewport, see `MODES`."""
    return _mode


def show(how: str) -> None:
    """Show the compared take in the viewport, or not any more."""
    global _mode
    _mode = how
    _settle()


def other_take(line: Line) -> Take | None:
    """The take that is compared with the shown one of a line; None where there is none."""
    name, _, key = _compared.partition(" ")
    other = next((take for take in line.takes if name == line.id and take.key == key), None)
    return None if line.take is None or other == line.take else other


def shape(scene: bpy.types.Scene) -> tuple[Shape, Matrix] | None:
    """The ghost at the playhead, and what brings its points to the world; None where there is nothing to show."""
    global _known
    line = cast.active_line(scene) if _mode != "OFF" and _compared else None
    other, frame = None if line is None else other_take(line), scene.frame_current
    if line is None or other is None or not line.start <= frame <= line.end:
        return None
    now, fps = cast.character(scene), scene.render.fps / scene.render.fps_base
    # The shown take, which may be directed or edited meanwhile, is not in it.
    alone = replace(line, takes=(other,), shown=0, edited=False, layer=False, theirs=())
    of = now.rig.object.session_uid, now.mapping, alone, fps
    with suppress(MappingError, ClipError, ReferenceError):  # it cannot be brought to the face, or is gone
        if _known is None or _known.of != of:
            _known = _ready(now, alone, of, fps)
        found = None if _known is None else _posed(now, _known, round(frame - line.start))
        if _known is not None and found is not None:
            space: Any = now.rig.armature or now.rig.object
            placed = Matrix(_known.stand_in.placed().tolist())
            return found, space.matrix_world @ _carried(now, _known.targets) @ placed
    return None


def _ready(now: cast.Character, line: Line, of: tuple[object, ...], fps: float) -> _Known | None:
    clip, owners = clip_of(now.rig, line), owners_of(now.rig)
    if clip is None:
        return None
    (clip,), mapping = brought_to(now.rig, [clip])
    face = face_of(clip, fps, line)
    # The one that pictures have.
    stand_in = gallery.finished(gallery.stand_in(now, targets_of(now.rig, owners, mapping, face)))
    return _Known(of, stand_in, targets_of(now.rig, owners, without_muted(mapping, line), face))


def _posed(now: cast.Character, known: _Known, frame: int) -> Shape | None:
    """The face at a frame of the line; kept, as the viewport is drawn far more often than the face changes."""
    global _shape
    if _shape is None or _shape.of != (known.of, frame, _mode):
        last = min((len(target.values) for target in known.targets), default=0) - 1
        pose = known.stand_in.posed(now.rig, known.targets, min(frame, last)) if last >= 0 else None
        if pose is None:
            return None
        points, triangles, colours = pose
        seen = known.stand_in.moving()[triangles].all(1)  # bodies are where they are
        triangles, colours = triangles[seen], colours[seen]
        of_points = np.ones((len(points), 4), np.float32)
        of_points[triangles, :3] = _VEIL if _mode == "OVER" else (colours * np.array(_PALE, np.float32))[:, None]
        of_points[:, :3] = srgb(of_points[:, :3] * lit(points, triangles, ahead=False)[1][:, None])
        of_points[:, 3] = _SEEN if _mode == "OVER" else 1.0
        _shape = Shape((known.of, frame, _mode), points, triangles, of_points)
    return _shape


def _carried(now: cast.Character, targets: list[Target]) -> Matrix:
    """How the body has moved what the take moves: the bone above its uppermost one."""
    pose: Any = now.rig.armature.pose.bones if now.rig.armature is not None else {}
    moved = {target.label for target in targets if target.owner.kind == "OBJECT"} & set(pose.keys())
    uppermost = min(moved, key=lambda name: len(pose[name].parent_recursive), default="")
    above = pose[uppermost].parent if uppermost else None
    return Matrix() if above is None else above.matrix @ above.bone.matrix_local.inverted_safe()


def _draw() -> None:
    """Called by Blender for every 3D viewport."""
    global _batch
    import gpu  # here, because nobody draws in the background
    from gpu_extras.batch import batch_for_shader

    space: Any = bpy.context.space_data
    there = shape(bpy.context.scene) if space is None or space.overlay.show_overlays else None
    if there is None:
        return
    (found, matrix), shader = there, gpu.shader.from_builtin("SMOOTH_COLOR")
    if _batch is None or _batch[0] is not found:
        places = {"pos": np.ascontiguousarray(found.points), "color": found.colours}
        indices = np.ascontiguousarray(found.triangles, np.int32)
        _batch = found, batch_for_shader(shader, "TRIS", places, indices=indices)
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.depth_mask_set(True)
    with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        if _mode == "OVER":
            gpu.matrix.load_projection_matrix(_IN_FRONT @ gpu.matrix.get_projection_matrix())
        else:
            right = gpu.matrix.get_model_view_matrix().inverted().col[0].xyz
            gpu.matrix.translate(-_APART * matrix.to_scale().x * right)
        gpu.matrix.multiply_matrix(matrix)
        gpu.state.color_mask_set(False, False, False, False)  # what is inside of it is not seen through it
        _batch[1].draw(shader)
        gpu.state.color_mask_set(True, True, True, True)
        gpu.state.blend_set("ALPHA")
        _batch[1].draw(shader)
    gpu.state.blend_set("NONE")
    gpu.state.depth_mask_set(False)
    gpu.state.depth_test_set("NONE")


def _settle() -> None:
    """Have Blender call `_draw` while there is something to draw, and only then."""
    global _handle, _known, _shape, _batch
    wanted = _mode != "OFF" and bool(_compared)
    if wanted and _handle is None:
        _handle = _drawn_by.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")
    elif not wanted and _handle is not None:
        _drawn_by.draw_handler_remove(_handle, "WINDOW")
        _handle = _known = _shape = _batch = None
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def forget() -> None:
    """Show none any more: the extension is disabled, or another file was loaded."""
    global _mode, _compared
    _mode, _compared = "OFF", ""
    _settle()


@persistent
def _loaded(*_arguments: object) -> None:
    forget()


#: What has to happen when in Blender.
HANDLERS: Final = (("load_pre", _loaded),)
