# SPDX-License-Identifier: GPL-3.0-or-later
"""Mappings that travel: saved as JSON, loaded from it, copied to other characters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..character.face import Face, face_of, prepare
from ..character.mapping import Mapping, MappingError
from ..character.mapping_edits import EDITED
from ..character.rig import shorten
from .mapping import MappingOperator, put_on

if TYPE_CHECKING:
    from bpy.types import Context, Object

#: A fit of all channels to all keys of a face is about 150 kB.
LARGEST_FILE: Final = 8_000_000


def read_mapping(path: Path) -> Mapping:
    """The mapping in a JSON file.

    Raises:
        MappingError: it cannot be read or is no mapping; the sentence names the file.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise MappingError(
                f"It has {size / 1e6:,.0f} MB, and no mapping has more than {LARGEST_FILE / 1e6:.0f}. "
                "Choose a file that Save Mapping wrote."
            )
        return Mapping.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
        raise MappingError(f"{path.name or 'The file'} cannot be read ({why}). Choose another file.") from None
    except MappingError as error:
        raise MappingError(f"{path.name}: {error}") from None


class CTEG_OT_mapping_load(MappingOperator, bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.mapping_load"
    bl_label = "Load Mapping"
    bl_description = "Use a mapping that was saved as JSON. Targets that this face does not have are left out"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, _context: Context, face: Face) -> str:
        path = Path(bpy.path.abspath(self.filepath))
        return put_on(face, replace(read_mapping(path), origin=EDITED), path.stem)


class CTEG_OT_mapping_save(MappingOperator, bpy.types.Operator, ExportHelper):
    bl_idname = "cteg.mapping_save"
    bl_label = "Save Mapping"
    bl_description = "Save the mapping of this face as JSON, for other faces and files"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        # Reading is possible where changing is not.
        if face_of(context.scene.cteg.target) is None:
            cls.poll_message_set("Choose a target with shape keys first.")
            return False
        return True

    def act(self, _context: Context, face: Face) -> str:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            path.write_text(prepare(face).to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise MappingError(
                f"{path.name or 'The mapping'} cannot be written ({error.strerror or error}). Choose another folder."
            ) from None
        return f"The mapping was saved as {path.name}"


class CTEG_OT_mapping_copy(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_copy"
    bl_label = "Copy to Selected"
    bl_description = "Give the mapping of the target to all other selected characters whose names match"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not super().poll(context):
            return False
        if not _others(context):
            cls.poll_message_set("Select the other characters too: their meshes, or their armatures.")
            return False
        return True

    def act(self, context: Context, face: Face) -> str:
        mapping = replace(prepare(face), origin=EDITED)
        said, refused = [], []
        for obj in _others(context):
            other = face_of(obj)
            try:
                if other is None:
                    raise MappingError(f"{obj.name} has no shape keys.")
                said.append(put_on(other, mapping, other.object.name))
            except MappingError as error:
                refused.append(str(error))
        if not said:
            raise MappingError(shorten(refused, 2))
        incomplete = [text for text in said if " not on " in text]
        complete = len(said) - len(incomplete)
        parts = [f"Copied to {len(said)} characters" if len(said) > 1 else f"Copied to {said[0].split(':')[0]}"]
        if complete and incomplete:
            parts.append(f"{complete} have everything")
        return ". ".join([*parts, *incomplete, *(f"Skipped, not copied: {text}" for text in refused)])


def _others(context: Context) -> list[Object]:
    """The selected characters that are not the target, each once."""
    target = face_of(context.scene.cteg.target)
    own = () if target is None else (target.object, target.armature)
    others: dict[str, Object] = {}
    for obj in context.selected_objects:
        if obj in own or obj.type not in {"MESH", "ARMATURE"}:
            continue
        face = face_of(obj)
        if face is None or (target is not None and face.mesh != target.mesh):
            others.setdefault(obj.name if face is None else face.mesh.name_full, obj)
    return list(others.values())
