# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes made from takes: a variation of a branch of a take draws as its ancestors drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..direction.requests import Origin

T = TypeVar("T")


def inherited(
    seed: int,
    origin: Origin,
    own: Callable[[int], T],
    near: Callable[[T, T, float], T],
    begun: Callable[[T, T, int], T],
) -> T:
    """The draws of the take of ``seed`` that was made as ``origin`` says.

    Args:
        seed: the take's own.
        origin: the take it was made from, with its own origin in turn.
        own: the draws of a take of its own.
        near: draws near the first, with so much of the second.
        begun: the first's draws up to a frame, then the second's.
    """
    draws = own(seed)
    if vary := origin.vary:
        draws = near(inherited(vary.seed, vary.origin, own, near, begun), draws, vary.amount)
    if branch := origin.branch:
        draws = begun(inherited(branch.seed, branch.origin, own, near, begun), draws, branch.frame)
    return draws


def ancestor(origin: Origin) -> int | None:
    """The seed of the take of its own at the beginning of the line of descent, whose length all others have."""
    seed = None
    while (given := origin.branch or origin.vary) is not None:
        seed, origin = given.seed, given.origin
    return seed
