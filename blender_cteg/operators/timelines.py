# SPDX-License-Identifier: GPL-3.0-or-later
"""Timelines that travel: the times of the shown take saved as JSON, and those of an aligner or of a hand used.

docs/timeline.md describes the files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from .. import desk
from ..shared import Timeline, TimelineError
from ..ui.layouts import redraw_panels

if TYPE_CHECKING:
    from bpy.types import Context

#: A minute of speech is about 50 kB.
LARGEST_FILE: Final = 2_000_000


def disabled_reason(context: Context) -> str:
    """Why there are no times to save, or ""."""
    made = desk.shown_made(context.scene.cteg.target)
    if made is None:
        return "No take is shown; generate a line, or choose a take from the list."
    return "" if made.get("timeline") is not None else "The shown take has no words with times; generate it again."


def timeline_in(text: str, name: str) -> Timeline:
    """The timeline that a text holds. TimelineError, with the name of the text, when it holds none."""
    try:
        return Timeline.from_json(json.loads(text))
    except TimelineError as error:
        raise TimelineError(f"{name}: {error}") from None
    except (ValueError, RecursionError):
        raise TimelineError(f"{name} is not JSON; choose a file that Save Timeline wrote, or one like it.") from None


def text_of(path: Path) -> str:
    """What a file of reasonable size holds. TimelineError when it cannot be read."""
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise TimelineError(
                f"{path.name} has {size / 1e6:,.0f} MB, and no timeline has more than {LARGEST_FILE / 1e6:.0f}; choose "
                "another file."
            )
        data = path.read_bytes()
        return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
        raise TimelineError(f"{path.name or 'The file'} cannot be read ({why}); choose another file.") from None


def as_text(timeline: Timeline) -> str:
    """JSON that is edited by hand: a word, a phrase, an accent on each line."""
    rows = []
    for name, value in timeline.to_json().items():
        dumped = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value:
            dumped = "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value) + "\n]"
        rows.append(f"{json.dumps(name)}: {dumped}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


class CTEG_OT_save_timeline(bpy.types.Operator, ExportHelper):
    bl_idname = "cteg.save_timeline"
    bl_label = "Save Timeline"
    bl_description = "Save when the shown take says each word and sound, as JSON, to change the times and use them"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := disabled_reason(context):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            timeline = desk.timeline_of(desk.shown_made(context.scene.cteg.target))
            path.write_text(as_text(timeline), encoding="utf-8")
        except desk.DeskError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except OSError as error:
            why = error.strerror or error
            self.report({"ERROR"}, f"{path.name or 'The file'} cannot be written ({why}); choose another folder.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"The times of {len(timeline.words)} words were saved as {path.name}")
        return {"FINISHED"}


class CTEG_OT_use_timeline(bpy.types.Operator, ImportHelper):
    bl_idname = "cteg.use_timeline"
    bl_label = "Use Timeline"
    bl_description = "Perform with the times of a file, from an aligner or edited by hand. It is kept as a text"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: Context) -> set[str]:
        path, settings = Path(bpy.path.abspath(self.filepath)), context.scene.cteg
        try:
            written = text_of(path)
            timeline = timeline_in(written, path.name)
        except TimelineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        text = bpy.data.texts.new(path.name)
        text.from_string(written)
        settings.timeline_source = text
        if not settings.line().strip() and settings.text_source is None:
            settings.text = timeline.text
        redraw_panels(context)
        self.report({"INFO"}, f"Generate performs with the times of {path.name}: {len(timeline.words)} words")
        return {"FINISHED"}
