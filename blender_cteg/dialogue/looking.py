# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking: where the eyes of characters are in the scene, and which way somebody else is from there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from ..character.geometry import coordinates
from ..character.rig import Rig
from ..performance.gaze import COMES, GOES, Glance, head_turn, reach
from ..performance.owners import curves_in
from ..performance.targets import name_in

#: Shape keys of the lids: what they move lies around the eyes.
_LIDS: Final = ("eyeBlinkLeft", "eyeBlinkRight")
#: Vertices that a lid moves by this part of the most belong to it.
_MOVED: Final = 0.5
#: Times that the turn of the head is thought through.
_ROUNDS: Final = 4


@dataclass(frozen=True)
class Attention:
    """What a character looks at from a frame on: another character, or any object; None: straight ahead."""

    frame: float
    target: Any = None


class Sight:
    """Which way characters see each other, at any frame of the scene.

    Args:
        scene: where they are; its frame is moved only where something that is looked at, or looks, moves by itself.
    """

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        self._lids: dict[str, Vector] = {}
        self._known: dict[tuple[str, str, int], tuple[float, float]] = {}

    def direction(self, rig: Rig, target: Rig | bpy.types.Object, frame: float) -> tuple[float, float]:
        """How far to the left of ``rig``'s face, and how far below straight ahead, a target is at a frame; radians."""
        moves = _moves(rig) or _moves(target)
        key = _name(rig), _name(target), round(frame) if moves else 0
        if key not in self._known:
            now = self._scene.frame_current
            if moves and now != round(frame):
                self._scene.frame_set(round(frame))
            self._known[key] = self._seen(rig, target)
            if self._scene.frame_current != now:
                self._scene.frame_set(now)
        return self._known[key]

    def _seen(self, rig: Rig, target: Rig | bpy.types.Object) -> tuple[float, float]:
        there = self.eyes(target) if isinstance(target, Rig) else target.matrix_world.translation
        there, eyes, pivot = face_matrix(rig).inverted_safe() @ there, self._own_eyes(rig), _pivot(rig)
        yaw = pitch = 0.0
        for _ in range(_ROUNDS):  # the head that turns takes the eyes to another place
            side, down = head_turn(yaw, pitch)
            at = pivot + Euler((down, side, 0.0), "ZXY").to_matrix() @ (eyes - pivot)
            left, up, ahead = (float(value) for value in there - at)
            yaw, pitch = math.atan2(left, ahead), -math.atan2(up, max(math.hypot(left, ahead), 1e-9))
        return yaw, pitch

    def eyes(self, rig: Rig) -> Vector:
        """The middle between the eyes in the scene."""
        return face_matrix(rig) @ self._own_eyes(rig)

    def _own_eyes(self, rig: Rig) -> Vector:
        """The same in FLAME's axes of the face (`face_matrix`)."""
        name = _name(rig)
        if name not in self._lids:
            self._lids[name] = _axes(rig).inverted() @ _eyes_at_rest(rig)
        return self._lids[name]


def face_matrix(rig: Rig) -> Matrix:
    """FLAME's axes of a face, x to its left, y up and z ahead, into the scene, as its body holds the head now."""
    space = rig.armature or rig.object
    assert space is not None
    return space.matrix_world @ _carried(rig) @ _axes(rig)


def _axes(rig: Rig) -> Matrix:
    return Matrix([tuple(row) for row in rig.axes]).to_4x4()


def _carried(rig: Rig) -> Matrix:
    """How the body has moved the head from where it is at rest: what the head's bone hangs on, in the armature."""
    role = next((role for role in ("head", "neck") if role in rig.bones), None)
    if rig.armature is None or role is None:
        return Matrix.Identity(4)
    parent = rig.armature.pose.bones[rig.bones[role]].parent
    return Matrix.Identity(4) if parent is None else parent.matrix @ parent.bone.matrix_local.inverted_safe()


def _pivot(rig: Rig) -> Vector:
    """What the head turns about, in FLAME's axes of the face."""
    role = next((role for role in ("head", "neck") if role in rig.bones), None)
    if rig.armature is None or role is None:
        return _axes(rig).inverted() @ _eyes_at_rest(rig)
    return _axes(rig).inverted() @ rig.armature.data.bones[rig.bones[role]].head_local


