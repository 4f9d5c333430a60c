# SPDX-License-Identifier: GPL-3.0-or-later
"""Timelines that travel: the times of the shown take saved as JSON, and those of an aligner or of a hand used.

docs/timeline.md describes the files.
"""

from __future__ import annotations

import json
from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import Context
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..cast import redraw_panels
from ..sentences import told
from ..shared import Timeline, TimelineError
from ..storage import FileError, StoredError, from_text, name_of, read_file, write_file
from . import Changes, Reasoned, chosen_file
from .reading import shown_take


def disabled_reason(context: Context) -> str:
    """Why there are no times to save, or ""."""
    take = shown_take(context)
    if take is None:
        return told("No take is shown; generate a line, or choose a take from the list.")
    return "" if take.timeline is not None else told("The shown take has no words with times; generate it again.")


def timeline_in(text: str, name: str) -> Timeline:
    """The timeline that a text holds. FileError, with the name of the text, when it holds none."""
    try:
        return Timeline.from_json(from_text(text))
    except TimelineError as error:
        raise FileError("{name}: {why}", name=name, why=error) from None
    except StoredError as error:
        sentence = "{name} cannot be read ({why}); choose a file that Save Timeline wrote, or one like it."
        raise FileError(sentence, name=name, why=error) from None


def read_timeline(path: Path) -> tuple[str, Timeline]:
    """The text of a file and the timeline in it. FileError when it cannot be read."""
    text = read_file(path)
    return text, timeline_in(text, name_of(path))


def as_text(timeline: Timeline) -> str:
    """JSON that is edited by hand: a word, a phrase, an accent on each line."""
    rows = []
    for name, value in timeline.to_json().items():
        dumped = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value:
            dumped = "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value) + "\n]"
        rows.append(f"{json.dumps(name)}: {dumped}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


class CTEG_OT_save_timeline(Changes, Reasoned, bpy.types.Operator, ExportHelper):
    bl_idname = "cteg.save_timeline"
    bl_label = "Save Timeline"
    bl_description = "Save when the shown take says each word and sound, as JSON, to change the times and use them"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    reason = staticmethod(disabled_reason)

    def change(self, context: Context) -> str:
        path, timeline = chosen_file(self), shown_take(context).timeline
        write_file(path, as_text(timeline))
        sentence = "The times of the words were saved as {name}; words: {count}"
        return told(sentence, count=len(timeline.words), name=name_of(path))


class CTEG_OT_use_timeline(Changes, bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.use_timeline"
    bl_label = "Use Timeline"
    bl_description = "Perform with the times of a file, from an aligner or edited by hand. It is kept as a text"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def change(self, context: Context) -> str:
        path, settings = chosen_file(self), context.scene.cteg
        written, timeline = read_timeline(path)
        text = bpy.data.texts.new(name_of(path))
        text.from_string(written)
        settings.timeline_source = text
        if not settings.line().strip() and settings.text_source is None:
            settings.text = timeline.text
        redraw_panels(context)
        sentence = "Generate performs with the times of {name}; words: {count}"
        return told(sentence, name=name_of(path), count=len(timeline.words))
