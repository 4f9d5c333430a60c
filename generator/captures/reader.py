# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of captures as a corpus: recordings are cut into lines, brought to 24 frames per second and to rest."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..corpus.reader import SCHEMA_VERSION, Corpus
from ..corpus.texts import SPLITS
from ..direction.emotions import emotion_weights
from ..direction.requests import MAX_SECONDS, MIN_SECONDS
from ..errors import DataError
from ..reading import KEPT, Reading
from ..shared.easing import minimum_jerk
from ..shared.spaces import ARKIT55
from ..writing import write_atomically
from .emotions import emotions_of
from .live_link import NEUTRAL, TRANSCRIPTS, find_recordings, read_recording
from .resample import to_clip_rate
from .rest import Rest, resting_face
from .settings import SETTINGS, CaptureSettings
from .splits import assign_splits
from .transcripts import Transcript, read_transcripts

#: Folder inside a captures folder where what was read is kept; it may be deleted at any time.
CACHE: Final = ".cteg-cache"
#: Changes whenever the same files would be read differently.
_READER_VERSION: Final = 1
#: Missing rows for longer than this are worth a warning.
_GAP_SECONDS: Final = 0.25
_EASE_IN_SECONDS: Final = 0.25
#: As `generator.performing.terminator.EASE_OUT_SECONDS` and `EASE_OUT_SHARE`.
_EASE_OUT_SECONDS, _EASE_OUT_SHARE = 0.5, 0.3
_HEAD: Final = slice(52, 55)

_log = logging.getLogger("generator.captures")


@dataclass(frozen=True)
class _Content:
    """All splits of a folder: values (frames, 55), offsets (n + 1,), n lines, sentences for the user."""

    values: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]
    lines: list[dict[str, Any]]
    warnings: list[str]


def open_captures(folder: Path, split: str) -> Corpus:
    """One split of a folder of Live Link Face recordings with its ``transcripts.csv`` (docs/captures.md).

    Every row of the table is a clip in the space arkit55 at 24 frames per second that begins and ends near the standard
    face. A line's words decide its split, so no line is in two of them; from three different lines on none is empty.
    What the user should know is logged as warnings and stored in ``info["warnings"]``.

    Raises:
        DataError: the message names file, row, column and reason.
    """
    if split not in SPLITS:
        raise DataError(f"Captures have the splits {', '.join(SPLITS)}, not {split!r}.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give the folder with Live Link Face's recordings.")
    recordings = find_recordings(folder)
    if not recordings:
        raise DataError(
            f"{folder} has no Live Link Face recording (a .csv whose first column is Timecode); copy the app's takes "
            "into it."
        )
    content = _read(folder.resolve(), _fingerprint(folder, recordings))
    rows = [i for i, line in enumerate(content.lines) if line["split"] == split]
    clips = [content.values[content.offsets[i] : content.offsets[i + 1]] for i in rows]
    info = {
        "schema_version": SCHEMA_VERSION, "space": ARKIT55.name, "fps": ARKIT55.fps,
        "channels": list(ARKIT55.channels), "sources": {"captures": {"folder": folder.name}},
        "warnings": content.warnings,
    }  # fmt: skip
    empty = np.zeros((0, ARKIT55.size), np.float16)
    return Corpus(
        ARKIT55,
        info,
        np.concatenate([empty, *clips]),
        np.cumsum([0, *map(len, clips)]).astype(np.int64),
        [content.lines[i] for i in rows],
    )


