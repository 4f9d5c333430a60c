# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python with PyTorch is made by pip, here a scripted one: it comes whole or not at all, and waits for nobody."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

from blender_cteg.operators import environment as operator
from blender_cteg.preferences import CTEG_Preferences
from blender_cteg.worker import environment, session
from blender_cteg.worker.environment import PACKAGES, EnvironmentMaker
from blender_cteg.worker.protocol import Cancelled, Done, Event, Failed, Progress

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripted Python is a script")

#: Does for a Python what venv and pip need; what goes wrong is named by a file beside it.
PYTHON = f"""#!{sys.executable}
import shutil, sys, time
from pathlib import Path
arguments, fault = sys.argv[1:], Path({{fault!r}}).read_text()
if arguments[:2] == ["-m", "venv"]:
    if fault == "ensurepip":
        sys.exit("The virtual environment was not created because ensurepip is not available.")
    folder = Path(arguments[2]) / "bin"
    folder.mkdir(parents=True)
    shutil.copy(__file__, folder / "python")
elif arguments[:3] == ["-m", "pip", "install"]:
    Path({{fault!r}}).with_name("asked").write_text(" ".join(arguments))
    (Path(__file__).parent / "half").touch()
    print("Collecting torch", flush=True)
    print("  Downloading torch-2.13.0.whl (700.0 MB)", flush=True)
    if fault == "slow":
        time.sleep(60)
    if fault == "network":
        print("WARNING: Retrying (Retry(total=0)) after connection broken", flush=True)
        sys.exit("ERROR: No matching distribution found for torch")
    if fault == "wheel":
        sys.exit("ERROR: No matching distribution found for torch")
    if fault == "disk":
        sys.exit("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
    if fault == "other":
        sys.exit("ERROR: something that nobody foresaw")
    print("Successfully installed torch", flush=True)
"""


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """The file that names what goes wrong."""
    path = tmp_path / "own" / "fault"
    path.parent.mkdir()
    path.write_text("")
    return path


@pytest.fixture
def own(fault: Path) -> str:
    """A scripted Python, in a folder with a space and an umlaut."""
    path = fault.parent / "python ü"
    path.write_text(PYTHON.format(fault=str(fault)))
    path.chmod(0o755)
    return str(path)


def run(maker: EnvironmentMaker, seconds: float = 20.0) -> list[Event]:
    maker.submit({})
    return rest(maker, seconds)


def rest(maker: EnvironmentMaker, seconds: float = 20.0) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while not events or isinstance(events[-1], Progress):
        assert time.monotonic() < deadline, events
        events += maker.poll(0.05)
    return events


def test_an_environment_is_made_with_progress(own: str, fault: Path, tmp_path: Path) -> None:
    maker = EnvironmentMaker(own, tmp_path / "made" / "python", "https://example.org/simple")
    *progress, last = run(maker)
    assert last == Done(0)
    assert maker.python.is_file() and (maker.python.parent / "half").is_file()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["python"]
    fractions = [event.fraction for event in progress if isinstance(event, Progress)]
    assert fractions == sorted(fractions) and fractions[0] > 0.0 and fractions[-1] < 1.0
    assert any("700.0 MB" in event.stage for event in progress if isinstance(event, Progress))
    asked = (fault.parent / "asked").read_text().split()
    assert asked[-len(PACKAGES) :] == list(PACKAGES) and "https://example.org/simple" in asked


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("ensurepip", "lacks what makes environments"),
        ("network", "check the network"),
        ("wheel", "There is no torch for the Python"),
        ("disk", "The disk is full"),
        ("other", "something that nobody foresaw"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_what_was_there(
    own: str, fault: Path, tmp_path: Path, what: str, sentence: str
) -> None:
    made = tmp_path / "made"
    (made / "python").mkdir(parents=True)
    (made / "python" / "earlier").touch()
    (made / "part").mkdir()  # Blender was killed while it was making one
    fault.write_text(what)
    last = run(EnvironmentMaker(own, made / "python"))[-1]
    assert isinstance(last, Failed) and sentence in last.message and last.kind == "environment"
    assert [str(path.relative_to(made)) for path in sorted(made.rglob("*"))] == ["python", "python/earlier"]
    fault.write_text("")
    assert run(EnvironmentMaker(own, made / "python"))[-1] == Done(0)
    assert not (made / "python" / "earlier").exists() and not (made / "old").exists()


def test_a_python_that_cannot_be_started(tmp_path: Path) -> None:
    last = run(EnvironmentMaker(str(tmp_path / "gone"), tmp_path / "made" / "python"))[-1]
    assert isinstance(last, Failed) and "could not be started" in last.message


@pytest.mark.parametrize("way", ["cancel", "close"])
def test_cancelling_stops_pip_and_leaves_nothing(
    own: str, fault: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.write_text("slow")
    maker = EnvironmentMaker(own, tmp_path / "made" / "python")
    maker.submit({})
    while not any("Downloading" in event.stage for event in maker.poll(0.05) if isinstance(event, Progress)):
        pass
    went_on, waited = threading.Event(), []
    if way == "close":
        maker.close()
    else:
        remove = environment._remove
        monkeypatch.setattr(environment, "_remove", lambda path: (waited.append(not went_on.wait(5.0)), remove(path)))
        maker.cancel(0)
        went_on.set()
    assert rest(maker)[-1] == Cancelled(0)
    assert not any(waited), "Blender waited until all was taken away"
    assert list((tmp_path / "made").iterdir()) == []


# --- the operator -----------------------------------------------------------------------------------------------------


@pytest.fixture
def preferences(stage: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str) -> SimpleNamespace:
    """The extension, enabled, as far as making an environment sees it."""
    chosen = SimpleNamespace(engine="BUILTIN", python="")
    monkeypatch.setattr(operator.sys, "executable", own)
    monkeypatch.setattr(bpy.utils, "extension_path_user", lambda _name: str(tmp_path / "user"))
    real = operator.CTEG_OT_create_environment.complete
    addons = {CTEG_Preferences.bl_idname: SimpleNamespace(preferences=chosen)}
    context = SimpleNamespace(preferences=SimpleNamespace(addons=addons, is_dirty=False))
    monkeypatch.setattr(operator.CTEG_OT_create_environment, "complete", lambda self, _, job: real(self, context, job))
    return chosen


def online(monkeypatch: pytest.MonkeyPatch, allowed: bool) -> None:
    app = SimpleNamespace(online_access=allowed, background=True)
    monkeypatch.setattr(operator, "bpy", SimpleNamespace(app=app, utils=bpy.utils, ops=bpy.ops))


def test_it_is_made_and_chosen(preferences: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    online(monkeypatch, True)
    assert bpy.ops.cteg.create_environment() == {"FINISHED"}
    assert preferences.engine == "TORCH" and preferences.python == str(tmp_path / "user" / "torch" / "bin" / "python")
    assert session.job is None
    with pytest.raises(RuntimeError, match="does not begin with https://"):
        bpy.ops.cteg.create_environment(index="http://example.org")


def test_nothing_goes_online_unless_blender_may(
    preferences: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    online(monkeypatch, False)
    with pytest.raises(RuntimeError, match="may not go online; allow it in Preferences"):
        bpy.ops.cteg.create_environment()
    assert not (tmp_path / "user").exists() and preferences.engine == "BUILTIN"
