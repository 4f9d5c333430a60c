# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct live: fields that perform the shown take again while they are dragged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import bpy
from bpy.types import Context, PropertyGroup

from .. import cast
from ..operators import live
from ..sentences import told, translated
from ..settings import NOWHERE
from .layouts import sentence
from .panels import Sidebar, properties


def _view(name: str, default: Any) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Getter and setter of what the shown take was asked for."""

    def get(_fields: PropertyGroup) -> Any:
        value = live.value_of(bpy.context.scene, name)
        return default if value is None else value

    def put(_fields: PropertyGroup, value: Any) -> None:
        live.direct(bpy.context, name, value)

    return get, put


class CTEG_Live(PropertyGroup):
    """The fields, in ``WindowManager.cteg_live``: there Blender makes no undo step of them, the operator makes one."""

    __annotations__ = {
        name: field.as_view(*_view(name, field.options["default"])) for name, field in live.FIELDS.items()
    }


class CTEG_PT_live(Sidebar, bpy.types.Panel):
    bl_label = "Direct Live"
    bl_parent_id = "CTEG_PT_line"

    @classmethod
    def poll(cls, context: Context) -> bool:
        line = cast.active_line(context.scene)
        return line is not None and line.take is not None

    def draw(self, context: Context) -> None:
        layout, fields = self.layout, context.window_manager.cteg_live
        if reason := live.disabled_reason(context):
            sentence(layout, context, reason, icon="INFO")
            return
        column = properties(layout)
        column.prop(fields, "emotion")
        column.prop(fields, "emotion_with")
        if fields.emotion_with != NOWHERE:
            column.prop(fields, "share", slider=True)
        for name in ("intensity", "energy"):
            column.prop(fields, name, slider=True)
        looks = column.column(align=True)
        for name in live.LOOKS:
            looks.prop(fields, name, slider=True)
        line = cast.active_line(context.scene)
        word = "" if line is None or line.take is None else live.word_in(context.scene, line)
        if word:
            column.prop(fields, live.EMPHASIS, text=told("“{word}”", word=word), slider=True)
        if live.directing is not None:
            waits = translated(live.directing.live.stage) if live.directing.shown is None else ""
            text = told("{stage}…", stage=waits.capitalize()) if waits else told("Esc: as it was")
            layout.label(text=text, icon="REC")


#: Where the fields are kept.
OWNERS: Final = ((bpy.types.WindowManager, "cteg_live", CTEG_Live),)
