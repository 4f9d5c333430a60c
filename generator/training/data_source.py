# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets by name: a corpus folder, ``emoava:DIR``, ``captures:DIR``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..corpus.datasets import Performances
from ..errors import InputError

Kind = Literal["corpus", "emoava", "captures"]


@dataclass(frozen=True)
class DataSource:
    """Where a data set is: its kind and folder."""

    kind: Kind
    folder: Path

    @classmethod
    def parse(cls, text: str) -> DataSource:
        """``emoava:DIR``, ``captures:DIR`` or the folder of a corpus; InputError when the folder is not there."""
        kind, separator, folder = text.partition(":")
        source = cls("corpus", Path(text))
        if separator and kind in ("emoava", "captures"):
            source = cls("emoava" if kind == "emoava" else "captures", Path(folder))
        if not source.folder.is_dir():
            raise InputError(
                f"There is no folder {source.folder}; --data takes a folder made by 'corpus', emoava:DIR with EmoAva's "
                "files, or captures:DIR with Live Link Face recordings."
            )
        return source

    def open(self, split: str) -> Performances:
        """One split ("train", "dev" or "test"); DataError when the files do not hold what they should."""
        if self.kind == "emoava":
            from ..paper.emoava import open_emoava

            return open_emoava(self.folder, split)
        if self.kind == "captures":
            from ..captures import open_captures

            return open_captures(self.folder, split)
        from ..corpus.reader import Corpus

        return Corpus.open(self.folder, split)
