# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: what the animator keeps under a name, a file each. Blender stores, lists and removes them."""

from __future__ import annotations

from typing import Any, Final

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

from ..settings import SETTINGS

#: What belongs to one line or one scene, and is in no preset.
OF_THE_LINE: Final = frozenset(
    {"target", "text", "text_source", "seed", "seconds", "timing", "timeline_source", "start", "start_frame"}
)
#: What is felt; what a character is like, whatever it feels and says.
MOOD: Final = ("emotion", "emotion_to", "emotion_with", "share", "intensity")
MANNER: Final = ("energy", "temperature", "rate", "vary_timing", "language", "ending")


def _pair(
    names: tuple[str, str], folder: str, labels: tuple[str, str], description: str, defined: str, values: list[str]
) -> tuple[Any, Any]:
    """The menu of one kind of presets, and the operator that adds one to it or removes one.

    Args:
        names: of the menu and of the operator.
        folder: where Blender keeps these presets.
        labels: of the menu and of the operator.
        description: of the operator.
        defined: what the values are attributes of, as a statement.
        values: what a preset keeps.
    """
    menu, add = names
    panel: Any = {
        "bl_label": labels[0], "preset_subdir": folder, "preset_operator": "script.execute_preset",
        "preset_add_operator": f"cteg.{add}",
    }  # fmt: skip
    operator: Any = {
        "bl_idname": f"cteg.{add}", "bl_label": labels[1], "bl_description": description, "preset_subdir": folder,
        "preset_menu": f"CTEG_PT_{menu}", "preset_defines": [defined], "preset_values": values,
        "poll": classmethod(lambda _cls, context: context.scene is not None),
    }  # fmt: skip
    return (
        type(f"CTEG_PT_{menu}", (PresetPanel, bpy.types.Panel), panel),
        type(f"CTEG_OT_{add}", (AddPresetBase, bpy.types.Operator), operator),
    )


def _settings(*names: str) -> tuple[str, list[str]]:
    """What the values of settings of the scene are attributes of, and they."""
    return "settings = bpy.context.scene.cteg", [f"settings.{s.name}" for s in SETTINGS if s.name in names]


CTEG_PT_presets, CTEG_OT_add_preset = _pair(
    ("presets", "add_preset"), "cteg/performance", ("Performance Presets", "Add Performance Preset"),
    "Keep how lines are performed, without the line and its times, as a preset; or remove one",
    *_settings(*(setting.name for setting in SETTINGS if setting.name not in OF_THE_LINE)),
)  # fmt: skip
CTEG_PT_moods, CTEG_OT_add_mood = _pair(
    ("moods", "add_mood"), "cteg/moods", ("Moods", "Add Mood"),
    "Keep what is felt, and how strongly, as a mood; or remove one", *_settings(*MOOD),
)  # fmt: skip
CTEG_PT_manners, CTEG_OT_add_manner = _pair(
    ("manners", "add_manner"), "cteg/characters", ("Characters", "Add Character"),
    "Keep how a character acts and speaks, whatever it feels, as a preset; or remove one", *_settings(*MANNER),
)  # fmt: skip
CTEG_PT_mixes, CTEG_OT_add_mix = _pair(
    ("mixes", "add_mix"), "cteg/mixes", ("Mixes", "Add Mix"),
    "Keep which regions the line plays, how large and over what, as a preset; or remove one",
    "fields = bpy.context.scene.cteg_fields", ["fields.mix"],  # one value, so that a line is written once for all of it
)  # fmt: skip

CLASSES: Final = (
    CTEG_PT_presets, CTEG_OT_add_preset, CTEG_PT_moods, CTEG_OT_add_mood, CTEG_PT_manners, CTEG_OT_add_manner,
    CTEG_PT_mixes, CTEG_OT_add_mix,
)  # fmt: skip
