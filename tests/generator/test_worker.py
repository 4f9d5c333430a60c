# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator's end of the door, as a process."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator.shared.spaces import ARKIT55
from generator.shared.timeline import Timeline


class Door:
    """A worker process spoken to in lines."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "generator", "serve"],
            cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            encoding="utf-8",
        )  # fmt: skip

    def send(self, message: Any) -> None:
        assert self.process.stdin is not None
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self.process.stdin.buffer.write(text if isinstance(text, bytes) else f"{text}\n".encode())
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the worker ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def until_end(self, number: int) -> list[dict[str, Any]]:
        """Every answer to request ``number``; the last one ends it."""
        answers = []
        while True:
            answer = self.receive()
            if answer["id"] == number:
                answers.append(answer)
                if answer["event"] in ("done", "cancelled", "error"):
                    return answers


@pytest.fixture(scope="module")
def door(root: Path) -> Iterator[Door]:
    worker = Door(root)
    yield worker
    worker.process.kill()
    worker.process.wait()


def decode(array: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["base64"]), array["dtype"]).reshape(array["shape"])


def line(**fields: Any) -> dict[str, Any]:
    return {"text": "I can't believe you did that!", "seconds": 1.5, **fields}


def test_hello_names_versions_and_loads_nothing(printed: Callable[..., str]) -> None:
    script = (
        "import io, sys\n"
        "from generator.worker import Worker\n"
        "answers = io.StringIO()\n"
        'worker = Worker(io.StringIO(\'{"id": 1, "op": "hello"}\\n\'), answers)\n'
        "worker.read()\n"
        "worker.wait()\n"
        "assert not {'torch', 'scipy', 'generator.engine.builtin'} & set(sys.modules)\n"
        "print(answers.getvalue())\n"
    )
    answer = json.loads(printed(script))
    assert (answer["id"], answer["event"], answer["protocol"]) == (1, "hello", 3)
    assert answer["numpy"] == np.__version__ and set(answer) >= {"generator", "python", "torch"}


def test_takes_arrive_whole_and_a_seed_reproduces_its_take(door: Door) -> None:
    door.send({"id": 2, "op": "generate", "lines": [line(takes=2, seed=5, emotion="joy"), line(text="No.", seed=9)]})
    answers = door.until_end(2)
    assert (answers[-1]["event"], answers[-1]["engine"], answers[-1]["device"]) == ("done", "numpy", "cpu")
    assert 0.0 < answers[-1]["seconds"] < 60.0
    clips = [a for a in answers if a["event"] == "clip"]
    assert [(c["line"], c["take"], c["seed"]) for c in clips] == [(0, 0, 5), (0, 1, 6), (1, 0, 9)]
    first, second, _ = (decode(c["values"]) for c in clips)
    assert first.dtype == np.float32 and first.shape == (36, ARKIT55.size)
    assert np.abs(first - second).max() > 0.05
    fractions = [a["fraction"] for a in answers if a["event"] == "progress"]
    assert len(fractions) > 5 and fractions == sorted(fractions) and fractions[-1] <= 1.0
    door.send({"id": 3, "op": "generate", "lines": [line(seed=6, emotion="joy")]})
    (again,) = [a for a in door.until_end(3) if a["event"] == "clip"]
    np.testing.assert_allclose(decode(again["values"]), second, atol=2e-4)


def test_a_line_is_read_without_being_performed(door: Door) -> None:
    lines = [{"text": "(sighs) No. (to Anna) Not again."}, {"text": "(joyfully) Yes!"}]
    door.send({"id": 70, "op": "read", "lines": lines})
    *_, one, two, end = door.until_end(70)
    assert [(a["event"], a["line"]) for a in (one, two)] == [("read", 0), ("read", 1)] and end["event"] == "done"
    (segment,) = one["segments"]
    assert [(s["kind"], s["name"]) for s in segment["stage"]] == [("action", "sigh"), ("note", "Anna")]
    assert two["segments"][0]["emotion"] == "joy" and "seconds" in end
    door.send({"id": 71, "op": "generate", "lines": lines[:1]})
    (clip,) = [a for a in door.until_end(71) if a["event"] == "clip"]
    assert clip["segments"] == one["segments"]  # what is said before is what is done
    door.send({"id": 72, "op": "read", "lines": [{"text": ""}]})
    assert door.until_end(72)[-1]["kind"] == "input"


def test_a_clip_says_when_it_says_what_and_can_be_told(door: Door) -> None:
    door.send({"id": 60, "op": "generate", "lines": [line(takes=2, emotion="joy", energy=1.5)]})
    one, two = [a for a in door.until_end(60) if a["event"] == "clip"]
    timeline = Timeline.from_json(one["timeline"])
    assert one["timeline"] == two["timeline"] and timeline.seconds == 1.5 and one["speech_scale"] == 1.2
    assert [w.text for w in timeline.words] == ["i", "can't", "believe", "you", "did", "that"]
    told = line(emotion="fear", timeline=one["timeline"], seconds=None)
    door.send({"id": 61, "op": "generate", "lines": [told, line(ending="held")]})
    clips = [a for a in door.until_end(61) if a["event"] == "clip"]
    assert clips[0]["timeline"] == one["timeline"]
    assert (clips[1]["settings"]["ending"], clips[0]["settings"]["timing"]) == ("held", 0)


def test_a_directed_take_says_what_it_performs(door: Door) -> None:
    asked = {
        "text": "(furiously) Get out! (softly) Please.", "takes": 2, "seed": 3, "spread": True, "rate": 1.2,
        "emotion": "joy", "emotion_to": "sadness", "branch": {"seed": 9, "frame": 20}, "vary": None, "seconds": None,
    }  # fmt: skip
    door.send({"id": 4, "op": "generate", "lines": [asked]})
    clips = [a for a in door.until_end(4) if a["event"] == "clip"]
    assert len(clips) == 2 and clips[0]["seed"] == 3
    for clip in clips:
        first, last = clip["segments"]
        assert (first["text"], first["emotion"], first["direction"]) == ("Get out!", "anger", "furiously")
        assert (first["source"], first["intensity"], first["emotion_to"]) == ("direction", 1.3, None)
        assert (first["start"], first["end"], last["end"]) == (0, last["start"], clip["values"]["shape"][0])
        settings = clip["settings"]
        assert all(settings[name] == asked[name] for name in ("emotion_to", "rate", "spread", "branch", "vary"))
    seed = clips[1]["seed"]
    door.send({"id": 5, "op": "generate", "lines": [{**asked, "seed": seed, "takes": 1, "spread": False}]})
    (again,) = [a for a in door.until_end(5) if a["event"] == "clip"]
    np.testing.assert_allclose(decode(again["values"]), decode(clips[1]["values"]), atol=1e-3)


@pytest.mark.parametrize(
    ("request_fields", "kind", "sentence"),
    [
        ({"lines": [line(text=" ")]}, "input", "type what the character says"),
        ({"lines": [line(emotion="grumpy")]}, "input", "choose auto, neutral, joy"),
        ({"lines": [line(seconds=0)]}, "input", "must be from 0.5 to 60"),
        ({"lines": [line(text="[joy 9] Hi.")]}, "input", r"intensity in \[joy 9\] must be from 0 to 1.5"),
        ({"lines": []}, "input", "at least one line"),
        ({"lines": [line(timeline={"words": 3})]}, "input", "must have a list of words"),
        ({"lines": [line(timeline={"words": []})]}, "input", "ends before the line does"),
        ({"lines": [line(timing=-1)]}, "input", "seed of the timing must be a whole number"),
        ({"lines": [line(ending="softly")]}, "input", "no ending 'softly'; choose rest, trace, held"),
        ({"lines": [line(begin="smiling")]}, "input", "'begin' must be null or a list of numbers"),
        ({"lines": [line(language="xx")]}, "input", "no language 'xx'"),
        ({"lines": [line()], "checkpoint": "/nowhere"}, "checkpoint", "no checkpoint in .*nowhere"),
        ({"lines": [line()], "device": "abacus"}, "environment", "choose auto, cpu, cuda or mps"),
    ],
)
def test_refusals_are_sentences_and_the_worker_goes_on(
    door: Door, request_fields: dict[str, Any], kind: str, sentence: str
) -> None:
    import re

    door.send({"id": 10, "op": "generate", **request_fields})
    answer = door.until_end(10)[-1]
    assert (answer["event"], answer["kind"]) == ("error", kind)
    assert re.search(sentence, answer["message"])


def test_garbage_is_answered_and_the_worker_goes_on(door: Door) -> None:
    nested = '{"id": 3, "op": "generate", "lines": [{"text": "Hi.", "timeline": ' + "[" * 5000
    deep = '{"id": 4, "op": ' + "[" * 900 + "]" * 900 + "}"
    deeper = '{"id": 4, "op": "generate", "lines": ' + "[" * 1000 + "]" * 1000 + "}"
    for garbage in (
        "{", "[1, 2]", '{"op": "dance", "id": 4}', '{"op": "generate", "id": [1]}', nested, deep, deeper,
        b"\xff\xfe{\n", b'{"id": 4, "op": "\xff"}\n',
    ):  # fmt: skip
        door.send(garbage)
        assert door.receive()["event"] == "error"
    door.send({"id": 5, "op": "hello"})
    assert door.receive()["event"] == "hello"


def test_a_job_is_cancelled_and_the_next_one_runs(door: Door) -> None:
    door.send({"id": 20, "op": "generate", "lines": [line(takes=64, seconds=10.0) for _ in range(8)]})
    while door.receive().get("stage") != "performing":
        pass
    door.send({"id": 21, "op": "cancel", "target": 20})
    answers = door.until_end(20)
    assert answers[-1]["event"] == "cancelled" and not any(a["event"] == "clip" for a in answers)
    door.send({"id": 22, "op": "generate", "lines": [line()]})
    assert [a["event"] for a in door.until_end(22)][-2:] == ["clip", "done"]


@pytest.mark.parametrize("device", ["auto", "torch"])
def test_a_check_performs_and_says_what_did_it(door: Door, device: str) -> None:
    door.send({"id": 30, "op": "check", "device": device})
    answers = door.until_end(30)
    assert {a["event"] for a in answers} == {"progress", "done"}
    assert answers[-1]["engine"] == {"auto": "numpy", "torch": "torch"}[device]
    assert answers[-1]["device"] == "cpu" or device == "torch"
    assert 0.0 < answers[-1]["seconds"] < 60.0
    door.send({"id": 31, "op": "check", "checkpoint": "/nowhere"})
    assert door.until_end(31)[-1]["kind"] == "checkpoint"


def test_shutdown_ends_the_process(root: Path) -> None:
    worker = Door(root)
    worker.send({"id": 1, "op": "shutdown"})
    assert worker.receive() == {"id": 1, "event": "done"}
    assert worker.process.wait(timeout=60) == 0


#: Runs the worker in a process where loading a model takes a minute, as it may on a cold disk.
SLOW = """
import sys, time
from generator import worker
worker.Worker._performer = lambda *_: time.sleep(60)
worker.run(None)
"""


@pytest.mark.parametrize("busy", [False, True])
def test_the_end_of_stdin_ends_the_process_whatever_it_does(root: Path, busy: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    if busy:
        process.stdin.write(json.dumps({"id": 1, "op": "generate", "lines": [line()]}).encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
    # What a Blender that is killed leaves behind.
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    assert process.wait(timeout=20) == 0


def test_a_fault_of_the_reader_ends_the_process(root: Path) -> None:
    script = SLOW.replace("worker.run(None)", "worker.Worker._receive = lambda *_: 1 / 0\nworker.run(None)")
    done = subprocess.run([sys.executable, "-c", script], cwd=root, input=b"{}\n", capture_output=True, timeout=60)
    assert done.returncode == 1 and b"ZeroDivisionError" in done.stderr


def test_a_python_that_is_too_old_is_told_so(root: Path) -> None:
    script = "import sys; sys.hexversion = 0x3090000; import generator"
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: Python 3.")
    assert "choose Python 3.11 or newer" in done.stderr


def test_a_thread_of_blender_never_imports_torch(printed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": "cteg-paper"}')
    (tmp_path / "model.safetensors").touch()
    asked = json.dumps({"id": 1, "op": "check", "checkpoint": str(tmp_path)})
    script = (
        "import io, sys\n"
        "from generator.worker import Worker\n"
        f"answers, requests = io.StringIO(), io.StringIO({asked!r} + chr(10))\n"
        "worker = Worker(requests, answers, numpy_only=True)\n"
        "worker._performing.start, start = (lambda: None), worker._performing.start\n"
        "worker.read()\n"
        "worker._cancelled.clear()\n"
        "start()\n"
        "worker.wait()\n"
        "assert 'torch' not in sys.modules\n"
        "print(answers.getvalue().splitlines()[-1])\n"
    )
    said = json.loads(printed(script))
    assert said["kind"] == "environment" and "choose a Python with PyTorch" in said["message"], said
