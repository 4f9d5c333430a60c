# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the demo head is: a young adult mixed from MakeHuman's macro targets and a few portrait details."""

from __future__ import annotations

from typing import Final

import numpy as np

from .source import AnnySource, Floats

_TARGETS: Final = "mpfb2/targets/"

#: Macro target -> weight. The three ancestries sum to 1; the universal target sets age and build.
_MACROS: Final = {
    "caucasian-female-young": 0.46,
    "asian-female-young": 0.20,
    "african-female-young": 0.14,
    "caucasian-male-young": 0.20,
    "universal-female-young-averagemuscle-averageweight": 0.8,
    "universal-male-young-averagemuscle-averageweight": 0.2,
}

#: Detail target -> weight; "?" stands for both sides, l and r. Chosen by looking at renders.
_DETAILS: Final = {
    "eyes/?-eye-scale-incr": 0.35,
    "eyes/?-eye-height2-incr": 0.08,
    "mouth/mouth-upperlip-volume-incr": 0.15,
    "mouth/mouth-scale-horiz-incr": 0.15,
    "mouth/mouth-angles-up": 0.25,
    "chin/chin-width-decr": 0.35,
    "chin/chin-height-decr": 0.15,
    "head/head-oval": 0.35,
    "head/head-fat-decr": 0.15,
    "cheek/?-cheek-bones-incr": 0.20,
    "nose/nose-scale-horiz-decr": 0.15,
    "nose/nose-point-up": 0.10,
}


def identity_offsets(source: AnnySource, count: int) -> Floats:
    """Displacement (``count``, 3) in decimetres from the base mesh to the demo head's face."""
    total = np.zeros((count, 3))
    for name, weight in _MACROS.items():
        total += weight * source.target(f"{_TARGETS}macrodetails/{name}.target.gz", count)
    for name, weight in _DETAILS.items():
        for full in (name.replace("?", "l"), name.replace("?", "r")) if "?" in name else (name,):
            total += weight * source.target(f"{_TARGETS}{full}.target.gz", count)
    return total
