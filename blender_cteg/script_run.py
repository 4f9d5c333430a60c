# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender --background scene.blend --command cteg run SCRIPT``: a script performed without an interface.

The lines are put on characters by the operation that the panel uses (`dialogue.staging.play`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import bpy
import numpy as np

from . import cast
from .dialogue import scripts, staging
from .dialogue.entries import dialogue_of
from .dialogue.scripts import UnreadableScript
from .performance.lines import clip_of
from .sentences import Told, shorten, told
from .shared import SPACES, shown_class, takes_class
from .storage import FileError, write_file

#: What of each line is written, and what of the whole scene.
LINE_FORMATS: Final = ("csv", "json", "npz")
SCENE_FORMATS: Final = ("glb", "usd", "fbx")
#: The largest number of a seed, and the last frame that Blender knows.
_LAST_SEED: Final = 2**31 - 1
_LAST_FRAME: Final = 1_048_574

HELP: Final = """
Performs every line of SCRIPT (Fountain, Final Draft, SRT, VTT, CSV, TSV or NAME: line) on the characters of the scene.
A speaker is played by the character of that name, or by the one that --character names. What became of each line is
printed as JSON, a line for each; progress goes to stderr. Nothing is saved unless --save or --export says so.

  blender -b scene.blend --command cteg run scene.fountain --save performed.blend
  blender -b scene.blend --command cteg run film.srt --character ANNA=Head.001 --save performed.blend
  blender -b scene.blend --command cteg run lines.csv --takes 3 --seed 7 --export out --format npz
  blender -b scene.blend --command cteg run scene.fountain --export out --format glb

Exit status: 0 every line is in its place; 3 some are not (the report says why); 1 it could not go on; 2 wrong usage.
"""


class RunError(Told, ValueError):
    """Why a script cannot be run; a sentence."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("script", type=Path, metavar="SCRIPT", help="the file with the lines")
    parser.add_argument(
        "--character", action="append", default=[], type=_part, metavar="NAME=OBJECT",
        help="who plays a speaker: any object of the character; once for each speaker",
    )  # fmt: skip
    parser.add_argument("--takes", type=int, default=1, metavar="N", help="of each line (default 1)")
    parser.add_argument("--seed", type=int, metavar="S", help="of the first take (default: as in the scene)")
    parser.add_argument("--start", type=int, metavar="FRAME", help="where the script begins")
    parser.add_argument("--no-listen", action="store_true", help="who does not speak does not react")
    parser.add_argument("--no-look", action="store_true", help="nobody looks at anybody")
    parser.add_argument("--save", type=Path, metavar="OUT.blend", help="save the scene as this file")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write what was performed into this folder")
    parser.add_argument(
        "--format", choices=(*LINE_FORMATS, *SCENE_FORMATS), default="glb",
        help="csv (Live Link Face), json and npz: every line as it was performed; glb, usd and fbx: the whole scene",
    )  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report into a file too")


def run(options: argparse.Namespace) -> int:
    """Perform, save, export, report; returns the exit status.

    Raises:
        RuntimeError: the generator cannot be started, or failed. OSError: a file cannot be written.
        RunError, UnreadableScript: the script or the cast cannot be used.
    """
    scene = bpy.context.scene
    script, name = scripts.read(options.script)
    played_by = _cast(scene, {line.speaker for line in script.lines}, options.character)
    if not 1 <= options.takes <= 16:
        raise RunError("--takes is {count}; choose 1 to 16.", count=options.takes)
    if options.seed is not None and not 0 <= options.seed <= _LAST_SEED:
        raise RunError("--seed is {seed}; choose 0 to {last}.", seed=options.seed, last=_LAST_SEED)
    if options.start is not None and not -_LAST_FRAME <= options.start <= _LAST_FRAME:
        raise RunError(
            "--start is {frame}; choose a frame from -{last} to {last}.", frame=options.start, last=_LAST_FRAME
        )
    if options.seed is not None:
        scene.cteg.seed = options.seed
    for note in script.notes:
        print(told("{name}:{number}: {text}", name=name, number=note.number, text=note.text), file=sys.stderr)
    _make_folders(options)
    shown = shown_class()(sys.stderr)
    before = len(dialogue_of(scene).entries)
    try:
        played, said = staging.play(
            scene, script, played_by, start=options.start, takes=options.takes, listen=not options.no_listen,
            look=not options.no_look,
            progress=lambda share, words: shown.show(min(share, 0.999), f"{words}, {share:.0%}"),
        )  # fmt: skip
    finally:
        shown.end()
    entries = list(dialogue_of(scene).entries)[before:]
    report = [_row(one, entry) for one, entry in zip(played, entries, strict=True)]
    if options.export is not None:
        if options.format in SCENE_FORMATS:
            _export_scene(options.export / f"{options.script.stem}.{options.format}")
        else:
            for place, (row, entry) in enumerate(zip(report, entries, strict=True), 1):
                if row["status"] == "done":
                    row["files"] = _export_line(scene, entry, place, options.export, options.format)
    for row in report:
        shown.row(row)
    done = sum(row["status"] == "done" for row in report)
    if options.report is not None:
        whole = {"schema_version": 1, "script": name, "done": done, "skipped": len(report) - done, "said": said,
                 "notes": [{"line": note.number, "text": note.text} for note in script.notes],
                 "lines": report}  # fmt: skip
        write_file(options.report, json.dumps(whole, ensure_ascii=False, indent=1))
    if options.save is not None:
        _save(options.save.absolute())
    whys = tuple(row["why"] for row in report if row["why"])  # which the report has said already
    for sentence in said:
        if sentence.endswith(whys):
            continue
        print(told("cteg: {sentence}", sentence=sentence), file=sys.stderr)
    print(told("cteg: {done} of {count} lines are performed", done=done, count=len(report)), file=sys.stderr)
    if options.save is None and options.export is None:
        print(told("cteg: nothing was saved; name a file with --save"), file=sys.stderr)
    return 0 if done == len(report) else 3


def _row(played: staging.Played, entry: Any) -> dict[str, Any]:
    done = bool(entry.line) and not played.problem
    character = entry.actor.name if entry.actor is not None else ""
    return {
        "line": played.number, "speaker": played.speaker, "text": played.text,
        "status": "done" if done else "skipped", "why": played.problem, "character": character,
        "start": round(played.start, 3), "end": round(played.end, 3), "files": [],
    }  # fmt: skip


def _cast(scene: bpy.types.Scene, speakers: set[str], pairs: Sequence[tuple[str, str]]) -> dict[str, bpy.types.Object]:
    """The characters that were named, by speaker; names of speakers are compared without case."""
    known = {speaker.casefold(): speaker for speaker in speakers}
    found: dict[str, bpy.types.Object] = {}
    for speaker, name in pairs:
        if speaker.casefold() not in known:
            names = ", ".join(sorted(filter(None, speakers)))
            raise RunError("Nobody in the script is called {speaker}; it has {names}.", speaker=speaker, names=names)
        obj = scene.objects.get(name)
        if obj is None:
            raise RunError("The scene has no object called {name}; --character names one for {speaker}.", name=name,
                           speaker=speaker)  # fmt: skip
        found[known[speaker.casefold()]] = obj
    return found


def _export_line(scene: bpy.types.Scene, entry: Any, place: int, folder: Path, form: str) -> list[str]:
    """The takes of a line as they were performed, in the files that `python -m generator batch` would write."""
    now = cast.found(scene, entry.actor)
    line = next((line for line in now.lines if line.id == entry.line), None)
    if line is None or not line.takes:
        return []
    clips = [clip for k in range(len(line.takes)) if (clip := clip_of(now.rig, replace(line, shown=k))) is not None]
    if not clips:
        raise RunError("The takes of “{text}” cannot be read; they were not exported.", text=shorten(line.text, 40))
    longest = max(clip.frames for clip in clips)
    padded = [np.pad(clip.values, ((0, longest - clip.frames), (0, 0)), mode="edge") for clip in clips]
    takes = takes_class()(
        np.stack(padded).astype(np.float32), np.array([clip.frames for clip in clips], np.int64),
        np.array([clip.seed for clip in clips], np.int64), SPACES[clips[0].space], line.text, clips[0].emotion,
        dict(clips[0].settings), (), tuple(tuple(s.to_json() for s in clip.segments) for clip in clips),
        tuple(clip.timeline for clip in clips), clips[0].speech_scale,
    )  # fmt: skip
    speaker = re.sub(r"[^a-z0-9]+", "-", entry.speaker.lower()).strip("-")[:24]
    path = folder / f"{place:05d}{'_' * bool(speaker)}{speaker}.{form}"
    try:
        files = takes.files(path)
    except ValueError as error:
        raise RunError("{why}", why=error) from None
    for file, data in files:
        write_file(file, data)
    return [file.name for file, _ in files]


def _make_folders(options: argparse.Namespace) -> None:
    """The folders of what will be written: a wrong one is told before hours of performing, not after."""
    for path in (options.save, options.report):
        if path is not None and path.is_dir():
            raise RunError("{name} is a folder; name a file in it.", name=path)
    for folder in (options.export, *(path.parent for path in (options.save, options.report) if path is not None)):
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sentence = "{name} cannot be a folder to write to ({why}); name another."
            raise RunError(sentence, name=folder, why=error.strerror or error) from None


def _save(path: Path) -> None:
    """The scene as a file that is there whole or not at all, also where another Blender saves at the same time.

    Blender writes ``NAME@`` and renames it; two that write to one file would write into one another.
    """
    temporary = path.with_name(f".{path.name[:50]}.{uuid4().hex}.blend")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(temporary), compress=True, copy=True)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error).removeprefix("Error: ").strip()
        raise RunError(
            "{name} cannot be saved ({why}); make room, or name another file with --save.", name=path, why=why
        ) from None
    finally:
        for left in (temporary, temporary.with_name(f"{temporary.name}@")):
            left.unlink(missing_ok=True)


def _export_scene(path: Path) -> None:
    """The scene as it plays. RunError where this Blender has no exporter for the format."""
    match path.suffix:
        case ".glb":
            operator, module = bpy.ops.export_scene.gltf, "io_scene_gltf2"
            options = {"export_animation_mode": "ACTIVE_ACTIONS", "export_frame_range": False}
        case ".fbx":
            operator, module = bpy.ops.export_scene.fbx, "io_scene_fbx"
            options = {"bake_anim_use_nla_strips": False, "bake_anim_use_all_actions": False}
        case _:
            operator, module = bpy.ops.wm.usd_export, ""
            options = {"export_animation": True, "export_shapekeys": True}
    if module:
        import addon_utils

        addon_utils.enable(module)
    try:
        operator(filepath=str(path.absolute()), **options)
    except AttributeError as error:
        raise RunError("This Blender cannot write {suffix} ({why}); choose another --format.", suffix=path.suffix,
                       why=error) from None  # fmt: skip


def _part(text: str) -> tuple[str, str]:
    speaker, equals, name = text.rpartition("=")
    if not (speaker.strip() and equals and name.strip()):
        raise argparse.ArgumentTypeError(told("{text!r} is not NAME=OBJECT", text=text))
    return speaker.strip(), name.strip()


#: What `cli` tells its user in a sentence.
REFUSALS: Final = (RunError, UnreadableScript, FileError, RuntimeError, OSError)
