# SPDX-License-Identifier: GPL-3.0-or-later
"""What every experiment is given: checkpoints, held-out lines, how large it may be, and the page to write on."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..baselines.checkpoint import FORMAT as BASELINE_FORMAT
from ..corpus.datasets import Performances, Shown
from ..direction.emotions import EMOTIONS
from ..errors import CheckpointError, DataError, InputError
from ..evaluation.entries import checkpoint_format, checkpoints, ground_truth, row_names
from ..evaluation.judge import Reference, frechet_floor
from ..evaluation.lines import Settings, choose_lines, emotions_of, pure_indices, spread
from ..evaluation.probe import EmotionProbe
from ..evaluation.rollouts import checkpoint_identity
from ..evaluation.systems import HeldOutLine, JudgedTake, System
from ..paper.checkpoint import PAPER_FORMAT
from ..shared.spaces import ARKIT55, Space
from ..training.data_source import DataSource
from .page import Page
from .projected import Projected, Projection

#: How large each experiment is: ``small`` by default, ``full`` with --full.
_SIZES: Final = Path(__file__).with_name("sizes.toml")
#: More lines than this no experiment can hold: pictures of clouds of points are computed from all pairs.
MOST_LINES: Final = 20_000


@dataclass(frozen=True)
class Study:
    """One run of one experiment.

    Attributes:
        name: of the experiment.
        folders: the checkpoints; most experiments take one.
        source: the data.
        size: the experiment's numbers, from ``sizes.toml`` and ``--set``.
        seed: of everything random.
        out: folder of the page.
        files: other files that were named: "texts", "captures", "encoder".
        trained: "default" or "paper" where such a model is trained here and no checkpoint is looked into.
    """

    name: str
    folders: tuple[Path, ...]
    source: DataSource
    size: Mapping[str, Any]
    seed: int
    out: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    trained: str = ""

    # Checkpoints -----------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The one checkpoint; InputError when there are several."""
        if len(self.folders) != 1:
            raise InputError(f"lab {self.name} takes one checkpoint, not {len(self.folders)}.")
        return self.folders[0]

    @cached_property
    def kind(self) -> str:
        """ "default" or "paper"; CheckpointError for another kind."""
        if self.trained:
            return self.trained
        kinds = {kind_of(folder) for folder in self.folders}
        if len(kinds) > 1:
            raise CheckpointError(
                "The checkpoints are of different kinds and speak of different channels; choose one kind."
            )
        return kinds.pop()

    @cached_property
    def names(self) -> list[str]:
        """What each checkpoint is called in tables."""
        return row_names(self.folders)

    def of(self) -> str:
        """Which model on which data, with what seed: for the page and every picture."""
        models = (
            f"{self.kind} model, trained here,"
            if self.trained
            else ", ".join(
                f"{name} ({self.kind} model, {checkpoint_identity(folder)[:8]})"
                for name, folder in zip(self.names, self.folders, strict=True)
            )
        )
        projected = ", projected to 53 channels" if self.is_projected else ""
        return f"{models} on {self.source.folder.resolve().name}{projected}, seed {self.seed}"

    def page(self, purpose: str) -> Page:
        """An empty page."""
        return Page(self.name, purpose, self.of())

    def system(self, folder: Path | None = None) -> System:
        """What performs lines."""
        settings = Settings(seed=self.seed, baselines=False)
        (entry,) = checkpoints([folder or self.folder], self.space.name, settings)
        return entry.load()

    # Data ------------------------------------------------------------------------------------------------------------

    @cached_property
    def is_projected(self) -> bool:
        """Whether the data speaks arkit55 and the paper's model is to read it (`projected`)."""
        return self.kind == "paper" and self.source.kind != "emoava"

    @cached_property
    def projection(self) -> Projection:
        """From arkit55 to the paper's channels, from the train split."""
        return Projection.of(self.source.open("train"))

    def data(self, split: str) -> Performances:
        """A split, in the checkpoints' space. DataError when it is in another one."""
        opened = self.source.open(split)
        if self.is_projected:
            return Projected(opened, self.projection)
        wanted = "flame53" if self.kind == "paper" else "arkit55"
        if opened.space.name != wanted:
            raise DataError(
                f"The {self.kind} model speaks {wanted} and this data {opened.space.name}; choose data of its own "
                "space."
            )
        return opened

    @cached_property
    def held_out(self) -> Performances:
        """The split that is looked at."""
        return self.data(self.split)

    @property
    def space(self) -> Space:
        """Of the frames."""
        return self.held_out.space

    @cached_property
    def lines(self) -> list[HeldOutLine]:
        """The chosen lines: ``size["lines"]`` of them, of one emotion each where the data names emotions.

        DataError when there are fewer than two.
        """
        count = int(self.size["lines"])
        chosen = pure_indices(self.held_out, count)
        if len(chosen) < 2:
            chosen = spread(len(self.held_out), count)
        if len(chosen) < 2:
            raise DataError(
                f"The data has {len(chosen)} line to look at and lab {self.name} compares lines; give it data with "
                "more."
            )
        settings = Settings(lines=len(chosen), takes=1, split=self.split, seed=self.seed)
        found = choose_lines(Chosen(self.held_out, chosen), settings).lines
        return [replace(line, index=chosen[line.index]) for line in found]

    @property
    def split(self) -> str:
        """Which split is looked at."""
        return str(self.size.get("split", "test"))

    @property
    def indices(self) -> list[int]:
        """The chosen performances of the split."""
        return [line.index for line in self.lines]

    @property
    def chosen(self) -> Chosen:
        """The chosen performances."""
        return Chosen(self.held_out, self.indices)

    @cached_property
    def truth(self) -> list[list[JudgedTake]]:
        """The data's own performances of the lines, two of each where its author can act a line again."""
        split = self.source.open(self.split)
        performed = ground_truth(self.source, split).load().perform(self.lines, 2 if not self.is_projected else 1)
        if self.is_projected:
            return [[JudgedTake(self.projection.forward(take.acted)) for take in line] for line in performed]
        return performed

    def require_emotions(self) -> npt.NDArray[np.int64]:
        """The emotion of every chosen performance, indices of `EMOTIONS`; DataError where the data names none."""
        shown = [self.held_out.direction(i) for i in self.indices]
        if any(one is None for one in shown) or len({int(one.weights.argmax()) for one in shown if one}) < 2:
            raise DataError(
                f"lab {self.name} compares emotions and this data does not name the emotion of its lines; use a corpus "
                "made by 'python -m generator corpus', or captures with emotions."
            )
        return emotions_of(self.held_out, self.indices)

    @cached_property
    def reference(self) -> Reference:
        """The data's own performances as `judge` wants them."""
        firsts = [line[0] for line in self.truth]
        emotions = None if self.probe is None else self.require_emotions()
        clips, timelines = [take.acted for take in firsts], [take.timeline for take in firsts]
        return Reference(clips, self.space, emotions, self.probe, timelines, frechet_floor(self.truth))

    @cached_property
    def probe(self) -> EmotionProbe | None:
        """Reads emotions from motion, fitted to the train split; None where the data names none."""
        train = self.data("train")
        indices = pure_indices(train, int(self.size.get("probe_clips", 1500)))
        if len(indices) < 2:
            return None
        return EmotionProbe([train.frames(i) for i in indices], emotions_of(train, indices))


