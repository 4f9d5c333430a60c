# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene of dialogue: scripts are read, lines performed on several characters in turn, and put in their places."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from .. import cast
from ..character.detection.detect import detect_rig
from ..dialogue import board, schedule, scripts, staging
from ..dialogue.casting import cast_parts
from ..dialogue.entries import PAUSE, active_entry, add_entry, chosen_entries, dialogue_of
from ..dialogue.looking import Sight
from ..dialogue.scripts import DryRun, UnreadableScript
from ..performance.lines import LineError, Lines
from ..preferences import choices
from ..sentences import shorten, told
from ..shared import SCRIPT_SUFFIXES
from ..ui.layouts import wrapped
from . import Reasoned
from .jobs import JobOperator, Refusal, busy_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpy.types import Context, Event, Scene

    from ..performance.record import Line
    from ..worker.session import Job

#: Rows of a dry run that are shown; a script with more of them says how many.
_MOST_SHOWN = 14
#: Names that may be words, of which one is asked, at most.
_MOST_DOUBTED = 6
#: Width of the dialogue that shows it, in pixels at scale 1.
_WIDTH = 520
#: Heads that are added stand so far apart, metres, on a circle.
_APART = 0.55
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


def _needs_entry(context: Context) -> str:
    return "" if active_entry(context.scene) is not None else told("Read a script first, or add a line.")


def _needs_performed(context: Context) -> str:
    if reason := _needs_entry(context):
        return reason
    return "" if active_entry(context.scene).line else told("Generate this line first.")


# ------------------------------------------------------------------------------------------------ reading


class CTEG_Label(bpy.types.PropertyGroup):
    """What stands before a colon in a script, its ``name``, and what it is taken for."""

    speaks: BoolProperty(
        name="Speaks", description="It is the name of who speaks. Off: it is said, with what stands behind it",
        default=True,
    )  # fmt: skip


