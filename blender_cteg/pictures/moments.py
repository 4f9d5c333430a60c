# SPDX-License-Identifier: GPL-3.0-or-later
"""Which moments of takes tell most about them (no ``bpy``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: How much a pose counts that is mouth and jaw alone, which move with every sound; how much a moment that is far away.
_MOUTH: Final = 0.4
_TIME: Final = 0.7


def telling(faces: Sequence[Floats], channels: Sequence[str], count: int) -> tuple[int, ...]:
    """Frames in order: of one take those with the most different faces, of two those at which the two differ most.

    Args:
        faces: whole faces, (T, C) each.
        channels: C names.
        count: how many at most; fewer where the take has fewer frames.
    """
    length = min(len(face) for face in faces)
    weights = np.array([_MOUTH if name.startswith(("jaw", "mouth", "tongue")) else 1.0 for name in channels])
    poses = np.stack([face[:length] for face in faces]).astype(np.float64) * weights
    if len(faces) > 1:
        worth = np.linalg.norm(poses[0] - poses[1], axis=1)
        largest = worth.max()
        worth = worth / largest if largest > 0 else worth
    else:
        worth = np.zeros(length)
    far = poses.transpose(1, 0, 2).reshape(length, -1)
    scale = max(float(np.linalg.norm(far - far.mean(0), axis=1).max()), 1e-9)
    chosen = [int((np.linalg.norm(far, axis=1) / scale + worth).argmax())]
    frames = np.arange(length)
    while len(chosen) < min(count, length):
        apart = np.min([np.linalg.norm(far - far[k], axis=1) / scale for k in chosen], axis=0)
        away = np.min([np.abs(frames - k) for k in chosen], axis=0)
        rated = apart + worth + _TIME * np.minimum(away * count / length, 1.0)
        rated[away == 0] = -np.inf
        chosen.append(int(rated.argmax()))
    return tuple(sorted(chosen))
