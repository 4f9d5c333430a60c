# SPDX-License-Identifier: GPL-3.0-or-later
"""Mapping: the linear way from a clip's channels to shape keys and bone rotations (no ``bpy``)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..clip import Clip
from .naming import HEAD_CHANNELS
from .rig import ROLES, Rig, shorten

#: Version of the mapping's JSON.
SCHEMA_VERSION: Final = 1
#: The custom property of a mesh (and the demo head's own) that holds a mapping's JSON.
MESH_PROPERTY: Final = "cteg_mapping"

Floats = npt.NDArray[np.float32]


class MappingError(ValueError):
    """A mapping that cannot be used or made; the message is a sentence for the animator."""


@dataclass(frozen=True)
class Performance:
    """What a clip becomes on one rig.

    Attributes:
        shape_keys: shape-key name -> values over time, shape (T,).
        bones: role -> rotation vectors over time (axis times angle, radians, FLAME axes), shape (T, 3).
    """

    shape_keys: MappingABC[str, Floats]
    bones: MappingABC[str, Floats]


@dataclass(frozen=True)
class Mapping:
    """A linear map from the channels of one space to shape keys and bone rotations.

    Attributes:
        source_space: the space whose channels it reads.
        shape_keys: shape-key name -> {channel: gain}.
        bones: role (one of `rig.ROLES`) -> {channel: rotation vector per unit of the channel, FLAME axes, radians}.
        residual_mm: channel -> what whoever made the mapping could not reproduce, in mm on a face of ordinary size
            (`fit_mapping`: root mean square over the landmarks); empty for a mapping by names.
    """

    source_space: str
    shape_keys: MappingABC[str, MappingABC[str, float]] = field(default_factory=dict)
    bones: MappingABC[str, MappingABC[str, tuple[float, float, float]]] = field(default_factory=dict)
    residual_mm: MappingABC[str, float] = field(default_factory=dict)

    def apply(self, clip: Clip) -> Performance:
        """The clip on this mapping's targets, frame for frame.

        headPitch, headYaw and headRoll are angles applied as Ry(yaw) Rx(pitch) Rz(roll) (docs/architecture.md); they
        are turned into one rotation vector first, so that a mapping that passes them straight on is exact and one
        that shares them between neck and head shares the rotation.

        Raises:
            MappingError: the clip is in another space.
        """
        if clip.space != self.source_space:
            raise MappingError(
                f"This mapping reads {self.source_space} clips and the clip is {clip.space}. "
                f"Choose a checkpoint that speaks {self.source_space}."
            )
        columns = {name: clip.values[:, i].astype(np.float64) for i, name in enumerate(clip.channels)}
        if any(name in columns for name in HEAD_CHANNELS):
            zero = np.zeros(clip.frames)
            pitch, yaw, roll = (columns.get(name, zero) for name in HEAD_CHANNELS)
            columns |= dict(zip(HEAD_CHANNELS, head_rotation_vectors(pitch, yaw, roll).T, strict=True))
        shape_keys = {}
        for key, gains in self.shape_keys.items():
            used = {name: gain for name, gain in gains.items() if name in columns}
            if used:
                values: npt.NDArray[np.float64] = sum((g * columns[c] for c, g in used.items()), np.zeros(clip.frames))
                shape_keys[key] = values.astype(np.float32)
        bones = {}
        for role, vectors in self.bones.items():
            turns = {name: np.asarray(vector) for name, vector in vectors.items() if name in columns}
            if turns:
                rotation = sum((np.outer(columns[c], v) for c, v in turns.items()), np.zeros((clip.frames, 3)))
                bones[role] = rotation.astype(np.float32)
        return Performance(shape_keys, bones)

    def unmatched(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``channels`` that drive nothing."""
        driven = {
            name
            for gains in self.shape_keys.values()
            for name, gain in gains.items()
            if gain
        } | {name for vectors in self.bones.values() for name, vector in vectors.items() if any(vector)}  # fmt: skip
        return tuple(name for name in channels if name not in driven)

    def notes(self, rig: Rig, clip: Clip) -> list[str]:
        """Sentences about what of ``clip`` will not be seen on ``rig``; empty when all of it will."""
        notes = []
        unmatched = self.unmatched(clip.channels)
        if unmatched:
            notes.append(f"This face has nothing for {shorten(unmatched)}; the rest of the performance is complete.")
        mesh: Any = rig.object.data if rig.object is not None else None
        blocks = mesh.shape_keys.key_blocks if mesh is not None else ()
        lost = [name for name in self.shape_keys if name not in blocks]
        if lost:
            notes.append(f"The mapping names shape keys that this mesh does not have: {shorten(lost)}.")
        without = [role for role, vectors in self.bones.items() if vectors and role not in rig.bones]
        if without:
            notes.append(f"There is no bone for {shorten([role.replace('_', ' ') for role in without])}.")
        return notes

    def to_json(self) -> str:
        """The mapping as JSON text, as `from_json` reads it and as it is stored on a mesh."""
        return json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                "source_space": self.source_space,
                "shape_keys": {key: dict(gains) for key, gains in self.shape_keys.items()},
                "bones": {role: {c: list(v) for c, v in vectors.items()} for role, vectors in self.bones.items()},
                "residual_mm": dict(self.residual_mm),
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Mapping:
        """A mapping from its JSON text.

        Raises:
            MappingError: the text is not JSON, is of another version, or a field has the wrong type; the sentence
                names the field.
        """
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, TypeError, RecursionError) as error:
            raise MappingError(f"This mapping is not JSON ({error}). Load the mapping again.") from None
        if not isinstance(data, dict):
            raise MappingError("This mapping is not a JSON object. Load the mapping again.")
        if data.get("schema_version") != SCHEMA_VERSION:
            raise MappingError(
                f"This mapping has schema_version {data.get('schema_version')!r} and this CTEG reads {SCHEMA_VERSION}. "
                "Update CTEG, or load a mapping made for it."
            )
        space = data.get("source_space")
        if not isinstance(space, str) or not space:
            raise MappingError(f"This mapping's source_space is {space!r}; write a name such as 'arkit55' there.")
        bones = _table(data, "bones", _vector)
        unknown = [role for role in bones if role not in ROLES]
        if unknown:
            raise MappingError(f"This mapping drives a bone called {unknown[0]!r}; it can drive {', '.join(ROLES)}.")
        residual = data.get("residual_mm", {})
        if not isinstance(residual, dict):
            raise MappingError(f"This mapping's residual_mm is {_short(residual)}; write numbers by channel there.")
        return cls(
            space,
            _table(data, "shape_keys", _number),
            bones,
            {str(channel): _number(value, f"residual_mm of {channel}") for channel, value in residual.items()},
        )


