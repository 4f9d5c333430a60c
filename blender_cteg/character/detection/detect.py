# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection: which character an object is part of, by the names of its shape keys and bones."""

from __future__ import annotations

from typing import Any, Final

import bpy
import numpy as np

from ...sentences import told, translated
from ...shared import ARKIT_CHANNELS, FLAME_EXPRESSIONS
from ..axes import Axes, to_rows
from ..geometry import find_axes
from ..mapping import Mapping, MappingError, stored_mapping
from ..rig import Kind, Rig, bone_label, role_label, shorten
from .bones import FEWEST_BONES, decides, face_bones
from .character import armature_of, belongs, inside, keyed_meshes, meshes_under
from .editable import drivers_of, override_advice, why_broken, why_linked
from .naming import KeyNames, is_modelling
from .parts import FEWEST_KEYS, Joined, bones_by_role, join_arkit, keys_of_mapping, recognise, share, used_channels

__all__ = ["FEWEST_KEYS", "detect_rig"]


def detect_rig(obj: bpy.types.Object | None) -> Rig:
    """What can be driven on the character of ``obj``. Never raises.

    Args:
        obj: any mesh of the character, its armature, or the Empty above it. The face is its mesh with the most known
            shape keys.

    Returns:
        A rig; where it cannot be driven, `Rig.problem` says why and what to do.
    """
    try:
        return _detect(obj)
    except ReferenceError:
        return Rig(problem=told("The chosen face was deleted. {advice}", advice=_advice()))


def _detect(obj: bpy.types.Object | None) -> Rig:
    if obj is None:
        return Rig(problem=told("No face is chosen. {advice}", advice=_advice()))
    if obj.type == "MESH":
        keyed = keyed_meshes()
        # Of equals the chosen one, so it is asked first; but eyes and teeth with the keys of the head lie in a head.
        known = _known_keys(obj)
        others = [mesh for mesh in keyed if mesh != obj and belongs(mesh, obj)]
        others = [mesh for mesh in others if _known_keys(mesh) > known or inside(mesh, obj)]
        return _face(max((obj, *others), key=_much_of_a_face), keyed)
    if obj.type not in {"ARMATURE", "EMPTY"}:
        kind = translated(obj.bl_rna.properties["type"].enum_items[obj.type].name)
        return Rig(problem=told("{name} ({kind}) is not a mesh. {advice}", name=obj.name, kind=kind, advice=_advice()))
    keyed = keyed_meshes()
    meshes = meshes_under(obj, keyed) or _made_of_bones(obj)
    if not meshes and obj.parent is not None:  # importers hang Empties on characters: sockets, names that were taken
        return _detect(obj.parent)
    if not meshes and obj.type == "EMPTY":
        if obj.instance_collection is not None:
            sentence = "{name} shows a linked collection. {advice}"
            return Rig(problem=told(sentence, name=obj.name, advice=override_advice()))
        return Rig(problem=told("{name} is an empty with no face below it. {advice}", name=obj.name, advice=_advice()))
    if not meshes:
        sentence = "{name} is an armature that deforms no mesh with shape keys. {advice}"
        return Rig(problem=told(sentence, name=obj.name, advice=_advice()))
    face = max(meshes, key=_much_of_a_face)
    others = [m for m in meshes if _known_keys(m) >= FEWEST_KEYS and not belongs(face, m) and not belongs(m, face)]
    if others:
        names = shorten(sorted(mesh.name for mesh in (face, *others)))
        sentence = "There are several characters below {name}. Choose one face: {names}."
        return Rig(problem=told(sentence, name=obj.name, names=names))
    return _face(face, keyed)


def _made_of_bones(top: bpy.types.Object) -> list[bpy.types.Object]:
    """The mesh with most vertices that an armature with bones all over its face moves, where none has shape keys."""
    meshes = meshes_under(top, [obj for obj in bpy.data.objects if obj.type == "MESH"])
    rigs = [mesh for mesh in meshes if _face(mesh, []).kind in ("BONES", "CUSTOM")]
    return [max(rigs, key=lambda mesh: len(mesh.data.vertices))] if rigs else []


