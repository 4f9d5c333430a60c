# SPDX-License-Identifier: GPL-3.0-or-later
"""Mappings that travel: saved as JSON, loaded from it, dropped into the viewport, copied to other characters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event
from bpy_extras.io_utils import ExportHelper, ImportHelper

from .. import cast
from ..cast import Character
from ..character.mapping import Mapping, MappingError
from ..character.mapping_edits import EDITED
from ..character.rig import Rig, shorten
from ..sentences import told
from ..storage import clean, name_of, read_file, write_file
from . import DroppedOnView, chosen_file
from .mapping import MappingOperator, disabled_reason, prepared, put_on


def read_mapping(path: Path) -> Mapping:
    """The mapping in a JSON file. FileError or MappingError, whose sentences name the file."""
    try:
        return Mapping.from_json(read_file(path))
    except MappingError as error:
        raise MappingError("{name}: {problem}", name=name_of(path), problem=error) from None


class CTEG_OT_mapping_load(MappingOperator, bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.mapping_load"
    bl_label = "Load Mapping"
    bl_description = "Use a mapping that was saved as JSON. Targets that this face does not have are left out"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    # Set by a drop, and not remembered: the menu opens a file browser.
    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})

    def invoke(self, context: Context, event: Event) -> set[str]:
        if self.filepath:
            return self.execute(context)
        opened: set[str] = ImportHelper.invoke(self, context, event)
        return opened

    def act(self, context: Context, character: Character) -> str:
        path = chosen_file(self)
        return put_on(self, context, character.rig, replace(read_mapping(path), origin=EDITED), clean(path.stem))


class CTEG_FH_mapping(DroppedOnView, bpy.types.FileHandler):
    bl_idname = "CTEG_FH_mapping"
    bl_label = "CTEG Mapping"
    bl_import_operator = "cteg.mapping_load"
    bl_file_extensions = ".json"

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return super().poll_drop(context) and not disabled_reason(context)


class CTEG_OT_mapping_save(MappingOperator, bpy.types.Operator, ExportHelper):
    bl_idname = "cteg.mapping_save"
    bl_label = "Save Mapping"
    bl_description = "Save the mapping of this face as JSON, for other faces and files"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    others: BoolProperty(
        name="For Other Faces",
        description="Moves of bones along the face's axes and in distances between the eyes, as the pose sets that "
        "ship have them: they fit any face whose bones have the same names. Otherwise they are this armature's",
    )

    @staticmethod
    def reason(context: Context) -> str:
        """Reading is possible where changing is not."""
        mapped = cast.character(context.scene).mapping is not None
        return "" if mapped else told("Choose a target with a mapping first.")

    def act(self, _context: Context, character: Character) -> str:
        path, mapping = chosen_file(self), prepared(character)
        if self.others:
            mapping = _for_other_faces(character.rig, mapping)
        write_file(path, mapping.to_json() + "\n")
        return told("The mapping was saved as {name}", name=name_of(path))


class CTEG_OT_mapping_copy(MappingOperator, bpy.types.Operator):
    bl_idname = "cteg.mapping_copy"
    bl_label = "Copy Mapping to Selected"
    bl_description = "Give the mapping of the target to all other selected characters whose names match"

    @staticmethod
    def reason(context: Context) -> str:
        own = cast.character(context.scene).rig
        others = any(obj not in (own.object, own.armature) for obj in context.selected_objects)
        return disabled_reason(context) or ("" if others else _no_others())

    def act(self, context: Context, character: Character) -> str:
        mapping, names, incomplete, refused = replace(prepared(character), origin=EDITED), [], [], []
        if {"left_eye", "right_eye"} <= character.rig.bones.keys():
            mapping = _for_other_faces(character.rig, mapping)
        done = [character.rig.object.data]
        for obj in context.selected_objects:
            other = cast.found(context.scene, obj)
            mesh = other.rig.object.data if other.rig.object is not None else None
            if obj.type not in {"MESH", "ARMATURE"} or mesh in done:
                continue
            done.append(mesh)
            try:
                if mesh is None:
                    reason = other.problem or told("{name} has no shape keys.", name=obj.name)
                    raise MappingError("{reason}", reason=reason)
                said = put_on(self, context, other.rig, mapping, other.rig.object.name)
            except MappingError as error:
                refused.append(str(error))
                continue
            names.append(other.rig.object.name)
            incomplete += [said] if self.level == "WARNING" else []
        if not names:
            raise MappingError("{reason}", reason=shorten(refused, 2) or _no_others())
        self.level = "WARNING" if incomplete or refused else "INFO"
        many, complete = len(names) > 1, len(names) - len(incomplete)
        parts = [told("Copied to {n} characters", n=len(names)) if many else told("Copied to {name}", name=names[0])]
        if complete and incomplete:
            parts.append(told("{n} have everything" if complete > 1 else "{n} has everything", n=complete))
        return ". ".join([*parts, *incomplete, *(told("Skipped, not copied: {why}", why=why) for why in refused)])


def _for_other_faces(rig: Rig, mapping: Mapping) -> Mapping:
    """The same as it fits other faces, where it moves bones beside those that every face has."""
    if not mapping.controls:
        return mapping
    from ..character.fitting.portable import for_other_faces  # here, because enabling does not need it

    return for_other_faces(rig, mapping)


def _no_others() -> str:
    return told("Select the other characters too: their meshes, or their armatures.")
