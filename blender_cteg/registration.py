# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration: the one ordered list of classes, and whatever else Blender must know."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent
from bpy.props import PointerProperty

from . import cli as commands
from . import preferences
from . import settings as properties
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
    timelines,
    vary,
    widen,
)
from .operators import mapping as mapping_ops
from .operators import mapping_files as mapping_files
from .performance import preview
from .ui import fit_panel, panels
from .ui import mapping_fields as mapping_properties
from .ui import mapping_list as mapping_list
from .ui import mapping_panel as mapping_panel
from .worker import session

_CLASSES = (
    mapping_properties.CTEG_MappingRow,
    mapping_properties.CTEG_MappingSlot,
    mapping_properties.CTEG_MappingEditor,
    mapping_properties.CTEG_MappingPreview,
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
    timelines.CTEG_OT_save_timeline,
    timelines.CTEG_OT_use_timeline,
    extend.CTEG_OT_extend_scene,
    fit.CTEG_OT_fit_again,
    widen.CTEG_OT_widen_sliders,
    panels.CTEG_UL_takes,
    panels.CTEG_PT_performance,
    panels.CTEG_PT_understood,
    panels.CTEG_PT_takes,
    panels.CTEG_PT_options,
    fit_panel.CTEG_PT_fit,
    mapping_ops.CTEG_OT_mapping_edit,
    mapping_ops.CTEG_OT_mapping_match,
    mapping_ops.CTEG_OT_mapping_accept,
    mapping_ops.CTEG_OT_mapping_reset,
    mapping_ops.CTEG_OT_mapping_preset,
    mapping_ops.CTEG_OT_mapping_add_target,
    mapping_ops.CTEG_OT_mapping_remove_target,
    mapping_files.CTEG_OT_mapping_load,
    mapping_files.CTEG_OT_mapping_save,
    mapping_files.CTEG_OT_mapping_copy,
    mapping_list.CTEG_UL_mapping,
    mapping_panel.CTEG_MT_mapping_presets,
    mapping_panel.CTEG_PT_mapping,
)

_commands: list[object] = []


@persistent
def _forget_job(*_arguments: object) -> None:
    """Another file is about to be loaded: what is being generated has nowhere to go."""
    session.finish()


@persistent
def _fill_mapping(*_arguments: object) -> None:
    """A file made before this version has no rows for the mapping editor yet."""
    for scene in bpy.data.scenes:
        if scene.cteg.target is not None and scene.is_editable:
            mapping_properties.fill(scene)


def register() -> None:
    """Make everything known to Blender; when that fails half-way, what was done is undone."""
    try:
        for cls in _CLASSES:
            bpy.utils.register_class(cls)
        bpy.types.Scene.cteg = PointerProperty(type=properties.CTEG_Settings)
        bpy.types.TOPBAR_MT_file_import.append(flame.draw_in_import_menu)
        bpy.types.WindowManager.cteg_preview = PointerProperty(type=mapping_properties.CTEG_MappingPreview)
        bpy.app.handlers.load_pre.append(_forget_job)
        bpy.app.handlers.load_post.append(_fill_mapping)
        for handlers, function in preview.HANDLERS:
            getattr(bpy.app.handlers, handlers).append(function)
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
    preview.end_preview()
    for handlers, function in (*preview.HANDLERS, ("load_post", _fill_mapping)):
        if function in getattr(bpy.app.handlers, handlers):
            getattr(bpy.app.handlers, handlers).remove(function)
    if _forget_job in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_forget_job)
    if hasattr(bpy.types.WindowManager, "cteg_preview"):
        del bpy.types.WindowManager.cteg_preview
    if hasattr(bpy.types.Scene, "cteg"):
        del bpy.types.Scene.cteg
    for cls in reversed(_CLASSES):
        if cls.is_registered:
            bpy.utils.unregister_class(cls)
