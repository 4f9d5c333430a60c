# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds to ``versions/`` what this version stores: ``KIND_VERSION.json``, and ``line_VERSION.blend``, a scene of a line.

Run it from the repository's root with the oldest Blender whose files all can read, whenever a number in
``blender_cteg/versions.py`` grows; what is there already stays, because old versions cannot be made again::

    python3.11 build.py test --blender 4.5.15 --co -q tests/blender/test_versions.py
    build/blender-4.5.15/bin/python -m tests.blender.data.make_versions
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy

import blender_cteg
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.mapping import Mapping
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import Style
from blender_cteg.performance.store import LINES_PROPERTY
from blender_cteg.versions import CURRENT
from tests.blender import scenes
from tests.blender.test_lines import clip

FOLDER = Path(__file__).with_name("versions")


def put(name: str, text: str) -> None:
    """Write a file that is not there yet."""
    path = FOLDER / name
    if not path.exists():
        path.write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    """Make what is missing."""
    FOLDER.mkdir(exist_ok=True)
    scene = scenes.empty()
    blender_cteg.register()
    face = scenes.arkit_face(bones=("Neck", "Head"))
    bpy.context.view_layer.update()
    clips = [clip(seed, 31) for seed in (1, 2)]
    line = Lines(scene, detect_rig(face)).add(clips, 20, Style(), text="Versions.")
    action = next(action for action in bpy.data.actions if LINES_PROPERTY in action)
    put(f"line_{CURRENT['line']}.json", action[LINES_PROPERTY][line.id]["record"])
    timeline = clips[0].timeline
    assert timeline is not None
    put(f"timeline_{timeline.to_json()['schema_version']}.json", json.dumps(timeline.to_json()))
    mapping = Mapping("arkit55", {"Smile": {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}})
    put(f"mapping_{CURRENT['mapping']}.json", mapping.to_json())
    scene_of = FOLDER / f"line_{CURRENT['line']}.blend"
    if not scene_of.exists():
        bpy.ops.wm.save_as_mainfile(filepath=str(scene_of), compress=True)
    blender_cteg.unregister()


if __name__ == "__main__":
    main()
    sys.exit(0)
