# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: which facial actions show which emotion, as data.

Action units (AU) follow FACS (Ekman, Friesen and Hager 2002); the emotion prototypes are EMFACS', the compounds
those of Du, Tao and Martinez 2014, "Compound facial expressions of emotion". Strengths are 0..1 at intensity 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: Action unit -> ARKit coefficients at full strength. A name that ends in "*" stands for its Left and Right channels.
ACTION_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "1": {"browInnerUp": 1.0},
    "2": {"browOuterUp*": 1.0},
    "4": {"browDown*": 1.0, "noseSneer*": 0.08},
    "5": {"eyeWide*": 1.0},
    "6": {"cheekSquint*": 1.0, "eyeSquint*": 0.45},
    "7": {"eyeSquint*": 1.0},
    "9": {"noseSneer*": 1.0, "mouthUpperUp*": 0.15},
    "10": {"mouthUpperUp*": 0.8, "noseSneer*": 0.35},
    "12": {"mouthSmile*": 1.0, "mouthDimple*": 0.12, "cheekSquint*": 0.1},
    "14": {"mouthDimple*": 1.0, "mouthPress*": 0.15},
    "15": {"mouthFrown*": 1.0},
    "16": {"mouthLowerDown*": 1.0},
    "17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.35},
    "18": {"mouthPucker": 1.0},
    "20": {"mouthStretch*": 1.0},
    "22": {"mouthFunnel": 1.0},
    "23": {"mouthRollLower": 0.55, "mouthRollUpper": 0.5, "mouthPress*": 0.2, "mouthFrown*": 0.1},
    "24": {"mouthPress*": 0.45, "mouthRollLower": 0.45, "mouthRollUpper": 0.35, "mouthFrown*": 0.25},
    "25": {"mouthLowerDown*": 0.45, "mouthUpperUp*": 0.25, "jawOpen": 0.06},
    "26": {"jawOpen": 0.42},
    "27": {"jawOpen": 0.85},
    "28": {"mouthRollLower": 0.9, "mouthRollUpper": 0.6},
    "29": {"jawForward": 1.0},
    "30": {"jawLeft": 1.0},
    "33": {"cheekPuff": 1.0},
    "36": {"tongueOut": 1.0},
    "43": {"eyeBlink*": 1.0},
    # No units of FACS: the whole mouth drawn to the side that leads.
    "M": {"mouthLeft": 1.0},
}

#: Actions that hold the lips together or the jaw open: they give way while words are spoken.
YIELDS_TO_SPEECH: Final[Mapping[str, float]] = {
    "17": 0.35, "23": 0.2, "24": 0.15, "28": 0.1, "26": 0.35, "27": 0.3, "18": 0.2, "22": 0.3, "33": 0.2, "36": 0.0,
    "30": 0.4, "M": 0.5, "14": 0.6, "15": 0.8, "20": 0.65, "25": 0.75, "16": 0.75, "12": 0.85, "10": 0.9,
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One way of showing an emotion.

    Attributes:
        name: for reading and for tests.
        upper, lower: AU -> strength for brows, lids, cheeks, nose / for mouth and jaw.
        extreme: AU -> strength added as intensity rises from 0.75 to 1.5.
        head: pitch (down), yaw (away from the partner; the side is drawn per take), roll (same side), radians.
        gaze: pitch (down) and yaw (to the same side as the head) of where the eyes rest, radians, world.
        asymmetry: extra difference between the two sides, 0 even.
        weight: how often it is chosen.
        sounds: what the voice may add: laugh, sob, sigh, gasp, huff, tremble.
    """

    name: str
    upper: Mapping[str, float]
    lower: Mapping[str, float]
    extreme: Mapping[str, float] = field(default_factory=dict)
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    asymmetry: float = 0.0
    weight: float = 1.0
    sounds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manner:
    """How an emotion moves, whatever its variant.

    Attributes:
        rate: speech rate, 1 natural.
        onset: seconds an expression takes to arrive at intensity 1.
        hold: seconds it is held after the last word.
        blinks: per minute.
        head: size of head gestures, 1 natural; sway: size of its slow wandering.
        avert: chance per phrase that the gaze leaves the partner; dart: chance of small quick saccades.
        jaw: how far the mouth opens in speech.
        brow: AU -> strength that marks a stressed word.
        upper_wins: how strongly the emotion claims the upper face in a blend.
        lower_wins: the same for the lower face.
    """

    rate: float
    onset: float
    hold: float
    blinks: float
    head: float
    sway: float
    avert: float
    dart: float
    jaw: float
    brow: Mapping[str, float]
    upper_wins: float
    lower_wins: float


MANNERS: Final[Mapping[str, Manner]] = {
    "neutral": Manner(1.0, 0.45, 0.55, 16, 0.8, 0.8, 0.3, 0.2, 0.9, {"1": 0.22, "2": 0.22}, 0.1, 0.1),
    "joy": Manner(1.06, 0.4, 0.8, 17, 1.15, 1.2, 0.15, 0.2, 1.05, {"1": 0.22, "2": 0.3}, 0.3, 1.0),
    "sadness": Manner(0.8, 0.7, 1.0, 15, 0.6, 0.7, 0.55, 0.1, 0.7, {"1": 0.3}, 0.7, 0.6),
    "anger": Manner(1.13, 0.28, 0.7, 11, 1.35, 0.7, 0.08, 0.1, 1.2, {"4": 0.3, "5": 0.2}, 0.9, 0.6),
    "fear": Manner(1.16, 0.25, 0.75, 20, 0.7, 0.9, 0.3, 0.75, 0.85, {"1": 0.25, "5": 0.3}, 0.85, 0.5),
    "disgust": Manner(0.93, 0.4, 0.75, 16, 0.95, 0.8, 0.4, 0.15, 0.95, {"4": 0.25, "9": 0.2}, 0.45, 0.95),
    "surprise": Manner(1.0, 0.22, 0.75, 14, 1.0, 0.9, 0.1, 0.25, 1.0, {"1": 0.3, "2": 0.35, "5": 0.15}, 0.8, 0.4),
}
