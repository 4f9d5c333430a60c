# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless work: ``blender --background FILE --command cteg generate --text "…"``, and ``… run SCRIPT``.

The `bpy` module has no command line; call `run` there, or the operator ``cteg.perform``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from . import cast, script_run
from .emotions import label
from .operators.perform import MODES
from .performance.record import Line
from .sentences import told
from .settings import SETTINGS, Setting
from .storage import FileError, read_file


def run(arguments: Sequence[str]) -> int:
    """The command ``cteg``: parse, perform, save. Returns the exit code: 0, 1 for a refusal, 2 for wrong usage."""
    parser = _parser()
    try:
        parsed = parser.parse_args(list(arguments))
        asks = parsed.run is _generate and parsed.mode in ("NEW", "RESAMPLE")
        if asks and parsed.text is None and parsed.text_file is None:
            parser.error("one of the arguments --text --text-file is required")
    except SystemExit as end:  # argparse has said why; Blender must end in its own way
        return int(end.code or 0)
    return int(parsed.run(parsed))


def _run_script(parsed: argparse.Namespace) -> int:
    try:
        return script_run.run(parsed)
    except script_run.REFUSALS as error:
        print(f"cteg: {str(error).removeprefix('Error: ').strip()}", file=sys.stderr)
        return 1


def _generate(parsed: argparse.Namespace) -> int:
    keys = [*(setting.key for setting in SETTINGS), "amount"]
    settings = {key: value for key in keys if (value := getattr(parsed, key, None)) is not None}
    try:
        if parsed.demo_head:
            bpy.ops.cteg.add_head()
        if parsed.text_file is not None:
            settings["text"] = read_file(parsed.text_file)
        before = {line.id: line for line in _lines(parsed.target)}
        bpy.ops.cteg.perform(mode=parsed.mode, **settings)
        output = parsed.output or bpy.data.filepath
        if output:
            path = Path(output).absolute()
            path.parent.mkdir(parents=True, exist_ok=True)
            bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)
    except (RuntimeError, TypeError, OSError, FileError) as error:
        print(f"cteg: {str(error).removeprefix('Error: ').strip()}", file=sys.stderr)
        return 1
    for line in _lines(parsed.target):
        made = line.takes[len(before[line.id].takes) if line.id in before else 0 :]
        if made:
            text = " ".join(line.text.split())
            print(told("cteg: frames {start:.0f} to {end:.0f}: {text}", start=line.start, end=line.end, text=text))
        for take in made:
            words = told("cteg:   {emotion}, seed {seed}", emotion=label(take.emotion), seed=take.seed)
            print(", ".join(filter(None, (words, take.origin))))
    nothing = told("cteg: nothing was saved; name a file with --output")
    print(told("cteg: saved {file}", file=output) if output else nothing)
    return 0


def _lines(target: str | None) -> tuple[Line, ...]:
    scene = bpy.context.scene
    face = scene.cteg.target if target is None else scene.objects.get(target)
    return cast.found(scene, face).lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("blender --command cteg", description="Emotional facial performances from text.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    perform = commands.add_parser("generate", help="perform a line and save the file")
    line = perform.add_mutually_exclusive_group()
    line.add_argument("--text", help="what the character says, with directions: '(angrily) Get out.'")
    line.add_argument("--text-file", type=Path, metavar="FILE", help="the same from a file, for long dialogue")
    perform.add_argument("--demo-head", action="store_true", help="add the demo head first and let it perform")
    for setting in SETTINGS:
        if setting.key not in ("", "text"):
            perform.add_argument(f"--{setting.key.replace('_', '-')}", **_flag(setting))
    modes = [mode for mode, *_ in MODES]
    more = told("a new line, or more takes: {modes}", modes=", ".join(modes))
    perform.add_argument("--mode", choices=modes, default="NEW", metavar="NAME", help=more)
    perform.add_argument("--amount", type=float, metavar="X", help="how far from the varied take: 0 to 1")
    perform.add_argument("--output", metavar="FILE", help="save as this .blend (default: the file that is open)")
    perform.set_defaults(run=_generate)
    script = commands.add_parser(
        "run", help="perform a whole script", description=script_run.HELP.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    script_run.add_arguments(script)
    script.set_defaults(run=_run_script)
    return parser


def _flag(setting: Setting) -> dict[str, Any]:
    """How a setting is parsed; what is not given is as in the scene."""
    given: dict[str, Any] = {"help": setting.description.replace("%", "%%")}
    if setting.kind is BoolProperty:
        return {**given, "action": argparse.BooleanOptionalAction, "default": None}
    if setting.kind is EnumProperty:
        names = [item[0] for item in setting.options["items"]]
        return {"choices": names, "metavar": "NAME", "help": f"{given['help']}: {', '.join(names)}"}
    numbers = {FloatProperty: (float, "X"), IntProperty: (int, "N")}
    kind, metavar = numbers.get(setting.kind, (str, "FILE" if setting.key == "timeline" else "NAME"))
    return {**given, "type": kind, "metavar": metavar}