def head_rotation_vectors(
    pitch: npt.NDArray[np.float64], yaw: npt.NDArray[np.float64], roll: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Rotation vectors, shape (T, 3), of Ry(yaw) Rx(pitch) Rz(roll); angles of shape (T,) in radians."""
    cx, cy, cz = np.cos(pitch / 2), np.cos(yaw / 2), np.cos(roll / 2)
    sx, sy, sz = np.sin(pitch / 2), np.sin(yaw / 2), np.sin(roll / 2)
    # The product of the three axis quaternions, written out.
    w = cy * cx * cz + sy * sx * sz
    vector = np.stack([cy * sx * cz + sy * cx * sz, sy * cx * cz - cy * sx * sz, cy * cx * sz - sy * sx * cz], axis=1)
    length = np.linalg.norm(vector, axis=1)
    angle = 2 * np.arctan2(length, w)
    scaled: npt.NDArray[np.float64] = vector * np.where(length > 1e-9, angle / np.maximum(length, 1e-9), 2.0)[:, None]
    return scaled


def _table(data: dict[str, Any], name: str, read: Any) -> dict[str, dict[str, Any]]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise MappingError(f"This mapping's {name} is {_short(table)}; write an object of targets there.")
    for target, row in table.items():
        if not isinstance(row, dict):
            raise MappingError(f"This mapping's {target!r} is {_short(row)}; write {{channel: value}} there.")
    return {target: {c: read(v, f"{target} from {c}") for c, v in row.items()} for target, row in table.items()}


def _number(value: object, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise MappingError(f"This mapping's {where} is {_short(value)}; write a number there.")


def _vector(value: object, where: str) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3:
        raise MappingError(f"This mapping's {where} is {_short(value)}; write three numbers (x, y, z) there.")
    x, y, z = (_number(part, where) for part in value)
    return x, y, z


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
