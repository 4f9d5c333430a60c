# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a corpus folder: clips are views of memory-mapped arrays, nothing is loaded until it is used."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..direction.emotions import full_vector
from ..engine.moments import Moments
from ..errors import DataError
from ..reading import KEPT, SETTINGS, Reading, reading, refusing
from ..shared.spaces import SPACES, Space
from ..shared.timeline import Timeline
from .datasets import Shown
from .direction import ActingDirection
from .teacher import TEACHER_VERSION, Acted, act_timed
from .texts import SPLITS

SCHEMA_VERSION: Final = 2


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"{path} cannot be read ({reason}): build the corpus again.")


@lru_cache(maxsize=64)
def _act(text: str, direction: ActingDirection, seed: int) -> Acted:
    return act_timed(text, direction, seed)


@dataclass(frozen=True)
class Corpus:
    """One split of a corpus.

    Attributes:
        space: what the values mean.
        info: the content of corpus.json.
        values: float16 (total frames, C), memory-mapped.
        offsets: int64 (n + 1,); clip i is ``values[offsets[i]:offsets[i + 1]]``.
        lines: one dict per clip: the fields of `corpus.build.Job`, when it moves on (`corpus.teacher.Acted.turn`), and
            where somebody speaks "timeline" (`corpus.build.compact`).
        labels: file with all labelled lines of the split, acted or not; None where there is none.
        starts: float16 (n, C), the face that each clip begins from, zeros at rest; None where the data does not say.
    """

    space: Space
    info: dict[str, Any]
    values: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]
    lines: list[dict[str, Any]]
    labels: Path | None = None
    starts: npt.NDArray[np.float16] | None = None

    @classmethod
    def open(cls, folder: Path | str, split: str) -> Corpus:
        """Opens ``split`` ("train", "dev" or "test"); DataError says what is missing or does not fit."""
        folder = Path(folder)
        if split not in SPLITS:
            raise DataError(f"A corpus has the splits {', '.join(SPLITS)}, not {split!r}.")
        info_path = folder / "corpus.json"
        if not info_path.is_file():
            raise DataError(f"{folder} is not a corpus (no corpus.json): make one with `python -m generator corpus`.")
        sentence = "{path} is damaged ({why}): build the corpus again."
        with reading(info_path, SETTINGS, lambda why: DataError(sentence.format(path=info_path, why=why))) as file:
            info = file.json()
        if (
            not isinstance(info, dict)
            or info.get("schema_version") != SCHEMA_VERSION
            or info.get("space") not in tuple(SPACES)
        ):
            raise DataError(
                f"{info_path} is of a version or space this generator does not know: build the corpus again."
            )
        space = SPACES[info["space"]]
        with refusing(
            lambda why: DataError(f"The {split} split in {folder} cannot be read ({why}): build the corpus again.")
        ):
            # Mapped, so that a header that promises more than the file holds is refused instead of allocated.
            values = np.load(folder / f"{split}_values.npy", mmap_mode="r", allow_pickle=False)
            offsets, starts = (Reading(folder / f"{split}_{n}.npy", KEPT).array() for n in ("offsets", "starts"))
            with (folder / f"{split}_lines.jsonl").open(encoding="utf-8") as rows:
                lines = [json.loads(row) for row in rows]
        fits = (
            all(isinstance(line, dict) and {"text", "weights", "intensity", "seed"} <= set(line) for line in lines)
            and offsets.dtype.kind == "i"
            and values.dtype == starts.dtype == np.float16
            and offsets.shape == (len(lines) + 1,)
            and values.ndim == 2
            and values.shape == (int(offsets[-1]), space.size)
            and int(offsets[0]) == 0
            and bool((np.diff(offsets) > 0).all())
            and starts.shape == (len(lines), space.size)
        )
        if not fits:
            raise DataError(f"The {split} split in {folder} does not fit together: build the corpus again.")
        labels = folder / f"{split}_labelled.jsonl"
        return cls(space, info, values, offsets, lines, labels if labels.is_file() else None, starts)

    def __len__(self) -> int:
        return len(self.lines)

    def labelled(self) -> dict[str, npt.NDArray[np.float32]]:
        """The distinct labelled lines of the split and their weights over `EMOTIONS`, (14,).

        All of them where the corpus holds them; of an older corpus those that are acted.

        Raises:
            DataError: the file with the labels is damaged.
        """
        if self.labels is None:
            with self._whole():
                rows = [line for line in self.lines if line["labelled"]]
                return {str(row["text"]): full_vector(row.get("feelings", row["weights"])) for row in rows}
        with refusing(partial(_unreadable, self.labels)), self.labels.open(encoding="utf-8") as file:
            return {str(row["text"]): full_vector(row["feelings"]) for row in map(json.loads, file)}

    def text(self, index: int) -> str:
        """The line of one clip."""
        return str(self.lines[index]["text"])

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """One clip, (T, C): the performance without its words; the whole face in a corpus of teacher 2.1 and before."""
        return self.clip(index)[3]

    def length(self, index: int) -> int:
        """Number of frames T of one clip."""
        return int(self.offsets[index + 1] - self.offsets[index])

    def direction(self, index: int) -> Shown:
        """The emotion that was asked of the teacher."""
        line = self.lines[index]
        with self._whole():
            towards, told = line.get("towards"), line.get("timeline")
            said = None if told is None else [told[name] for name in ("words", "phrases", "accents", "events")]
            return Shown(
                full_vector(line.get("feelings", line["weights"])),
                float(line["intensity"]),
                None if towards is None else full_vector(towards),
                float(line.get("energy", 1.0)),
                line.get("turn"),
                str(line.get("role", "speaking")),
                str(line.get("ending", "rest")),
                self.start(index),
                None if said is None else Moments.of(*said),
            )

    def start(self, index: int) -> npt.NDArray[np.float32] | None:
        """The face that one clip begins from, float32 (C,), zeros at rest; None where the data does not say."""
        return None if self.starts is None else np.asarray(self.starts[index], np.float32)

    def acting(self, index: int) -> ActingDirection:
        """All that was asked of the teacher."""
        line = self.lines[index]
        with self._whole():
            towards, start = line.get("towards"), self.start(index)
            return ActingDirection(
                tuple(line.get("feelings", line["weights"])),
                None if towards is None else tuple(towards),
                float(line["intensity"]),
                float(line.get("energy", 1.0)),
                line.get("role", "speaking"),
                start=None if start is None or not start.any() else tuple(start.tolist()),
                ending=line.get("ending", "rest"),
            )

    def timeline(self, index: int) -> Timeline | None:
        """When one clip says what; None where it says nothing, or where another edition of the teacher acted it."""
        acted = self._acted(index)
        return None if acted is None else acted.said

    def speech_scale(self, index: int) -> float:
        """How large the mouth of one clip speaks, 1 natural."""
        acted = self._acted(index)
        return 1.0 if acted is None else acted.loudness

    def _acted(self, index: int) -> Acted | None:
        # Acted again rather than stored: timelines would weigh more than the clips.
        if self.info.get("teacher_version") != TEACHER_VERSION:
            return None
        return _act(self.text(index), self.acting(index), int(self.lines[index]["seed"]))

    def clip(self, index: int) -> tuple[str, npt.NDArray[np.float32], float, npt.NDArray[np.float32]]:
        """Text, weights (7,), intensity and values float32 (T, C) of one clip; IndexError beyond the last."""
        line = self.lines[index]
        index = range(len(self.lines))[index]
        values = np.asarray(self.values[self.offsets[index] : self.offsets[index + 1]], np.float32)
        with self._whole():
            return str(line["text"]), np.array(line["weights"], np.float32), float(line["intensity"]), values

    def _whole(self) -> AbstractContextManager[None]:
        """What a line of a damaged corpus raises becomes a sentence."""
        return refusing(lambda why: DataError(f"A line of the corpus is damaged ({why}): build the corpus again."))
