# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the joints of an imported FLAME face are when its identity keys change who it is.

FLAME regresses the joints from the vertices. A face keeps, for each identity key, how far it moves them, so that the
bones can be moved to where jaw, neck and eyes of this person turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils import Vector

from ...sentences import told
from ..assembly import to_blender
from . import JOINTS, FlameFileError

if TYPE_CHECKING:
    from .read import FlameModel

#: The custom property of a mesh: "Basis" and the name of each identity key -> 15 numbers, x, y, z of each joint in the
#: armature's space; for a key, how far it moves them per unit.
JOINTS_PROPERTY: Final = "cteg_flame_joints"


def remember_joints(mesh: bpy.types.Mesh, model: FlameModel, identities: int) -> None:
    """Store on ``mesh`` where the joints are, and how the first ``identities`` keys move them."""
    moved = np.einsum("jv,vck->kjc", model.joint_regressor, model.identity[:, :, :identities])
    table = {"Basis": to_blender(model.joints)}
    table |= {f"Shape{index + 1}": to_blender(offsets) for index, offsets in enumerate(moved)}
    mesh[JOINTS_PROPERTY] = {name: points.ravel().tolist() for name, points in table.items()}


def joints_problem(face: bpy.types.Object | None) -> str:
    """Why the bones of ``face`` cannot be fitted to its identity, as a sentence; "" when they can."""
    if face is None or face.type != "MESH" or len(face.data.get(JOINTS_PROPERTY, ())) < 2:
        return told("Choose a face that was imported from a FLAME file with identity keys as the target.")
    rig = face.find_armature()
    if rig is None or any(name not in rig.data.bones for name in JOINTS):
        return told("{name} has no armature with the bones {bones}.", name=face.name, bones=", ".join(JOINTS))
    if not rig.data.is_editable or face.data.shape_keys is None:
        return told("{name} cannot be edited; fit its bones in the file that it is linked from.", name=rig.name)
    return ""


def fit_bones(context: bpy.types.Context, face: bpy.types.Object) -> float:
    """Move the bones of ``face`` to the joints of its identity keys as they are now.

    Directions and rolls stay, so rotations and their keyframes keep their meaning. Object Mode is needed.

    Returns:
        The longest way that a bone went, in the armature's units.

    Raises:
        FlameFileError: the armature cannot be edited; nothing has changed.
    """
    rig = face.find_armature()
    stored = face.data[JOINTS_PROPERTY]
    blocks = face.data.shape_keys.key_blocks
    joints = np.array(stored["Basis"]).reshape(-1, 3)
    for name in stored.keys():  # noqa: SIM118  (a group of properties, not a dictionary)
        if name in blocks and name != "Basis" and not blocks[name].mute:
            joints = joints + blocks[name].value * np.array(stored[name]).reshape(-1, 3)
    before = context.view_layer.objects.active
    farthest = 0.0
    try:
        context.view_layer.objects.active = rig
        bpy.ops.object.mode_set(mode="EDIT")
        for name, joint in zip(JOINTS, joints, strict=True):
            bone = rig.data.edit_bones[name]
            way = Vector(joint) - bone.head
            bone.head, bone.tail = bone.head + way, bone.tail + way
            farthest = max(farthest, way.length)
    except RuntimeError as error:
        sentence = "{name} cannot be edited: {why} Show it in the scene, then try again."
        raise FlameFileError(sentence, name=rig.name, why=error) from error
    finally:
        if rig.mode == "EDIT":
            bpy.ops.object.mode_set(mode="OBJECT")
        context.view_layer.objects.active = before
    return farthest
