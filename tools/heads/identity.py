# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the demo heads are: people mixed from MakeHuman's macro targets and a few portrait details, and their colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .source import AnnySource, Floats

_TARGETS: Final = "mpfb2/targets/"
Colour = tuple[float, float, float]


#: As made, 22 to 23 mm of an eye are seen between its corners; with lids as high as people's that looks round, afraid.
_EYES: Final[Mapping[str, float]] = {"eyes/?-eye-push1-out": 0.25, "eyes/?-eye-push2-out": 0.2}
_REST: Final[Mapping[str, float]] = {"browInnerUp": -0.3, "browOuterUp": 0.3}


@dataclass(frozen=True)
class Person:
    """One identity: all share vertices, polygons and the basis of expressions.

    Attributes:
        macros: macro target -> weight; the ancestries add up to 1, the universal targets set age and build.
        details: detail target -> weight; "?" stands for both sides, l and r. Chosen by looking at renders.
        tone, lip, hair_dark, hair_light, iris: sRGB colours, 0..1.
        brow: linear RGB of the brows.
        shirt: linear RGB.
        knot: size of the knot of hair; a small one is hidden in the hair.
        volume: how far the hair stands off, 1 as usual.
        brows: how thick the brows' hairs are, 1 as usual.
        lashes: how long the lashes are, 1 as usual.
        stubble, freckles, age: strengths 0..1 of what is painted.
        wrinkles: how deep the folds of the acting face are, 1 at forty.
        upper_lid: how far above the middle of the pupil it rests, in radii of the iris: seen from the front 4.0 mm. In
            people it is 4.0 to 4.5 mm, less in the old (3.5 mm in the mean at 58, Rana et al. 2023).
        rest: how much the face at rest holds of an action, which then starts from there. Without it the inner ends of
            the brows stand high and the outer ends low, which looks sad.
    """

    macros: Mapping[str, float]
    details: Mapping[str, float]
    tone: Colour
    lip: Colour
    hair_dark: Colour
    hair_light: Colour
    iris: Colour
    brow: Colour
    shirt: Colour
    knot: float = 1.0
    volume: float = 1.0
    brows: float = 1.0
    lashes: float = 1.0
    stubble: float = 0.0
    freckles: float = 1.0
    age: float = 0.0
    wrinkles: float = 1.0
    upper_lid: float = 0.66
    rest: Mapping[str, float] = field(default_factory=lambda: _REST)


#: The first is the default, and owns what is shared.
PEOPLE: Final[Mapping[str, Person]] = {
    "mira": Person(
        macros={
            "caucasian-female-young": 0.46, "asian-female-young": 0.20, "african-female-young": 0.14,
            "caucasian-male-young": 0.20,
            "universal-female-young-averagemuscle-averageweight": 0.8,
            "universal-male-young-averagemuscle-averageweight": 0.2,
        },
        details={
            **_EYES,
            "mouth/mouth-upperlip-volume-incr": 0.15, "mouth/mouth-scale-horiz-incr": 0.15,
            "mouth/mouth-angles-up": 0.55, "chin/chin-width-decr": 0.35, "chin/chin-height-decr": 0.15,
            "head/head-oval": 0.35, "head/head-fat-decr": 0.15, "cheek/?-cheek-bones-incr": 0.20,
            "nose/nose-scale-horiz-decr": 0.15, "nose/nose-point-up": 0.10,
            "nose/nose-trans-up": 0.3, "mouth/mouth-trans-down": 0.1,
        },
        tone=(0.885, 0.695, 0.595), lip=(0.73, 0.43, 0.40), hair_dark=(0.115, 0.075, 0.055),
        hair_light=(0.34, 0.225, 0.15), iris=(0.42, 0.26, 0.11), brow=(0.034, 0.020, 0.013), shirt=(0.055, 0.10, 0.13),
        wrinkles=0.6,
    ),
    "tomas": Person(
        macros={
            "caucasian-male-young": 0.70, "caucasian-male-old": 0.20, "asian-male-young": 0.10,
            "universal-male-young-averagemuscle-averageweight": 0.7,
            "universal-male-old-averagemuscle-averageweight": 0.3,
        },
        details={
            **_EYES,
            "mouth/mouth-angles-up": 0.7,
            "chin/chin-width-incr": 0.3, "chin/chin-prominent-incr": 0.2,
            "head/head-rectangular": 0.35,
            "nose/nose-hump-incr": 0.25, "nose/nose-trans-up": 0.3, "neck/neck-scale-horiz-incr": 0.4,
            "mouth/mouth-upperlip-volume-decr": 0.1, "mouth/mouth-scale-horiz-incr": 0.1,
        },
        tone=(0.86, 0.66, 0.55), lip=(0.68, 0.42, 0.38), hair_dark=(0.20, 0.18, 0.165), hair_light=(0.50, 0.47, 0.44),
        iris=(0.24, 0.33, 0.40), brow=(0.060, 0.046, 0.036), shirt=(0.10, 0.105, 0.12),
        knot=0.15, volume=0.75, brows=1.25, lashes=0.7, stubble=0.7, freckles=0.0, age=0.5, wrinkles=1.2,
    ),
    "ama": Person(
        macros={
            "african-female-old": 0.45, "african-female-young": 0.50, "caucasian-female-old": 0.05,
            "universal-female-old-averagemuscle-averageweight": 0.45,
            "universal-female-young-averagemuscle-averageweight": 0.55,
        },
        details={
            **_EYES,
            "cheek/?-cheek-volume-incr": 0.3, "mouth/mouth-angles-up": 0.45,
            "head/head-round": 0.35, "mouth/mouth-lowerlip-volume-incr": 0.1,
            "neck/neck-double-incr": 0.15,
        },
        tone=(0.47, 0.305, 0.225), lip=(0.43, 0.22, 0.205), hair_dark=(0.25, 0.245, 0.24),
        hair_light=(0.66, 0.65, 0.63),
        iris=(0.17, 0.10, 0.06), brow=(0.030, 0.027, 0.025), shirt=(0.30, 0.085, 0.035),
        knot=1.25, volume=1.15, brows=0.85, freckles=0.0, age=0.8, wrinkles=1.3, upper_lid=0.53,
        rest={**_REST, "mouthSmile": -0.07},
    ),
}  # fmt: skip


def identity_offsets(source: AnnySource, count: int, person: Person) -> Floats:
    """Displacement (``count``, 3) in decimetres from the base mesh to this person's face."""
    total = np.zeros((count, 3))
    for name, weight in person.macros.items():
        total += weight * source.target(f"{_TARGETS}macrodetails/{name}.target.gz", count)
    for name, weight in person.details.items():
        for full in (name.replace("?", "l"), name.replace("?", "r")) if "?" in name else (name,):
            total += weight * source.target(f"{_TARGETS}{full}.target.gz", count)
    return total
