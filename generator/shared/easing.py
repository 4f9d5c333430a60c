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