def _eyes_at_rest(rig: Rig) -> Vector:
    """The middle between the eyes in the armature's space (the mesh's without one): of the bones, else of the lids."""
    if rig.armature is not None and {"left_eye", "right_eye"} <= set(rig.bones):
        heads = [rig.armature.data.bones[rig.bones[role]].head_local for role in ("left_eye", "right_eye")]
        return (heads[0] + heads[1]) / 2
    mesh = rig.object.data
    into = (rig.armature or rig.object).matrix_world.inverted_safe() @ rig.object.matrix_world
    blocks: Any = mesh.shape_keys.key_blocks if mesh.shape_keys is not None else ()
    names = [name for channel in _LIDS for name in rig.shape_keys.get(channel, ()) if name in blocks]
    centres = []
    for name in names:
        rest, moved = (coordinates(block.data) for block in (mesh.shape_keys.reference_key, blocks[name]))
        distances = np.linalg.norm(moved - rest, axis=1)
        if distances.max() > 0.0:
            centres.append(rest[distances > _MOVED * distances.max()].mean(0))
    corners = np.array([tuple(corner) for corner in rig.object.bound_box])
    return into @ Vector(np.mean(centres, axis=0) if centres else corners.mean(0))


def _name(target: Rig | bpy.types.Object) -> str:
    obj = target.object if isinstance(target, Rig) else target
    return "" if obj is None else obj.name_full


def _moves(target: Rig | bpy.types.Object) -> bool:
    """Whether something moves an object by itself, or what a face hangs on: keys, constraints, drivers, a parent."""
    obj = (target.armature or target.object) if isinstance(target, Rig) else target
    hangs: set[str] = set()
    if isinstance(target, Rig) and target.armature is not None:
        role = next((role for role in ("head", "neck") if role in target.bones), None)
        bone = target.armature.data.bones[target.bones[role]].parent if role else None
        while bone is not None:
            hangs.add(bone.name)
            bone = bone.parent
        if any(len(target.armature.pose.bones[name].constraints) for name in hangs):
            return True
    while obj is not None:
        data = obj.animation_data
        if len(obj.constraints) or (data is not None and any(_moved_by(path, hangs) for path in _paths(data))):
            return True
        obj, hangs = obj.parent, set()
    return False


def _paths(data: bpy.types.AnimData) -> Iterator[str]:
    """The data paths of all that an object's actions, strips and drivers move."""
    strips = [strip for track in data.nla_tracks for strip in track.strips]
    for action, slot in [(data.action, data.action_slot), *((strip.action, strip.action_slot) for strip in strips)]:
        yield from (curve.data_path for curve in (curves_in(action, slot) if action and slot else ()))
    yield from (driver.data_path for driver in data.drivers)


def _moved_by(path: str, bones: set[str]) -> bool:
    """Whether a data path moves its object, or one of these bones."""
    if path.startswith("pose.bones"):
        return name_in(path) in bones
    return path in ("location", "scale") or path.startswith("rotation")


def glances(
    sight: Sight, rig: Rig, attention: Sequence[Attention], start: float, end: float, fps: float, *, goes_on: bool,
    is_gone_on: bool,
) -> tuple[Glance, ...]:  # fmt: skip
    """Where a line looks that plays from one frame to another.

    Args:
        sight: measures directions.
        rig: who looks.
        attention: what at, in the order of frames.
        start, end: first and last frame of the line.
        fps: frames of the scene per second of the line's take.
        goes_on: a line of the character goes over into this one, or ends on the frame before; else it begins at rest,
            looking straight ahead: who is about to speak looks away first (Kendon 1967).
        is_gone_on: this one goes over into another, or ends on the frame before it; else it ends at rest, looking
            straight ahead.
    """
    before = [one for one in attention if one.frame <= start]
    moments = [Attention(start, before[-1].target if before else None)]
    moments += [one for one in attention if start < one.frame < end]
    if not goes_on:
        moments = [Attention(start), *(Attention(max(one.frame, start + COMES * fps), one.target) for one in moments)]
    if not is_gone_on:
        last = end - GOES * fps
        moments = [*(one for one in moments if one.frame < last), Attention(max(last, start))]
    found: list[Glance] = []
    for one in moments:
        yaw, pitch = (0.0, 0.0) if one.target is None else sight.direction(rig, one.target, one.frame)
        if not found or (yaw, pitch) != (found[-1].yaw, found[-1].pitch):
            found.append(Glance(round((one.frame - start) / fps, 4), round(yaw, 4), round(pitch, 4)))
    return () if all(one.yaw == one.pitch == 0.0 for one in found) else tuple(found)


def is_out_of_reach(yaw: float, pitch: float) -> bool:
    """Whether somebody in this direction can be looked at by turning the body alone."""
    most = reach()
    return abs(yaw) > most[0] + 0.05 or abs(pitch) > most[1] + 0.05
