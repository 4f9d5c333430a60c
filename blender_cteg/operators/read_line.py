# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the line of the panel: how it is understood, before anything is performed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..dialogue.casting import named_before
from ..preferences import choices
from ..segments import in_order
from ..sentences import shorten, told
from ..settings import chosen, request
from ..worker import session
from .jobs import JobOperator, Refusal, busy_reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpy.types import Context

    from ..segments import Segment


def disabled_reason(context: Context) -> str:
    """Why the line of the panel cannot be read, or ""."""
    if not context.scene.cteg.line().strip():
        return told("Type the line that the character says.")
    return busy_reason()


def reading(context: Context) -> tuple[Segment, ...]:
    """How the line of the panel was read; nothing where it was not, or was changed since."""
    text, segments = session.understood
    return segments if segments and text == context.scene.cteg.line() else ()


class CTEG_OT_read_line(JobOperator, bpy.types.Operator):
    bl_idname = "cteg.read_line"
    bl_label = "Read Line"
    bl_description = "Show how the line is understood, its emotions, actions and notes, before anything is performed"
    bl_options = {"INTERNAL"}

    _text: str = ""

    reason = staticmethod(disabled_reason)

    def prepare(self, context: Context) -> tuple[str, Mapping[str, Any], str]:
        settings, preferred = context.scene.cteg, choices(context)
        self._text = settings.line()
        if not self._text.strip():
            raise Refusal("Type the line that the character says.")
        try:
            # The times of a text may be another line's; they change nothing of what is understood.
            asked = request(chosen(settings) | {"text": self._text, "timeline": None})
            asked |= named_before(context.scene, self._text)
        except ValueError as error:
            raise Refusal("{reason}", reason=error) from None
        message = {"lines": [asked], "checkpoint": preferred.checkpoint, "device": preferred.device}
        return preferred.python, {"op": "read", **message}, told("Reading the line")

    def complete(self, _context: Context, job: session.Job) -> None:
        if not any(job.read):
            raise Refusal("The generator did not say how it understands the line; check it in the CTEG preferences.")
        session.understood = self._text, job.read[0]
        self.report(
            {"INFO"}, told("“{words}”: {emotions}", words=shorten(self._text, 40), emotions=in_order(job.read[0]))
        )
