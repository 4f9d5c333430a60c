# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines and their takes: show, delete, change, keep what was edited by hand. All from the stored takes, at once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy.types import Context, Scene

from .. import cast
from ..cast import Character
from ..dialogue import board
from ..dialogue.entries import dialogue_of
from ..performance import migration
from ..performance.layers import played_only
from ..performance.lines import LineError, Lines
from ..performance.record import REGIONS, Line, Region, changes_of
from ..sentences import told, translated
from ..settings import LINE_SETTINGS, REGION_SETTINGS
from . import Changes, Reasoned

#: Moments of a line that are nearer are one.
_SAME_MOMENT = 1e-3
#: What a line can play alone, see `layers.PRESETS`.
PLAYED_ALONE = (
    ("ALL", "Everything", "All of the face, and the speech"),
    ("UPPER_FACE", "Upper Face Only", "Brows, lids and cheeks"),
    ("MOUTH", "Mouth Only", "Mouth and jaw, with the speech"),
    ("NO_EYES_HEAD", "Eyes and Head Off", "The gaze and the head are left to others"),
    ("NO_SPEECH", "Speech Off", "Only what is felt: a lip sync of your own plays through"),
)
_REGION_ITEMS = tuple((name.replace(" ", "_").upper(), name.capitalize(), "") for name in REGIONS)


class _CharacterOperator(Changes):
    """Mixin: does something with the character of the scene, and reports what is said of it."""

    def change(self, context: Context) -> None:
        now = cast.character(context.scene, current=True)
        try:
            if now.problem:
                raise LineError("{problem}", problem=now.problem)
            said = self.work(context.scene, now)
        finally:
            cast.show_lines(context.scene)
        for sentence in dict.fromkeys(said):
            self.report({"INFO"}, sentence)

    def work(self, scene: Scene, now: Character) -> list[str]:
        """Do it; sentences about what was done. LineError when it cannot be done."""
        raise NotImplementedError


class LineOperator(_CharacterOperator, Reasoned):
    """Mixin: changes a line of the target, the active one by default."""

    line: StringProperty(
        name="Line", description="Id of the line. Empty: the active one", options={"SKIP_SAVE", "HIDDEN"}
    )

    @staticmethod
    def reason(context: Context) -> str:
        now = cast.character(context.scene)
        return now.problem or ("" if now.lines else told("This character has no lines yet; generate one first."))

    def work(self, scene: Scene, now: Character) -> list[str]:
        named = (line for line in now.lines if line.id == self.line)
        line = next(named, None) if self.line else cast.active_line(scene)
        if line is None:
            raise LineError("This line is not there any more; choose one from the list.")
        lines = Lines(scene, now.rig, now.mapping)
        cast.keep_line(scene, line.id)
        self.act(bpy.context, lines, line)
        return lines.said

    def act(self, context: Context, lines: Lines, line: Line) -> None:
        """Do it. LineError when it cannot be done."""
        raise NotImplementedError


