# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a dialogue, its cast, and performing it on several characters in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty
from bpy.types import Context, Scene
from mathutils import Vector

from .. import cast
from ..character.detection.detect import detect_rig
from ..dialogue import board, schedule, scripts, staging
from ..dialogue.casting import cast_parts
from ..dialogue.entries import PAUSE, active_entry, add_entry, chosen_entries, dialogue_of
from ..dialogue.looking import Sight
from ..preferences import choices
from ..sentences import told
from ..worker.session import Job
from . import Changes, Reasoned
from .heads import look_at_selected
from .jobs import JobOperator, Refusal, busy_reason

#: Heads that are added stand so far apart, metres, on a circle.
_APART = 0.55
#: What is larger, metres, is what they stand in.
_ROOM = 4.0
_WHICH = (
    ("CHANGED", "Changed", "What is new, changed or failed, and the reactions to it"),
    ("SELECTED", "Selected", "The selected lines, as more takes where nothing has changed"),
    ("ALL", "All", "Every line, as more takes where nothing has changed"),
)


def disabled_reason(context: Context) -> str:
    """Why no line of the scene's dialogue can be performed, or ""."""
    if reason := busy_reason():
        return reason
    dialogue = dialogue_of(context.scene)
    if not len(dialogue.entries):
        return told("Read a script first, or add a line.")
    return ""


def needs_entry(context: Context) -> str:
    """Why there is no line to do something with, or ""."""
    return "" if active_entry(context.scene) is not None else told("Read a script first, or add a line.")


# ------------------------------------------------------------------------------------------------ the list


class CTEG_OT_add_entry(Changes, bpy.types.Operator):
    bl_idname = "cteg.add_entry"
    bl_label = "Add Line"
    bl_description = "Add a line behind the last one, said by the other speaker"

    speaker: StringProperty(name="Speaker", options={"SKIP_SAVE"})
    text: StringProperty(name="Text", options={"SKIP_SAVE"})

    def change(self, context: Context) -> None:
        scene, dialogue = context.scene, dialogue_of(context.scene)
        entries = list(dialogue.entries)
        with board.quietly():
            rule = {"rule": "AFTER", "pause": PAUSE} if entries else {}
            entry = add_entry(scene, self.speaker or self._next(scene, entries), self.text, **rule)
            if not entries:
                entry.rule, entry.frame = "FRAME", scripts.first_frame(scene)
        cast_parts(scene)
        dialogue.entry = len(dialogue.entries) - 1
        board.refresh(scene)

    @staticmethod
    def _next(scene: Scene, entries: list[Any]) -> str:
        """Who spoke before the one who spoke last, else the target."""
        if not entries:
            return scene.cteg.target.name if scene.cteg.target is not None else told("Someone")
        others = [entry.speaker for entry in entries if entry.speaker != entries[-1].speaker]
        return others[-1] if others else entries[-1].speaker


