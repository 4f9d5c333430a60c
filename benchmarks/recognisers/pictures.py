# SPDX-License-Identifier: GPL-3.0-or-later
"""Close-ups of a subject as it is now, as `protocol` says."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from PIL import Image

from tools.film import render
from tools.film.progress import quiet

from .protocol import AMBIENT, BACKDROP, BELOW, CROPS, DISTANCE, FRAME, LIGHTS, PIXELS
from .subjects import Subject


class Studio:
    """A camera and lights around one subject. Cycles shows what Workbench does not, normal maps."""

    def __init__(
        self, subject: Subject, engine: render.Engine = "BLENDER_WORKBENCH", pixels: int = PIXELS, frame: float = FRAME
    ) -> None:
        self.subject, self.engine, self.scene = subject, engine, bpy.context.scene
        lens = bpy.data.cameras.new("Judge")
        lens.angle = 2.0 * math.atan(0.5 * frame / DISTANCE)
        lens.clip_start = 0.01
        self.camera = bpy.data.objects.new("Judge", lens)
        self.scene.collection.objects.link(self.camera)
        self.scene.camera = self.camera
        self.lamps = [] if engine == "BLENDER_WORKBENCH" else self._suns()
        self._settings(pixels)
        self._file = Path(tempfile.mkdtemp()) / "picture.png"

    def picture(self, yaw: float, pitch: float, light: str) -> Image.Image:
        """The head from a side (degrees, see `protocol`), `PIXELS` square, RGB."""
        turn, shift = self.subject.place()
        eyes = self.subject.eyes.mean(0)
        aim = Vector(turn @ (eyes - (0.0, 0.0, BELOW * self.subject.unit)) + shift)
        a, b = math.radians(yaw), math.radians(pitch)
        side = Vector((math.sin(a) * math.cos(b), -math.cos(a) * math.cos(b), math.sin(b)))
        place = Matrix.Translation(aim + side * DISTANCE * self.subject.unit)
        self.camera.matrix_world = place @ (-side).to_track_quat("-Z", "Y").to_matrix().to_4x4()
        self._light(light)
        self.scene.render.filepath = str(self._file)
        with quiet():
            bpy.ops.render.render(write_still=True)
        with Image.open(self._file) as opened:
            shown = opened.convert("RGBA")
        backdrop = Image.new("RGBA", shown.size, (*BACKDROP, 255))
        return Image.alpha_composite(backdrop, shown).convert("RGB")

    def _settings(self, pixels: int) -> None:
        scene = self.scene
        if self.engine == "CYCLES":
            render.use_engine(scene, "CYCLES", pixels)
        render.use_engine(scene, "BLENDER_WORKBENCH", pixels)
        scene.render.engine = self.engine
        # Quick; recognisers see a quarter of the pixels.
        scene.display.render_aa = "FXAA" if pixels == PIXELS else "8"
        scene.view_settings.exposure = 0.0
        scene.render.film_transparent = True
        scene.render.image_settings.file_format = "PNG"
        scene.render.image_settings.color_mode = "RGBA"
        shading = scene.display.shading
        # Clay has a colour a part, the demo head a texture: both are what Workbench shows of a material.
        shading.color_type = "TEXTURE" if any(i.packed_file for i in bpy.data.images) else "MATERIAL"
        shading.cavity_type = "BOTH"
        shading.cavity_ridge_factor, shading.cavity_valley_factor = 0.4, 0.9
        shading.curvature_ridge_factor, shading.curvature_valley_factor = 0.4, 0.6
        scene.display.matcap_ssao_distance = 0.25 * self.subject.unit

    def _light(self, name: str) -> None:
        if self.lamps:
            view = self.camera.matrix_world.to_3x3()
            for lamp, (direction, colour, _) in zip(self.lamps, LIGHTS[name], strict=True):
                lamp.matrix_world = (view @ Vector(direction)).to_track_quat("Z", "Y").to_matrix().to_4x4()
                lamp.data.energy, lamp.data.color = 1.6 * max(colour), [c / max(colour) for c in colour]
            return
        # The process's own preferences, which are never saved.
        system: Any = bpy.context.preferences.system
        system.use_studio_light_edit = True  # without it, Workbench shows Blender's own light
        system.light_ambient = AMBIENT
        for lamp, (direction, colour, smooth) in zip(system.solid_lights, LIGHTS[name], strict=False):
            lamp.use, lamp.direction, lamp.smooth = True, direction, smooth
            lamp.diffuse_color, lamp.specular_color = colour, [0.1 * c for c in colour]
        for lamp in list(system.solid_lights)[len(LIGHTS[name]) :]:
            lamp.use = False

    def _suns(self) -> list[bpy.types.Object]:
        world = bpy.data.worlds.new("Judge")
        world.use_nodes = True
        world.node_tree.nodes["Background"].inputs["Color"].default_value = (*AMBIENT, 1.0)
        self.scene.world = world
        lamps = []
        for number in range(3):
            sun = bpy.data.objects.new(f"Judge {number}", bpy.data.lights.new(f"Judge {number}", "SUN"))
            sun.data.angle = 0.2
            self.scene.collection.objects.link(sun)
            lamps.append(sun)
        return lamps


def crops_of(picture: Image.Image) -> list[Image.Image]:
    """The squares around the face that a recogniser is asked about, the middle one second."""
    margins = [round(0.5 * picture.width * (1.0 - size / FRAME)) for size in CROPS]
    return [picture.crop((m, m, picture.width - m, picture.height - m)) for m in margins]


def is_blank(picture: Image.Image) -> bool:
    """Whether nothing, or nothing but black, was rendered where the face should be."""
    grey = np.asarray(crops_of(picture)[1].convert("L"), np.float32)
    return bool(grey.std() < 4.0 or grey.mean() < 25.0)
