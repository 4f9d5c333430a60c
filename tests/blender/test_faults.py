# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the machine: nothing is lost, nothing hangs, nobody is left behind (docs/reliability.md)."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blender_cteg import storage
from blender_cteg.storage import FileError
from blender_cteg.worker.client import WorkerClient
from blender_cteg.worker.locate import WorkerCommand
from blender_cteg.worker.protocol import Done, Failed, Progress
from tests.blender.fake_worker import command
from tests.blender.test_worker_client import alive, events_of, failure_of, generate, takes_of

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits as POSIX has them")


def real(environment: dict[str, str] | None = None) -> WorkerCommand:
    """The generator itself."""
    python = os.environ.get("CTEG_PYTHON", sys.executable)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    return WorkerCommand((python, "-m", "generator", "serve"), str(ROOT), tuple(variables.items()))


@pytest.mark.parametrize("stage", ["starting", "hello", "performing", "between takes", "done"])
def test_a_worker_killed_at_any_stage_is_a_sentence_and_the_next_request_works(
    client: WorkerClient, stage: str
) -> None:
    if stage in ("hello", "done"):
        takes_of(client, generate("Hello."))
    number = client.submit(generate("slow" if stage != "done" else "Hello.", takes=3))
    pid = client.pid
    assert pid is not None
    if stage in ("performing", "between takes"):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if any(isinstance(event, Progress) and event.stage == "performing" for event in client.poll(0.05)):
                break
    if stage == "done":
        assert isinstance(events_of(client, number)[-1], Done)
    os.kill(pid, signal.SIGKILL)
    if stage == "done":
        time.sleep(0.5)  # it ends while nobody wants anything of it
    else:
        failure = failure_of(client, number)
        assert failure.message.endswith((".", "restarts it.")) and failure.kind in ("internal", "environment")
    assert len(takes_of(client, generate("Hello again."))) == 1
    assert not alive(pid)


def test_a_grandchild_that_holds_the_pipe_does_not_hold_blender(tmp_path: Path) -> None:
    """The worker dies; what it had started lives on and keeps its stdout and stderr open."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "sys.stdin.readline()\n"
        "os._exit(3)\n"
    )
    client = WorkerClient(WorkerCommand((sys.executable, str(script)), str(tmp_path), tuple(os.environ.items())))
    try:
        number = client.submit(generate("Hello."))
        start = time.monotonic()
        failure = failure_of(client, number, seconds=20.0)
        assert time.monotonic() - start < 15.0, "a dead worker was noticed too late"
        assert "exit code 3" in failure.message
        start = time.monotonic()
        client.close()
        assert time.monotonic() - start < 10.0
    finally:
        client.close()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_lost_device_is_a_sentence_and_the_next_request_has_another_process(tmp_path: Path) -> None:
    """What is raised in the middle of a take is what torch raises when a GPU's driver resets."""
    script = (
        "import pathlib, sys\n"
        "from generator.__main__ import main\n"
        "from generator.engine.builtin import NumpyEngine\n"
        f"decode, once = NumpyEngine.decode, pathlib.Path({str(tmp_path / 'lost')!r})\n"
        "def lost(self, condition, noise, gumbel, on_step):\n"
        "    def step(done, steps):\n"
        "        if done == 3 and not once.exists():\n"
        "            once.touch()\n"
        "            raise RuntimeError('CUDA error: unspecified launch failure\\nand more of it')\n"
        "        on_step(done, steps)\n"
        "    return decode(self, condition, noise, gumbel, step)\n"
        "NumpyEngine.decode = lost\n"
        "sys.exit(main(['serve']))\n"
    )
    whole = real()
    client = WorkerClient(WorkerCommand((whole.python, "-c", script), whole.folder, whole.environment))
    try:
        failure = failure_of(client, client.submit(generate("No.", seconds=1.0)))
        assert failure.kind == "environment" and failure.message.startswith("The device that computes")
        assert "stopped working (CUDA error: unspecified launch failure). Try again" in failure.message
        lost = client.pid
        assert len(takes_of(client, generate("No.", seconds=1.0), seconds=120.0)) == 1
        assert client.pid != lost
    finally:
        client.close()


def test_a_worker_that_was_stopped_goes_on(client: WorkerClient) -> None:
    """A laptop sleeps: the process stands still, and the request is answered afterwards."""
    takes_of(client, generate("Hello."))
    pid = client.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    number = client.submit(generate("Hello."))
    start = time.monotonic()
    assert client.poll(0.3) == [] and time.monotonic() - start < 10.0
    os.kill(pid, signal.SIGCONT)
    assert isinstance(events_of(client, number)[-1], Done)
    os.kill(pid, signal.SIGSTOP)  # and one that never wakes up does not hold Blender when it quits
    start = time.monotonic()
    client.close()
    assert time.monotonic() - start < 10.0 and not alive(pid)


def test_a_stopped_worker_that_is_cancelled_is_ended(client: WorkerClient) -> None:
    takes_of(client, generate("Hello."))
    pid = client.pid
    assert pid is not None
    number = client.submit(generate("slow"))
    os.kill(pid, signal.SIGSTOP)
    client.cancel(number)
    events_of(client, number, seconds=15.0)
    assert not alive(pid) and len(takes_of(client, generate("Hello."))) == 1