class CTEG_OT_show_take(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.show_take"
    bl_label = "Show Take"
    bl_description = "Make the character perform this take of the line. What was edited by hand stays as a layer"

    take: IntProperty(name="Take", description="Which take, from 0; -1: none", min=-1, options={"SKIP_SAVE"})

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        lines.show(line.id, self.take)


class CTEG_OT_delete_take(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.delete_take"
    bl_label = "Delete Take"
    bl_description = "Remove a take of the line, and show the one beside it. Other animation is kept"

    take: IntProperty(name="Take", description="Which take, from 0; -1: the one that is shown", min=-1, default=-1)

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        lines.remove_take(line.id, _place(line, self.take))


class CTEG_OT_delete_other_takes(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.delete_other_takes"
    bl_label = "Delete the Others"
    bl_description = "Remove all takes of the line but the one that is shown and the favourites"

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        count = lines.remove_others(line.id)
        lines.said.append(told("Takes removed: {count}", count=count))


class CTEG_OT_favourite_take(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.favourite_take"
    bl_label = "Favourite Take"
    bl_description = "Mark a take that you like, or take the mark back. Delete the Others leaves it"

    take: IntProperty(name="Take", description="Which take, from 0; -1: the one that is shown", min=-1, default=-1)

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        place = _place(line, self.take)
        liked = place < len(line.takes) and line.takes[place].favourite
        lines.mark(line.id, place, favourite=not liked)


class CTEG_OT_compare_take(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.compare_take"
    bl_label = "Compare Takes"
    bl_description = (
        "Show this take beside the one that is played, at the moments where they differ most; or not any more"
    )
    bl_options = {"INTERNAL"}

    take: IntProperty(name="Take", description="Which take, from 0", min=0)

    def act(self, context: Context, _lines: Lines, line: Line) -> None:
        interface = context.window_manager.cteg
        if self.take >= len(line.takes) or line.take is None or self.take == line.shown:
            raise LineError("Show one take of the line, then choose another one to compare it with.")
        name = f"{line.id} {line.takes[self.take].key}"
        interface.compared = "" if interface.compared == name else name


class CTEG_OT_delete_line(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.delete_line"
    bl_label = "Delete Line"
    bl_description = "Remove the line with all its takes. The curves are as they were before it"

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        lines.remove(line.id)


class CTEG_OT_change_line(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.change_line"
    bl_label = "Change Line"
    bl_description = "Move or stretch the line, scale its layers, or key it in another way"

    __annotations__ = {setting.name: setting.as_argument() for setting in LINE_SETTINGS}

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        names = [s.name for s in LINE_SETTINGS if self.properties.is_property_set(s.name)]
        lines.change(line.id, **changes_of(line, {name: getattr(self, name) for name in names}))


class CTEG_OT_change_region(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.change_region"
    bl_label = "Change Region of Line"
    bl_description = "Choose what becomes of a part of the face in this line"

    __annotations__ = {
        "region": EnumProperty(name="Region", items=_REGION_ITEMS),
        **{setting.name: setting.as_argument() for setting in REGION_SETTINGS},
    }

    def act(self, context: Context, lines: Lines, line: Line) -> None:
        name = self.region.replace("_", " ").lower()
        region, given = line.regions.get(name, Region()), self.properties.is_property_set
        if given("scale"):  # at the playhead, where the region has several sizes, as in the panel
            region = region.sized(_moment(context, line) if region.course else 0.0, self.scale)
        region = replace(region, **{key: getattr(self, key) for key in ("mode", "mute") if given(key)})
        lines.change(line.id, regions={**line.regions, name: region})


class CTEG_OT_play_only(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.play_only"
    bl_label = "Play Only"
    bl_description = "Choose which parts of the face this line plays; the others stay the animator's"

    preset: EnumProperty(name="Parts", items=PLAYED_ALONE)

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        items = properties.bl_rna.properties["preset"].enum_items
        return translated(items[properties.preset].description)

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        lines.change(line.id, **played_only(line, self.preset))


class CTEG_OT_size_at_playhead(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.size_at_playhead"
    bl_label = "Size at the Playhead"
    bl_description = (
        "Let a region have another size at other times: keep its size at the playhead, or take that back. Between "
        "two of them it changes evenly"
    )

    region: EnumProperty(name="Region", items=_REGION_ITEMS)

    def act(self, context: Context, lines: Lines, line: Line) -> None:
        name, at = self.region.replace("_", " ").lower(), _moment(context, line)
        region = line.regions.get(name, Region())
        course = {share: size for share, size in region.course if abs(share - at) > _SAME_MOMENT}
        size = float(region.size(at))
        if len(course) == len(region.course):
            course[at] = size
        region = replace(region, course=tuple(sorted(course.items())), scale=region.scale if course else size)
        lines.change(line.id, regions={**line.regions, name: region})


class CTEG_OT_keep_edit(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.keep_edit"
    bl_label = "Keep Edit by Hand"
    bl_description = "Decide what becomes of the keys of this line that were changed by hand"

    how: EnumProperty(
        name="How",
        items=(
            ("OVER_ALL", "Over All Takes", "The edit is a layer over every take of the line"),
            ("OWN_TAKE", "As a Take", "The edited take is a take of its own, beside the one it was made from"),
            ("DISCARD", "Discard", "The take is written again as it was performed"),
        ),
    )

    def act(self, _context: Context, lines: Lines, line: Line) -> None:
        lines.keep_edit(line.id, self.how)


class CTEG_OT_rewrite_lines(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.rewrite_lines"
    bl_label = "Write Lines Again"
    bl_description = (
        "Write all lines of the character again, for what has changed: the frame rate, keys, bones, drivers"
    )

    def act(self, _context: Context, lines: Lines, _line: Line) -> None:
        lines.rewrite()


class CTEG_OT_go_to_line(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.go_to_line"
    bl_label = "Go to Line"
    bl_description = "Move the playhead into the line"
    bl_options = {"UNDO_GROUPED"}
    bl_undo_group = "Frame Change"

    after: IntProperty(name="After", description="Frames after its first one", min=0, options={"SKIP_SAVE"})

    def act(self, context: Context, _lines: Lines, line: Line) -> None:
        context.scene.frame_set(round(line.start) + self.after)


class CTEG_OT_extend_scene(Changes, Reasoned, bpy.types.Operator):
    bl_idname = "cteg.extend_scene"
    bl_label = "Extend Scene to Last Line"
    bl_description = "Move the last frame of the scene to the end of the last line, of the target and of the dialogue"

    @staticmethod
    def reason(context: Context) -> str:
        end = _last_frame(context.scene)
        if end is None:
            return told("There is no line yet; generate one first.")
        return "" if end > context.scene.frame_end else told("All lines end within the scene.")

    def change(self, context: Context) -> None:
        context.scene.frame_end = _last_frame(context.scene)


class CTEG_OT_send_to_strip(LineOperator, bpy.types.Operator):
    bl_idname = "cteg.send_to_strip"
    bl_label = "Send to a Strip"
    bl_description = "Move the line out of the action into a strip of its own in the Nonlinear Animation editor"

    all: BoolProperty(name="All", description="All lines of the character, in place of one", options={"SKIP_SAVE"})

    def act(self, context: Context, lines: Lines, line: Line) -> None:
        from ..performance import strips  # here, because enabling the extension does not need it

        character = cast.character(context.scene)
        chosen = [one for one in character.lines if one.take is not None] if self.all else [line]
        if not chosen:
            raise LineError("No line shows a take. Show one of each first; a strip plays what is shown.")
        for one in chosen:
            strips.send(context.scene, character.rig, lines, one)


class CTEG_OT_bring_back(_CharacterOperator, bpy.types.Operator):
    bl_idname = "cteg.bring_back"
    bl_label = "Bring Back from Strips"
    bl_description = "Move lines that were sent to strips back into the action of the character"

    def work(self, scene: Scene, now: Character) -> list[str]:
        from ..performance import strips  # here, because enabling the extension does not need it

        return strips.bring_back(scene, now.rig, now.mapping)


class CTEG_OT_migrate_takes(_CharacterOperator, bpy.types.Operator):
    bl_idname = "cteg.migrate_takes"
    bl_label = "Turn Old Takes into Lines"
    bl_description = (
        "Takes of CTEG 0.1.0 become lines of the character; the actions that held them are kept in the file"
    )

    def work(self, scene: Scene, now: Character) -> list[str]:
        return migration.migrate(scene, now.rig, now.mapping)


def _last_frame(scene: Scene) -> int | None:
    """Where the last line ends, of the target and of the dialogue; None where there is none."""
    ends = [math.ceil(line.end) for line in cast.character(scene).lines]
    return max([*ends, board.board(scene).end] if len(dialogue_of(scene).entries) else ends, default=None)


def _place(line: Line, take: int) -> int:
    """Which take is meant; below 0 the one that is shown."""
    if take < 0 and line.take is None:
        raise LineError("This line shows no take; choose one from the list.")
    return line.shown if take < 0 else take


def _moment(context: Context, line: Line) -> float:
    """How much of a line is over at the playhead, which must be in it."""
    frame = context.scene.frame_current
    if not line.start <= frame <= line.end:
        sentence = "Frame {frame} is not in this line. Move the playhead to one from {start:.0f} to {end:.0f}."
        raise LineError(sentence, frame=frame, start=line.start, end=line.end)
    return line.share(frame)
