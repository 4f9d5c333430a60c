# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframes: a clip becomes a take, one new slotted action with a slot for the shape keys and one for the armature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal

import bpy
import numpy as np
import numpy.typing as npt

from ..character.mapping import Mapping, MappingError, Performance
from ..character.rig import Rig
from ..character.stays import held_keys, keys_without_shape, locked_bones, what_stays
from ..emotions import label
from ..shared import ARKIT_GROUPS
from . import ranges
from .clip import Clip
from .controls import bone_channels
from .hidden import why_hidden
from .preview import end_preview
from .reduction import exact_frames, reduced
from .retime import face_at
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
    "Style",
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
_FREE: Final = 0
_ALIGNED: Final = 3
_AUTO_CLAMPED: Final = 4
_SIDES: Final = ("handle_left", "handle_right")


@dataclass(frozen=True)
class Style:
    """How curves are keyed.

    Attributes:
        interpolation: how Blender goes from key to key.
        reduction: how far a curve may be off to save keys, percent of its range (`reduction`); 0: a key on every frame.
    """

    interpolation: Literal["BEZIER", "LINEAR"] = "BEZIER"
    reduction: float = 0.0


STYLE: Final = Style()


def write_take(
    rig: Rig,
    mapping: Mapping,
    clip: Clip,
    *,
    start_frame: int,
    scene: bpy.types.Scene,
    name: str | None = None,
    style: Style = STYLE,
    widen: bool = True,
) -> bpy.types.Action:
    """Write ``clip`` as a new action and show it on the face.

    Every shape key and bone the mapping drives gets keys on whole frames at the scene's frame rate: on each, or on few
    of them where ``style`` asks for a reduction. A channel that never changes gets its first and last key only. Keys
    that a driver holds and bones whose rotation is locked get none (`what_stays` names them). Sliders are widened where
    the keys need it, see `ranges`.

    Args:
        rig: a rig without a problem.
        mapping: how the clip's channels reach this rig, see `rigs.choose.mapping_for`.
        clip: one take.
        start_frame: scene frame of the clip's first row.
        scene: gives the frame rate.
        name: the action's name; by default the line, the emotion and the seed.
        style: how its curves are keyed.
        widen: whether sliders other than FLAME's may be widened; where not, Blender cuts their values off.

    Returns:
        The action, shown on the whole character.

    Raises:
        TakeError: the take cannot be written; nothing has changed.
    """
    with ExitStack() as undo:
        action = _written(rig, mapping, clip, start_frame, scene, name, style, widen, undo)
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
    style: Style = STYLE,
    widen: bool = True,
) -> list[bpy.types.Action]:
    """Write several takes, all or none, and show the first; everything else as in `write_take`."""
    with ExitStack() as undo:
        actions = [_written(rig, mapping, clip, start_frame, scene, None, style, widen, undo) for clip in clips]
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
    style: Style,
    widen: bool,
    undo: ExitStack,
) -> bpy.types.Action:
    """One take, not shown yet; ``undo`` learns how to take it back."""
    if rig.problem is not None:
        raise TakeError(rig.problem)
    if style.interpolation not in _INTERPOLATION:
        raise TakeError(f"The interpolation {style.interpolation!r} is unknown. Use 'BEZIER' or 'LINEAR'.")
    face = face_at(clip, scene.render.fps / scene.render.fps_base)
    try:
        performance = mapping.apply(face)
    except MappingError as error:
        raise TakeError(str(error)) from None
    performance = _on_this_face(rig, performance)
    end_preview()  # it widens sliders for a while, and so do takes for good
    action = bpy.data.actions.new(name or _default_name(clip))
    undo.callback(bpy.data.actions.remove, action)
    _fill(action, rig, mapping, performance, _Keys(start_frame, style, exact_frames(face, clip.timeline)))
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