def test_two_blenders_have_a_worker_each() -> None:
    one, two = WorkerClient(command()), WorkerClient(command())
    try:
        first, second = one.submit(generate("slow")), two.submit(generate("Hello."))
        assert isinstance(events_of(two, second)[-1], Done) and one.pid != two.pid
        os.kill(two.pid or 0, signal.SIGKILL)
        one.cancel(first)
        events_of(one, first)
        assert len(takes_of(one, generate("Hello."))) == 1
    finally:
        one.close()
        two.close()


def test_blender_that_is_killed_leaves_no_worker(tmp_path: Path) -> None:
    """The other end of the pipes is gone: the worker ends by itself, whatever it does."""
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.blender.test_faults import real\n"
        "from tests.blender.test_worker_client import generate\n"
        "from blender_cteg.worker.client import WorkerClient\n"
        "client = WorkerClient(real())\n"
        "client.submit(generate('I knew that you would come back.', takes=8))\n"
        "while not any(getattr(e, 'fraction', 0) > 0.3 for e in client.poll(0.1)): pass\n"
        "print(client.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


@pytest.mark.long
def test_a_worker_without_memory_says_so_and_lives() -> None:
    """The address space is limited while it runs: the job fails with a sentence about memory, or performs."""
    client = WorkerClient(real())
    try:
        takes_of(client, generate("No.", seconds=1.0), seconds=120.0)
        pid = client.pid or 0
        now = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (now + 4_000_000, now + 400_000_000))
        number = client.submit(generate("I knew that you would come back one day. " * 20, takes=64, seconds=60.0))
        last = events_of(client, number, seconds=300.0)[-1]
        assert isinstance(last, Done) or (isinstance(last, Failed) and last.kind == "memory"), last
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (now + 400_000_000, now + 400_000_000))
        assert len(takes_of(client, generate("No.", seconds=1.0), seconds=120.0)) == 1
    finally:
        client.close()


# --- disks ----------------------------------------------------------------------------------------------------------


def limited(size: int, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process whose files can have ``size`` bytes, as on a disk that is full."""
    head = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + script], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )


def test_a_full_disk_leaves_the_old_file_and_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text("old")
    script = (
        "from pathlib import Path\n"
        "from blender_cteg.storage import FileError, write_file\n"
        "from generator.writing import write_whole\n"
        f"path = Path({str(path)!r})\n"
        "try: write_file(path, 'x' * 100_000)\n"
        "except FileError as error: print(error)\n"
        "try: write_whole(path, b'x' * 100_000)\n"
        "except OSError as error: print(error.filename, error.strerror)\n"
    )
    done = limited(10_000, script)
    assert done.returncode == 0, done.stderr
    assert "cannot be written (File too large). Choose another folder." in done.stdout
    assert f"{path} File too large" in done.stdout
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["mapping.json"]


def test_a_file_that_cannot_be_written_there_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "such.json", Path("/proc/none.json"), tmp_path / ("n" * 300)):
        with pytest.raises(FileError, match=r"cannot be written \(.+\)\. Choose another folder\."):
            storage.write_file(path, "x")


def test_the_command_line_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    python = os.environ.get("CTEG_PYTHON", sys.executable)
    for out in ("/proc/clip.npz", str(tmp_path / "file" / "clip.npz")):
        done = subprocess.run(
            [python, "-m", "generator", "say", "No.", "--seconds=1", "--out", out],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert f"error: {out} cannot be used: " in done.stderr or "error: " in done.stderr.splitlines()[-1]


# --- soak -----------------------------------------------------------------------------------------------------------


def standing(pid: int) -> tuple[int, int, int, int]:
    """Open handles here and there, threads here, and kilobytes there."""
    there = Path(f"/proc/{pid}")
    memory = next(line for line in (there / "status").read_text().splitlines() if line.startswith("VmRSS"))
    handles = len(list(Path("/proc/self/fd").iterdir())), len(list((there / "fd").iterdir()))
    return *handles, threading.active_count(), int(memory.split()[1])


def cycles(client: WorkerClient, count: int, text: str) -> None:
    """Perform, cancel at another moment each time, and kill the worker now and then."""
    for number in range(count):
        request = client.submit(generate(text, takes=2, seconds=1.0))
        until = number % 4
        while not any(isinstance(e, Done | Failed) for e in client.poll(0.05)):
            if until == 1 or (until == 2 and number % 8):
                client.cancel(request)
                break
        deadline = time.monotonic() + 30
        while client._open and time.monotonic() < deadline:
            client.poll(0.05)
        assert not client._open


@pytest.mark.long
@pytest.mark.parametrize(("kind", "count"), [("scripted", 2000), ("real", 60)])
def test_cycles_leave_nothing_behind(kind: str, count: int) -> None:
    """Two thousand with a scripted worker, which is as fast as the pipes, and some with the generator itself."""
    client = WorkerClient(command() if kind == "scripted" else real(), cancel_grace=30.0)
    try:
        cycles(client, max(20, count // 10), "Hello there.")
        before, pid = standing(client.pid or 0), client.pid
        cycles(client, count, "Hello there.")
        after = standing(client.pid or 0)
        assert client.pid == pid and after[:3] == before[:3], (before, after)
        assert after[3] < before[3] * 1.1 + 4096, (before, after)
        print(f"{kind}: {count} cycles, {before} -> {after}")
    finally:
        client.close()
    assert not alive(pid or 0)
