# SPDX-License-Identifier: GPL-3.0-or-later
"""Correctives: what is added where two actions meet and would go too far together."""

from __future__ import annotations

from typing import Final

import numpy as np

from blender_cteg.shared import ARKIT_CHANNELS

from .geometry import Floats
from .parts import smoothstep

#: A closed lid stays closed, whatever else moves it.
_LIDS: Final = ("eyeSquint", "eyeWide", "cheekSquint", "eyeLookDown")
#: Two that lift the same lip lift it hardly further than one: this much of what they share is taken back.
_SHARED: Final = 0.5
#: Pairs of actions, in the order of the correctives.
PAIRS: Final = tuple(
    (f"{one}{side}", f"{other}{side}")
    for one, others in (("eyeBlink", _LIDS), ("noseSneer", ("mouthUpperUp",)))
    for other in others
    for side in ("Left", "Right")
)


def correctives(columns: Floats, lid_ring: Floats) -> Floats:
    """(V, P, 3) displacement where both actions of a pair are at 1, from ``columns`` (V, 52, 3); `PAIRS` order."""
    rim = 1 - smoothstep(5.0, 12.0, lid_ring)[:, None]
    result = np.zeros((len(columns), len(PAIRS), 3))
    for place, pair in enumerate(PAIRS):
        one, other = (columns[:, ARKIT_CHANNELS.index(name)] for name in pair)
        if pair[0].startswith("eyeBlink"):
            result[:, place] = -rim * other
        else:
            size = np.linalg.norm(one, axis=1, keepdims=True)
            along = one / np.maximum(size, 1e-9)
            result[:, place] = -_SHARED * along * np.clip((other * along).sum(axis=1, keepdims=True), 0, size)
    return result
