# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts read into the list of a dialogue: a dry run shows what they would become, before anything is changed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty
from bpy.types import Context, Event
from bpy_extras.io_utils import ImportHelper

from ..dialogue import scripts, staging
from ..dialogue.entries import dialogue_of
from ..dialogue.scripts import DryRun, UnreadableScript
from ..sentences import Told, shorten, told
from ..shared import SCRIPT_SUFFIXES
from ..ui.layouts import wrapped
from . import Changes, DroppedOnView, chosen_file

#: Rows of a dry run that are shown; a script with more of them says how many.
_MOST_SHOWN = 14
#: Names that may be words, of which one is asked, at most.
_MOST_DOUBTED = 6
#: Width of the dialogue that shows it, in pixels at scale 1.
_WIDTH = 520


class CTEG_Label(bpy.types.PropertyGroup):
    """What stands before a colon in a script, its ``name``, and what it is taken for."""

    speaks: BoolProperty(
        name="Speaks", description="It is the name of who speaks. Off: it is said, with what stands behind it",
        default=True,
    )  # fmt: skip


class _Reading(Changes):
    """Mixin: shows what a script would do before it does it."""

    replace: BoolProperty(
        name="Replace", description="Take the lines that are there out of the list first, and off their characters"
    )
    labels: CollectionProperty(type=CTEG_Label, options={"SKIP_SAVE"})

    _run: DryRun | None = None

    def invoke_script(self, context: Context) -> set[str]:
        try:
            run = type(self)._run = scripts.dry_run(context.scene, *self.script(context))
        except Told as error:
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
        with suppress(Told):
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
            words = told("{speaker}: {text}", speaker=scripts.said_by(line), text=line.text)
            box.label(text=shorten(words, 110))
        if len(dialogue_of(context.scene).entries):
            self.layout.prop(self, "replace")

    def change(self, context: Context) -> None:
        scene, (script, _) = context.scene, self.script(context)
        if self.replace:
            staging.remove_silences(scene)
            staging.remove_entries(scene, [entry.name for entry in dialogue_of(scene).entries])
        count = len(scripts.add(scene, script))
        # What was done comes last: the status bar shows the last one.
        for note in script.notes[:_MOST_SHOWN]:
            self.report({"WARNING"}, told("Line {number}: {text}", number=note.number, text=note.text))
        self.report({"INFO"}, told("Lines added: {count}", count=count))

    def script(self, context: Context) -> tuple[Any, str]:
        """What is read, and its name. `UnreadableScript`."""
        raise NotImplementedError


class CTEG_OT_read_script(_Reading, bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.read_script"
    bl_label = "Read Script"
    bl_description = (
        "Read lines from Fountain, Final Draft, SRT, VTT, CSV, TSV or plain text; shows what was understood"
    )

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
        return scripts.read(chosen_file(self), self.words)


class CTEG_FH_script(DroppedOnView, bpy.types.FileHandler):
    bl_idname = "CTEG_FH_script"
    bl_label = "Script"
    bl_import_operator = "cteg.read_script"
    bl_file_extensions = ";".join(SCRIPT_SUFFIXES)


class CTEG_OT_paste_script(_Reading, bpy.types.Operator):
    bl_idname = "cteg.paste_script"
    bl_label = "Paste Script"
    bl_description = "Read lines from the clipboard: a screenplay, subtitles, a table, or NAME: What is said"

    def invoke(self, context: Context, _event: Event) -> set[str]:
        return self.invoke_script(context)

    def script(self, context: Context) -> tuple[Any, str]:
        text, name = context.window_manager.clipboard, told("Clipboard")
        if not text.strip():
            raise UnreadableScript("The clipboard has no text. Copy some lines first.")
        return scripts.parsed(text.encode("utf-8", "replace"), f"{name}.txt", self.words), name
