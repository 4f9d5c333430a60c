# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of a mapping: each takes one and returns another (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from ..shared import ARKIT55, HEAD_CHANNELS
from .direct import EYE_TURNS, JAW_TURNS, X, Y, Z
from .mapping import Adjustment, Control, Mapping
from .match import Candidate, Kind
from .rig import ROLES, Rig, bone_label

Vector = tuple[float, float, float]
#: The origin of a mapping that an animator changed.
EDITED: Final = "edited"
#: How a bone that was just chosen moves: visible, and a start for finding the right axis and amount.
FIRST_MOVE: Final = Control("ROTATION", "X", 0.35)
#: What an animator is asked for, the most telling first.
HANDFUL: Final = (
    "jawOpen", "mouthSmileLeft", "mouthFrownLeft", "mouthPucker", "mouthUpperUpLeft", "mouthLowerDownLeft",
    "eyeBlinkLeft", "eyeWideLeft", "browInnerUp", "browDownLeft", "browOuterUpLeft", "noseSneerLeft",
)  # fmt: skip
_HEAD_TURNS: Final = dict(zip(HEAD_CHANNELS, (X, Y, Z), strict=True))


@dataclass(frozen=True)
class Target:
    """One thing that a channel moves.

    Attributes:
        kind: a shape KEY, a bone by its ROLE in FLAME's axes, or a BONE by its name in its own axes.
        name: of the key, the role or the bone.
        value: gain of a key, rotation vector of a role (radians per unit), `Control` of a bone.
        place: which of a bone's controls for this channel it is.
    """

    kind: Kind
    name: str
    value: float | Vector | Control
    place: int = 0

    @property
    def label(self) -> str:
        """What an animator calls it."""
        return bone_label(self.name) if self.kind == "ROLE" else self.name


def targets_of(mapping: Mapping, channel: str) -> tuple[Target, ...]:
    """Everything that ``channel`` moves: keys with the strongest first, then bones."""
    keys = [Target("KEY", key, gains[channel]) for key, gains in mapping.shape_keys.items() if channel in gains]
    keys.sort(key=lambda target: -abs(target.value) if isinstance(target.value, float) else 0.0)
    roles = [Target("ROLE", role, turns[channel]) for role, turns in mapping.bones.items() if channel in turns]
    bones = [
        Target("BONE", bone, control, place)
        for bone, row in mapping.controls.items()
        for place, control in enumerate(row.get(channel, ()))
    ]
    return (*keys, *roles, *bones)


def adjusted(mapping: Mapping, channel: str, **changes: Any) -> Mapping:
    """With another gain, offset or mute of a channel. What is as it is by itself is not stored."""
    adjustment = replace(mapping.channels.get(channel, Adjustment()), **changes)
    channels = {name: value for name, value in mapping.channels.items() if name != channel}
    if adjustment != Adjustment():
        channels[channel] = adjustment
    return replace(mapping, channels=channels, origin=EDITED)


def taught(mapping: Mapping | None) -> tuple[str, ...]:
    """The expressions that an animator posed, or trusts otherwise."""
    if mapping is None:
        return ()
    return tuple(c for c in ARKIT55.channels if c in mapping.channels and mapping.channels[c].trust)


def with_target(mapping: Mapping, channel: str, target: Target) -> Mapping:
    """With one more target, or with another value of one that is there. A bone may have several controls."""
    if target.kind == "KEY":
        shape_keys = _with(mapping.shape_keys, target.name, channel, target.value)
        return replace(mapping, shape_keys=shape_keys, origin=EDITED)
    if target.kind == "ROLE":
        return replace(mapping, bones=_with(mapping.bones, target.name, channel, target.value), origin=EDITED)
    controls = list(mapping.controls.get(target.name, {}).get(channel, ()))
    assert isinstance(target.value, Control)
    controls[target.place : target.place + 1] = [target.value]
    return replace(mapping, controls=_with(mapping.controls, target.name, channel, tuple(controls)), origin=EDITED)


