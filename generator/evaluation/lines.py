# SPDX-License-Identifier: GPL-3.0-or-later
"""Which held-out lines are asked, and with which seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..corpus.datasets import Performances
from ..direction.requests import MAX_SEED, MAX_TEMPERATURE, clean_text
from ..errors import DataError, InputError
from .systems import HeldOutLine

#: Seeds of neighbouring lines lie this far apart, so a line has this many takes at most.
_SEED_STEP: Final = 1000
#: Distance between the seeds of ``--seed`` 0 and 1; a prime, so that lines do not trade seeds.
_SEED_STRIDE: Final = 1_000_003
#: What counts as one emotion at a natural intensity.
_PURE_WEIGHT: Final = 0.99
_NATURAL: Final = (0.6, 1.3)


@dataclass(frozen=True)
class Settings:
    """What is asked of every system.

    Attributes:
        lines, takes: how many held-out lines, and takes of each.
        split: "test", "dev" or "train".
        seed: 0 is the seed of published numbers.
        temperature: of the checkpoints' takes, 0..2.
        baselines: whether what needs no training is judged too.
        text_encoder: for the nearest text, as `TextEncoder.load` takes it; None is the default encoder.
        device: for checkpoints and text encoder.
    """

    lines: int = 200
    takes: int = 4
    split: str = "test"
    seed: int = 0
    temperature: float = 1.0
    baselines: bool = True
    text_encoder: str | None = None
    device: str = "auto"

    def validated(self) -> Settings:
        """Itself, or `InputError` with a sentence that names the option."""
        if self.lines < 2:
            raise InputError(f"--lines must be at least 2, not {self.lines}: variety is between lines.")
        if not 1 <= self.takes <= _SEED_STEP:
            raise InputError(f"--takes must be from 1 to {_SEED_STEP}, not {self.takes}.")
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise InputError(f"--temperature must be from 0 to {MAX_TEMPERATURE:g}, not {self.temperature:g}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"--seed must be from 0 to {MAX_SEED}, not {self.seed}.")
        return self


@dataclass(frozen=True)
class Chosen:
    """Lines to ask.

    Attributes:
        lines: in the order of the split.
        emotions: indices of `EMOTIONS`, (n,), where each line shows one emotion; else None.
        notes: sentences about what was left out.
    """

    lines: list[HeldOutLine]
    emotions: npt.NDArray[np.int64] | None
    notes: list[str]


def choose_lines(held_out: Performances, settings: Settings) -> Chosen:
    """``settings.lines`` lines that can be asked.

    Where the data names emotions, the first that show one emotion at a natural intensity, in speech (a corpus is in
    random order), because only for them it is clear what must be seen. Elsewhere lines evenly spread over the split,
    whose order may be that of the scenes. DataError when fewer than two lines are left.
    """
    notes = []
    candidates = pure_indices(held_out)
    pure = len(candidates) > 1
    if not pure:
        candidates = list(range(len(held_out)))
    askable = [index for index in candidates if _askable(held_out.text(index))]
    chosen = askable[: settings.lines] if pure else [askable[k] for k in spread(len(askable), settings.lines)]
    if refused := len(candidates) - len(askable):
        notes.append(f"{refused} lines of the data were left out: the generator refuses them (too long, no words, …).")
    if len(chosen) < 2:
        raise DataError(f"The {settings.split} split has {len(chosen)} lines that can be asked; at least 2 are needed.")
    if len(chosen) < settings.lines:
        notes.append(f"{settings.lines} lines were asked for and the {settings.split} split has {len(chosen)} to ask.")
    lines = [
        HeldOutLine(i, held_out.text(i), held_out.direction(i), held_out.length(i), _seed(i, settings.seed))
        for i in chosen
    ]
    return Chosen(lines, emotions_of(held_out, chosen) if pure else None, notes)


def pure_indices(performances: Performances, count: int | None = None) -> list[int]:
    """The first ``count`` performances (None: all) that show one emotion at a natural intensity, in speech."""
    result: list[int] = []
    for index in range(len(performances)):
        if count is not None and len(result) == count:
            break
        direction = performances.direction(index)
        if direction is None or direction.weights.max() <= _PURE_WEIGHT:
            continue
        if direction.towards is not None or not direction.speaking:
            continue
        if _NATURAL[0] <= direction.intensity <= _NATURAL[1]:
            result.append(index)
    return result


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` of ``count`` indices (all of them if there are fewer), evenly spread."""
    indices: list[int] = np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()
    return indices


def emotions_of(performances: Performances, indices: Sequence[int]) -> npt.NDArray[np.int64]:
    """The strongest emotion of performances that have a direction, (n,), indices of `EMOTIONS`."""
    directions = [performances.direction(index) for index in indices]
    return np.array([int(d.weights.argmax()) for d in directions if d is not None], np.int64)


def _askable(text: str) -> bool:
    try:
        clean_text(text)
    except InputError:
        return False
    return True


def _seed(index: int, seed: int) -> int:
    return (_SEED_STEP * index + _SEED_STRIDE * seed) % (MAX_SEED - _SEED_STEP)
