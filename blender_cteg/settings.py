# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a performance, and of the lines there are, each said once.

From `SETTINGS` are made: the properties of ``scene.cteg``, the arguments of the operator ``cteg.perform``, the flags
of ``blender --command cteg``, and the LINE that the generator is asked for (docs/protocol.md).

Numbers have soft limits only: sliders stay in the useful range, and a value that the generator cannot perform is
refused with a sentence rather than silently changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .cast import is_in, retarget
from .emotions import AUTO, EMOTIONS
from .sentences import Told, translated
from .shared import LANGUAGES, Timeline
from .ui.layouts import emotion_icon

#: The emotion that is none: a line that stays with its emotion, an emotion that is felt by itself.
NOWHERE: Final = "none"
_EMOTIONS: Final = [
    (emotion.name, emotion.label, emotion.description, emotion_icon(emotion.name), number)
    for number, emotion in enumerate((AUTO, *EMOTIONS))
]
_LANGUAGES: Final = [
    (code, name, "The line is in this language" if number else "The words say which language it is", number)
    for number, (code, name) in enumerate({"auto": "Automatic", **LANGUAGES}.items())
]


class SettingError(Told, ValueError):
    """A setting that cannot be asked for; the message is a sentence."""


class Setting:
    """One setting.

    Attributes:
        name: of the property of ``scene.cteg``.
        kind: function of `bpy.props` that makes the property.
        label, description: in the interface; the description is also the help of the command line.
        key: the name it has as an argument of the operator, as a flag, and in a request; "" where it is a matter of
            the panel alone. What is a datablock in the panel is text there.
        asked: whether the generator is asked for it.
        nothing: the value that means none, and is asked for as null.
        options: what else ``kind`` is given.
    """

    def __init__(
        self, name: str, kind: Callable[..., Any], label: str, description: str, *, key: str | None = None,
        asked: bool = True, nothing: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        self.name, self.kind, self.label, self.description = name, kind, label, description
        self.key, self.asked, self.nothing, self.options = name if key is None else key, asked, nothing, options

    def as_property(self) -> Any:
        """The property of the scene."""
        return self.kind(name=self.label, description=self.description, **self.options)

    def as_view(self, get: Callable[[Any], Any], put: Callable[[Any, Any], None]) -> Any:
        """The same of something else, read and written by functions; nothing is stored.

        Items of an enumeration are read and written by their identifiers.
        """
        if items := self.options.get("items"):
            numbers = {item[0]: item[4] if len(item) > 4 else place for place, item in enumerate(items)}
            names = {number: name for name, number in numbers.items()}
            options = {"get": lambda of: numbers.get(get(of), 0), "set": lambda of, number: put(of, names[number])}
        else:
            options = {"get": get, "set": put}
        return self.kind(name=self.label, description=self.description, **{**self.options, "options": set(), **options})

    def as_argument(self) -> Any:
        """The same as an argument of an operator, which does not remember the last call's."""
        kind, options = (StringProperty, {}) if self.kind is PointerProperty else (self.kind, self.options)
        return kind(name=self.label, description=self.description, **{**options, "options": {"SKIP_SAVE"}})


def _may_be_target(settings: CTEG_Settings, candidate: bpy.types.Object) -> bool:
    scene = settings.id_data
    same_name = scene.objects.get(candidate.name)  # quick: asked for every object of the file
    return candidate.type in {"MESH", "ARMATURE", "EMPTY"} and (
        same_name == candidate or (same_name is not None and is_in(scene, candidate))
    )


SETTINGS: Final = (
    Setting(
        "target", PointerProperty, "Target",
        "The character that performs: any mesh of it, its armature, or the Empty above it",
        type=bpy.types.Object, poll=_may_be_target, update=retarget, asked=False,
    ),
    Setting(
        "text", StringProperty, "Line",
        "What the character says. '...' makes a silent reaction. Directions in the line are played, not spoken: "
        "(angrily) Get out.  Or: [joy 0.8 -> sadness] You came back…",
        options={"ANIMATABLE", "TEXTEDIT_UPDATE"},  # Generate can be clicked while the line is being typed
    ),
    Setting(
        "text_source", PointerProperty, "Text From",
        "Perform what is written in this text instead, as edited in the Text Editor: for long dialogue",
        type=bpy.types.Text, key="", asked=False,
    ),
    Setting("emotion", EnumProperty, "Emotion", "The emotion of the performance", items=_EMOTIONS, default=AUTO.name),
    Setting(
        "emotion_to", EnumProperty, "Moves To", "A second emotion that the line moves to", nothing=NOWHERE,
        items=[(NOWHERE, "Stays", "The line stays with its emotion", "NONE", 0), *_EMOTIONS[1:]], default=NOWHERE,
    ),
    Setting(
        "emotion_with", EnumProperty, "Mix With", "A second emotion that is felt at the same time", nothing=NOWHERE,
        items=[(NOWHERE, "Nothing", "The emotion is felt by itself", "NONE", 0), *_EMOTIONS[1:]], default=NOWHERE,
    ),
    Setting(
        "share", FloatProperty, "Share", "How much of the mixture the second emotion is: 0 to 1",
        default=0.5, min=0.0, max=1.0, subtype="FACTOR",
    ),
    Setting(
        "intensity", FloatProperty, "Intensity",
        "How strongly the emotion is played: 0 is calm, 1 natural, 1.5 extreme",
        default=1.0, soft_min=0.0, soft_max=1.5, step=5,
    ),
    Setting(
        "energy", FloatProperty, "Energy",
        "Tempo and size of all movement, whatever is felt: 0.4 is tired, 1 natural, 1.6 agitated",
        default=1.0, soft_min=0.4, soft_max=1.6, step=5,
    ),
    Setting(
        "speaking", BoolProperty, "Speak",
        "The character says the line. Off: it hears the line, or thinks it, and reacts in silence", default=True,
    ),
    Setting(
        "takes", IntProperty, "Takes", "How many performances of the line to generate, to choose from",
        default=3, soft_min=1, soft_max=16,
    ),
    Setting(
        "spread", BoolProperty, "Most Different",
        "Perform four times as many takes and keep those that differ most from each other. The first one is that of "
        "the seed", default=True,
    ),
    Setting(
        "seed", IntProperty, "Seed",
        "Take 1 uses this seed, the others later ones. The same seed gives the same performance", default=0, soft_min=0,
    ),
    Setting(
        "temperature", FloatProperty, "Temperature",
        "How freely the takes depart from the likeliest performance: 0 not at all (alike, hardly a blink), "
        "1 naturally, 2 wildly", default=1.0, soft_min=0.0, soft_max=2.0, step=5,
    ),
    Setting(
        "seconds", FloatProperty, "Length", "Length of the performance in seconds. 0: as long as the line takes to say",
        nothing=0.0, default=0.0, soft_min=0.0, soft_max=60.0, step=10, precision=1, unit="TIME_ABSOLUTE",
    ),
    Setting(
        "ending", EnumProperty, "At the End", "What is left of the emotion when the line is over",
        items=(
            ("rest", "Rest", "The face comes to rest"),
            ("trace", "Trace", "A trace of what was felt stays until the next line, which goes on from it"),
            ("held", "Held", "What was felt is still felt until the next line, which goes on from it"),
        ), default="rest",
    ),
    Setting(
        "rate", FloatProperty, "Speaking Rate",
        "How fast the line is spoken: 1 as the emotion has it, 2 twice as fast. A given length goes before it",
        default=1.0, soft_min=0.5, soft_max=2.0, step=5, precision=2,
    ),
    Setting(
        "timing", IntProperty, "Timing",
        "Seed of when each word is said, the same for all takes. Another number: another reading",
        default=0, soft_min=0,
    ),
    Setting(
        "vary_timing", BoolProperty, "Vary Timing", "Every take says the line with a timing of its own", default=False,
    ),
    Setting("language", EnumProperty, "Language", "How the line is pronounced", items=_LANGUAGES, default="auto"),
    Setting(
        "timeline_source", PointerProperty, "Times From",
        "Perform with the times of words and sounds in this text, as Save Timeline writes them",
        type=bpy.types.Text, key="timeline",
    ),
    Setting(
        "start", EnumProperty, "Start", "The frame where the performance begins", key="", asked=False,
        items=(
            ("CURRENT", "Current Frame", "Begin where the playhead is"),
            ("FRAME", "Frame", "Begin at a frame of your choice"),
        ), default="CURRENT",
    ),
    Setting("start_frame", IntProperty, "Frame", "The first frame of the performance", default=1, asked=False),
    Setting(
        "interpolation", EnumProperty, "Interpolation", "How Blender fills in between the keyframes", asked=False,
        items=(
            ("BEZIER", "Bézier", "Smooth curves between the keyframes", "IPO_BEZIER", 2),
            ("LINEAR", "Linear", "Straight lines between the keyframes", "IPO_LINEAR", 1),
        ), default="BEZIER",
    ),
    Setting(
        "reduction", FloatProperty, "Reduction",
        "Fewer keyframes: how far each curve may be off, in percent of its range. 0: one on every frame. Lips and lids "
        "that close keep theirs", asked=False,
        default=0.5, min=0.0, max=100.0, soft_max=5.0, step=10, precision=2, subtype="PERCENTAGE",
    ),
    Setting(
        "blend", IntProperty, "Blend",
        "Over how many frames the performance leaves from what is there without it, and returns to it",
        default=6, min=0, soft_max=24, asked=False,
    ),
)  # fmt: skip


#: What can be changed of a line there is, by the names that `record.Line` and its style have for it.
LINE_SETTINGS: Final = (
    Setting("start", IntProperty, "Start", "First frame of the line. Another one moves it", default=1),
    Setting("end", IntProperty, "End", "Last frame of the line. Another one makes it slower or faster", default=1),
    Setting(
        "intensity", FloatProperty, "Intensity", "Size of the acting: 0 none of it, 1 as it was performed",
        default=1.0, min=0.0, max=10.0, soft_max=1.5, step=5,
    ),
    Setting(
        "speech", FloatProperty, "Speech", "Size of what the lips say: 0 none of it, 1 as it was performed",
        default=1.0, min=0.0, max=1.5, step=5,
    ),
    Setting(
        "smoothing", FloatProperty, "Smoothing",
        "Seconds over which the acting is evened out. Blinks and what the lips say stay as they are",
        min=0.0, max=0.5, soft_max=0.25, step=1, precision=2, unit="TIME_ABSOLUTE",
    ),
    Setting(
        "exaggeration", FloatProperty, "Exaggeration",
        "Size of what the acting does beside its slow course: 0 only that, 1 as it was performed. Blinks and what the "
        "lips say stay as they are", default=1.0, min=0.0, max=3.0, soft_max=2.0, step=5,
    ),
    *(setting for setting in SETTINGS if setting.name in ("interpolation", "reduction", "blend")),
)  # fmt: skip
#: What becomes of a region of the face in a line, by the names of `record.Region`.
REGION_SETTINGS: Final = (
    Setting(
        "scale", FloatProperty, "Scale",
        "Size of the take's movement of this region; where it has several, that at the playhead",
        default=1.0, min=0.0, max=10.0, soft_max=1.5, step=5,
    ),
    Setting(
        "mode", EnumProperty, "Where Others Animate", "What the line does where somebody else animates this region",
        items=(
            ("FILL", "Fill", "What somebody else animates plays through; the take moves the rest"),
            (
                "TAKE", "Take",
                "The take plays; keys of others inside the line are put aside, and come back when it goes",
            ),
            ("ADD", "Add", "The take is added to what somebody else animates"),
        ), default="FILL",
    ),
    Setting("mute", BoolProperty, "Mute", "Leave this region out: it stays the animator's", default=False),
)  # fmt: skip


class CTEG_Settings(bpy.types.PropertyGroup):
    __annotations__ = {setting.name: setting.as_property() for setting in SETTINGS}

    def line(self) -> str:
        """What is performed: the text datablock if there is one, else the line of the panel."""
        return self.text if self.text_source is None else self.text_source.as_string()


class Arguments:
    """Mixin: the settings as arguments of an operator."""

    __annotations__ = {setting.key: setting.as_argument() for setting in SETTINGS if setting.key}

    def given(self) -> dict[str, Any]:
        """The arguments that the operator was called with, by name."""
        keys = [setting.key for setting in SETTINGS if setting.key]
        return {key: getattr(self, key) for key in keys if self.properties.is_property_set(key)}


def chosen(settings: CTEG_Settings) -> dict[str, Any]:
    """The settings of a scene by the names that they have as arguments."""
    return {setting.key: getattr(settings, setting.name) for setting in SETTINGS if setting.key}


def request(values: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol's LINE with these values, by name; those that the generator is not asked for are left out.

    Raises:
        SettingError: a number is none that JSON has a word for.
    """
    line = {}
    for setting in SETTINGS:
        if not setting.asked:
            continue
        value = values[setting.key]
        if isinstance(value, float):
            if not math.isfinite(value):
                sentence = "{name} must be a number, not {value:g}."
                raise SettingError(sentence, name=translated(setting.label), value=value)
            value = round(value, 6)  # a slider's 0.3 is 0.30000001192092896, and takes remember what was asked
        if isinstance(value, Timeline):
            value = value.to_json()
        line[setting.key] = None if value == setting.nothing else value
    return line
