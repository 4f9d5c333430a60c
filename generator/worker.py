# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator's end of the door: JSON lines on stdin and stdout (docs/protocol.md)."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from . import __version__
from .direction.requests import LineRequest
from .errors import DeviceLost, GeneratorError, InputError, ran_out_of_memory
from .reading import from_json

if TYPE_CHECKING:
    from .performing.performer import Performer

PROTOCOL: Final = 3
#: Longest request, in characters; a longer one is read in pieces, which are none.
MAX_REQUEST: Final = 64 * 1024 * 1024
#: What ``check`` performs, to say how long it takes here: five seconds of an everyday line.
_CHECK: Final = {"text": "I knew that you would come back one day.", "seconds": 5.0, "emotion": "joy"}

Message = dict[str, Any]


class _Cancelled(BaseException):
    """Unwinds a job whose cancellation was asked for; no failure, so nothing that handles those stops it."""


class Worker:
    """Answers requests: the calling thread reads and stays responsive while another performs one job after another.

    Args:
        reader, writer: of lines.
        numpy_only: torch must not be imported, even where it is there: this is Blender's own process.
        lost: called when the device that computes is gone. It may end the process, which answers the job, too.
    """

    def __init__(
        self, reader: IO[str], writer: IO[str], *, numpy_only: bool = False,
        lost: Callable[[DeviceLost], object] = lambda _: None,
    ) -> None:  # fmt: skip
        self._reader, self._writer, self._numpy_only, self._lost = reader, writer, numpy_only, lost
        self._jobs: queue.Queue[Message | None] = queue.Queue()
        self._cancelled: set[Any] = set()
        self._pending: set[Any] = set()
        self._lock = threading.Lock()
        self._performers: dict[tuple[str | None, str], Performer] = {}
        self._performing = threading.Thread(target=self._work, daemon=True, name="CTEG performing")

    def read(self) -> None:
        """Serve until ``shutdown`` or the end of the requests; jobs that are still going on then are asked to stop."""
        self._performing.start()
        try:
            for line in iter(partial(self._reader.readline, MAX_REQUEST), ""):
                if line.strip() and not self._receive(line):
                    break
        finally:  # whatever happens here, nothing goes on performing for nobody
            with self._lock:
                self._cancelled |= self._pending
            self._jobs.put(None)

    def wait(self) -> None:
        """Wait for the end of the job that was going on."""
        self._performing.join()

    def _work(self) -> None:
        # Who asks may have gone; whoever reads for it notices that too.
        with contextlib.suppress(OSError, ValueError):
            while (job := self._jobs.get()) is not None:
                self._perform(job)

    def _send(self, message: Message) -> None:
        line = json.dumps(message, separators=(",", ":"))
        with self._lock:
            self._writer.write(line + "\n")
            self._writer.flush()

    def _error(self, number: Any, kind: str, message: str) -> None:
        self._send({"id": number, "event": "error", "kind": kind, "message": message})

    # Reading ----------------------------------------------------------------------------------------------------------

    def _receive(self, line: str) -> bool:
        """Handle one line; False ends the conversation."""
        try:
            request = from_json(line)
        except (ValueError, RecursionError, MemoryError):
            request = None
        if not isinstance(request, dict):
            self._error(None, "input", "A request must be a JSON object on one line.")
            return True
        number, operation = request.get("id"), request.get("op")
        if isinstance(number, dict | list):  # not hashable: cannot be remembered
            self._error(None, "input", "A request's id must be a number or text.")
        elif operation == "hello":
            self._hello(number)
        elif operation in ("generate", "check", "read"):
            with self._lock:
                self._pending.add(number)
            self._jobs.put(request)
        elif operation == "cancel":
            target = request.get("target")
            with self._lock:
                if not isinstance(target, dict | list) and target in self._pending:
                    self._cancelled.add(target)
            self._send({"id": number, "event": "done"})
        elif operation == "shutdown":
            self._send({"id": number, "event": "done"})
            return False
        else:
            named = f"operation {operation!r:.80}" if isinstance(operation, str) else "operation of that kind"
            self._error(number, "input", f"There is no {named}; see docs/protocol.md.")
        return True

    def _hello(self, number: Any) -> None:
        # Nothing here may load the model or import torch, which takes seconds.
        self._send(
            {
                "id": number,
                "event": "hello",
                "protocol": PROTOCOL,
                "generator": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": _version("torch"),
            }
        )

    # Performing -------------------------------------------------------------------------------------------------------

    def _perform(self, request: Message) -> None:
        number = request.get("id")
        try:
            self._send({"id": number, "event": "done", **self._generate(request)})
        except _Cancelled:
            self._send({"id": number, "event": "cancelled"})
        except GeneratorError as error:
            if isinstance(error, DeviceLost):
                self._lost(error)
            self._error(number, error.kind, str(error))
        except ImportError as error:
            self._error(number, "environment", missing_package_sentence(error))
        except Exception as error:  # The worker must outlive any job; the client shows the sentence.
            if ran_out_of_memory(error):
                self._error(number, "memory", "The computer ran out of memory; ask for fewer takes.")
                return
            traceback.print_exc(file=sys.stderr)
            what = shorten(f"{type(error).__name__}: {error}", 300)
            self._error(number, "internal", f"The generator failed ({what}); report it.")
        finally:
            with self._lock:
                self._pending.discard(number)
                self._cancelled.discard(number)

    def _generate(self, request: Message) -> Message:
        """Perform or read what is asked for and send it; what is said of it at the end."""
        number, check = request.get("id"), request.get("op") == "check"
        lines = [_CHECK] if check else request.get("lines")
        if not isinstance(lines, list) or not lines:
            raise InputError("A generate request must have a list 'lines' with at least one line.")
        requests = [LineRequest.from_json(line) for line in lines]
        checkpoint, device = request.get("checkpoint"), request.get("device", "auto")
        if not isinstance(checkpoint, str | None) or not isinstance(device, str):
            raise InputError("The fields 'checkpoint' (a folder or null) and 'device' must be text.")
        progress = _Progress(self, number)
        progress.report(0.0, "starting")
        performer = self._performer(checkpoint or None, device, progress)
        progress.enter(progress.fraction, 0.8 if check else 1.0)
        if check:  # what is done for the first time takes longer
            performer.perform(requests, progress.report)
            progress.enter(0.8, 1.0)
        start = time.perf_counter()
        if request.get("op") == "read":
            for line, segments in enumerate(performer.read(requests)):
                self._send({"id": number, "event": "read", "line": line, "segments": list(segments)})
            return {**_engine_of(performer), "seconds": round(time.perf_counter() - start, 3)}
        performed = performer.perform(requests, progress.report)
        seconds = time.perf_counter() - start
        for line, clips in enumerate(() if check else performed):
            for take in range(len(clips.lengths)):
                progress.check()
                self._send(
                    {
                        "id": number,
                        "event": "clip",
                        "line": line,
                        "take": take,
                        "seed": int(clips.seeds[take]),
                        "text": clips.text,
                        "emotion": clips.emotion,
                        "fps": clips.space.fps,
                        "space": clips.space.name,
                        "channels": list(clips.space.channels),
                        "values": encode_array(clips.performance(take)),
                        "timeline": (timeline := clips.timeline(take)) and timeline.to_json(),
                        "speech_scale": clips.speech_scale,
                        "settings": clips.settings,
                        "segments": list(clips.segments[take]),
                        "warnings": list(clips.warnings),
                    }
                )
        return {**_engine_of(performer), "seconds": round(seconds, 3)}

    def _performer(self, checkpoint: str | None, device: str, progress: _Progress) -> Performer:
        key = (checkpoint, device)
        if key not in self._performers:
            from .performing.load import load_performer

            progress.enter(0.05, 0.6)
            if self._numpy_only:
                device = "numpy"
            elif device == "torch":
                from .performing.devices import available_devices

                device = available_devices()[0]
            performer = load_performer(Path(checkpoint) if checkpoint else None, device, progress.report)
            self._performers = {key: performer}  # only the newest stays: memory belongs to the animator
        return self._performers[key]

    def is_cancelled(self, number: Any) -> bool:
        """Whether the job was asked to stop."""
        with self._lock:
            return number in self._cancelled


