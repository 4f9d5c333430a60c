# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of a few looks, and how much they can be trusted."""

from __future__ import annotations

import math


def wilson(seen: int, looks: int, z: float = 1.96) -> tuple[float, float]:
    """The interval in which a share lies of which ``seen`` of ``looks`` were seen, 0..1 each (Wilson 1927).

    ``z`` 1.96 is 95 %. For 21 of 24 it is 0.69 to 0.96. ValueError without looks, or with more seen than looked at.
    """
    if not 0 <= seen <= looks or looks < 1:
        raise ValueError(f"{seen} of {looks} looks is no share")
    share, weight = seen / looks, z * z / looks
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / looks + weight / (4 * looks))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def share_of(seen: int, looks: int) -> str:
    """``21 of 24 (0.69–0.96)``."""
    low, high = wilson(seen, looks)
    return f"{seen} of {looks} ({low:.2f}–{high:.2f})"
