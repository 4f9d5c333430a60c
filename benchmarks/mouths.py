# SPDX-License-Identifier: GPL-3.0-or-later
"""Three faces in Blender whose lips are measured on the evaluated mesh: ICT FaceKit, the demo head, a fitted head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from benchmarks.any_face import TO_BLENDER, flame_head
from benchmarks.faces import Ict, read_head
from benchmarks.fit import head_geometry
from benchmarks.lip_points import measures
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.fitting.fit import face_points
from blender_cteg.character.fitting.surface import Points, at_vertices
from blender_cteg.character.geometry import coordinates
from blender_cteg.clip import Clip
from blender_cteg.heads.demo_head.assemble import add_demo_head
from blender_cteg.performance.lines import Lines, Style
from generator.evaluation.lips import Lips
from tests.blender.ict import ict_arkit_face

#: The first scene frame of a take.
START: Final = 1
_LEFT_EYE, _RIGHT_EYE, _LANDMARKS = slice(42, 48), slice(36, 42), 68


@dataclass(frozen=True)
class Mouth:
    """A face in a scene of its own.

    Attributes:
        rig: the character.
        points: where the 68 landmarks are on its mesh.
        rest: `measures` of the face at rest.
    """

    rig: Any
    points: Points
    rest: npt.NDArray[np.float64]

    def play(self, clip: Clip, fps: tuple[int, float], span: tuple[float, float], style: Style) -> Lips:
        """Write the take as an animator would, play it, and measure the lips of the evaluated mesh frame by frame.

        Args:
            clip: its head should be still.
            fps: ``render.fps`` and ``render.fps_base`` of the scene.
            span: seconds of the first and last frame that matter; before and after, lips are given as at rest.
            style: how it is keyed.
        """
        scene = bpy.context.scene
        scene.render.fps, scene.render.fps_base = fps
        lines = Lines(scene, self.rig)
        line = lines.add([clip], START, style, text=clip.text)
        values = np.zeros((round(line.end) + 1 - START, len(self.rest)))
        first, last = (time * fps[0] / fps[1] for time in span)
        for frame in range(max(int(first), 0), min(int(last) + 2, len(values))):
            scene.frame_set(START + frame)
            values[frame] = _measured(self.rig.object, self.points) - self.rest
        lines.remove(line.id)
        return Lips.of(values)


def faces(ict: Path | None) -> dict[str, Callable[[], Mouth]]:
    """Name -> what makes the face in an empty scene; without its file ICT FaceKit is left out."""
    made: dict[str, Callable[[], Mouth]] = {}
    if ict is not None:
        made["ICT FaceKit"] = lambda: _mouth(lambda: ict_arkit_face(ict), at_vertices(Ict.read(ict).landmarks))
    made["demo head"] = lambda: _mouth(lambda: add_demo_head(bpy.context), face_points(head_geometry(read_head())))
    made["FLAME layout, fitted"] = lambda: _mouth(flame_head, face_points(head_geometry(read_head())))
    return made


def _mouth(make: Callable[[], bpy.types.Object], points: Points) -> Mouth:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    face = make()
    landmarks = Points(points.vertices[:_LANDMARKS], points.weights[:_LANDMARKS])
    bpy.context.view_layer.update()
    return Mouth(detect_rig(face), landmarks, _measured(face, landmarks))


def _measured(face: bpy.types.Object, points: Points) -> npt.NDArray[np.float64]:
    """`measures` of the face as it is now, in its own eye distances, (7,)."""
    mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    marks = points.of(coordinates(mesh.vertices)) @ TO_BLENDER
    eyes = marks[_LEFT_EYE].mean(0) - marks[_RIGHT_EYE].mean(0)
    return measures(marks / np.linalg.norm(eyes))


def still_head(values: npt.NDArray[Any], channels: Sequence[str]) -> npt.NDArray[np.float32]:
    """``values`` (T, C) with a head that does not turn, so that up is up on every frame."""
    still = np.array(values, np.float32)
    still[:, [k for k, name in enumerate(channels) if name.startswith("head")]] = 0.0
    return still