def _fill(action: bpy.types.Action, rig: Rig, mapping: Mapping, performance: Performance, keys: _Keys) -> None:
    """Write all curves of the take into the empty ``action``."""
    strip = action.layers.new("Performance").strips.new(type="KEYFRAME")
    if performance.shape_keys:
        slot = action.slots.new(id_type="KEY", name=rig.keyed_meshes[0][0].name)
        bag = strip.channelbag(slot, ensure=True)
        for key, values in performance.shape_keys.items():
            curve = _curve(bag, key_path(key), 0, _group_of(key, mapping))
            # A slider's range is 1; only FLAME's coefficients go on.
            keys.put(curve, values, max(1.0, float(np.ptp(values))), mapping.shape_keys[key])
    if (performance.bones or performance.controls) and rig.armature is not None:
        slot = action.slots.new(id_type="OBJECT", name=rig.armature.name)
        bag = strip.channelbag(slot, ensure=True)
        channels = list(bone_channels(rig, performance))
        spans: dict[tuple[str, str], float] = {}  # what a bone turns or moves over all: its axes belong together
        for bone, channel, _, values in channels:
            spans[bone.name, channel] = max(spans.get((bone.name, channel), 0.0), float(np.ptp(values)))
        for bone, channel, index, values in channels:
            curve = _curve(bag, bone_path(bone.name) + channel, index, bone.name)
            keys.put(curve, values, spans[bone.name, channel], _moving(bone.name, rig, mapping))


def _moving(bone: str, rig: Rig, mapping: Mapping) -> set[str]:
    """The channels that move a bone."""
    turning = (mapping.bones.get(role, {}) for role, name in rig.bones.items() if name == bone)
    return set(mapping.controls.get(bone, {})).union(*turning)


def _group_of(key: str, mapping: Mapping) -> str:
    """The channel group a shape key is listed under: the region its strongest ARKit channel belongs to."""
    gains = mapping.shape_keys.get(key, {})
    groups = {ARKIT_GROUPS.get(channel) for channel in gains}
    group = groups.pop() if len(groups) == 1 else None
    return group.capitalize() if group else "Expression"


def _curve(bag: bpy.types.ActionChannelbag, path: str, index: int, group: str) -> bpy.types.FCurve:
    curve = bag.fcurves.new(path, index=index)
    curve.group = bag.groups.get(group) or bag.groups.new(group)
    return curve


@dataclass(frozen=True)
class _Keys:
    """Puts the keys of a take on F-curves, in bulk (60 to 200 times faster than keyframe_insert).

    Attributes:
        start_frame: scene frame of the first key.
        style: how curves are keyed.
        exact: channel -> frames that keep their key when others are saved.
    """

    start_frame: int
    style: Style
    exact: dict[str, npt.NDArray[np.int64]]

    def put(self, curve: bpy.types.FCurve, values: npt.NDArray[Any], span: float, channels: Iterable[str]) -> None:
        """The keys of an empty curve.

        Args:
            curve: the curve.
            values: one per frame, shape (T,).
            span: the range that a reduction is a percentage of.
            channels: what drives it.
        """
        linear, keys = self.style.interpolation == "LINEAR", None
        frames = np.arange(len(values))
        if self.style.reduction > 0 and len(values) > 2:
            keep = {int(frame) for channel in channels for frame in self.exact.get(channel, ())}
            keys = reduced(values, keep, 0.01 * self.style.reduction * span, straight=linear)
            frames = keys.frames
        elif len(values) > 2 and np.ptp(values) == 0:
            frames = frames[[0, -1]]
        points = curve.keyframe_points
        points.add(len(frames))
        points.foreach_set("co", np.stack([frames + self.start_frame, values[frames]], 1).astype(np.float32).ravel())
        points.foreach_set("interpolation", [_INTERPOLATION[self.style.interpolation]] * len(frames))
        if keys is None or linear:
            for side in _SIDES:
                points.foreach_set(f"{side}_type", [_AUTO_CLAMPED] * len(frames))
        else:
            handles = keys.handles()
            handles[..., 0] += self.start_frame
            for index, side in enumerate(_SIDES):
                points.foreach_set(f"{side}_type", np.where(keys.aligned, _ALIGNED, _FREE))
                points.foreach_set(side, handles[:, index].astype(np.float32).ravel())
        curve.update()


def _widen_sliders(rig: Rig, performance: Performance, undo: ExitStack, all_keys: bool) -> None:
    extremes = {name: (float(v.min()), float(v.max())) for name, v in performance.shape_keys.items() if len(v)}
    ranges.widen(rig, extremes, undo, all_keys=all_keys)
