# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rooms and two doors: Blender's side never imports torch, the generator never imports bpy.

They exchange messages, and share what lies in `generator/shared`, which Blender's side reaches through one module.
Inside the generator every folder needs those before it alone, so that what performs never imports what trains.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blender_cteg import emotions
from generator import PERFORMS
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
SHARED = {"generator.shared", "generator.shared.takes", "generator.shared.terminal", "generator.worker"}


#: The generator's folders, from what needs nothing to what needs everything: from a line to a clip, which ships, and
#: from a corpus to weights that are judged.
FOLDERS = (*PERFORMS, "corpus", "captures", "baselines", "training", "evaluation", "lab")
#: Modules beside them that every folder may import, and those that may import every folder that performs.
BELOW, ABOVE = {"", "errors", "reading", "writing"}, {"say", "worker"}


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


def steps_back(path: Path, generator: Path) -> Iterator[str]:
    """Imports of a module of the generator that lead to a folder after its own."""
    package = path.relative_to(generator).parts[:-1]
    own = package[0] if package else path.stem
    allowed = {*BELOW, *(FOLDERS[: FOLDERS.index(own) + 1] if own in FOLDERS else PERFORMS if own in ABOVE else ())}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = [name.name for name in node.names]
            level = getattr(node, "level", 0)
            assert level or not any(name.split(".")[0] == "generator" for name in (module, *names)), (
                f"{path} not relative"
            )
            start = [*package[: len(package) - level + 1], *(module.split(".") if module else ())]
            for name in names if level else ():
                there = start or (
                    [name] if (generator / name).is_dir() or (generator / f"{name}.py").is_file() else [""]
                )
                if there[0] not in allowed:
                    yield f"{path.name}:{node.lineno} {'.'.join(there)}"


def test_every_folder_has_a_place_in_the_order() -> None:
    assert {path.parent.name for path in (ROOT / "generator").glob("*/__init__.py")} <= set(FOLDERS)
    assert all((ROOT / "generator" / name).is_dir() for name in FOLDERS)


@pytest.mark.parametrize("path", sources("generator"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_leads_back_and_what_performs_never_imports_what_trains(path: Path) -> None:
    if path.name != "__main__.py":  # the table of commands knows them all, and looks whether they are there
        assert list(steps_back(path, ROOT / "generator")) == []


def test_an_import_that_leads_back_is_found(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "engine").mkdir()
    wrong = tmp_path / "engine" / "wrong.py"
    wrong.write_text(
        "def f():\n    from ..training.loop import Trainer\nfrom .. import training\nfrom ..errors import X\n"
    )
    assert sorted(steps_back(wrong, tmp_path)) == ["wrong.py:2 training.loop", "wrong.py:3 training"]
    assert len(list(steps_back(ROOT / "generator" / "__main__.py", ROOT / "generator"))) > 5


@pytest.mark.parametrize("path", sources("generator/shared"), ids=lambda path: path.name)
def test_what_both_rooms_share_needs_numpy_and_nothing_else(path: Path) -> None:
    for line, module, level in imports(path):
        assert level == 1 or (level == 0 and module.split(".")[0] in sys.stdlib_module_names | {"numpy"}), (
            f"{path}:{line} imports {'.' * level}{module}"
        )


def test_the_door_to_what_is_shared_brings_nothing_else_in(printed: Callable[..., str]) -> None:
    script = (
        "import sys, blender_cteg.shared\n"
        "brought = {name for name in sys.modules if name.split('.')[0] in ('torch', 'generator', 'scipy', 'bpy')}\n"
        "print(*sorted(name for name in brought if name not in ('generator', 'generator.shared')"
        " and not name.startswith('generator.shared.')))\n"
    )
    assert not printed(script).strip()


def test_both_rooms_know_the_same_emotions() -> None:
    assert tuple(emotion.name for emotion in emotions.EMOTIONS) == generator_emotions.EMOTION_NAMES
    assert emotions.NAMES[0] == "auto"
    assert len({emotion.label for emotion in emotions.EMOTIONS}) == len(emotions.EMOTIONS)


def test_the_scripted_worker_speaks_the_bundled_space() -> None:
    assert tuple(fake_worker.CHANNELS) == spaces.ARKIT55.channels
    assert spaces.ARKIT55.fps == fake_worker.FPS