def _fingerprint(folder: Path, recordings: list[Path]) -> str:
    """Of everything that decides what is read: another one means that the cache is out of date."""
    tables = [path for name in (TRANSCRIPTS, NEUTRAL, SETTINGS) if (path := folder / name).is_file()]
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in [*tables, *recordings]]
    facts = [_READER_VERSION, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@lru_cache(maxsize=2)
def _read(folder: Path, fingerprint: str) -> _Content:
    """The whole folder, from its cache if it is there; what the user should know is said once per process."""
    path = folder / CACHE / f"{fingerprint}.npz"
    content = _load(path)
    if content is None:
        content = _build(folder)
        _store(path, content)
    for sentence in content.warnings:
        _log.warning("warning: %s", sentence)
    return content


def _load(path: Path) -> _Content | None:
    try:
        arrays = Reading(path, KEPT).arrays()
        values, offsets, notes = arrays["values"], arrays["offsets"], json.loads(str(arrays["notes"]))
        if values.shape != (int(offsets[-1]), ARKIT55.size) or len(notes["lines"]) + 1 != len(offsets):
            return None
        return _Content(values, offsets, notes["lines"], notes["warnings"])
    except Exception:  # not there, or not whole, which shows in many ways: it is made again
        return None


def _store(path: Path, content: _Content) -> None:
    notes = np.array(json.dumps({"lines": content.lines, "warnings": content.warnings}))
    try:
        write_atomically(path, lambda file: np.savez(file, values=content.values, offsets=content.offsets, notes=notes))
        for other in path.parent.glob("*.npz"):
            if other != path:
                other.unlink()
    except OSError:
        pass  # a folder that cannot be written: what was read stays in memory


def _build(folder: Path) -> _Content:
    from tqdm import tqdm

    settings = CaptureSettings.read(folder)
    recordings = find_recordings(folder)
    transcripts = read_transcripts(folder, recordings)
    used = [path for path in recordings if any(t.path == path for t in transcripts)]
    warnings = _unused(folder, [path for path in recordings if path not in used])
    frames: dict[Path, npt.NDArray[np.float32]] = {}
    for path in tqdm(used, desc="reading recordings", unit="file", disable=len(used) < 20):
        recording = read_recording(path, settings.timecode_fps)
        if (gap := float(np.diff(recording.times).max())) > _GAP_SECONDS:
            at = float(recording.times[int(np.diff(recording.times).argmax())])
            warnings.append(
                f"{path.relative_to(folder)} has no frames for {gap:.1f} s at {at:.1f} s; the face is interpolated "
                "there."
            )
        frames[path] = to_clip_rate(recording)
        frames[path][:, _HEAD] *= settings.head
    rest, doubts = resting_face(folder, settings, list(frames.values()))
    warnings += doubts
    clips = [_clip(frames[t.path], t, rest) for t in transcripts]
    guessed, doubts = emotions_of(transcripts)
    warnings += doubts
    splits, doubts = assign_splits([t.text for t in transcripts])
    warnings += doubts
    lines = [
        {
            "text": t.text,
            "weights": [round(float(w), 4) for w in emotion_weights(emotion)],
            "intensity": t.intensity,
            "seed": 0,
            "emotion": emotion,
            "labelled": t.emotion is not None,
            "source": "captures",
            "split": split,
            "file": t.path.relative_to(folder).as_posix(),
            "start": t.start,
            "end": t.end,
        }
        for t, emotion, split in zip(transcripts, guessed, splits, strict=True)
    ]
    offsets = np.cumsum([0, *map(len, clips)]).astype(np.int64)
    return _Content(np.concatenate(clips).astype(np.float16), offsets, lines, warnings)


def _unused(folder: Path, paths: list[Path]) -> list[str]:
    if not paths:
        return []
    names = ", ".join(str(p.relative_to(folder)) for p in paths[:3]) + (", …" if len(paths) > 3 else "")
    count = f"{len(paths)} recordings have" if len(paths) > 1 else "One recording has"
    return [f"{count} no row in {TRANSCRIPTS} and will not be learned from: {names}."]


def _clip(frames: npt.NDArray[np.float32], line: Transcript, rest: Rest) -> npt.NDArray[np.float32]:
    """The frames of a line, (T, 55): cut out, at rest where the actor is, within limits, with quiet ends."""
    fps, seconds = ARKIT55.fps, len(frames) / ARKIT55.fps
    start, end = line.start or 0.0, line.end if line.end is not None else seconds
    if start >= seconds or end > seconds + 0.5:
        wrong, value = ("start", start) if start >= seconds else ("end", end)
        raise DataError(f"{line.where}, column {wrong}: {value:g} s is after the recording's end at {seconds:.1f} s.")
    clip = frames[round(start * fps) : round(end * fps)]
    length = len(clip) / fps
    if length < MIN_SECONDS:
        raise DataError(
            f"{line.where}: the recording of this line is {length:.2f} s long and {MIN_SECONDS} s is the shortest that "
            "can be learned; record it again or take the row out."
        )
    if length > MAX_SECONDS:
        raise DataError(
            f"{line.where}: the recording is {length:.1f} s long and {MAX_SECONDS:g} s is the longest that can be "
            "learned; give every line in it a row of its own with start and end in seconds."
        )
    return quiet_ends(np.clip(rest.remove(clip), ARKIT55.lower, ARKIT55.upper))


def quiet_ends(clip: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``clip`` (T, 55) eased in and out, as the teacher's takes are: it begins near the standard face and ends in it.

    What `performing.terminator.end_at_standard_face` does to a take, and the beginning of `generator.corpus.teacher`'s.
    """
    count, fps = len(clip), ARKIT55.fps
    into = 0.4 + 0.6 * minimum_jerk((np.arange(count) / fps + 0.04) / _EASE_IN_SECONDS)
    ease = max(1, min(round(_EASE_OUT_SECONDS * fps), round(count * _EASE_OUT_SHARE)))
    out = 1.0 - minimum_jerk((np.arange(count) - (count - 1 - ease)) / ease)
    return (clip * (into * out)[:, None]).astype(np.float32)
