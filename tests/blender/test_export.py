# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene with lines leaves Blender as it is: glTF and FBX, opened again, play the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import addon_utils
import bpy
import numpy as np
import pytest

from blender_cteg.performance.targets import key_path

from . import scenes
from .test_lines import add, character, played

FRAMES = [30, 60, 105, 112, 120, 150, 205, 220]


def export_gltf(path: Path) -> None:
    bpy.ops.export_scene.gltf(filepath=str(path), export_animation_mode="ACTIVE_ACTIONS", export_frame_range=False)


def export_fbx(path: Path) -> None:
    bpy.ops.export_scene.fbx(filepath=str(path), bake_anim_use_nla_strips=False, bake_anim_use_all_actions=False)


FORMATS: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], object]]] = {
    "glb": ("io_scene_gltf2", export_gltf, lambda path: bpy.ops.import_scene.gltf(filepath=str(path))),
    "fbx": ("io_scene_fbx", export_fbx, lambda path: bpy.ops.import_scene.fbx(filepath=str(path), anim_offset=0.0)),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_two_lines_and_the_animators_keys_are_exported(scene: bpy.types.Scene, tmp_path: Path, kind: str) -> None:
    module, export, read = FORMATS[kind]
    face = character()
    for bone in ("Neck", "Head"):  # a skin, without which glTF leaves the bones out
        face.vertex_groups.new(name=bone).add(list(range(9)), 0.5, "REPLACE")
    scenes.animate_by_hand(face.data.shape_keys, key_path("browInnerUp"), {20: 0.0, 60: 0.9, 80: 0.0})
    add(scene, face, 100)
    add(scene, face, 200, seed=4)
    scene.frame_start, scene.frame_end = 1, 240
    names = face.data.shape_keys.key_blocks.keys()
    before = played(scene, face, FRAMES)[:, : len(names)]
    if addon_utils.enable(module) is None:
        pytest.skip(f"this bpy has no {module}")
    path = tmp_path / f"a.{kind}"
    export(path)
    scenes.empty()
    addon_utils.enable(module)
    read(path)
    found = next(obj for obj in bpy.data.objects if obj.type == "MESH" and obj.data.shape_keys is not None)
    after = []
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        blocks = found.data.shape_keys.key_blocks
        after.append([blocks[name].value if name in blocks else 0.0 for name in names])
    assert np.ptp(before, axis=0).max() > 0.5
    np.testing.assert_allclose(np.array(after)[:, 1:], before[:, 1:], atol=2e-3)
