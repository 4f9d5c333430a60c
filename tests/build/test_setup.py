# SPDX-License-Identifier: GPL-3.0-or-later
"""The set-up: complete, reused, repaired after an interruption, refused in one sentence."""

from __future__ import annotations

import ast
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from .conftest import Clone, make_wheel


def sentence(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed build.py leaves on stderr."""
    assert result.returncode == 1, result
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("build.py: ")
    return lines[0]


def test_setup_completes_and_the_second_run_installs_nothing(clone: Clone) -> None:
    first = clone.build("setup")
    assert first.returncode == 0, first.stderr
    assert clone.ready
    assert clone.module_of("tiny_torch").exists()
    assert clone.module_of("tiny_tool").exists()
    assert clone.module_of("tiny_encoder").exists(), "installed without its unavailable dependency"
    assert not list(clone.venv.glob("**/site-packages/tiny_head.py")), "the head's data is never installed"
    assert (clone.venv / "cteg-cache" / "tiny_head-0.6-py3-none-any.whl").exists()
    travelling = clone.venv / "cteg-cache" / "num2words-0.5-py3-none-any.whl"
    assert travelling.read_bytes() == (clone.wheels / travelling.name).read_bytes()

    second = clone.build("setup", PIP_FIND_LINKS=str(clone.root))  # nothing could be installed from there
    assert second.returncode == 0
    assert "==>" not in second.stdout

    make_wheel(clone.wheels, "tiny-tool", "2.1")
    project = clone.root / "pyproject.toml"
    project.write_text(project.read_text("utf-8").replace("tiny-tool==2.0", "tiny-tool==2.1"), "utf-8")
    assert clone.build("setup").returncode == 0
    assert "2.1" in clone.module_of("tiny_tool").read_text(), "a changed pin is installed"


def test_the_demo_needs_little_and_what_the_tests_need_contains_it(clone: Clone) -> None:
    light = clone.build("package")  # what it packages is not here; its set-up is
    assert "==> Baking the demo head" in light.stdout, light.stderr
    assert clone.module_of("tiny_bpy").exists() and clone.module_of("tiny_encoder").exists()
    assert not list(clone.venv.glob("**/site-packages/tiny_t*.py")), "neither torch nor tools"
    made = clone.module_of("tiny_bpy").stat().st_mtime_ns
    whole = clone.build("setup")
    assert whole.returncode == 0, whole.stderr
    assert clone.module_of("tiny_torch").exists() and clone.module_of("tiny_tool").exists()
    assert clone.module_of("tiny_bpy").stat().st_mtime_ns == made, "what was there stays"
    for command in ("package", "demo", "setup"):
        again = clone.build(command, PIP_FIND_LINKS=str(clone.root))  # nothing could be installed from there
        assert "Setting up" not in again.stdout, again.stdout


def test_a_killed_build_takes_pip_with_it(clone: Clone) -> None:
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(600)  # a Python environment is made before
        url = f"http://127.0.0.1:{index.getsockname()[1]}/"
        process = clone.start("setup", PIP_NO_INDEX="", PIP_FIND_LINKS="", PIP_INDEX_URL=url)
        connection, _ = index.accept()  # pip asks, and nothing answers
        with connection:
            connection.settimeout(120)
            assert connection.recv(16).startswith(b"GET")
            process.kill()
            process.communicate()
            while connection.recv(4096):  # the rest of the request, and then the end: pip is gone
                pass
    assert not clone.ready
    assert clone.build("setup").returncode == 0, "what it left is repaired"


def test_an_unreachable_index_is_one_sentence_and_the_next_run_completes(clone: Clone) -> None:
    offline = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1"}
    assert "cannot be reached" in sentence(clone.build("setup", **offline))
    assert not clone.ready
    nothing = clone.root.parent / "empty"
    nothing.mkdir()
    assert "num2words==0.5" in sentence(clone.build("setup", PIP_FIND_LINKS=str(nothing)))
    assert not clone.ready
    assert clone.build("setup").returncode == 0
    assert clone.ready


def test_what_an_interruption_leaves_is_repaired(clone: Clone) -> None:
    clone.venv.mkdir()
    (clone.venv / "cteg-setup").touch()  # stopped before Python's own files were there
    (clone.venv / "pyvenv.cfg").write_text("home = nowhere\n")
    assert clone.build("setup").returncode == 0
    assert clone.ready

    (clone.venv / "cteg-ready.json").unlink()  # stopped while pip was unpacking
    clone.module_of("tiny_tool").unlink()
    result = clone.build("setup")
    assert result.returncode == 0, result.stderr
    assert clone.module_of("tiny_tool").exists()
    assert clone.ready
    assert not list((clone.root / "build").glob("venv-old-*"))

    (clone.venv / "cteg-ready.json").write_text('{"key": ')  # a stamp that is no stamp
    assert clone.build("setup").returncode == 0
    assert clone.ready


def test_a_foreign_environment_is_left_alone(clone: Clone) -> None:
    (clone.venv / "bin").mkdir(parents=True)
    (clone.venv / "bin" / "precious").touch()
    assert "was not made by build.py" in sentence(clone.build("setup"))
    assert [path.name for path in clone.venv.rglob("*")] == ["bin", "precious"]


def test_altered_head_data_is_refused(clone: Clone) -> None:
    wheel = clone.wheels / "tiny_head-0.6-py3-none-any.whl"
    make_wheel(clone.wheels, "tiny-head", "0.6", requires="something-else")
    assert wheel.exists()
    assert "SHA-256" in sentence(clone.build("setup"))
    assert not clone.ready
    assert not (clone.venv / "cteg-cache" / wheel.name).exists()


def test_a_wheel_that_travels_is_checked_where_its_digest_is_pinned(clone: Clone) -> None:
    assert clone.build("setup").returncode == 0
    (clone.venv / "cteg-cache" / "num2words-0.5-py3-none-any.whl").unlink()
    project = clone.root / "pyproject.toml"
    pinned = project.read_text("utf-8") + '[tool.cteg.wheel-sha256]\nnum2words = "DIGEST"\n'
    project.write_text(pinned.replace("DIGEST", "0" * 64), "utf-8")
    assert "num2words-0.5-py3-none-any.whl has SHA-256" in sentence(clone.build("setup"))
    assert not clone.ready
    digest = hashlib.sha256((clone.wheels / "num2words-0.5-py3-none-any.whl").read_bytes()).hexdigest()
    project.write_text(pinned.replace("DIGEST", digest), "utf-8")
    assert clone.build("setup").returncode == 0
    assert clone.ready


def test_a_full_disk_is_one_sentence(
    build: ModuleType, clone: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("VENV", "OURS", "READY", "LOG", "CACHE", "BUILD"):
        monkeypatch.setattr(build, name, clone.root / getattr(build, name).relative_to(build.ROOT))
    monkeypatch.setattr(build.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**30))
    assert build.main(["setup"]) == 1
    assert "1.0 GiB free" in capsys.readouterr().err
    assert not clone.venv.exists()


def test_pip_complaints_become_advice(build: ModuleType) -> None:
    full = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    assert "is full" in build.explain(full)
    offline = "WARNING: Retrying (Retry(total=0)) after x\nERROR: No matching distribution found for x\n"
    assert "cannot be reached" in build.explain(offline)
    assert "no bpy==5.0.1" in build.explain("ERROR: No matching distribution found for bpy==5.0.1\n")
    assert "something new" in build.explain("WARNING: old\nERROR: something new\n")


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13), (3, 12, 1), (3, 14, 0)])
def test_an_unsupported_python_is_one_sentence(root: Path, version: tuple[int, ...]) -> None:
    source = (root / "build.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 7))  # an old Python reads the file as far as the check
    code = f"import sys; sys.version_info = {version}; exec(compile(open(sys.argv[1]).read(), 'build.py', 'exec'))"
    command = [sys.executable, "-c", code, str(root / "build.py"), "demo"]
    said = sentence(subprocess.run(command, capture_output=True, text=True))
    assert f"Python {version[0]}.{version[1]} " in said
    assert "python3.11 build.py" in said


def test_every_dependency_is_pinned(build: ModuleType) -> None:
    pins = build.read_pins()
    for requirement in (*pins.requirements, *pins.no_deps, pins.head.requirement):
        assert "==" in requirement.split(";")[0], requirement


def test_continuous_integration_runs_the_test_command(root: Path) -> None:
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec python3.11 build.py test")


def test_all_checks_run_and_those_that_fail_are_named(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "ran $*"\ncase "$*" in *mypy*|*--ignore*) exit 1;; esac\n')
    python.chmod(0o755)
    monkeypatch.setattr(build, "venv_python", lambda: python)
    for bake in ("bake_head", "bake_encoder"):
        monkeypatch.setattr(build, bake, lambda: None)
    others = "pytest tests --ignore tests/blender"
    assert build.test((), None, long=False) == 1
    said = capfd.readouterr().out
    for check in ("ruff check .", "ruff format --check .", "mypy", "pytest tests/blender", others):
        assert f"ran -m {check}\n" in said, check
    assert f"Failed: mypy, {others}\n" in said
    python.write_text("#!/bin/sh\n")
    assert build.test((), None, long=False) == 0
    assert "All checks passed" in capfd.readouterr().out
