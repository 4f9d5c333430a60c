# SPDX-License-Identifier: GPL-3.0-or-later
"""How a face sets off and arrives."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Float = TypeVar("Float", bound=np.floating[Any])


def minimum_jerk(u: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """Position along a minimum-jerk move, 0 at u <= 0 and 1 at u >= 1 (Flash and Hogan 1985), any shape.

    Velocity and acceleration are zero at both ends.
    """
    u = np.clip(u, 0, 1)
    eased: npt.NDArray[Float] = u * u * u * (10 - 15 * u + 6 * u * u)
    return eased


def track(
    t: npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
    durations: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    start: float = 0.0,
) -> npt.NDArray[np.float64]:
    """A value that moves to ``values[i]`` beginning at ``times[i]`` within ``durations[i]``.

    Overlapping moves add up, so the result is always as smooth as its moves.

    Args:
        t: times to evaluate, any shape (...).
        times, durations: shape (n,), seconds.
        values: shape (n,).
        start: value before the first move.

    Returns:
        shape (...).
    """
    if not len(times):
        return np.full(t.shape, start)
    steps = np.diff(values, prepend=start)
    result: npt.NDArray[np.float64] = start + minimum_jerk((t[..., None] - times) / durations) @ steps
    return result
