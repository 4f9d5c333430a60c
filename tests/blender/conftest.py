# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender as a module, kept away from the user's own settings and files."""

from __future__ import annotations

import os
import tempfile

# Blender reads this when it is imported, which collecting the tests already does.
_RESOURCES = tempfile.TemporaryDirectory(prefix="cteg-tests-")
os.environ["BLENDER_USER_RESOURCES"] = _RESOURCES.name

import bpy  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def scene() -> bpy.types.Scene:
    """The scene of a fresh, empty file at 24 frames per second."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    return scene
