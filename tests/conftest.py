# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--long``: what takes minutes too."""
    parser.addoption("--long", action="store_true", help="hostile inputs by the thousand, faults, soak: many minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``long``, unless it is asked for."""
    if not config.getoption("long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: build.py test --long"))


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether there is time for many minutes of tests."""
    return bool(request.config.getoption("long"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def printed(root: Path) -> Callable[..., str]:
    """What code prints in a Python of its own, started in the repository with these arguments; it must not fail."""

    def run(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def build(root: Path) -> ModuleType:
    """The repository's build.py, imported."""
    spec = importlib.util.spec_from_file_location("cteg_build", root / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def package(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension zip of this checkout, built with this Python's bpy into a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        build_here(build, patch)
        return Path(build.package(tmp_path_factory.mktemp("dist")))


def build_here(build: ModuleType, patch: pytest.MonkeyPatch) -> None:
    """Let build.py package with this Python's bpy, whichever environment it is in."""
    patch.setattr(build, "venv_python", lambda: Path(sys.executable))
    patch.setattr(build, "VENV", Path(sys.prefix))
    patch.setattr(build, "CACHE", Path(sys.prefix) / "cteg-cache")
