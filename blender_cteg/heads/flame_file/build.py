# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds a FLAME model to a scene: a mesh with Shape, Exp and Pose keys, skinned to an armature."""

from __future__ import annotations

import bpy
import numpy as np
import numpy.typing as npt

from ..assembly import add_key, add_objects, all_or_nothing, bind, fill_mesh, make_bones, select_only
from . import JOINTS, FlameFileError
from .correctives import drive_correctives
from .joints import remember_joints
from .read import FlameModel

Floats = npt.NDArray[np.float64]


def add_flame(
    context: bpy.types.Context,
    model: FlameModel,
    *,
    name: str = "FLAME",
    identities: int = 10,
    expressions: int = 50,
    correctives: bool = False,
    uv: Floats | None = None,
) -> bpy.types.Object:
    """Add ``model`` at the 3D cursor and make it the only selected, active object.

    Args:
        context: where to add it.
        model: what `read.read_flame` read.
        name: of the mesh object; the armature's is followed by "Rig".
        identities: how many keys Shape1, Shape2, … to make, as far as the model has them.
        expressions: how many keys Exp1, Exp2, … to make, as far as the model has them.
        correctives: also make the keys Pose1 to Pose36, driven by the neck, jaw and eye bones.
        uv: texture coordinates of every corner, shape (F, 3, 2), see `template.read_uv`.

    Returns:
        The mesh object: all keys at 0 with sliders from -10 to 10, child of an armature with bones root, neck, jaw,
        left_eye and right_eye.

    Raises:
        FlameFileError: the model has no pose correctives, or the scene cannot take objects; nothing is added.
    """
    if correctives and model.correctives is None:
        raise FlameFileError("This file has no posedirs. Switch Pose Correctives off, or choose another file.")
    try:
        with all_or_nothing(context) as made:
            mesh = bpy.data.meshes.new(name)
            made.append(mesh)
            fill_mesh(mesh, model.template, model.faces, uv)
            remember_joints(mesh, model, identities)
            face, rig = add_objects(context, name, mesh, made)
            make_bones(context, rig, model.joints, model.parents, JOINTS)
            face.shape_key_add(name="Basis", from_mix=False)
            _add_keys(face, "Shape", model.template, model.identity[:, :, :identities])
            _add_keys(face, "Exp", model.template, model.expression[:, :, :expressions])
            if correctives and model.correctives is not None:
                _add_keys(face, "Pose", model.template, model.correctives)
                drive_correctives(face, rig)
            face.active_shape_key_index = 0
            bind(face, rig, model.weights, JOINTS)
            select_only(context, face)
            return face
    except RuntimeError as error:  # what Blender's operators raise
        raise FlameFileError("The face cannot be added to this scene: {why}", why=error) from error


def _add_keys(face: bpy.types.Object, name: str, template: Floats, directions: Floats) -> None:
    """A key for each of ``directions`` (V, 3, K), numbered from one."""
    for index in range(directions.shape[2]):
        add_key(face, f"{name}{index + 1}", template + directions[:, :, index])
