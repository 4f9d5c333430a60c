# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips: the takes of a line that a performer has made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..shared.takes import Takes
from ..writing import write_whole


@dataclass(frozen=True)
class Clips(Takes):
    """N takes of one line: see `Takes`."""

    def write(self, path: Path) -> list[Path]:
        """Write the `files` of ``path``; returns their paths. A file appears whole or not at all.

        Raises:
            InputError: unknown suffix, or the space has no such layout.
            OSError: the folder cannot be written.
        """
        try:
            files = self.files(path)
        except ValueError as error:
            raise InputError(str(error)) from None
        return [write_whole(file, data) for file, data in files]
