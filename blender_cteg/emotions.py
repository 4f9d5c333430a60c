# SPDX-License-Identifier: GPL-3.0-or-later
"""The emotions that the panel offers (no bpy). A test keeps the names equal to the generator's."""

from __future__ import annotations

from typing import Final, NamedTuple

from .sentences import translated


class Emotion(NamedTuple):
    """One entry of the emotion menu."""

    name: str
    label: str
    description: str


#: Lets the generator read the emotion from the line.
AUTO: Final = Emotion("auto", "From the Line", "Let the words decide which emotion is performed")

#: Same names and order as `generator.direction.emotions.EMOTION_NAMES`.
EMOTIONS: Final[tuple[Emotion, ...]] = (
    Emotion("neutral", "Neutral", "Composed: the words are spoken without a strong feeling"),
    Emotion("joy", "Joy", "Raised cheeks and a smile that reaches the eyes"),
    Emotion("sadness", "Sadness", "Inner brows raised, mouth corners drawn down"),
    Emotion("anger", "Anger", "Lowered brows, tight lids and pressed lips"),
    Emotion("fear", "Fear", "Raised and drawn brows, wide eyes, stretched lips"),
    Emotion("disgust", "Disgust", "Wrinkled nose and raised upper lip"),
    Emotion("surprise", "Surprise", "Raised brows, wide eyes and a dropped jaw"),
    Emotion("contempt", "Contempt", "One mouth corner tightened, the head back, a look down the nose"),
    Emotion("affection", "Affection", "A soft smile, a tilted head and slow lids"),
    Emotion("embarrassment", "Embarrassment", "A smile held back, eyes and head turned down and away"),
    Emotion("confusion", "Confusion", "Knitted or uneven brows, narrowed eyes and a tilted head"),
    Emotion("pride", "Pride", "Head high, a small smile and a steady gaze"),
    Emotion("amusement", "Amusement", "Laughing or trying not to"),
    Emotion("boredom", "Boredom", "Drooping lids, a wandering gaze, sighs and yawns"),
    Emotion("happily_surprised", "Happily Surprised", "Joy and surprise: an unexpected present"),
    Emotion("awed", "Awed", "Surprise with a little fear: something far greater than oneself"),
    Emotion("bittersweet", "Bittersweet", "Joy and sadness at once: a fond farewell"),
    Emotion("sadly_angry", "Sadly Angry", "Sadness and anger: hurt by a friend"),
    Emotion("sadly_fearful", "Sadly Fearful", "Sadness and fear: bad news on its way"),
    Emotion("angrily_disgusted", "Angrily Disgusted", "Anger and disgust: contempt spoken aloud"),
)

#: Every name a line may ask for.
NAMES: Final[tuple[str, ...]] = (AUTO.name, *(emotion.name for emotion in EMOTIONS))

_LABELS: Final[dict[str, str]] = {emotion.name: emotion.label for emotion in (AUTO, *EMOTIONS)}


def label(name: str) -> str:
    """The menu label of an emotion; a name this version does not know is shown as it is."""
    return translated(_LABELS.get(name, name))