def _face(obj: bpy.types.Object, keyed: list[bpy.types.Object]) -> Rig:
    """The rig of this mesh and of those of the keyed meshes of the file that follow it."""
    names = _names(obj)
    stored, damage = _stored(obj.data)
    armature = armature_of(obj)
    bones = _held(armature, bones_by_role(tuple(armature.data.bones.keys()))) if armature is not None else {}
    seen_from = _looking(armature, bones)
    bones |= {role: eye for role, (eye, _) in seen_from.items()}
    made_of_bones = not names and stored is None and len(face_bones(armature, bones)) >= FEWEST_BONES
    if not names and stored is None and not made_of_bones:
        problem = told("{name} has no shape keys. {advice}", name=obj.name, advice=_advice())
        return Rig(object=obj, problem=problem)
    found = recognise(names)
    kind, label, problem = found.kind, found.label, ""
    if made_of_bones:
        kind, label = "BONES", told("Bones")
    elif kind == "NONE" and stored is not None:
        kind, label = "CUSTOM", told("Own names")
    elif kind == "NONE":  # what of it is known is a start for the mapping editor
        problem = damage or told(
            "The shape keys of {name} ({names}) follow neither FLAME's names (Exp1, Exp2, ...) nor ARKit's (jawOpen, "
            "mouthSmileLeft, ...). Map them in the Mapping panel, or choose another face.",
            name=obj.name, names=shorten(names, 3),
        )  # fmt: skip
    mapping = stored or Mapping("")
    others = [mesh for mesh in keyed if mesh != obj and belongs(obj, mesh)]
    joined, driven = _join(kind, names, mapping, others)
    followers, notes = _split([mesh for mesh, moves in zip(others, driven, strict=True) if moves])
    axes = find_axes(obj, armature, bones, joined.keys if kind != "FLAME" else {})
    used = {name for keys in (*joined.keys.values(), mapping.shape_keys) for name in keys}
    used |= set(drivers_of(obj.data.shape_keys))  # correctives, which follow the others
    return Rig(
        object=obj,
        armature=armature,
        kind=kind,
        shape_keys=joined.keys,
        bones=bones,
        missing=_missing(kind, joined.keys, bones),
        ignored=tuple(name for name in names if name not in used and not is_modelling(name)),
        followers=followers,
        label=label,
        channels=len(used_channels(mapping)) if kind == "CUSTOM" else 0,
        notes=(*_doubles(found.keys if kind != "CUSTOM" else None), *notes, *_elsewhere(obj, followers)),
        aims={role: (aim, _aimed(armature, eye, aim, axes)) for role, (eye, aim) in seen_from.items()},
        problem=problem
        or (why_broken(obj) if obj.data.shape_keys is not None else None)
        or why_linked(obj, armature)
        or _leads_nowhere(obj, armature, mapping, kind),
        axes=axes,
    )


#: Constraints by which a bone does what another one does.
_TRACKING: Final = ("DAMPED_TRACK", "LOCKED_TRACK", "TRACK_TO")
_COPYING: Final = ("ARMATURE", "COPY_ROTATION", "COPY_TRANSFORMS")


def _held(armature: bpy.types.Object, bones: dict[str, str]) -> dict[str, str]:
    """The bones that an animator holds instead of those that copy them."""
    pose: Any = armature.pose
    return {role: _control_of(armature, pose.bones[name]) if pose else name for role, name in bones.items()}


def _control_of(armature: bpy.types.Object, bone: bpy.types.PoseBone) -> str:
    """The bone in the same place that a bone copies, or that one copies; itself where none is, or they go round."""
    at, seen = bone, {bone.name}
    while True:
        sources = [name for constraint in at.constraints for name in _copied(armature, constraint)]
        near = [armature.pose.bones[name] for name in sources if _same_place(bone, armature.pose.bones[name])]
        if not near:
            return at.name
        at = near[0]
        if at.name in seen:
            return bone.name
        seen.add(at.name)


def _looking(armature: bpy.types.Object | None, bones: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Eye roles whose eyes look at a bone of their own: role -> the eye's bone, and the one that it looks at."""
    roles = {bones[role]: role for role in ("left_eye", "right_eye") if role in bones}
    if armature is None or armature.pose is None or not roles:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for bone in armature.pose.bones:
        for constraint in bone.constraints:
            if constraint.type in _TRACKING and not constraint.mute and constraint.influence > 0.5:
                role = roles.get(constraint.subtarget) or roles.get(bone.name)
                if role and constraint.target == armature and constraint.subtarget in armature.pose.bones:
                    found[role] = bone.name, constraint.subtarget
    return found if len({aim for _, aim in found.values()}) == len(found) else {}


def _aimed(armature: Any, eye: str, aim: str, axes: Axes) -> Axes:
    """How far a bone that an eye looks at moves along its own axes, per rotation vector of the eye; see `Rig.aims`."""
    bones, frame = armature.data.bones, np.array(axes)
    x, y, z = frame.T @ np.array(bones[aim].head_local - bones[eye].head_local)
    turned = np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])  # a rotation vector, times the way to the aim
    return to_rows(np.array(bones[aim].matrix_local.to_3x3()).T @ frame @ turned)


def _copied(armature: bpy.types.Object, constraint: Any) -> list[str]:
    """The bones of the armature that a constraint copies a rotation from."""
    if constraint.type not in _COPYING or not decides(constraint) or constraint.influence < 0.5:
        return []
    if constraint.type == "COPY_ROTATION" and not (constraint.use_x and constraint.use_y and constraint.use_z):
        return []
    targets = constraint.targets if constraint.type == "ARMATURE" else [constraint]
    return [t.subtarget for t in targets if t.target == armature and t.subtarget in armature.pose.bones]


def _same_place(bone: bpy.types.PoseBone, other: bpy.types.PoseBone) -> bool:
    return (bone.bone.head_local - other.bone.head_local).length < 0.5 * bone.bone.length


