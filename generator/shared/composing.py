# SPDX-License-Identifier: GPL-3.0-or-later
"""Composing: how a performance and its speech become one face. The one place where the two layers meet.

In this order, on every frame: speech takes its share of the performance's mouth and jaw (`yields`); rounding bends
what is left of smile and stretch (`rounding`); jaw and shapes of the sounds are added; and closures win: where the lips
seal, teeth are covered, the jaw comes up, and ``mouthClose`` cancels what is left of its opening (ARKit's meaning of
that channel). So p, b and m hold whatever either layer does. Shares are in ``mouth.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .articulation import Speech, articulate, channel_row, columns, mouth_table
from .spaces import ARKIT55
from .timeline import Timeline

_SHARES: Final[Mapping[str, float]] = mouth_table()["composing"]
_YIELDS: Final = channel_row(mouth_table()["yields"])
_BENT: Final = channel_row(mouth_table()["rounding"])
_JAW, _CLOSE, _CHIN = (columns(name)[0] for name in ("jawOpen", "mouthClose", "mouthShrugLower"))
_PUCKER, _FUNNEL, _TUCK = (columns(name)[0] for name in ("mouthPucker", "mouthFunnel", "mouthRollLower"))
_LOWER_LIP, _UPPER_LIP = list(columns("mouthLowerDown*")), list(columns("mouthUpperUp*"))
_SNEER: Final = list(columns("noseSneer*"))
#: What parts the lips with the jaw shut.
_PARTING: Final = [
    *_LOWER_LIP, *_UPPER_LIP, _FUNNEL, *columns("mouthShrugUpper"), *columns("tongueOut"),
]  # fmt: skip


def compose(
    performance: npt.NDArray[np.floating[Any]],
    speech: Speech,
    *,
    performance_scale: float = 1.0,
    speech_scale: float = 1.0,
) -> npt.NDArray[np.float32]:
    """One face of two layers.

    Args:
        performance: frames of the space arkit55, (T, 55).
        speech: the same T frames.
        performance_scale, speech_scale: size of each layer, 0..1.5. A speech that is scaled to nothing still closes the
            lips; leave it out where nothing is to be said.

    Returns:
        float32 (T, 55), within the limits of the space.
    """
    face = np.clip(performance * performance_scale, ARKIT55.lower, ARKIT55.upper).astype(np.float64)
    shapes, seal = speech.shapes * speech_scale, speech.seal
    face *= 1.0 - speech.activity[:, None] * _YIELDS
    round_lips = np.clip(shapes[:, _PUCKER] + 0.7 * shapes[:, _FUNNEL], 0.0, 1.0)
    face *= 1.0 - round_lips[:, None] * _BENT
    tucked = np.clip(shapes[:, _TUCK] / 0.4, 0.0, 1.0)
    face[:, _LOWER_LIP] *= (1.0 - _SHARES["tucked"] * tucked)[:, None]
    face[:, _UPPER_LIP] *= (1.0 - _SHARES["under"] * tucked)[:, None]
    jaw = face[:, _JAW] * (1.0 - _SHARES["jaw_up"] * seal)
    jaw += shapes[:, _JAW] * (1.0 - _SHARES["jaw_full"] * jaw) * (1.0 - _SHARES["jaw_light"] * seal)
    face += shapes
    face[:, _JAW] = jaw
    face[:, _PARTING] *= (1.0 - seal)[:, None]
    face[:, _SNEER] *= (1.0 - _SHARES["sneer"] * seal)[:, None]
    face[:, _CHIN] += _SHARES["meet"] * seal * face[:, _SNEER].mean(1)
    np.clip(face, ARKIT55.lower, ARKIT55.upper, out=face)
    face[:, _CLOSE] = (1.0 - seal) * face[:, _CLOSE] + seal * face[:, _JAW]
    return face.astype(np.float32)


def whole_face(
    performance: npt.NDArray[np.floating[Any]], timeline: Timeline | None, fps: float, speech_scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """The face of a clip at ``fps``: its performance (T, C), speaking ``timeline``; as it is where it says nothing."""
    if timeline is None or not timeline.words:
        return np.asarray(performance, np.float32)
    return compose(performance, articulate(timeline, fps, len(performance)), speech_scale=speech_scale)
