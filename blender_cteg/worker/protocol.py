# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker protocol, version 2: framing, arrays and messages (docs/protocol.md). No bpy.

Nothing that arrives is trusted: every field is checked before it is used, and what does not fit is a `ProtocolError`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ..performance.segments import Segment, SegmentError
from ..shared import Timeline, TimelineError

#: The version of docs/protocol.md that this module speaks.
VERSION: Final = 2
#: Longest message line in bytes that is accepted: an hour of 55 channels at 24 fps, base64, is about 25 MB.
MAX_MESSAGE: Final = 64 * 1024 * 1024
#: The kinds of `Failed`.
KINDS: Final = ("input", "checkpoint", "environment", "memory", "internal")

#: Fields of a LINE that came later, with the values that mean the same as their absence. A generator names those it
#: understands among its features.
ADDED_FIELDS: Final[Mapping[str, Any]] = {
    "emotion_to": None, "rate": 1.0, "spread": False, "branch": None, "vary": None,
    "emotion_with": None, "share": 0.5, "energy": 1.0, "speaking": True,
    "timing": 0, "vary_timing": False, "timeline": None, "language": "auto", "layered": True,
}  # fmt: skip
#: Most seeds that a request for the most different takes draws from.
MAX_POOL: Final = 64

_DTYPES: Final = ("<f4", "<i8")


class ProtocolError(ValueError):
    """A message does not follow docs/protocol.md."""


@dataclass(frozen=True)
class Line:
    """One line to perform; the generator checks the values and refuses with a sentence.

    Attributes:
        text: what the character says.
        emotion: a name of `emotions.NAMES`.
        intensity: 0 (calm) to 1.5 (extreme).
        takes: number of performances; take k uses seed + k.
        seed: 0 to 2^31 - 1.
        temperature: 0 (the likeliest performance) to 2.
        seconds: length, or None to let the line decide.
        emotion_to: the emotion the line moves to, or None.
        rate: speaking rate, 0.5 to 2; ignored when ``seconds`` is given.
        spread: the takes are the most different ones of a larger draw of seeds, see `last_seed`.
        branch: ``{"seed": s, "frame": f}``: every take begins like that of seed s, up to frame f; or None.
        vary: ``{"seed": s, "amount": a}``: every take is near that of seed s; a is 0 (the same) to 1 (new); or None.
            Both may have ``"of": {"branch": ..., "vary": ...}``: what that take was made from itself.
        emotion_with: an emotion mixed with ``emotion``, or None; ``share`` (0 to 1) of the mixture is this one.
        energy: tempo and size of all movement, 0.4 to 1.6; 1 is natural.
        speaking: False where the line is only reacted to.
        timing: seed of when each word is said, 0 to 2^31 - 1; the same for all takes.
        vary_timing: every take has a timing of its own.
        timeline: words and sounds with their times, as `Timeline.to_json` has them, used as they are; or None.
        language: "auto", or the language the line is pronounced in, such as "de".
        layered: False for takes of one layer, as version 0.1.0 made them: the mouth moves but does not say the words.
    """

    text: str
    emotion: str = "auto"
    intensity: float = 1.0
    takes: int = 1
    seed: int = 0
    temperature: float = 1.0
    seconds: float | None = None
    emotion_to: str | None = None
    rate: float = 1.0
    spread: bool = False
    branch: Mapping[str, Any] | None = None
    vary: Mapping[str, Any] | None = None
    emotion_with: str | None = None
    share: float = 0.5
    energy: float = 1.0
    speaking: bool = True
    timing: int = 0
    vary_timing: bool = False
    timeline: Mapping[str, Any] | None = None
    language: str = "auto"
    layered: bool = True

    @property
    def last_seed(self) -> int:
        """The last seed the takes are drawn from: four times as many as takes when they are the most different."""
        return self.seed + (max(min(4 * self.takes, MAX_POOL), self.takes) if self.spread else self.takes) - 1

    def as_message(self) -> dict[str, Any]:
        """The LINE object of a generate request, without the later fields that say nothing."""
        message = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: v for name, v in message.items() if name not in ADDED_FIELDS or v != ADDED_FIELDS[name]}