def _names(obj: bpy.types.Object) -> tuple[str, ...]:
    """The names of a mesh's shape keys without that of the Basis."""
    key = obj.data.shape_keys
    if key is None:
        return ()
    names, reference = key.key_blocks.keys(), key.reference_key
    if reference is not None:
        names.remove(reference.name)
    return tuple(names)


def _much_of_a_face(obj: bpy.types.Object) -> tuple[int, float]:
    """By what a face goes before other meshes: its known keys, then its size, for exporters give eyes all keys too."""
    return _known_keys(obj), round(obj.dimensions.length, 3)


def _known_keys(obj: bpy.types.Object) -> int:
    """How much of a face a mesh is: known shape keys, or channels of a mapping stored on it."""
    found = recognise(_names(obj))
    stored, _ = _stored(obj.data) if found.kind == "NONE" else (None, "")
    # A face that was mapped by hand goes before everything that is no face.
    return len(found.keys.matched) if stored is None else FEWEST_KEYS + len(used_channels(stored))


def _stored(mesh: Any) -> tuple[Mapping | None, str]:
    """The mapping stored on a mesh, and what is wrong with it."""
    try:
        return stored_mapping(mesh), ""
    except MappingError as error:
        return None, str(error)


def _join(
    kind: Kind, names: tuple[str, ...], mapping: Mapping, others: list[bpy.types.Object]
) -> tuple[Joined, tuple[bool, ...]]:
    """The keys of the whole character, and which of its other meshes takes move: a mapping may name more keys."""
    theirs = tuple(map(_names, others))
    if kind in ("ARKIT", "NONE"):
        joined = join_arkit(names, theirs)
    elif kind == "FLAME":
        joined = share(recognise(names).keys.matched, theirs)
    else:
        joined = share(keys_of_mapping(mapping), theirs)
    by_mapping = share({"": tuple(mapping.shape_keys)}, theirs).driven
    return joined, tuple(a or b for a, b in zip(joined.driven, by_mapping, strict=True))


def _split(meshes: list[bpy.types.Object]) -> tuple[tuple[bpy.types.Object, ...], list[str]]:
    """The meshes that can follow, and a sentence about each that cannot."""
    reasons = {mesh: why_broken(mesh) or why_linked(mesh) for mesh in meshes}
    followers = tuple(mesh for mesh, reason in reasons.items() if reason is None)
    sentence = "{name} stays as it is. {reason}"
    return followers, [told(sentence, name=mesh.name, reason=reason) for mesh, reason in reasons.items() if reason]


def _elsewhere(face: bpy.types.Object, followers: tuple[bpy.types.Object, ...]) -> list[str]:
    """A sentence about each follower that is a face itself, beside this one."""
    sentence = "{name} moves along, though it stands apart: it is looked at when you choose it itself."
    return [
        told(sentence, name=mesh.name)
        for mesh in followers
        if _known_keys(mesh) >= FEWEST_KEYS and not inside(face, mesh) and not inside(mesh, face)
    ]


def _doubles(keys: KeyNames | None) -> list[str]:
    if keys is None or not keys.doubled:
        return []
    pairs = [told("{ignored} like {driven}", ignored=one, driven=other) for one, other in keys.doubled.items()]
    return [told("Keys of the same meaning, of which only the second moves: {pairs}.", pairs=shorten(pairs, 3))]


def _missing(kind: Kind, keys: dict[str, tuple[str, ...]], bones: dict[str, str]) -> tuple[str, ...]:
    if kind in ("BONES", "CUSTOM", "NONE"):
        return ()
    if kind == "FLAME":
        holes = [f"Exp{i}" for i, channel in enumerate(FLAME_EXPRESSIONS, 1) if channel not in keys]
        wanted = holes if len(holes) <= 5 else []  # a smaller basis: the count says it
        if "jaw" not in bones and "jawOpen" not in keys:
            wanted.append(role_label("jaw"))
        eyes = [role_label(role) for role in ("left_eye", "right_eye") if role not in bones]
        wanted += [told("eyes")] if len(eyes) == 2 else eyes
    else:
        wanted = [channel for channel in ARKIT_CHANNELS if channel not in keys]
    if "neck" not in bones and "head" not in bones:
        wanted.append(role_label("neck") if kind == "FLAME" else bone_label("head"))
    return tuple(wanted)


def _leads_nowhere(
    obj: bpy.types.Object, armature: bpy.types.Object | None, mapping: Mapping, kind: Kind
) -> str | None:
    """A sentence when a face can be moved by nothing but its mapping, and that names nothing the face has."""
    if kind != "CUSTOM" or armature is not None or not set(_names(obj)).isdisjoint(mapping.shape_keys):
        return None
    return told(
        "The mapping stored on {mesh} names no shape key of {name}. Choose its targets in the Mapping panel, or remove "
        "it.", mesh=obj.data.name, name=obj.name,
    )  # fmt: skip


def _advice() -> str:
    return told("Choose a mesh with FLAME or ARKit shape keys, or add the demo head.")
