# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a performance: ``scene.cteg``.

Numbers have soft limits only: sliders stay in the useful range, and a value that the generator cannot perform is
refused with a sentence rather than silently changed.
"""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import desk
from .emotions import AUTO, EMOTIONS

#: The emotion menu: identifier, label, description, icon, number.
EMOTION_ITEMS = [
    (emotion.name, emotion.label, emotion.description, "NONE", number)
    for number, emotion in enumerate((AUTO, *EMOTIONS))
]
INTERPOLATION_ITEMS = [
    ("BEZIER", "Bézier", "Smooth curves between the keyframes", "IPO_BEZIER", 2),
    ("LINEAR", "Linear", "Straight lines between the keyframes", "IPO_LINEAR", 1),
]


def _may_be_target(settings: CTEG_Settings, candidate: bpy.types.Object) -> bool:
    return candidate.type in {"MESH", "ARMATURE"} and settings.id_data.objects.get(candidate.name) == candidate


def _shown_take(settings: CTEG_Settings) -> int:
    return desk.shown_index(settings.id_data)


def _show_take(settings: CTEG_Settings, index: int) -> None:
    desk.show_index(settings.id_data, index)


class CTEG_Settings(bpy.types.PropertyGroup):
    target: PointerProperty(
        name="Target",
        description="The face that performs: a mesh with facial shape keys, or the armature of one",
        type=bpy.types.Object,
        poll=_may_be_target,
    )
    text: StringProperty(
        name="Line",
        description="What the character says. '...' makes a silent reaction",
    )
    emotion: EnumProperty(
        name="Emotion",
        description="The emotion of the performance",
        items=EMOTION_ITEMS,
        default=AUTO.name,
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
    seed: IntProperty(
        name="Seed",
        description="Take 1 uses this seed, take 2 the next one, and so on. The same seed gives the same performance",
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
        soft_max=10.0,
        step=10,
        precision=1,
        unit="TIME_ABSOLUTE",
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
    take_index: IntProperty(
        name="Take",
        description="The take that the target shows. Click one to show it",
        get=_shown_take,
        set=_show_take,
        options={"SKIP_SAVE"},
    )
