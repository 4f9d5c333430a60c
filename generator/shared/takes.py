# SPDX-License-Identifier: GPL-3.0-or-later
"""The takes of a line as arrays, and the files they are written to."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .composing import whole_face
from .spaces import ARKIT_CHANNELS, Space
from .timeline import Timeline

#: Version of the files: what is read and written here, `generator.performing.clips` reads.
SCHEMA: Final = 1
#: Rotation columns that follow the 52 coefficients in a Live Link Face recording.
_LIVE_LINK_ROTATIONS: Final = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)  # fmt: skip


@dataclass(frozen=True)
class Takes:
    """N takes of one line.

    Attributes:
        values: float32 (N, T, C), padded with each take's last frame: the performance of takes that have a timeline,
            the whole face of those that have none.
        lengths: int64 (N,), frames of each take.
        seeds: int64 (N,); a seed alone reproduces its take.
        space: what the channels mean.
        text: the line performed.
        emotion: the emotion performed; "auto" where the checkpoint cannot be told one.
        settings: the request's other settings and the checkpoint's name, JSON-able.
        warnings: what the user should know.
        segments: of each take, what is said and felt when, as docs/protocol.md describes it; JSON-able.
        timelines: of each take, when its mouth says what; None where the face is one layer, or nothing is said.
        speech_scale: how large the mouth speaks, 1 natural.
    """

    values: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    space: Space
    text: str
    emotion: str
    settings: dict[str, Any]
    warnings: tuple[str, ...] = ()
    segments: tuple[tuple[dict[str, Any], ...], ...] = ()
    timelines: tuple[Timeline | None, ...] = ()
    speech_scale: float = 1.0

    def take(self, index: int) -> npt.NDArray[np.float32]:
        """The whole face of one take without padding, its layers composed, (T_i, C)."""
        return whole_face(self.performance(index), self.timeline(index), self.space.fps, self.speech_scale)

    def performance(self, index: int) -> npt.NDArray[np.float32]:
        """What of one take is performed rather than said, without padding, (T_i, C); the whole face of one layer."""
        return self.values[index, : int(self.lengths[index])]

    def timeline(self, index: int) -> Timeline | None:
        """When one take says what."""
        return self.timelines[index] if self.timelines else None

    def files(self, path: Path) -> list[tuple[Path, bytes]]:
        """The files of ``path``, whose suffix chooses the format.

        ``.npz`` (arrays, loads with allow_pickle=False), ``.json`` (readable), ``.csv`` (Live Link Face layout; more
        than one take become ``name_1.csv``, ``name_2.csv``, …).

        Raises:
            ValueError: unknown suffix, or the space has no such layout; a sentence.
        """
        match path.suffix.lower():
            case ".npz":
                return [(path, self._npz_bytes())]
            case ".json":
                return [(path, json.dumps(self._as_json(), ensure_ascii=False, indent=1).encode())]
            case ".csv":
                if self.space.name != "arkit55":
                    raise ValueError(
                        f"A Live Link Face .csv holds ARKit coefficients and these clips are in {self.space.name}; "
                        "write .npz or .json."
                    )
                count = len(self.lengths)
                paths = [path] if count == 1 else [path.with_stem(f"{path.stem}_{i + 1}") for i in range(count)]
                return [(p, self._live_link_csv(i).encode()) for i, p in enumerate(paths)]
            case suffix:
                raise ValueError(f"Clips are written as .npz, .json or .csv, not {suffix or 'without a suffix'!r}.")

    def _npz_bytes(self) -> bytes:
        longest = self.values.shape[1]
        faces = [self.take(i) for i in range(len(self.lengths))]
        return _npz(
            schema_version=np.array(SCHEMA),
            values=np.stack([np.pad(face, ((0, longest - len(face)), (0, 0)), mode="edge") for face in faces]),
            performance=self.values,
            timelines=np.array([json.dumps(t and t.to_json()) for t in map(self.timeline, range(len(faces)))]),
            speech_scale=np.array(self.speech_scale, np.float32),
            lengths=self.lengths,
            channels=np.array(self.space.channels),
            fps=np.array(self.space.fps, np.float32),
            space=np.array(self.space.name),
            text=np.array(self.text),
            seeds=self.seeds,
            emotion=np.array(self.emotion),
            settings=np.array(json.dumps(self.settings)),
            segments=np.array(json.dumps(self.segments)),
        )

    def _as_json(self) -> dict[str, Any]:
        takes = [
            {
                "seed": int(self.seeds[i]),
                "frames": int(self.lengths[i]),
                "segments": list(self.segments[i]) if self.segments else [],
                "timeline": timeline and timeline.to_json(),
                "values": _plain(self.take(i)),
                **({"performance": _plain(self.performance(i)), "speech_scale": self.speech_scale} if timeline else {}),
            }
            for i, timeline in enumerate(self.timelines or (None,) * len(self.lengths))
        ]
        return {
            "schema_version": SCHEMA,
            "text": self.text,
            "emotion": self.emotion,
            "space": self.space.name,
            "fps": self.space.fps,
            "channels": list(self.space.channels),
            "settings": self.settings,
            "takes": takes,
        }

    def _live_link_csv(self, index: int) -> str:
        """One take in the layout of a Live Link Face recording: timecode, count, 52 coefficients, 9 rotations.

        Head rotation is in radians; eye rotation is left at 0 because the eyeLook coefficients carry it.
        """
        head = {
            name: self.space.column(f"head{name.removeprefix('Head')}")
            for name in _LIVE_LINK_ROTATIONS
            if name.startswith("Head")
        }
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        coefficients = [c[0].upper() + c[1:] for c in ARKIT_CHANNELS]
        writer.writerow(["Timecode", "BlendShapeCount", *coefficients, *_LIVE_LINK_ROTATIONS])
        for number, frame in enumerate(self.take(index)):
            rotations = [f"{frame[head[name]]:.6f}" if name in head else "0.000000" for name in _LIVE_LINK_ROTATIONS]
            values = [f"{v:.6f}" for v in frame[: len(ARKIT_CHANNELS)]]
            columns = len(coefficients) + len(_LIVE_LINK_ROTATIONS)
            writer.writerow([_timecode(number, self.space.fps), columns, *values, *rotations])
        return out.getvalue()


def _npz(**arrays: Any) -> bytes:
    """As `np.savez_compressed`, but at zlib's level 1: two thirds of the time for two per cent more bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.asanyarray(array), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy")  # of 1980: the same take is the same bytes
            member.external_attr = 0o600 << 16
            file.writestr(member, data.getvalue(), zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()


def _plain(frames: npt.NDArray[np.float32]) -> list[list[float]]:
    return [[round(float(v), 5) for v in frame] for frame in frames]


def _timecode(frame: int, fps: float) -> str:
    """``HH:MM:SS:FF.fff``, the timecode of a Live Link Face recording."""
    seconds, rest = divmod(frame, round(fps))
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}.000"