class _Progress:
    """Progress of one job: never decreasing, and the place where a cancelled job stops."""

    def __init__(self, worker: Worker, number: Any) -> None:
        self._worker, self._number = worker, number
        self._span = (0.0, 1.0)
        self._stage = ""
        self.fraction = 0.0

    def enter(self, start: float, end: float) -> None:
        """What is reported from now on as 0..1 covers ``start``..``end`` of the whole."""
        self._span = (start, end)

    def check(self) -> None:
        """Stop here if the job was cancelled."""
        if self._worker.is_cancelled(self._number):
            raise _Cancelled

    def report(self, fraction: float, stage: str) -> None:
        """Send progress when it moved by a percent or the stage changed; raise `_Cancelled` when asked to stop."""
        self.check()
        start, end = self._span
        whole = max(self.fraction, start + (end - start) * min(max(fraction, 0.0), 1.0))
        if stage != self._stage or whole - self.fraction >= 0.01:
            self.fraction, self._stage = whole, stage
            self._worker._send({"id": self._number, "event": "progress", "fraction": round(whole, 4), "stage": stage})


def encode_array(array: npt.NDArray[np.float32]) -> Message:
    """An array as the protocol writes it: float32 little endian, C order, base64."""
    data = np.ascontiguousarray(array, "<f4")
    return {"dtype": "<f4", "shape": list(data.shape), "base64": base64.b64encode(data.tobytes()).decode("ascii")}


def missing_package_sentence(error: ImportError) -> str:
    """What to do when a package is missing."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return f"This Python ({sys.executable}) cannot load the generator: {error}. Choose another in the preferences."
    package = error.name.split(".")[0]
    if package == __package__.split(".")[-1]:
        return f"A file of the generator is missing ({error.name}); install the CTEG extension again."
    return (
        f"The Python {sys.executable} has no {package}: install it there, or choose another Python in the CTEG "
        "preferences, where Create makes one that has all it needs."
    )


def _engine_of(performer: Performer) -> Message:
    """Which engine a performer has, and on which device."""
    # What is built in is no class of torch's, which must not be imported to find that out.
    if type(performer.reader).__module__.endswith(".engine.builtin"):
        return {"engine": "numpy", "device": "cpu"}
    device = getattr(performer.reader, "device", None)
    return {"engine": "torch", "device": str(device or "cpu")}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``python -m generator serve`` has no options."""


def run(_: argparse.Namespace) -> None:
    """Run the worker on this process's stdin and stdout. Does not return: the process ends with its requests."""
    # Blender asks its user before anything goes online, so the worker uses what is there and never downloads.
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Libraries print; the protocol owns stdout. Keep its descriptor for ourselves and send prints to stderr. They look
    # at stdin too, which on Windows waits for as long as somebody reads from it.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", newline="\n")
    requests = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8", errors="replace")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    code = 1
    try:
        Worker(requests, protocol, lost=_end).read()
        code = 0
    except Exception:
        traceback.print_exc(file=sys.stderr)
    # At once, whatever is being imported, loaded or performed: nobody is there to use it.
    sys.stderr.flush()
    os._exit(code)


def _end(error: DeviceLost) -> None:
    """A process that has lost its GPU does not get it back: its last words; the next request starts another."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    os._exit(1)
