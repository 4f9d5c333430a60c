# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: how a line is performed, kept by the animator under a name. Blender stores, lists and removes them."""

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


class CTEG_PT_presets(PresetPanel, bpy.types.Panel):
    bl_label = "Performance Presets"
    preset_subdir = "cteg/performance"
    preset_operator = "script.execute_preset"
    preset_add_operator = "cteg.add_preset"


class CTEG_OT_add_preset(AddPresetBase, bpy.types.Operator):
    bl_idname = "cteg.add_preset"
    bl_label = "Add Performance Preset"
    bl_description = "Keep how lines are performed, without the line and its times, as a preset; or remove one"

    preset_menu = "CTEG_PT_presets"
    preset_subdir = CTEG_PT_presets.preset_subdir
    preset_defines: Final = ["settings = bpy.context.scene.cteg"]
    preset_values: Final = [f"settings.{setting.name}" for setting in SETTINGS if setting.name not in OF_THE_LINE]

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Called by Blender."""
        return context.scene is not None
