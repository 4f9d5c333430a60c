# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rooms and two doors: Blender's side never imports torch, the generator never imports bpy.

They exchange messages, and share what lies in `generator/shared`, which Blender's side reaches through one module.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blender_cteg import emotions
from generator.direction import emotions as generator_emotions
from generator.shared import spaces
from tests.blender import fake_worker

ROOT = Path(__file__).resolve().parent.parent

#: What Blender itself brings along. PIL and the like are not part of it.
IN_BLENDER = {
    "addon_utils",
    "bpy",
    "bpy_extras",
    "bl_operators",
    "bl_ui",
    "bmesh",
    "mathutils",
    "gpu",
    "gpu_extras",
    "blf",
    "numpy",
}

#: The one module of Blender's side that may import from the generator, and from where.
DOOR = Path("blender_cteg/shared.py")
SHARED = {"generator.shared", "generator.worker"}


def imports(path: Path) -> Iterator[tuple[int, str, int]]:
    """Line, module and relative level of every import in a file, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name, 0) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "", node.level
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
            "__import__",
            "import_module",
        ):
            raise AssertionError(f"{path}:{node.lineno} imports by name, which this test cannot follow")


def sources(folder: str) -> list[Path]:
    found = sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)
    assert len(found) > 4, f"where are the modules of {folder}?"
    return found


@pytest.mark.parametrize("path", sources("blender_cteg"), ids=lambda path: str(path.relative_to(ROOT)))
def test_blenders_side_uses_blender_numpy_and_relative_imports_only(path: Path) -> None:
    allowed = sys.stdlib_module_names | IN_BLENDER
    depth = len(path.relative_to(ROOT / "blender_cteg").parts)
    for line, module, level in imports(path):
        if "generator" in module.split("."):
            assert path == ROOT / DOOR and module in SHARED, f"{path}:{line} imports {module}"
        elif level == 0:
            assert module.split(".")[0] in allowed, f"{path}:{line} imports {module}"
        # The installed extension is flat: one dot too many leaves it.
        assert level <= depth, f"{path}:{line} leaves the package"


@pytest.mark.parametrize("path", sources("generator"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_generator_imports_nothing_of_blender(path: Path) -> None:
    for line, module, _level in imports(path):
        top = module.split(".")[0]
        assert top not in IN_BLENDER - {"numpy"} | {"blender_cteg"}, f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", sources("generator/shared"), ids=lambda path: path.name)
def test_what_both_rooms_share_needs_numpy_and_nothing_else(path: Path) -> None:
    for line, module, level in imports(path):
        assert level == 1 or (level == 0 and module.split(".")[0] in sys.stdlib_module_names | {"numpy"}), (
            f"{path}:{line} imports {'.' * level}{module}"
        )


def test_the_door_to_what_is_shared_brings_nothing_else_in() -> None:
    script = (
        "import sys, blender_cteg.shared\n"
        "brought = {name for name in sys.modules if name.split('.')[0] in ('torch', 'generator', 'scipy', 'bpy')}\n"
        "print(*sorted(name for name in brought if name not in ('generator', 'generator.shared')"
        " and not name.startswith('generator.shared.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_both_rooms_know_the_same_emotions() -> None:
    assert tuple(emotion.name for emotion in emotions.EMOTIONS) == generator_emotions.EMOTION_NAMES
    assert emotions.NAMES[0] == "auto"
    assert len({emotion.label for emotion in emotions.EMOTIONS}) == len(emotions.EMOTIONS)


def test_the_scripted_worker_speaks_the_bundled_space() -> None:
    assert tuple(fake_worker.CHANNELS) == spaces.ARKIT55.channels
    assert spaces.ARKIT55.fps == fake_worker.FPS
