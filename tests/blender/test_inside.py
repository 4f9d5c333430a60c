# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Blender may not start a program, the built-in engine performs inside it, with the same messages."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blender_cteg.worker import inside, locate
from blender_cteg.worker.client import WorkerClient
from blender_cteg.worker.protocol import Done, Failed, Performed, Progress
from tests.blender.test_door import trained
from tests.blender.test_worker_client import events_of, failure_of, generate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that lets nobody start a program."""

    def refuse(*_arguments: object, **_options: object) -> Any:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def client(forbidden: None) -> Iterator[WorkerClient]:
    client = WorkerClient(locate.worker_command(ROOT / "blender_cteg", environment={}))
    yield client
    client.close()


def test_the_same_messages_come_from_a_thread_and_it_is_said(client: WorkerClient) -> None:
    path = list(sys.path)
    assert "choose auto, neutral, joy" in failure_of(client, client.submit(generate("Hi.", emotion="grumpy"))).message
    assert "Operation not permitted" in client.inside and "inside Blender" in client.inside
    assert client.hello is not None and client.hello.numpy == np.__version__
    assert sys.path == path
    client.close()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("CTEG") for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("CTEG")]


@pytest.mark.usefixtures("forbidden")
def test_a_python_that_was_chosen_is_not_replaced_in_silence() -> None:
    command = locate.worker_command(ROOT / "blender_cteg", environment={"CTEG_PYTHON": sys.executable}, own="/own")
    client = WorkerClient(command)
    client.submit(generate("Hi."))
    (failed,) = client.poll()
    assert isinstance(failed, Failed)
    assert "could not be started" in failed.message and "the built-in engine" in failed.message
    assert client.inside == ""


@trained
def test_it_performs_and_stops_when_it_is_closed(client: WorkerClient) -> None:
    *events, last = events_of(client, client.submit(generate("I knew it.", seconds=2.0)))
    if isinstance(last, Failed) and "text encoder" in last.message:
        pytest.skip("this Python has no text encoder")
    (take,) = (event.clip for event in events if isinstance(event, Performed))
    assert np.abs(take.values).max() > 0.1
    *_, done = events_of(client, client.submit({"op": "check"}))
    assert isinstance(done, Done) and (done.engine, done.device) == ("numpy", "cpu")
    number = client.submit(generate("Hi.", takes=64, seconds=30.0))
    while not any(isinstance(event, Progress) and event.stage == "performing" for event in client.poll(0.05)):
        pass
    client.close()
    assert not any(thread.name == "CTEG generator" for thread in threading.enumerate())  # half a minute's work is left
    assert [event.id for event in client.poll()] == [number]
    # Other tests may have imported torch; the thread did not.
    script = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "def refuse(*a, **k): raise PermissionError(1, 'no')\n"
        "subprocess.Popen = refuse\n"
        "from blender_cteg.worker import locate\n"
        "from blender_cteg.worker.client import WorkerClient\n"
        "from tests.blender.test_worker_client import generate, takes_of\n"
        "client = WorkerClient(locate.worker_command(Path('blender_cteg').absolute(), environment={}))\n"
        "takes_of(client, generate('I knew it.', seconds=1.0))\n"
        "client.close()\n"
        "assert not {'torch', 'scipy', 'tokenizers', 'safetensors'} & set(sys.modules)\n"
    )
    code = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", script])
    assert code == 0


def test_wheels_are_importable_without_a_change_to_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "cteg_carried-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "cteg_carried/__init__.py",
            "from importlib.metadata import version\nfrom .part import VALUE\nVERSION = version('cteg-carried')\n",
        )
        archive.writestr(
            "cteg_carried-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: cteg-carried\nVersion: 1.0\n"
        )
        archive.writestr("cteg_carried/part.py", "VALUE = 5\n")
    path = list(sys.path)
    monkeypatch.setattr(inside, "wheels_in", lambda _package: [wheel])
    inside._bring_wheels()
    import cteg_carried

    assert (cteg_carried.VALUE, cteg_carried.VERSION, sys.path) == (5, "1.0", path)
    assert not any(isinstance(finder, inside._Metadata) for finder in sys.meta_path)
    found = importlib.util.find_spec("cteg_carried")
    assert found is not None and found.origin == str(wheel / "cteg_carried" / "__init__.py")
    monkeypatch.delitem(sys.modules, "cteg_carried")
    monkeypatch.delitem(sys.modules, "cteg_carried.part")
