# SPDX-License-Identifier: GPL-3.0-or-later
"""Mapping: the linear way from a clip's channels to shape keys and bones (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np

from ..arrays import Floats, Singles
from ..clip import Clip
from ..sentences import Told, told
from ..shared import HEAD_CHANNELS
from ..storage import StoredError, from_text, to_text
from ..versions import CURRENT, NewerError, upgraded
from .rig import ROLES

Property = Literal["ROTATION", "LOCATION"]
Axis = Literal["X", "Y", "Z"]

#: Numbers of a mapping beyond this are mistakes: the largest that make sense are a few hundred.
_LARGEST: Final = 1e6
_PROPERTIES: Final[tuple[Property, ...]] = ("ROTATION", "LOCATION")
AXES: Final[tuple[Axis, ...]] = ("X", "Y", "Z")
#: The custom property of a mesh (and the demo head's own) that holds a mapping's JSON.
MESH_PROPERTY: Final = "cteg_mapping"
#: In place of a channel: where a target is when nothing is expressed, if that is not its rest.
NEUTRAL: Final = "neutral"


class MappingError(Told, ValueError):
    """A mapping that cannot be used or made; the message is a sentence for the animator."""


@dataclass(frozen=True)
class Performance:
    """What a clip becomes on one rig.

    Attributes:
        shape_keys: shape-key name -> values over time, shape (T,).
        bones: role -> rotation vectors over time (axis times angle, radians, FLAME axes), shape (T, 3).
        controls: bone name -> {(property, axis): values over time in radians or metres, shape (T,)}, in the bone's
            own axes.
    """

    shape_keys: MappingABC[str, Singles]
    bones: MappingABC[str, Singles]
    controls: MappingABC[str, MappingABC[tuple[Property, Axis], Singles]] = field(default_factory=dict)


@dataclass(frozen=True)
class Adjustment:
    """What is done to a channel of a clip before it goes anywhere: gain times value plus offset, or nothing at all.

    A muted channel drives nothing: what only it drives gets no keys. The offset is in the channel's own unit. A trusted
    channel was seen by the animator, who says that it does what it should: nobody doubts it any more.
    """

    gain: float = 1.0
    offset: float = 0.0
    mute: bool = False
    trust: bool = False


@dataclass(frozen=True)
class Control:
    """One way a bone moves with a channel, in the bone's own axes at rest.

    Attributes:
        property: a rotation, or a location.
        axis: about or along which of the bone's axes.
        amount: radians or metres per unit of the channel.
    """

    property: Property = "ROTATION"
    axis: Axis = "X"
    amount: float = 0.0


def along(kind: Property, vector: Iterable[float], least: float = 0.0, digits: int = 6) -> tuple[Control, ...]:
    """What moves a bone along a vector of its own axes, or turns it by one, without parts of at most ``least``."""
    parts = zip(AXES, map(float, vector), strict=True)
    return tuple(Control(kind, axis, round(by, digits)) for axis, by in parts if abs(by) > least)


@dataclass(frozen=True)
class Mapping:
    """A linear map from the channels of one space to shape keys and bones.

    Attributes:
        source_space: the space whose channels it reads.
        shape_keys: shape-key name -> {channel: gain}.
        bones: role (one of `rig.ROLES`) -> {channel: rotation vector per unit of the channel, FLAME axes, radians}.
        residual_mm: channel -> what whoever made the mapping could not reproduce, in mm on a face of ordinary size
            (`fit_mapping`: root mean square over the landmarks); empty for a mapping by names.
        controls: bone name -> {channel: how the bone moves with it}, for bones that play no role.
        channels: channel -> what is done to it before it drives anything; a channel that is not here is as it is.
        origin: where the mapping came from: ``names``, ``fit``, ``preset:NAME`` or ``edited``. What an animator
            edited is never replaced by a mapping that was made automatically.
        relative: whether ``controls`` are along the face's axes (FLAME), and lengths in distances between the eyes, for
            any face with these bones: `portable.on_face` makes them a face's own. Nothing performs with it before.
    """

    source_space: str
    shape_keys: MappingABC[str, MappingABC[str, float]] = field(default_factory=dict)
    bones: MappingABC[str, MappingABC[str, tuple[float, float, float]]] = field(default_factory=dict)
    residual_mm: MappingABC[str, float] = field(default_factory=dict)
    controls: MappingABC[str, MappingABC[str, tuple[Control, ...]]] = field(default_factory=dict)
    channels: MappingABC[str, Adjustment] = field(default_factory=dict)
    origin: str = "names"
    relative: bool = False

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
                "This mapping reads {own} clips and the clip is {space}. Choose a checkpoint that speaks {own}.",
                own=self.source_space, space=clip.space,
            )  # fmt: skip
        columns = self._columns(clip)
        shape_keys = {}
        for key, gains in self.shape_keys.items():
            used = {name: gain for name, gain in gains.items() if name in columns}
            if used:
                values: Floats = sum((g * columns[c] for c, g in used.items()), np.zeros(clip.frames))
                shape_keys[key] = values.astype(np.float32)
        bones = {}
        for role, vectors in self.bones.items():
            turns = {name: np.asarray(vector) for name, vector in vectors.items() if name in columns}
            if turns:
                rotation = sum((np.outer(columns[c], v) for c, v in turns.items()), np.zeros((clip.frames, 3)))
                bones[role] = rotation.astype(np.float32)
        controls: dict[str, dict[tuple[Property, Axis], Singles]] = {}
        for bone, rows in self.controls.items():
            moves = [(columns[name], control) for name, row in rows.items() if name in columns for control in row]
            for column, control in moves:
                moved = controls.setdefault(bone, {})
                where = control.property, control.axis
                before = moved.get(where, np.zeros(clip.frames, np.float32))
                moved[where] = (before + control.amount * column).astype(np.float32)
        return Performance(shape_keys, bones, controls)

    def _columns(self, clip: Clip) -> dict[str, Floats]:
        """The clip's channels as they drive, shape (T,) each: adjusted, without the muted ones."""
        columns = {}
        for index, name in enumerate(clip.channels):
            adjustment = self.channels.get(name, Adjustment())
            if not adjustment.mute:
                columns[name] = adjustment.gain * clip.values[:, index].astype(np.float64) + adjustment.offset
        if any(name in columns for name in HEAD_CHANNELS):
            # A muted angle is zero, and all three parts of the vector are there: turning about two axes needs them.
            zero = np.zeros(clip.frames)
            pitch, yaw, roll = (columns.get(name, zero) for name in HEAD_CHANNELS)
            columns |= dict(zip(HEAD_CHANNELS, head_rotation_vectors(pitch, yaw, roll).T, strict=True))
        columns[NEUTRAL] = np.ones(clip.frames)
        return columns

    def driving(self) -> frozenset[str]:
        """The channels that drive something, muted or not."""
        moving = (
            {name for gains in self.shape_keys.values() for name, gain in gains.items() if gain}
            | {name for vectors in self.bones.values() for name, vector in vectors.items() if any(vector)}
            | {n for row in self.controls.values() for n, moves in row.items() if any(c.amount for c in moves)}
        )
        return frozenset(moving - {NEUTRAL})

    def to_json(self) -> str:
        """The mapping as JSON text, as `from_json` reads it. MappingError for numbers that it would not read again."""
        data = {
            "schema_version": CURRENT["mapping"],
            "source_space": self.source_space,
            "origin": self.origin,
            "shape_keys": {key: dict(gains) for key, gains in self.shape_keys.items()},
            "bones": {role: {c: list(v) for c, v in vectors.items()} for role, vectors in self.bones.items()},
            "controls": {
                bone: {c: [vars(control) for control in moves] for c, moves in row.items()}
                for bone, row in self.controls.items()
            },
            "channels": {c: vars(adjustment) for c, adjustment in self.channels.items()},
            "residual_mm": dict(self.residual_mm),
            "relative": self.relative,
        }
        try:
            return to_text(data)
        except ValueError:
            raise MappingError("A mapping needs finite numbers. Choose another value.") from None

    @classmethod
    def from_json(cls, text: object) -> Mapping:
        """A mapping from its JSON text, of this version or an older one.

        Raises:
            MappingError: the text is not JSON, is of a newer version, or a field has the wrong type; the sentence
                names the field.
        """
        try:
            data = from_text(text)
        except StoredError as error:
            raise MappingError("This mapping is damaged: {why}. Load the mapping again.", why=error) from None
        if not isinstance(data, dict):
            raise MappingError("This mapping is not a JSON object. Load the mapping again.")
        try:
            data = upgraded("mapping", data)
        except NewerError as error:
            raise MappingError("This mapping cannot be read: {why}.", why=error) from None
        except StoredError as error:
            raise MappingError(
                "This mapping cannot be read: {why}. Load a mapping that CTEG saved.", why=error
            ) from None
        space = data.get("source_space")
        if not isinstance(space, str) or not space:
            raise MappingError(
                "This mapping's source_space is {value}; write a name such as 'arkit55' there.", value=_short(space)
            )
        bones = _table(data, "bones", _vector)
        unknown = [role for role in bones if role not in ROLES]
        if unknown:
            sentence = "This mapping's bones name {value}; roles are {roles}, and any other bone goes under controls."
            raise MappingError(sentence, value=_short(unknown[0]), roles=", ".join(ROLES))
        origin = data.get("origin", "edited")
        if not isinstance(origin, str):
            raise MappingError("This mapping's origin is {value}; write 'edited' there.", value=_short(origin))
        return cls(
            space,
            _table(data, "shape_keys", _number),
            bones,
            {c: _number(value, "residual_mm", c, True) for c, value in _object(data, "residual_mm").items()},
            _table(data, "controls", _controls),
            {c: _adjustment(value, c) for c, value in _object(data, "channels").items()},
            origin,
            _switch(data.get("relative", False), "relative"),
        )


