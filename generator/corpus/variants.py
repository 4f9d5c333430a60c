# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of acting patterns: several per emotion, and those of compound emotions (see `recipes.Variant`).

A pattern is written "AU:strength AU:strength" for the upper face, for the lower face, and for what extreme
intensity adds; then the head's pitch, yaw and roll in radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .recipes import Variant


def _units(notation: str) -> dict[str, float]:
    return {unit: float(strength) for unit, strength in (part.split(":") for part in notation.split())}


def _variant(
    name: str,
    upper: str,
    lower: str,
    extreme: str,
    head: tuple[float, float, float],
    *,
    gaze: tuple[float, float] = (0.0, 0.0),
    asymmetry: float = 0.0,
    weight: float = 1.0,
    sounds: str = "",
) -> Variant:
    return Variant(
        name, _units(upper), _units(lower), _units(extreme), head, gaze, asymmetry, weight, tuple(sounds.split())
    )


VARIANTS: Final[Mapping[str, tuple[Variant, ...]]] = {
    "neutral": (
        _variant("plain", "7:0.06", "12:0.05", "", (0.0, 0.04, 0.0)),
        _variant("attentive", "1:0.14 2:0.18 5:0.06", "12:0.06", "", (-0.02, 0.05, 0.06)),
        _variant("thoughtful", "4:0.2 7:0.14", "24:0.15 14:0.1 M:0.12", "", (0.02, 0.07, 0.05), gaze=(-0.1, 0.25)),
        _variant("polite", "1:0.06 6:0.08", "12:0.18 14:0.1", "", (0.03, 0.04, 0.05)),
        _variant("tired", "43:0.2 1:0.06", "26:0.08 15:0.06", "", (0.05, 0.05, 0.04), gaze=(0.12, 0.1)),
        _variant("doubting", "2:0.22 4:0.12 7:0.12", "14:0.25 24:0.12 M:0.12", "", (0.03, 0.08, 0.08), asymmetry=0.6),
    ),
    "joy": (
        _variant("beaming", "6:0.75 2:0.12 1:0.1", "12:0.98 25:0.5", "26:0.5 12:0.1 6:0.2", (-0.05, 0.06, 0.09),
                 sounds="laugh"),
        _variant("warm", "6:0.55 1:0.15", "12:0.82", "25:0.6 6:0.2 12:0.2", (0.02, 0.06, 0.13), weight=1.2),
        _variant("delighted", "6:0.6 1:0.3 2:0.4 5:0.12", "12:0.92 25:0.7 26:0.35", "26:0.5 5:0.2",
                 (-0.09, 0.04, 0.05), sounds="gasp laugh"),
        _variant("amused", "6:0.6 7:0.2", "12:0.75 14:0.35 24:0.25 M:0.1", "25:0.7 12:0.3", (0.05, 0.1, 0.08),
                 asymmetry=0.35, sounds="laugh huff"),
        _variant("mischief", "6:0.45 2:0.3 7:0.25", "12:0.78 14:0.3 M:0.2", "25:0.5 12:0.25", (0.07, 0.12, 0.1),
                 gaze=(0.0, 0.1), asymmetry=0.9, weight=0.7),
        _variant("laughing", "6:0.9 7:0.25", "12:0.98 25:0.75 26:0.45", "27:0.35 43:0.25", (-0.08, 0.05, 0.08),
                 weight=0.8, sounds="laugh laugh"),
        _variant("content", "6:0.4 43:0.12 1:0.1", "12:0.72 17:0.12", "12:0.2 6:0.25", (-0.04, 0.04, 0.08),
                 weight=0.7, sounds="sigh"),
    ),
    "sadness": (
        _variant("sorrow", "1:0.98 4:0.28 43:0.14", "15:0.95 17:0.5", "15:0.2 17:0.3 7:0.2", (0.15, 0.12, 0.06),
                 gaze=(0.22, 0.15), weight=1.3, sounds="sigh tremble"),
        _variant("close to tears", "1:1 4:0.4 7:0.22", "15:0.85 17:0.7 24:0.25", "20:0.3 25:0.3 6:0.4",
                 (0.06, 0.08, 0.1), gaze=(0.05, 0.05), sounds="tremble sob"),
        _variant("weeping", "1:0.95 4:0.35 6:0.5 7:0.2 43:0.1", "15:0.85 20:0.35 25:0.35 17:0.4", "26:0.35 43:0.2",
                 (0.16, 0.08, 0.05), gaze=(0.2, 0.05), weight=0.9, sounds="sob sob tremble"),
        _variant("resigned", "1:0.8 4:0.2 43:0.2", "15:0.8 14:0.25 24:0.2 M:0.08", "15:0.3 1:0.2", (0.12, 0.16, 0.1),
                 gaze=(0.25, 0.25), sounds="sigh"),
        _variant("pleading", "1:0.95 4:0.3 5:0.12", "15:0.75 17:0.45 25:0.2", "20:0.3 7:0.2", (0.03, 0.04, 0.12),
                 gaze=(-0.03, 0.0), weight=0.9, sounds="tremble"),
        _variant("pout", "1:0.8 4:0.4", "17:0.85 15:0.6 18:0.15", "15:0.2", (0.14, 0.1, 0.08), gaze=(0.12, 0.18),
                 weight=0.7, sounds="sigh tremble"),
    ),
    "anger": (
        _variant("glare", "4:1 5:0.45 7:0.45", "24:0.7 23:0.35 17:0.25", "9:0.35 29:0.3 5:0.2", (0.12, 0.03, 0.02),
                 weight=1.2, sounds="huff"),
        _variant("shouting", "4:1 7:0.4 5:0.25 9:0.35", "10:0.45 16:0.6 25:0.5 26:0.4", "26:0.5 9:0.35 20:0.3",
                 (0.07, 0.04, 0.03), sounds="huff"),
        _variant("snarl", "4:1 7:0.55 9:0.6", "10:0.6 16:0.4 25:0.3 30:0.12", "9:0.25 16:0.35 26:0.2",
                 (0.11, 0.08, 0.06), asymmetry=0.5),
        _variant("cold", "4:0.85 7:0.65", "23:0.55 24:0.45", "4:0.2 15:0.3 5:0.2", (0.05, 0.05, 0.03), weight=0.9),
        _variant("clenched", "4:1 7:0.4 5:0.25 9:0.15", "24:0.5 29:0.45 15:0.35 17:0.35 30:0.15", "16:0.35 9:0.3",
                 (0.13, 0.04, 0.04), sounds="huff tremble"),
        _variant("contempt", "4:0.65 7:0.5 9:0.2", "14:0.7 10:0.35 24:0.25 M:0.22", "4:0.3 10:0.3", (-0.06, 0.12, 0.08),
                 asymmetry=1.0, weight=0.7, sounds="huff"),
    ),
    "fear": (
        _variant("terror", "1:0.85 2:0.5 4:0.45 5:0.95", "20:0.75 25:0.55 26:0.3", "26:0.4 16:0.4",
                 (-0.09, 0.07, 0.03), weight=1.1, sounds="gasp tremble"),
        _variant("dread", "1:0.8 4:0.5 5:0.65", "20:0.55 25:0.25", "5:0.3 26:0.25", (-0.04, 0.12, 0.04),
                 gaze=(0.0, 0.12), sounds="tremble"),
        _variant("startled", "1:0.85 2:0.75 4:0.25 5:0.9", "26:0.5 20:0.4 25:0.4", "20:0.4 26:0.3",
                 (-0.13, 0.05, 0.02), sounds="gasp"),
        _variant("worried", "1:0.85 2:0.25 4:0.5 5:0.4", "20:0.4 24:0.25 15:0.25", "5:0.4 25:0.4",
                 (0.02, 0.08, 0.06), gaze=(0.05, 0.15)),
        _variant("panic", "1:0.85 2:0.55 4:0.45 5:0.85 7:0.2", "20:0.7 16:0.45 25:0.5", "26:0.5 9:0.25",
                 (-0.05, 0.1, 0.04), gaze=(0.0, 0.2), weight=0.8, sounds="gasp tremble"),
        _variant("cowed", "1:0.85 4:0.45 5:0.45", "20:0.5 28:0.3 15:0.2", "5:0.35 20:0.3", (0.1, 0.14, 0.06),
                 gaze=(-0.04, -0.1), weight=0.8, sounds="tremble"),
    ),
    "disgust": (
        _variant("revolted", "9:0.9 4:0.5 7:0.45", "10:0.6 17:0.5 15:0.3 30:0.08", "16:0.4 26:0.3", (-0.04, 0.17, 0.06),
                 gaze=(0.03, 0.05), weight=1.1, sounds="huff"),
        _variant("sickened", "9:0.7 4:0.45 7:0.6 6:0.3", "10:0.55 25:0.35 26:0.3 15:0.35", "36:0.45 26:0.3",
                 (0.05, 0.12, 0.05), gaze=(0.15, 0.15), sounds="gag"),
        _variant("distaste", "9:0.5 4:0.35 7:0.35", "10:0.45 15:0.5 17:0.5", "9:0.4 10:0.3", (-0.02, 0.12, 0.08)),
        _variant("sneer", "9:0.65 4:0.35 7:0.35", "10:0.8 14:0.3 M:0.15 30:0.1", "9:0.3 16:0.3", (-0.07, 0.14, 0.09),
                 asymmetry=1.0),
        _variant("appalled", "9:0.6 1:0.35 2:0.25 4:0.25 7:0.15", "10:0.7 25:0.4 20:0.25 15:0.3", "26:0.35 9:0.3",
                 (-0.09, 0.1, 0.03), weight=0.8, sounds="huff"),
        _variant("wince", "9:0.75 4:0.5 6:0.45 7:0.55 43:0.1", "10:0.5 20:0.4 17:0.25", "25:0.5 43:0.25",
                 (0.03, 0.2, 0.07), gaze=(0.08, 0.2), weight=0.8),
    ),
    "surprise": (
        _variant("astonished", "1:0.85 2:0.9 5:0.75", "26:0.75 25:0.25", "27:0.4 5:0.2", (-0.08, 0.04, 0.03),
                 weight=1.2, sounds="gasp"),
        _variant("taken aback", "1:0.7 2:0.75 5:0.6", "26:0.4 22:0.15", "26:0.4 5:0.25", (-0.1, 0.07, 0.04),
                 sounds="gasp"),
        _variant("oh", "1:0.75 2:0.8 5:0.5", "22:0.45 26:0.5 18:0.15", "26:0.35 5:0.3", (-0.04, 0.05, 0.06),
                 sounds="gasp"),
        _variant("incredulous", "1:0.55 2:0.75 5:0.5 4:0.15", "26:0.35 25:0.3 14:0.2 M:0.08", "26:0.35 2:0.2",
                 (0.03, 0.1, 0.1), asymmetry=0.6),
        _variant("speechless", "1:0.85 2:0.85 5:0.85", "26:0.55 25:0.2", "27:0.35", (-0.03, 0.03, 0.03),
                 weight=0.9),
        _variant("curious", "1:0.6 2:0.7 5:0.35", "25:0.3 26:0.3", "26:0.35 5:0.4", (0.02, 0.07, 0.13), weight=0.8),
    ),
}  # fmt: skip

