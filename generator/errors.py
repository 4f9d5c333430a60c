# SPDX-License-Identifier: GPL-3.0-or-later
"""The refusals of the generator: every message is a sentence that tells its reader what to do next."""

from __future__ import annotations

import re
from typing import ClassVar, Final

#: How libraries that have no MemoryError say it: torch on a processor, on a GPU, and C++.
_NO_MEMORY: Final = re.compile(r"out of memory|can.t allocate memory|bad_alloc", re.IGNORECASE)
#: How torch says that a GPU, or its driver, is gone.
_NO_DEVICE: Final = re.compile(r"(CUDA|HIP|XPU|cuDNN|MIOpen)( driver)? error|CU(BLAS|FFT|SOLVER)_STATUS|MPS backend")


class GeneratorError(Exception):
    """Base of every refusal; ``kind`` is the protocol's error kind (docs/protocol.md)."""

    kind: ClassVar[str] = "internal"


class InputError(GeneratorError):
    """The request cannot be performed as it stands: empty line, unknown emotion, length out of range, …"""

    kind = "input"


class CheckpointError(GeneratorError):
    """A checkpoint is missing, damaged or of a version this generator cannot read."""

    kind = "checkpoint"


class EnvironmentProblem(GeneratorError):
    """The Python or the machine lacks something: a package, a device, the text encoder's weights."""

    kind = "environment"


class DeviceLost(EnvironmentProblem):
    """The device that computes is gone; this process cannot use it again, another one may."""

    def __init__(self, why: BaseException) -> None:
        reason = (str(why).strip().splitlines() or [type(why).__name__])[0]
        super().__init__(
            f"The device that computes stopped working ({reason[:120]}). Try again; if that does not help, choose the "
            "device numpy or cpu."
        )


class MemoryProblem(GeneratorError):
    """There is not enough memory, in this process or on the device that computes."""

    kind = "memory"


class DataError(GeneratorError):
    """A corpus or text file is missing or has a bad row; the message names file, row and reason."""

    kind = "input"


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory is short, of which a file or a request need not be guilty."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))


def lost_device(error: BaseException) -> bool:
    """Whether ``error`` says that a GPU or its driver is gone: nothing that this process asks of it will work again."""
    return isinstance(error, RuntimeError) and bool(_NO_DEVICE.search(str(error))) and not ran_out_of_memory(error)
