# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines: what a character says, kept with its action, and the shown takes as keys in the animator's own curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ..character.mapping import Mapping
from ..character.rig import Rig
from .clip import Clip
from .record import Line, Style


class LineError(RuntimeError):
    """A line that could not be written, changed or removed; the message is a sentence. Nothing was changed."""


def lines_of(rig: Rig) -> tuple[Line, ...]:
    """The lines of a character in the order of their starts, where they are found now. Reads only; never raises."""
    raise NotImplementedError


class Lines:
    """The lines of one character in a scene, and changing them. Whatever is refused leaves everything as it was.

    Attributes:
        said: sentences about what was done, and what was not and why; for the operator's report.
    """

    def __init__(self, scene: bpy.types.Scene, rig: Rig, mapping: Mapping | None) -> None:
        """LineError where the character cannot perform (its `Rig.problem`)."""
        raise NotImplementedError

    def add(
        self, clips: Sequence[Clip], start: float, style: Style, *, text: str, line: str = "", last_seed: int = 0,
        widen: bool = True, edits_until: float | None = None,
    ) -> Line:  # fmt: skip
        """Add takes, to a new line that starts at a frame or to a line there is (``line``: its id); show the first.

        Args:
            clips: takes of one line.
            start: scene frame of their first row; for a line there is, where it is.
            style: how its curves are keyed.
            text: as the animator wrote it.
            line: id of the line that gets them, "" for a new one.
            last_seed: the last seed they were drawn from.
            widen: whether sliders may be widened that would cut the takes off.
            edits_until: the takes go on as the shown one from a frame of the scene; hand edits are kept until there.
        """
        raise NotImplementedError

    def show(self, line: str, take: int) -> None:
        """Put another take of a line on the curves; -1: none."""
        raise NotImplementedError

    def change(self, line: str, **fields: Any) -> None:
        """Change a line: start, end, regions, intensity, speech, style, blend, text, character (see `Line`)."""
        raise NotImplementedError

    def rewrite(self, lines: Sequence[str] | None = None) -> None:
        """Write lines again, all by default: the mapping, the frame rate or what moves the face has changed."""
        raise NotImplementedError

    def remove(self, line: str) -> None:
        """Forget a line; the curves are as they were before it."""
        raise NotImplementedError

    def remove_take(self, line: str, take: int) -> None:
        """Forget a take; where it was shown, the one beside it is shown. The last take takes the line with it."""
        raise NotImplementedError

    def keep_edit(self, line: str, how: str) -> None:
        """What becomes of the hand edit of a line: OVER_ALL its takes, OWN_TAKE, or DISCARD."""
        raise NotImplementedError
