# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a mesh cannot be animated though its shape keys are known: linked data, broken or absolute shape keys."""

from __future__ import annotations

from typing import Final

import bpy

OVERRIDE_ADVICE: Final = "Make it editable with Object > Library Override > Make, then choose the face again."


def why_broken(obj: bpy.types.Object) -> str | None:
    """A sentence when the mesh's shape keys can show nothing, else None."""
    key, count = obj.data.shape_keys, len(obj.data.vertices)
    if count == 0:
        return f"{obj.name} has no vertices, so its shape keys move nothing. Choose another mesh, or import it again."
    if not key.use_relative:
        return (
            f"The shape keys of {obj.name} are absolute, so their values are ignored. Turn on Relative in its Shape "
            "Keys panel."
        )
    # A script that rebuilds a mesh leaves its shape keys with the old number of points; Blender then ignores them.
    broken = next((block for block in key.key_blocks if len(block.data) != count), None)
    if broken is not None and obj.mode != "EDIT":
        return (
            f"The shape key {broken.name} of {obj.name} has {len(broken.data):,} points and the mesh {count:,} "
            "vertices, so Blender ignores it. Import the mesh again, or remove that shape key."
        )
    return None


def why_linked(obj: bpy.types.Object, armature: bpy.types.Object | None = None) -> str | None:
    """A sentence when keyframes cannot be written because data is linked, else None."""
    for datablock in (obj, armature):
        if datablock is not None and not datablock.is_editable:
            return f"{datablock.name} is linked from {_source(datablock)}. {OVERRIDE_ADVICE}"
    if obj.data.shape_keys is not None and not obj.data.shape_keys.is_editable:
        # Make Library Override leaves meshes linked, and shape keys belong to the mesh.
        return (
            f"The mesh of {obj.name} is still linked from {_source(obj.data)}, and with it its shape keys. Click the "
            "link icon beside the mesh's name in its Data properties to override it as well."
        )
    return None


def _source(datablock: bpy.types.ID) -> str:
    return bpy.path.basename(datablock.library.filepath) if datablock.library is not None else "another file"
