# SPDX-License-Identifier: GPL-3.0-or-later
"""Timing that survives a shared machine: interleaved rounds, medians, and the machine's name beside every table."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each run. They take turns, so that a busy moment falls on all alike; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            times[name].append(timed(run))
    return {name: median(values[1:]) for name, values in times.items()}


def timed(run: Callable[[], object]) -> float:
    """Wall time of one call, in seconds."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def machine() -> str:
    """The processor, threads and torch version, for the head of a table."""
    name = platform.processor() or platform.machine()
    if (information := Path("/proc/cpuinfo")).is_file():
        models = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    return f"{name}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
