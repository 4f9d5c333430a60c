# SPDX-License-Identifier: GPL-3.0-or-later
"""How a folder of captures is read: ``captures.json``, which most folders do not need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from ..errors import DataError
from ..reading import SETTINGS as SETTINGS_BUDGET
from ..reading import reading

SETTINGS: Final = "captures.json"
RestingFace = Literal["auto", "none", "percentile"]
_HEAD: Final = ("pitch", "yaw", "roll")
#: Degrees for radians are 57.
_MOST: Final = 1000.0
_RESTS: Final = ("auto", "none", "percentile")


@dataclass(frozen=True)
class CaptureSettings:
    """Settings of a folder.

    Attributes:
        rest: what the actor's resting face is: "auto" (neutral.csv if it is there, else zero), "none" (zero), or
            "percentile" (what a coefficient falls below in 5 % of all frames; the median for the head).
        head: factors of pitch, yaw and roll that bring the file's angles to docs/architecture.md's radians and signs.
        timecode_fps: frames per second that timecodes count in; None infers it.
    """

    rest: RestingFace = "auto"
    head: tuple[float, float, float] = (1.0, 1.0, 1.0)
    timecode_fps: int | None = None

    @classmethod
    def read(cls, folder: Path) -> CaptureSettings:
        """From ``folder / captures.json`` if it is there; DataError names the field that is wrong."""
        path = folder / SETTINGS
        if not path.is_file():
            return cls()
        sentence = "{path} is not JSON ({why}); repair it or delete it."
        with reading(path, SETTINGS_BUDGET, lambda why: DataError(sentence.format(path=path, why=why))) as file:
            data = file.json()
        if not isinstance(data, dict):
            raise DataError(f'{path} must hold an object such as {{"rest": "percentile"}}.')
        if unknown := sorted(set(data) - {"rest", "head", "timecode_fps"}):
            raise DataError(f"{path} has no setting {unknown[0]!r:.80}; it may have rest, head and timecode_fps.")
        rest, base = data.get("rest", "auto"), data.get("timecode_fps")
        if not isinstance(rest, str) or rest not in _RESTS:
            raise DataError(f'{path}: "rest" is one of {", ".join(_RESTS)}, not {rest!r:.80}.')
        if base is not None and (isinstance(base, bool) or not isinstance(base, int) or not 1 <= base <= 1000):
            raise DataError(f'{path}: "timecode_fps" is a whole number such as 60, not {base!r:.80}.')
        return cls(cast(RestingFace, rest), _head(path, data.get("head", {})), base)


def _head(path: Path, factors: Any) -> tuple[float, float, float]:
    good = isinstance(factors, dict) and set(factors) <= set(_HEAD)
    # What is compared with numbers is among them, and NaN is not.
    if not good or not all(isinstance(v, int | float) and -_MOST <= v <= _MOST for v in factors.values()):
        raise DataError(f'{path}: "head" is an object of factors such as {{"yaw": -1}}, not {factors!r:.80}.')
    pitch, yaw, roll = (float(factors.get(name, 1.0)) for name in _HEAD)
    return pitch, yaw, roll
