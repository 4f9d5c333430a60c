# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets by name: a corpus folder, ``emoava:DIR``, ``captures:DIR``. What trains or judges a model reads these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .spaces import Space

Kind = Literal["corpus", "emoava", "captures"]


@dataclass(frozen=True)
class Direction:
    """What a performance shows beside its words: weights over `BASIC_EMOTIONS` (7,) and an intensity, about 0..1.5."""

    weights: npt.NDArray[np.float32]
    intensity: float


class Performances(Protocol):
    """One split of a data set: lines and how they were performed."""

    @property
    def space(self) -> Space:
        """What the channels of its frames mean."""
        ...

    def __len__(self) -> int:
        """Number of performances."""
        ...

    def text(self, index: int) -> str:
        """The line."""
        ...

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """The performance, (T, C)."""
        ...

    def length(self, index: int) -> int:
        """Its number of frames T."""
        ...

    def direction(self, index: int) -> Direction | None:
        """The emotion it shows; None where the data set does not say."""
        ...


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
            from .released.emoava import open_emoava

            return open_emoava(self.folder, split)
        if self.kind == "captures":
            from .captures import open_captures

            return open_captures(self.folder, split)
        from .corpus.reader import Corpus

        return Corpus.open(self.folder, split)
