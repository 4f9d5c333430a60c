# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations: from FLAME axes to the channels of one pose bone, continuous over time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from bpy.types import PoseBone
from mathutils import Euler, Quaternion

from ..character.axes import Axes

_PROPERTY: Final = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}


def rotation_property(bone: PoseBone) -> str:
    """The property that its rotation mode makes this bone listen to."""
    return _PROPERTY.get(bone.rotation_mode, "rotation_euler")


def bone_rotations(
    bone: PoseBone, vectors: npt.NDArray[np.float32], axes: Axes, more: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
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


def local_rotations(bone: PoseBone, local: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
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


def _quaternions(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Quaternions (w, x, y, z) of rotation vectors, shape (T, 4): of the two for a turn the one near the one before."""
    half = np.linalg.norm(vectors, axis=1, keepdims=True) / 2
    # sin(a) / a as numpy has it, sin(pi x) / (pi x), is 1 at rest.
    turns = np.hstack([np.cos(half), vectors * np.sinc(half / np.pi) / 2])
    turns[1:] *= np.cumprod(np.where((turns[1:] * turns[:-1]).sum(1, keepdims=True) < 0, -1.0, 1.0), axis=0)
    return np.asarray(turns)


def _axis_angles(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
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
