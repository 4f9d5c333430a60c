# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces made of bones: what moving each control does to the skin is measured, and the ARKit actions are fitted to that.

Nothing has to be known about the rig: Rigify's controls, another builder's or plain bones in the skin. A control is a
bone on the face that an animator could move and that moves the face. Jaw, eyes and head turn as they do on other rigs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from ...shared import ARKIT55
from ..detection.bones import face_bones
from ..direct import EYE_TURNS, JAW_TURNS, aim_controls, head_turns
from ..face_parts import Face
from ..mapping import MESH_PROPERTY, Axis, Control, Mapping, MappingError, Property
from ..mapping_edits import Target
from ..rig import Rig
from ..stage import Pose, Stage
from .actions import Source, action_displacements, template
from .fit import LANDMARK_NOISE

Floats = npt.NDArray[np.float64]

#: How far a control is moved to see what it does, and goes in an ordinary expression; eye distances or radians.
_SIZES: Final[dict[Property, tuple[float, float]]] = {"LOCATION": (0.1, 0.15), "ROTATION": (0.3, 0.35)}
#: A control is one of the face's where a place of it goes this far with such a move, in eye distances.
_MOVES: Final = 0.025
#: Amounts below this part of an ordinary one are not seen.
_SMALLEST: Final = 0.027
_AXES: Final[tuple[Axis, ...]] = ("X", "Y", "Z")


def fitted_bones(rig: Rig, source: Source = "ict") -> Mapping:
    """arkit55 to a face that is made of bones, kept on its mesh where that is editable.

    A control is moved along its axes. One that does nothing then is turned about them, as lids turn about the eye.

    Raises:
        MappingError: the face cannot be looked at, or no face was found on its skin; the sentence says what to do.
    """
    assert rig.object is not None
    stage = Stage(bpy.context.scene, rig)
    if stage.problem:
        raise MappingError("{problem}", problem=stage.problem)
    unit = _eye_distance(rig)
    jaw = [((Target("ROLE", "jaw", turn),), 1.0) for turn in JAW_TURNS.values()]
    with stage.at_rest(posed=True):
        seen = {pose: stage.moved(pose) for pose in jaw}
        turns = any(len(moved.vertices) for moved in seen.values())  # else it is pulled about
        names = [*face_bones(rig.armature, dict(rig.bones)), *([] if turns else [rig.bones["jaw"]])]
        for name in names:
            for kind in _SIZES:
                steps = [_step(name, kind, axis, unit) for axis in _AXES]
                seen |= (moved := {pose: stage.moved(pose) for pose in steps})
                if any(len(of.vertices) for of in moved.values()):
                    break
    stage.view_layer.update()
    face = Face(stage, seen)
    for _ in face.reading():
        pass
    face.find()
    if face.aside:
        raise MappingError(
            "{name} has no shape keys, and on its skin no face was found that its bones could move. Choose another "
            "mesh, or give its channels bones in the Mapping panel.", name=rig.object.name,
        )  # fmt: skip
    found = {pose: face.effect(moved).skin for pose, moved in seen.items()}
    effects = {pose: skin for pose, skin in found.items() if skin is not None}  # all of them: there is a face
    used = [pose for pose in effects if pose not in jaw and np.linalg.norm(effects[pose], axis=1).max() > _MOVES]
    opening = dict(zip(JAW_TURNS, (effects[pose] for pose in jaw), strict=True)) if turns else {}
    mapping = _fitted(source, opening, effects, used, unit)
    mapping = replace(
        mapping,
        bones={**mapping.bones, **head_turns(rig), **_eyes(rig)},
        controls={**mapping.controls, **aim_controls(rig)},
    )
    if rig.object.data.is_editable:
        rig.object.data[MESH_PROPERTY] = mapping.to_json()
    return mapping


def _eye_distance(rig: Rig) -> float:
    bones: Any = rig.armature.data.bones
    return float((bones[rig.bones["left_eye"]].head_local - bones[rig.bones["right_eye"]].head_local).length)


def _step(name: str, kind: Property, axis: Axis, unit: float) -> Pose:
    """The pose that shows what a control does one way."""
    return (Target("BONE", name, Control(kind, axis, _SIZES[kind][0] * (unit if kind == "LOCATION" else 1.0))),), 1.0


def _fitted(
    source: Source, jaw: dict[str, Floats], effects: dict[Pose, Floats], used: list[Pose], unit: float
) -> Mapping:
    moves = [pose[0][0] for pose in used]
    sizes = [_SIZES[target.value.property] for target in moves if isinstance(target.value, Control)]
    ordinary = np.array([size[1] / size[0] for size in sizes])
    basis = np.stack([effects[pose].ravel() for pose in used], axis=1) * ordinary if used else np.zeros((1, 0))
    ridge = LANDMARK_NOISE**2 * template().positions.shape[0] / 68
    gram = basis.T @ basis + ridge * np.eye(len(used))
    controls: dict[str, dict[str, tuple[Control, ...]]] = {}
    for channel, wanted in action_displacements(source).items():
        left = wanted - jaw[channel] if channel in jaw else wanted
        amounts = np.linalg.solve(gram, basis.T @ left.ravel()) if used else np.zeros(0)
        most = float(np.abs(amounts).max(initial=0.0))
        for target, amount, size in zip(moves, amounts, sizes, strict=True):
            if abs(amount) > max(_SMALLEST, 0.05 * most) and isinstance(target.value, Control):
                row = controls.setdefault(target.name, {})
                length = size[1] * (unit if target.value.property == "LOCATION" else 1.0)
                row[channel] = (*row.get(channel, ()), replace(target.value, amount=round(float(amount) * length, 6)))
    return Mapping(ARKIT55.name, bones={"jaw": dict(JAW_TURNS)} if jaw else {}, controls=controls, origin="fit")


def _eyes(rig: Rig) -> dict[str, Any]:
    return {role: dict(turns) for role, turns in EYE_TURNS.items() if role in rig.bones and role not in rig.aims}
