# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration: takes of version 0.1.0, actions that ruled a face for the whole scene, become lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import bpy
import numpy as np

from ..character.choose import mapping_for
from ..character.mapping import Mapping, MappingError
from ..character.rig import Rig
from ..clip import Clip, ClipError
from ..segments import Segment, SegmentError
from ..sentences import told
from ..shared import ARKIT55
from ..storage import StoredError, from_text
from ..versions import upgraded
from .lines import LineError, Lines
from .owners import Owner, curves_in, owners_of
from .record import Line
from .store import TARGETS, as_stored, take_of
from .targets import name_in

#: What made an action a take, and the shape keys that knew their takes.
_TAKE_PROPERTY: Final = "cteg"
_FACE_PROPERTY: Final = "cteg_face"
#: What an action is marked with that was a take.
_DONE_PROPERTY: Final = "cteg_0_1"


def old_takes(rig: Rig) -> list[bpy.types.Action]:
    """The takes of version 0.1.0 of a character, in the order in which they were made."""
    owners = owners_of(rig)
    if not owners:
        return []
    face = owners[0].datablock.get(_FACE_PROPERTY)
    in_use = {owner.action for owner in owners}
    found = []
    for action in bpy.data.actions:
        made = _made(action) if _TAKE_PROPERTY in action else None
        if made is not None and (made.get("face") == face or action in in_use):
            found.append((made["number"], action))
    return [action for _, action in sorted(found, key=lambda pair: pair[0])]


def migrate(scene: bpy.types.Scene, rig: Rig, mapping: Mapping | None) -> list[str]:
    """Make lines of the old takes of a character; returns what was done, in sentences.

    The actions of the takes are kept in the file, and the animator's that were pushed down for them are active again.

    Raises:
        LineError: there are none, or they cannot be written; then nothing has changed.
    """
    takes = old_takes(rig)
    if not takes:
        raise LineError("This character has no takes of an older CTEG.")
    lines = Lines(scene, rig, mapping or _usual_mapping(rig))
    owners = owners_of(rig)
    shown = next((owner.action for owner in owners if owner.action in takes), None)
    fps = float(scene.render.fps / scene.render.fps_base)
    made = [(action, record) for action in takes if (record := _made(action)) is not None]
    groups: dict[tuple[str, int], list[tuple[bpy.types.Action, Clip]]] = {}
    for action, record in made:
        groups.setdefault((record["text"], record["start_frame"]), []).append((action, _clip(action, record, fps)))
    for owner in owners:
        lines.said.extend(_back_to_the_animator(owner, takes))
    bpy.context.view_layer.update()
    for (text, start), clips in groups.items():
        stored = tuple(take_of(clip, str(number)) for number, (_, clip) in enumerate(clips, 1))
        place = next((place for place, (action, _) in enumerate(clips) if action == shown), 0)
        line = Line(uuid4().hex[:8], text, rig.object.name, float(start), takes=stored, shown=place)
        numbers = {take.key: as_stored(clip) for take, (_, clip) in zip(stored, clips, strict=True)}
        lines.adopt([(line, numbers, {})])
    for action in takes:
        action[_DONE_PROPERTY] = action[_TAKE_PROPERTY]
        del action[_TAKE_PROPERTY]
    if _FACE_PROPERTY in owners[0].datablock:
        del owners[0].datablock[_FACE_PROPERTY]
    sentence = "Takes that became lines: {takes}, in lines: {lines}. Their actions are still in the file."
    lines.said.append(told(sentence, takes=len(takes), lines=len(groups)))
    return lines.said


def _usual_mapping(rig: Rig) -> Mapping | None:
    """The mapping of the character for the takes that the bundled checkpoint makes; None where there is none."""
    channels = ARKIT55.channels
    try:
        return mapping_for(rig, Clip(np.zeros((1, len(channels)), np.float32), channels, 24.0, ARKIT55.name))
    except MappingError:
        return None


