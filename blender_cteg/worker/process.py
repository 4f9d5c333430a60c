# SPDX-License-Identifier: GPL-3.0-or-later
"""One generator process, or its stand-in on a thread, and the threads that serve its pipes (no bpy).

No call here waits for the process, except `stop` and `obituary`, which wait a bounded time. The threads touch
nothing but queues.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import re
import subprocess
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Final

from ..sentences import shorten, told
from . import locate
from .protocol import MAX_MESSAGE

if TYPE_CHECKING:
    from .inside import Inside

#: How many lines of the process's stderr are kept for diagnosis, and how many characters of each.
TAIL_LINES: Final = 60
TAIL_CHARACTERS: Final = 2000

#: Seconds in which the last lines of a process that has ended arrive.
LAST_LINES: Final = 2.0

#: What the last lines of stderr say when memory ran out: Python, torch, the C++ library.
_NO_MEMORY: Final = re.compile(r"MemoryError|out of memory|bad_alloc", re.IGNORECASE)

#: What a refusal of the generator's command line begins with; a sentence follows.
_REFUSAL: Final = "error: "

#: A program for another processor: of Linux, of macOS, of Windows (not a program; not of this machine's kind).
_OTHER_MACHINE: Final = (errno.ENOEXEC, 86, 193, 216)

#: Without this flag a console window opens on Windows.
_FLAGS: Final = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class WorkerProcess:
    """A running ``python -m generator serve``."""

    def __init__(self, command: locate.WorkerCommand) -> None:
        """Start the process. `LocateError` when it cannot be started, and not run inside Blender either."""
        self._command = command
        #: Why the generator runs inside Blender, a sentence; "" where it is a process of its own.
        self.inside = ""
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        #: When it was seen to have ended; 0 before that.
        self._ended = 0.0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._popen: subprocess.Popen[bytes] | Inside
        try:
            self._popen = subprocess.Popen(
                command.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=command.folder,
                env=dict(command.environment), creationflags=_FLAGS,
            )  # fmt: skip
        except OSError as error:
            if not command.own:
                raise _why_not_started(command.python, error) from error
            self.inside = told(
                "Blender may not start a program here ({why}), so the built-in engine runs inside Blender, which may "
                "stutter while it performs. Allow Blender to start programs in your antivirus or sandbox.",
                why=error.strerror or error,
            )  # fmt: skip
            from .inside import Inside

            self._popen = Inside()
        serve = ((self._write, self._popen.stdin), (self._read, self._popen.stdout), (self._drain, self._popen.stderr))
        self._threads = [
            threading.Thread(target=target, args=(pipe,), daemon=True, name=f"CTEG worker {target.__name__}")
            for target, pipe in serve
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """The last lines that the process wrote to stderr."""
        return "\n".join(self._tail)

    def send(self, line: bytes) -> None:
        """Queue one line for the process. A thread writes it: a full pipe must never stop Blender's main thread."""
        self._outbox.put(line)

    def receive(self, timeout: float = 0.0) -> bytes | None:
        """The next line of stdout, b"" when there is none within ``timeout`` seconds, None when it is over.

        It is over when stdout has closed, or the process has ended for a while: what it had started may hold stdout.
        """
        try:
            return self._inbox.get(timeout > 0, timeout or None)
        except queue.Empty:
            if self.alive:
                return b""
            self._ended = self._ended or time.monotonic()
            return None if time.monotonic() - self._ended > LAST_LINES else b""

    def stop(self, farewell: bytes, patience: float = 2.0) -> None:
        """End the process: ask, then terminate, then kill; at most about three times ``patience`` seconds."""
        self._outbox.put(farewell)
        self._outbox.put(None)
        for last_resort in (self._popen.terminate, self._popen.kill):
            try:
                self._popen.wait(patience)
                break
            except subprocess.TimeoutExpired:
                last_resort()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(patience)
        self._join()

    def obituary(self, starting: bool) -> tuple[str, str]:
        """Kind and sentence that say why the process ended; kills it should it still be running.

        Args:
            starting: it has not said hello yet, so its Python is to blame.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(1.0)
        if self.alive:
            self._popen.kill()
            self._popen.wait()
        self._outbox.put(None)
        self._join()
        python, code, last = self._command.python, self._popen.returncode, [line for line in self._tail if line.strip()]
        if last and last[-1].startswith(_REFUSAL):
            return "environment", last[-1].removeprefix(_REFUSAL)
        if missing := locate.missing_package(python, self.output):
            return "environment", missing
        if starting:
            message = told(
                "The Python {python} did not start the generator (exit code {code}); choose another one in the CTEG "
                "preferences.", python=python, code=code,
            )  # fmt: skip
            return "environment", message + self.last_words()
        if any(_NO_MEMORY.search(line) for line in last[-3:]):
            message = told(
                "The generator was ended, most likely because it ran out of memory; ask for fewer takes or a shorter "
                "line, close other programs, or choose the CPU in the CTEG preferences."
            )
            return "memory", message + self.last_words()
        sentence = "The generator ended unexpectedly ({how}); nothing was changed, and generating again restarts it."
        outside = "ended from outside, signal {code}"  # on Linux the way of the system to get memory, and of others
        how = told("exit code {code}", code=code) if code >= 0 else told(outside, code=-code)
        message = told(sentence, how=how)
        return "internal", message + self.last_words()

    def last_words(self) -> str:
        """The last line of stderr as a sentence to append, or ""."""
        lines = [line for line in self._tail if line.strip()]
        return " " + told("Its last message was: {message}", message=shorten(lines[-1], 300)) if lines else ""

    def _join(self) -> None:
        # A grandchild may hold a pipe open for ever; the threads are daemons, so leaving one behind is harmless.
        for thread in self._threads:
            thread.join(0.5)

    def _write(self, pipe: IO[bytes]) -> None:
        # A process that is gone is noticed by the reader; a second report from here would say nothing new.
        with contextlib.suppress(OSError, ValueError):
            while (line := self._outbox.get()) is not None:
                pipe.write(line)
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()

    def _read(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), pipe:
            while line := pipe.readline(MAX_MESSAGE):
                self._inbox.put(line)
        self._inbox.put(None)

    def _drain(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), pipe:
            while line := pipe.readline(TAIL_CHARACTERS):
                self._tail.append(line.decode("utf-8", "replace").rstrip())


def _why_not_started(python: str, error: OSError) -> locate.LocateError:
    if {error.errno, getattr(error, "winerror", None)} & set(_OTHER_MACHINE):
        sentence = "{python} is not a Python for this kind of computer; choose another one in the CTEG preferences."
        return locate.LocateError(sentence, python=python)
    return locate.LocateError(
        "The Python {python} could not be started ({why}); choose another one, or the built-in engine, in the CTEG "
        "preferences.", python=python, why=error.strerror or error,
    )  # fmt: skip
