# SPDX-License-Identifier: GPL-3.0-or-later
"""A job shared out over a Ray cluster (https://docs.ray.io): ``pip install "cteg-for-blender[ray]"``.

Every worker performs whole batches with a performer of its own, on one thread, and hands back their files; this process
writes them. A worker that dies is started again, and its batch performed again.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from ..errors import EnvironmentProblem
from .job import Job
from .running import Batch, load, perform_batch

#: Batches that wait at each worker beside the one it performs, so that it never waits for this process.
_WAITING = 1


class _Performing:
    """What a worker holds."""

    def __init__(self, job: Job) -> None:
        self._job, self._performer = job, load(job)

    def perform(self, number: int) -> Batch:
        """One batch of the job."""
        return perform_batch(self._job, number, self._performer)

    def process(self) -> int:
        """The worker's process."""
        return os.getpid()


class OnRay:
    """An `Engine`: the cluster that is connected or that RAY_ADDRESS names, else one on this machine.

    Args:
        workers: how many perform at once; by default as many as the cluster has processors.

    Raises:
        EnvironmentProblem: Ray is not installed, or cannot be started.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers
        self.actors: list[Any] = []
        try:
            import ray
        except ImportError as error:
            raise EnvironmentProblem(
                f"This Python cannot use Ray ({error}); install the version that pyproject.toml names, or leave out "
                "--engine ray."
            ) from None
        self._ray = ray

    def __call__(self, job: Job, numbers: Iterable[int]) -> Generator[Batch, None, None]:
        """Batches in the order in which they are ready."""
        ray = self._ray
        started = not ray.is_initialized()
        if started:
            self._start()
        try:
            count = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            shared = ray.put(job)
            performing = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Performing)
            self.actors = [performing.remote(shared) for _ in range(count)]
            left = iter(numbers)
            waiting: dict[Any, Any] = {}
            for actor in self.actors * (1 + _WAITING):
                if (number := next(left, None)) is not None:
                    waiting[actor.perform.remote(number)] = actor
            while waiting:
                (ready,), _ = ray.wait(list(waiting), num_returns=1)
                actor = waiting.pop(ready)
                if (number := next(left, None)) is not None:
                    waiting[actor.perform.remote(number)] = actor
                yield ray.get(ready)
        finally:
            for actor in self.actors:
                ray.kill(actor)
            self.actors = []
            if started:
                ray.shutdown()

    def _start(self) -> None:
        # Workers find the generator, and what lies beside it in an extension, where this process has it.
        here = Path(__file__).resolve().parents[2]
        paths = [str(here), *map(str, (here / "wheels").glob("*.whl")), os.environ.get("PYTHONPATH", "")]
        variables = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        named = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": self._workers}
        try:
            self._ray.init(
                runtime_env={"env_vars": variables}, log_to_driver=False, logging_level="ERROR", **named,
                **({} if not named else {"include_dashboard": False}),
            )  # fmt: skip
        except Exception as error:
            raise EnvironmentProblem(f"Ray cannot be started ({error}); see docs/batch.md.") from error
