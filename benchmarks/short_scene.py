# SPDX-License-Identifier: GPL-3.0-or-later
"""A four-line Fountain scene of two demo heads, default settings: from the file to the performed scene, and its heads.

    OMP_NUM_THREADS=1 python -m benchmarks.short_scene [--rounds 3]

Every round starts with an empty file: the script is read, *Add Heads*, *Generate*, with a worker started for it.
Seconds by the clock, and of both processors (the generator's from /proc, on Linux). Then, of the last round: how far a
head faces away from the other's, at most, in the 2.5 s around where a line follows a silence, and how fast it turns.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from itertools import pairwise

import bpy
from mathutils import Vector

from benchmarks.live import processor_seconds

SCRIPT = """INT. KITCHEN - NIGHT

MIRA
I never asked for any of this.

TOMAS
(softly)
I know. But you kept the letters, all of them.

MIRA
Because you wrote them.

TOMAS
Then let me stay tonight. Please.
"""
AROUND = 1.25  # seconds before and after a border


def perform() -> dict[str, float]:
    """Seconds of each step, in a fresh file."""
    from blender_cteg.dialogue import scripts, staging
    from blender_cteg.preferences import choices
    from blender_cteg.shared import read_script
    from blender_cteg.worker import session

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    session.close()
    scene, took, own, begin = bpy.context.scene, {}, time.process_time(), time.monotonic()
    scripts.add(scene, read_script(SCRIPT.encode(), "scene.fountain"), start=1)
    took["file read"] = time.monotonic() - begin
    bpy.ops.cteg.add_heads()
    took["and heads added"] = time.monotonic() - begin
    staging.run(staging.Production(scene, None, choices(bpy.context)))
    took["and performed"] = time.monotonic() - begin
    took["Blender, processor"] = time.process_time() - own
    took["generator, processor"] = processor_seconds(session._client.pid)
    return took


def heads(scene: bpy.types.Scene) -> tuple[list[float], list[float]]:
    """Degrees that heads face away from the other's at most, and degrees a second they turn at most, at each border."""
    from blender_cteg import cast
    from blender_cteg.dialogue.entries import dialogue_of

    dialogue, fps = dialogue_of(scene), scene.render.fps / scene.render.fps_base
    found = {part.name: cast.found(scene, part.character) for part in dialogue.parts}
    bones = {
        name: (now.rig.armature, now.rig.bones.get("head") or now.rig.bones["neck"]) for name, now in found.items()
    }
    away, speed = [], []
    for part in dialogue.parts:
        lines, silent = found[part.name].lines, {silence.name for silence in part.silences}
        (other,) = bones.keys() - {part.name}
        for before, line in pairwise(lines):
            if before.id not in silent or line.id in silent or line.start > before.end + 2:
                continue
            seen = []
            for frame in range(round(line.start - AROUND * fps), round(line.start + AROUND * fps) + 1):
                scene.frame_set(frame)
                place, ahead = _pose(*bones[part.name])
                seen.append((ahead, (_pose(*bones[other])[0] - place)))
            away.append(max(math.degrees(ahead.angle(to)) for ahead, to in seen))
            speed.append(max(math.degrees(one.angle(two)) * fps for (one, _), (two, _) in pairwise(seen)))
    return away, speed


def _pose(armature: bpy.types.Object, name: str) -> tuple[Vector, Vector]:
    """Where the middle of a head is, and where its face looks, in the world: at rest down the y axis."""
    there = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    bone = there.pose.bones[name]
    turned = there.matrix_world @ bone.matrix @ bone.bone.matrix_local.inverted()
    return there.matrix_world @ bone.center, (turned.to_3x3() @ Vector((0.0, -1.0, 0.0))).normalized()


def main() -> None:
    """Print a table."""
    import blender_cteg

    parser = argparse.ArgumentParser(prog="python -m benchmarks.short_scene")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ.setdefault("CTEG_PYTHON", sys.executable)
    blender_cteg.register()
    print(f"bpy {bpy.app.version_string}, load {os.getloadavg()[0]:.1f} before")
    took = [perform() for _ in range(rounds)]
    print(f"\n| seconds, {rounds} rounds | median | most |\n|---|---|---|")
    for what in took[0]:
        each = [one[what] for one in took]
        print(f"| {what} | {statistics.median(each):.1f} | {max(each):.1f} |")
    away, speed = heads(bpy.context.scene)
    print(f"\n| heads where a line follows a silence ({len(away)} times) | at most |\n|---|---|")
    for what, found, unit in (("away from the other's", away, "°"), ("turning", speed, "° a second")):
        print(f"| {what} | {max(found, default=0.0):.0f}{unit} |")
    blender_cteg.unregister()


if __name__ == "__main__":
    main()
