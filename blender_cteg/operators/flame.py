# SPDX-License-Identifier: GPL-3.0-or-later
"""Import a FLAME model from the user's own file and make it the target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..heads.flame_file import FlameFileError
from .head import disabled_reason, look_at_face

if TYPE_CHECKING:
    from bpy.types import Context, Menu

__all__ = ["CTEG_OT_import_flame", "disabled_reason", "draw_in_import_menu"]


class CTEG_OT_import_flame(bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.import_flame"
    bl_label = "Import FLAME Model"
    bl_description = "Add the face of a FLAME model file (2017, 2020, 2023 or 2023 Open), rigged, as the target"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".pkl"
    filter_glob: StringProperty(default="*.pkl;*.npz", options={"HIDDEN"})
    identities: IntProperty(
        name="Identities",
        description="Shape keys Shape1, Shape2, ... that change who the face is",
        default=10,
        min=0,
        max=300,
    )
    expressions: IntProperty(
        name="Expressions",
        description="Shape keys Exp1, Exp2, ... that performances drive; 50 are enough for every clip",
        default=50,
        min=50,
        max=100,
    )
    correctives: BoolProperty(
        name="Pose Correctives",
        description="Add 36 shape keys that keep volume where neck, jaw and eyes turn, driven by the bones",
        default=False,
    )
    template: StringProperty(
        name="UV Template",
        description="A file with texture coordinates (.obj, or .npz with vt and ft), typed or pasted; empty for none",
        subtype="FILE_PATH",
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def draw(self, _context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        for name in ("identities", "expressions", "correctives", "template"):
            layout.prop(self, name)

    def execute(self, context: Context) -> set[str]:
        from ..heads.flame_file.build import add_flame
        from ..heads.flame_file.read import read_flame
        from ..heads.flame_file.template import read_uv

        if not self.filepath:
            self.report({"ERROR"}, "No file is chosen. Choose a FLAME model, a .pkl or .npz file.")
            return {"CANCELLED"}
        try:
            model = read_flame(Path(bpy.path.abspath(self.filepath)))
            uv = read_uv(Path(bpy.path.abspath(self.template)), model.faces) if self.template else None
            face = add_flame(
                context,
                model,
                identities=self.identities,
                expressions=self.expressions,
                correctives=self.correctives,
                uv=uv,
            )
        except FlameFileError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.scene.cteg.target = face
        look_at_face(context)
        self.report({"INFO"}, f"Added {face.name}: the file has {model.summary()}.")
        return {"FINISHED"}


def draw_in_import_menu(menu: Menu, _context: Context) -> None:
    """The entry of File > Import."""
    menu.layout.operator(CTEG_OT_import_flame.bl_idname, text="FLAME Model (.pkl, .npz)")