def _made(action: bpy.types.Action) -> dict[str, Any] | None:
    """What a take was made from; None where that is damaged, or of a version that never was."""
    try:
        data = upgraded("take", from_text(action[_TAKE_PROPERTY]))
    except (StoredError, AttributeError):
        return None
    wanted = {
        "number": int, "start_frame": int, "text": str, "seed": int, "last_seed": int, "settings": dict,
        "segments": list,
    }  # fmt: skip
    sound = all(isinstance(data.get(name), kind) and data.get(name) is not True for name, kind in wanted.items())
    return data if sound else None


def _clip(action: bpy.types.Action, made: dict[str, Any], fps: float) -> Clip:
    """A take as the values of its targets on the frames of the scene."""
    first, last = (round(frame) for frame in action.frame_range)
    frames = range(first, min(last, first + 10_000) + 1)
    columns = {}
    for slot in action.slots:
        for curve in curves_in(action, slot):
            if channel := _channel(curve, slot.target_id_type):
                columns[channel] = [curve.evaluate(frame) for frame in frames]
    if not columns:
        sentence = "The old take {name} has no curves that can be read; delete its action and try again."
        raise LineError(sentence, name=action.name)
    values = np.array(list(columns.values()), np.float32).T
    scale = len(frames) / max(made.get("frames", 0), 1)
    try:
        segments = tuple(_segments(made, scale))
        return Clip(
            values, tuple(columns), fps, TARGETS, made["text"], made["seed"], str(made.get("emotion", "neutral")),
            made["settings"], segments, made["last_seed"],
        )  # fmt: skip
    except (ClipError, SegmentError) as error:
        raise LineError("The old take {name} is damaged: {why}", name=action.name, why=error) from None


def _segments(made: dict[str, Any], scale: float) -> Iterator[Segment]:
    for data in made.get("segments", ()):
        segment = Segment.from_json(data)
        yield replace(segment, start=round(segment.start * scale), end=round(segment.end * scale))


def _channel(curve: bpy.types.FCurve, kind: str) -> str:
    """The name of a target among the channels of a take of targets, "" for what 0.1.0 never wrote."""
    prop = curve.data_path.rpartition(".")[2]
    if kind == "KEY":
        return f"key\t{name_in(curve.data_path)}"
    return f"bone\t{name_in(curve.data_path)}\t{prop}\t{curve.array_index}" if "pose.bones" in curve.data_path else ""


def _back_to_the_animator(owner: Owner, takes: list[bpy.types.Action]) -> Iterator[str]:
    """Take an old take off an owner, put what it moved to rest, and make what was pushed down for it active again."""
    action, data = owner.action, owner.data
    if action not in takes or action is None or data is None:
        return
    moved = {name_in(curve.data_path) for slot in action.slots for curve in curves_in(action, slot)}
    data.action = None
    if owner.kind == "KEY":
        for block in owner.datablock.key_blocks:
            if block.name in moved and block != owner.datablock.reference_key:
                block.value = 0.0
    else:
        for bone in owner.datablock.pose.bones:
            if bone.name in moved:
                bone.rotation_quaternion, bone.rotation_euler = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
                bone.rotation_axis_angle = (0.0, 0.0, 1.0, 0.0)
    track = data.nla_tracks[-1] if len(data.nla_tracks) else None
    if track is None or len(track.strips) != 1 or not _pushed_down(track.strips[0], track):
        return
    strip = track.strips[0]
    mine, slot = strip.action, strip.action_slot
    data.nla_tracks.remove(track)
    data.action = mine
    data.action_slot = slot
    sentence = "{action}, which had been pushed down, is the action of the {name} again."
    yield told(sentence, action=mine.name, name=owner.label)


def _pushed_down(strip: bpy.types.NlaStrip, track: bpy.types.NlaTrack) -> bool:
    """Whether 0.1.0 made a strip, untouched since: the whole action, where it was, over everything."""
    return bool(
        strip.action is not None
        and track.name.split(".")[0] == strip.action.name.split(".")[0]
        and not track.mute
        and not strip.mute
        and strip.scale == 1.0
        and strip.repeat == 1.0
        and strip.blend_type == "REPLACE"
        and strip.extrapolation == "HOLD"
        and not strip.use_animated_influence
        and strip.frame_start == strip.action_frame_start
    )
