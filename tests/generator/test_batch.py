# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts are performed whole: together, resumed byte for byte, shared out; what is wrong is reported by its number."""

from __future__ import annotations

import copy
import errno
import hashlib
import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator.__main__ import main
from generator.batch import Job, JobChanged, Report, perform, processes, running
from generator.batch import job as job_module
from generator.batch.command import Told
from generator.batch.processes import OnProcesses
from generator.batch.running import Batch, Progress, perform_batch
from generator.direction.requests import LineRequest
from generator.engine.builtin import NumpyEngine
from generator.errors import CheckpointError, DeviceLost, EnvironmentProblem, InputError
from generator.performing.clips import Clips
from generator.shared.scripts import ScriptLine
from generator.shared.spaces import ARKIT55
from generator.shared.terminal import Shown
from generator.speech.reading import read_line

SCENE = """INT. KITCHEN

ANNA
I told you not to come back here.

TOM (V.O.)
(angrily)
Get out of my house!

EVE
[joy 9] No.

ANNA
Yes.

TOM
מה שלומך היום?

ANNA
I never said that you could stay, did I?

ZOË
What a beautiful morning it is.
"""


class Fast:
    """Performs lines at once: numbers that depend on the line, its seed and those before it in its batch."""

    side_by_side = 2

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self._seen = seconds, 0.0
        self._done: list[None] = []  # one list for all that are copied from this one

    @property
    def batches(self) -> int:
        return len(self._done)

    def forget(self) -> None:
        self._seen = 0.0

    def perform(self, requests: list[LineRequest], progress: Callable[[float, str], None] | None = None) -> list[Clips]:
        for request in requests:
            if "crash" in request.text:
                raise ZeroDivisionError("as it does")
            if "refuse" in request.text:
                raise InputError("This line is refused.")
        if progress is not None:
            progress(0.1, "performing")
        time.sleep(self.seconds)
        self._done.append(None)
        made = []
        for request in requests:
            digest = hashlib.sha256(f"{request.text}{request.seed}{self._seen}".encode()).digest()
            self._seen += digest[0]
            values = np.random.default_rng(list(digest)).random((request.takes, 12, ARKIT55.size), np.float32)
            seeds = np.arange(request.seed, request.seed + request.takes)
            lengths = np.full(request.takes, 12)
            made.append(Clips(values, lengths, seeds, ARKIT55, request.text, "joy", {}, ("A warning.",)))
        return made


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Fast:
    performer = Fast()
    monkeypatch.setattr(running, "load", lambda job: copy.copy(performer))
    monkeypatch.setattr(running, "_cores", lambda: 2)
    return performer


def lines_of(count: int) -> Job:
    return Job.from_lines([f"This is line {k}{', and it is longer' * (k % 3)}." for k in range(count)], {"takes": 16})


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_script_is_performed_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "_TOGETHER", 3)
    script = tmp_path / "scene.fountain"
    script.write_text(SCENE, "utf-8")
    job = Job.from_file(script, {"seed": 7})
    assert len(job.batches) == 3 and sorted(sum(job.batches, ())) == list(range(7))
    whole = perform(job, tmp_path / "whole")
    assert whole == Report(5, 2, 0, tmp_path / "whole" / "report.json") and whole.code == 3
    told = json.loads((tmp_path / "whole" / "report.json").read_text("utf-8"))
    lines = {line["line"]: line for line in told["lines"]}
    assert [line["place"] for line in told["lines"]] == list(range(1, 8))
    assert lines[4]["files"] == ["00001_anna.npz"] and lines[23]["files"] == ["00007_zoe.npz"]
    assert lines[11]["status"] == "skipped" and "from 0 to 1.5, not 9" in lines[11]["why"]
    assert lines[17]["status"] == "skipped" and "Latin letters" in lines[17]["why"]
    assert lines[7]["emotion"] == "anger" and len(lines[7]["seconds"]) == 1
    with np.load(tmp_path / "whole" / "00002_tom.npz", allow_pickle=False) as clip:
        assert clip["text"] == "(angrily) Get out of my house!" and clip["seeds"].tolist() == [7]
    # Interrupted after its first batch, it goes on, and nobody can tell.
    with pytest.raises(KeyboardInterrupt):
        perform(job, tmp_path / "again", on_batch=_interrupt)
    assert (tmp_path / "again" / "progress.jsonl").is_file()
    assert perform(job, tmp_path / "again") == Report(5, 2, 0, tmp_path / "again" / "report.json")
    assert content(tmp_path / "again") == content(tmp_path / "whole")


