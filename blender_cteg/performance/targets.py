# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets: the properties of a character that a face moves, over time, and who else animates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import bpy
import numpy as np

from ..arrays import Floats
from ..character.controls import bone_channels
from ..character.detection.bones import all_strips, decides, switches
from ..character.mapping import NEUTRAL, Performance
from ..character.mapping import Mapping as FaceMapping
from ..character.rig import Rig
from ..clip import Clip
from .layers import region_of
from .owners import Owner, curves_in
from .store import LINES_PROPERTY, REST_PROPERTY, TARGETS

_ROLE_REGIONS: Final = {"head": "head", "neck": "head", "jaw": "jaw", "left_eye": "eyes", "right_eye": "eyes"}


#: Name of an owner, data path and place in an array: a property, whatever its owner is called now.
Address = tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class Target:
    """One property over time.

    Attributes:
        owner, path, index: which property: data path from the owner, and place in an array.
        values: one per frame, (T,).
        region: of the face, see `record.REGIONS`.
        group: the group its curve is listed in.
        whole: targets of the same ``whole`` belong together: the parts of a rotation, the keys of a FLAME basis.
        span: the range that a reduction is a percentage of.
        channels: what drives it.
        neutral: what its values are where nothing is expressed: beside a rotation's rest, or 0.
    """

    owner: Owner
    path: str
    index: int
    values: Floats
    region: str
    group: str
    whole: tuple[str, str]
    span: float
    channels: frozenset[str]
    neutral: float = 0.0

    @cached_property
    def address(self) -> Address:
        """What stored data knows it by."""
        return self.owner.name, self.path, self.index

    @property
    def label(self) -> str:
        """The shape key or bone, for a list."""
        return name_in(self.path)

    def rest(self) -> float:
        """What the property is set to."""
        value = self.owner.datablock.path_resolve(self.path)
        return float(value[self.index] if hasattr(value, "__len__") else value)


def targets_of(rig: Rig, owners: tuple[Owner, ...], mapping: FaceMapping, face: Clip) -> list[Target]:
    """Everything of a character that a face moves. MappingError where the mapping reads another space."""
    if face.space == TARGETS:
        return list(_stored_targets(owners, mapping, face))
    made = _moved(rig, owners, mapping, face)
    if not any(NEUTRAL in row for table in (mapping.shape_keys, mapping.controls) for row in table.values()):
        return made
    still = replace(face, values=np.zeros_like(face.values[:1]))
    neutral = {target.address: float(target.values[0]) for target in _moved(rig, owners, mapping, still)}
    return [replace(target, neutral=neutral[target.address]) for target in made]


def _moved(rig: Rig, owners: tuple[Owner, ...], mapping: FaceMapping, face: Clip) -> list[Target]:
    performance = mapping.apply(face)
    return [*_keys(owners, mapping, performance), *_bones(rig, owners, mapping, performance)]


def names_in(rig: Rig, mapping: FaceMapping, face: Clip) -> set[str]:
    """Names of all shape keys and bones that a face is meant to move, whether they are there or not."""
    if face.space == TARGETS:
        return {channel.split("\t")[1] for channel in face.channels}
    return {*mapping.shape_keys, *mapping.controls, *(rig.bones[role] for role in mapping.bones if role in rig.bones)}


def _keys(owners: tuple[Owner, ...], mapping: FaceMapping, performance: Performance) -> Iterator[Target]:
    names = list(performance.shape_keys)
    if not names:
        return
    values = np.stack([performance.shape_keys[name] for name in names]).astype(np.float64)
    keys = list(zip(names, values, np.ptp(values, axis=1).tolist(), strict=True))
    for owner in owners:
        blocks = owner.datablock.key_blocks if owner.kind == "KEY" else ()
        for name, row, reach in keys:
            if name in blocks:
                yield _key(owner, name, mapping, row, reach)


