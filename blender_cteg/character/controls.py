# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls: which channels of which pose bones a performance becomes, and their values, continuous over time.

Bones are moved in two ways that may meet on one bone: by the role they play (the jaw turns in FLAME's axes), and as
controls, about or along one of their own axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from bpy.types import PoseBone
from mathutils import Euler, Quaternion

from ..arrays import Floats, Singles
from .axes import Axes
from .mapping import AXES, Performance
from .rig import Rig

_PROPERTY: Final = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}


def bone_channels(rig: Rig, performance: Performance) -> Iterator[tuple[PoseBone, str, int, Floats]]:
    """Every channel that the performance gives to a pose bone of ``rig``.

    Yields:
        The bone, the property (``rotation_quaternion``, ``location``, ...), its index, and the values over time,
        shape (T,). A bone that turns has all channels of its rotation mode; of a location only the axes it is moved
        along, so that the others stay the animator's. What the animator locked has none.
    """
    if rig.armature is None:
        return
    pose = rig.armature.pose.bones
    roles = {rig.bones[role]: vectors for role, vectors in performance.bones.items() if role in rig.bones}
    for name in dict.fromkeys((*roles, *performance.controls)):
        bone = pose.get(name)
        if bone is None:
            continue
        moves = performance.controls.get(name, {})
        turns = {axis: values for (kind, axis), values in moves.items() if kind == "ROTATION"}
        local = _vectors(turns) if turns else None
        if all(bone.lock_rotation):
            rotations = np.zeros((0, 0))
        elif name in roles:
            rotations = bone_rotations(bone, roles[name], rig.axes, local)
        elif local is not None:
            rotations = local_rotations(bone, local)
        else:
            rotations = np.zeros((0, 0))
        for index, values in enumerate(rotations.T):
            yield bone, rotation_property(bone), index, values
        for (kind, axis), values in moves.items():
            if kind == "LOCATION" and not bone.lock_location[AXES.index(axis)]:
                yield bone, "location", AXES.index(axis), values.astype(np.float64)


def _vectors(turns: dict[str, Singles]) -> Floats:
    """Rotation vectors in the bone's own axes, shape (T, 3)."""
    still = np.zeros(len(next(iter(turns.values()))))
    return np.stack([turns.get(axis, still) for axis in AXES], axis=1).astype(np.float64)


def rotation_property(bone: PoseBone) -> str:
    """The property that its rotation mode makes this bone listen to."""
    return _PROPERTY.get(bone.rotation_mode, "rotation_euler")


def bone_rotations(bone: PoseBone, vectors: Singles, axes: Axes, more: Floats | None = None) -> Floats:
    """Values of the bone's `rotation_property` over time.

    Args:
        bone: a pose bone; its rest orientation and rotation mode are respected.
        vectors: rotation vectors in FLAME axes relative to the bone's rest, radians, shape (T, 3).
        axes: `Rig.axes`.
        more: rotation vectors in the bone's own axes, added to them, shape (T, 3).

    Returns:
        Shape (T, 4) for quaternion (w, x, y, z) and axis-angle (angle, x, y, z), (T, 3) for Euler angles; without
        jumps from one frame to the next. Locked axes keep what the animator set.
    """
    to_armature = np.array(axes)
    rest = np.array(bone.bone.matrix_local.to_3x3())
    # A rotation R of the armature's space is M^-1 R M in the rest space M of the bone, so its vector turns by M^-1.
    local = vectors.astype(np.float64) @ (rest.T @ to_armature).T
    return local_rotations(bone, local if more is None else local + more)


def local_rotations(bone: PoseBone, local: Floats) -> Floats:
    """The same from rotation vectors in the bone's own axes at rest, radians, shape (T, 3)."""
    locked = np.array(bone.lock_rotation)
    local = np.where(locked, 0.0, local)
    if bone.rotation_mode == "QUATERNION":
        return _quaternions(local)
    if bone.rotation_mode == "AXIS_ANGLE":
        return _axis_angles(local)
    eulers: list[Euler] = []
    for quaternion in map(Quaternion, _quaternions(local)):
        previous = eulers[-1:] or [Euler((0.0, 0.0, 0.0), bone.rotation_mode)]
        eulers.append(quaternion.to_euler(bone.rotation_mode, previous[0]))
    values = np.array(eulers)
    values[:, locked] = np.array(bone.rotation_euler)[locked]
    return values


def _quaternions(vectors: Floats) -> Floats:
    """Quaternions (w, x, y, z) of rotation vectors, shape (T, 4): of the two for a turn the one near the one before."""
    half = np.linalg.norm(vectors, axis=1, keepdims=True) / 2
    # sin(a) / a as numpy has it, sin(pi x) / (pi x), is 1 at rest.
    turns = np.hstack([np.cos(half), vectors * np.sinc(half / np.pi) / 2])
    turns[1:] *= np.cumprod(np.where((turns[1:] * turns[:-1]).sum(1, keepdims=True) < 0, -1.0, 1.0), axis=0)
    return np.asarray(turns)


def _axis_angles(vectors: Floats) -> Floats:
    """Angle and axis, shape (T, 4); the axis keeps its sense and a still bone keeps its last axis."""
    axis = np.array([0.0, 1.0, 0.0])  # Blender's default for a bone at rest
    rows = []
    for vector in vectors:
        angle = float(np.linalg.norm(vector))
        if angle > 1e-7:
            direction = vector / angle
            if direction @ axis < 0:
                direction, angle = -direction, -angle
            axis = direction
        rows.append([angle, *axis])
    return np.array(rows)