@dataclass(frozen=True)
class Hello:
    """What the generator says about itself; ``torch`` is empty where torch cannot be found."""

    id: int
    protocol: int
    generator: str
    python: str
    torch: str
    devices: tuple[str, ...]
    emotions: tuple[str, ...]
    max_seconds: float
    max_characters: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far a request is; ``fraction`` is 0..1."""

    id: int
    fraction: float
    stage: str


@dataclass(frozen=True)
class Performed:
    """One finished take: ``values`` is float32 of shape (T, C), one row per frame at ``fps``.

    With a ``timeline`` they are the performance alone: the speech is computed from it, ``speech_scale`` times its size.
    """

    id: int
    line: int
    take: int
    seed: int
    text: str
    emotion: str
    fps: float
    space: str
    channels: tuple[str, ...]
    values: npt.NDArray[np.float32]
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]
    segments: tuple[Segment, ...] = ()
    timeline: Timeline | None = None
    speech_scale: float = 1.0


@dataclass(frozen=True)
class Done:
    """The request is over and everything arrived."""

    id: int


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


Event: TypeAlias = Hello | Progress | Performed | Done | Cancelled | Failed


def understood_by(request: Mapping[str, Any], features: Collection[str]) -> Mapping[str, Any]:
    """The request without what a generator of these features does not know and can do without.

    Raises:
        ProtocolError: it cannot do what was asked.
    """
    if "lines" not in request:
        return request
    lines = []
    for line in request["lines"]:
        missing = {name for name in ADDED_FIELDS if name in line and name not in features}
        # Takes that are not the most different ones are takes all the same.
        if missing - {"spread"}:
            raise ProtocolError(
                f"this generator is too old for {' and '.join(sorted(missing - {'spread'}))}; install the extension "
                "and the generator from the same CTEG zip"
            )
        lines.append({name: value for name, value in line.items() if name not in missing})
    return {**request, "lines": lines}


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line of JSON. Plain ASCII, so that any text, lone surrogates too, survives the pipe.

    Raises:
        ProtocolError: a value is not JSON, such as a number that is not finite.
    """
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"a request cannot be sent: {error}") from error


def encode_array(values: npt.ArrayLike) -> dict[str, Any]:
    """An array as a protocol ARRAY: float32 or, for whole numbers, int64; C order, little endian."""
    array = np.asarray(values)
    array = np.ascontiguousarray(array, "<i8" if array.dtype.kind in "iub" else "<f4")
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": list(array.shape), "base64": data}


