# SPDX-License-Identifier: GPL-3.0-or-later
"""The standard-face terminator (section 3.5): a performance is over where the face is at rest, and arrives there."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ..shared.easing import minimum_jerk
from ..shared.spaces import Space

Floats = npt.NDArray[np.float32]

#: Longest ease-out to the standard face, in seconds, and its largest share of a clip.
EASE_OUT_SECONDS: Final = 0.5
EASE_OUT_SHARE: Final = 0.3
#: The stop rule looks for the standard face only after this share of the clip, so that a calm moment is no end.
STOP_AFTER_SHARE: Final = 0.75


def end_at_standard_face(frames: Floats, space: Space, *, stop_early: bool = True) -> Floats:
    """Cut at the standard face, then arrive there with zero velocity.

    With ``stop_early`` the clip (T, C) is cut where `first_standard_face` says. Its last half second then eases out to
    exactly zero, so the face always comes to rest, even where the model did not.
    """
    return ease_out(frames[: first_standard_face(frames, space)] if stop_early else frames, space)


def first_standard_face(frames: Floats, space: Space) -> int:
    """Frames of (T, C) up to the first at the standard face, `Space.standard_face_norm`, in the last quarter."""
    first = int(len(frames) * STOP_AFTER_SHARE)
    still = np.flatnonzero(np.linalg.norm(frames[first:], axis=1) < space.standard_face_norm)
    return first + int(still[0]) + 1 if still.size else len(frames)


def ease_out(frames: Floats, space: Space) -> Floats:
    """``frames`` (T, C) with the last half second (or `EASE_OUT_SHARE`) eased out to the standard face."""
    frames, count = frames.copy(), len(frames)
    ease = max(1, min(round(EASE_OUT_SECONDS * space.fps), round(count * EASE_OUT_SHARE)))
    t = np.linspace(0, 1, ease + 1, dtype=np.float32)[1:]
    frames[-ease:] *= (1 - minimum_jerk(t))[:, None]
    frames[-1] = 0
    return frames
