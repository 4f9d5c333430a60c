# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator inside Blender: for systems that let Blender start no process (no bpy).

The same worker is served over the same pipes, on threads of this process, and with NumPy alone: torch never enters it.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import IO
from zipimport import zipimporter

from .locate import wheels_in


class Inside:
    """What `subprocess.Popen` is for a process, for threads: those of its members that `WorkerProcess` uses."""

    def __init__(self) -> None:
        (requests, to_worker), (from_worker, answers) = os.pipe(), os.pipe()
        self.stdin: IO[bytes] = os.fdopen(to_worker, "wb")
        self.stdout: IO[bytes] = os.fdopen(from_worker, "rb")
        self.stderr: IO[bytes] = io.BytesIO()  # what goes wrong is on Blender's own
        self.pid, self.returncode = os.getpid(), 0
        self._thread = threading.Thread(
            target=self._serve, args=(requests, answers), daemon=True, name="CTEG generator"
        )
        self._thread.start()

    def poll(self) -> int | None:
        """None while it serves."""
        return None if self._thread.is_alive() else self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` when it takes longer."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("generator", timeout or 0.0)
        return self.returncode

    def terminate(self) -> None:
        """A thread ends by itself: its requests are over, which stops the job at its next step."""

    kill = terminate

    def _serve(self, requests: int, answers: int) -> None:
        self.returncode = 1
        with (
            os.fdopen(requests, encoding="utf-8", errors="replace") as reader,
            os.fdopen(answers, "w", encoding="utf-8", newline="\n") as writer,
        ):
            from ..shared import worker_class

            _bring_wheels()
            worker = worker_class()(reader, writer, numpy_only=True)
            worker.read()
            worker.wait()
            self.returncode = 0


class _Metadata(DistributionFinder):
    """What a wheel says of itself: a package may ask for its own version when it is imported."""

    def __init__(self, wheel: Path) -> None:
        self._path = [str(wheel)]

    def find_spec(self, *_arguments: object) -> None:
        """Packages are found elsewhere."""

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Those in the wheel."""
        name = None if context is None else context.name
        return MetadataPathFinder.find_distributions(DistributionFinder.Context(name=name, path=self._path))


def _bring_wheels() -> None:
    """Make what the extension brings along importable, without a change to `sys.path`."""
    for wheel in wheels_in(Path(__file__).resolve().parents[1]):
        name = wheel.name.split("-")[0]
        spec = zipimporter(str(wheel)).find_spec(name)
        if name not in sys.modules and spec is not None and spec.loader is not None:
            sys.modules[name] = module = module_from_spec(spec)
            metadata = _Metadata(wheel)
            sys.meta_path.append(metadata)
            try:
                spec.loader.exec_module(module)
            finally:
                sys.meta_path.remove(metadata)
