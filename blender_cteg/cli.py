# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless work: ``blender --background FILE --command cteg generate --text "…"``, and the same as functions.

The `bpy` module has no command line; call `run` or `generate` there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from . import desk, emotions
from .settings import LANGUAGE_ITEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpy.types import Action


def generate(text: str, target: str | None = None, **settings: object) -> list[Action]:
    """Perform a line in the current scene and return the new takes, oldest first.

    Args:
        text: what the character says.
        target: name of the face; the target of the scene by default.
        settings: emotion, emotion_to, emotion_with, share, intensity, energy, speaking, takes, spread, seed,
            temperature, seconds, rate, timing, vary_timing, language, timeline (a file), start_frame, reduction; those
            of the scene by default. Also vary_seed and vary_amount, branch_seed and branch_frame.

    Raises:
        RuntimeError: with a sentence; then nothing was changed.
    """
    scene = bpy.context.scene
    face = scene.cteg.target if target is None else scene.objects.get(target)
    before = set(desk.takes_of(face))
    bpy.ops.cteg.generate(text=text, **({} if target is None else {"target": target}), **settings)
    return [take for take in desk.takes_of(face) if take not in before]


def run(arguments: Sequence[str]) -> int:
    """The command ``cteg``: parse, perform, save. Returns the exit code: 0, 1 for a refusal, 2 for wrong usage."""
    try:
        parsed = _parser().parse_args(list(arguments))
    except SystemExit as end:  # argparse has said why; Blender must end in its own way
        return int(end.code or 0)
    try:
        if parsed.demo_head:
            bpy.ops.cteg.add_head()
        settings = {name: getattr(parsed, name) for name in _SETTINGS if getattr(parsed, name) is not None}
        for name, second in (("vary", "amount"), ("branch", "frame")):
            if (pair := getattr(parsed, name)) is not None:
                settings |= {f"{name}_seed": pair[0], f"{name}_{second}": pair[1]}
        text = parsed.text if parsed.text_file is None else parsed.text_file.read_text("utf-8-sig")
        takes = generate(text, parsed.target, **settings)
        output = parsed.output or bpy.data.filepath
        if output:
            path = Path(output).absolute()
            path.parent.mkdir(parents=True, exist_ok=True)
            bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)
    except UnicodeDecodeError:
        print(f"cteg: {parsed.text_file} is not a text in UTF-8; save it as one.", file=sys.stderr)
        return 1
    except (RuntimeError, TypeError, OSError) as error:
        print(f"cteg: {str(error).removeprefix('Error: ').strip()}", file=sys.stderr)
        return 1
    for take in takes:
        print(f"cteg: {take.name}")
    print(f"cteg: saved {output}" if output else "cteg: nothing was saved; name a file with --output")
    return 0


_SETTINGS = (
    "emotion", "emotion_to", "emotion_with", "share", "intensity", "energy", "speaking", "takes", "spread", "seed",
    "temperature", "seconds", "rate", "timing", "vary_timing", "language", "timeline", "start_frame", "reduction",
)  # fmt: skip


class _Pair(argparse.Action):
    """Two numbers: a seed, and the amount or the frame that goes with it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        try:
            pair = int(values[0]), float(values[1]) if self.dest == "vary" else int(values[1])
        except ValueError:
            raise argparse.ArgumentError(self, f"{' '.join(values)!r} are not {' and '.join(self.metavar)}") from None
        setattr(namespace, self.dest, pair)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("blender --command cteg", description="Emotional facial performances from text.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    perform = commands.add_parser("generate", help="perform a line and save the file")
    line = perform.add_mutually_exclusive_group(required=True)
    line.add_argument("--text", help="what the character says, with directions: '(angrily) Get out.'")
    line.add_argument("--text-file", type=Path, metavar="FILE", help="the same from a file, for long dialogue")
    perform.add_argument("--target", help="name of the face (default: the target stored in the scene)")
    perform.add_argument("--demo-head", action="store_true", help="add the demo head first and let it perform")
    perform.add_argument("--emotion", choices=emotions.NAMES, metavar="NAME", help=", ".join(emotions.NAMES))
    perform.add_argument(
        "--emotion-to", choices=emotions.NAMES[1:], metavar="NAME", help="a second emotion that the line moves to"
    )
    perform.add_argument(
        "--emotion-with", choices=emotions.NAMES[1:], metavar="NAME", help="a second emotion that is mixed in"
    )
    perform.add_argument("--share", type=float, metavar="X", help="how much of the mixture it is, 0 to 1")
    perform.add_argument("--intensity", type=float, metavar="X", help="0 is calm, 1 natural, 1.5 extreme")
    perform.add_argument("--energy", type=float, metavar="X", help="0.4 is tired, 1 natural, 1.6 agitated")
    perform.add_argument(
        "--speaking", action=argparse.BooleanOptionalAction, default=None, help="say the line, or react in silence"
    )
    perform.add_argument("--takes", type=int, metavar="N", help="how many performances, each an action")
    perform.add_argument(
        "--spread", action=argparse.BooleanOptionalAction, default=None, help="keep the most different of many takes"
    )
    perform.add_argument("--seed", type=int, metavar="S", help="seed of the first take")
    perform.add_argument("--temperature", type=float, metavar="X", help="0 is the likeliest performance, up to 2")
    perform.add_argument("--seconds", type=float, metavar="X", help="length (default: as the line takes to say)")
    perform.add_argument("--rate", type=float, metavar="X", help="speaking rate, 0.5 to 2 (without --seconds)")
    perform.add_argument("--timing", type=int, metavar="S", help="seed of when each word is said")
    perform.add_argument(
        "--vary-timing", action=argparse.BooleanOptionalAction, default=None, help="each take has its own timing"
    )
    languages = [code for code, *_ in LANGUAGE_ITEMS]
    perform.add_argument("--language", choices=languages, metavar="NAME", help=", ".join(languages))
    perform.add_argument("--timeline", metavar="FILE", help="when each sound is made, as JSON (docs/timeline.md)")
    perform.add_argument(
        "--vary", nargs=2, action=_Pair, metavar=("SEED", "AMOUNT"),
        help="takes near that of a seed; 0 is the same, 1 a new one",
    )  # fmt: skip
    perform.add_argument(
        "--branch", nargs=2, action=_Pair, metavar=("SEED", "FRAME"),
        help="takes that begin like that of a seed, up to a frame",
    )  # fmt: skip
    perform.add_argument("--start-frame", type=int, metavar="N", help="first frame (default: the current frame)")
    perform.add_argument("--reduction", type=float, metavar="X", help="fewer keys: error in percent of each range")
    perform.add_argument("--output", metavar="FILE", help="save as this .blend (default: the file that is open)")
    return parser
