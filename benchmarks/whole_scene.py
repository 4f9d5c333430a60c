# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole scene: 200 lines of four demo heads, three takes each, with all who listen; what each process needs for it.

    OMP_NUM_THREADS=1 python -m benchmarks.whole_scene [--lines 200] [--takes 3] [--profile FILE]

Seconds of processor time of Blender and of the generator, which work at the same time, and seconds by the clock; then
what a redraw of all panels costs with the scene as it is. The generator's is read from /proc, on Linux.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import random
import sys
import time
from contextlib import nullcontext
from typing import Final

import bpy

from benchmarks import redraw
from benchmarks.live import processor_seconds

PEOPLE: Final = ("MIRA", "TOMAS", "AMA", "BEN")
SENTENCES: Final = (
    "I never asked for any of this.", "Where have you been all night?", "Nobody told me you were coming.",
    "That is the best news I have heard in years.", "Please don't go.", "You promised me that it was over.",
    "Give me the letter.", "Do you really believe that?", "I thought you were gone for good.", "No.",
    "We could leave tomorrow, before anybody wakes up.", "Who else knows about it?", "He lied to both of us.",
    "It doesn't matter any more.", "Look at me when I talk to you!", "I was so afraid that I could not move.",
    "Then why didn't you call?", "Thank you. I mean it.", "There is something wrong with the house.", "Oh, come on!",
)  # fmt: skip


def script(lines: int) -> str:
    """Plain ``NAME: line``, one or two sentences each; nobody speaks twice in a row."""
    rng, rows, last = random.Random(20), [], ""
    for _ in range(lines):
        last = rng.choice([name for name in PEOPLE if name != last])
        rows.append(f"{last}: {' '.join(rng.sample(SENTENCES, rng.choice((1, 1, 2))))}")
    return "\n".join(rows)


def main() -> None:
    """Print a table."""
    import blender_cteg
    from blender_cteg.dialogue import scripts, staging
    from blender_cteg.dialogue.entries import dialogue_of
    from blender_cteg.preferences import choices
    from blender_cteg.shared import read_script
    from blender_cteg.worker import session

    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_scene")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--takes", type=int, default=3)
    parser.add_argument("--profile", default="", help="a file for cProfile's numbers of Blender's process")
    options = parser.parse_args()
    os.environ.setdefault("CTEG_PYTHON", sys.executable)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    blender_cteg.register()
    scene = bpy.context.scene
    dialogue = dialogue_of(scene)
    scripts.add(scene, read_script(script(options.lines).encode(), "scene.txt"), start=1)
    bpy.ops.cteg.add_heads()
    dialogue.takes = options.takes
    profile = cProfile.Profile() if options.profile else nullcontext()
    own, clock, loads = time.process_time(), time.monotonic(), os.getloadavg()[0]
    with profile:
        production = staging.Production(scene, None, choices(bpy.context))
        staging.run(production)
    own, clock = time.process_time() - own, time.monotonic() - clock
    generator = processor_seconds(session._client.pid)
    if options.profile:
        profile.dump_stats(options.profile)
    silences = sum(len(part.silences) for part in dialogue.parts)
    performed = sum(bool(entry.line) for entry in dialogue.entries)
    print(f"{performed} lines performed, {options.takes} takes each, {silences} silences, {scene.frame_end} frames")
    print(*production.said, sep="\n")
    print("| | s |\n|---|---|")
    print(f"| Blender, processor | {own:.1f} |\n| generator, processor | {generator:.1f} |")
    print(f"| by the clock, load {loads:.1f} before | {clock:.1f} |")
    bpy.context.view_layer.update()
    dialogue.entry = options.lines // 2
    tab = redraw.panels()
    redraw.redraw(tab)
    print(f"| a redraw of all panels, ms | {redraw.milliseconds(redraw.redraw, tab):.2f} |")
    for room, what in (("dialogue_panel", "dialogue"), ("mapping_panel", "mapping")):
        some = [panel for panel in tab if panel.__module__.endswith(room)]
        print(f"| of those of the {what} ({len(some)}), ms | {redraw.milliseconds(redraw.redraw, some):.2f} |")
    blender_cteg.unregister()


if __name__ == "__main__":
    main()
