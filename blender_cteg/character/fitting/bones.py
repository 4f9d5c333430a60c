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
from ..mapping import MESH_PROPERTY, Control, Mapping, MappingError
from ..mapping_edits import Target
from ..rig import Rig
from ..stage import Stage
from .actions import Source, action_displacements, template
from .fit import LANDMARK_NOISE

Floats = npt.NDArray[np.float64]

#: How far a control is moved to see what it does, in eye distances; and how far it goes in an ordinary expression.
_STEP: Final = 0.1
_ORDINARY: Final = 0.15
#: A control that moves no place of the face further than this share of its own way is none of the face's.
_MOVES: Final = 0.25
#: Moves shorter than this are not seen, in eye distances.
_SMALLEST: Final = 0.004
_AXES: Final = ("X", "Y", "Z")


def fitted_bones(rig: Rig, source: Source = "ict") -> Mapping:
    """arkit55 to a face that is made of bones, kept on its mesh where that is editable.

    Raises:
        MappingError: the face cannot be looked at, or no face was found on its skin; the sentence says what to do.
    """
    assert rig.object is not None
    stage = Stage(bpy.context.scene, rig)
    if stage.problem:
        raise MappingError("{problem}", problem=stage.problem)
    names = face_bones(rig.armature, dict(rig.bones))
    jaw = [((Target("ROLE", "jaw", turn),), 1.0) for turn in JAW_TURNS.values()]
    unit = _eye_distance(rig)
    steps = [
        ((Target("BONE", name, Control("LOCATION", axis, _STEP * unit)),), 1.0) for name in names for axis in _AXES
    ]
    with stage.at_rest(posed=True):
        seen = {pose: stage.moved(pose) for pose in [*jaw, *steps]}
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
    used = [pose for pose in steps if _reaches(effects[pose])]
    mapping = _fitted(source, dict(zip(JAW_TURNS, (effects[pose] for pose in jaw), strict=True)), effects, used, unit)
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


def _reaches(skin: Floats) -> bool:
    return float(np.linalg.norm(skin, axis=1).max()) > _MOVES * _STEP


def _fitted(
    source: Source, jaw: dict[str, Floats], effects: dict[Any, Floats], used: list[Any], unit: float
) -> Mapping:
    basis = np.stack([effects[pose].ravel() for pose in used], axis=1) / _STEP if used else np.zeros((1, 0))
    ridge = (LANDMARK_NOISE / _ORDINARY) ** 2 * template().positions.shape[0] / 68
    gram = basis.T @ basis + ridge * np.eye(len(used))
    controls: dict[str, dict[str, tuple[Control, ...]]] = {}
    for channel, wanted in action_displacements(source).items():
        left = wanted - jaw[channel] if channel in jaw else wanted
        amounts = np.linalg.solve(gram, basis.T @ left.ravel())
        most = float(np.abs(amounts).max(initial=0.0))
        for pose, amount in zip(used, amounts, strict=True):
            target = pose[0][0]
            if abs(amount) > max(_SMALLEST, 0.05 * most):
                row = controls.setdefault(target.name, {})
                move = replace(target.value, amount=round(float(amount) * unit, 6))
                row[channel] = (*row.get(channel, ()), move)
    return Mapping(ARKIT55.name, bones={"jaw": dict(JAW_TURNS)}, controls=controls, origin="fit")


def _eyes(rig: Rig) -> dict[str, Any]:
    return {role: dict(turns) for role, turns in EYE_TURNS.items() if role in rig.bones and role not in rig.aims}
