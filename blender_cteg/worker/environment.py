# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a Python with torch, by the venv and pip of a Python that is there (no bpy).

It is asked and polled like `client.WorkerClient`. A thread does everything that takes time. What is there under the
environment's name is whole: it is made under another one, which goes away when something goes wrong.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..sentences import Told, shorten, told
from .locate import without_leaks
from .protocol import Cancelled, Done, Event, Failed, Progress

#: What performing with torch imports beyond the standard library and what the extension brings along.
PACKAGES: Final = ("torch", "numpy", "safetensors", "tokenizers")
#: Gigabytes that are downloaded, and that the environment takes; torch for Linux brings CUDA along.
SIZES: Final = (3.0, 6.0) if sys.platform == "linux" else (0.3, 1.5)
#: The share of the work that is done before pip starts, and that every line of pip's does of the rest.
_MADE, _PER_LINE = 0.05, 0.03
_FLAGS: Final = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class _NotMade(Told):
    """The environment cannot be made."""


class EnvironmentMaker:
    """Makes one environment, once.

    Args:
        own: the Python that makes it, and that the environment has.
        folder: where it is to be; one that is there is replaced at the end.
        index: where pip looks for packages; "" for its own settings, which say PyPI where nobody changed them.
    """

    def __init__(self, own: str, folder: Path, index: str = "") -> None:
        self.folder, self._own, self._index = folder, own, index
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False
        self._done = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True, name="CTEG environment")

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return _python_in(self.folder)

    def submit(self, _request: Mapping[str, Any]) -> int:
        """Start; the number that events have."""
        self._thread.start()
        return 0

    def poll(self, timeout: float = 0.0) -> list[Event]:
        """Events since the last call; waits up to ``timeout`` seconds for the first."""
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._events.get(timeout > 0 and not events, timeout or None))
        return events

    def cancel(self, _number: int) -> None:
        """Stop, and take away what was made; then `Cancelled` arrives."""
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Stop; waits a few seconds at most for what was made to be taken away."""
        self.cancel(0)
        self._thread.join(5.0)

    def _work(self) -> None:
        part, old = self.folder.with_name("part"), self.folder.with_name("old")
        try:
            for left in (part, old):
                _remove(left)
            part.parent.mkdir(parents=True, exist_ok=True)
            self._run([self._own, "-m", "venv", str(part)])
            source = ["--index-url", self._index] if self._index else []
            command = [str(_python_in(part)), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
            self._run([*command, *source, *PACKAGES])
            self._check()
            if self.folder.exists():
                self.folder.rename(old)
            part.rename(self.folder)
            end: Event = Done(0)
        except _NotMade as problem:
            end = Failed(0, "environment", str(problem))
        except OSError as error:
            sentence = "The environment in {folder} could not be made ({why}); make room for it, and create it again."
            why = error.strerror or str(error)
            end = Failed(0, "environment", told(sentence, folder=self.folder.parent, why=why))
        for left in (part, old):
            _remove(left)
        self._events.put(Cancelled(0) if self._cancelled else end)

    def _check(self) -> None:
        if self._cancelled:
            raise _NotMade("Cancelled.")

    def _run(self, command: Sequence[str]) -> None:
        """Run a program, showing what it says; `_NotMade` when it fails."""
        with self._lock:
            self._check()
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    encoding="utf-8", errors="replace", env=without_leaks(os.environ), creationflags=_FLAGS,
                )  # fmt: skip
            except OSError as error:
                sentence = "The Python {python} could not be started ({why}), so it can make no environment."
                raise _NotMade(sentence, python=command[0], why=error.strerror or error) from error
        said: list[str] = []
        with self._process as process:
            assert process.stdout is not None
            for line in filter(None, map(str.strip, process.stdout)):
                said.append(line)
                self._done += (0.98 - self._done) * _PER_LINE
                self._events.put(Progress(0, self._done, shorten(line, 80)))
        self._check()
        if process.returncode:
            raise _why_not_made(self._own, "\n".join(said))
        self._done = max(self._done, _MADE)


def _why_not_made(own: str, said: str) -> _NotMade:
    """What went wrong, by what venv or pip said."""
    if re.search(r"ensurepip|No module named '?(venv|pip)", said):
        return _NotMade(
            "The Python {python} lacks what makes environments (venv, ensurepip): install torch into a Python of your "
            "own, and choose that one.", python=own,
        )  # fmt: skip
    if re.search(r"No space left|not enough space|Errno 28", said):
        sentence = "The disk is full; {size:g} GB are needed. Make room, and create the environment again."
        return _NotMade(sentence, size=SIZES[1])
    # Before "no matching distribution", which pip also says when it could reach nothing.
    if re.search(r"Retrying \(|NewConnectionError|ConnectTimeout|NameResolution|ProxyError|SSLError", said):
        return _NotMade("The packages could not be fetched; check the network, and create the environment again.")
    if missing := re.search(r"No matching distribution found for (\S+)", said):
        return _NotMade(
            "There is no {package} for the Python {python} on this computer; install torch into a Python of your own, "
            "and choose that one.", package=missing[1], python=own,
        )  # fmt: skip
    errors = re.findall(r"^(?:ERROR|Error): (.+)", said, re.MULTILINE) or said.splitlines()[-1:]
    why = shorten(" ".join(errors), 300)
    return _NotMade(
        "The environment could not be made: {why}. Create it again, or choose a Python of your own.", why=why
    )


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _remove(folder: Path) -> None:
    import shutil  # here, because enabling the extension does not need it

    # What another program still holds open on Windows goes away the next time.
    shutil.rmtree(folder, ignore_errors=True)