class _Reading:
    """Mixin: shows what a script would do before it does it."""

    replace: BoolProperty(
        name="Replace", description="Take the lines that are there out of the list first, and off their characters"
    )
    labels: CollectionProperty(type=CTEG_Label, options={"SKIP_SAVE"})

    _run: DryRun | None = None

    def invoke_script(self, context: Context) -> set[str]:
        try:
            run = type(self)._run = scripts.dry_run(context.scene, *self.script(context))
        except UnreadableScript as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.labels.clear()
        for name in run.doubtful()[:_MOST_DOUBTED]:
            self.labels.add().name = name
        if bpy.app.background or context.window is None:
            return self.execute(context)
        shown: set[str] = context.window_manager.invoke_props_dialog(
            self, width=_WIDTH, title=told("Read {name}", name=self._run.name), confirm_text=told("Add to the List")
        )
        return shown

    def check(self, context: Context) -> bool:
        """Blender's: a field of the dialog was changed."""
        with suppress(UnreadableScript):
            type(self)._run = scripts.dry_run(context.scene, *self.script(context))
        return True

    @property
    def words(self) -> list[str]:
        """What is said, though it is written as a name."""
        return [label.name for label in self.labels if not label.speaks]

    def draw(self, context: Context) -> None:
        if self._run is None:
            return
        understood, left_out = self._run.sentences(), self._run.left_out()
        column = self.layout.column(align=True)
        for texts, icon in ((understood, "CHECKMARK"), (left_out, "INFO")):
            for text in texts[:_MOST_SHOWN]:
                for number, row in enumerate(wrapped(text, _WIDTH - 50.0)):
                    first = number == 0 and (icon == "INFO" or text == texts[0])
                    column.label(text=row, icon=icon if first else "BLANK1")
            if (more := len(texts) - _MOST_SHOWN) > 0:
                column.label(text=told("And {count} more", count=more), icon="BLANK1")
        for label in self.labels:
            text = told("“{name}:” is who speaks; click if it is said", name=label.name)
            said = told("“{name}:” is said", name=label.name)
            self.layout.prop(label, "speaks", text=text if label.speaks else said, toggle=True)
        box = self.layout.box().column(align=True)
        box.active = False
        for line in self._run.script.lines[:6]:
            words = told("{speaker}: {text}", speaker=line.speaker or "–", text=line.text)
            box.label(text=shorten(words, 110))
        if len(dialogue_of(context.scene).entries):
            self.layout.prop(self, "replace")

    def execute(self, context: Context) -> set[str]:
        scene = context.scene
        try:
            script, _ = self.script(context)
            if self.replace:
                staging.remove_silences(scene)
                staging.remove_entries(scene, [entry.name for entry in dialogue_of(scene).entries])
        except (UnreadableScript, LineError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        count = len(scripts.add(scene, script))
        self.report({"INFO"}, told("{count} lines were added", count=count))
        for note in script.notes[:_MOST_SHOWN]:
            self.report({"WARNING"}, told("Line {number}: {text}", number=note.number, text=note.text))
        return {"FINISHED"}

    def script(self, context: Context) -> tuple[Any, str]:
        """What is read, and its name. `UnreadableScript`."""
        raise NotImplementedError


class CTEG_OT_read_script(_Reading, bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.read_script"
    bl_label = "Read Script"
    bl_description = (
        "Read lines from Fountain, Final Draft, SRT, VTT, CSV, TSV or plain text; shows what was understood"
    )
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".fountain"
    filter_glob: StringProperty(default=";".join(f"*{suffix}" for suffix in SCRIPT_SUFFIXES), options={"HIDDEN"})
    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    shown: BoolProperty(options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Context, event: Event) -> set[str]:
        if self.filepath:  # dropped, or chosen a moment ago
            self.shown = True
            return self.invoke_script(context)
        chosen: set[str] = ImportHelper.invoke(self, context, event)
        return chosen

    def execute(self, context: Context) -> set[str]:
        if self.options.is_invoke and not self.shown:  # out of the file browser: show it first, as what is dropped
            return bpy.ops.cteg.read_script("INVOKE_DEFAULT", filepath=self.filepath) and {"CANCELLED"}
        return super().execute(context)

    def script(self, _context: Context) -> tuple[Any, str]:
        if not self.filepath:
            raise UnreadableScript("No file was chosen; choose a script.")
        return scripts.read(Path(bpy.path.abspath(self.filepath)), self.words)


class CTEG_FH_script(bpy.types.FileHandler):
    bl_idname = "CTEG_FH_script"
    bl_label = "Script"
    bl_import_operator = "cteg.read_script"
    bl_file_extensions = ";".join(SCRIPT_SUFFIXES)

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


class CTEG_OT_paste_script(_Reading, bpy.types.Operator):
    bl_idname = "cteg.paste_script"
    bl_label = "Paste Script"
    bl_description = "Read lines from the clipboard: a screenplay, subtitles, a table, or NAME: What is said"
    bl_options = {"REGISTER", "UNDO"}

    def invoke(self, context: Context, _event: Event) -> set[str]:
        return self.invoke_script(context)

    def script(self, context: Context) -> tuple[Any, str]:
        text, name = context.window_manager.clipboard, told("Clipboard")
        if not text.strip():
            raise UnreadableScript("The clipboard has no text. Copy some lines first.")
        return scripts.parsed(text.encode("utf-8", "replace"), f"{name}.txt", self.words), name


# ------------------------------------------------------------------------------------------------ the list


class CTEG_OT_add_entry(bpy.types.Operator):
    bl_idname = "cteg.add_entry"
    bl_label = "Add Line"
    bl_description = "Add a line behind the last one, said by the other speaker"
    bl_options = {"REGISTER", "UNDO"}

    speaker: StringProperty(name="Speaker", options={"SKIP_SAVE"})
    text: StringProperty(name="Text", options={"SKIP_SAVE"})

    def execute(self, context: Context) -> set[str]:
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
        return {"FINISHED"}

    @staticmethod
    def _next(scene: Scene, entries: list[Any]) -> str:
        """Who spoke before the one who spoke last, else the target."""
        if not entries:
            return scene.cteg.target.name if scene.cteg.target is not None else told("Someone")
        others = [entry.speaker for entry in entries if entry.speaker != entries[-1].speaker]
        return others[-1] if others else entries[-1].speaker


class CTEG_OT_remove_entries(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.remove_entries"
    bl_label = "Remove Lines"
    bl_description = "Take the selected lines out of the list and off their characters, whose curves are as before them"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(_needs_entry)

    def execute(self, context: Context) -> set[str]:
        try:
            staging.remove_entries(context.scene, [entry.name for entry in chosen_entries(context.scene)])
        except LineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class CTEG_OT_move_entry(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.move_entry"
    bl_label = "Move Line in the List"
    bl_description = "Move the line up or down; lines that follow one another follow in the new order"
    bl_options = {"REGISTER", "UNDO"}

    by: IntProperty(name="By", default=-1)
    reason = staticmethod(_needs_entry)

    def execute(self, context: Context) -> set[str]:
        dialogue = dialogue_of(context.scene)
        to = min(max(dialogue.entry + self.by, 0), len(dialogue.entries) - 1)
        dialogue.entries.move(dialogue.entry, to)
        dialogue.entry = to
        return _arranged(self, context)


class CTEG_OT_follow_entry(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.follow_entry"
    bl_label = "After the Selected Line"
    bl_description = "Let this line begin after the selected one, in place of the one before it in the list"
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(_needs_entry)

    def execute(self, context: Context) -> set[str]:
        entry = active_entry(context.scene)
        others = [one for one in dialogue_of(context.scene).entries if one.chosen and one.name != entry.name]
        entry.after = others[0].name if others else ""
        return _arranged(self, context)


class CTEG_OT_choose_entries(bpy.types.Operator):
    bl_idname = "cteg.choose_entries"
    bl_label = "Select Lines"
    bl_description = "Select all lines, none, or those that have to be performed"
    bl_options = {"REGISTER", "UNDO"}

    which: EnumProperty(items=(("ALL", "All", ""), ("NONE", "None", ""), ("TO_DO", "Not Performed", "")))

    def execute(self, context: Context) -> set[str]:
        rows = board.refresh(context.scene).rows
        for entry, row in zip(dialogue_of(context.scene).entries, rows, strict=True):
            entry.chosen = self.which == "ALL" or (self.which == "TO_DO" and row.status != "DONE")
        return {"FINISHED"}


# ------------------------------------------------------------------------------------------------ the cast


class CTEG_OT_cast(bpy.types.Operator):
    bl_idname = "cteg.cast"
    bl_label = "Cast by Names"
    bl_description = "Give every speaker the character of the scene that has its name"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        for said in cast_parts(context.scene):
            self.report({"WARNING"}, said)
        board.refresh(context.scene)
        return {"FINISHED"}


class CTEG_OT_add_heads(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.add_heads"
    bl_label = "Add Heads"
    bl_description = "Add a demo head for every speaker that nobody plays, turned to each other"
    bl_options = {"REGISTER", "UNDO"}

    @staticmethod
    def reason(context: Context) -> str:
        """See `Reasoned`."""
        if context.mode != "OBJECT":
            return told("Leave the current mode first: switch to Object Mode.")
        missing = any(part.character is None for part in dialogue_of(context.scene).parts)
        return "" if missing else told("Every speaker has a character.")

    def execute(self, context: Context) -> set[str]:
        from ..heads.demo_head import PEOPLE, DemoHeadError
        from ..heads.demo_head.assemble import add_demo_head

        scene, people = context.scene, list(PEOPLE)
        missing = [part for part in dialogue_of(scene).parts if part.character is None]
        named = {part.name.casefold(): part for part in missing}
        radius = _APART / 2 / math.sin(math.pi / max(len(missing), 2))
        middle, level = scene.cursor.location.copy(), None
        for place, part in enumerate(missing):
            # Open towards the viewer: nobody turns their back.
            turn = math.pi * (0.5 + place) / len(missing) if len(missing) > 2 else math.pi * place
            person = part.name.casefold() if part.name.casefold() in people else ""
            others = [name for name in people if name not in named]
            person = person or (others or people)[place % len(others or people)]
            try:
                head = add_demo_head(context, part.name, person)
            except DemoHeadError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
            rig = head.parent
            rig.location = middle.copy()
            rig.location.x += radius * -math.cos(turn)
            rig.location.y += radius * math.sin(turn)
            ahead = middle - rig.location
            ahead.y -= 0.25 * _APART * (len(missing) == 2)  # two open a little towards the viewer
            rig.rotation_euler.z = math.atan2(ahead.x, -ahead.y)
            part.character = head
            context.view_layer.update()
            eyes = Sight(scene).eyes(detect_rig(head)).z
            level = eyes if level is None else level
            rig.location.z += level - eyes  # they look each other in the eye
        board.refresh(scene)
        return {"FINISHED"}


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
        """See `JobOperator`."""
        scene = context.scene
        if reason := disabled_reason(context):
            raise Refusal("{reason}", reason=reason)
        cast_parts(scene)
        ids = None if self.which != "SELECTED" else [entry.name for entry in chosen_entries(scene)]
        self._production = staging.Production(scene, ids, choices(context), again=self.which != "CHANGED")
        try:
            asked = self._production.next()
        except LineError as error:
            raise Refusal("{reason}", reason=error) from error
        if asked is None:
            said = " ".join(dict.fromkeys(self._production.said))
            self._conclude_production()
            raise Refusal("{reason}", reason=said or told("Every line is performed as it is written."))
        board.refresh(scene)
        return asked

    def complete(self, _context: Context, job: Job) -> None:
        """See `JobOperator`."""
        self._production.use(job.takes, job.warnings)

    def missed(self, _context: Context, job: Job) -> bool:
        """See `JobOperator`."""
        return self._production.failed(job.problem, job.kind)

    def follow_up(self, _context: Context) -> tuple[Any, Mapping[str, Any], str] | None:
        """See `JobOperator`."""
        try:
            asked = self._production.next()
        except LineError as error:
            raise Refusal("{reason}", reason=error) from error
        if self._production.scene is not None:
            board.refresh(self._production.scene)
        return asked

    def meanwhile(self, _context: Context) -> None:
        """See `JobOperator`."""
        self._production.write()

    def nothing_changed(self) -> str:
        """See `JobOperator`."""
        return told("Cancelled; what was performed before is kept: {count}", count=self._production.done)

    def cancel(self, context: Context) -> None:
        """See `JobOperator`."""
        super().cancel(context)
        self._conclude_production()

    def _finish(self, context: Context) -> set[str]:
        result = super()._finish(context)
        if result != {"RUNNING_MODAL"} and self._production is not None:
            done = self._production.done
            for said in dict.fromkeys(self._conclude_production()):
                self.report({"WARNING"}, said)
            if done:
                self.report({"INFO"}, told("{count} lines and reactions were performed", count=done))
                return {"FINISHED"}  # what is in the scene can be undone
        return result

    def _conclude_production(self) -> list[str]:
        production, self._production = self._production, None
        if production is None:
            return []
        production.finish()
        return production.said


class CTEG_OT_remove_listening(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.remove_listening"
    bl_label = "Remove Reactions"
    bl_description = "Take the reactions off all characters, whose curves are as before them. Their own lines stay"
    bl_options = {"REGISTER", "UNDO"}

    @staticmethod
    def reason(context: Context) -> str:
        """See `Reasoned`."""
        there = any(len(part.silences) for part in dialogue_of(context.scene).parts)
        return "" if there else told("Nobody listens yet.")

    def execute(self, context: Context) -> set[str]:
        try:
            count = staging.remove_silences(context.scene)
        except LineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        dialogue_of(context.scene).listening = False
        cast.refresh(context.scene)
        self.report({"INFO"}, told("{count} reactions were removed", count=count))
        return {"FINISHED"}


# ------------------------------------------------------------------------------------------------ timing


class CTEG_OT_arrange(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.arrange"
    bl_label = "Arrange Lines"
    bl_description = (
        "Move every line to where it begins; lines whose keys were moved by hand stay, and others follow them"
    )
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(_needs_entry)

    def execute(self, context: Context) -> set[str]:
        return _arranged(self, context)


class CTEG_OT_shift_entries(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.shift_entries"
    bl_label = "Move Lines in Time"
    bl_description = "Move the line by frames, with everything that hangs on it"
    bl_options = {"REGISTER", "UNDO"}

    frames: IntProperty(name="Frames", default=0)
    reason = staticmethod(_needs_entry)

    def execute(self, context: Context) -> set[str]:
        scene, entry = context.scene, active_entry(context.scene)
        fps = scene.render.fps / scene.render.fps_base
        with board.quietly():
            if entry.rule == "FRAME":
                entry.frame += self.frames
            elif entry.rule == "AFTER":
                entry.pause += self.frames / fps
            elif entry.rule == "MARKER" and (marker := scene.timeline_markers.get(entry.marker)) is not None:
                marker.frame += self.frames
            else:
                self.report({"ERROR"}, told("This line moves with its sound strip; move that in the Sequencer."))
                return {"CANCELLED"}
        return _arranged(self, context)


class CTEG_OT_mark_entries(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.mark_entries"
    bl_label = "Markers for Lines"
    bl_description = (
        "Give the selected lines markers to drag in the timeline; the lines, and what follows them, come along"
    )
    bl_options = {"REGISTER", "UNDO"}

    reason = staticmethod(_needs_entry)

    def execute(self, context: Context) -> set[str]:
        scene = context.scene
        now = schedule.Schedule(scene)
        with board.quietly():
            for entry in chosen_entries(scene):
                frame = now.starts.get(entry.name)
                if entry.rule != "MARKER" and frame is not None:
                    name = _unused(scene, shorten(f"{entry.speaker}: {entry.text}", 40))
                    scene.timeline_markers.new(name, frame=frame)
                    entry.rule, entry.marker = "MARKER", name
        return _arranged(self, context)


class CTEG_OT_mark_words(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.mark_words"
    bl_label = "Markers for Words"
    bl_description = "Add a marker at every word of the line, or at its accents alone"
    bl_options = {"REGISTER", "UNDO"}

    what: EnumProperty(
        name="What", items=(("WORDS", "Words", "Every word"), ("ACCENTS", "Accents", "The words that matter"))
    )
    reason = staticmethod(_needs_performed)

    def execute(self, context: Context) -> set[str]:
        scene = context.scene
        line = schedule.Schedule(scene).line_of(active_entry(scene))
        timeline = line.take.timeline if line is not None and line.take is not None else None
        if line is None or timeline is None:
            self.report({"ERROR"}, told("This line has no words with times; generate it again."))
            return {"CANCELLED"}
        rate = line.stretch * scene.render.fps / scene.render.fps_base
        accents = [accent.time for accent in timeline.accents]
        for word in timeline.words:
            if self.what == "WORDS" or any(word.start <= time <= word.end for time in accents):
                scene.timeline_markers.new(word.text, frame=round(line.start + rate * word.start))
        return {"FINISHED"}


class CTEG_OT_fit_entry(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.fit_entry"
    bl_label = "Fit Line"
    bl_description = "Make the line as long as asked for: at once, and performed so when it is generated again"
    bl_options = {"REGISTER", "UNDO"}

    to: EnumProperty(
        name="To",
        items=(
            ("SECONDS", "Seconds", "A length"),
            ("FRAME", "Frame", "It ends at a frame"),
            ("MARKER", "Next Marker", "It ends at the first marker behind its start"),
            ("LINE", "Selected Line", "It ends with the selected line"),
            ("NATURAL", "Natural", "As long as it was performed"),
        ),
    )  # fmt: skip
    seconds: FloatProperty(name="Seconds", default=3.0, min=0.1, soft_max=20.0)
    frame: IntProperty(name="Frame", default=100)
    reason = staticmethod(_needs_performed)

    def invoke(self, context: Context, event: Event) -> set[str]:
        if self.to in ("SECONDS", "FRAME"):
            asked: set[str] = context.window_manager.invoke_props_popup(self, event)
            return asked
        return self.execute(context)

    def draw(self, _context: Context) -> None:
        self.layout.prop(self, "to")
        if self.to in ("SECONDS", "FRAME"):
            self.layout.prop(self, self.to.lower())

    def execute(self, context: Context) -> set[str]:
        scene, entry = context.scene, active_entry(context.scene)
        now = schedule.Schedule(scene)
        line = now.line_of(entry)
        actor = now.actor_of(now.dialogue.parts.get(entry.speaker))
        try:
            if line is None or actor is None or line.id not in actor.lines:
                raise LineError("Generate this line first.")
            end = self._end(now, entry, line)
            if end - line.start < 0.3 * (line.end - line.start) / line.stretch:
                raise LineError("Nobody can say this line so fast; give it a later end.")
            Lines(scene, actor.now.rig, actor.now.mapping).change(line.id, end=end)
        except LineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        entry.seconds = 0.0 if self.to == "NATURAL" else (end - line.start) / now.fps
        return _arranged(self, context)

    def _end(self, now: schedule.Schedule, entry: Any, line: Line) -> float:
        if self.to == "SECONDS":
            return line.start + self.seconds * now.fps
        if self.to == "FRAME":
            return float(self.frame)
        if self.to == "NATURAL":
            return line.start + (line.end - line.start) / line.stretch
        if self.to == "MARKER":
            later = [marker.frame for marker in now.scene.timeline_markers if marker.frame > line.start + 1]
            if not later:
                raise LineError("There is no marker behind the start of this line; add one in the timeline.")
            return float(min(later))
        others = [one for one in now.dialogue.entries if one.chosen and one.name != entry.name]
        other = now.line_of(others[0]) if others else None
        if other is None:
            raise LineError("Select the line whose end is meant, one that was performed.")
        return other.end


class CTEG_OT_extend_to_dialogue(Reasoned, bpy.types.Operator):
    bl_idname = "cteg.extend_to_dialogue"
    bl_label = "Extend Scene to Dialogue"
    bl_description = "Move the last frame of the scene to the end of the last line"
    bl_options = {"REGISTER", "UNDO"}

    @staticmethod
    def reason(context: Context) -> str:
        """See `Reasoned`."""
        ends = board.board(context.scene).end > context.scene.frame_end
        return "" if ends else told("All lines end within the scene.")

    def execute(self, context: Context) -> set[str]:
        context.scene.frame_end = board.board(context.scene).end
        return {"FINISHED"}


def _arranged(operator: bpy.types.Operator, context: Context) -> set[str]:
    with board.quietly():
        refusal = schedule.arrange(context.scene)
    board.refresh(context.scene, refusal)
    if refusal:
        operator.report({"ERROR"}, refusal)
    lost = [row.told for row in board.board(context.scene).rows if row.start is None and row.status == "FAILED"]
    for sentence in dict.fromkeys(lost):
        operator.report({"WARNING"}, sentence)
    return {"FINISHED"}


def _unused(scene: Scene, name: str) -> str:
    """A name that no marker has: lines find theirs by it."""
    names, number = {marker.name for marker in scene.timeline_markers}, 2
    found = name
    while found in names:
        found, number = f"{name} ({number})", number + 1
    return found
