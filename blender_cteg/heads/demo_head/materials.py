# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo head's materials as data: names, colours, roughness, and which image each shows (no bpy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Look:
    """How one material looks.

    Attributes:
        colour: linear RGB; the whole look where there is no image, and the look of Workbench's Material mode.
        roughness: 0 mirror to 1 chalk.
        image: "skin", "eye", "mouth", "hair" or None.
        subsurface: strength of subsurface scattering, 0 to 1.
        coat: strength of a clear coat, 0 to 1 (the cornea's wetness).
        specular: strength of reflections, 0 to 1; 0.5 is ordinary matter.
        pores: strength of fine bumps, 0 to 1.
    """

    colour: tuple[float, float, float]
    roughness: float = 0.5
    image: str | None = None
    subsurface: float = 0.0
    coat: float = 0.0
    specular: float = 0.5
    pores: float = 0.0


LOOKS: Final = {
    "Skin": Look((0.70, 0.43, 0.32), 0.48, "skin", 0.2, pores=0.35),
    "Lips": Look((0.47, 0.17, 0.15), 0.36, "skin", 0.2, pores=0.2),
    "Mouth": Look((0.06, 0.010, 0.010), 0.6, "mouth"),
    "Eye": Look((0.62, 0.58, 0.55), 0.12, "eye", 0.0, 1.0),
    "Iris": Look((0.10, 0.045, 0.02), 0.12, "eye", 0.0, 1.0),
    "Pupil": Look((0.004, 0.004, 0.004), 0.1, "eye", 0.0, 1.0),
    "Teeth": Look((0.80, 0.75, 0.66), 0.25, "mouth"),
    "Tongue": Look((0.30, 0.07, 0.07), 0.4, "mouth"),
    "Brows": Look((0.020, 0.011, 0.007), 1.0, specular=0.0),
    "Lashes": Look((0.008, 0.006, 0.005), 1.0, specular=0.0),
    "Hair": Look((0.035, 0.018, 0.011), 0.58, "hair", specular=0.2),
    "Shirt": Look((0.055, 0.10, 0.13), 0.9, specular=0.2),
}
#: Layers of the wrinkle maps, three to an image, and the actions that deepen each, with shares: the largest counts.
#: "*" stands for Left and Right, each on its own half of the face.
WRINKLES: Final = {
    "forehead": {"browInnerUp": 1.0},
    "temple": {"browOuterUp*": 1.0},
    "glabella": {"browDown*": 1.0},
    "nose": {"noseSneer*": 1.0},
    "crow": {"cheekSquint*": 1.0, "eyeSquint*": 0.5},
    "smile": {"mouthSmile*": 1.0, "noseSneer*": 0.6, "mouthUpperUp*": 0.5},
    "frown": {"mouthFrown*": 1.0},
    "chin": {"mouthShrugLower": 1.0},
    "pucker": {"mouthPucker": 1.0},
}
#: Material slots in order.
MATERIALS: Final = tuple(LOOKS)