#: Blends that people show as a pattern of their own (Du et al. 2014, table 1, and everyday bittersweetness).
COMPOUNDS: Final[Mapping[frozenset[str], tuple[Variant, ...]]] = {
    frozenset({"joy", "surprise"}): (
        _variant("happily surprised", "1:0.75 2:0.8 5:0.5 6:0.3", "12:0.7 25:0.6 26:0.35", "26:0.45",
                 (-0.08, 0.05, 0.06), weight=1.3, sounds="gasp laugh"),
        _variant("thrilled", "1:0.6 2:0.7 5:0.6 6:0.4", "12:0.8 25:0.7 27:0.35", "27:0.2", (-0.11, 0.04, 0.05),
                 sounds="gasp laugh"),
        _variant("pleasant news", "1:0.55 2:0.6 5:0.25 6:0.4", "12:0.7 25:0.3", "26:0.5 5:0.3", (0.0, 0.06, 0.12)),
    ),
    frozenset({"surprise", "fear"}): (
        _variant("awed", "1:0.75 2:0.7 5:0.7", "25:0.4 26:0.3", "26:0.4", (-0.12, 0.04, 0.04), gaze=(-0.12, 0.03),
                 weight=1.3),
        _variant("overwhelmed", "1:0.8 2:0.6 4:0.2 5:0.8", "25:0.45 26:0.35 20:0.25", "26:0.35 20:0.3",
                 (-0.08, 0.05, 0.03), sounds="gasp"),
        _variant("spellbound", "1:0.65 2:0.6 5:0.6", "26:0.35 25:0.25", "26:0.3", (-0.09, 0.03, 0.08),
                 gaze=(-0.1, 0.1)),
    ),
    frozenset({"joy", "sadness"}): (
        _variant("smile through tears", "1:0.8 4:0.3 6:0.5 7:0.2", "12:0.6 17:0.45 24:0.2", "25:0.4 15:0.25",
                 (0.05, 0.06, 0.12), weight=1.2, sounds="tremble laugh"),
        _variant("wistful", "1:0.7 4:0.2 43:0.2 6:0.2", "12:0.5 14:0.25", "17:0.4 12:0.15", (0.07, 0.12, 0.12),
                 gaze=(0.15, 0.25), sounds="sigh"),
        _variant("moved", "1:0.85 4:0.35 6:0.35", "12:0.45 15:0.35 17:0.5", "25:0.35 12:0.2", (0.02, 0.04, 0.1),
                 sounds="tremble"),
    ),
    frozenset({"sadness", "anger"}): (
        _variant("sadly angry", "4:0.85 7:0.4 1:0.3", "15:0.75 17:0.45", "9:0.3 16:0.3", (0.1, 0.06, 0.04),
                 weight=1.2, sounds="tremble"),
        _variant("betrayed", "1:0.55 4:0.8 5:0.25", "15:0.6 25:0.4 16:0.25", "10:0.35 26:0.25", (0.05, 0.06, 0.06),
                 sounds="tremble huff"),
        _variant("bitter", "4:0.75 7:0.5", "15:0.6 24:0.5 17:0.4", "1:0.4 9:0.2", (0.1, 0.14, 0.06),
                 gaze=(0.12, 0.2), sounds="huff"),
    ),
    frozenset({"sadness", "fear"}): (
        _variant("sadly fearful", "1:0.9 4:0.5 5:0.45", "20:0.55 25:0.35 15:0.4", "26:0.3 20:0.2",
                 (0.03, 0.1, 0.05), weight=1.2, sounds="tremble gasp"),
        _variant("despair", "1:0.85 4:0.55 5:0.25 7:0.25", "15:0.55 20:0.4 17:0.35", "25:0.4 26:0.3",
                 (0.06, 0.08, 0.05), sounds="sob tremble"),
        _variant("anguish", "1:0.95 4:0.5 5:0.35", "20:0.5 25:0.5 17:0.25", "26:0.35 6:0.3", (-0.03, 0.1, 0.08),
                 gaze=(-0.1, 0.15), sounds="tremble"),
    ),
    frozenset({"anger", "disgust"}): (
        _variant("angrily disgusted", "4:0.85 7:0.5 9:0.6", "10:0.65 17:0.5", "16:0.4 25:0.4", (0.05, 0.1, 0.05),
                 weight=1.2, sounds="huff"),
        _variant("loathing", "4:0.85 9:0.65 7:0.6", "10:0.7 15:0.45 M:0.12", "16:0.45", (0.03, 0.14, 0.07),
                 asymmetry=0.6),
        _variant("outrage", "4:0.75 5:0.4 9:0.6", "10:0.6 25:0.4 16:0.35", "26:0.4", (-0.05, 0.07, 0.04),
                 sounds="huff"),
    ),
}  # fmt: skip
