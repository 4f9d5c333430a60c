# SPDX-License-Identifier: GPL-3.0-or-later
"""build.py as a module, and a small repository whose pins are satisfied from a folder of tiny wheels."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PYPROJECT = """
[project]
dependencies = ["num2words==0.5", "never==1.0; python_version < '3'"]
[dependency-groups]
blender = ["tiny-bpy==5.0"]
torch = ["tiny-torch==1.0"]
dev = ["tiny-tool==2.0"]
[tool.cteg]
demo-groups = ["blender"]
no-deps = ["tiny-encoder==0.1"]
head-data = {{ requirement = "tiny-head==0.6", file = "tiny_head-0.6-py3-none-any.whl", sha256 = "{sha256}" }}
"""


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> Path:
    """Write a wheel with one module, named after the distribution."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    files = {
        f"{name.replace('-', '_')}.py": f"VERSION = {version!r}\n",
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{path},,\n" for path in [*files, record])
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


@dataclass
class Clone:
    """A repository with build.py and tiny pins."""

    root: Path
    wheels: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def ready(self) -> bool:
        return (self.venv / "cteg-ready.json").exists()

    def module_of(self, name: str) -> Path:
        """The installed module of a tiny distribution."""
        return next(self.venv.glob(f"**/site-packages/{name}.py"))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start build.py from another folder, with only the tiny wheels as the package index."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        env |= environment
        env = {key: value for key, value in env.items() if value}
        return subprocess.Popen(
            [sys.executable, str(self.root / "build.py"), *arguments], cwd=self.root.parent, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run build.py to its end."""
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def clone(tmp_path: Path, root: Path) -> Clone:
    """A fresh small repository in a folder whose name has a space and an umlaut."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "tiny-bpy", "5.0")
    make_wheel(wheels, "tiny-torch", "1.0")
    make_wheel(wheels, "num2words", "0.5")
    make_wheel(wheels, "tiny-tool", "2.0")
    make_wheel(wheels, "tiny-encoder", "0.1", requires="does-not-exist")
    head = make_wheel(wheels, "tiny-head", "0.6", requires="does-not-exist")
    repository = tmp_path / "a clöne"
    repository.mkdir()
    (repository / "build.py").write_bytes((root / "build.py").read_bytes())
    sha256 = hashlib.sha256(head.read_bytes()).hexdigest()
    (repository / "pyproject.toml").write_text(PYPROJECT.format(sha256=sha256), "utf-8")
    return Clone(repository, wheels)
