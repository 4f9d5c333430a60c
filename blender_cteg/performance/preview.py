# SPDX-License-Identifier: GPL-3.0-or-later
"""Preview: one channel shown on the face for a while, without keys.

What the face looked like before is written beside the pose, into a custom property of the datablocks that are posed.
So the pose can be taken back whatever happens: before the file is saved, at another frame, before a render or a take,
and after an undo step or a recovered file that brings a posed face back.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any, Final

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..character.controls import bone_channels
from ..character.mapping import Adjustment, Mapping
from ..character.rig import Rig
from ..clip import Clip
from ..storage import StoredError, from_text, to_text

#: The custom property of a shape-key datablock or armature object that holds how it was before the preview.
PREVIEW_PROPERTY: Final = "cteg_preview"
#: Blender's own limit of a shape key's slider.
_SLIDER_LIMIT: Final = 10.0

#: Whether this session posed a face and has not taken it back, so that a change of frame costs nothing else.
_posed = False
#: What a preview sets, of shape keys and of bones.
_POSED: Final = frozenset(
    {"slider_min", "slider_max", "value", "location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle"}
)


def show_pose(rig: Rig, mapping: Mapping, channel: str, value: float) -> None:
    """Pose the face as ``channel`` at ``value`` does, everything else that the mapping drives at rest.

    Nothing gets keys, and `end_preview` puts everything back. A muted channel is shown too.

    Args:
        rig: a rig without a problem.
        mapping: the mapping of that rig.
        channel: one of the channels of its space.
        value: in the channel's own unit.

    Raises:
        MappingError, ClipError: the value or the mapping cannot be performed; nothing has changed.
    """
    global _posed
    adjustment = mapping.channels.get(channel, Adjustment())
    alone = replace(mapping, channels={channel: replace(adjustment, mute=False)})
    channels = tuple(dict.fromkeys((channel, *alone.driving())))
    values = np.zeros((1, len(channels)), np.float32)
    values[0, 0] = value
    performance = alone.apply(Clip(values, channels, 24.0, mapping.source_space))
    _posed = True
    for key, _ in rig.keyed_meshes:
        if key.is_editable:
            blocks = {name: key.key_blocks.get(name) for name in performance.shape_keys}
            _pose(key, [pose for name, b in blocks.items() if b for pose in _slid(b, performance.shape_keys[name][0])])
    if rig.armature is not None and rig.armature.is_editable:
        turned: dict[tuple[str, str], tuple[Any, str, list[float]]] = {}
        for bone, path, index, row in bone_channels(rig, performance):
            values = turned.setdefault((bone.name, path), (bone, path, list(getattr(bone, path))))[2]
            values[index] = float(row[0])
        _pose(rig.armature, list(turned.values()))


def end_preview() -> None:
    """Put back what `show_pose` posed; nothing to do costs nothing."""
    if _posed:
        take_back_poses()


def is_posed(rig: Rig) -> bool:
    """Whether this face shows a preview now."""
    return _posed and any(PREVIEW_PROPERTY in key for key, _ in rig.keyed_meshes)


def take_back_poses() -> None:
    """Put back every preview that is found in the file, this session's or another's."""
    global _posed
    _posed = False
    for datablock in (*bpy.data.shape_keys, *bpy.data.objects):
        if PREVIEW_PROPERTY in datablock and datablock.is_editable:
            text = datablock[PREVIEW_PROPERTY]
            del datablock[PREVIEW_PROPERTY]
            for pose in reversed(_stored(text)):
                with contextlib.suppress(ValueError, TypeError, AttributeError):  # a key or bone that is gone
                    path, name, value = pose
                    owner = datablock.path_resolve(path)
                    # A file says what is set where: nothing but what a pose consists of, and nothing elsewhere.
                    if name in _POSED and isinstance(owner, bpy.types.ShapeKey | bpy.types.PoseBone):
                        setattr(owner, name, value)


def _stored(text: object) -> list[Any]:
    """What a datablock was before; nothing where somebody else's property has that name."""
    try:
        stored = from_text(text)
    except StoredError:
        return []
    return stored if isinstance(stored, list) else []


def _slid(block: Any, value: float) -> list[tuple[Any, str, Any]]:
    """A shape key at a value. A slider clamps; it is as wide as it was when the preview ends."""
    value = min(max(float(value), -_SLIDER_LIMIT), _SLIDER_LIMIT)
    low, high = min(block.slider_min, value), max(block.slider_max, value)
    return [(block, "slider_min", low), (block, "slider_max", high), (block, "value", value)]


def _pose(datablock: Any, poses: list[tuple[Any, str, Any]]) -> None:
    """Set properties of keys or bones, and remember on the datablock what they were: path, name and value of each."""
    before = _stored(datablock.get(PREVIEW_PROPERTY))
    known = {(path, name) for path, name, _ in before}
    for owner, name, value in poses:
        path, was = owner.path_from_id(), getattr(owner, name)
        if (path, name) not in known:
            before.append((path, name, list(was) if hasattr(was, "__len__") else was))
        setattr(owner, name, value)
    if before:
        datablock[PREVIEW_PROPERTY] = to_text(before)


@persistent
def _end(*_arguments: object) -> None:
    end_preview()


@persistent
def _take_back(*_arguments: object) -> None:
    take_back_poses()


#: What has to happen when in Blender: a pose must not be saved, rendered or fought over by an animation, and undo steps
#: and files that were made while one was shown must not bring it back.
HANDLERS: Final = (
    ("save_pre", _end),
    ("frame_change_pre", _end),
    ("render_init", _end),
    ("undo_post", _take_back),
    ("redo_post", _take_back),
    ("load_post", _take_back),
)
