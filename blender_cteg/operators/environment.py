# SPDX-License-Identifier: GPL-3.0-or-later
"""Create environment: a Python with PyTorch for the preferences, after the user has agreed to the download."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event

from ..preferences import CTEG_Preferences
from ..sentences import told
from ..ui.layouts import wrapped
from ..worker import session
from .jobs import InPreferences, Refusal, busy_reason

if TYPE_CHECKING:
    from ..worker.environment import EnvironmentMaker

_WIDTH: Final = 380


class CTEG_OT_create_environment(InPreferences, bpy.types.Operator):
    bl_idname = "cteg.create_environment"
    bl_label = "Create Python with PyTorch"
    bl_description = "Download PyTorch into a Python of its own and choose it. You are asked before"
    bl_options = {"INTERNAL"}

    index: StringProperty(
        name="From", options={"SKIP_SAVE"},
        description="Address of a package index. Empty: PyPI. PyTorch's own site names one for each kind of graphics "
        "card, which NVIDIA cards need on Windows",
    )  # fmt: skip
    confirmed: BoolProperty(options={"SKIP_SAVE", "HIDDEN"})

    @staticmethod
    def reason(_context: Context) -> str:
        if not bpy.app.online_access:
            return told("Blender may not go online; allow it in Preferences > System > Network, then create it again.")
        return busy_reason()

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Ask first."""
        if self.confirmed:
            return super().invoke(context, event)
        answered: set[str] = context.window_manager.invoke_props_dialog(self, width=_WIDTH, confirm_text="Download")
        return answered

    def draw(self, _context: Context) -> None:
        """The question."""
        from ..worker.environment import PACKAGES, SIZES  # here, because enabling the extension does not need it

        source = self.index or told("PyPI, the Python Package Index")
        text = told(
            "Download {packages} and what they need from {source}? About {download:g} GB are downloaded; they take "
            "{disk:g} GB on the disk, in the folder of this extension, and go with it.", packages=", ".join(PACKAGES),
            source=source, download=SIZES[0], disk=SIZES[1],
        )  # fmt: skip
        column = self.layout.column(align=True)
        for line in wrapped(text, _WIDTH - 40.0):
            column.label(text=line)
        self.layout.prop(self, "index", placeholder="PyPI")

    def execute(self, context: Context) -> set[str]:
        """Agreed. It goes on in the main window: the one of the preferences may be closed meanwhile."""
        if bpy.app.background or self.confirmed:
            return super().execute(context)
        with context.temp_override(window=context.window.parent or context.window):
            return bpy.ops.cteg.create_environment("INVOKE_DEFAULT", confirmed=True, index=self.index)

    def prepare(self, _context: Context) -> tuple[EnvironmentMaker, Mapping[str, Any], str]:
        from ..worker.environment import EnvironmentMaker

        if self.index and not self.index.startswith("https://"):
            sentence = "The address {index} does not begin with https://; give a whole address, or none for PyPI."
            raise Refusal(sentence, index=self.index)
        session.close()  # it may be running in the environment that is replaced
        folder = Path(bpy.utils.extension_path_user(CTEG_Preferences.bl_idname)) / "torch"  # torch has long paths
        return EnvironmentMaker(sys.executable, folder, self.index), {}, told("Creating the environment")

    def complete(self, context: Context, job: session.Job) -> None:
        chosen = context.preferences.addons[CTEG_Preferences.bl_idname].preferences
        chosen.engine, chosen.python = "TORCH", str(job.client.python)
        context.preferences.is_dirty = True
        self.report({"INFO"}, told("The environment is there and chosen; Check shows what it can do."))
