# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: which Python performs, on which device, with which checkpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

import bpy
from bpy.props import EnumProperty, StringProperty

from .ui.layouts import sentence
from .worker import session
from .worker.locate import whole_path
from .worker.protocol import Hello

if TYPE_CHECKING:
    from bpy.types import Context


#: The environment variable that names a checkpoint folder, as `CTEG_PYTHON` names a Python.
CHECKPOINT_VARIABLE: Final = "CTEG_CHECKPOINT"


class Choices(NamedTuple):
    """The preferences, or their defaults where the package runs without being an enabled add-on."""

    python: str = ""
    device: str = "auto"
    checkpoint: str | None = None
    widen: str = "ASK"


def choices(context: Context) -> Choices:
    """What the user chose; a checkpoint that is not chosen here may be named by `CTEG_CHECKPOINT`, for scripts.

    LocateError for a path that depends on the file that is open.
    """
    named = os.environ.get(CHECKPOINT_VARIABLE, "").strip() or None
    addon = context.preferences.addons.get(__package__)
    if addon is None or addon.preferences is None:
        return Choices(checkpoint=named)
    chosen = addon.preferences
    checkpoint = whole_path(chosen.checkpoint, "Checkpoint") or named
    return Choices(whole_path(chosen.python, "Python"), chosen.device, checkpoint, chosen.widen)


def _forget_check(_self: CTEG_Preferences, _context: Context) -> None:
    session.checked = None


class CTEG_Preferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    python: StringProperty(
        name="Python",
        description=(
            "The Python that runs the generator, for instance one with CUDA. Empty: the one named by the environment "
            "variable CTEG_PYTHON, else Blender's own"
        ),
        subtype="FILE_PATH",
        update=_forget_check,
    )
    device: EnumProperty(
        name="Device",
        description="Where the generator computes",
        items=(
            ("auto", "Automatic", "The fastest device there is"),
            ("cpu", "CPU", "The processor: works everywhere"),
            ("cuda", "CUDA", "An NVIDIA graphics card"),
            ("mps", "Metal", "An Apple graphics processor"),
        ),
        default="auto",
    )
    checkpoint: StringProperty(
        name="Checkpoint",
        description="Folder of a trained model. Empty: the one that comes with CTEG",
        subtype="DIR_PATH",
    )
    widen: EnumProperty(
        name="Widen Sliders",
        description="What happens when the sliders of a character's shape keys would cut a take off. Those of FLAME "
        "expressions are always widened",
        items=(
            ("ASK", "Ask", "Ask once for each face. Without an interface: widen, and say so"),
            ("ALWAYS", "Always", "Widen them as far as the take needs"),
            ("NEVER", "Never", "Leave them; the panel says what is cut off"),
        ),
        default="ASK",
    )

    def draw(self, context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(self, "python", placeholder="Blender's own")
        column.prop(self, "device")
        column.prop(self, "checkpoint", placeholder="Bundled")
        column.prop(self, "widen")
        layout.operator("cteg.check_generator", icon="CHECKMARK")
        if session.job is not None and not session.job.cancelling:
            row = layout.row()
            row.label(text=f"{session.job.label}…", icon="SORTTIME")
            row.operator("cteg.cancel", text="", icon="X")
        elif isinstance(session.checked, Hello):
            _draw_hello(layout.box(), session.checked)
        elif session.checked:
            sentence(layout.box(), context, session.checked, icon="ERROR")


def _draw_hello(box: bpy.types.UILayout, hello: Hello) -> None:
    column = box.column(align=True)
    column.label(text="The generator is ready", icon="CHECKMARK")
    for name, value in (
        ("Generator", hello.generator),
        ("Python", hello.python),
        ("PyTorch", hello.torch or "missing"),
        ("Devices", ", ".join(hello.devices)),
    ):
        split = column.split(factor=0.4)
        for text, alignment in ((name, "RIGHT"), (value, "LEFT")):
            row = split.row()
            row.alignment = alignment
            row.label(text=text)
