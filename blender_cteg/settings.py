# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a performance: ``scene.cteg``.

Numbers have soft limits only: sliders stay in the useful range, and a value that the generator cannot perform is
refused with a sentence rather than silently changed.
"""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import desk
from .emotions import AUTO, EMOTIONS
from .shared import LANGUAGES
from .ui.layouts import emotion_icon
from .ui.mapping_fields import CTEG_MappingEditor, retarget

#: The emotion menu: identifier, label, description, icon, number.
EMOTION_ITEMS = [
    (emotion.name, emotion.label, emotion.description, emotion_icon(emotion.name), number)
    for number, emotion in enumerate((AUTO, *EMOTIONS))
]
#: The menu of the emotion that a line moves to: the same, and none.
NOWHERE = "none"
EMOTION_TO_ITEMS = [
    (NOWHERE, "Stays", "The line stays with its emotion", "NONE", 0),
    *(item for item in EMOTION_ITEMS if item[0] != AUTO.name),
]
#: The menu of the emotion that is mixed in: the same, worded for it.
EMOTION_WITH_ITEMS = [(NOWHERE, "Nothing", "The emotion is felt by itself", "NONE", 0), *EMOTION_TO_ITEMS[1:]]
#: The menu of languages: identifier, label, description, number.
LANGUAGE_ITEMS = [
    (code, name, f"The line is {name}" if number else "The words say which language it is", number)
    for number, (code, name) in enumerate({"auto": "Automatic", **LANGUAGES}.items())
]
LINE_DESCRIPTION = (
    "What the character says. '...' makes a silent reaction. Directions in the line are played, not spoken: "
    "(angrily) Get out.  Or: [joy 0.8 -> sadness] You came back…"
)
INTERPOLATION_ITEMS = [
    ("BEZIER", "Bézier", "Smooth curves between the keyframes", "IPO_BEZIER", 2),
    ("LINEAR", "Linear", "Straight lines between the keyframes", "IPO_LINEAR", 1),
]


def _may_be_target(settings: CTEG_Settings, candidate: bpy.types.Object) -> bool:
    return candidate.type in {"MESH", "ARMATURE", "EMPTY"} and settings.id_data.objects.get(candidate.name) == candidate


def _shown_take(settings: CTEG_Settings) -> int:
    return desk.shown_index(settings.id_data)


def _show_take(settings: CTEG_Settings, index: int) -> None:
    desk.show_index(settings.id_data, index)


class CTEG_Settings(bpy.types.PropertyGroup):
    target: PointerProperty(
        name="Target",
        description="The character that performs: any mesh of it, its armature, or the Empty above it",
        type=bpy.types.Object,
        poll=_may_be_target,
        update=retarget,
    )
    mapping: PointerProperty(type=CTEG_MappingEditor)
    text: StringProperty(
        name="Line",
        description=LINE_DESCRIPTION,
    )
    text_source: PointerProperty(
        name="Text From",
        description="Perform what is written in this text instead, as edited in the Text Editor: for long dialogue",
        type=bpy.types.Text,
    )
    emotion: EnumProperty(
        name="Emotion",
        description="The emotion of the performance",
        items=EMOTION_ITEMS,
        default=AUTO.name,
    )
    emotion_to: EnumProperty(
        name="Moves To",
        description="A second emotion that the line moves to",
        items=EMOTION_TO_ITEMS,
        default=NOWHERE,
    )
    emotion_with: EnumProperty(
        name="Mix With",
        description="A second emotion that is felt at the same time",
        items=EMOTION_WITH_ITEMS,
        default=NOWHERE,
    )
    share: FloatProperty(
        name="Share",
        description="How much of the mixture the second emotion is",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    energy: FloatProperty(
        name="Energy",
        description="Tempo and size of all movement, whatever is felt: 0.4 is tired, 1 natural, 1.6 agitated",
        default=1.0,
        soft_min=0.4,
        soft_max=1.6,
        step=5,
    )
    speaking: BoolProperty(
        name="Speak",
        description="The character says the line. Off: it hears the line, or thinks it, and reacts in silence",
        default=True,
    )
    intensity: FloatProperty(
        name="Intensity",
        description="How strongly the emotion is played: 0 is calm, 1 natural, 1.5 extreme",
        default=1.0,
        soft_min=0.0,
        soft_max=1.5,
        step=5,
    )
    takes: IntProperty(
        name="Takes",
        description="How many performances of the line to generate, each an action of its own",
        default=3,
        soft_min=1,
        soft_max=16,
    )
    spread: BoolProperty(
        name="Most Different",
        description="Perform four times as many takes and keep those that differ most from each other. The first one "
        "is that of the seed",
        default=True,
    )
    seed: IntProperty(
        name="Seed",
        description="Take 1 uses this seed, the others later ones. The same seed gives the same performance",
        default=0,
        soft_min=0,
    )
    temperature: FloatProperty(
        name="Temperature",
        description="How freely the takes depart from the likeliest performance: 0 not at all (alike, hardly a blink), "
        "1 naturally, 2 wildly",
        default=1.0,
        soft_min=0.0,
        soft_max=2.0,
        step=5,
    )
    seconds: FloatProperty(
        name="Length",
        description="Length of the performance in seconds. 0: as long as the line takes to say",
        default=0.0,
        soft_min=0.0,
        soft_max=60.0,
        step=10,
        precision=1,
        unit="TIME_ABSOLUTE",
    )
    rate: FloatProperty(
        name="Speaking Rate",
        description="How fast the line is spoken: 1 as it comes, 2 twice as fast. A given length goes before it",
        default=1.0,
        soft_min=0.5,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    timing: IntProperty(
        name="Timing",
        description="Seed of when each word is said, the same for all takes. Another number: another reading",
        default=0,
        soft_min=0,
    )
    vary_timing: BoolProperty(
        name="Vary Timing",
        description="Every take says the line with a timing of its own",
        default=False,
    )
    language: EnumProperty(
        name="Language",
        description="How the line is pronounced",
        items=LANGUAGE_ITEMS,
        default="auto",
    )
    timeline_source: PointerProperty(
        name="Times From",
        description="Perform with the times of words and sounds in this text, as Save Timeline writes them",
        type=bpy.types.Text,
    )
    start: EnumProperty(
        name="Start",
        description="The frame where the performance begins",
        items=(
            ("CURRENT", "Current Frame", "Begin where the playhead is"),
            ("FRAME", "Frame", "Begin at a frame of your choice"),
        ),
        default="CURRENT",
    )
    start_frame: IntProperty(name="Frame", description="The first frame of the performance", default=1)
    interpolation: EnumProperty(
        name="Interpolation",
        description="How Blender fills in between the keyframes",
        items=INTERPOLATION_ITEMS,
        default="BEZIER",
    )
    reduction: FloatProperty(
        name="Reduction",
        description="Fewer keyframes: how far each curve may be off, in percent of its range. 0: one on every frame. "
        "Lips and lids that close keep theirs",
        default=0.0,
        min=0.0,
        max=100.0,
        soft_max=5.0,
        step=10,
        precision=2,
        subtype="PERCENTAGE",
    )
    take_index: IntProperty(
        name="Take",
        description="The take that the target shows. Click one to show it",
        get=_shown_take,
        set=_show_take,
        options={"SKIP_SAVE"},
    )

    def line(self) -> str:
        """What is performed: the text datablock if there is one, else the line of the panel."""
        return self.text if self.text_source is None else self.text_source.as_string()
