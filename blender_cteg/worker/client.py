# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the generator process: starts it, asks, polls, cancels, closes (no bpy).

All methods belong to one thread, Blender's main thread; none but `close` blocks. Whatever goes wrong with the process
reaches the caller as a `Failed` event with a sentence, and the next `submit` starts a fresh process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ..sentences import told
from .locate import LocateError, WorkerCommand
from .process import WorkerProcess
from .protocol import (
    VERSION,
    Cancelled,
    Done,
    Event,
    Failed,
    Hello,
    Performed,
    Progress,
    ProtocolError,
    Read,
    encode,
    parse,
)

#: Seconds a process may take to say hello: a cold start from a slow disk, with a virus scanner looking on.
START_TIMEOUT: Final = 180.0
#: Seconds that one look at what has arrived may take: Blender draws nothing meanwhile.
POLL_BUDGET: Final = 0.02
#: Seconds a cancelled request may take to end before the process is killed.
CANCEL_GRACE: Final = 4.0


class WorkerClient:
    """Talks to one generator process, started at the first request and restarted after a failure."""

    def __init__(
        self, command: WorkerCommand, start_timeout: float = START_TIMEOUT, cancel_grace: float = CANCEL_GRACE
    ) -> None:
        self.command = command
        self._start_timeout = start_timeout
        self._cancel_grace = cancel_grace
        self._process: WorkerProcess | None = None
        self._last_id = 0
        self._greeting: int | None = None
        self._greet_by = 0.0
        #: Requests without a final event -> when a cancelled one must be over, or None.
        self._open: dict[int, float | None] = {}
        self._undelivered: list[Event] = []
        #: What the process said of itself, None before that.
        self.hello: Hello | None = None

    @property
    def inside(self) -> str:
        """Why the generator runs inside Blender, a sentence; "" where it is a process of its own, or none yet."""
        return self._process.inside if self._process else ""

    @property
    def pid(self) -> int | None:
        """The number of the generator process, None while there is none."""
        return self._process.pid if self._process else None

    def submit(self, request: Mapping[str, Any]) -> int:
        """Send a request (a message without id) and return its id. Failures arrive as events, from `poll`."""
        number = self._next_id()
        if not self._open and self._process is not None and not self._process.alive:
            # It ended while nobody wanted anything of it: a fresh one starts, and the user need not know.
            self._process.stop(b"")
            self._process = self._greeting = None
        self._open[number] = None
        try:
            message = encode({"id": number, **request})
            self._ensure_process().send(message)
        except ProtocolError as error:
            self._end(Failed(number, "internal", told("The request was not sent: {why}.", why=error)))
        except LocateError as error:
            self._end(Failed(number, "environment", str(error)))
        return number

    def cancel(self, number: int) -> None:
        """Ask for the end of a request. It ends with `Cancelled` soon, if need be by ending the process."""
        if self._process is None or self._open.get(number, 0.0) is not None:
            return  # over, or being cancelled already
        self._process.send(encode({"id": self._next_id(), "op": "cancel", "target": number}))
        if self._greeting is not None:
            self._end(Cancelled(number))  # a process that is still starting will find both, the request and its end
        else:
            self._open[number] = time.monotonic() + self._cancel_grace

    def poll(self, timeout: float = 0.0) -> list[Event]:
        """Events since the last call, in order; waits up to ``timeout`` seconds for the first.

        Whatever arrives, `POLL_BUDGET` bounds the work of one call; the next one goes on.
        """
        if self._undelivered:
            timeout = 0.0
        until = time.monotonic() + timeout + POLL_BUDGET
        while self._process is not None and time.monotonic() < until:
            line = self._process.receive(timeout)
            if line == b"":
                break
            timeout = 0.0
            if line is None:
                self._bury(*self._process.obituary(self._greeting is not None))
                break
            try:
                self._take_in(parse(line))
            except ProtocolError as error:
                self._bury("internal", told("The generator sent something that is not understood ({why}).", why=error))
        self._check_clocks()
        events, self._undelivered = self._undelivered, []
        return events

    def close(self) -> None:
        """End the process, within a few seconds whatever it does. Open requests end as cancelled."""
        process, self._process = self._process, None
        for number in list(self._open):
            self._end(Cancelled(number))
        if process is not None:
            process.stop(encode({"id": self._next_id(), "op": "shutdown"}))

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _ensure_process(self) -> WorkerProcess:
        if self._process is None:
            self._process = WorkerProcess(self.command)
            # Hello first: its answer proves that the process started and speaks this protocol.
            self._greeting = self._next_id()
            self._greet_by = time.monotonic() + self._start_timeout
            self._process.send(encode({"id": self._greeting, "op": "hello"}))
        return self._process

    def _take_in(self, event: Event) -> None:
        if event.id == self._greeting and self._greeting is not None:
            if isinstance(event, Failed):
                self._bury(event.kind, event.message)
            elif isinstance(event, Hello):
                self._greeting, self.hello = None, event
                if event.protocol != VERSION:
                    message = told(
                        "The generator speaks protocol {other} and this extension {own}; install both from the same "
                        "CTEG zip.", other=event.protocol, own=VERSION,
                    )  # fmt: skip
                    self._bury("environment", message)
        elif event.id is None:
            # It could not even read our request, so no answer to it will come.
            assert isinstance(event, Failed)
            self._bury(event.kind, event.message)
        elif event.id not in self._open:
            pass  # the answer to a cancel, or late news of something that is over
        elif isinstance(event, Progress | Performed | Read):
            self._undelivered.append(event)
        else:
            self._end(event)

    def _end(self, event: Hello | Done | Cancelled | Failed) -> None:
        if event.id is not None and event.id in self._open:
            del self._open[event.id]
            self._undelivered.append(event)

    def _check_clocks(self) -> None:
        if self._process is None:
            return
        now = time.monotonic()
        if self._greeting is not None and now > self._greet_by:
            message = told(
                "The generator did not start within {seconds:g} seconds with the Python {python}; choose another one "
                "in the CTEG preferences.", seconds=self._start_timeout, python=self.command.python,
            )  # fmt: skip
            self._bury("environment", message)
        elif any(deadline is not None and now > deadline for deadline in self._open.values()):
            self._bury("internal", told("The generator had to be stopped because another request would not end."))

    def _bury(self, kind: str, message: str) -> None:
        """Give up the process and end every open request: cancelled where that was asked for, else failed."""
        process, self._process = self._process, None
        if process is not None:
            if process.alive:
                process.stop(b"", patience=0.2)
                message += process.last_words()
            self._greeting = None
        for number, cancelled_by in list(self._open.items()):
            self._end(Cancelled(number) if cancelled_by is not None else Failed(number, kind, message))
