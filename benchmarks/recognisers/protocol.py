# SPDX-License-Identifier: GPL-3.0-or-later
"""What recognisers are shown: views, lights, sizes, poses and moments. Fixed; a change here makes old numbers void.

- **Picture**: `PIXELS` square, `FRAME` eye distances wide, through a lens `DISTANCE` eye distances away; an eye
  distance (ED) is that of the centres of the eyeballs at rest. The camera aims `BELOW` ED below the middle of the
  eyes and follows the skull as it moves (as a face detector's box would) but does not turn with it.
- **Crop**: squares of `CROPS` ED in the middle; an answer is the mean over the three. OpenCV's frontal face cascade,
  which both recognisers come with, finds these heads at 2.8 ED (spread 0.1 to 0.3) around 0.3 below the eyes, and
  answers change with the crop within that spread. Where the face is is known, not detected, so that a head cannot
  gain by being found seldom. The margin of 10 pixels that fer adds to a detected face is left out: it depends on the
  size of the picture.
- **Light**: Workbench's studio light, which shades by direction alone, with ambient occlusion (its cavities) so that
  folds are seen; skin is about 130 of 255 bright. Of four lights tried on six views (softer or harder, more or less
  occlusion) the one in which both recognisers read ICT FaceKit's prototypes best: the other face, not ours.
- **Prototypes**: `PROTOTYPES` in EMFACS's action units, each unit at `STRENGTH`, one ARKit channel a unit where Apple
  has one (`UNITS`); with and without the units that EMFACS gives in brackets. 24 pictures each: `YAWS` x `PITCHES` x
  `LIGHTS`.
- **Takes**: the same held-out lines under each of seven emotions, at each of `INTENSITIES`, with head, gaze and
  speech as performed; five pictures at `MOMENTS` of the take's length, from `TAKE_VIEW`. The answer for a take is the
  mean of its five answers.
- **Right** is the highest of seven probabilities. Shares are balanced: the mean of the emotions' own shares. *Without
  anger* leaves out the pictures of anger; answering anger stays wrong.
- **Intervals**: 95 %, bootstrap over takes (over poses and views for prototypes), within each emotion.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from generator.shared.spaces import ARKIT55

#: Raised whenever anything here changes; stored answers of other versions are not used.
VERSION: Final = 2

#: In the order of all answers and tables.
EMOTIONS: Final = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")

PIXELS: Final = 352
FRAME: Final = 4.2
DISTANCE: Final = 16.0
BELOW: Final = 0.3
CROPS: Final = (2.5, 2.8, 3.1)

#: Degrees. The camera goes to the character's left, and up.
YAWS: Final = (-30.0, -10.0, 10.0, 30.0)
PITCHES: Final = (-6.0, 10.0)
TAKE_VIEW: Final = (8.0, 2.0, "key left")

#: Workbench's studio lights: direction as the camera sees it (right, up, to the camera), diffuse colour, smoothness.
LIGHTS: Final = {
    "key left": (
        ((-0.55, 0.45, 0.70), (1.15, 1.11, 1.08), 0.0),
        ((0.75, 0.05, 0.66), (0.20, 0.21, 0.23), 0.3),
        ((0.70, 0.60, -0.40), (0.50, 0.51, 0.54), 0.1),
    ),
    "key right": (
        ((0.55, 0.45, 0.70), (1.15, 1.11, 1.08), 0.0),
        ((-0.75, 0.05, 0.66), (0.20, 0.21, 0.23), 0.3),
        ((-0.70, 0.60, -0.40), (0.50, 0.51, 0.54), 0.1),
    ),
    "high": (
        ((0.05, 0.80, 0.60), (1.15, 1.12, 1.08), 0.0),
        ((0.0, -0.20, 0.98), (0.20, 0.21, 0.23), 0.3),
        ((0.0, 0.70, -0.70), (0.50, 0.52, 0.55), 0.1),
    ),
}
AMBIENT: Final = (0.06, 0.06, 0.06)
#: sRGB, behind the head.
BACKDROP: Final = (96, 98, 102)

VIEWS: Final = tuple(product(YAWS, PITCHES, LIGHTS))

INTENSITIES: Final = (1.4, 1.0)
MOMENTS: Final = (0.15, 0.325, 0.5, 0.675, 0.85)

#: FACS action units as ARKit channels at full strength; "*" stands for Left and Right.
UNITS: Final[Mapping[int, Mapping[str, float]]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp*": 1.0},
    4: {"browDown*": 1.0},
    5: {"eyeWide*": 1.0},
    6: {"cheekSquint*": 1.0},
    7: {"eyeSquint*": 1.0},
    9: {"noseSneer*": 1.0},
    10: {"mouthUpperUp*": 1.0},
    12: {"mouthSmile*": 1.0},
    15: {"mouthFrown*": 1.0},
    17: {"mouthShrugLower": 1.0},
    20: {"mouthStretch*": 1.0},
    # Apple has no tightener: lips that roll in a little.
    23: {"mouthRollLower": 0.5, "mouthRollUpper": 0.5},
    24: {"mouthPress*": 1.0},
    # Apple has no parting of the lips either, and its jawOpen goes as far as unit 27.
    25: {"mouthLowerDown*": 0.5, "mouthUpperUp*": 0.25},
    26: {"jawOpen": 0.5},
}
STRENGTH: Final = 0.8
#: EMFACS: emotion -> its prototypes.
PROTOTYPES: Final[Mapping[str, tuple[tuple[int, ...], ...]]] = {
    "anger": ((4, 5, 7, 24), (4, 5, 7, 23)),
    "disgust": ((9, 10, 17), (4, 9, 10, 17)),
    "fear": ((1, 2, 4, 5, 20, 25),),
    "joy": ((6, 12), (6, 12, 25)),
    "sadness": ((1, 4, 15), (1, 4, 15, 17)),
    "surprise": ((1, 2, 5, 26),),
    "neutral": ((),),
}


def pose_of(units: tuple[int, ...], strength: float = STRENGTH) -> npt.NDArray[np.float32]:
    """The face that shows action units, a row of arkit55, shape (55,); channels stay within 0 to 1."""
    pose = np.zeros(ARKIT55.size, np.float32)
    for unit in units:
        for channel, share in UNITS[unit].items():
            stem = channel.removesuffix("*")
            for name in (stem,) if stem == channel else (f"{stem}Left", f"{stem}Right"):
                pose[ARKIT55.channels.index(name)] += strength * share
    return np.minimum(pose, 1.0)


def channel_pose(channel: str) -> npt.NDArray[np.float32]:
    """One channel at 1, shape (55,)."""
    pose = np.zeros(ARKIT55.size, np.float32)
    pose[ARKIT55.channels.index(channel)] = 1.0
    return pose
