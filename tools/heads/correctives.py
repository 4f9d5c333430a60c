# SPDX-License-Identifier: GPL-3.0-or-later
"""Correctives: what is added where two actions meet and would go too far together, or one would on its way."""

from __future__ import annotations

from typing import Final

import numpy as np

from blender_cteg.shared import ARKIT_CHANNELS

from .geometry import Floats
from .parts import Eye, smoothstep

#: A closed lid stays closed, whatever else moves it.
_LIDS: Final = ("eyeSquint", "eyeWide", "cheekSquint", "eyeLookDown")
#: Two that lift the same lip lift it hardly further than one: this much of what they share is taken back.
_SHARED: Final = 0.5
#: The cornea stands out from the eyeball by this part of its radius; lids keep off it.
_CORNEA: Final = 0.036
#: Pairs of actions, in the order of the correctives; of an action with itself it is what is added half-way: lids go
#: around the eyeball and the tongue (`mouth.tongue`) over the teeth, the straight line through them.
PAIRS: Final = (
    *(
        (f"{one}{side}", f"{other}{side}")
        for one, others in (("eyeBlink", ("eyeBlink", *_LIDS)), ("noseSneer", ("mouthUpperUp",)))
        for other in others
        for side in ("Left", "Right")
    ),
    ("tongueOut", "tongueOut"),
)


def correctives(columns: Floats, lid_ring: Floats, rest: Floats, eyes: list[Eye]) -> Floats:
    """(V, P, 3) displacement where both actions of a pair are at 1, half-way for one with itself; `PAIRS` order.

    ``columns`` (V, 52, 3) are the actions, ``lid_ring`` (V,) rings around the lids, ``rest`` (V, 3) the head at rest.
    """
    rim = 1 - smoothstep(5.0, 12.0, lid_ring)[:, None]
    result = np.zeros((len(columns), len(PAIRS), 3))
    for place, pair in enumerate(PAIRS):
        one, other = (columns[:, ARKIT_CHANNELS.index(name)] for name in pair)
        if pair[0] == "tongueOut":
            continue  # moves no skin
        if pair[0] == pair[1]:
            wide = columns[:, ARKIT_CHANNELS.index(pair[0].replace("Blink", "Wide"))]
            half = one / 2 + wide / 4  # eyes that are wide open shut around the whole ball
            result[:, place] = keep_off(rest, half[None], eyes)[0] - half
        elif pair[0].startswith("eyeBlink"):
            result[:, place] = -rim * other
        else:
            size = np.linalg.norm(one, axis=1, keepdims=True)
            along = one / np.maximum(size, 1e-9)
            result[:, place] = -_SHARED * along * np.clip((other * along).sum(axis=1, keepdims=True), 0, size)
    return result


def keep_off(points: Floats, deltas: Floats, eyes: list[Eye]) -> Floats:
    """``deltas`` (a, n, 3) of skin ``points`` (n, 3) that press none of them into an eyeball."""
    result = deltas.copy()
    for eye in eyes:
        near = np.flatnonzero(np.linalg.norm(points - eye.centre, axis=1) < 1.8 * eye.radius)
        arm = points[near] - eye.centre
        least = np.minimum(np.linalg.norm(arm, axis=1), eye.radius * (1 + _CORNEA) + 0.003)[:, None]
        moved = arm + deltas[:, near]
        length = np.linalg.norm(moved, axis=2, keepdims=True)
        result[:, near] = moved * (np.maximum(length, least) / length) - arm
    return result