@dataclass(frozen=True)
class Chosen:
    """Some performances of a split; ``given`` frames stand in for their own where there are such.

    ``indices`` are those of ``base``; the numbers of performances here go from 0 on.
    """

    base: Performances
    indices: Sequence[int]
    given: Sequence[npt.NDArray[np.float32]] | None = None

    @property
    def space(self) -> Space:
        """As the base's."""
        return self.base.space

    def __len__(self) -> int:
        return len(self.indices)

    def text(self, index: int) -> str:
        """The line."""
        return self.base.text(self.indices[index])

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """The performance, (T, C)."""
        return self.base.frames(self.indices[index]) if self.given is None else self.given[index]

    def length(self, index: int) -> int:
        """Its number of frames T."""
        return self.base.length(self.indices[index]) if self.given is None else len(self.given[index])

    def direction(self, index: int) -> Shown | None:
        """What it shows."""
        return self.base.direction(self.indices[index])

    def parts(self, size: int) -> Iterator[Chosen]:
        """All of them, ``size`` at a time."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            yield Chosen(self.base, self.indices[rows], None if self.given is None else self.given[rows])

    def with_frames(self, given: Sequence[npt.NDArray[np.float32]]) -> Chosen:
        """The same lines performed otherwise."""
        return replace(self, given=given)


def kind_of(folder: Path) -> str:
    """What is in a checkpoint's folder; CheckpointError when it is not for the laboratory."""
    form = checkpoint_format(folder)
    if form == PAPER_FORMAT:
        return "paper"
    if form is None:
        return "default"
    what = "a baseline" if form == BASELINE_FORMAT else f"a checkpoint of the format {form!r}"
    raise CheckpointError(
        f"{folder} holds {what}, which has no latent space and no attention to look into; choose a checkpoint of the "
        "default or of the paper's model."
    )


def sizes(name: str, full: bool, changes: Sequence[str]) -> dict[str, Any]:
    """The numbers of an experiment, with ``NAME=VALUE`` changes; InputError for one that it does not have."""
    table = tomllib.loads(_SIZES.read_text("utf-8"))[name]
    found: dict[str, Any] = {**table["small"], **(table["full"] if full else {})}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or key not in found:
            raise InputError(f"--set takes NAME=VALUE with one of {', '.join(sorted(found))}, not {change!r}.")
        try:
            found[key] = type(found[key])(text)
        except ValueError:
            raise InputError(f"{key} of lab {name} must look like {found[key]!r}, not {text!r}.") from None
    if not 2 <= found.get("lines", 2) <= MOST_LINES:
        raise InputError(
            f"lab {name} takes from 2 to {MOST_LINES:,} lines, not {found['lines']:,}: it compares them with each "
            "other, "
            "and more would take days and show no more."
        )
    return found


def emotion_names(numbers: npt.NDArray[np.int64]) -> list[str]:
    """Names of `EMOTIONS` by their indices."""
    return [EMOTIONS[int(k)] for k in numbers]


__all__ = ["ARKIT55", "Chosen", "Study", "emotion_names", "kind_of", "sizes"]
