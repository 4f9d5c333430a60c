# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads that are judged, each alone in a Blender scene: the demo head, ICT FaceKit, and whoever follows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from benchmarks.any_face import paint
from benchmarks.faces import LEFT_EYE, RIGHT_EYE, Ict
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.geometry import coordinates, transformed
from blender_cteg.clip import Clip
from blender_cteg.heads.demo_head import PEOPLE, assemble
from blender_cteg.performance.lines import Lines
from blender_cteg.performance.record import Style
from generator.shared.spaces import ARKIT55
from tests.blender.ict import ict_arkit_face

Array = npt.NDArray[Any]
#: A key on every frame, straight from one to the next: what is seen on a frame is what the clip says.
_EXACT: Final = Style("LINEAR", 0.0)
_EYES: Final = ("Eye", "Iris", "Pupil")
_SKIN: Final = ("Skin", "Lips")


@dataclass(frozen=True)
class Subject:
    """A head at rest, and where it is. World space, metres, z up, facing -Y.

    Attributes:
        name: as tables call it.
        identity: changes when its file does.
        face: its mesh.
        rig: what the extension makes of it.
        rest: vertices, (V, 3).
        skin, skull: (V,) bool: the face's skin; what turns with the head and is moved by nothing else.
        eyeballs: of the left and the right eye, (2, V) bool.
    """

    name: str
    identity: str
    face: bpy.types.Object
    rig: Any
    rest: Array
    skin: Array
    skull: Array
    eyeballs: Array

    @property
    def eyes(self) -> Array:
        """Centres of left and right eye at rest, (2, 3)."""
        return np.stack([self.rest[ball].mean(0) for ball in self.eyeballs])

    @property
    def unit(self) -> float:
        """The eye distance, metres."""
        return float(np.linalg.norm(self.eyes[0] - self.eyes[1]))

    def place(self) -> tuple[Array, Array]:
        """How the skull has moved from rest: rotation R (3, 3) and shift t (3,), with x -> R x + t."""
        return rigid(self.rest[self.skull], vertices_of(self.face)[self.skull])

    def play(self, values: Array, frames: list[int]) -> Iterator[int]:
        """Write rows of arkit55 (T, 55), one a frame, as a take of the extension; stop at some rows, count from 0."""
        scene = bpy.context.scene
        # A line starts and ends with what is there without it, on its first and last frame.
        values = np.pad(values, ((1, 1), (0, 0)), mode="edge")
        scene.render.fps, scene.render.fps_base = round(ARKIT55.fps), 1.0
        lines = Lines(scene, self.rig)
        clip = Clip(values.astype(np.float32), ARKIT55.channels, ARKIT55.fps, ARKIT55.name)
        line = lines.add([clip], 1, _EXACT, text="take", blend=0)
        try:
            for frame in frames:
                scene.frame_set(2 + frame)
                yield frame
        finally:
            lines.remove(line.id)


def rigid(before: Array, now: Array) -> tuple[Array, Array]:
    """Rotation (3, 3) and shift (3,) that bring points (n, 3) nearest to where they are now (Kabsch)."""
    was, middle = before.mean(0), now.mean(0)
    left, _, right = np.linalg.svd((now - middle).T @ (before - was))
    turn = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    return turn, middle - turn @ was


def load(wanted: str) -> Subject:
    """The head ``NAME`` or ``NAME=FILE`` in an empty scene.

    Without a file it is the demo head, whose person ``NAME`` may be; with one it is another bake of it (it has
    ``shapedirs``) or ICT FaceKit.
    """
    name, _, file = wanted.partition("=")
    path = Path(file) if file else assemble.locate_head_asset()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with np.load(path, allow_pickle=False) as arrays:
        ours = "shapedirs" in arrays.files
    identity = hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()
    return _demo(name, path, identity) if ours else _ict(name, path, identity)


def _demo(name: str, path: Path, identity: str) -> Subject:
    before = assemble.locate_head_asset
    assemble.locate_head_asset = lambda: path
    try:
        face = assemble.add_demo_head(bpy.context, person=name if name in PEOPLE else assemble.DEFAULT)
    finally:
        assemble.locate_head_asset = before
    slots = [material.name.rpartition(" ")[2] for material in face.data.materials]
    skin, balls = _of_materials(face, slots, _SKIN), _of_materials(face, slots, _EYES)
    left = vertices_of(face)[:, 0] > 0
    return _subject(name, identity, face, skin, np.stack([balls & left, balls & ~left]))


def _ict(name: str, path: Path, identity: str) -> Subject:
    face = ict_arkit_face(path)
    face.data.shade_smooth()
    paint(face)
    balls = np.zeros((2, len(face.data.vertices)), np.bool_)
    balls[0, LEFT_EYE], balls[1, RIGHT_EYE] = True, True
    return _subject(name, identity, face, np.arange(balls.shape[1]) < Ict.skin, balls)


def _subject(name: str, identity: str, face: bpy.types.Object, skin: Array, eyeballs: Array) -> Subject:
    rest, rig = vertices_of(face), detect_rig(face)
    one = Subject(name, identity, face, rig, rest, skin, np.ones(len(rest), bool), eyeballs)
    # Above the eyes, where no channel reaches; not the face, whose brows move, nor the neck, which stays.
    reach = np.zeros(len(rest))
    poses = np.eye(ARKIT55.size)[:52]
    for _ in one.play(poses, list(range(len(poses)))):
        reach = np.maximum(reach, np.linalg.norm(vertices_of(face) - rest, axis=1))
    skull = (reach < 0.01 * one.unit) & (rest[:, 2] > one.eyes[:, 2].mean())
    return Subject(name, identity, face, rig, rest, skin, skull, eyeballs)


def vertices_of(face: bpy.types.Object) -> Array:
    """Where the vertices of a mesh are now, evaluated, world space, (V, 3)."""
    bpy.context.view_layer.update()
    mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return transformed(coordinates(mesh.vertices), face.matrix_world)


def _of_materials(face: bpy.types.Object, slots: list[str], wanted: tuple[str, ...]) -> Array:
    """Vertices of polygons with certain materials, (V,) bool."""
    chosen = np.zeros(len(face.data.vertices), np.bool_)
    for polygon in face.data.polygons:
        if slots[polygon.material_index] in wanted:
            chosen[list(polygon.vertices)] = True
    return chosen