def decode_array(value: Any) -> npt.NDArray[Any]:
    """The array of a protocol ARRAY, as a writable copy. ProtocolError unless dtype, shape and size agree."""
    fields = _object(value, "an array")
    dtype, shape, data = fields.get("dtype"), fields.get("shape"), fields.get("base64")
    if dtype not in _DTYPES:
        raise ProtocolError(f"an array has the dtype {dtype!r}")
    if not isinstance(shape, list) or len(shape) > 8 or not all(_is_whole(n) and n >= 0 for n in shape):
        raise ProtocolError(f"an array has the shape {shape!r}")
    if not isinstance(data, str):
        raise ProtocolError("an array has no base64 field")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"an array's base64 field is damaged: {error}") from error
    # Python integers: a hostile shape must not overflow its way past this check.
    if len(raw) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ProtocolError(f"an array of shape {shape!r} came with {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape).copy()


def parse(line: bytes) -> Event:
    """The event in one line from the generator. ProtocolError for anything that docs/protocol.md does not allow."""
    try:
        message = _object(json.loads(line), "a message")
    except (ValueError, RecursionError) as error:
        if isinstance(error, ProtocolError):
            raise
        raise ProtocolError(f"a line is not JSON: {shorten(line.decode('utf-8', 'replace'))!r}") from error
    event = message.get("event")
    if event == "error":
        kind = message.get("kind")
        return Failed(_id(message, optional=True), kind if kind in KINDS else "internal", _text(message, "message"))
    number = _id(message)
    assert number is not None
    if event == "progress":
        return Progress(number, min(max(_number(message, "fraction"), 0.0), 1.0), _text(message, "stage"))
    if event == "done":
        return Done(number)
    if event == "cancelled":
        return Cancelled(number)
    if event == "clip":
        return _performed(number, message)
    if event == "hello":
        return _hello(number, message)
    raise ProtocolError(f"a message has the event {event!r}")


def shorten(text: str, limit: int = 160) -> str:
    """``text`` on one line of at most ``limit`` characters, for quoting in a sentence."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _performed(number: int, message: Mapping[str, Any]) -> Performed:
    channels = _texts(message, "channels")
    values = decode_array(message.get("values"))
    if values.dtype != np.dtype("<f4") or values.ndim != 2 or values.shape[1] != len(channels) or not len(values):
        raise ProtocolError(f"a clip of {len(channels)} channels has {values.dtype.str} values of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ProtocolError("a clip has values that are not finite")
    fps = _number(message, "fps")
    if fps <= 0:
        raise ProtocolError(f"a clip has {fps:g} frames per second")
    return Performed(
        number, _whole(message, "line"), _whole(message, "take"), _whole(message, "seed"), _text(message, "text"),
        _text(message, "emotion"), fps, _text(message, "space"), channels, values.astype(np.float32, copy=False),
        _object(message.get("settings", {}), "a clip's settings"), _texts(message, "warnings"), _segments(message),
        _timeline(message), _number({"speech_scale": 1.0, **message}, "speech_scale"),
    )  # fmt: skip


def _segments(message: Mapping[str, Any]) -> tuple[Segment, ...]:
    value = message.get("segments", [])
    if not isinstance(value, list):
        raise ProtocolError(f"the field 'segments' is not a list: {shorten(repr(value))}")
    try:
        return tuple(map(Segment.from_json, value))
    except SegmentError as error:
        raise ProtocolError(str(error)) from error


def _timeline(message: Mapping[str, Any]) -> Timeline | None:
    value = message.get("timeline")
    try:
        return None if value is None else Timeline.from_json(value)
    except TimelineError as error:
        raise ProtocolError(f"a clip's timeline is damaged: {error}") from error


def _hello(number: int, message: Mapping[str, Any]) -> Hello:
    return Hello(
        number, _whole(message, "protocol"), _text(message, "generator"), _text(message, "python"),
        message["torch"] if isinstance(message.get("torch"), str) else "", _texts(message, "devices"),
        _texts(message, "emotions"), _number(message, "max_seconds"), _whole(message, "max_characters"),
        _texts(message, "features"),
    )  # fmt: skip


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} is not an object: {shorten(repr(value))}")
    return value


def _id(message: Mapping[str, Any], optional: bool = False) -> int | None:
    if optional and message.get("id") is None:
        return None
    return _whole(message, "id")


def _whole(message: Mapping[str, Any], name: str) -> int:
    value = message.get(name)
    if not _is_whole(value):
        raise ProtocolError(f"the field {name!r} is not a whole number: {shorten(repr(value))}")
    return int(value)  # type: ignore[arg-type]


def _number(message: Mapping[str, Any], name: str) -> float:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError(f"the field {name!r} is not a number: {shorten(repr(value))}")
    return float(value)


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"the field {name!r} is not text: {shorten(repr(value))}")
    return value


def _texts(message: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = message.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ProtocolError(f"the field {name!r} is not a list of names: {shorten(repr(value))}")
    return tuple(value)