def stored_mapping(mesh: Any) -> Mapping | None:
    """The mapping stored on a mesh datablock, or None. MappingError when there is one and it is damaged."""
    text = mesh.get(MESH_PROPERTY)
    if text is None:
        return None
    try:
        mapping = _parsed(text if isinstance(text, str) else None)
        if mapping.relative:
            raise MappingError("It is for other faces and has to be put on one by Load Mapping.")
        return mapping
    except MappingError as error:
        raise MappingError(
            "The mapping stored on {name} cannot be read: {why} Removing its custom property {property!r} makes CTEG "
            "find a mapping by itself.", name=mesh.name, why=error, property=MESH_PROPERTY,
        ) from None  # fmt: skip


@lru_cache(maxsize=64)  # every character of the file is looked at whenever one changes
def _parsed(text: str | None) -> Mapping:
    return Mapping.from_json(text)


def head_rotation_vectors(pitch: Floats, yaw: Floats, roll: Floats) -> Floats:
    """Rotation vectors, shape (T, 3), of Ry(yaw) Rx(pitch) Rz(roll); angles of shape (T,) in radians."""
    cx, cy, cz = np.cos(pitch / 2), np.cos(yaw / 2), np.cos(roll / 2)
    sx, sy, sz = np.sin(pitch / 2), np.sin(yaw / 2), np.sin(roll / 2)
    # The product of the three axis quaternions, written out.
    w = cy * cx * cz + sy * sx * sz
    vector = np.stack([cy * sx * cz + sy * cx * sz, sy * cx * cz - cy * sx * sz, cy * cx * sz - sy * sx * cz], axis=1)
    length = np.linalg.norm(vector, axis=1)
    angle = 2 * np.arctan2(length, w)
    return vector * np.where(length > 1e-9, angle / np.maximum(length, 1e-9), 2.0)[:, None]


