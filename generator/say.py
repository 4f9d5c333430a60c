# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator say``: perform one line and write its takes to a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .direction.arguments import add_performance_arguments, performance_settings
from .direction.requests import Branch, LineRequest, Vary, read_timeline
from .errors import InputError
from .performing.clips import Clips
from .reading import TIMELINE, reading
from .shared.timeline import Timeline
from .writing import write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("text", help="the line; directions may stand in it: '(angrily) Get out. [joy -> fear] Oh.'")
    parser.add_argument("--out", "-o", type=Path, help="clip.npz, .json, or .csv (Live Link Face)")
    parser.add_argument("--read", action="store_true", help="say how the line is understood, and perform nothing")
    add_performance_arguments(parser)
    parser.add_argument(
        "--timeline", type=Path, metavar="FILE.json",
        help="when each sound is made: read where the file is there, else written (docs/timeline.md)",
    )  # fmt: skip
    parser.add_argument(
        "--branch", type=_branch, metavar="SEED:FRAME", help="begin like the take of SEED, leave it after FRAME frames"
    )
    parser.add_argument(
        "--vary", type=_vary, metavar="SEED:AMOUNT", help="stay near the take of SEED; 0 is that take, 1 a new one"
    )


def run(options: argparse.Namespace) -> None:
    """Perform, write, and say on stderr what was performed when.

    Raises:
        InputError: the request or the name of the file is refused.
        CheckpointError, EnvironmentProblem: from what is loaded. OSError: the file cannot be written.
    """
    request = LineRequest(
        options.text, branch=options.branch, vary=options.vary, timeline=_given_timeline(options.timeline),
        **performance_settings(options),
    ).validated()  # fmt: skip
    if options.timeline is not None and options.out is not None:
        _check_timeline(options.timeline, options.out, request)
    if not options.read and (options.out is None or options.out.suffix.lower() not in (".npz", ".json", ".csv")):
        named = "nothing" if options.out is None else repr(options.out.name)
        raise InputError(f"--out must end in .npz, .json or .csv, not {named}.")
    from .performing.load import load_performer

    performer = load_performer(options.checkpoint, options.device, precision=options.precision)
    if options.read:
        for line in _told(performer.read([request])[0], performer.space.fps):
            print(line)
        return
    (clips,) = performer.perform([request])
    for warning in clips.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for line in _told(clips.segments[0], clips.space.fps):  # the other takes differ in time only
        print(f"take 1: {line}", file=sys.stderr)
    for path in clips.write(options.out):
        print(path)
    if options.timeline and request.timeline is None:
        _write_timelines(options.timeline, clips)


def _check_timeline(path: Path, out: Path, request: LineRequest) -> None:
    """Say whether times are read or written; InputError where a file would be lost."""
    if path.resolve() == out.resolve():
        raise InputError("--timeline and --out name the same file; give each its own.")
    if request.timeline is not None:
        print(f"performing the times in {path}", file=sys.stderr)
        return
    print(f"{path} is not there yet: the line's own times are written to it", file=sys.stderr)
    for number in range(1, request.takes + 1 if request.vary_timing else 1):
        if (numbered := _numbered(path, number)).exists():
            raise InputError(f"{numbered} is there already and would be overwritten; name another file.")


def _numbered(path: Path, number: int) -> Path:
    return path.with_stem(f"{path.stem}_{number}")


def _given_timeline(path: Path | None) -> Timeline | None:
    """The timeline in a file that is there; None where it is to be written."""
    if path is None or not path.exists():
        return None
    sentence = "{path} is no JSON file ({why}); see docs/timeline.md."
    with reading(path, TIMELINE, lambda why: InputError(sentence.format(path=path, why=why))) as file:
        return read_timeline(file.json())


def _write_timelines(path: Path, clips: Clips) -> None:
    """The timeline of the takes; of each one its own where they differ: ``name_1.json``, ``name_2.json``, ..."""
    timelines = list(dict.fromkeys(t for t in clips.timelines if t is not None))
    if not timelines:
        print("warning: no timeline was written: nothing is said, or the face has one layer", file=sys.stderr)
    for number, timeline in enumerate(timelines, 1):
        target = path if len(timelines) == 1 else _numbered(path, number)
        text = json.dumps(timeline.to_json(), ensure_ascii=False, indent=1)
        print(write_whole(target, text.encode()))


def _branch(text: str) -> Branch:
    seed, frame = _pair(text, "SEED:FRAME, such as 7:48", int)
    return Branch(seed, int(frame))


def _vary(text: str) -> Vary:
    seed, amount = _pair(text, "SEED:AMOUNT, such as 7:0.3", float)
    return Vary(seed, amount)


def _pair(text: str, form: str, second: Callable[[str], float]) -> tuple[int, float]:
    seed, _, rest = text.partition(":")
    try:
        return int(seed), second(rest)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}") from None


def _told(segments: tuple[dict[str, Any], ...], fps: float) -> Iterator[str]:
    """What is performed when, one line per segment."""
    for s in segments:
        mixed = f" + {s['share']:.0%} {s['emotion_with']}" if s["emotion_with"] else ""
        towards = f"{mixed} -> {s['emotion_to']}" if s["emotion_to"] else mixed
        reason = f"({s['direction']})" if s["direction"] else s["source"]
        times = f"{s['start'] / fps:.1f} to {s['end'] / fps:.1f} s"
        yield f"{times}, {s['emotion']}{towards} at {s['intensity']:g}, {reason}: {s['text']}"
        for one in s["stage"]:
            done = one["name"] or ("nothing a face can play" if one["kind"] == "action" else "not played")
            named = f"{one['kind']}{' to' if one['kind'] == 'note' and one['name'] else ''} {done}".replace("_", " ")
            yield f"    {one['start'] / fps:.1f} to {one['end'] / fps:.1f} s, ({one['written']}): {named}"
