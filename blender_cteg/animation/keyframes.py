# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframes: a clip becomes a take, one new slotted action with a slot for the shape keys and one for the armature."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, Literal

import bpy
import numpy as np
import numpy.typing as npt

from ..clip import Clip
from ..emotions import label
from ..rigs.detection.naming import ARKIT_GROUPS
from ..rigs.mapping import Mapping, MappingError, Performance
from ..rigs.rig import Rig
from . import ranges
from .controls import bone_channels
from .hidden import why_hidden
from .preview import end_preview
from .retime import retime
from .stays import held_keys, keys_without_shape, locked_bones, what_stays
from .takes import (
    TakeError,
    bone_path,
    delete_take,
    key_path,
    mark_as_take,
    provenance,
    show_take,
    shown_take,
    takes_of,
)

__all__ = [
    "TakeError",
    "delete_take",
    "keys_without_shape",
    "provenance",
    "show_take",
    "shown_take",
    "takes_of",
    "what_stays",
    "why_hidden",
    "write_take",
    "write_takes",
]

#: Values of ``Keyframe.interpolation`` and of its handle types, as foreach_set takes them (measured, 4.5 to 5.2).
_INTERPOLATION: Final = {"LINEAR": 1, "BEZIER": 2}
_AUTO_CLAMPED: Final = 4


def write_take(
    rig: Rig,
    mapping: Mapping,
    clip: Clip,
    *,
    start_frame: int,
    scene: bpy.types.Scene,
    name: str | None = None,
    interpolation: Literal["BEZIER", "LINEAR"] = "BEZIER",
    widen: bool = True,
) -> bpy.types.Action:
    """Write ``clip`` as a new action and show it on the face.

    Every shape key and bone the mapping drives gets keys on whole frames at the scene's frame rate; a channel that
    never changes gets its first and last key only. Keys that a driver holds and bones whose rotation is locked get
    none (`what_stays` names them). Sliders are widened where the keys need it, see `ranges`.

    Args:
        rig: a rig without a problem.
        mapping: how the clip's channels reach this rig, see `rigs.choose.mapping_for`.
        clip: one take.
        start_frame: scene frame of the clip's first row.
        scene: gives the frame rate.
        name: the action's name; by default the line, the emotion and the seed.
        interpolation: how Blender goes from key to key.
        widen: whether sliders other than FLAME's may be widened; where not, Blender cuts their values off.

    Returns:
        The action, shown on the whole character.

    Raises:
        TakeError: the take cannot be written; nothing has changed.
    """
    with ExitStack() as undo:
        action = _written(rig, mapping, clip, start_frame, scene, name, interpolation, widen, undo)
        show_take(rig, action)
        undo.pop_all()
    return action


def write_takes(
    rig: Rig,
    mapping: Mapping,
    clips: Sequence[Clip],
    *,
    start_frame: int,
    scene: bpy.types.Scene,
    interpolation: Literal["BEZIER", "LINEAR"] = "BEZIER",
    widen: bool = True,
) -> list[bpy.types.Action]:
    """Write several takes, all or none, and show the first; everything else as in `write_take`."""
    with ExitStack() as undo:
        actions = [_written(rig, mapping, clip, start_frame, scene, None, interpolation, widen, undo) for clip in clips]
        if actions:
            show_take(rig, actions[0])
        undo.pop_all()
    return actions


def _written(
    rig: Rig,
    mapping: Mapping,
    clip: Clip,
    start_frame: int,
    scene: bpy.types.Scene,
    name: str | None,
    interpolation: str,
    widen: bool,
    undo: ExitStack,
) -> bpy.types.Action:
    """One take, not shown yet; ``undo`` learns how to take it back."""
    if rig.problem is not None:
        raise TakeError(rig.problem)
    if interpolation not in _INTERPOLATION:
        raise TakeError(f"The interpolation {interpolation!r} is unknown. Use 'BEZIER' or 'LINEAR'.")
    try:
        performance = mapping.apply(retime(clip, scene.render.fps / scene.render.fps_base))
    except MappingError as error:
        raise TakeError(str(error)) from None
    performance = _on_this_face(rig, performance)
    end_preview()  # it widens sliders for a while, and so do takes for good
    action = bpy.data.actions.new(name or _default_name(clip))
    undo.callback(bpy.data.actions.remove, action)
    _fill(action, rig, mapping, performance, start_frame, interpolation)
    _widen_sliders(rig, performance, undo, widen)
    mark_as_take(rig, action, {**clip.to_json(), "start_frame": start_frame}, undo)
    return action