def without_target(mapping: Mapping, channel: str, target: Target) -> Mapping:
    """Without one of a channel's targets; a key or bone that nothing moves any more is left out."""
    if target.kind == "KEY":
        return replace(mapping, shape_keys=_without(mapping.shape_keys, target.name, channel), origin=EDITED)
    if target.kind == "ROLE":
        return replace(mapping, bones=_without(mapping.bones, target.name, channel), origin=EDITED)
    controls = list(mapping.controls.get(target.name, {}).get(channel, ()))
    del controls[target.place : target.place + 1]
    if controls:
        changed = _with(mapping.controls, target.name, channel, tuple(controls))
    else:
        changed = _without(mapping.controls, target.name, channel)
    return replace(mapping, controls=changed, origin=EDITED)


def turned_round(target: Target) -> Target:
    """The same target, the other way."""
    value = target.value
    if isinstance(value, tuple):
        return replace(target, value=(-value[0], -value[1], -value[2]))
    return replace(target, value=replace(value, amount=-value.amount) if isinstance(value, Control) else -value)


def without(mapping: Mapping, channel: str) -> Mapping:
    """With no target for a channel."""
    for target in reversed(targets_of(mapping, channel)):  # from the last, so that places of the others stay
        mapping = without_target(mapping, channel, target)
    return mapping


def moved(mapping: Mapping, channel: str, target: Target, name: str) -> Mapping:
    """With a target of another name in its place, of the same value."""
    if name == target.name:
        return mapping
    place = len(mapping.controls.get(name, {}).get(channel, ())) if target.kind == "BONE" else 0
    return with_target(without_target(mapping, channel, target), channel, replace(target, name=name, place=place))


def accepted(mapping: Mapping, channel: str, found: Iterable[Candidate]) -> Mapping:
    """With these candidates as targets of a channel."""
    for candidate in found:
        place = len(mapping.controls.get(candidate.name, {}).get(channel, ()))
        value: float | Vector | Control = FIRST_MOVE
        if candidate.kind == "KEY":
            # A key of both sides shows their mean.
            value = 0.5 if candidate.shared else 1.0
        elif candidate.kind == "ROLE":
            value = first_turn(candidate.name, channel)
        mapping = with_target(mapping, channel, Target(candidate.kind, candidate.name, value, place))
    return mapping


def first_turn(role: str, channel: str) -> Vector:
    """How a bone of this role turns with a channel when nobody has said otherwise, radians per unit, FLAME axes."""
    turns = {**EYE_TURNS, "jaw": JAW_TURNS}.get(role, _HEAD_TURNS)
    return turns.get(channel, (FIRST_MOVE.amount, 0.0, 0.0))


def only(mapping: Mapping, rig: Rig) -> tuple[Mapping, tuple[str, ...]]:
    """The part of a mapping that a character has, and the names of the targets it lacks.

    A head that turns becomes a neck that turns where there is only a neck bone. A preset knows keys alone: eye and jaw
    bones that its rig has besides take what no key of it does.
    """
    keys, bones, turning = frozenset(rig.keys), frozenset(rig.bone_names), dict(mapping.bones)
    if "head" in turning and "neck" not in turning and "head" not in rig.bones:
        turning = {("neck" if role == "head" else role): row for role, row in turning.items()}
    if mapping.origin.startswith("preset:") and not mapping.relative:
        moved_by_keys = {c for key, row in mapping.shape_keys.items() if key in keys for c in row}
        turning = {
            role: turns
            for role, turns in {**EYE_TURNS, "jaw": JAW_TURNS}.items()
            if role in rig.bones and moved_by_keys.isdisjoint(turns)
        } | turning
    lacking = [key for key in mapping.shape_keys if key not in keys]
    lacking += [bone_label(role) for role in ROLES if role in turning and role not in rig.bones]
    lacking += [bone for bone in mapping.controls if bone not in bones]
    fitting = replace(
        mapping,
        shape_keys={key: row for key, row in mapping.shape_keys.items() if key in keys},
        bones={role: row for role, row in turning.items() if role in rig.bones},
        controls={bone: row for bone, row in mapping.controls.items() if bone in bones},
    )
    return fitting, tuple(lacking)


def _with(table: Any, name: str, channel: str, value: Any) -> dict[str, dict[str, Any]]:
    changed = {other: dict(row) for other, row in table.items()}
    changed.setdefault(name, {})[channel] = value
    return changed


def _without(table: Any, name: str, channel: str) -> dict[str, dict[str, Any]]:
    changed = {other: {c: v for c, v in row.items() if (other, c) != (name, channel)} for other, row in table.items()}
    return {other: row for other, row in changed.items() if row}
