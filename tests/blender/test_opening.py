# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a file runs nothing of ours that goes anywhere: no path, program or checkpoint that is named in it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import bpy

from blender_cteg import cast, settings
from blender_cteg.performance import preview
from blender_cteg.worker import session

LINE = Path(__file__).with_name("data") / "versions" / "line_1.blend"
FORBIDDEN = ("subprocess.", "socket.", "os.system", "os.exec", "os.posix_spawn", "os.remove", "os.rename")
_seen: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open" and isinstance(arguments[0], str | bytes):
        _seen.append(f"open {arguments[0]!r}")
    elif event.startswith(FORBIDDEN):
        _seen.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)  # for as long as the process lives: there is no way to take one out


def test_opening_a_file_reads_and_starts_nothing(stage: bpy.types.Scene, tmp_path: Path) -> None:
    global _seen
    bpy.ops.wm.open_mainfile(filepath=str(LINE))  # what is imported at first use is imported now
    cast._catch_up()
    # A file that names places in every property of ours and in ones that we might have had.
    scene = bpy.context.scene
    for name in ("checkpoint", "python", "timeline", "cteg_python", "cteg_checkpoint"):
        scene[name] = "//evil/python"
    scene["cteg_timeline"] = "//host/share/line.json"
    for datablock in (*bpy.data.meshes, *bpy.data.objects, *bpy.data.actions, *bpy.data.shape_keys):
        datablock["cteg_fit"] = json.dumps({"file": "/etc/passwd"})
        datablock[preview.PREVIEW_PROPERTY] = json.dumps([["data", "filepath", "/etc/passwd"], ["", "name", "x"]])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "hostile.blend"))
    _seen = []
    try:
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "hostile.blend"))
        cast._catch_up()
        seen = [one for one in _seen if not _is_pythons_own(one)]
    finally:
        _seen = None
    assert not seen
    assert session.job is None and session._client is None


def _is_pythons_own(event: str) -> bool:
    """Modules that are imported late, Blender's own files, and the source of what was compiled from a string."""
    return event.startswith("open") and any(
        end in event for end in (".py'", ".pyc'", ".so'", "/proc/", "hostile.blend", "/sys/", ".pyd'", "'<unknown>'")
    )


def test_no_setting_of_a_scene_is_a_path() -> None:
    kinds = [setting.options.get("subtype", "") for setting in settings.SETTINGS]
    assert not any("PATH" in kind or "FILE" in kind for kind in kinds)
    texts = {setting.key for setting in settings.SETTINGS if setting.kind is bpy.props.StringProperty}
    assert not texts & {"checkpoint", "python", "device", "engine"}
