# SPDX-License-Identifier: GPL-3.0-or-later
"""Rig: what was found on a face, and what to tell the animator about it (no ``bpy`` at run time)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import bpy

Kind = Literal["FLAME", "ARKIT", "NONE"]

#: Bone roles a mapping may drive, in the order they are reported.
ROLES: Final[tuple[str, ...]] = ("head", "neck", "jaw", "left_eye", "right_eye")

#: FLAME's axes (character's left, up, forward) as columns, in Blender's usual z-up, -y-forward object space.
BLENDER_AXES: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Rig:
    """A face and the parts of it that can be driven.

    Attributes:
        object: the mesh object, or None when there is none.
        armature: the armature object that deforms it, or None.
        kind: which names its shape keys follow.
        shape_keys: channel (``mouthSmileLeft``, ``exp1``) -> names of the keys it drives on this mesh.
        bones: role (one of `ROLES`) -> bone name.
        missing: what this kind of face usually has and this one has not.
        ignored: shape keys that no channel drives.
        companions: names of other meshes on the same armature with the same keys (teeth, lashes), which stay as
            they are.
        problem: a sentence that says what to do when this face cannot be driven, else None.
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
    companions: tuple[str, ...] = ()
    problem: str | None = None
    axes: tuple[tuple[float, ...], ...] = BLENDER_AXES

    def summary(self) -> list[str]:
        """Lines for the panel: what was found, what is missing, what will be ignored; or the problem alone."""
        if self.problem is not None:
            return [self.problem]
        if self.kind == "NONE":
            return ["Face with names and a mapping of its own; the Mapping panel says what will move"]
        if self.kind == "FLAME":
            found = [f"{sum(name.startswith('exp') for name in self.shape_keys)} expression keys"]
        else:
            found = [f"{len(self.shape_keys)} of 52 shape keys"]
        lines = [f"{'FLAME' if self.kind == 'FLAME' else 'ARKit'} face: {', '.join(found + _bone_words(self.bones))}"]
        if self.missing:
            lines.append(f"Missing: {shorten(self.missing)}")
        if self.ignored:
            lines.append(f"Ignored: {shorten(self.ignored)}")
        if self.companions:
            lines.append(f"Not driven, though with the same keys: {shorten(self.companions)}")
        return lines


def shorten(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """A list of names for one line of text: at most ``most`` of them, then how many more."""
    names = list(names)
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def _bone_words(bones: Mapping[str, str]) -> list[str]:
    """``["jaw, neck and eye bones"]``, or nothing when there are no bones."""
    words = [role for role in ("jaw", "neck", "head") if role in bones]
    eyes = sum(role in bones for role in ("left_eye", "right_eye"))
    if eyes:
        words.append("eye" if eyes == 2 else "one eye")
    if not words:
        return []
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return [f"{listed} bone{'s' if len(words) > 1 or eyes == 2 else ''}"]
