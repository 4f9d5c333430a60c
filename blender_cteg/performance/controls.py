# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls: which channels of which pose bones a performance becomes.

Bones are moved in two ways that may meet on one bone: by the role they play (the jaw turns in FLAME's axes), and as
controls, about or along one of their own axes.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np
import numpy.typing as npt

from ..character.mapping import AXES, Performance
from ..character.rig import Rig
from .rotations import bone_rotations, local_rotations, rotation_property


def bone_channels(
    rig: Rig, performance: Performance
) -> Iterator[tuple[bpy.types.PoseBone, str, int, npt.NDArray[np.float64]]]:
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


def _vectors(turns: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """Rotation vectors in the bone's own axes, shape (T, 3)."""
    still = np.zeros(len(next(iter(turns.values()))))
    return np.stack([turns.get(axis, still) for axis in AXES], axis=1).astype(np.float64)
