# SPDX-License-Identifier: GPL-3.0-or-later
"""What directing a take live costs: processor time of the generator and of Blender for one update.

    python -m benchmarks.live [LINES ...]

The intensity of a take of 5 s and 55 channels is moved, through the real door, and every update is waited for; then
where the line looks, which no generator is asked for. The two work at the same time, and Blender writes at most half
of its time: so many updates a second are there on a quiet machine with two cores. (Processor time, because machines
are shared; the generator's is read from /proc, on Linux.)
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import bpy

TEXT: Final = "I knew that you would come back one day."
UPDATES: Final = 24


def drag(playhead: int, name: str = "intensity") -> tuple[float, ...]:
    """Drag a field of the shown take, the playhead at a frame of the scene.

    Returns:
        Milliseconds of the generator an update, of Blender in the median and at most, updates a second.
    """
    from blender_cteg.operators import live
    from blender_cteg.worker import session

    scene = bpy.context.scene
    scene.frame_set(playhead)
    live._wanted(bpy.context, name, 1.0 if name == "intensity" else 0.1)
    now, client = live.directing, session._client
    assert now is not None and client is not None
    while not now.settled:  # the generator starts, and loads its model
        now.update(scene, 0.05)
    waits: list[float] = []
    begin, performed = processor_seconds(client.pid), 0
    for step in range(UPDATES):
        while True:  # the mouse moves on while it is performed
            now.want(scene, name, 0.5 * (name == "intensity") + 0.5 * (step + time.monotonic() % 1.0) / UPDATES)
            time.sleep(0.01)
            used = time.process_time()
            if now.update(scene):
                waits.append(1e3 * (time.process_time() - used))
                performed += 1
                break
    generator = 1e3 * (processor_seconds(client.pid) - begin) / performed
    live._settle(bpy.context)
    waits.sort()
    median = waits[len(waits) // 2]
    return generator, median, waits[-1], 1e3 / max(generator, 2.0 * median)


def processor_seconds(pid: int | None) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _drawn() -> Iterator[None]:
    """As in a window, where a character that was written to is looked at when the mouse rests."""
    from blender_cteg import cast

    look = cast.character

    def known(scene: bpy.types.Scene, *, current: bool = False) -> Any:
        return look(scene, current=True) if current else cast._known[scene.session_uid].character

    cast.character = known
    try:
        yield
    finally:
        cast.character = look


def main() -> None:
    """Print a table: lines in the scene, where the playhead is, what an update costs."""
    import blender_cteg
    from blender_cteg import cast
    from tests.blender import characters

    os.environ.setdefault("CTEG_PYTHON", sys.executable)
    blender_cteg.register()
    print("| lines | playhead | generator, ms | Blender, ms | at most, ms | updates a second |")
    print("|---|---|---|---|---|---|")
    for count in [int(argument) for argument in sys.argv[1:]] or [1]:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        scene = bpy.context.scene
        scene.cteg.target, scene.cteg.text = characters.arkit_character(), TEXT
        for index in range(count):
            bpy.ops.cteg.perform(emotion="joy", takes=1, seed=index, seconds=5.0, start_frame=1 + 130 * index)
        start = 1 + 130 * (count - 1)
        for name, frame in (("at its beginning", start), ("in its middle", start + 60), ("near its end", start + 110)):
            cast.refresh(scene)
            with _drawn():
                took = drag(frame)
            print(f"| {count} | {name} | " + " | ".join(f"{value:.1f}" for value in took) + " |", flush=True)
        cast.refresh(scene)
        with _drawn():
            took = drag(start + 60, "look_left")
        print(f"| {count} | gaze | " + " | ".join(f"{value:.1f}" for value in took) + " |", flush=True)
    blender_cteg.unregister()


if __name__ == "__main__":
    main()
