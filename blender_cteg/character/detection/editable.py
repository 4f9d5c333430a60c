# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a mesh cannot be animated though its shape keys are known: linked data, broken or absolute shape keys; and when
nothing of the scene may be touched.
"""

from __future__ import annotations

from typing import Any, Final

import bpy

from ...sentences import told

_READERS: Final = {"RENDER": "render", "OBJECT_BAKE": "bake"}


def rendering() -> str:
    """What of Blender's own reads the scene in a thread, in a word: keys written meanwhile crash it. "" for nothing."""
    return next((word for job, word in _READERS.items() if bpy.app.is_job_running(job)), "")


def override_advice() -> str:
    """How what is linked becomes editable."""
    return told("Make it editable with Object > Library Override > Make, then choose the face again.")


def why_broken(obj: bpy.types.Object) -> str | None:
    """A sentence when the mesh's shape keys can show nothing, else None."""
    key, count = obj.data.shape_keys, len(obj.data.vertices)
    if count == 0:
        sentence = "{name} has no vertices, so its shape keys move nothing. Choose another mesh, or import it again."
        return told(sentence, name=obj.name)
    if not key.use_relative:
        return told(
            "The shape keys of {name} are absolute, so their values are ignored. Turn on Relative in its Shape Keys "
            "panel.", name=obj.name,
        )  # fmt: skip
    # A script that rebuilds a mesh leaves its shape keys with the old number of points; Blender then ignores them.
    broken = next((block for block in key.key_blocks if len(block.data) != count), None)
    if broken is not None and obj.mode != "EDIT":
        return told(
            "The shape key {key} of {name} has {points:,} points and the mesh {count:,} vertices, so Blender ignores "
            "it. Import the mesh again, or remove that shape key.",
            key=broken.name, name=obj.name, points=len(broken.data), count=count,
        )  # fmt: skip
    return None


def why_linked(obj: bpy.types.Object, armature: bpy.types.Object | None = None) -> str | None:
    """A sentence when keyframes cannot be written because data is linked, else None."""
    for datablock in (obj, armature):
        if datablock is not None and not datablock.is_editable:
            sentence = "{name} is linked from {file}. {advice}"
            return told(sentence, name=datablock.name, file=_source(datablock), advice=override_advice())
    if obj.data.shape_keys is not None and not obj.data.shape_keys.is_editable:
        # Make Library Override leaves meshes linked, and shape keys belong to the mesh.
        return told(
            "The mesh of {name} is still linked from {file}, and with it its shape keys. Click the link icon beside "
            "the mesh's name in its Data properties to override it as well.", name=obj.name, file=_source(obj.data),
        )  # fmt: skip
    return None


def drivers_of(key: Any) -> dict[str, Any]:
    """Shape-key name -> the driver that decides its value, on one shape-key datablock; muted ones do not."""
    data = key.animation_data if key is not None else None
    return {
        bpy.utils.unescape_identifier(curve.data_path.removeprefix('key_blocks["').removesuffix('"].value')): curve
        for curve in (data.drivers if data is not None else ())
        if not curve.mute and curve.data_path.startswith('key_blocks["') and curve.data_path.endswith('"].value')
    }


def _source(datablock: bpy.types.ID) -> str:
    return bpy.path.basename(datablock.library.filepath) if datablock.library is not None else told("another file")
