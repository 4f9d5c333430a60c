# SPDX-License-Identifier: GPL-3.0-or-later
"""Make It Learn: an animator poses a handful of named expressions on a face made of bones, and the rest is fitted.

What was posed is kept as it is, in the mapping, and trusted; its other side is its mirror image. What is left is fitted
to what the controls were measured to do, as far as the posed expressions go: who smiles broadly frowns broadly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ...arrays import Floats
from ..direct import head_turns
from ..effects import other_side
from ..mapping import AXES, MESH_PROPERTY, NEUTRAL, Axis, Control, Mapping, MappingError, Property, along
from ..mapping_edits import EDITED, HANDFUL, Target, adjusted, targets_of, taught, with_target, without
from ..rig import Rig, shorten
from .bones import eyes_and_aims, fitted_controls

_FEWEST: Final = 3
#: Moves below this are a bone at rest: metres of a face of ordinary size, radians.
_STILL: Final = 1e-5


def kept_pose(rig: Rig, mapping: Mapping, channel: str) -> Mapping:
    """A mapping on which an expression is what the face shows now.

    Args:
        rig: a face that an armature moves.
        mapping: of arkit55, the face's own.
        channel: the expression; NEUTRAL for how the face is without one, from which all others go.

    Raises:
        MappingError: nothing is posed, or what is posed cannot be kept; the sentence says what to do.
    """
    posed, neutral = tuple(_posed(rig)), targets_of(mapping, NEUTRAL)
    if channel == NEUTRAL:  # what was posed stays as it was posed
        kept = {c: _differing((*targets_of(mapping, c), *neutral), posed) for c in taught(mapping)}
        for expression, targets in kept.items():
            mapping = with_pose(mapping, expression, targets)
        return with_pose(mapping, NEUTRAL, posed, trust=False)
    targets = _differing(posed, neutral)
    if not targets:
        raise MappingError(
            "{name} is at rest. Pose its face as {channel} at full strength, and keep the pose again."
            if not neutral
            else "{name} is as its neutral is. Pose its face as {channel} at full strength, and keep the pose again.",
            name=rig.armature.name if rig.armature is not None else "", channel=channel,
        )  # fmt: skip
    return with_pose(mapping, channel, targets)


def _differing(targets: Iterable[Target], neutral: Iterable[Target]) -> tuple[Target, ...]:
    """What a pose is beside a neutral: the moves of each bone and key added up, less those of the neutral."""
    left: dict[tuple[str, str, Property | None, Axis | None], float] = {}
    for sign, moves in ((1.0, targets), (-1.0, neutral)):
        for target in moves:
            control = target.value if isinstance(target.value, Control) else None
            what = (target.kind, target.name, control and control.property, control and control.axis)
            amount = control.amount if control is not None else target.value
            assert isinstance(amount, float)
            left[what] = left.get(what, 0.0) + sign * amount
    return tuple(
        Target("KEY", name, amount) if kind == "KEY" else Target("BONE", name, Control(by, axis, round(amount, 6)))
        for (kind, name, by, axis), amount in left.items()
        if abs(amount) > _STILL
    )


def learned(rig: Rig, mapping: Mapping | None) -> Mapping:
    """The mapping of a face of which some expressions were posed: those, their mirror images, and the rest fitted.

    Raises:
        MappingError: too few were posed, or no face was found on the skin; the sentence says what to do.
    """
    known = taught(mapping)
    if mapping is None or len(known) < _FEWEST:
        left = [channel for channel in HANDFUL if channel not in known]
        raise MappingError(
            "Pose at least {count} expressions first, such as {names}, and keep each.",
            count=_FEWEST, names=shorten(left, 3),
        )  # fmt: skip
    posed = {channel: targets_of(mapping, channel) for channel in known}
    for channel in known:
        twin = other_side(channel)
        if twin not in posed:
            posed[twin] = tuple(_mirrored(rig, posed[channel]))
    fitted = fitted_controls(rig, posed)
    made = replace(fitted, bones={**fitted.bones, **head_turns(rig)}, origin=EDITED)
    made = eyes_and_aims(rig, made)
    made = with_pose(made, NEUTRAL, targets_of(mapping, NEUTRAL), trust=False)
    for channel, targets in posed.items():
        made = with_pose(made, channel, targets, trust=channel in known)
    return made


def with_pose(mapping: Mapping, channel: str, targets: Iterable[Target], *, trust: bool = True) -> Mapping:
    """A mapping on which a channel moves these, which an animator posed (``trust``) or which follow from that."""
    mapping = without(mapping, channel)
    for target in targets:
        place = len(mapping.controls.get(target.name, {}).get(channel, ())) if target.kind == "BONE" else 0
        mapping = with_target(mapping, channel, replace(target, place=place))
    return adjusted(mapping, channel, trust=trust)


def _posed(rig: Rig) -> Iterable[Target]:
    """What of the face is not at rest now."""
    for key, _ in rig.keyed_meshes:
        for block in key.key_blocks:
            if block != key.reference_key and abs(block.value) > _STILL and not block.mute:
                yield Target("KEY", block.name, round(block.value, 4))
    if rig.armature is None:
        return
    turning = {rig.bones[role] for role in ("head", "neck") if role in rig.bones}
    for bone in rig.armature.pose.bones:
        if bone.name in turning:
            continue
        place, turn, scale = bone.matrix_basis.decompose()
        if any(abs(part - 1.0) > 1e-3 for part in scale):
            raise MappingError(
                "The bone {bone} is scaled, and expressions move and turn bones alone. Clear its scale (Alt S), and "
                "keep the pose again.", bone=bone.name,
            )  # fmt: skip
        axis, angle = turn.to_axis_angle()
        moves: tuple[tuple[Property, Vector], ...] = (("LOCATION", place), ("ROTATION", axis * angle))
        for kind, vector in moves:
            yield from (Target("BONE", bone.name, control) for control in along(kind, vector, _STILL))


def _mirrored(rig: Rig, targets: Iterable[Target]) -> Iterable[Target]:
    """The same on the other side of the face."""
    bones: Any = rig.armature.data.bones if rig.armature is not None else {}
    across = np.array(rig.axes)[:, 0]
    flip = np.eye(3) - 2.0 * np.outer(across, across)
    moved: dict[tuple[str, Property], Floats] = {}
    for target in targets:
        if isinstance(target.value, Control):
            vector = moved.setdefault((target.name, target.value.property), np.zeros(3))
            vector[AXES.index(target.value.axis)] += target.value.amount
        elif target.kind == "KEY":
            twin = bpy.utils.flip_name(target.name)
            yield replace(target, name=twin if twin in rig.keys else target.name)
    for (name, kind), vector in moved.items():
        twin = _twin(bones, name, flip)
        here, there = (np.array(Matrix(bones[of].matrix_local).to_3x3()) for of in (name, twin))
        # A turn goes the other way in a mirror.
        sign = 1.0 if kind == "LOCATION" else -1.0
        mirrored = along(kind, there.T @ (sign * (flip @ (here @ vector))), _STILL)
        yield from (Target("BONE", twin, control) for control in mirrored)


def _twin(bones: Any, name: str, flip: Floats) -> str:
    """The bone on the other side: by its name, else by its place; itself in the middle."""
    other = bpy.utils.flip_name(name)
    if other != name and other in bones:
        return str(other)
    place = flip @ np.array(bones[name].head_local)
    near = min(bones, key=lambda bone: float(np.linalg.norm(np.array(bone.head_local) - place)))
    apart = float(np.linalg.norm(np.array(near.head_local) - place))
    return str(near.name) if apart < bones[name].length else name


def keep(rig: Rig, mapping: Mapping) -> None:
    """Write a mapping on a mesh that has none yet, so that a face that nobody knew can be looked at."""
    rig.object.data[MESH_PROPERTY] = mapping.to_json()
