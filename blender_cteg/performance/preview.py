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

from ..character.mapping import Adjustment, Mapping
from ..character.rig import Rig
from ..storage import StoredError, from_text, to_text
from .clip import Clip
from .controls import bone_channels

#: The custom property of a shape-key datablock or armature object that holds how it was before the preview.
PREVIEW_PROPERTY: Final = "cteg_preview"
#: Blender's own limit of a shape key's slider.
_SLIDER_LIMIT: Final = 10.0

#: Whether this session posed a face and has not taken it back, so that a change of frame costs nothing else.
_posed = False


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
            _pose_keys(key, {name: float(row[0]) for name, row in performance.shape_keys.items()})
    if rig.armature is not None and rig.armature.is_editable:
        _pose_bones(rig, [(b.name, path, i, float(row[0])) for b, path, i, row in bone_channels(rig, performance)])


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
        if PREVIEW_PROPERTY not in datablock or not datablock.is_editable:
            continue
        text = datablock[PREVIEW_PROPERTY]
        del datablock[PREVIEW_PROPERTY]
        # Somebody else's property of that name, or a damaged one.
        with contextlib.suppress(StoredError, ValueError, TypeError, AttributeError):
            before = from_text(text)
            (_restore_keys if isinstance(datablock, bpy.types.Key) else _restore_bones)(datablock, before)


def _before(datablock: Any) -> dict[str, Any]:
    return from_text(datablock[PREVIEW_PROPERTY]) if PREVIEW_PROPERTY in datablock else {}


def _pose_keys(key: Any, values: dict[str, float]) -> None:
    before = _before(key)
    for name, value in values.items():
        block = key.key_blocks.get(name)
        if block is None:
            continue
        before.setdefault(name, [block.value, block.slider_min, block.slider_max])
        # A slider clamps; it is as wide as it was when the preview ends.
        value = min(max(value, -_SLIDER_LIMIT), _SLIDER_LIMIT)
        block.slider_min, block.slider_max = min(block.slider_min, value), max(block.slider_max, value)
        block.value = value
    key[PREVIEW_PROPERTY] = to_text(before)


def _restore_keys(key: Any, before: dict[str, list[float]]) -> None:
    for name, (value, low, high) in before.items():
        block = key.key_blocks.get(name)
        if block is not None:
            block.value = value
            block.slider_min, block.slider_max = low, high


def _pose_bones(rig: Rig, values: list[tuple[str, str, int, float]]) -> None:
    armature: Any = rig.armature
    before = _before(armature)
    for name, path, index, value in values:
        bone = armature.pose.bones[name]
        before.setdefault(name, {}).setdefault(path, list(getattr(bone, path)))
        getattr(bone, path)[index] = value
    if before:
        armature[PREVIEW_PROPERTY] = to_text(before)


def _restore_bones(armature: bpy.types.Object, before: dict[str, dict[str, list[float]]]) -> None:
    for name, channels in before.items():
        bone = armature.pose.bones.get(name)
        for path, values in channels.items() if bone is not None else ():
            setattr(bone, path, values)


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
