# SPDX-License-Identifier: GPL-3.0-or-later
"""What this Blender process remembers while it runs: the generator process, the job under way, the last problem.

None of it is stored in files. There is one generator process and at most one job at a time; it belongs to the operator
that started it, and is remembered here so that it can be seen and cancelled from anywhere.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clip import Clip
from ..segments import Segment
from ..sentences import told
from .locate import WorkerCommand, worker_command

if TYPE_CHECKING:
    from .client import WorkerClient
    from .environment import EnvironmentMaker
    from .live import Live
    from .protocol import Done, Event, Hello


@dataclass
class Job:
    """A request that is worked on.

    Attributes:
        client: who works on it.
        number: the request's id.
        label: what is done, for the status bar.
        fraction, stage: the latest progress.
        takes, warnings: what arrived so far.
        read: how its lines are understood, where that was asked for.
        done: what was said at its end, when it succeeded.
        over: the final event arrived.
        cancelling: its end was asked for.
        cancelled: it ended after that; what arrived is not used.
        problem: the sentence it failed with, or ""; ``kind``: what that is about, see `protocol.KINDS`.
    """

    client: WorkerClient | EnvironmentMaker
    number: int
    label: str
    fraction: float = 0.0
    stage: str = "starting"
    takes: list[Clip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read: list[tuple[Segment, ...]] = field(default_factory=list)
    done: Done | None = None
    over: bool = False
    cancelling: bool = False
    cancelled: bool = False
    problem: str = ""
    kind: str = ""

    def poll(self, timeout: float = 0.0) -> None:
        """Bring the job up to date; waits up to ``timeout`` seconds for news."""
        self.take_in(self.client.poll(timeout))

    def take_in(self, events: Iterable[Event]) -> None:
        """Note what happened; events of other requests are late news and dropped."""
        from . import protocol  # here, because enabling the extension does not need it

        for event in events:
            if event.id != self.number or self.over:
                continue
            if isinstance(event, protocol.Progress):
                self.fraction = max(self.fraction, event.fraction)
                self.stage = self.stage if self.cancelling else event.stage
            elif isinstance(event, protocol.Performed):
                self.takes.append(event.clip)
                self.warnings += event.warnings
            elif isinstance(event, protocol.Read):
                self.read.append(event.segments)
            else:
                self.over = True
                self.done = event if isinstance(event, protocol.Done) else None
                self.cancelled = self.cancelling or isinstance(event, protocol.Cancelled)
                if isinstance(event, protocol.Failed):
                    self.problem, self.kind = event.message, event.kind

    def cancel(self) -> None:
        """Ask for the end of the job; one whose takes only wait to be written is cancelled at once."""
        self.cancelling, self.stage = True, "cancelling"
        self.cancelled = self.over
        self.client.cancel(self.number)


#: The job under way, or None.
job: Job | None = None
#: What directs a take live, or None. It and a job exclude each other.
live: Live | None = None
#: The sentence the last job ended with, shown in the panel until the next one starts, and what it is about.
last_problem = last_kind = ""
#: What the last check in the preferences brought: versions and what performed how fast, the problem, or None.
checked: tuple[Hello, Done] | str | None = None
#: What was said at the end of the last performance: which engine it was.
performed: Done | None = None
#: The line that was read last, before it was performed, and how it is understood.
understood: tuple[str, tuple[Segment, ...]] = "", ()

_client: WorkerClient | None = None


def command(python: str) -> WorkerCommand:
    """How to start the generator with the interpreter chosen in the preferences ("" for the default)."""
    return worker_command(Path(__file__).resolve().parents[1], python)


def start(worker: str | EnvironmentMaker, request: Mapping[str, Any], label: str) -> Job:
    """Send a request and make it the job under way. LocateError when there is nothing to start.

    Args:
        worker: who does it: the generator in this Python ("" for the default), or another.
        request: what to do.
        label: what that is, for the status bar.
    """
    global job, last_problem
    assert job is None and live is None, "one job at a time"
    client = _client_for(command(worker)) if isinstance(worker, str) else worker
    _close_at_exit()
    last_problem = ""
    job = Job(client, client.submit(request), label)
    job.warnings += filter(None, [inside()])
    return job


def direct(python: str, more: Mapping[str, Any]) -> Live:
    """Begin to direct a take live, with the generator in this Python. LocateError when there is nothing to start.

    Args:
        python: as in the preferences.
        more: fields of each request beside its lines.
    """
    global live, last_problem
    from .live import Live  # here, because enabling the extension does not need it

    assert job is None and live is None, "one job at a time"
    live = Live(_client_for(command(python)), more)
    _close_at_exit()
    last_problem = ""
    return live


def finish(problem: str = "", kind: str = "") -> None:
    """Forget the job under way, or what is directed live; ``problem`` is shown in the panel, with what helps against
    its ``kind``.
    """
    global job, live, last_problem, last_kind, performed
    if live is not None:
        live.stop()
    if job is not None and not job.over:
        job.client.cancel(job.number)
    if job is not None and job.done is not None and job.done.engine:
        performed = job.done
    job, live, last_problem, last_kind = None, None, problem, kind


def close() -> None:
    """Forget everything, and end the generator process and whatever else works for a job."""
    global _client, checked, performed, understood
    clients = [job.client] if job is not None and job.client is not _client else []
    finish()
    atexit.unregister(close)
    clients += [_client] if _client is not None else []
    _client = checked = performed = None
    understood = "", ()
    for client in clients:
        client.close()


def engine(done: Done) -> str:
    """Which engine performed, in a few words."""
    if done.engine == "numpy":
        return told("Built-in engine, inside Blender") if inside() else told("Built-in engine")
    return told("PyTorch on {device}", device=done.device.upper())


def inside() -> str:
    """Why the generator runs inside Blender, a sentence; "" where it does not."""
    return "" if _client is None else _client.inside


def _close_at_exit() -> None:
    atexit.unregister(close)
    atexit.register(close)


def _client_for(wanted: WorkerCommand) -> WorkerClient:
    global _client, performed
    # Variables may come and go, other extensions set some too; that is no reason to load the model again.
    if _client is not None and (_client.command.argv, _client.command.folder) != (wanted.argv, wanted.folder):
        _client.close()
        _client = performed = None
    if _client is None:
        from .client import WorkerClient  # here, because enabling the extension does not need it

        _client = WorkerClient(wanted)
    return _client