def _on_this_face(rig: Rig, performance: Performance) -> Performance:
    """Only what this character has and what nothing holds; TakeError when that is nothing."""
    assert rig.object is not None
    there = {block.name for key, _ in rig.keyed_meshes for block in key.key_blocks}
    shape_keys = {key: values for key, values in performance.shape_keys.items() if key in there}
    bones = {role: vectors for role, vectors in performance.bones.items() if role in rig.bones}
    there = rig.armature.pose.bones if rig.armature is not None else ()
    controls = {bone: moves for bone, moves in performance.controls.items() if bone in there}
    if not shape_keys and not bones and not controls:
        raise TakeError(
            f"Nothing of this clip reaches {rig.object.name}: the mapping's shape keys and bones are not there. "
            "Choose another face or another mapping."
        )
    held, locked = held_keys(rig), locked_bones(rig)
    free_keys = {key: values for key, values in shape_keys.items() if key not in held}
    free_bones = {role: vectors for role, vectors in bones.items() if rig.bones[role] not in locked}
    if not free_keys and not free_bones and not controls:
        raise TakeError(f"Nothing of {rig.object.name} may move. {' '.join(what_stays(rig))}")
    return Performance(free_keys, free_bones, controls)


def _default_name(clip: Clip) -> str:
    line = " ".join(clip.text.split())
    line = line if len(line) <= 32 else f"{line[:31].rstrip()}…"
    return f"{line or 'Take'} ({label(clip.emotion)}, seed {clip.seed})"


def _fill(
    action: bpy.types.Action,
    rig: Rig,
    mapping: Mapping,
    performance: Performance,
    start_frame: int,
    interpolation: str,
) -> None:
    """Write all curves of the take into the empty ``action``."""
    assert rig.object is not None
    strip = action.layers.new("Performance").strips.new(type="KEYFRAME")
    if performance.shape_keys:
        slot = action.slots.new(id_type="KEY", name=rig.keyed_meshes[0][0].name)
        curves = _Curves(strip.channelbag(slot, ensure=True), start_frame, interpolation)
        for key, values in performance.shape_keys.items():
            curves.add(key_path(key), 0, _group_of(key, mapping), values)
    if (performance.bones or performance.controls) and rig.armature is not None:
        slot = action.slots.new(id_type="OBJECT", name=rig.armature.name)
        curves = _Curves(strip.channelbag(slot, ensure=True), start_frame, interpolation)
        for bone, channel, index, values in bone_channels(rig, performance):
            curves.add(bone_path(bone.name) + channel, index, bone.name, values)


def _group_of(key: str, mapping: Mapping) -> str:
    """The channel group a shape key is listed under: the region its strongest ARKit channel belongs to."""
    gains = mapping.shape_keys.get(key, {})
    groups = {ARKIT_GROUPS.get(channel) for channel in gains}
    group = groups.pop() if len(groups) == 1 else None
    return group.capitalize() if group else "Expression"


class _Curves:
    """Adds F-curves to one channelbag, keys in bulk (60 to 200 times faster than keyframe_insert)."""

    def __init__(self, bag: bpy.types.ActionChannelbag, start_frame: int, interpolation: str) -> None:
        self.bag = bag
        self.start_frame = start_frame
        self.interpolation = _INTERPOLATION[interpolation]

    def add(self, path: str, index: int, group: str, values: npt.NDArray[Any]) -> None:
        """One curve with a key per frame, or two keys when ``values``, shape (T,), never changes."""
        frames = np.arange(len(values))
        if len(values) > 2 and np.ptp(values) == 0:
            frames = frames[[0, -1]]
        curve = self.bag.fcurves.new(path, index=index)
        curve.group = self.bag.groups.get(group) or self.bag.groups.new(group)
        points = curve.keyframe_points
        points.add(len(frames))
        points.foreach_set("co", np.stack([frames + self.start_frame, values[frames]], 1).astype(np.float32).ravel())
        points.foreach_set("interpolation", [self.interpolation] * len(frames))
        for side in ("handle_left_type", "handle_right_type"):
            points.foreach_set(side, [_AUTO_CLAMPED] * len(frames))
        curve.update()


def _widen_sliders(rig: Rig, performance: Performance, undo: ExitStack, all_keys: bool) -> None:
    extremes = {name: (float(v.min()), float(v.max())) for name, v in performance.shape_keys.items() if len(v)}
    ranges.widen(rig, extremes, undo, all_keys=all_keys)
