# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators, by what they work on.

Every module has a ``disabled_reason`` that says in a sentence why its operators cannot run; the panel, the operator's
poll message and its error report all show that sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.types import Context

from ..sentences import Told
from ..storage import FileError


class Reasoned:
    """Mixin: an operator that can run while `reason` is ""."""

    @staticmethod
    def reason(context: Context) -> str:
        """Why it cannot run, a sentence; "" when it can."""
        raise NotImplementedError

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := cls.reason(context):
            cls.poll_message_set(reason)
        return not reason


class Changes:
    """Mixin: an operator that makes one change. What keeps it from that is reported, and nothing has changed.

    Attributes:
        level: how what was done is reported.
    """

    bl_options = {"REGISTER", "UNDO"}
    level = "INFO"
    report: Any

    def execute(self, context: Context) -> set[str]:
        try:
            said = self.change(context)
        except Told as refusal:
            self.report({"ERROR"}, str(refusal))
            return {"CANCELLED"}
        if said:
            self.report({self.level}, said)
        return {"FINISHED"}

    def change(self, context: Context) -> str | None:
        """Make the change, and say what was done where that is worth a sentence; `Told` where it cannot be made."""
        raise NotImplementedError


def chosen_file(operator: Any) -> Path:
    """The file that an operator was given, by its dialog or a script. FileError when that is none."""
    if not operator.filepath.strip():
        raise FileError("No file is chosen. Choose one, or name it as filepath.")
    return Path(bpy.path.abspath(operator.filepath))


class DroppedOnView:
    """Mixin: a file handler of the 3D viewport."""

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"
