# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m generator say``: perform one line and write its takes to a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .direction import ENDINGS
from .direction.emotions import EMOTION_NAMES
from .direction.requests import LANGUAGE_CODES, Branch, LineRequest, Vary, read_timeline
from .errors import InputError
from .performing.clips import Clips
from .reading import TIMELINE, reading
from .shared.timeline import Timeline
from .writing import write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument("text", help="the line; directions may stand in it: '(angrily) Get out. [joy -> fear] Oh.'")
    parser.add_argument("--out", "-o", type=Path, required=True, help="clip.npz, .json, or .csv (Live Link Face)")
    parser.add_argument("--takes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="take k uses seed + k (default 0)")
    parser.add_argument("--emotion", default="auto", metavar="NAME", help=f"auto, {', '.join(EMOTION_NAMES)}")
    parser.add_argument("--intensity", type=float, default=1.0, help="0 (calm) to 1.5 (extreme), default 1")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 (likeliest) to 2, default 1")
    parser.add_argument("--emotion-to", metavar="NAME", help="move to this emotion over the line")
    parser.add_argument("--emotion-with", metavar="NAME", help="mix this emotion in over the whole line")
    parser.add_argument("--share", type=float, default=0.5, help="how much of the mixture it is, default 0.5")
    parser.add_argument("--energy", type=float, default=1.0, help="tempo and size of movement, 0.4 to 1.6, default 1")
    parser.add_argument("--silent", action="store_true", help="the line is heard and reacted to, not spoken")
    parser.add_argument("--seconds", type=float, help="length, up to 60; by default the line decides")
    parser.add_argument("--rate", type=float, default=1.0, help="speaking rate, 0.5 (slow) to 2, default 1")
    parser.add_argument("--timing", type=int, default=0, metavar="SEED", help="of the words' timing, default 0")
    parser.add_argument("--vary-timing", action="store_true", help="every take has a timing of its own")
    parser.add_argument(
        "--timeline", type=Path, metavar="FILE.json",
        help="when each sound is made: read where the file is there, else written (docs/timeline.md)",
    )  # fmt: skip
    parser.add_argument("--language", default="auto", metavar="CODE", help=f"{', '.join(LANGUAGE_CODES)}")
    parser.add_argument(
        "--ending", choices=ENDINGS, default="rest", help="how it ends: at rest, with a trace of what is felt, or held"
    )
    parser.add_argument("--spread", action="store_true", help="the most different takes of four times as many")
    parser.add_argument(
        "--branch", type=_branch, metavar="SEED:FRAME", help="begin like the take of SEED, leave it after FRAME frames"
    )
    parser.add_argument(
        "--vary", type=_vary, metavar="SEED:AMOUNT", help="stay near the take of SEED; 0 is that take, 1 a new one"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="by default the bundled one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "int8"), help="int8: the paper's model faster on a CPU"
    )


def run(options: argparse.Namespace) -> None:
    """Perform, write, and say on stderr what was performed when.

    Raises:
        InputError: the request or the name of the file is refused.
        CheckpointError, EnvironmentProblem: from what is loaded. OSError: the file cannot be written.
    """
    request = LineRequest(
        options.text, options.emotion, options.intensity, options.takes, options.seed, options.temperature,
        options.seconds, options.emotion_to, options.rate, options.spread, options.branch, options.vary,
        options.emotion_with, options.share, options.energy, not options.silent, options.timing, options.vary_timing,
        _given_timeline(options.timeline), options.language, options.ending,
    ).validated()  # fmt: skip
    if options.timeline is not None:
        _check_timeline(options.timeline, options.out, request)
    if options.out.suffix.lower() not in (".npz", ".json", ".csv"):
        raise InputError(f"--out must end in .npz, .json or .csv, not {options.out.name!r}.")
    from .performing.load import load_performer

    performer = load_performer(options.checkpoint, options.device, precision=options.precision)
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
