# SPDX-License-Identifier: GPL-3.0-or-later
"""The refusals of the generator: every message is a sentence that tells its reader what to do next."""

from __future__ import annotations

import re
from typing import ClassVar, Final

#: How libraries that have no MemoryError say it: torch on a processor, on a GPU, and C++.
_NO_MEMORY: Final = re.compile(r"out of memory|can.t allocate memory|bad_alloc", re.IGNORECASE)


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


class MemoryProblem(GeneratorError):
    """There is not enough memory, in this process or on the device that computes."""

    kind = "memory"


class DataError(GeneratorError):
    """A corpus or text file is missing or has a bad row; the message names file, row and reason."""

    kind = "input"


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory is short, of which a file or a request need not be guilty."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))
