# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration: the one ordered list of classes, and whatever else Blender must know."""

from __future__ import annotations

from typing import Final

import bpy
from bpy.app.handlers import persistent
from bpy.props import PointerProperty

from . import cast, preferences, settings
from .character import measuring
from .dialogue import board, entries
from .operators import (
    dialogue,
    environment,
    heads,
    jobs,
    learning,
    lines,
    live,
    mapping,
    mapping_files,
    perform,
    reading,
    scripts,
    test_drive,
    timelines,
    timing,
    widen,
)
from .performance import preview
from .pictures import gallery, ghost
from .ui import dialogue_panel, fields, lines_panel, live_panel, mapping_panel, panels, presets, understood
from .worker import session

_CLASSES = (
    *fields.CLASSES,
    live_panel.CTEG_Live,
    *entries.CLASSES,
    settings.CTEG_Settings,
    preferences.CTEG_Preferences,
    perform.CTEG_OT_perform,
    reading.CTEG_OT_read_line,
    jobs.CTEG_OT_check_generator,
    environment.CTEG_OT_create_environment,
    jobs.CTEG_OT_cancel,
    heads.CTEG_OT_add_head,
    heads.CTEG_OT_import_flame,
    heads.CTEG_FH_flame,
    heads.CTEG_OT_fit_bones,
    lines.CTEG_OT_show_take,
    lines.CTEG_OT_delete_take,
    lines.CTEG_OT_delete_other_takes,
    lines.CTEG_OT_favourite_take,
    lines.CTEG_OT_compare_take,
    lines.CTEG_OT_delete_line,
    lines.CTEG_OT_change_line,
    lines.CTEG_OT_change_region,
    lines.CTEG_OT_play_only,
    lines.CTEG_OT_size_at_playhead,
    lines.CTEG_OT_keep_edit,
    lines.CTEG_OT_rewrite_lines,
    lines.CTEG_OT_go_to_line,
    lines.CTEG_OT_send_to_strip,
    lines.CTEG_OT_bring_back,
    lines.CTEG_OT_migrate_takes,
    live.CTEG_OT_direct_live,
    scripts.CTEG_Label,
    scripts.CTEG_OT_read_script,
    scripts.CTEG_FH_script,
    scripts.CTEG_OT_paste_script,
    dialogue.CTEG_OT_add_entry,
    dialogue.CTEG_OT_remove_entries,
    dialogue.CTEG_OT_move_entry,
    dialogue.CTEG_OT_follow_entry,
    dialogue.CTEG_OT_choose_entries,
    dialogue.CTEG_OT_cast,
    dialogue.CTEG_OT_add_heads,
    dialogue.CTEG_OT_perform_dialogue,
    dialogue.CTEG_OT_remove_listening,
    timing.CTEG_OT_arrange,
    timing.CTEG_OT_shift_entries,
    timing.CTEG_OT_mark_entries,
    timing.CTEG_OT_mark_words,
    timing.CTEG_OT_fit_entry,
    reading.CTEG_OT_go_to_segment,
    reading.CTEG_OT_direct_segment,
    timelines.CTEG_OT_save_timeline,
    timelines.CTEG_OT_use_timeline,
    lines.CTEG_OT_extend_scene,
    widen.CTEG_OT_widen_sliders,
    mapping.CTEG_OT_mapping_match,
    mapping.CTEG_OT_mapping_accept,
    mapping.CTEG_OT_mapping_mute,
    mapping.CTEG_OT_mapping_reset,
    mapping.CTEG_OT_fit_again,
    mapping.CTEG_OT_mapping_preset,
    mapping.CTEG_OT_mapping_add_target,
    mapping.CTEG_OT_mapping_remove_target,
    test_drive.CTEG_OT_test_drive,
    test_drive.CTEG_OT_mapping_mend,
    test_drive.CTEG_OT_mapping_trust,
    test_drive.CTEG_OT_mapping_widen,
    learning.CTEG_OT_learn_pose,
    learning.CTEG_OT_learn,
    mapping_files.CTEG_OT_mapping_load,
    mapping_files.CTEG_FH_mapping,
    mapping_files.CTEG_OT_mapping_save,
    mapping_files.CTEG_OT_mapping_copy,
    *presets.CLASSES,
    panels.CTEG_MT_acting,
    dialogue_panel.CTEG_UL_entries,
    dialogue_panel.CTEG_UL_parts,
    dialogue_panel.CTEG_MT_dialogue,
    dialogue_panel.CTEG_PT_dialogue,
    dialogue_panel.CTEG_PT_entry,
    dialogue_panel.CTEG_PT_cast,
    panels.CTEG_PT_performance,
    understood.CTEG_PT_understood,
    lines_panel.CTEG_UL_lines,
    lines_panel.CTEG_UL_takes,
    lines_panel.CTEG_PT_lines,
    lines_panel.CTEG_PT_line,
    live_panel.CTEG_PT_live,
    lines_panel.CTEG_PT_mixing,
    panels.CTEG_PT_options,
    mapping_panel.CTEG_UL_mapping,
    mapping_panel.CTEG_MT_mapping_presets,
    mapping_panel.CTEG_PT_mapping,
    mapping_panel.CTEG_PT_fit,
    mapping_panel.CTEG_PT_learning,
)

