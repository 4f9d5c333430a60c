# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: which engine performs, in which Python and on which device, with which checkpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy.types import Context

from .sentences import told
from .ui.layouts import guide_button, sentence
from .worker import session
from .worker.locate import whole_path

if TYPE_CHECKING:
    from .worker.protocol import Done, Hello

#: The environment variable that names a checkpoint folder, as `CTEG_PYTHON` names a Python.
CHECKPOINT_VARIABLE: Final = "CTEG_CHECKPOINT"


class Choices(NamedTuple):
    """The preferences, or their defaults where the package runs without being an enabled add-on."""

    python: str = ""
    device: str = "auto"
    checkpoint: str | None = None

    def asked(self, op: str, **more: Any) -> dict[str, Any]:
        """A request for the generator, performed with the chosen checkpoint on the chosen device."""
        return {"op": op, **more, "checkpoint": self.checkpoint, "device": self.device}


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
    if chosen.engine == "BUILTIN":
        return Choices(checkpoint=checkpoint)
    return Choices(whole_path(chosen.python, "Python"), chosen.device, checkpoint)


def engine(context: Context) -> str:
    """The engine in use, in a few words: the one that performed last, else the chosen one."""
    if session.performed is not None:
        return session.engine(session.performed)
    addon = context.preferences.addons.get(__package__)
    torch = addon is not None and addon.preferences is not None and addon.preferences.engine == "TORCH"
    return told("PyTorch") if torch else told("Built-in engine")


def _forget_check(_self: CTEG_Preferences, _context: Context) -> None:
    session.checked = session.performed = None


class CTEG_Preferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    engine: EnumProperty(
        name="Engine",
        description="What computes the performances. The same line and seed give the same take on each",
        items=(
            ("BUILTIN", "Built-in", "Blender's own Python. Nothing else is needed"),
            ("TORCH", "A Python with PyTorch", "For a graphics card, and for checkpoints that ask for it"),
        ),
        update=_forget_check,
    )
    python: StringProperty(
        name="Python",
        description=(
            "The Python with PyTorch, for instance one with CUDA. Empty: the one named by the environment variable "
            "CTEG_PYTHON"
        ),
        subtype="FILE_PATH",
        update=_forget_check,
    )
    device: EnumProperty(
        name="Device",
        description="Where PyTorch computes",
        items=(
            ("torch", "Automatic", "The fastest device there is"),
            ("cpu", "CPU", "The processor: works everywhere"),
            ("cuda", "CUDA", "An NVIDIA graphics card"),
            ("mps", "Metal", "An Apple graphics processor"),
        ),
        update=_forget_check,
    )
    checkpoint: StringProperty(
        name="Checkpoint",
        description="Folder of a trained model. Empty: the one that comes with CTEG",
        subtype="DIR_PATH",
        update=_forget_check,
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
        column.row().prop(self, "engine", expand=True)
        if self.engine == "TORCH":
            row = column.row(align=True)
            row.prop(self, "python", placeholder="CTEG_PYTHON")
            row.operator("cteg.create_environment", text="Create…", icon="ADD")
            column.prop(self, "device")
        column.prop(self, "checkpoint", placeholder="Bundled")
        column.prop(self, "widen")
        row = layout.row()
        row.operator("cteg.check_generator", text="Check", icon="CHECKMARK")
        guide_button(row, text="Guide")
        job = session.job
        if job is not None:
            row = layout.row(align=True)
            row.progress(factor=job.fraction, text=job.label)
            row.operator("cteg.cancel", text="", icon="X")
            layout.label(text=job.stage)
        elif isinstance(session.checked, str):
            sentence(layout.box(), context, session.checked, icon="ERROR")
        elif session.checked is not None:
            _draw_checked(layout.box(), *session.checked)
        if session.inside():
            sentence(layout, context, session.inside(), icon="INFO")


def _draw_checked(box: bpy.types.UILayout, hello: Hello, done: Done) -> None:
    column = box.column(align=True)
    column.label(text="The generator is ready", icon="CHECKMARK")
    for name, value in (
        ("Engine", session.engine(done)),
        ("A take of 5 s", told("{seconds:.2f} s", seconds=done.seconds)),
        ("Generator", hello.generator),
        ("Python", hello.python),
        ("NumPy", hello.numpy),
        ("PyTorch", hello.torch or "not there, and not needed"),
    ):
        split = column.split(factor=0.4)
        for text, alignment in ((name, "RIGHT"), (value, "LEFT")):
            row = split.row()
            row.alignment = alignment
            row.label(text=text)