def _key(owner: Owner, name: str, mapping: FaceMapping, values: Floats, reach: float) -> Target:
    gains = {channel: gain for channel, gain in mapping.shape_keys.get(name, {}).items() if channel != NEUTRAL}
    most = max(gains, key=lambda channel: abs(gains[channel])) if len(gains) > 1 else next(iter(gains), "")
    region, channels = _moved_by(tuple(gains), most)
    basis = region == "expression" and bool(gains)
    return Target(
        owner, key_path(name), 0, values, region, "Expression" if basis else region.capitalize(),
        (owner.name, "expressions" if basis else name),
        max(1.0, reach),  # a slider's range is 1; only FLAME's go on
        channels,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _moved_by(channels: tuple[str, ...], most: str) -> tuple[str, frozenset[str]]:
    """The region of a key that channels drive, one of them the most, and those channels."""
    # Several regions on one key: the keys of a basis, each of which moves the whole face.
    several = len({region_of(channel) for channel in channels}) > 1
    return "expression" if several else region_of(most), frozenset(channels)


def _bones(
    rig: Rig, owners: tuple[Owner, ...], mapping: FaceMapping, performance: Performance
) -> Iterator[Target]:  # fmt: skip
    owner = next((owner for owner in owners if owner.kind == "OBJECT"), None)
    if owner is None:
        return
    channels = list(bone_channels(rig, performance))
    spans: dict[tuple[str, str], float] = {}  # what a bone turns or moves over all: its axes belong together
    for bone, channel, _, values in channels:
        spans[bone.name, channel] = max(spans.get((bone.name, channel), 0.0), float(np.ptp(values)))
    for bone, channel, index, values in channels:
        roles = [role for role, name in rig.bones.items() if name == bone.name]
        driving = set(mapping.controls.get(bone.name, {})).union(*(mapping.bones.get(role, {}) for role in roles))
        driving.discard(NEUTRAL)
        region = next((_ROLE_REGIONS[role] for role in roles), region_of(next(iter(sorted(driving)), "")))
        whole = channel if channel != "location" else f"location {index}"
        yield Target(
            owner, bone_path(bone.name) + channel, index, values, region, bone.name, (bone.name, whole),
            spans[bone.name, channel], frozenset(driving),
        )  # fmt: skip


def _stored_targets(owners: tuple[Owner, ...], mapping: FaceMapping, face: Clip) -> Iterator[Target]:
    """The targets of a take whose channels are ``key NAME`` and ``bone NAME PROPERTY INDEX``, tab between."""
    for column, channel in zip(face.values.T, face.channels, strict=True):
        kind, name, *rest = channel.split("\t")
        for owner in owners:
            if kind == "key" and owner.kind == "KEY" and name in owner.datablock.key_blocks:
                values = column.astype(np.float64)
                yield _key(owner, name, mapping, values, float(np.ptp(values)))
            elif kind == "bone" and owner.kind == "OBJECT" and name in owner.datablock.pose.bones:
                path = bone_path(name) + rest[0]
                values = column.astype(np.float64)
                whole = (name, rest[0] if rest[0] != "location" else f"location {rest[1]}")
                span = max(1.0, float(np.ptp(values)))
                yield Target(owner, path, int(rest[1]), values, "head", name, whole, span, frozenset())


# ------------------------------------------------------------------------------------------------ who else moves it


#: How the names of tracks begin that hold lines.
TRACKS: Final = "CTEG "


def of_lines(strip: bpy.types.NlaStrip) -> bool:
    """Whether a strip plays lines, or what is held below them, whatever it and its track are named."""
    action: Any = strip.action
    return action is not None and (LINES_PROPERTY in action or REST_PROPERTY in action)


def has_lines(owner: Owner) -> bool:
    """Whether lines of an owner are strips."""
    tracks = owner.data.nla_tracks if owner.data is not None else ()
    return any(of_lines(strip) for track in tracks for strip in track.strips)


class Others:
    """What decides about the properties of a character beside the curves of its actions.

    Attributes:
        lines: strips of lines do.
        beside: what is written becomes such a strip itself.
    """

    def __init__(self, owners: tuple[Owner, ...], beside: bool = False) -> None:
        """Strips of lines do not count where one more is to stand ``beside`` them."""
        self.lines, self.beside = not beside and any(has_lines(owner) for owner in owners), beside
        self._driven = {owner.name: _drivers(owner.data) for owner in owners}
        self._strips = {owner.name: set(_in_strips(owner.data, beside)) for owner in owners}
        self._constrained = {owner.name: set(_constrained(owner)) for owner in owners}

    def driver(self, owner: Owner, path: str) -> Any:
        """The driver that decides about a property, or None."""
        return self._driven[owner.name].get(path)

    def why(self, target: Target) -> str:
        """Who decides about a target, in a few words for a list; "" where the curves of the action do."""
        where = target.owner.name
        if target.path in self._driven[where]:
            return "driver"
        if (target.path, target.index) in self._strips[where]:
            return "NLA"
        if target.path.endswith(("quaternion", "euler", "angle")) and target.label in self._constrained[where]:
            return "constraint"
        return ""


def _drivers(data: bpy.types.AnimData | None) -> dict[str, Any]:
    return {curve.data_path: curve for curve in (data.drivers if data is not None else ()) if not curve.mute}


def _in_strips(data: bpy.types.AnimData | None, beside: bool) -> Iterator[tuple[str, int]]:
    if data is None or not data.use_nla:
        return
    solo = any(track.is_solo for track in data.nla_tracks)
    for track in data.nla_tracks:
        if not track.mute and (track.is_solo or not solo):
            for strip in all_strips(track.strips):
                silent = strip.mute or (beside and of_lines(strip))
                if not silent and strip.action is not None and strip.action_slot is not None:
                    yield from ((c.data_path, c.array_index) for c in curves_in(strip.action, strip.action_slot))


def _constrained(owner: Owner) -> Iterator[str]:
    bones = owner.datablock.pose.bones if owner.kind == "OBJECT" else {}
    # What somebody blends decides now, and not once and for all.
    blended = switches(owner.datablock, bones.keys()) if bones else []
    for bone in bones:
        if any(decides(constraint) and constraint not in blended for constraint in bone.constraints):
            yield bone.name


@lru_cache(maxsize=4096)
def key_path(name: str) -> str:
    """Data path of a shape key's value, from its shape-key datablock."""
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def bone_path(name: str) -> str:
    """Data path of a pose bone, from its armature object, with the dot before the property."""
    return f'pose.bones["{bpy.utils.escape_identifier(name)}"].'


def name_in(path: str) -> str:
    """The shape key or bone that a data path is about."""
    return str(bpy.utils.unescape_identifier(path.split('["', 1)[-1].rsplit('"]', 1)[0]))


def grouped(targets: list[Target]) -> Mapping[tuple[str, str], list[Target]]:
    """Targets that belong together."""
    found: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        found.setdefault(target.whole, []).append(target)
    return found
