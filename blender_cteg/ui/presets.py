# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: what the animator keeps under a name, a file each. Blender stores, lists and removes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

from ..settings import SETTINGS

if TYPE_CHECKING:
    from bpy.types import Context

#: What belongs to one line or one scene, and is in no preset.
OF_THE_LINE: Final = frozenset(
    {"target", "text", "text_source", "seed", "seconds", "timing", "timeline_source", "start", "start_frame"}
)
#: What is felt; what a character is like, whatever it feels and says.
MOOD: Final = ("emotion", "emotion_to", "emotion_with", "share", "intensity")
MANNER: Final = ("energy", "temperature", "rate", "vary_timing", "language", "ending")


def _settings(names: tuple[str, ...]) -> dict[str, list[str]]:
    """What a preset of settings of the scene defines and keeps."""
    known = [setting.name for setting in SETTINGS if setting.name in names]
    return {
        "preset_defines": ["settings = bpy.context.scene.cteg"],
        "preset_values": [f"settings.{name}" for name in known],
    }


class _Presets(PresetPanel):
    preset_operator = "script.execute_preset"


class _AddPreset(AddPresetBase):
    @classmethod
    def poll(cls, context: Context) -> bool:
        """Called by Blender."""
        return context.scene is not None


class CTEG_PT_presets(_Presets, bpy.types.Panel):
    bl_label = "Performance Presets"
    preset_subdir = "cteg/performance"
    preset_add_operator = "cteg.add_preset"


class CTEG_OT_add_preset(_AddPreset, bpy.types.Operator):
    bl_idname = "cteg.add_preset"
    bl_label = "Add Performance Preset"
    bl_description = "Keep how lines are performed, without the line and its times, as a preset; or remove one"

    preset_menu, preset_subdir = "CTEG_PT_presets", CTEG_PT_presets.preset_subdir
    preset_defines, preset_values = _settings(
        tuple(setting.name for setting in SETTINGS if setting.name not in OF_THE_LINE)
    ).values()


class CTEG_PT_moods(_Presets, bpy.types.Panel):
    bl_label = "Moods"
    preset_subdir = "cteg/moods"
    preset_add_operator = "cteg.add_mood"


class CTEG_OT_add_mood(_AddPreset, bpy.types.Operator):
    bl_idname = "cteg.add_mood"
    bl_label = "Add Mood"
    bl_description = "Keep what is felt, and how strongly, as a mood; or remove one"

    preset_menu, preset_subdir = "CTEG_PT_moods", CTEG_PT_moods.preset_subdir
    preset_defines, preset_values = _settings(MOOD).values()


class CTEG_PT_manners(_Presets, bpy.types.Panel):
    bl_label = "Characters"
    preset_subdir = "cteg/characters"
    preset_add_operator = "cteg.add_manner"


class CTEG_OT_add_manner(_AddPreset, bpy.types.Operator):
    bl_idname = "cteg.add_manner"
    bl_label = "Add Character"
    bl_description = "Keep how a character acts and speaks, whatever it feels, as a preset; or remove one"

    preset_menu, preset_subdir = "CTEG_PT_manners", CTEG_PT_manners.preset_subdir
    preset_defines, preset_values = _settings(MANNER).values()


class CTEG_PT_mixes(_Presets, bpy.types.Panel):
    bl_label = "Mixes"
    preset_subdir = "cteg/mixes"
    preset_add_operator = "cteg.add_mix"


class CTEG_OT_add_mix(_AddPreset, bpy.types.Operator):
    bl_idname = "cteg.add_mix"
    bl_label = "Add Mix"
    bl_description = "Keep which regions the line plays, how large and over what, as a preset; or remove one"

    preset_menu, preset_subdir = "CTEG_PT_mixes", CTEG_PT_mixes.preset_subdir
    # One value, so that a line is written once for all of it.
    preset_defines: Final = ["fields = bpy.context.scene.cteg_fields"]
    preset_values: Final = ["fields.mix"]


CLASSES: Final = (
    CTEG_PT_presets,
    CTEG_OT_add_preset,
    CTEG_PT_moods,
    CTEG_OT_add_mood,
    CTEG_PT_manners,
    CTEG_OT_add_manner,
    CTEG_PT_mixes,
    CTEG_OT_add_mix,
)
