# SPDX-License-Identifier: GPL-3.0-or-later
"""Enabling is light, and disabling leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bpy
import pytest

import blender_cteg
from blender_cteg import registration
from blender_cteg.worker import session


def state() -> dict[str, object]:
    """What an add-on could leave behind."""
    handlers = {
        name: list(functions) for name in dir(bpy.app.handlers)
        if isinstance(functions := getattr(bpy.app.handlers, name), list)
    }  # fmt: skip
    owners = (bpy.types.Scene, bpy.types.Object, bpy.types.WindowManager, bpy.types.Action, bpy.types.Mesh)
    return {
        "types": {name for name in dir(bpy.types) if "cteg" in name.lower()},
        "operators": {f"{group}.{name}" for group in dir(bpy.ops) for name in dir(getattr(bpy.ops, group))},
        "handlers": handlers,
        "properties": [set(dir(owner)) for owner in owners],
        "client": session._client,
    }


def test_register_and_unregister_leave_nothing_behind() -> None:
    before = state()
    for _ in range(2):
        blender_cteg.register()
        during = state()
        assert "cteg.perform" in during["operators"]
        assert during["handlers"] != before["handlers"]
        blender_cteg.unregister()
        assert state() == before


def test_a_failed_registration_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()

    class Broken:
        is_registered = False

    monkeypatch.setattr(registration, "_CLASSES", (*registration._CLASSES, Broken))
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        blender_cteg.register()
    assert state() == before


def test_enabling_imports_no_torch_and_starts_nothing(root: Path) -> None:
    script = (
        "import sys, threading, bpy\n"
        "before = set(sys.modules)\n"
        "import blender_cteg\n"
        "blender_cteg.register()\n"
        "from blender_cteg.worker import session\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'safetensors', 'scipy'} & set(sys.modules)\n"
        "heavy |= {name for name in sys.modules if name.startswith('generator.')"
        " and not name.startswith('generator.shared')}\n"
        "assert not heavy, heavy\n"
        # What enabling does not need, and would make it take half as long again.
        "late = ('.articulation', '.composing', '.fit', '.flame_file.read', '.strips', '.client', '.protocol')\n"
        "early = {'difflib', 'zipfile'} & set(sys.modules)\n"
        "ours = [name for name in sys.modules if name.startswith(('blender_cteg.', 'generator.'))]\n"
        "early |= {name for name in ours if name.endswith(late)}\n"
        "assert not early - before, early - before\n"
        "assert session._client is None\n"
        "assert threading.active_count() == 1\n"
        "blender_cteg.unregister()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "get_type_hints" not in done.stdout + done.stderr
