# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the actor: a request, the stage directions in its text, its clauses, and the emotion of each."""

from __future__ import annotations

from typing import Final, Literal

Role = Literal["speaking", "listening", "silent"]
Ending = Literal["rest", "trace", "held"]
#: Who says the line: the face itself, somebody it listens to, or nobody.
ROLES: Final[tuple[Role, ...]] = ("speaking", "listening", "silent")
#: How a performance ends: at the standard face (the paper's terminator), with a trace of what was felt, or still felt.
ENDINGS: Final[tuple[Ending, ...]] = ("rest", "trace", "held")
