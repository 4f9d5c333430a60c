# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives FLAME's pose correctives: 36 shape keys follow the rotations of the neck, jaw and eye bones.

FLAME adds to its vertices, before skinning, one direction per element of R - I, R being each joint's rotation as a
3x3 matrix, row by row, neck to right eye. A bone's rotation reaches a driver as a quaternion, and each element of R
is a short product of its parts: an expression that Blender evaluates itself, so drivers work without Auto Run Python.
"""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np

from ...character.rig import BLENDER_AXES
from . import JOINTS

#: R - I of a unit quaternion (w, x, y, z) row by row: the sum of two products, each a sign and two parts, times two.
_ELEMENTS: Final = (
    ("-yy", "-zz"), ("+xy", "-wz"), ("+xz", "+wy"),
    ("+xy", "+wz"), ("-xx", "-zz"), ("+yz", "-wx"),
    ("+xz", "-wy"), ("+yz", "+wx"), ("-xx", "-yy"),
)  # fmt: skip


def drive_correctives(face: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Drive the keys Pose1 to Pose36 of ``face`` by the bones of ``rig``, whatever their rotation modes."""
    blocks = face.data.shape_keys.key_blocks
    for joint, bone_name in enumerate(JOINTS[1:]):
        axes = _bone_axes(rig.data.bones[bone_name])
        for index, products in enumerate(_ELEMENTS):
            curve = blocks[f"Pose{9 * joint + index + 1}"].driver_add("value")
            _drive(curve.driver, rig, bone_name, products, axes)


def _drive(
    driver: bpy.types.Driver,
    rig: bpy.types.Object,
    bone_name: str,
    products: tuple[str, str],
    axes: dict[str, tuple[str, int]],
) -> None:
    terms = []
    for product in products:
        sign, one, other = tuple(product)
        positive = (sign == "+") == (axes[one][1] * axes[other][1] > 0)
        terms.append(f"{'+' if positive else '-'}{one}*{other}")
    for part in sorted(set("".join(products)) & set("wxyz")):
        variable = driver.variables.new()
        variable.name = part
        variable.type = "TRANSFORMS"
        target = variable.targets[0]
        target.id, target.bone_target = rig, bone_name
        target.transform_space = "LOCAL_SPACE"
        target.rotation_mode = "QUATERNION"
        target.transform_type = f"ROT_{axes[part][0]}"
    driver.type = "SCRIPTED"
    driver.expression = f"2*({''.join(terms).removeprefix('+')})"


def _bone_axes(bone: bpy.types.Bone) -> dict[str, tuple[str, int]]:
    """For each part of a quaternion in FLAME's axes, the part in the bone's own axes and its sign.

    The bones of an imported model lie along FLAME's axes (`assembly.make_bones`), so the parts only change places.
    """
    in_flame = np.array(BLENDER_AXES).T @ np.array(bone.matrix_local.to_3x3())
    axes = {"w": ("W", 1)}
    for part, row in zip("xyz", in_flame, strict=True):
        own = int(np.abs(row).argmax())
        axes[part] = ("XYZ"[own], 1 if row[own] > 0 else -1)
    return axes
