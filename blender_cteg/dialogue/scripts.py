# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts become entries: what was read of a file, what that would do to a scene, and doing it."""

from __future__ import annotations

import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..sentences import Told, told, translated
from ..shared import Script, ScriptError, read_script
from ..storage import clean, name_of
from . import board
from .casting import cast_parts, matching
from .entries import PAUSE, add_entry, dialogue_of

#: Largest file that is read, in bytes.
_LARGEST = 20_000_000
#: Lines that come out of a script at most: a feature film has 2,000.
MOST_LINES = 10_000
#: What people call the formats of scripts.
_CALLED = {
    "fountain": "Fountain", "fdx": "Final Draft", "srt": "SRT", "vtt": "VTT", "csv": "CSV", "tsv": "TSV",
    "text": "plain text",
}  # fmt: skip


class UnreadableScript(Told, ValueError):
    """A script that cannot be used; the message is a sentence."""


@dataclass(frozen=True)
class DryRun:
    """What reading a script would do.

    Attributes:
        script: what was read.
        name: of the file.
        speakers: name -> (number of lines, characters of the scene that it could be).
    """

    script: Script
    name: str
    speakers: dict[str, tuple[int, tuple[str, ...]]]

    def sentences(self) -> list[str]:
        """What was understood."""
        lines = self.script.lines
        count = len(lines)
        said = [
            told("Lines: {count}, speakers: {speakers}, read as {format}.", count=count, speakers=len(self.speakers),
                 format=translated(_CALLED.get(self.script.format, self.script.format)))
        ]  # fmt: skip
        for speaker, (number, names) in self.speakers.items():
            if len(names) == 1:
                said.append(told("{speaker} ({count}): played by {name}", speaker=speaker, count=number,
                                 name=names[0]))  # fmt: skip
            elif names:
                said.append(told("{speaker} ({count}): several could play it: {names}", speaker=speaker,
                                 count=number, names=", ".join(names)))  # fmt: skip
            elif any(not line.speaker and said_by(line) == speaker for line in lines):
                said.append(told("{speaker} ({count}): the script does not say who", speaker=speaker, count=number))
            else:
                said.append(told("{speaker} ({count}): nobody here has this name", speaker=speaker, count=number))
        return said

    def doubtful(self) -> list[str]:
        """Speakers that may be words of a line ("Coffee: Black, please."): nobody plays them, they are written as words
        are, and they are there once.
        """
        known = "fountain", "fdx"  # there a speaker is nothing else
        once = [name for name, (count, names) in self.speakers.items() if count == 1 and not names]
        unplayed = [name for name in once if name != name.upper()]
        named = {line.speaker for line in self.script.lines}
        return [name for name in unplayed if name in named] if self.script.format not in known else []

    def left_out(self) -> list[str]:
        """What was not, with line numbers."""
        return [told("Line {number}: {text}", number=note.number, text=note.text) for note in self.script.notes]


def read(path: Path, words: Collection[str] = ()) -> tuple[Script, str]:
    """The script in a file, and the file's name. `UnreadableScript` where there is none. ``words``: see `parsed`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device never ends
            raise UnreadableScript("{name} is not a file; choose a script.", name=name_of(path))
        if status.st_size > _LARGEST:
            sentence = "{name} is larger than any script; choose another file."
            raise UnreadableScript(sentence, name=name_of(path))
        data = path.read_bytes()
    except OSError as error:
        sentence = "{name} cannot be read ({why}). Choose another file."
        raise UnreadableScript(sentence, name=name_of(path), why=error.strerror or error) from None
    return parsed(data, name_of(path), words), name_of(path)


def parsed(data: bytes, name: str, words: Collection[str] = ()) -> Script:
    """The script that bytes hold. `UnreadableScript` where they hold none, or too much.

    Args:
        data: what was read.
        name: of the file.
        words: what stands before a colon and is said, though it is written as a name.
    """
    try:
        script = read_script(data, name, words)
    except ScriptError as error:
        raise UnreadableScript("{why}", why=error) from None  # a sentence that names the file
    if not script.lines:
        sentence = "{name} has no line that somebody says. Give each line its speaker: NAME: What is said."
        raise UnreadableScript(sentence, name=name)
    if len(script.lines) > MOST_LINES:
        sentence = "{name} has {count} lines, and a scene can have {most}. Split it into scenes."
        raise UnreadableScript(sentence, name=name, count=len(script.lines), most=MOST_LINES)
    return script


def dry_run(scene: bpy.types.Scene, script: Script, name: str) -> DryRun:
    """What a script would become in a scene; nothing is changed."""
    counts: dict[str, int] = {}
    for line in script.lines:
        counts[said_by(line)] = counts.get(said_by(line), 0) + 1
    parts = dialogue_of(scene).parts
    found = {}
    for speaker, count in counts.items():
        plays = board.player(scene, parts.get(speaker))
        chosen = matching(scene, speaker) if plays is None else [plays]
        found[speaker] = count, tuple(obj.name for obj in chosen)
    return DryRun(script, name, found)


def add(scene: bpy.types.Scene, script: Script, *, start: int | None = None) -> list[Any]:
    """Append the lines of a script to the list of a scene, and cast them. Returns the new entries.

    Args:
        scene: gets the entries.
        script: what was read; a line with a time begins at it, counted from ``start``, others follow each other.
        start: frame where the script begins; None for the playhead, or the first frame of the scene where the playhead
            is outside of it; behind lines that are there already, after these.
    """
    dialogue = dialogue_of(scene)
    fps = scene.render.fps / scene.render.fps_base
    first = first_frame(scene) if start is None else start
    begun, added = bool(len(dialogue.entries)) and start is None, list[str]()
    origin = next((line.start for line in script.lines if line.start is not None), None)
    with board.quietly():
        for line in script.lines:
            fields: dict[str, Any] = {"number": line.number}
            if line.start is not None and origin is not None:
                fields |= {"rule": "FRAME", "frame": first + round((line.start - origin) * fps)}
                if line.end is not None and line.end > line.start:
                    fields["seconds"] = line.end - line.start
            elif not added and not begun:
                fields |= {"rule": "FRAME", "frame": first}
            else:
                fields |= {"rule": "AFTER", "pause": PAUSE}
            added.append(add_entry(scene, said_by(line), clean(line.text), **fields).name)
    cast_parts(scene)
    board.refresh(scene)
    return list(dialogue.entries)[len(dialogue.entries) - len(added) :]  # asked for by name, each is looked for


def first_frame(scene: bpy.types.Scene) -> int:
    """Where something begins: at the playhead, or at the first frame of the scene where that is outside of it."""
    inside = scene.frame_start <= scene.frame_current <= scene.frame_end
    return int(scene.frame_current if inside else scene.frame_start)


def said_by(line: Any) -> str:
    """Who says a line of a script, as the list has it."""
    return clean(line.speaker or "").strip() or told("Someone")
