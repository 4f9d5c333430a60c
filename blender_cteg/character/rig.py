# SPDX-License-Identifier: GPL-3.0-or-later
"""Rig: what was found on a character, and what to tell the animator about it (no ``bpy`` at run time)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from ..sentences import told, translated

if TYPE_CHECKING:
    import bpy

Kind = Literal["FLAME", "ARKIT", "BONES", "CUSTOM", "NONE"]

#: Bone roles a mapping may drive, in the order they are reported.
ROLES: Final[tuple[str, ...]] = ("head", "neck", "jaw", "left_eye", "right_eye")

#: FLAME's axes (character's left, up, forward) as columns, in Blender's usual z-up, -y-forward object space.
BLENDER_AXES: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Rig:
    """A character and the parts of it that can be driven.

    Attributes:
        object: the mesh object of the face, or None when there is none.
        armature: the armature object that deforms it, or None.
        kind: which names its shape keys follow; BONES: it has no keys, and bones all over its face; CUSTOM: names of
            their own, and a mapping stored on the mesh.
        shape_keys: channel (``mouthSmileLeft``, ``exp1``) -> names of the keys it drives on the face and its
            followers. FLAME's are all on the face itself.
        bones: role (one of `ROLES`) -> bone name.
        missing: what this kind of face usually has and this one has not.
        ignored: shape keys of the face that no channel drives.
        followers: the character's other meshes that takes move as well: those with driven keys (teeth, eyes, lashes).
        label: what the animator knows the kind by: "FLAME", "SMPL-X", "ARKit", "MPFB", "Own names".
        channels: how many channels a stored mapping leads somewhere; only for CUSTOM.
        notes: sentences about parts that stay as they are and why: linked followers, keys of the same meaning.
        problem: a sentence that says what to do when this face cannot be driven, else None.
        aims: eye roles whose eyes look at a bone -> that bone, and, as 3x3 rows, how far along its own axes it moves
            per rotation vector of the eye (FLAME axes, radians).
        axes: 3x3 rows; its columns are FLAME's x (character's left), y (up) and z (forward) in the armature's
            space (the mesh's when there is no armature).
    """

    object: bpy.types.Object | None = None
    armature: bpy.types.Object | None = None
    kind: Kind = "NONE"
    shape_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bones: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    followers: tuple[bpy.types.Object, ...] = ()
    label: str = ""
    channels: int = 0
    notes: tuple[str, ...] = ()
    problem: str | None = None
    aims: Mapping[str, tuple[str, tuple[tuple[float, ...], ...]]] = field(default_factory=dict)
    axes: tuple[tuple[float, ...], ...] = BLENDER_AXES

    @property
    def meshes(self) -> tuple[bpy.types.Object, ...]:
        """The mesh objects that takes move: the face, then its followers."""
        return () if self.object is None else (self.object, *self.followers)

    @property
    def keyed_meshes(self) -> tuple[tuple[Any, bpy.types.Object], ...]:
        """Each shape-key datablock of the character once, with the first of `meshes` that has it."""
        found: dict[Any, bpy.types.Object] = {}
        for obj in self.meshes:
            mesh: Any = obj.data
            key = mesh.shape_keys if mesh is not None else None
            if key is not None and key not in found:
                found[key] = obj
        return tuple(found.items())

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the character's shape keys without those of a basis: the face's, then what only others have."""
        names: dict[str, None] = {}
        for key, _ in self.keyed_meshes:
            basis = key.reference_key
            names |= dict.fromkeys(block.name for block in key.key_blocks if block != basis)
        return tuple(names)

    @property
    def bone_names(self) -> tuple[str, ...]:
        """The names of the bones of the armature."""
        armature: Any = self.armature.data if self.armature is not None else None
        return () if armature is None else tuple(armature.bones.keys())

    def summary(self) -> list[str]:
        """Lines for the panel: what was found, what is missing, what will be ignored; or the problem alone."""
        if self.problem is not None:
            return [self.problem]
        lines = [self._found()]
        if self.followers:
            lines.append(told("Also moves: {names}", names=shorten([obj.name for obj in self.followers])))
        if self.ignored:
            lines.append(told("Ignored: {names}", names=shorten(self.ignored)))
        return [*lines, *self.notes]

    def _found(self) -> str:
        """``FLAME, 50 of 50 expression keys, jaw bone, eyes; neck not found``."""
        if self.kind == "CUSTOM":
            one = self.channels == 1
            found = [told("mapping with {n} channel" if one else "mapping with {n} channels", n=self.channels)]
        elif self.kind == "BONES":
            found = [told("a face made of bones")]
        elif self.kind == "FLAME":
            count = sum(name.startswith("exp") for name in self.shape_keys)
            found = [told("{count} of 50 expression keys", count=count)]
        else:
            found = [told("{count} of 52 shape keys", count=len(self.shape_keys))]
        if "jaw" in self.bones:
            found.append(bone_label("jaw"))
        eyes = [role for role in ("left_eye", "right_eye") if role in self.bones]
        if eyes:
            found.append(told("eyes") if len(eyes) == 2 else role_label(eyes[0]))
        found += [role_label(role) for role in ("neck", "head") if role in self.bones]
        all_found = f"{self.label}, {', '.join(found)}"
        if not self.missing:
            return all_found
        return told("{found}; {missing} not found", found=all_found, missing=shorten(self.missing))


def turned_bones(rig: Rig) -> list[str]:
    """The bones that turn with a role: not eyes that look at a bone of their own, which is moved instead."""
    return [bone for role, bone in rig.bones.items() if role not in rig.aims]


def role_label(role: str) -> str:
    """What an animator calls the bone of a role, in a list of parts of the face."""
    return translated(role.replace("_", " "))


def bone_label(role: str) -> str:
    """What an animator calls the bone of a role, among other things that are no bones."""
    return told("{role} bone", role=role_label(role))


def shorten(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """A list of names for one line of text: at most ``most`` of them, then how many more."""
    names = list(names)
    if len(names) <= most:
        return ", ".join(names)
    return told("{names} and {count} more", names=", ".join(names[:most]), count=len(names) - most)
