# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``scene_0_1_0.blend``: a scene as CTEG 0.1.0 left it, which later versions open and migrate.

It was made with the code of commit 00d308e and Blender 4.5.15, which every later Blender can read. The code must be
that of 0.1.0, so the script is run with a work tree of that commit on the path, and nothing of this one::

    git worktree add /tmp/old 00d308e
    cd /tmp/old
    PYTHONPATH=/tmp/old CTEG_PYTHON=/path/to/python/with/torch \\
        /path/to/python/with/bpy-4.5 /path/to/this/make_old_scene.py /path/to/scene_0_1_0.blend

What is in the file, at 30 frames per second, frames 1 to 250:

- *Anna*: an ARKit face and its follower *Anna Teeth* on *Anna Rig*. Her animator's actions *Anna Body* (hips, frames 1
  to 200) and *Anna Brows* (browInnerUp, frames 1 to 60) were there before the takes and so lie in the NLA. Two takes of
  a line at frame 20, the first of which is shown, one take of another line at frame 100.
- *Ben*: a FLAME face of nothing but its 68 landmarks on *Ben Rig*, with a fitted mapping that was edited afterwards,
  and one take at frame 10, which is shown.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# Before Blender is imported: the user's own settings stay out of the file.
_RESOURCES = tempfile.TemporaryDirectory(prefix="cteg-old-scene-")
os.environ["BLENDER_USER_RESOURCES"] = _RESOURCES.name

import bpy  # noqa: E402, I001 - the modules of 0.1.0 are not where ruff looks for them
import numpy as np  # noqa: E402

import blender_cteg  # noqa: E402
from blender_cteg.rigs.detection.naming import ARKIT_CHANNELS  # noqa: E402
from blender_cteg.rigs.fitting.actions import template  # noqa: E402
from tests.blender import characters, scenes  # noqa: E402

#: Every coordinate is a multiple of this, in metres: such floats compress well.
GRID = 2.0**-14
#: Distance between the centres of the eyes, metres, which is the unit of the template's points.
EYE_DISTANCE = 0.063


def on_grid(obj: bpy.types.Object) -> None:
    """Round the coordinates of a mesh and of all its shape keys."""
    for points in (obj.data.vertices, *(block.data for block in obj.data.shape_keys.key_blocks)):
        flat = np.empty(3 * len(points), np.float32)
        points.foreach_get("co", flat)
        points.foreach_set("co", (np.round(flat / GRID) * GRID).astype(np.float32))


def anna() -> bpy.types.Object:
    """An ARKit face with teeth and an animator's work on body and brows."""
    rig = characters.rigged({"Hips": (0, 0, -0.6), "Neck": (0, 0.02, -0.15), "Head": (0, 0.02, -0.08)}, "Anna Rig")
    face = characters.weigh(characters.ball("Anna", (0, 0, 0), 0.1, ARKIT_CHANNELS), rig, "Head")
    teeth = characters.weigh(
        characters.ball("Anna Teeth", characters.MOUTH, 0.02, ["jawOpen", "mouthClose"]), rig, "Head"
    )
    for mesh in (face, teeth):
        on_grid(mesh)
    hips = {0: {1: 0.0, 80: 0.3, 200: 0.1}, 1: {1: 0.0, 200: -1.0}, 2: {1: 0.0, 50: 0.02, 100: -0.02, 200: 0.0}}
    for axis, keys in hips.items():
        scenes.animate_by_hand(rig, 'pose.bones["Hips"].location', keys, axis).name = "Anna Body"
    brows = {1: 0.0, 25: 0.6, 60: 0.1}
    scenes.animate_by_hand(face.data.shape_keys, 'key_blocks["browInnerUp"].value', brows).name = "Anna Brows"
    return face


def ben() -> bpy.types.Object:
    """A FLAME face whose vertices are the 68 landmarks, with smooth random expressions."""
    rng = np.random.default_rng(3)
    points = template().positions[:68] * EYE_DISTANCE + np.array(scenes.JOINTS["left_eye"]) * (0, 1, 1)
    face = scenes.mesh_object("Ben", (points @ scenes.Z_UP.T).tolist(), [])
    for number in range(1, 51):
        block = face.shape_key_add(name=f"Exp{number}")
        block.value = 0.0
        offsets = 0.003 * np.sin(points @ rng.normal(0, 30, (3, 3)) + rng.uniform(0, 6, 3))
        block.data.foreach_set("co", ((points + offsets) @ scenes.Z_UP.T).astype(np.float32).ravel())
    on_grid(face)
    joints = {name: scenes.Z_UP @ np.array(joint) for name, joint in scenes.JOINTS.items()}
    scenes.skin(face, scenes.armature_object("Ben Rig", joints))
    for name, below in (("jaw", True), ("neck", False)):
        members = np.flatnonzero((points[:, 1] < scenes.JOINTS["jaw"][1]) == below)
        face.vertex_groups.new(name=name).add(members.tolist(), 1.0, "REPLACE")
    face.data["cteg_landmarks"] = list(range(68))
    face.parent.location.x = 0.4
    return face


def edit_mapping(scene: bpy.types.Scene) -> None:
    """Fit the target, then change the mapping as its animator would in the editor."""
    bpy.ops.cteg.mapping_edit()
    editor = scene.cteg.mapping
    editor.rows["jawOpen"].gain = 0.8
    editor.rows["mouthSmileLeft"].offset = 0.05
    editor.rows["eyeBlinkRight"].mute = True


def main(path: Path) -> None:
    """Build the scene, let 0.1.0 perform in it, save it at ``path``."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    blender_cteg.register()
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 30, 1.0
    scene.frame_start, scene.frame_end = 1, 250
    scene.cteg.target = ben()
    edit_mapping(scene)
    bpy.ops.cteg.generate(text="Hello.", takes=1, seed=3, spread=False, seconds=0.5, start_frame=10)
    scene.cteg.target = anna()
    missed = "I missed you so much."
    bpy.ops.cteg.generate(text=missed, takes=2, seed=5, spread=False, seconds=0.9, start_frame=20)
    shown = next(action for action in bpy.data.actions if action.name.startswith(missed) and "seed 5" in action.name)
    bpy.ops.cteg.generate(text="Get out of my house!", takes=1, seed=11, spread=False, seconds=0.9, start_frame=100)
    bpy.ops.cteg.show_take(take=shown.name)
    scene.cteg.text, scene.cteg.emotion = missed, "sadness"
    scene.frame_set(1)
    bpy.ops.wm.save_as_mainfile(filepath=str(path.resolve()), compress=True)
    blender_cteg.unregister()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
