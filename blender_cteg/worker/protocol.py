# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker protocol, version 3: framing, arrays and messages (docs/protocol.md). No bpy.

Nothing that arrives is trusted: its text is cleaned (`storage`), every field is checked before it is used, and what
does not fit is a `ProtocolError`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from ..arrays import Singles
from ..clip import Clip
from ..segments import Segment
from ..sentences import Told, shorten
from ..shared import Timeline
from ..storage import StoredError, from_text

#: The version of docs/protocol.md that this module speaks.
VERSION: Final = 3
#: Longest message line in bytes that is accepted: an hour of 55 channels at 24 fps, base64, is about 25 MB.
MAX_MESSAGE: Final = 64 * 1024 * 1024
#: The kinds of `Failed`.
KINDS: Final = ("input", "checkpoint", "environment", "memory", "internal")
#: Most seeds that a request for the most different takes draws from.
MAX_POOL: Final = 64


class ProtocolError(Told, ValueError):
    """A message does not follow docs/protocol.md."""


@dataclass(frozen=True)
class Hello:
    """What the generator says about itself: versions; ``torch`` is empty where torch cannot be found."""

    id: int
    protocol: int
    generator: str
    python: str
    numpy: str
    torch: str


@dataclass(frozen=True)
class Progress:
    """How far a request is; ``fraction`` is 0..1."""

    id: int
    fraction: float
    stage: str


@dataclass(frozen=True)
class Performed:
    """One finished take, and what its request should be told."""

    id: int
    clip: Clip
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Read:
    """How one line of a request is understood; it was not performed."""

    id: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Done:
    """The request is over and everything arrived.

    Attributes:
        engine: "numpy" or "torch", whichever performed; "" where nothing was.
        device: where it did, as torch calls it.
        seconds: how long performing took, without loading.
    """

    id: int
    engine: str = ""
    device: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Cancelled:
    """The request ended because it was cancelled."""

    id: int


@dataclass(frozen=True)
class Failed:
    """The request ended with an error; ``message`` is a sentence for the user. ``id`` None: it concerns no request."""

    id: int | None
    kind: str
    message: str


Event: TypeAlias = Hello | Progress | Performed | Read | Done | Cancelled | Failed


def last_seed(line: Mapping[str, Any]) -> int:
    """The last seed that the takes of a LINE are drawn from: four times as many as takes when they are spread."""
    takes = line["takes"]
    drawn = max(min(4 * takes, MAX_POOL), takes) if line.get("spread") else takes
    return int(line["seed"] + drawn - 1)


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line of JSON. Plain ASCII, so that any text, lone surrogates too, survives the pipe.

    Raises:
        ProtocolError: a value is not JSON, such as a number that is not finite.
    """
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise ProtocolError("a request cannot be sent: {why}", why=error) from error


def decode_array(value: Any) -> Singles:
    """The numbers of a protocol ARRAY. ProtocolError unless dtype, shape and size agree."""
    fields = _object(value, "values")
    dtype, shape, data = fields.get("dtype"), fields.get("shape"), fields.get("base64")
    if dtype != "<f4":
        raise ProtocolError("an array has the dtype {dtype!r}", dtype=dtype)
    if not isinstance(shape, list) or len(shape) > 8 or not all(_is(n, int) and n >= 0 for n in shape):
        raise ProtocolError("an array has the shape {shape!r}", shape=shape)
    try:
        raw = base64.b64decode(data, validate=True)  # type: ignore[arg-type]
    except (binascii.Error, ValueError, TypeError) as error:
        raise ProtocolError("an array's base64 field is damaged: {why}", why=error) from error
    # Python integers: a hostile shape must not overflow its way past this check.
    if len(raw) != math.prod(shape) * 4:
        raise ProtocolError("an array of shape {shape!r} came with {count} bytes", shape=shape, count=len(raw))
    return np.frombuffer(raw, "<f4").reshape(shape)


def parse(line: bytes) -> Event:
    """The event in one line from the generator. ProtocolError for anything that docs/protocol.md does not allow."""
    try:
        message = from_text(line, MAX_MESSAGE)
    except StoredError as error:
        text = shorten(line.decode("utf-8", "replace"))
        raise ProtocolError("{why}: {text!r}", why=error, text=text) from error
    if not isinstance(message, dict):
        raise ProtocolError("a message is not an object: {value}", value=shorten(repr(message)))
    event = message.get("event")
    if event == "error":
        number, kind = message.get("id"), message.get("kind")
        known = kind if kind in KINDS else "internal"
        return Failed(None if number is None else _field(message, "id", int), known, _field(message, "message", str))
    number = _field(message, "id", int)
    if event == "progress":
        return Progress(
            number, min(max(_field(message, "fraction", int, float), 0.0), 1.0), _field(message, "stage", str)
        )
    if event == "done":
        said = {"engine": "", "device": "", "seconds": 0.0, **message}
        texts = _field(said, "engine", str), _field(said, "device", str)
        return Done(number, *texts, float(_field(said, "seconds", int, float)))
    if event == "cancelled":
        return Cancelled(number)
    if event == "clip":
        return Performed(number, _clip(message), _texts(message, "warnings"))
    if event == "read":
        try:
            return Read(number, tuple(map(Segment.from_json, message.get("segments", []))))
        except (ValueError, TypeError) as error:
            raise ProtocolError("{reason}", reason=error) from error
    if event == "hello":
        return Hello(
            number, _field(message, "protocol", int), _field(message, "generator", str), _field(message, "python", str),
            _field(message, "numpy", str), str(message.get("torch") or ""),
        )  # fmt: skip
    raise ProtocolError("a message has the event {event!r}", event=event)


def _clip(message: Mapping[str, Any]) -> Clip:
    seed, timeline = _field(message, "seed", int), message.get("timeline")
    try:
        return Clip(
            decode_array(message.get("values")), _texts(message, "channels"), _field(message, "fps", int, float),
            _field(message, "space", str), _field(message, "text", str), seed, _field(message, "emotion", str),
            _object(message.get("settings", {}), "settings"),
            tuple(map(Segment.from_json, message.get("segments", []))), seed,
            None if timeline is None else Timeline.from_json(timeline),
            float(_field({"speech_scale": 1.0, **message}, "speech_scale", int, float)),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ProtocolError("{reason}", reason=error) from error


def _is(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError("the field {name!r} is not an object: {value}", name=name, value=shorten(repr(value)))
    return value


def _field(message: Mapping[str, Any], name: str, *kinds: type) -> Any:
    value = message.get(name)
    if not _is(value, *kinds):
        raise ProtocolError("the field {name!r} is of another kind: {value}", name=name, value=shorten(repr(value)))
    return value


def _texts(message: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = message.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ProtocolError("the field {name!r} is not a list of names: {value}", name=name, value=shorten(repr(value)))
    return tuple(value)
