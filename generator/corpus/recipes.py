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
    "4": {"browDown*": 1.0},
    "5": {"eyeWide*": 1.0},
    "6": {"cheekSquint*": 1.0, "eyeSquint*": 0.45},
    "7": {"eyeSquint*": 1.0},
    "9": {"noseSneer*": 1.0, "mouthUpperUp*": 0.15},
    "10": {"mouthUpperUp*": 0.8, "noseSneer*": 0.35},
    "12": {"mouthSmile*": 1.0},
    "14": {"mouthDimple*": 1.0, "mouthPress*": 0.15},
    "15": {"mouthFrown*": 1.0},
    "16": {"mouthLowerDown*": 1.0},
    "17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.35},
    "18": {"mouthPucker": 1.0},
    "20": {"mouthStretch*": 1.0},
    "22": {"mouthFunnel": 1.0},
    "23": {"mouthRollLower": 0.5, "mouthRollUpper": 0.5, "mouthPress*": 0.35},
    "24": {"mouthPress*": 1.0, "mouthRollLower": 0.2, "mouthRollUpper": 0.15},
    "25": {"mouthLowerDown*": 0.45, "mouthUpperUp*": 0.25, "jawOpen": 0.06},
    "26": {"jawOpen": 0.42},
    "27": {"jawOpen": 0.85},
    "28": {"mouthRollLower": 0.9, "mouthRollUpper": 0.6},
    "29": {"jawForward": 1.0},
    "30": {"jawLeft": 1.0},
    "33": {"cheekPuff": 1.0},
    "36": {"tongueOut": 1.0},
    "43": {"eyeBlink*": 1.0},
    "corner": {"mouthLeft": 1.0},
}

