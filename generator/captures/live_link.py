# SPDX-License-Identifier: GPL-3.0-or-later
"""Live Link Face recordings: which files they are, and what one of them holds.

A recording is a .csv with the columns Timecode, BlendshapeCount, 52 ARKit coefficients (capital first letter), HeadYaw,
HeadPitch, HeadRoll (radians) and six eye rotations, one row per frame, 60 or 30 rows a second with some missing. The
eye rotations are not read: the eyeLook coefficients say the same.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..reading import RECORDING, reading
from ..shared.spaces import ARKIT55, ARKIT_CHANNELS, HEAD_CHANNELS

#: Files of a captures folder that are no recordings.
TRANSCRIPTS: Final = "transcripts.csv"
NEUTRAL: Final = "neutral.csv"
#: What the app writes when it is calibrated: the take itself, the take before calibration, the resting face.
_CALIBRATED, _RAW, _RESTING = "_cal", "_raw", "_neutral"
_TIMECODE: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})[:;](\d{1,4}(?:\.\d{1,9})?)")
#: Frame rates that count the last part of a timecode.
_TIMEBASES: Final = (24, 25, 30, 48, 50, 60, 120)
_DAY: Final = 24 * 3600.0
_MAX_COEFFICIENT: Final = 2.0
#: Longest recording, in seconds: every second of it becomes frames, whether it has rows or not.
_MAX_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class Recording:
    """One recording as it was filmed.

    Attributes:
        times: seconds from the first row, increasing, float64 (n,).
        values: in the channels of `ARKIT55`, not limited yet, float64 (n, 55).
    """

    times: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]

    @property
    def seconds(self) -> float:
        """From the first row to the last."""
        return float(self.times[-1])

    @property
    def fps(self) -> float:
        """Rows per second where none is missing."""
        return float(1.0 / np.median(np.diff(self.times)))


def find_recordings(folder: Path) -> list[Path]:
    """Recordings anywhere under ``folder``, in order of their paths: one file per take.

    Of a calibrated take (``X_cal.csv``, ``X_raw.csv``, ``X_neutral.csv``) the calibrated file is the one. Tables that
    do not begin with a Timecode column (the app's frame_log.csv, say) are no recordings.
    """
    found = []
    for path in sorted(folder.rglob("*.csv")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or str(inside).lower() in (TRANSCRIPTS, NEUTRAL):
            continue
        if not _has_better(path) and _is_recording(path):
            found.append(path)
    return found


def take_name(path: Path) -> str:
    """File name of a recording without suffix and calibration mark: ``MySlate_1_iPhone``."""
    return path.stem.removesuffix(_CALIBRATED).removesuffix(_RAW)


def read_recording(path: Path, timebase: int | None = None) -> Recording:
    """Read one recording.

    Args:
        path: the .csv file.
        timebase: frames per second that the timecode counts in; None infers it from the largest frame number.

    Raises:
        DataError: the message names file, row (the header is row 1), column and reason.
    """
    sentence = "{path} cannot be read ({why}); export it from Live Link Face again."
    with reading(path, RECORDING, lambda why: DataError(sentence.format(path=path, why=why))) as file:
        rows = csv.reader(io.StringIO(file.text(), newline=""))
        names = next(rows, [])
        header = [name.strip().lower() for name in names]
        columns = [_column(path, header, channel) for channel in ("timecode", *ARKIT55.channels)]
        codes: list[tuple[int, float, float]] = []  # row number, whole seconds, frames
        values = []
        for number, row in enumerate(file.each(rows), start=2):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < len(header):
                raise DataError(
                    f"{path}, row {number}: it has {len(row)} of {len(header)} values; delete the row or export the "
                    "take again."
                )
            codes.append((number, *_timecode(path, number, row[columns[0]])))
            values.append(np.array([_number(path, number, names[c], row[c]) for c in columns[1:]]))
        if len(values) < 2:
            raise DataError(f"{path} has {len(values)} frames; record the take again, or take it out of the folder.")
        array = np.stack(values)
        _check_units(path, array, [number for number, _, _ in codes])
        times, kept = _times(path, codes, timebase or _timebase(codes))
        return Recording(times, array[kept])


def _has_better(path: Path) -> bool:
    """Whether another file beside ``path`` holds the same take in a form that is preferred."""
    marks = ("", _CALIBRATED, _RAW, _RESTING)  # the best first
    mark = next((m for m in marks[1:] if path.stem.endswith(m)), "")
    name = path.stem.removesuffix(mark)
    return any(path.with_stem(name + better).is_file() for better in marks[: marks.index(mark)])


def _is_recording(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(4096).lower().lstrip().startswith("timecode,")
    except OSError:
        return False


def _column(path: Path, header: list[str], channel: str) -> int:
    try:
        return header.index(channel.lower())
    except ValueError:
        count = len(set(header) & {c.lower() for c in ARKIT55.channels})
        raise DataError(
            f"{path}, row 1: there is no column {channel[0].upper() + channel[1:]} (found {count} of "
            f"{len(ARKIT_CHANNELS)} coefficients and {len(HEAD_CHANNELS)} head angles); export the take from Live Link "
            "Face in ARKit mode."
        ) from None


def _timecode(path: Path, number: int, text: str) -> tuple[float, float]:
    """Whole seconds of the day, and frames, of ``HH:MM:SS:FF.fff``."""
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        raise DataError(f"{path}, row {number}, column Timecode: {text!r:.80} is not of the form HH:MM:SS:FF.fff.")
    hours, minutes, seconds, frames = match.groups()
    return int(hours) * 3600.0 + int(minutes) * 60.0 + int(seconds), float(frames)


def _number(path: Path, row: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(
            f"{path}, row {row}, column {column.strip()}: {text!r:.80} is not a number; delete the row or export the "
            "take again."
        )
    return value


def _check_units(path: Path, values: npt.NDArray[np.float64], rows: list[int]) -> None:
    size = np.abs(values)
    for columns, limit, advice in (
        (slice(0, 52), _MAX_COEFFICIENT, "coefficients go from 0 to 1"),
        (slice(52, 55), np.pi, 'head angles are in radians; for degrees set "head" in captures.json'),
    ):
        over = np.argwhere(size[:, columns] > limit)
        if len(over):
            row, column = int(over[0][0]), int(over[0][1]) + (columns.start or 0)
            raise DataError(
                f"{path}, row {rows[row]}, column {ARKIT55.channels[column]}: {values[row, column]:g} cannot be; "
                f"{advice}."
            )


def _timebase(codes: list[tuple[int, float, float]]) -> int:
    largest = max(frames for _, _, frames in codes)
    if codes[-1][1] == codes[0][1]:
        # All within one second: nothing shows where the count would have started again.
        return max(60, int(largest) + 1)
    return next((base for base in _TIMEBASES if base > largest), int(largest) + 1)


def _times(
    path: Path, codes: list[tuple[int, float, float]], timebase: int
) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Seconds from the first row, and the rows kept: of rows with one timecode the first."""
    times, kept, midnight = [0.0], [0], 0.0
    first = codes[0][1] + codes[0][2] / timebase
    for index, (number, seconds, frames) in enumerate(codes[1:], start=1):
        time = seconds + frames / timebase + midnight - first
        if time < times[-1] - _DAY / 2:
            midnight += _DAY
            time += _DAY
        if time < times[-1] - 1e-6:
            raise DataError(
                f"{path}, row {number}, column Timecode: the time runs backwards; if the app counts other than "
                f'{timebase} frames a second, set "timecode_fps" in captures.json.'
            )
        if time > _MAX_SECONDS:
            raise DataError(
                f"{path}, row {number}, column Timecode: it is {time / 60:.0f} minutes after the first row, and a "
                f"recording has at most {_MAX_SECONDS / 60:.0f}; record shorter takes, or repair the timecode."
            )
        if time > times[-1] + 1e-6:
            times.append(time)
            kept.append(index)
    if len(times) < 2:
        raise DataError(f"{path}: every row has the same Timecode; export the take from Live Link Face again.")
    return np.array(times), kept
