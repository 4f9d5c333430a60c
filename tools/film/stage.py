# SPDX-License-Identifier: GPL-3.0-or-later
"""A portrait studio around a face: camera, three lights, a backdrop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Matrix, Vector

from blender_cteg.character.geometry import coordinates, transformed

#: Millimetres: a classic portrait lens, long enough not to swell the nose.
FOCAL_LENGTH: Final = 100.0
#: Name, position in units of the distance from chin to crown, size (same units), watts, colour.
LIGHTS: Final = (
    ("Key", (-2.6, -3.0, 2.2), 1.6, 3.6, (1.0, 0.93, 0.86)),
    ("Fill", (3.6, -3.0, 0.2), 3.2, 0.9, (0.8, 0.88, 1.0)),
    ("Rim", (2.2, 2.6, 2.4), 1.2, 7.0, (0.9, 0.95, 1.0)),
)
#: Height of the picture in units of the distance from the middle of the face to the crown.
FRAME_HEIGHT: Final = 2.0
#: How much nearer the close-ups of the contact sheet are.
CLOSE_UP: Final = 1.15
#: Linear colours: what lights the scene from all sides, and what Workbench shows behind the head.
BACKDROP: Final = (0.045, 0.055, 0.07)
FLAT_BACKDROP: Final = (0.012, 0.015, 0.021)


def face_centre_and_crown(mesh: bpy.types.Object) -> tuple[Vector, float]:
    """Where the face acts and how high the head is above that.

    Returns:
        The mean position of the vertices, weighted by how far the shape keys move them (world space), and the
        height of the highest vertex above it (metres). Of a face made of bones, which has none, all count alike.

    Raises:
        ValueError: its shape keys move nothing.
    """
    data = mesh.data
    assert isinstance(data, bpy.types.Mesh)
    if data.shape_keys is None:
        rest = coordinates(data.vertices)
        weight = np.ones(len(rest))
    else:
        rest = coordinates(data.shape_keys.reference_key.data)
        weight = np.zeros(len(rest))
        for key in data.shape_keys.key_blocks:
            weight += np.linalg.norm(coordinates(key.data) - rest, axis=1)
    if not weight.any():
        raise ValueError(f"The shape keys of {mesh.name!r} move nothing, so there is no face to frame.")
    world = transformed(rest, mesh.matrix_world)
    centre = (world * weight[:, None]).sum(0) / weight.sum()
    return Vector(centre), float(world[:, 2].max() - centre[2])


def above_the_nose(mesh: bpy.types.Object) -> npt.NDArray[np.bool_]:
    """Which vertices are in the upper half of the face, where eyes and brows are; shape (V,)."""
    centre, crown = face_centre_and_crown(mesh)
    rest = coordinates(mesh.data.shape_keys.reference_key.data)
    height = transformed(rest, mesh.matrix_world)[:, 2] - centre.z
    chosen: npt.NDArray[np.bool_] = (height > 0.0) & (height < 0.5 * crown)
    return chosen


def build_stage(scene: bpy.types.Scene, mesh: bpy.types.Object) -> None:
    """Add camera, lights, world and backdrop for ``mesh``, which faces -Y, and make the camera the scene's."""
    centre, crown = face_centre_and_crown(mesh)
    collection = bpy.data.collections.new("Studio")
    scene.collection.children.link(collection)

    def add(name: str, data: bpy.types.ID | None) -> bpy.types.Object:
        thing = bpy.data.objects.new(name, data)
        collection.objects.link(thing)
        return thing

    aim = centre + Vector((0.0, 0.0, 0.13 * crown))
    lens = bpy.data.cameras.new("Portrait")
    lens.lens = FOCAL_LENGTH
    lens.clip_start = 0.01
    height = FRAME_HEIGHT * crown
    camera = add("Portrait", lens)
    camera.location = aim + Vector((0.16, -1.0, 0.05)).normalized() * (height * FOCAL_LENGTH / lens.sensor_width)
    point_at(camera, aim)
    scene.camera = camera

    for name, place, size, power, colour in LIGHTS:
        lamp = bpy.data.lights.new(name, "AREA")
        lamp.energy = power * (crown / 0.13) ** 2
        lamp.color = colour
        lamp.size = size * crown
        light = add(name, lamp)
        light.location = centre + Vector(place) * crown
        point_at(light, centre)

    world = bpy.data.worlds.new("Studio")
    world.color = FLAT_BACKDROP
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (*BACKDROP, 1.0)
    scene.world = world


@contextlib.contextmanager
def close_up(scene: bpy.types.Scene) -> Iterator[None]:
    """Bring the face nearer for a while: a longer lens, from the same place."""
    lens = scene.camera.data
    before = lens.lens
    lens.lens = before * CLOSE_UP
    try:
        yield
    finally:
        lens.lens = before


def point_at(thing: bpy.types.Object, target: Vector) -> None:
    """Point a camera's or lamp's -Z axis at ``target``, upright."""
    direction = target - thing.location
    thing.matrix_world = Matrix.Translation(thing.location) @ direction.to_track_quat("-Z", "Y").to_matrix().to_4x4()
