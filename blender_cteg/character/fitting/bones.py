# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces made of bones: what moving each control does to the skin is measured, and the ARKit actions are fitted to that.

Nothing has to be known about the rig: Rigify's controls, another builder's or plain bones in the skin. A control is a
bone on the face that an animator could move and that moves the face. Jaw, eyes and head turn as they do on other rigs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from dataclasses import replace
from typing import Any, Final

import bpy
import numpy as np

from ...arrays import Floats
from ...shared import ARKIT55
from ..detection.bones import face_bones
from ..direct import EYE_TURNS, JAW_TURNS, aim_controls
from ..effects import STILL, Effect, other_side
from ..face_parts import LIDS, Face
from ..mapping import AXES, Axis, Control, Mapping, MappingError, Property, along
from ..mapping_edits import Target
from ..rig import Rig
from ..stage import Moved, Pose, Stage
from .actions import LANDMARKS, action_displacements
from .fit import LANDMARK_NOISE

#: How far a control is moved to see what it does, and goes in an ordinary expression; eye distances or radians.
_SIZES: Final[dict[Property, tuple[float, float]]] = {"LOCATION": (0.1, 0.15), "ROTATION": (0.3, 0.35)}
#: A control is one of the face's where a place of it goes this far with such a move, in eye distances.
_MOVES: Final = 0.025
#: Amounts below this part of an ordinary one are not seen.
_SMALLEST: Final = 0.027
#: A bone of the tongue, and how far a tongue comes out, in eye distances: about 22 mm forward and a little down.
_TONGUE: Final = re.compile(r"tong(?:ue)?(?![a-z])", re.IGNORECASE)
_TONGUE_OUT: Final = (0.0, -0.06, 0.35)
#: How far an animator's expressions may go beside those of the actions; and how many eye distances a face is wide.
_LIMITS: Final = (0.5, 2.0)
_WIDE: Final = 2.3


class NoFace(MappingError):
    """The skin is like no face."""


def eyes_and_aims(rig: Rig, mapping: Mapping) -> Mapping:
    """With eyes that turn, or the bones that they look at."""
    eyes = {role: dict(turns) for role, turns in EYE_TURNS.items() if role in rig.bones and role not in rig.aims}
    return replace(mapping, bones={**mapping.bones, **eyes}, controls={**mapping.controls, **aim_controls(rig)})


def fitted_controls(rig: Rig, posed: MappingABC[str, tuple[Target, ...]]) -> Mapping:
    """The actions as moves of the face's controls, and of its jaw.

    Args:
        rig: the face.
        posed: channel -> how an animator posed it: its bones are controls as well, blinks show where the eyes are, and
            all that is fitted goes as far as these do beside the actions.

    Raises:
        MappingError: the face cannot be looked at, or no face was found on its skin; the sentence says what to do.
    """
    stage = Stage(bpy.context.scene, rig)
    if stage.problem:
        raise MappingError("{problem}", problem=stage.problem)
    given: dict[str, Pose] = {channel: (targets, 1.0) for channel, targets in posed.items()}
    jaw = [((Target("ROLE", "jaw", turn),), 1.0) for turn in JAW_TURNS.values()] if "jaw" in rig.bones else []
    with stage.at_rest(posed=True):
        seen = {pose: stage.moved(pose) for pose in (*jaw, *given.values())}
        turns = any(len(seen[pose].vertices) for pose in jaw)  # else it is pulled about
        unit = eye_distance(rig) or _across(stage, seen)
        names = list(dict.fromkeys([
            *face_bones(rig.armature, dict(rig.bones)), *([rig.bones["jaw"]] if jaw and not turns else []),
            *(target.name for targets in posed.values() for target in targets if target.kind == "BONE"),
        ]))  # fmt: skip
        for name in names:
            for kind in _SIZES:
                steps = [_step(name, kind, axis, unit) for axis in AXES]
                seen |= (moved := {pose: stage.moved(pose) for pose in steps})
                if any(len(of.vertices) for of in moved.values()):
                    break
    stage.view_layer.update()
    face = Face(stage, seen, lids=[pose for channel, pose in given.items() if channel in LIDS])
    for _ in face.reading():
        pass
    face.find()
    if face.aside:
        raise NoFace(
            "On the skin of {name} no face was found that its bones could move. Choose another mesh, or give its "
            "channels bones in the Mapping panel.", name=rig.object.name,
        )  # fmt: skip
    found = {pose: face.effect(moved) for pose, moved in seen.items()}
    # As it is and as in a mirror, so that what is fitted is as even as the rig, however the template came to lie.
    effects = {
        pose: np.concatenate([effect.skin, effect.mirrored])
        for pose, effect in found.items()
        if effect.skin is not None and effect.mirrored is not None  # all of them: there is a face
    }
    actions = action_displacements()
    actions = {channel: np.concatenate([moves, actions[other_side(channel)]]) for channel, moves in actions.items()}
    steps = [pose for pose in effects if pose not in jaw and pose not in given.values()]
    used = [pose for pose in steps if np.linalg.norm(effects[pose], axis=1).max() > _MOVES]
    opening = dict(zip(JAW_TURNS, (effects[pose] for pose in jaw), strict=True)) if turns else {}
    far = _as_far(given, effects, actions)
    wanted = {channel: moves * far for channel, moves in actions.items()}
    fitted = _fitted(wanted, opening, effects, used, unit)
    return _with_tongue(fitted, {pose: found[pose] for pose in steps}, unit)


