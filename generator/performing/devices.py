# SPDX-License-Identifier: GPL-3.0-or-later
"""Where torch computes, and how many threads compute. Nothing here imports torch before a device is asked for."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import EnvironmentProblem, InputError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """A torch device for "auto", "cpu", "cuda" or "mps"; `EnvironmentProblem` when this Python cannot use it."""
    import torch

    if name == "auto":
        return torch.device(available_devices()[0])
    if name not in ("cpu", "cuda", "mps"):
        raise EnvironmentProblem(f"There is no device called {name!r}; choose auto, cpu, cuda or mps.")
    if name not in available_devices():
        raise EnvironmentProblem(
            f"This Python's torch cannot use {name}; choose auto, or a Python with a torch built for {name}."
        )
    return torch.device(name)


def available_devices() -> list[str]:
    """Devices this Python can compute on, best first; without torch that is the CPU."""
    devices = ["cpu"]
    if find_spec("torch") is None:
        return devices
    import torch

    if torch.backends.mps.is_available():
        devices.insert(0, "mps")
    if torch.cuda.is_available():
        devices.insert(0, "cuda")
    return devices


def use_threads(count: int | None) -> None:
    """Let torch compute on so many threads; None leaves it as it is. InputError for less than one."""
    if count is None:
        return
    if count < 1:
        raise InputError(f"--threads must be 1 or more, not {count}.")
    import torch

    torch.set_num_threads(count)


def leave_cores_to_others() -> None:
    """Use half of the cores, at most four, unless OMP_NUM_THREADS says otherwise.

    The decoder's matrices are small: more threads wait for each other, and Blender needs cores of its own. NumPy's
    OpenBLAS and torch read the variable when they are loaded, so this comes before both.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(4, (os.cpu_count() or 2) // 2))))
