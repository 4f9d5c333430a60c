# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension zip: what is inside, and that Blender's own tool accepts it."""

from __future__ import annotations

import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest


@pytest.fixture
def package(build: ModuleType, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The zip of this checkout, built with this Python's bpy into a folder of its own."""
    monkeypatch.setattr(build, "venv_python", lambda: Path(sys.executable))
    monkeypatch.setattr(build, "VENV", Path(sys.prefix))
    return Path(build.package(tmp_path / "dist"))


def test_package_is_flat_complete_and_clean(package: Path, root: Path) -> None:
    version = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["version"]
    assert package.name == f"cteg-{version}-small.zip"
    assert [path.name for path in package.parent.iterdir()] == [package.name], "nothing half-made is left"
    with zipfile.ZipFile(package) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        assert archive.testzip() is None
    needed = {
        "__init__.py",
        "blender_manifest.toml",
        "generator/__main__.py",
        "generator/checkpoints/default/config.json",
        "generator/worker.py",
        "LICENSE",
        "CREDITS.md",
        "registration.py",
        "rigs/demo_head/head.npz",
    }
    assert needed <= names, needed - names
    assert any(name.startswith("generator/checkpoints/default/") and name.endswith(".safetensors") for name in names)
    for name in names:
        path = PurePosixPath(name)
        assert not {"__pycache__", "wheels", "demo", "tests"} & set(path.parts[:-1]), name
        assert path.suffix not in {".pyc", ".pkl", ".pt", ".whl"}, name
        assert not path.name.startswith("."), name


def test_the_same_sources_give_the_same_bytes(package: Path, build: ModuleType, tmp_path: Path) -> None:
    again = build.package(tmp_path / "again")
    assert Path(again).read_bytes() == package.read_bytes()


def test_versions_agree(root: Path) -> None:
    import generator

    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["version"] == generator.__version__
    assert manifest["id"] == "cteg"
