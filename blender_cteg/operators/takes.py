# SPDX-License-Identifier: GPL-3.0-or-later
"""Show or delete a take of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
from bpy.props import StringProperty

from .. import desk
from ..character.detection.detect import detect_rig
from ..performance import keyframes

if TYPE_CHECKING:
    from bpy.types import Action, Context


def disabled_reason(context: Context) -> str:
    """Why there is no take to work on, or ""."""
    settings = context.scene.cteg
    if problem := desk.target_problem(context.scene, settings.target):
        return problem
    return "" if desk.takes_of(settings.target) else f"{settings.target.name} has no takes yet; generate a line first."


class _TakeOperator:
    """Mixin: works on the take called ``take``, or on the one that is shown."""

    take: StringProperty(name="Take", description="Name of the action. Empty: the take that is shown")

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def act(self, context: Context, action: Action) -> None:
        raise NotImplementedError

    def execute(self, context: Context) -> set[str]:
        target = context.scene.cteg.target
        action = bpy.data.actions.get(self.take) if self.take else desk.shown_take(target)
        if action is None or action not in desk.takes_of(target):
            self.report(
                {"ERROR"},
                f"{target.name} has no take called {self.take!r}; choose one from the list."
                if self.take
                else f"{target.name} shows no take; choose one from the list.",
            )
            return {"CANCELLED"}
        try:
            self.act(context, action)
        except keyframes.TakeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class CTEG_OT_show_take(_TakeOperator, bpy.types.Operator):
    bl_idname = "cteg.show_take"
    bl_label = "Show Take"
    bl_description = "Make the target perform this take"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context: Context, action: Action) -> None:
        keyframes.show_take(detect_rig(context.scene.cteg.target), action)


class CTEG_OT_delete_take(_TakeOperator, bpy.types.Operator):
    bl_idname = "cteg.delete_take"
    bl_label = "Delete Take"
    bl_description = "Remove the take that is shown, and show the one beside it. Other animation is kept"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context: Context, action: Action) -> None:
        target = context.scene.cteg.target
        takes = desk.takes_of(target)
        place = takes.index(action)
        rest = takes[:place] + takes[place + 1 :]
        follow = rest and action == desk.shown_take(target)
        rig = detect_rig(target)
        keyframes.delete_take(rig, action)
        if follow:
            keyframes.show_take(rig, rest[min(place, len(rest) - 1)])