def _interrupt(progress: Progress) -> None:
    raise KeyboardInterrupt


def test_lines_are_performed_together_as_they_are_alone(tmp_path: Path) -> None:
    from generator.performing.load import load_performer

    job = Job.from_lines(["I told you so.", "Get out!", "What a beautiful morning it is, don't you think?"])
    performer = load_performer(device="numpy")
    batch = perform_batch(job, 0, performer)
    again = perform_batch(job, 0, performer)
    assert batch.files == again.files, "what was performed before must not matter"
    performer.perform([LineRequest("Get out!").validated(), LineRequest("Something else, my dear.").validated()])
    assert perform_batch(job, 0, performer).files == batch.files
    for name, data in batch.files:
        (tmp_path / name).write_bytes(data)
    for place in range(3):
        performer.forget()
        (alone,) = performer.perform([job.request(place)])
        with np.load(tmp_path / job.file(place), allow_pickle=False) as together:
            np.testing.assert_allclose(together["values"][0], alone.take(0), atol=2e-3)


def test_what_is_done_is_not_done_again(tmp_path: Path, fast: Fast) -> None:
    job = lines_of(40)
    assert len(job.batches) == 10
    seen: list[Progress] = []
    perform(job, tmp_path, on_batch=seen.append)
    assert fast.batches == 10 and (seen[-1].done, seen[-1].lines, seen[-1].before) == (40, 40, 0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert perform(job, tmp_path) == Report(40, 0, 0, tmp_path / "report.json")
    assert fast.batches == 10 and {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    (tmp_path / job.file(3)).unlink()
    perform(job, tmp_path)
    assert fast.batches == 11, "the batch of the file that is missing is done again, and no other"
    assert {path for path, time_ in before.items() if path.stat().st_mtime_ns != time_} == {tmp_path / job.file(3)}


def test_batches_are_of_like_length_and_the_script_alone_decides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    job = lines_of(100)
    spread = [max(len(job.lines[k].text) for k in batch) - min(len(job.lines[k].text) for k in batch)
              for batch in job.batches]  # fmt: skip
    assert sorted(sum(job.batches, ())) == list(range(100)) and sum(spread) < 60
    assert job.batches == lines_of(100).batches and job.identity == lines_of(100).identity
    assert job.identity != lines_of(99).identity
    assert job.identity != Job(job.lines, {"takes": 16, "seed": 1}).identity


def test_a_line_that_fails_costs_nobody_else_anything(tmp_path: Path, fast: Fast) -> None:
    job = Job.from_lines(["One.", "This must crash.", "Two.", "", "This is to refuse.", "Three."])
    report = perform(job, tmp_path)
    assert (report.done, report.skipped) == (3, 3)
    whys = [line["why"] for line in json.loads((tmp_path / "report.json").read_text())["lines"]]
    assert whys == [
        "", "The generator failed (ZeroDivisionError: as it does); report it.", "",
        "The line is empty; type what the character says.", "This line is refused.", "",
    ]  # fmt: skip


def test_what_fails_for_every_line_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: Fast) -> None:
    def lost(*_: Any) -> None:
        raise EnvironmentProblem("The text encoder is missing.")

    monkeypatch.setattr(fast, "perform", lost)
    with pytest.raises(EnvironmentProblem, match="missing"):
        perform(lines_of(3), tmp_path)


def test_a_lost_device_ends_the_job_which_then_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "_TOGETHER", 2)
    job = Job.from_lines(["Yes, I know.", "No, I do not.", "Maybe.", "So?"], {"seconds": 1.0})
    monkeypatch.setattr(running, "_cores", lambda: 1)  # so that the first batch is written when the device is lost
    perform(job, tmp_path / "whole")
    decode, steps = NumpyEngine.decode, iter(range(20))

    def lost(self: NumpyEngine, condition: Any, noise: Any, gumbel: Any, on_step: Any = None) -> Any:
        def step(done: int, count: int) -> None:
            if next(steps, None) is None:  # a second take is on its way
                raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronous")

        return decode(self, condition, noise, gumbel, step)

    monkeypatch.setattr(NumpyEngine, "decode", lost)
    with pytest.raises(DeviceLost, match=r"stopped working \(CUDA error: unspecified launch failure\)\. Try again"):
        perform(job, tmp_path / "lost")
    assert len(list((tmp_path / "lost").glob("*.npz"))) == 2
    monkeypatch.setattr(NumpyEngine, "decode", decode)
    perform(job, tmp_path / "lost")
    assert content(tmp_path / "lost") == content(tmp_path / "whole")


