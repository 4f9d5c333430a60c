# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection: which face an object is, by the names of its shape keys and bones."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import bpy

from .geometry import find_axes
from .mapping import MESH_PROPERTY
from .naming import ARKIT_CHANNELS, FLAME_EXPRESSIONS, KeyNames, match_arkit, match_bones, match_flame
from .rig import Kind, Rig, shorten

#: Fewer recognised keys than this are a coincidence, not a face.
FEWEST_KEYS: Final = 8

_WHAT_TO_CHOOSE: Final = "Choose a mesh with FLAME or ARKit shape keys, or add the demo head."


def detect_rig(obj: bpy.types.Object | None) -> Rig:
    """What can be driven on ``obj``: a mesh, or the armature that deforms one. Never raises.

    Returns:
        A rig; where it cannot be driven, `Rig.problem` says why and what to do.
    """
    try:
        return _detect(obj)
    except ReferenceError:
        return Rig(problem=f"The chosen face was deleted. {_WHAT_TO_CHOOSE}")


def _detect(obj: bpy.types.Object | None) -> Rig:
    if obj is None:
        return Rig(problem=f"No face is chosen. {_WHAT_TO_CHOOSE}")
    if obj.type == "EMPTY" and obj.instance_collection is not None:
        return Rig(problem=f"{obj.name} shows a linked collection. {_override_advice()}")
    if obj.type == "ARMATURE":
        faces = [_detect(mesh) for mesh in _meshes_of(obj)]
        if not faces:
            return Rig(problem=f"{obj.name} is an armature that deforms no mesh. {_WHAT_TO_CHOOSE}")
        return max(faces, key=lambda rig: (rig.problem is None, len(rig.shape_keys)))
    if obj.type != "MESH":
        return Rig(problem=f"{obj.name} is {_article(obj.type)}, not a mesh. {_WHAT_TO_CHOOSE}")
    key = obj.data.shape_keys
    if key is None or len(key.key_blocks) < 2:
        return Rig(object=obj, problem=f"{obj.name} has no shape keys. {_WHAT_TO_CHOOSE}")
    names = tuple(block.name for block in key.key_blocks if block != key.reference_key)
    kind, keys = _recognise(names)
    if kind == "NONE" and obj.data.get(MESH_PROPERTY) is None:
        return Rig(
            object=obj,
            ignored=names,
            problem=f"The shape keys of {obj.name} ({shorten(names, 3)}) follow neither FLAME's names (Exp1, Exp2, "
            f"...) nor ARKit's (jawOpen, mouthSmileLeft, ...). Map them in the Mapping panel, or choose another face.",
        )
    armature = obj.find_armature()
    bones = match_bones(bone.name for bone in armature.data.bones) if armature is not None else {}
    return Rig(
        object=obj,
        armature=armature,
        kind=kind,
        shape_keys=keys.matched,
        bones=bones,
        missing=_missing(kind, keys, bones),
        ignored=keys.ignored,
        companions=_companions(obj, armature, keys),
        problem=_why_locked(obj, armature),
        axes=find_axes(obj, armature, bones),
    )


@lru_cache(maxsize=64)  # the panel asks at every redraw
def _recognise(names: tuple[str, ...]) -> tuple[Kind, KeyNames]:
    flame, arkit = match_flame(names), match_arkit(names)
    # A FLAME mesh may carry a few ARKit-named keys (a jaw, correctives); an ARKit face has no numbered expressions.
    if sum(channel in FLAME_EXPRESSIONS for channel in flame.matched) >= FEWEST_KEYS:
        return "FLAME", flame
    if len(arkit.matched) >= FEWEST_KEYS:
        return "ARKIT", arkit
    return "NONE", arkit


def _companions(obj: bpy.types.Object, armature: bpy.types.Object | None, keys: KeyNames) -> tuple[str, ...]:
    """Other meshes of the same character that share driven keys."""
    parent = armature if armature is not None else obj.parent
    if parent is None:
        return ()
    driven = {name for names in keys.matched.values() for name in names}
    siblings = [other for other in bpy.data.objects if other.parent == parent and other.type == "MESH" and other != obj]
    return tuple(
        other.name
        for other in siblings
        if other.data.shape_keys is not None and not driven.isdisjoint(other.data.shape_keys.key_blocks.keys())
    )


def _missing(kind: Kind, keys: KeyNames, bones: dict[str, str]) -> tuple[str, ...]:
    if kind == "FLAME":
        expressions = [f"Exp{i}" for i, channel in enumerate(FLAME_EXPRESSIONS, 1) if channel not in keys.matched]
        wanted = [] if "jaw" in bones or "jawOpen" in keys.matched else ["jaw bone"]
        wanted += [f"{role.replace('_', ' ')} bone" for role in ("left_eye", "right_eye") if role not in bones]
    else:
        expressions, wanted = [channel for channel in ARKIT_CHANNELS if channel not in keys.matched], []
        if kind == "NONE":  # its mapping says what it has
            return ()
    if "neck" not in bones and "head" not in bones:
        wanted.append("neck or head bone")
    return (*expressions, *wanted)


def _why_locked(obj: bpy.types.Object, armature: bpy.types.Object | None) -> str | None:
    """A sentence when keyframes cannot be written because data is linked, else None."""
    for datablock in (obj, armature):
        if datablock is not None and not datablock.is_editable:
            return f"{datablock.name} is linked from {_source(datablock)}. {_override_advice()}"
    if not obj.data.shape_keys.is_editable:
        # Make Library Override leaves meshes linked, and shape keys belong to the mesh.
        return (
            f"The mesh of {obj.name} is still linked from {_source(obj.data)}, and with it its shape keys. Click the "
            "link icon beside the mesh's name in its Data properties to override it as well."
        )
    return None


def _source(datablock: bpy.types.ID) -> str:
    return bpy.path.basename(datablock.library.filepath) if datablock.library is not None else "another file"


def _override_advice() -> str:
    return "Make it editable with Object > Library Override > Make, then choose the face again."


def _meshes_of(armature: bpy.types.Object) -> list[bpy.types.Object]:
    return [obj for obj in bpy.data.objects if obj.type == "MESH" and obj.find_armature() == armature]


def _article(object_type: str) -> str:
    word = object_type.replace("_", " ").lower()
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