#: Actions that hold the lips together or the jaw open: they give way while words are spoken.
YIELDS_TO_SPEECH: Final[Mapping[str, float]] = {
    "17": 0.35, "23": 0.2, "24": 0.15, "28": 0.1, "26": 0.35, "27": 0.3, "18": 0.2, "22": 0.3, "33": 0.2, "36": 0.0,
    "14": 0.6, "15": 0.8, "20": 0.65, "25": 0.75, "16": 0.75, "12": 0.85, "10": 0.9,
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

VARIANTS: Final[Mapping[str, tuple[Variant, ...]]] = {
    "neutral": (
        Variant("plain", {"7": 0.06}, {"12": 0.05}, head=(0.0, 0.04, 0.0)),
        Variant("attentive", {"1": 0.14, "2": 0.18, "5": 0.06}, {"12": 0.06}, head=(-0.02, 0.05, 0.06)),
        Variant("thoughtful", {"4": 0.2, "7": 0.14}, {"24": 0.15, "14": 0.1}, head=(0.02, 0.07, 0.05), gaze=(-0.1, 0.25)),
        Variant("polite", {"1": 0.06, "6": 0.08}, {"12": 0.18, "14": 0.1}, head=(0.03, 0.04, 0.05)),
        Variant("tired", {"43": 0.2, "1": 0.06}, {"26": 0.08, "15": 0.06}, head=(0.05, 0.05, 0.04), gaze=(0.12, 0.1)),
        Variant("doubting", {"2": 0.22, "4": 0.12, "7": 0.12}, {"14": 0.25, "24": 0.12}, head=(0.03, 0.08, 0.08), asymmetry=0.6),
    ),
    "joy": (
        Variant("beaming", {"6": 0.75, "2": 0.12, "1": 0.1}, {"12": 0.85, "25": 0.5}, {"26": 0.5, "12": 0.1, "6": 0.2}, (-0.05, 0.06, 0.09), sounds=("laugh",)),
        Variant("warm", {"6": 0.55, "1": 0.15}, {"12": 0.7}, {"25": 0.6, "6": 0.2, "12": 0.2}, (0.02, 0.06, 0.13), weight=1.2),
        Variant("delighted", {"6": 0.6, "1": 0.3, "2": 0.4, "5": 0.12}, {"12": 0.8, "25": 0.7, "26": 0.35}, {"26": 0.5, "5": 0.2}, (-0.09, 0.04, 0.05), sounds=("gasp", "laugh")),
        Variant("amused", {"6": 0.6, "7": 0.2}, {"12": 0.62, "14": 0.35, "24": 0.3}, {"25": 0.7, "12": 0.3}, (0.05, 0.1, 0.08), asymmetry=0.35, sounds=("laugh", "huff")),
        Variant("mischief", {"6": 0.45, "2": 0.3, "7": 0.25}, {"12": 0.65, "14": 0.3}, {"25": 0.5, "12": 0.25}, (0.07, 0.12, 0.1), (0.0, 0.1), asymmetry=0.9, weight=0.7),
        Variant("laughing", {"6": 0.9, "7": 0.25}, {"12": 0.85, "25": 0.75, "26": 0.45}, {"27": 0.35, "43": 0.25}, (-0.08, 0.05, 0.08), weight=0.8, sounds=("laugh", "laugh")),
        Variant("content", {"6": 0.4, "43": 0.18, "1": 0.1}, {"12": 0.6, "17": 0.12}, {"12": 0.2, "6": 0.25}, (-0.04, 0.04, 0.08), weight=0.7, sounds=("sigh",)),
    ),
    "sadness": (
        Variant("sorrow", {"1": 0.8, "4": 0.35, "43": 0.22}, {"15": 0.75, "17": 0.4}, {"15": 0.2, "17": 0.3, "7": 0.2}, (0.15, 0.12, 0.06), (0.22, 0.15), weight=1.3, sounds=("sigh", "tremble")),
        Variant("close to tears", {"1": 0.85, "4": 0.4, "7": 0.35}, {"15": 0.6, "17": 0.65, "24": 0.25}, {"20": 0.3, "25": 0.3, "6": 0.4}, (0.06, 0.08, 0.1), (0.05, 0.05), sounds=("tremble", "sob")),
        Variant("weeping", {"1": 0.8, "4": 0.45, "6": 0.55, "7": 0.35, "43": 0.2}, {"15": 0.6, "20": 0.4, "25": 0.45, "17": 0.25}, {"26": 0.35, "43": 0.2}, (0.16, 0.08, 0.05), (0.2, 0.05), weight=0.9, sounds=("sob", "sob", "tremble")),
        Variant("resigned", {"1": 0.55, "4": 0.15, "43": 0.3}, {"15": 0.5, "14": 0.25, "24": 0.2}, {"15": 0.3, "1": 0.2}, (0.12, 0.16, 0.1), (0.25, 0.25), sounds=("sigh",)),
        Variant("pleading", {"1": 0.95, "4": 0.3, "5": 0.12}, {"15": 0.5, "17": 0.3, "25": 0.25}, {"20": 0.3, "7": 0.2}, (0.03, 0.04, 0.12), (-0.03, 0.0), weight=0.9, sounds=("tremble",)),
        Variant("pout", {"1": 0.65, "4": 0.4}, {"17": 0.85, "15": 0.6, "18": 0.15}, {"15": 0.2}, (0.14, 0.1, 0.08), (0.12, 0.18), weight=0.7, sounds=("sigh", "tremble")),
    ),
    "anger": (
        Variant("glare", {"4": 0.9, "5": 0.45, "7": 0.45}, {"24": 0.7, "23": 0.35, "17": 0.25}, {"9": 0.35, "29": 0.3, "5": 0.2}, (0.12, 0.03, 0.02), weight=1.2, sounds=("huff",)),
        Variant("shouting", {"4": 0.85, "7": 0.4, "5": 0.25, "9": 0.35}, {"10": 0.45, "16": 0.6, "25": 0.5, "26": 0.4}, {"26": 0.5, "9": 0.35, "20": 0.3}, (0.07, 0.04, 0.03), sounds=("huff",)),
        Variant("snarl", {"4": 0.85, "7": 0.55, "9": 0.6}, {"10": 0.6, "16": 0.4, "25": 0.3}, {"9": 0.25, "16": 0.35, "26": 0.2}, (0.11, 0.08, 0.06), asymmetry=0.5),
        Variant("cold", {"4": 0.7, "7": 0.65}, {"23": 0.55, "24": 0.45}, {"4": 0.2, "15": 0.3, "5": 0.2}, (0.05, 0.05, 0.03), weight=0.9),
        Variant("clenched", {"4": 0.85, "7": 0.4, "5": 0.25, "9": 0.15}, {"24": 0.5, "29": 0.45, "15": 0.35, "17": 0.35}, {"16": 0.35, "9": 0.3}, (0.13, 0.04, 0.04), sounds=("huff", "tremble")),
        Variant("contempt", {"4": 0.55, "7": 0.5, "9": 0.2}, {"14": 0.7, "10": 0.35, "24": 0.25}, {"4": 0.3, "10": 0.3}, (-0.06, 0.12, 0.08), asymmetry=1.0, weight=0.7, sounds=("huff",)),
    ),
    "fear": (
        Variant("terror", {"1": 0.85, "2": 0.5, "4": 0.45, "5": 0.95}, {"20": 0.75, "25": 0.55, "26": 0.3}, {"26": 0.4, "16": 0.4}, (-0.09, 0.07, 0.03), weight=1.1, sounds=("gasp", "tremble")),
        Variant("dread", {"1": 0.8, "4": 0.5, "5": 0.65}, {"20": 0.55, "25": 0.25}, {"5": 0.3, "26": 0.25}, (-0.04, 0.12, 0.04), (0.0, 0.12), sounds=("tremble",)),
        Variant("startled", {"1": 0.85, "2": 0.75, "4": 0.25, "5": 0.9}, {"26": 0.5, "20": 0.4, "25": 0.4}, {"20": 0.4, "26": 0.3}, (-0.13, 0.05, 0.02), sounds=("gasp",)),
        Variant("worried", {"1": 0.85, "2": 0.25, "4": 0.5, "5": 0.4}, {"20": 0.4, "24": 0.25, "15": 0.25}, {"5": 0.4, "25": 0.4}, (0.02, 0.08, 0.06), (0.05, 0.15), weight=1.0),
        Variant("panic", {"1": 0.85, "2": 0.55, "4": 0.45, "5": 0.85, "7": 0.2}, {"20": 0.7, "16": 0.45, "25": 0.5}, {"26": 0.5, "9": 0.25}, (-0.05, 0.1, 0.04), (0.0, 0.2), weight=0.8, sounds=("gasp", "tremble")),
        Variant("cowed", {"1": 0.85, "4": 0.45, "5": 0.45}, {"20": 0.5, "28": 0.3, "15": 0.2}, {"5": 0.35, "20": 0.3}, (0.1, 0.14, 0.06), (-0.04, -0.1), weight=0.8, sounds=("tremble",)),
    ),
    "disgust": (
        Variant("revolted", {"9": 0.9, "4": 0.5, "7": 0.45}, {"10": 0.6, "17": 0.5, "15": 0.3}, {"16": 0.4, "26": 0.3}, (-0.04, 0.17, 0.06), (0.03, 0.05), weight=1.1, sounds=("huff",)),
        Variant("sickened", {"9": 0.7, "4": 0.45, "7": 0.6, "6": 0.3}, {"10": 0.55, "25": 0.35, "26": 0.3, "15": 0.35}, {"36": 0.45, "26": 0.3}, (0.05, 0.12, 0.05), (0.15, 0.15), sounds=("gag",)),
        Variant("distaste", {"9": 0.5, "4": 0.35, "7": 0.35}, {"10": 0.45, "15": 0.5, "17": 0.5}, {"9": 0.4, "10": 0.3}, (-0.02, 0.12, 0.08), weight=1.0),
        Variant("sneer", {"9": 0.65, "4": 0.35, "7": 0.35}, {"10": 0.8, "14": 0.3}, {"9": 0.3, "16": 0.3}, (-0.07, 0.14, 0.09), asymmetry=1.0),
        Variant("appalled", {"9": 0.6, "1": 0.35, "2": 0.25, "4": 0.25, "7": 0.15}, {"10": 0.7, "25": 0.4, "20": 0.25, "15": 0.3}, {"26": 0.35, "9": 0.3}, (-0.09, 0.1, 0.03), weight=0.8, sounds=("huff",)),
        Variant("wince", {"9": 0.75, "4": 0.5, "6": 0.45, "7": 0.55, "43": 0.2}, {"10": 0.5, "20": 0.4, "17": 0.25}, {"25": 0.5, "43": 0.25}, (0.03, 0.2, 0.07), (0.08, 0.2), weight=0.8),
    ),
    "surprise": (
        Variant("astonished", {"1": 0.85, "2": 0.9, "5": 0.75}, {"26": 0.75, "25": 0.25}, {"27": 0.4, "5": 0.2}, (-0.08, 0.04, 0.03), weight=1.2, sounds=("gasp",)),
        Variant("taken aback", {"1": 0.7, "2": 0.75, "5": 0.6}, {"26": 0.4, "22": 0.15}, {"26": 0.4, "5": 0.25}, (-0.1, 0.07, 0.04), sounds=("gasp",)),
        Variant("oh", {"1": 0.75, "2": 0.8, "5": 0.5}, {"22": 0.45, "26": 0.5, "18": 0.15}, {"26": 0.35, "5": 0.3}, (-0.04, 0.05, 0.06), sounds=("gasp",)),
        Variant("incredulous", {"1": 0.55, "2": 0.75, "5": 0.5, "4": 0.15}, {"26": 0.35, "25": 0.3, "14": 0.2}, {"26": 0.35, "2": 0.2}, (0.03, 0.1, 0.1), asymmetry=0.6),
        Variant("speechless", {"1": 0.85, "2": 0.85, "5": 0.85}, {"26": 0.55, "25": 0.2}, {"27": 0.35}, (-0.03, 0.03, 0.03), weight=0.9),
        Variant("curious", {"1": 0.6, "2": 0.7, "5": 0.35}, {"25": 0.3, "26": 0.3}, {"26": 0.35, "5": 0.4}, (0.02, 0.07, 0.13), weight=0.8),
    ),
}  # fmt: skip

#: Blends that people show as a pattern of their own (Du et al. 2014, table 1, and everyday bittersweetness).
COMPOUNDS: Final[Mapping[frozenset[str], tuple[Variant, ...]]] = {
    frozenset({"joy", "surprise"}): (
        Variant("happily surprised", {"1": 0.75, "2": 0.8, "5": 0.5, "6": 0.3}, {"12": 0.7, "25": 0.6, "26": 0.35}, {"26": 0.45}, (-0.08, 0.05, 0.06), weight=1.3, sounds=("gasp", "laugh")),
        Variant("thrilled", {"1": 0.6, "2": 0.7, "5": 0.6, "6": 0.4}, {"12": 0.8, "25": 0.7, "27": 0.35}, {"27": 0.2}, (-0.11, 0.04, 0.05), sounds=("gasp", "laugh")),
        Variant("pleasant news", {"1": 0.55, "2": 0.6, "5": 0.25, "6": 0.4}, {"12": 0.7, "25": 0.3}, {"26": 0.5, "5": 0.3}, (0.0, 0.06, 0.12)),
    ),
    frozenset({"surprise", "fear"}): (
        Variant("awed", {"1": 0.75, "2": 0.7, "5": 0.7}, {"25": 0.4, "26": 0.3}, {"26": 0.4}, (-0.12, 0.04, 0.04), (-0.12, 0.03), weight=1.3),
        Variant("overwhelmed", {"1": 0.8, "2": 0.6, "4": 0.2, "5": 0.8}, {"25": 0.45, "26": 0.35, "20": 0.25}, {"26": 0.35, "20": 0.3}, (-0.08, 0.05, 0.03), sounds=("gasp",)),
        Variant("spellbound", {"1": 0.65, "2": 0.6, "5": 0.6}, {"26": 0.35, "25": 0.25}, {"26": 0.3}, (-0.09, 0.03, 0.08), (-0.1, 0.1)),
    ),
    frozenset({"joy", "sadness"}): (
        Variant("smile through tears", {"1": 0.8, "4": 0.3, "6": 0.5, "7": 0.2}, {"12": 0.6, "17": 0.45, "24": 0.2}, {"25": 0.4, "15": 0.25}, (0.05, 0.06, 0.12), weight=1.2, sounds=("tremble", "laugh")),
        Variant("wistful", {"1": 0.7, "4": 0.2, "43": 0.2, "6": 0.2}, {"12": 0.5, "14": 0.25}, {"17": 0.4, "12": 0.15}, (0.07, 0.12, 0.12), (0.15, 0.25), sounds=("sigh",)),
        Variant("moved", {"1": 0.85, "4": 0.35, "6": 0.35}, {"12": 0.45, "15": 0.35, "17": 0.5}, {"25": 0.35, "12": 0.2}, (0.02, 0.04, 0.1), sounds=("tremble",)),
    ),
    frozenset({"sadness", "anger"}): (
        Variant("sadly angry", {"4": 0.85, "7": 0.4, "1": 0.3}, {"15": 0.75, "17": 0.45}, {"9": 0.3, "16": 0.3}, (0.1, 0.06, 0.04), weight=1.2, sounds=("tremble",)),
        Variant("betrayed", {"1": 0.55, "4": 0.8, "5": 0.25}, {"15": 0.6, "25": 0.4, "16": 0.25}, {"10": 0.35, "26": 0.25}, (0.05, 0.06, 0.06), sounds=("tremble", "huff")),
        Variant("bitter", {"4": 0.75, "7": 0.5}, {"15": 0.6, "24": 0.5, "17": 0.4}, {"1": 0.4, "9": 0.2}, (0.1, 0.14, 0.06), (0.12, 0.2), sounds=("huff",)),
    ),
    frozenset({"sadness", "fear"}): (
        Variant("sadly fearful", {"1": 0.9, "4": 0.5, "5": 0.45}, {"20": 0.55, "25": 0.35, "15": 0.4}, {"26": 0.3, "20": 0.2}, (0.03, 0.1, 0.05), weight=1.2, sounds=("tremble", "gasp")),
        Variant("despair", {"1": 0.85, "4": 0.55, "5": 0.25, "7": 0.25}, {"15": 0.55, "20": 0.4, "17": 0.35}, {"25": 0.4, "26": 0.3}, (0.06, 0.08, 0.05), sounds=("sob", "tremble")),
        Variant("anguish", {"1": 0.95, "4": 0.5, "5": 0.35}, {"20": 0.5, "25": 0.5, "17": 0.25}, {"26": 0.35, "6": 0.3}, (-0.03, 0.1, 0.08), (-0.1, 0.15), sounds=("tremble",)),
    ),
    frozenset({"anger", "disgust"}): (
        Variant("angrily disgusted", {"4": 0.85, "7": 0.5, "9": 0.6}, {"10": 0.65, "17": 0.5}, {"16": 0.4, "25": 0.4}, (0.05, 0.1, 0.05), weight=1.2, sounds=("huff",)),
        Variant("loathing", {"4": 0.85, "9": 0.65, "7": 0.6}, {"10": 0.7, "15": 0.45}, {"16": 0.45}, (0.03, 0.14, 0.07), asymmetry=0.6),
        Variant("outrage", {"4": 0.75, "5": 0.4, "9": 0.6}, {"10": 0.6, "25": 0.4, "16": 0.35}, {"26": 0.4}, (-0.05, 0.07, 0.04), sounds=("huff",)),
    ),
}  # fmt: skip
