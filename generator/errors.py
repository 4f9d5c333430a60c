# SPDX-License-Identifier: GPL-3.0-or-later
"""The refusals of the generator: every message is a sentence that tells its reader what to do next."""

from __future__ import annotations

from typing import ClassVar


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


class DataError(GeneratorError):
    """A corpus or text file is missing or has a bad row; the message names file, row and reason."""

    kind = "input"
