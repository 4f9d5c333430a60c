# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration: the one ordered list of classes, and whatever else Blender must know."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent
from bpy.props import PointerProperty

from . import commands, fit_panel, panels, preferences, properties, session
from .operators import (
    branch,
    cancel,
    check,
    extend,
    fit,
    fit_bones,
    flame,
    generate,
    head,
    resample,
    segments,
    takes,
    vary,
    widen,
)

_CLASSES = (
    properties.CTEG_Settings,
    preferences.CTEG_Preferences,
    generate.CTEG_OT_generate,
    resample.CTEG_OT_resample,
    vary.CTEG_OT_vary,
    branch.CTEG_OT_branch,
    cancel.CTEG_OT_cancel,
    check.CTEG_OT_check_generator,
    head.CTEG_OT_add_head,
    flame.CTEG_OT_import_flame,
    fit_bones.CTEG_OT_fit_bones,
    takes.CTEG_OT_show_take,
    takes.CTEG_OT_delete_take,
    segments.CTEG_OT_go_to_segment,
    segments.CTEG_OT_direct_segment,
    extend.CTEG_OT_extend_scene,
    fit.CTEG_OT_fit_again,
    widen.CTEG_OT_widen_sliders,
    panels.CTEG_UL_takes,
    panels.CTEG_PT_performance,
    panels.CTEG_PT_understood,
    panels.CTEG_PT_takes,
    panels.CTEG_PT_options,
    fit_panel.CTEG_PT_fit,
)

_commands: list[object] = []


@persistent
def _forget_job(*_arguments: object) -> None:
    """Another file is about to be loaded: what is being generated has nowhere to go."""
    session.finish()


def register() -> None:
    """Make everything known to Blender; when that fails half-way, what was done is undone."""
    try:
        for cls in _CLASSES:
            bpy.utils.register_class(cls)
        bpy.types.Scene.cteg = PointerProperty(type=properties.CTEG_Settings)
        bpy.types.TOPBAR_MT_file_import.append(flame.draw_in_import_menu)
        bpy.app.handlers.load_pre.append(_forget_job)
        _commands.append(bpy.utils.register_cli_command("cteg", commands.run))
    except Exception:
        unregister()
        raise


def unregister() -> None:
    """Undo `register` in reverse, and end the generator process."""
    session.close()
    while _commands:
        bpy.utils.unregister_cli_command(_commands.pop())
    bpy.types.TOPBAR_MT_file_import.remove(flame.draw_in_import_menu)
    if _forget_job in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_forget_job)
    if hasattr(bpy.types.Scene, "cteg"):
        del bpy.types.Scene.cteg
    for cls in reversed(_CLASSES):
        if cls.is_registered:
            bpy.utils.unregister_class(cls)
