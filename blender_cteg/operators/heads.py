# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads that CTEG adds: the demo head, FLAME models from the user's own file, and fitting the bones of those."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy.types import Context, Event, Menu
from bpy_extras.io_utils import ImportHelper
from mathutils import Euler

from ..heads.demo_head import PEOPLE
from ..heads.flame_file.joints import fit_bones, joints_problem
from ..sentences import told
from . import Changes, DroppedOnView, Reasoned, chosen_file

#: From the front, a little from above and, of one face alone, from the side: how portraits are looked at. Degrees.
_ABOVE, _ASIDE = 6.0, 24.0


def disabled_reason(context: Context) -> str:
    """Why no object can be added or edited now, or ""."""
    return "" if context.mode == "OBJECT" else told("Leave the current mode first: switch to Object Mode.")


class _HeadOperator(Changes, Reasoned):
    """Mixin: needs Object Mode, and reports what is wrong with a file."""

    reason = staticmethod(disabled_reason)


class CTEG_OT_add_head(_HeadOperator, bpy.types.Operator):
    bl_idname = "cteg.add_head"
    bl_label = "Add Demo Head"
    bl_description = "Add a human head that is ready to perform, and make it the target"

    name: StringProperty(name="Name", default="CTEG Head")
    person: EnumProperty(
        name="Person", description="Whose head it is; all perform alike",
        items=[(identifier, *texts) for identifier, texts in PEOPLE.items()],
    )  # fmt: skip

    def change(self, context: Context) -> str:
        from ..heads.demo_head.assemble import add_demo_head

        head = add_demo_head(context, self.name, self.person)
        context.scene.cteg.target = head
        look_at_selected(context)
        return told("Added {name}", name=head.name)


class CTEG_OT_import_flame(_HeadOperator, bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.import_flame"
    bl_label = "Import FLAME Model"
    bl_description = "Add the face of a FLAME model file (2017, 2020, 2023 or 2023 Open), rigged, as the target"

    filename_ext = ".pkl"
    filter_glob: StringProperty(default="*.pkl;*.npz", options={"HIDDEN"})
    # Set by a drop, and not remembered: the menu opens a file browser.
    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    identities: IntProperty(
        name="Identities", description="Shape keys Shape1, Shape2, ... that change who the face is",
        default=10, min=0, max=300,
    )  # fmt: skip
    expressions: IntProperty(
        name="Expressions", default=50, min=50, max=100,
        description="Shape keys Exp1, Exp2, ... that performances drive; 50 are enough for every clip",
    )  # fmt: skip
    correctives: BoolProperty(
        name="Pose Correctives",
        description="Add 36 shape keys that keep volume where neck, jaw and eyes turn, driven by the bones",
    )
    template: StringProperty(
        name="UV Template", subtype="FILE_PATH",
        description="A file with texture coordinates (.obj, or .npz with vt and ft), typed or pasted; empty for none",
    )  # fmt: skip

    def invoke(self, context: Context, event: Event) -> set[str]:
        started: set[str] = self.invoke_popup(context) if self.filepath else ImportHelper.invoke(self, context, event)
        return started

    def draw(self, _context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        for name in ("identities", "expressions", "correctives", "template"):
            layout.prop(self, name)

    def change(self, context: Context) -> str:
        from ..heads.flame_file.build import add_flame
        from ..heads.flame_file.read import read_flame
        from ..heads.flame_file.template import read_uv

        model = read_flame(chosen_file(self))
        uv = read_uv(Path(bpy.path.abspath(self.template)), model.faces) if self.template else None
        options = {"identities": self.identities, "expressions": self.expressions, "correctives": self.correctives}
        face = add_flame(context, model, uv=uv, **options)
        context.scene.cteg.target = face
        look_at_selected(context)
        return told("Added {name}: the file has {content}.", name=face.name, content=model.summary())


class CTEG_FH_flame(DroppedOnView, bpy.types.FileHandler):
    bl_idname = "CTEG_FH_flame"
    bl_label = "FLAME Model"
    bl_import_operator = "cteg.import_flame"
    bl_file_extensions = ".pkl;.npz"

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return super().poll_drop(context) and not disabled_reason(context)


class CTEG_OT_fit_bones(_HeadOperator, bpy.types.Operator):
    bl_idname = "cteg.fit_bones"
    bl_label = "Fit Bones to Identity"
    bl_description = "Move neck, jaw and eye bones to where they belong after the Shape keys changed who the face is"

    @staticmethod
    def reason(context: Context) -> str:
        return disabled_reason(context) or joints_problem(context.scene.cteg.target)

    def change(self, context: Context) -> str:
        farthest = 1000 * fit_bones(context, context.scene.cteg.target)
        return told("Moved the bones by up to {farthest:.1f} mm.", farthest=farthest)


def draw_in_import_menu(menu: Menu, _context: Context) -> None:
    """The entry of File > Import."""
    menu.layout.operator(CTEG_OT_import_flame.bl_idname, text="FLAME Model (.pkl, .npz)")


def look_at_selected(context: Context, aside: float = _ASIDE) -> None:
    """Turn the viewport to new faces: they are small beside a default cube, and may face away."""
    if context.window is None or context.area is None or context.area.type != "VIEW_3D":
        return
    region = next((region for region in context.area.regions if region.type == "WINDOW"), None)
    view = context.space_data.region_3d
    if region is None or view is None or view.view_perspective == "CAMERA" or view.lock_rotation:
        return
    view.view_rotation = Euler((math.radians(90.0 - _ABOVE), 0.0, math.radians(aside))).to_quaternion()
    view.view_perspective = "PERSP"
    # A view that cannot move is no reason to fail.
    with contextlib.suppress(RuntimeError), context.temp_override(region=region):
        bpy.ops.view3d.view_selected()
