# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering without a screen: Workbench where OpenGL works, else Cycles on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import addon_utils
import bpy

Engine = Literal["BLENDER_WORKBENCH", "CYCLES"]

#: Workbench's studio lights for a portrait: direction, diffuse colour, specular colour, smoothness.
_STUDIO: Final = (
    ((-0.70, 0.50, 0.50), (1.05, 0.96, 0.86), (0.20, 0.19, 0.18), 0.15),
    ((0.75, 0.05, 0.66), (0.13, 0.16, 0.22), (0.03, 0.03, 0.04), 0.40),
    ((0.75, 0.40, -0.52), (0.75, 0.82, 0.95), (0.18, 0.19, 0.22), 0.10),
)
_AMBIENT: Final = (0.07, 0.07, 0.09)
#: Renders one small picture with Workbench; run in a process of its own, because a missing EGL can end it.
_PROBE: Final = """
import sys, bpy
scene = bpy.context.scene
scene.render.engine = "BLENDER_WORKBENCH"
scene.render.resolution_x = scene.render.resolution_y = 16
scene.render.filepath = sys.argv[1]
bpy.ops.render.render(write_still=True)
"""


def workbench_works(folder: Path) -> bool:
    """Whether Workbench can render on this computer; tried in a second process, with a picture in ``folder``."""
    picture = folder / "probe.png"
    command = [sys.executable, "-c", _PROBE, str(picture)]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=120, env=dict(os.environ))
    except subprocess.TimeoutExpired:
        return False
    works = tried.returncode == 0 and picture.is_file()
    picture.unlink(missing_ok=True)
    return works


def use_engine(scene: bpy.types.Scene, engine: Engine, size: int, samples: int = 16) -> None:
    """Prepare ``scene`` for square pictures of ``size`` pixels.

    Args:
        scene: the scene to render.
        engine: Workbench for speed, Cycles for looks.
        size: width and height in pixels; even, as film needs it.
        samples: rays per pixel for Cycles, before denoising.
    """
    if engine == "CYCLES":
        addon_utils.enable("cycles")
    scene.render.engine = engine
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    if engine == "CYCLES":
        scene.cycles.device = "CPU"
        scene.cycles.samples = samples
        scene.cycles.use_denoising = True
        scene.cycles.max_bounces = 4
        scene.render.use_persistent_data = True
        scene.view_settings.view_transform = "AgX"
        scene.view_settings.exposure = 0.0
        scene.view_settings.look = "AgX - Medium High Contrast"
    else:
        _light_workbench(scene)


def _light_workbench(scene: bpy.types.Scene) -> None:
    """A portrait light for Workbench, which ignores the scene's lamps."""
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    scene.view_settings.exposure = 0.0
    scene.display.render_aa = "8"
    shading = scene.display.shading
    shading.light = "STUDIO"
    shading.studio_light = "Default"
    shading.color_type = "TEXTURE"
    shading.show_specular_highlight = True
    shading.show_cavity = True
    shading.cavity_type = "WORLD"
    shading.cavity_ridge_factor = 0.0
    shading.cavity_valley_factor = 0.8
    shading.show_shadows = False
    # The process's own preferences, which are never saved.
    system = bpy.context.preferences.system
    system.use_studio_light_edit = True  # else these lights are not used
    system.light_ambient = _AMBIENT
    for light in system.solid_lights:
        light.use = False
    for light, (direction, diffuse, specular, smooth) in zip(system.solid_lights, _STUDIO, strict=False):
        light.use = True
        light.direction = direction
        light.diffuse_color = diffuse
        light.specular_color = specular
        light.smooth = smooth


def render_still(scene: bpy.types.Scene, frame: int, path: Path) -> None:
    """Render ``frame`` to ``path``, a PNG with the backdrop left transparent."""
    scene.frame_set(frame)
    scene.render.film_transparent = True
    _image_format(scene, "PNG")
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def render_film(scene: bpy.types.Scene, path: Path, advance: Callable[[], object]) -> None:
    """Render the scene's frame range to ``path``, an H.264 film without sound, at the scene's frame rate.

    ``advance`` is called after every frame.
    """
    scene.render.film_transparent = False
    _image_format(scene, "FFMPEG")
    settings = scene.render.ffmpeg
    settings.format = "MPEG4"
    settings.codec = "H264"
    settings.constant_rate_factor = "HIGH"
    settings.ffmpeg_preset = "GOOD"
    settings.audio_codec = "NONE"
    scene.render.use_file_extension = False
    scene.render.filepath = str(path)

    def after_frame(*_: object) -> None:
        advance()

    bpy.app.handlers.render_post.append(after_frame)
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_post.remove(after_frame)


def _image_format(scene: bpy.types.Scene, name: str) -> None:
    """Set what is written; since 5.0 films are chosen by media type first."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO" if name == "FFMPEG" else "IMAGE"
    settings.file_format = name