#: Properties of Blender's own types: the type, the name, the group.
_OWNERS: Final = (
    (bpy.types.Scene, "cteg", settings.CTEG_Settings),
    *fields.OWNERS,
    *live_panel.OWNERS,
    *entries.OWNERS,
)

#: Blender's menus, and what draws ours in them.
_MENUS: Final = (
    ("TOPBAR_MT_file_import", heads.draw_in_import_menu),
    ("VIEW3D_MT_object", panels.draw_menu),
    ("VIEW3D_MT_pose", panels.draw_menu),
)

_commands: list[object] = []


@persistent
def _forget_job(*_arguments: object) -> None:
    """Another file is about to be loaded: what is being generated has nowhere to go."""
    session.finish()


#: What Blender calls, and when: a list of `bpy.app.handlers`, and the function.
_HANDLERS: Final = (
    ("load_pre", _forget_job),
    *measuring.HANDLERS,
    *preview.HANDLERS,
    *cast.HANDLERS,
    *gallery.HANDLERS,
    *ghost.HANDLERS,
    *board.HANDLERS,
)


def _run_command(arguments: list[str]) -> int:
    """``blender --command cteg``: what it needs is imported when it is used."""
    from . import cli

    return cli.run(arguments)


def register() -> None:
    """Make everything known to Blender; when that fails half-way, what was done is undone."""
    try:
        for cls in _CLASSES:
            bpy.utils.register_class(cls)
        for owner, name, group in _OWNERS:
            setattr(owner, name, PointerProperty(type=group))
        for menu, draw in _MENUS:
            getattr(bpy.types, menu).append(draw)
        for handlers, function in _HANDLERS:
            getattr(bpy.app.handlers, handlers).append(function)
        _commands.append(bpy.utils.register_cli_command("cteg", _run_command))
        cast.begin()
        board.begin()
    except Exception:
        unregister()
        raise


def unregister() -> None:
    """Undo `register` in reverse, and end the generator process."""
    session.close()
    jobs.hide_status(bpy.context)
    preview.end_preview()
    gallery.forget()
    ghost.forget()
    board.end()
    cast.forget()
    while _commands:
        bpy.utils.unregister_cli_command(_commands.pop())
    for handlers, function in reversed(_HANDLERS):
        if function in getattr(bpy.app.handlers, handlers):
            getattr(bpy.app.handlers, handlers).remove(function)
    for menu, draw in _MENUS:
        getattr(bpy.types, menu).remove(draw)
    for owner, name, _ in reversed(_OWNERS):
        if hasattr(owner, name):
            delattr(owner, name)
    for cls in reversed(_CLASSES):
        if cls.is_registered:
            bpy.utils.unregister_class(cls)
