# SPDX-License-Identifier: GPL-3.0-or-later
"""What this Blender process remembers while it runs: the generator process, the job under way, the last problem.

None of it is stored in files. There is one generator process and at most one job at a time; it belongs to the operator
that started it, and is remembered here so that it can be seen and cancelled from anywhere.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..clip import Clip
from .client import WorkerClient
from .locate import WorkerCommand, worker_command
from .protocol import Cancelled, Event, Failed, Hello, Performed, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


@dataclass
class Job:
    """A request that the generator works on.

    Attributes:
        client: who asked the generator.
        number: the request's id.
        label: what is done, for the status bar.
        fraction, stage: the latest progress.
        takes, warnings: what arrived so far.
        hello: the answer, when the request was a hello.
        over: the final event arrived.
        cancelling: its end was asked for.
        cancelled: it ended after that; what arrived is not used.
        problem: the sentence it failed with, or "".
    """

    client: WorkerClient
    number: int
    label: str
    fraction: float = 0.0
    stage: str = "starting"
    takes: list[Clip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    hello: Hello | None = None
    over: bool = False
    cancelling: bool = False
    cancelled: bool = False
    problem: str = ""

    def poll(self, timeout: float = 0.0) -> None:
        """Bring the job up to date; waits up to ``timeout`` seconds for news."""
        self.take_in(self.client.poll(timeout))

    def take_in(self, events: Iterable[Event]) -> None:
        """Note what happened; events of other requests are late news and dropped."""
        for event in events:
            if event.id != self.number or self.over:
                continue
            if isinstance(event, Progress):
                self.fraction = max(self.fraction, event.fraction)
                self.stage = self.stage if self.cancelling else event.stage
            elif isinstance(event, Performed):
                self.takes.append(event.clip)
                self.warnings += event.warnings
            else:
                self.over = True
                self.hello = event if isinstance(event, Hello) else None
                self.cancelled = self.cancelling or isinstance(event, Cancelled)
                self.problem = event.message if isinstance(event, Failed) else ""

    def cancel(self) -> None:
        """Ask for the end of the job; one whose takes only wait to be written is cancelled at once."""
        self.cancelling, self.stage = True, "cancelling"
        self.cancelled = self.over
        self.client.cancel(self.number)


#: The job under way, or None.
job: Job | None = None
#: The sentence the last job ended with, shown in the panel until the next one starts.
last_problem = ""
#: What the generator said to the last check in the preferences: its greeting, the problem, or None.
checked: Hello | str | None = None

_client: WorkerClient | None = None


def command(python: str) -> WorkerCommand:
    """How to start the generator with the interpreter chosen in the preferences ("" for the default)."""
    return worker_command(Path(__file__).resolve().parents[1], python)


def start(python: str, request: Mapping[str, Any], label: str) -> Job:
    """Send a request and make it the job under way. LocateError when there is nothing to start."""
    global job, last_problem
    assert job is None, "one job at a time"
    client = _client_for(command(python))
    last_problem = ""
    job = Job(client, client.submit(request), label)
    return job


def finish(problem: str = "") -> None:
    """Forget the job under way; ``problem`` is shown in the panel."""
    global job, last_problem
    if job is not None and not job.over:
        job.client.cancel(job.number)
    job, last_problem = None, problem


def close() -> None:
    """Forget everything and end the generator process."""
    global _client, checked
    finish()
    checked = None
    atexit.unregister(close)
    client, _client = _client, None
    if client is not None:
        client.close()


def _client_for(wanted: WorkerCommand) -> WorkerClient:
    global _client
    # Variables may come and go, other extensions set some too; that is no reason to load the model again.
    if _client is not None and (_client.command.argv, _client.command.folder) != (wanted.argv, wanted.folder):
        _client.close()
        _client = None
    if _client is None:
        _client = WorkerClient(wanted)
        atexit.unregister(close)
        atexit.register(close)
    return _client