def _object(data: dict[str, Any], name: str) -> dict[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise MappingError(
            "This mapping's {name} is {value}; write an object {{name: value}} there.", value=_short(table), name=name
        )
    return table


def _table(data: dict[str, Any], name: str, read: Any) -> dict[str, dict[str, Any]]:
    table = _object(data, name)
    for target, row in table.items():
        if not isinstance(row, dict):
            sentence = "This mapping's {name} is {value}; write {{channel: value}} there."
            raise MappingError(sentence, value=_short(row), name=_short(target))
    return {target: {c: read(v, target, c) for c, v in row.items()} for target, row in table.items()}


def _where(name: str, channel: str, own: bool) -> str:
    """A place in a mapping: what a target has from a channel, or a number of the channel's own."""
    return told("{name} of {channel}" if own else "{name} from {channel}", name=name, channel=channel)


def _number(value: object, name: str, channel: str, own: bool = False) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    sentence = "This mapping's {where} is {value}; write a number of ordinary size there."
    raise MappingError(sentence, value=_short(value), where=_where(name, channel, own))


def _vector(value: object, name: str, channel: str) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3:
        sentence = "This mapping's {where} is {value}; write three numbers (x, y, z) there."
        raise MappingError(sentence, value=_short(value), where=_where(name, channel, False))
    x, y, z = (_number(part, name, channel) for part in value)
    return x, y, z


def _controls(value: object, name: str, channel: str) -> tuple[Control, ...]:
    """One control, or a list of them."""
    controls, where = [], _where(name, channel, False)
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise MappingError(
                "This mapping's {where} is {value}; write property, axis and amount there.",
                value=_short(item),
                where=where,
            )
        kind, axis = item.get("property"), item.get("axis")
        if kind not in _PROPERTIES:
            raise MappingError(
                "This mapping's {where} has the property {value}; write ROTATION or LOCATION.",
                value=_short(kind),
                where=where,
            )
        if axis not in AXES:
            raise MappingError(
                "This mapping's {where} has the axis {value}; write X, Y or Z.", value=_short(axis), where=where
            )
        controls.append(Control(kind, axis, _number(item.get("amount"), f"{name}.amount", channel)))
    return tuple(controls)


def _switch(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise MappingError(
            "This mapping's {where} is {value}; write true or false there.", value=_short(value), where=where
        )
    return value


def _adjustment(value: object, channel: str) -> Adjustment:
    if not isinstance(value, dict):
        sentence = "This mapping's {channel} is {value}; write gain, offset, mute and trust there."
        raise MappingError(sentence, value=_short(value), channel=channel)
    switches = {n: _switch(value.get(n, False), _where(n, channel, True)) for n in ("mute", "trust")}
    gain = _number(value.get("gain", 1.0), "gain", channel, True)
    return Adjustment(gain, _number(value.get("offset", 0.0), "offset", channel, True), **switches)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
