# SPDX-License-Identifier: GPL-3.0-or-later
"""A job shared out among processes of this machine: ``--workers N``.

Every process performs whole batches with a performer of its own, on one thread, and hands back their files; this one
writes them. One that dies is started again, and its batch performed again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from ..errors import EnvironmentProblem
from .job import Job
from .running import Batch, load, perform_batch

#: Processes that may die one after the other, before a batch is done again.
_MOST_LOST: Final = 3


class OnProcesses:
    """An `Engine`. A script that uses it begins under ``if __name__ == "__main__":``, because processes import it.

    Args:
        workers: how many perform at once.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.running: dict[Any, SpawnProcess] = {}

    def __call__(self, job: Job, numbers: Iterable[int]) -> Generator[Batch, None, None]:
        """Batches in the order in which they are ready."""
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of what is started: cores are shared by the process
        left, lost = list(numbers)[::-1], 0
        waiting: dict[Any, int] = {}
        try:
            for _ in range(min(self._workers, len(left))):
                self._begin(job, left.pop(), waiting)
            while waiting:
                pipe: Any = wait(list(waiting))[0]
                number = waiting.pop(pipe)
                try:
                    found = pipe.recv()
                except (EOFError, OSError):
                    self.running.pop(pipe).join()
                    if (lost := lost + 1) > _MOST_LOST:
                        raise EnvironmentProblem(
                            "The processes that perform end before they have done anything: is there enough memory? "
                            "Ask for fewer --workers and run the same command again."
                        ) from None
                    self._begin(job, number, waiting)
                    continue
                if isinstance(found, Exception):
                    raise found
                lost = 0
                if left:
                    pipe.send(waiting.setdefault(pipe, left.pop()))
                yield found
        finally:
            for process in self.running.values():
                process.kill()
                process.join()
            self.running.clear()

    def _begin(self, job: Job, number: int, waiting: dict[Any, int]) -> None:
        """Start a process with batch ``number``."""
        context = multiprocessing.get_context("spawn")
        pipe, its_end = context.Pipe()
        self.running[pipe] = process = context.Process(target=_work, args=(job, its_end), daemon=True)
        process.start()
        its_end.close()  # what is left of it ends with the process
        pipe.send(waiting.setdefault(pipe, number))


def _work(job: Job, pipe: Any) -> None:
    """Perform the batches whose numbers arrive, for as long as somebody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    try:
        performer = None
        while True:
            number = pipe.recv()
            try:
                performer = performer or load(job)
                found: Batch | Exception = perform_batch(job, number, performer)
            except Exception as error:
                found = error
            pipe.send(found)
    except (EOFError, OSError):
        return  # nobody asks any more