def _with_tongue(mapping: Mapping, effects: MappingABC[Pose, Effect], unit: float) -> Mapping:
    """With the tongue that comes out: the bone of one that moves the most of it goes forward, out of a mouth that other
    channels open.
    """
    reaches: dict[str, dict[Pose, Effect]] = {}
    for pose, effect in effects.items():
        target = pose[0][0]
        if _TONGUE.search(target.name) and isinstance(target.value, Control) and target.value.property == "LOCATION":
            reaches.setdefault(target.name, {})[pose] = effect
    moving = {name: of for name, of in reaches.items() if all(effect.reach >= STILL for effect in of.values())}
    if not moving:
        return mapping
    name = max(moving, key=lambda name: sum(float(np.linalg.norm(effect.way)) for effect in moving[name].values()))
    ways = np.stack([effect.way for effect in moving[name].values()], axis=1)
    amounts = np.linalg.lstsq(ways, np.array(_TONGUE_OUT), rcond=None)[0] * _SIZES["LOCATION"][0] * unit
    row = {**mapping.controls.get(name, {}), "tongueOut": along("LOCATION", amounts)}
    return replace(mapping, controls={**mapping.controls, name: row})


def _as_far(given: MappingABC[str, Pose], effects: MappingABC[Pose, Floats], actions: MappingABC[str, Floats]) -> float:
    """How far the posed expressions go beside the actions of their names."""
    shares = [
        float((effects[pose] * actions[c]).sum() / (actions[c] ** 2).sum()) for c, pose in given.items() if c in actions
    ]
    return float(np.clip(np.median(shares), *_LIMITS)) if shares else 1.0


def _across(stage: Stage, seen: MappingABC[Pose, Moved]) -> float:
    """About the distance between the eyes, from how wide what moves is."""
    moving = np.unique(np.concatenate([moved.vertices for moved in seen.values()]))
    return float(np.ptp(stage.rests[True][moving, 0])) / _WIDE if len(moving) else 1.0


def eye_distance(rig: Rig) -> float:
    """The distance between the eyes; 0 where no bones show it."""
    if not {"left_eye", "right_eye"} <= rig.bones.keys():
        return 0.0
    bones: Any = rig.armature.data.bones
    return float((bones[rig.bones["left_eye"]].head_local - bones[rig.bones["right_eye"]].head_local).length)


def _step(name: str, kind: Property, axis: Axis, unit: float) -> Pose:
    """The pose that shows what a control does one way."""
    return (Target("BONE", name, Control(kind, axis, _SIZES[kind][0] * (unit if kind == "LOCATION" else 1.0))),), 1.0


def _fitted(
    actions: dict[str, Floats], jaw: dict[str, Floats], effects: dict[Pose, Floats], used: list[Pose], unit: float
) -> Mapping:
    moves = [pose[0][0] for pose in used]
    sizes = [_SIZES[target.value.property] for target in moves if isinstance(target.value, Control)]
    ordinary = np.array([size[1] / size[0] for size in sizes])
    basis = np.stack([effects[pose].ravel() for pose in used], axis=1) * ordinary if used else np.zeros((1, 0))
    ridge = LANDMARK_NOISE**2 * basis.shape[0] / (3 * LANDMARKS)
    gram = basis.T @ basis + ridge * np.eye(len(used))
    controls: dict[str, dict[str, tuple[Control, ...]]] = {}
    for channel, wanted in actions.items():
        left = wanted - jaw[channel] if channel in jaw else wanted
        amounts = np.linalg.solve(gram, basis.T @ left.ravel()) if used else np.zeros(0)
        most = float(np.abs(amounts).max(initial=0.0))
        for target, amount, size in zip(moves, amounts, sizes, strict=True):
            if abs(amount) > max(_SMALLEST, 0.05 * most) and isinstance(target.value, Control):
                row = controls.setdefault(target.name, {})
                length = size[1] * (unit if target.value.property == "LOCATION" else 1.0)
                row[channel] = (*row.get(channel, ()), replace(target.value, amount=round(float(amount) * length, 6)))
    return Mapping(ARKIT55.name, bones={"jaw": dict(JAW_TURNS)} if jaw else {}, controls=controls, origin="fit")