def test_another_job_does_not_mix_with_the_first(tmp_path: Path, fast: Fast) -> None:
    perform(lines_of(5), tmp_path)
    before = content(tmp_path)
    with pytest.raises(JobChanged, match="another folder"):
        perform(lines_of(6), tmp_path)
    assert content(tmp_path) == before
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(JobChanged, match="no report"):
        perform(lines_of(5), tmp_path)


def test_what_is_remembered_wrongly_is_done_again(tmp_path: Path, fast: Fast) -> None:
    job = lines_of(16)
    perform(job, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        perform(job, tmp_path / "damaged", on_batch=_interrupt)
    path = tmp_path / "damaged" / "progress.jsonl"
    row = json.loads(path.read_text("utf-8"))
    for fields in ({"entries": 7}, {"entries": [7]}, {"batch": 99}, {"batch": "x"}, {"entries": row["entries"][:2]},
                   {"entries": [{**row["entries"][0], "files": ["../x"]}]}, {"batch": 1}, {"batch": -1}):  # fmt: skip
        path.write_text(json.dumps({**row, **fields}) + "\n[]\n\n{", "utf-8")
        perform(job, tmp_path / "damaged")
        assert content(tmp_path / "damaged") == content(tmp_path / "whole")
        (tmp_path / "damaged" / "report.json").unlink()


def test_parts_make_the_whole(tmp_path: Path, fast: Fast) -> None:
    job = lines_of(41)
    perform(job, tmp_path / "whole")
    for k in (3, 1):
        report = perform(job, tmp_path / "parts", part=(k, 3))
        assert report.missing and report.path is None
    assert perform(job, tmp_path / "parts", part=(2, 3)).path is not None
    assert content(tmp_path / "parts") == content(tmp_path / "whole")

    def others(progress: Progress) -> None:
        if not (tmp_path / "at once" / "progress.2-of-3.jsonl").exists():
            assert [perform(job, tmp_path / "at once", part=(k, 3)).path for k in (2, 3)] == [None, None]

    assert perform(job, tmp_path / "at once", part=(1, 3), on_batch=others).path is not None
    assert content(tmp_path / "at once") == content(tmp_path / "whole")
    with pytest.raises(InputError, match="no part 4 of 3"):
        perform(job, tmp_path / "parts", part=(4, 3))


def test_two_runs_of_a_job_do_not_harm_each_other(tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch) -> None:
    job = lines_of(41)
    perform(job, tmp_path / "whole")
    begun, swept = iter(range(1)), iter(range(1))

    def another(progress: Progress) -> None:
        if next(begun, None) is not None:
            perform(job, tmp_path / "both")

    sync = os.fsync

    def sweeping(handle: int) -> None:
        sync(handle)
        if next(swept, None) is not None:
            running._sweep(job, tmp_path / "both", range(len(job.batches)))

    monkeypatch.setattr(os, "fsync", sweeping)  # a run begins while the other one writes
    assert perform(job, tmp_path / "both", on_batch=another).path is not None
    assert next(swept, None) is next(begun, None) is None
    assert content(tmp_path / "both") == content(tmp_path / "whole")


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="a shell's loop")
def test_parts_at_once_by_the_command_line_alone_make_the_whole(tmp_path: Path, root: Path) -> None:
    """As an array of a farm does it, each part in a process of its own, one of them started twice."""
    script = tmp_path / "lines.csv"
    rows = [f"ANNA,I have told you {k} times." for k in range(150)]
    script.write_text("\n".join(["speaker,text", *rows, "TOM,מה שלומך היום?"]), "utf-8")
    job = f"{sys.executable} -m generator batch {script} {tmp_path}/parts --seconds 1 --part $SLURM_ARRAY_TASK_ID/3"
    loop = f'for id in 1 2 3 2; do (export SLURM_ARRAY_TASK_ID=$id; {job} || [ $? = 3 ]) & pids="$pids $!"; done\n'
    wait = "for pid in $pids; do wait $pid || exit 1; done"
    done = subprocess.run(["sh", "-c", loop + wait], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # In a process of its own as well, whose sums are made on one thread whatever this one does.
    whole = [sys.executable, "-m", "generator", "batch", str(script), str(tmp_path / "whole"), "--seconds", "1"]
    assert subprocess.run(whole, cwd=root, capture_output=True, check=False).returncode == 3
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_a_full_disk_loses_nothing(tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch) -> None:
    job = lines_of(40)
    perform(job, tmp_path / "whole")
    written = running.write_whole
    for room in (1, 9, 17):
        budget = iter(range(room))

        def full(path: Path, data: bytes, budget: Any = budget) -> Path:
            if next(budget, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return written(path, data)

        monkeypatch.setattr(running, "write_whole", full)
        with pytest.raises(OSError, match="No space"):
            perform(job, tmp_path / "full")
    with (tmp_path / "full" / "progress.jsonl").open("a") as file:
        file.write('{"job":"' + job.identity + '","batch":9,"ent')  # a row that found no room
    monkeypatch.setattr(running, "write_whole", written)
    perform(job, tmp_path / "full")
    assert content(tmp_path / "full") == content(tmp_path / "whole")


#: A job of the real engine's, whose sums are made on one thread as the command's are, on so many cores.
ON_CORES = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from pathlib import Path
from generator.batch import Job, perform, running
running._cores = lambda: int(sys.argv[1])
lines = [f"This is line {k}, and I mean it." for k in range(24)]
perform(Job.from_lines(lines, {"takes": 16, "seconds": 1.0}), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_two_cores_give_the_bytes_of_one(tmp_path: Path, root: Path) -> None:
    for cores in ("1", "2"):
        subprocess.run([sys.executable, "-c", ON_CORES, cores, str(tmp_path / cores)], cwd=root, check=True)
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_batches_are_performed_side_by_side_and_come_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for another one to begin, so that one after the other they would never end; and none is shared."""
    together = threading.Barrier(2, timeout=20)
    performers: list[Fast] = []

    def load(job: Job) -> Fast:
        performers.append(Waiting())
        return performers[-1]

    class Waiting(Fast):
        def perform(self, requests: list[LineRequest], progress: Any = None) -> list[Clips]:
            assert not self.busy, "a performer does one thing at a time"
            self.busy = True
            together.wait()
            self.busy = False
            return super().perform(requests, progress)

        busy = False

    monkeypatch.setattr(running, "load", load)
    monkeypatch.setattr(running, "_cores", lambda: 16)
    seen: list[int] = []
    job = lines_of(40)
    perform(job, tmp_path, on_batch=lambda progress: seen.extend(entry["place"] - 1 for entry in progress.entries))
    assert len(performers) == 2 and all(one.batches for one in performers)
    assert seen == [place for batch in job.batches for place in batch]


def test_who_stops_waits_for_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being performed ends at its next step, and what waits is not begun."""
    ended: list[str] = []

    class Endless(Fast):
        def perform(self, requests: list[LineRequest], progress: Any = None) -> list[Clips]:
            if first.is_set():
                try:
                    while True:
                        progress(0.5, "performing")
                        time.sleep(0.001)
                finally:
                    ended.append("stopped")
            first.set()
            return super().perform(requests, progress)

    first = threading.Event()
    monkeypatch.setattr(running, "load", lambda job: Endless())
    monkeypatch.setattr(running, "_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        perform(lines_of(40), tmp_path, on_batch=_interrupt)
    assert 1 <= len(ended) <= 2 and len(list(tmp_path.glob("*.npz"))) == len(lines_of(40).batches[0])


#: A job of `Fast`'s in a process of its own, to be killed.
RUN = """
import sys
from pathlib import Path
from generator.batch import perform, running
from tests.generator.test_batch import Fast, lines_of
running.load, running._cores = lambda job: Fast(0.01), lambda: 2
perform(lines_of(60), Path(sys.argv[1]), on_batch=lambda _: print("batch", flush=True))
print("done", flush=True)
"""


def test_what_a_killed_run_had_begun_to_write_is_removed(
    tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    make = tempfile.mkstemp

    def mkstemp(**options: Any) -> tuple[int, str]:
        handle, name = make(**options)
        begun.append(name)
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    perform(lines_of(2), tmp_path / "whole")
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in begun:
        (killed / Path(name).name).write_bytes(b"PK")
    (killed / ".mine").write_bytes(b"of somebody else")
    perform(lines_of(2), killed)
    assert len(begun) >= 2 and {path.name for path in killed.glob(".*")} == {".mine"}


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
def test_a_job_that_is_killed_goes_on_where_it_stopped(tmp_path: Path, root: Path, fast: Fast) -> None:
    perform(lines_of(60), tmp_path / "whole")
    random.seed(3)
    killed = 0
    for _ in range(16):
        command = [sys.executable, "-c", RUN, str(tmp_path / "killed")]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = [process.stdout.readline() for _ in range(random.randint(1, 4))]
            time.sleep(random.uniform(0.0, 0.05))
            process.send_signal(signal.SIGKILL)
            over = "done\n" in (*seen, *process.stdout)
        if over:
            break
        killed += 1
    assert over and killed >= 3, killed
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_the_command_says_what_it_does(tmp_path: Path, fast: Fast, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "lines.csv"
    script.write_text("speaker,text\nANNA,Yes.\nTOM,\nTOM,This must crash.\n")
    assert main(["batch", str(script), str(tmp_path / "out"), "--takes", "2", "--seed", "5"]) == 3
    told = capsys.readouterr()
    entries = [json.loads(line) for line in told.out.splitlines()]
    assert {entry["speaker"]: entry["status"] for entry in entries} == {"ANNA": "done", "TOM": "skipped"}
    assert "lines.csv:3: This row has no words" in told.err and "1 lines done, 1 skipped" in told.err
    assert main(["batch", str(script), str(tmp_path / "out")]) == 1
    assert "of another job" in capsys.readouterr().err
    assert main(["batch", str(tmp_path / "none.csv"), str(tmp_path / "out")]) == 1
    assert main(["batch", str(script), str(tmp_path / "b"), "--emotion", "rage9"]) == 1
    assert "no emotion called 'rage9'" in capsys.readouterr().err
    assert main(["batch", str(tmp_path), str(tmp_path / "b")]) == 1
    assert f"{tmp_path} cannot be read (it is not a file); name a script." in capsys.readouterr().err
    out = str(tmp_path / "b")
    for wrong in ([out, "--part", "3/2"], [out, "--format", "fbx"], [out, "--workers", "0"], [""], ["a\0b"]):
        with pytest.raises(SystemExit) as end:
            main(["batch", str(script), *wrong])
        assert end.value.code == 2
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["batch", "--help"])
    assert "python -m generator batch film.srt out --fit-times" in capsys.readouterr().out


def test_times_of_a_script_can_decide_how_long_lines_last(tmp_path: Path) -> None:
    lines = (ScriptLine(1, "", "Yes.", 1.0, 4.25), ScriptLine(2, "", "No."), ScriptLine(3, "", "Oh.", 0.0, 0.1))
    assert [Job(lines, fit_times=True).request(k).seconds for k in range(3)] == [3.25, None, 0.5]
    assert Job(lines).request(0).seconds is None


def test_settings_that_no_line_has_are_refused() -> None:
    for settings, words in (({"takse": 2}, "'takse'"), ({"text": "Hi"}, "'text'"), ({"takes": 0}, "takes must be")):
        with pytest.raises(InputError, match=words):
            Job.from_lines(["Hi."], settings)
    with pytest.raises(InputError, match="no format 'fbx'"):
        Job.from_lines(["Hi."], form="fbx")


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, ends in ((Terminal(), 2), (io.StringIO(), 0)):
        shown = Shown(stream)
        for done in (2, 4):
            Told(shown)(Progress(4, 6, done, 0, 20.0))
        shown.end()
        text = stream.getvalue()
        assert text.count("\r[####") == ends and text.count("\n") == 1 and text.endswith("\n")
        assert "10 of 10 lines" in text and ("8 of 10" in text) == bool(ends)
    shown = Shown(stream := io.StringIO(), every=0.0)
    for words in ("going, 1 %", "going, 1 %", "going, 2 %"):
        shown.show(0.5, words)
    assert stream.getvalue() == "going, 1 %\ngoing, 2 %\n"


def test_an_engine_may_be_anything_that_performs_batches(tmp_path: Path, fast: Fast) -> None:
    job = lines_of(20)
    perform(job, tmp_path / "here")

    def backwards(job: Job, numbers: Any) -> Any:
        for number in reversed(list(numbers)):
            yield Batch(number, *_parts(perform_batch(job, number, Fast())))

    perform(job, tmp_path / "backwards", engine=backwards)
    assert content(tmp_path / "backwards") == content(tmp_path / "here")


def _parts(batch: Batch) -> tuple[Any, Any]:
    return batch.entries, batch.files


@pytest.mark.parametrize("example", ["perform_a_scene", "choose_takes", "direct_by_table"])
def test_examples_run(example: str, root: Path, tmp_path: Path) -> None:
    script = tmp_path / "scene.txt"
    script.write_text("ANNA: I told you.\nTOM: (angrily) Get out!\n", "utf-8")
    arguments = [] if example == "direct_by_table" else [script]
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{example}", *arguments, tmp_path / "out"], cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == (6 if example == "direct_by_table" else 2), done.stdout
    assert list((tmp_path / "out").rglob("*.npz")) or list((tmp_path / "out").glob("*.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "cluster"])
def test_shared_out_it_gives_the_same_bytes_though_a_worker_is_killed(tmp_path: Path, engine: str) -> None:
    job = Job.from_lines([f"This is line {k}, and I mean it." for k in range(24)], {"takes": 16, "seconds": 1.0})
    perform(job, tmp_path / "here", engine=OnProcesses(1))  # whose sums are made on one thread, as the command's are
    killed: list[int] = []
    if engine == "cluster":
        ray = pytest.importorskip("ray")
        from generator.batch.cluster import OnRay

        shared: OnRay | OnProcesses = OnRay(2)
    else:
        shared = OnProcesses(2)

    def kill(progress: Progress) -> None:
        if not killed:
            if isinstance(shared, OnProcesses):
                killed.append(list(shared.running.values())[1].pid or 0)
            else:
                killed.append(ray.get(shared.actors[1].process.remote()))
            os.kill(killed[0], signal.SIGKILL)

    perform(job, tmp_path / "shared", engine=shared, on_batch=kill)
    assert killed and content(tmp_path / "shared") == content(tmp_path / "here")


def test_processes_that_cannot_perform_say_why_and_none_is_left(tmp_path: Path) -> None:
    job = Job.from_lines(["Yes."], checkpoint=tmp_path / "none")
    shared = OnProcesses(2)
    with pytest.raises(CheckpointError, match="none"):
        list(shared(job, range(1)))
    assert not shared.running and not multiprocessing.active_children()


def test_processes_that_die_again_and_again_end_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_work", _die)
    with pytest.raises(EnvironmentProblem, match="fewer --workers"):
        list(OnProcesses(2)(lines_of(4), range(1)))


def _die(job: Job, pipe: Any) -> None:
    """What a process does that the system kills for its memory."""
    os._exit(9)


def test_names_that_the_script_knows_are_not_spoken_and_other_words_are(tmp_path: Path) -> None:
    script = tmp_path / "lines.csv"
    rows = ['Anna,"Nyx: You know it."', 'NYX,"Coffee: Black, please."', 'Nyx,"Nyx: come here."', "Nyx,Five to one."]
    script.write_text("\n".join(["speaker,text", *rows]), "utf-8")
    job = Job.from_file(script)
    assert [job.request(k).text for k in range(4)] == [
        "You know it.", "Coffee: Black, please.", "come here.", "Five to one."
    ]  # fmt: skip
    assert "“Coffee” is nobody here and is spoken" in job.request(1).warnings[0]
    assert "“Nyx” is taken for the speaker's name" in job.request(0).warnings[0]
    assert Job.from_lines(["Tom: Hi."]).request(0).text == "Hi."


@pytest.mark.skipif(os.name != "posix", reason="limits of processes")
def test_a_file_that_finds_no_room_for_real_loses_nothing(tmp_path: Path, fast: Fast) -> None:
    import resource

    perform(lines_of(20), tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as error:
            perform(lines_of(20), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.errno == errno.EFBIG and not [name for name in content(tmp_path / "out") if name[0] == "."]
    perform(lines_of(20), tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("name", ["report.json", "progress.jsonl"])
@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
def test_what_is_no_file_in_the_folder_is_not_waited_for_nor_followed(tmp_path: Path, fast: Fast, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for kind, make in (("pipe", os.mkfifo), ("link", lambda path: path.symlink_to(victim)), ("folder", os.mkdir)):
        folder = tmp_path / kind
        folder.mkdir()
        make(folder / name)  # type: ignore[operator]
        with pytest.raises(InputError, match=f"{name} is no file"):
            perform(lines_of(2), folder)
    assert victim.read_text() == "mine"
    other = tmp_path / "part"
    other.mkdir()
    os.mkfifo(other / "progress.2-of-3.jsonl")
    (other / lines_of(2).file(0)).symlink_to(victim)
    assert perform(lines_of(2), other).done == 2 and victim.read_text() == "mine"


def test_any_name_becomes_a_name_of_a_file_everywhere() -> None:
    names = ["../../etc/passwd", "CON", "NUL.txt", "x" * 300, "🙂", "a\\b:c*?", "\u202eevil", "A\nB", ""]
    job = Job(tuple(ScriptLine(k, name, "Yes.") for k, name in enumerate(names, 1)))
    files = [job.file(k) for k in range(len(names))]
    assert files == [
        "00001_etc-passwd.npz", "00002_con.npz", "00003_nul-txt.npz", f"00004_{'x' * 24}.npz", "00005.npz",
        "00006_a-b-c.npz", "00007_evil.npz", "00008_a-b.npz", "00009.npz",
    ]  # fmt: skip


class Deaf(io.StringIO):
    """A stream that nobody reads any more, as after ``| head``."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("stream", ["deaf", "cp1252", "none"])
def test_who_cannot_read_the_report_ends_no_job(
    tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    script = tmp_path / "lines.csv"
    script.write_text("speaker,text\nZOË,Yes 漢 🙂 indeed.\nTOM,No.\n", "utf-8")
    narrow = io.TextIOWrapper(io.BytesIO(), "cp1252")
    out = {"deaf": Deaf(), "cp1252": narrow, "none": None}[stream]
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Deaf() if stream == "deaf" else io.StringIO() if out else None)
    assert main(["batch", str(script), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.json").is_file()
    if stream == "cp1252":
        rows = [json.loads(row) for row in narrow.buffer.getvalue().decode("cp1252").splitlines()]  # type: ignore[attr-defined]
        assert {"Yes 漢 indeed.", "No."} == {row["text"] for row in rows}


def test_lines_that_are_done_are_not_kept_in_memory() -> None:
    import tracemalloc

    def read(verb: str) -> None:
        """400 lines, of as many words whatever the verb."""
        for k in range(100, 500):
            read_line(f"I have {verb} you {k} times, and I will not tell you again before {k + 7} o'clock.")

    read("told")
    tracemalloc.start()
    try:
        read("warned")
        assert tracemalloc.get_traced_memory()[0] < 4e6  # 256 lines; 400 more for each 400 were 8 kB each, for ever
        begun = tracemalloc.get_traced_memory()[0]
        read("asked")
        assert tracemalloc.get_traced_memory()[0] - begun < 3e5
    finally:
        tracemalloc.stop()
