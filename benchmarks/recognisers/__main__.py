# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.recognisers prototypes|takes|channels``: see `benchmarks.recognisers` and README.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

# Mesa's software renderer. Read when bpy is imported.
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

from . import asking, channels, scores
from .pictures import Studio
from .readers import MissingError, readers
from .subjects import load

CHECKPOINT = Path("generator/checkpoints/default")


def main() -> int:
    """Command line; 0 when all was measured, 1 with a sentence when it could not be."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        lines = {"prototypes": _prototypes, "takes": _takes, "channels": _channels}[options.what](options)
    except (MissingError, asking.BlankError) as error:
        print(f"recognisers: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recognisers", description="Outside judges of faces.")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--head", action="append", help="NAME or NAME=FILE, more than once; 'demo' by default")
    shared.add_argument("--out", type=Path, default=Path("runs/recognisers"))
    engines = ("BLENDER_WORKBENCH", "CYCLES")
    shared.add_argument(
        "--engine",
        default=engines[0],
        choices=engines,
        help="published numbers are of Workbench; Cycles shows normal maps, at many times the time",
    )
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("prototypes", parents=[shared], help="textbook faces from 24 views and lights")
    takes = what.add_parser("takes", parents=[shared], help="takes of a checkpoint")
    takes.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    takes.add_argument("--data", default="", help="corpus whose test split has the lines; our own few by default")
    takes.add_argument("--count", type=int, default=40, help="takes of each emotion")
    takes.add_argument("--intensity", type=float, help="only this one")
    single = what.add_parser("channels", parents=[shared], help="motion of each channel, and the sheet")
    single.add_argument("--beside", metavar="FILE", help="ict_facekit_light.npz, or another head's file")
    single.add_argument("--no-sheet", action="store_true", help="the tables alone")
    single.add_argument("--small", type=Path, help="folder for the sheet's pages once more, as small JPEG files")
    options = parser.parse_args()
    options.head = options.head or ["demo"]
    return options


def _prototypes(options: argparse.Namespace) -> list[str]:
    judges, rows = readers(), {}
    for wanted in options.head:
        studio = Studio(load(wanted), options.engine)
        for reader, answers in asking.ask_prototypes(studio, judges, options.out).items():
            rows[f"{studio.subject.name}, {reader}"] = scores.summary(answers)
    return _written(options.out / "prototypes.json", rows, "")


def _takes(options: argparse.Namespace) -> list[str]:
    judges, rows, note = readers(), {}, ""
    for intensity in asking.intensities(options.intensity):
        script = asking.perform(options.checkpoint, options.data, options.count, intensity)
        note = f"{options.count} takes of each emotion; {script.note}"
        for wanted in options.head:
            studio = Studio(load(wanted), options.engine)
            label = f"{options.checkpoint.name}-{intensity:g}"
            for reader, answers in asking.ask_takes(studio, judges, script, options.out, label).items():
                rows[f"{studio.subject.name} at {intensity:g}, {reader}"] = scores.summary(answers)
            _written(options.out / "takes.json", rows, note)
    return _written(options.out / "takes.json", rows, note)


def _channels(options: argparse.Namespace) -> list[str]:
    heads = [*options.head, *([f"{Path(options.beside).stem}={options.beside}"] if options.beside else [])]
    found, folders = {}, {}
    for wanted in heads:
        subject = load(wanted)
        found[subject.name] = channels.motions(subject)
        folders[subject.name] = options.out / "channels" / f"{subject.name}-{subject.identity}"
        if not options.no_sheet:
            channels.render_channels(subject, folders[subject.name], options.engine)
    other = found.popitem()[1] if options.beside else None
    tables, lines = {name: channels.compare(ours, other) for name, ours in found.items()}, []
    _write(options.out / "channels.json", tables)
    for name, rows in tables.items():
        out = [channel for channel, row in rows.items() if not channels.within(row.get("ratio"))]
        lines += [
            f"{name}: {len(out)} of {len(rows)} channels move less than {channels.LOW} or more than {channels.HIGH} "
            "times.", "", *channels.table(rows), "",
        ]  # fmt: skip
    if not options.no_sheet:
        pages = channels.draw_pages(folders, next(iter(tables.values())), options.out / "sheets")
        lines += [str(page) for page in (channels.shrink(pages, options.small) if options.small else pages)]
    return lines


def _written(path: Path, rows: dict[str, dict[str, Any]], note: str) -> list[str]:
    """Keep the numbers; the tables to print."""
    _write(path, {"note": note, "rows": rows})
    return [*([note, ""] if note else []), *scores.table(rows), "", *scores.checks_table(rows)]


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