class CTEG_OT_remove_entries(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.remove_entries"
    bl_label = "Remove Lines"
    bl_description = "Take the selected lines out of the list and off their characters, whose curves are as before them"

    reason = staticmethod(needs_entry)

    def change(self, context: Context) -> None:
        staging.remove_entries(context.scene, [entry.name for entry in chosen_entries(context.scene)])


class CTEG_OT_move_entry(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.move_entry"
    bl_label = "Move Line in the List"
    bl_description = "Move the line up or down; lines that follow one another follow in the new order"

    by: IntProperty(name="By", default=-1)
    reason = staticmethod(needs_entry)

    def change(self, context: Context) -> None:
        dialogue = dialogue_of(context.scene)
        to = min(max(dialogue.entry + self.by, 0), len(dialogue.entries) - 1)
        dialogue.entries.move(dialogue.entry, to)
        dialogue.entry = to
        arranged(self, context)


class CTEG_OT_follow_entry(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.follow_entry"
    bl_label = "After the Selected Line"
    bl_description = "Let this line begin after the selected one, in place of the one before it in the list"

    reason = staticmethod(needs_entry)

    def change(self, context: Context) -> None:
        entry = active_entry(context.scene)
        others = [one for one in dialogue_of(context.scene).entries if one.chosen and one.name != entry.name]
        entry.after = others[0].name if others else ""
        arranged(self, context)


class CTEG_OT_choose_entries(Changes, bpy.types.Operator):
    bl_idname = "cteg.choose_entries"
    bl_label = "Select Lines"
    bl_description = "Select all lines, none, or those that have to be performed"

    which: EnumProperty(items=(("ALL", "All", ""), ("NONE", "None", ""), ("TO_DO", "Not Performed", "")))

    def change(self, context: Context) -> None:
        rows = board.refresh(context.scene).rows
        for entry, row in zip(dialogue_of(context.scene).entries, rows, strict=True):
            entry.chosen = self.which == "ALL" or (self.which == "TO_DO" and row.status != "DONE")


# ------------------------------------------------------------------------------------------------ the cast


class CTEG_OT_cast(Changes, bpy.types.Operator):
    bl_idname = "cteg.cast"
    bl_label = "Cast by Names"
    bl_description = "Give every speaker the character of the scene that has its name"

    def change(self, context: Context) -> None:
        for said in cast_parts(context.scene):
            self.report({"WARNING"}, said)
        board.refresh(context.scene)


class CTEG_OT_add_heads(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.add_heads"
    bl_label = "Add Heads"
    bl_description = "Add a demo head for every speaker that nobody plays, turned to each other"

    @staticmethod
    def reason(context: Context) -> str:
        if context.mode != "OBJECT":
            return told("Leave the current mode first: switch to Object Mode.")
        return "" if board.board(context.scene).unplayed else told("Every speaker has a character.")

    def change(self, context: Context) -> None:
        from ..heads.demo_head import PEOPLE
        from ..heads.demo_head.assemble import add_demo_head

        scene, people = context.scene, list(PEOPLE)
        missing = [part for part in dialogue_of(scene).parts if board.player(scene, part) is None]
        named = {part.name.casefold(): part for part in missing}
        radius = _APART / 2 / math.sin(math.pi / max(len(missing), 2))
        # Open towards the viewer: nobody turns their back.
        turns = [math.pi * (0.5 + k) / len(missing) if len(missing) > 2 else math.pi * k for k in range(len(missing))]
        places = [Vector((radius * -math.cos(turn), radius * math.sin(turn), 0.0)) for turn in turns]
        there, heads = _boxes(scene), []
        middle, level = scene.cursor.location.copy(), None
        while any(_is_in(box, middle + place) for place in places for box in there):
            middle.x += _APART
        for place, part in enumerate(missing):
            person = part.name.casefold() if part.name.casefold() in people else ""
            others = [name for name in people if name not in named]
            person = person or (others or people)[place % len(others or people)]
            head = add_demo_head(context, part.name, person)
            rig = head.parent
            rig.location = middle + places[place]
            ahead = middle - rig.location
            ahead.y -= 0.6 * _APART * (len(missing) == 2)  # two open towards the viewer, as actors do
            rig.rotation_euler.z = math.atan2(ahead.x, -ahead.y)
            part.character = head
            context.view_layer.update()
            eyes = Sight(scene).eyes(detect_rig(head)).z
            level = eyes if level is None else level
            rig.location.z += level - eyes  # they look each other in the eye
            heads.append(head)
        for head in heads:
            head.select_set(True)
        if heads and scene.cteg.target is None:
            scene.cteg.target = heads[0]
        look_at_selected(context, aside=0.0)
        board.refresh(scene)


def _boxes(scene: Scene) -> list[list[tuple[float, float]]]:
    """What stands around, a default cube as much as a head, as its least and largest x, y and z; what heads may stand
    in, a room, is left out.
    """
    boxes = []
    for obj in scene.objects:
        if obj.type == "MESH" and max(*obj.dimensions) < _ROOM and obj.visible_get():
            corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
            boxes.append([(min(along), max(along)) for along in zip(*map(tuple, corners), strict=True)])
    return boxes


def _is_in(box: list[tuple[float, float]], place: Vector) -> bool:
    """Whether a head would stand in a box, or so near that it hides it."""
    near = 0.5 * _APART
    return all(low - near < place[axis] < high + near for axis, (low, high) in enumerate(box))


# ------------------------------------------------------------------------------------------------ performing


class CTEG_OT_perform_dialogue(JobOperator, bpy.types.Operator):
    bl_idname = "cteg.perform_dialogue"
    bl_label = "Generate Dialogue"
    bl_description = "Perform the lines of the dialogue on their characters, one after the other, and who listens"
    bl_options = {"UNDO"}

    which: EnumProperty(name="Which", items=_WHICH, options={"SKIP_SAVE"})

    _production: staging.Production | None = None

    reason = staticmethod(disabled_reason)

    def prepare(self, context: Context) -> tuple[Any, Mapping[str, Any], str]:
        scene = context.scene
        if reason := disabled_reason(context):
            raise Refusal("{reason}", reason=reason)
        cast_parts(scene)
        ids = None if self.which != "SELECTED" else [entry.name for entry in chosen_entries(scene)]
        self._production = staging.Production(scene, ids, choices(context), again=self.which != "CHANGED")
        asked = self._production.next()
        if asked is None:
            said = " ".join(dict.fromkeys(self._production.said))
            self._conclude_production()
            raise Refusal("{reason}", reason=said or told("Every line is performed as it is written."))
        board.refresh(scene)
        return asked

    def complete(self, _context: Context, job: Job) -> None:
        self._production.use(job.takes, job.warnings)

    def missed(self, _context: Context, job: Job) -> bool:
        return self._production.failed(job.problem, job.kind)

    def follow_up(self, _context: Context) -> tuple[Any, Mapping[str, Any], str] | None:
        asked = self._production.next()
        if self._production.scene is not None:
            board.refresh(self._production.scene)
        return asked

    def meanwhile(self, _context: Context) -> None:
        self._production.write()

    def nothing_changed(self) -> str:
        return told("Cancelled; what was performed before is kept: {count}", count=self._production.done)

    def cancel(self, context: Context) -> None:
        super().cancel(context)
        self._conclude_production()

    def _finish(self, context: Context) -> set[str]:
        result = super()._finish(context)
        if result != {"RUNNING_MODAL"} and self._production is not None:
            done = self._production.done
            for said in dict.fromkeys(self._conclude_production()):
                self.report({"WARNING"}, said)
            if done:
                self.report({"INFO"}, told("Lines and reactions performed: {count}", count=done))
                return {"FINISHED"}  # what is in the scene can be undone
        return result

    def _conclude_production(self) -> list[str]:
        production, self._production = self._production, None
        if production is None:
            return []
        production.finish()
        return production.said


class CTEG_OT_remove_listening(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.remove_listening"
    bl_label = "Remove Reactions"
    bl_description = "Take the reactions off all characters, whose curves are as before them. Their own lines stay"

    @staticmethod
    def reason(context: Context) -> str:
        there = any(len(part.silences) for part in dialogue_of(context.scene).parts)
        return "" if there else told("Nobody listens yet.")

    def change(self, context: Context) -> None:
        count = staging.remove_silences(context.scene)
        dialogue_of(context.scene).listening = False
        cast.refresh(context.scene)
        self.report({"INFO"}, told("Reactions removed: {count}", count=count))


def arranged(operator: Changes, context: Context) -> None:
    """Everything goes where it begins now, and what could not is reported."""
    said: list[str] = []
    with board.quietly():
        refusal = schedule.arrange(context.scene, said=said)
    board.refresh(context.scene, refusal)
    if refusal:
        operator.report({"ERROR"}, refusal)
    lost = [row.told for row in board.board(context.scene).rows if row.start is None and row.status == "FAILED"]
    for sentence in dict.fromkeys([*said, *lost]):
        operator.report({"WARNING"}, sentence)
