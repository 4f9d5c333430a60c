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
from ..errors import CheckpointError, DataError, InputError
from ..evaluation.entries import checkpoint_format, checkpoints, ground_truth, row_names
from ..evaluation.judge import Reference
from ..evaluation.lines import Settings, choose_lines, emotions_of, pure_indices, spread
from ..evaluation.probe import EmotionProbe
from ..evaluation.rollouts import checkpoint_identity
from ..evaluation.systems import HeldOutLine, JudgedTake, System
from ..paper.checkpoint import PAPER_FORMAT
from ..shared.spaces import FLAME53, Space
from ..training.data_source import DataSource
from .page import Page
from .projected import Projection

#: How large each experiment is: ``small`` by default, ``full`` with --full.
_SIZES: Final = Path(__file__).with_name("sizes.toml")
#: The split that is looked at.
SPLIT: Final = "test"
#: More lines than this no experiment can hold: pictures of clouds of points are computed from all pairs.
MOST_LINES: Final = 20_000
#: The smallest size that says anything; of others one.
_LEAST: Final = {"lines": 2, "takes": 2, "walk": 2, "moments": 2, "grid": 2, "start": 0, "second_sample": 0}


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
            raise CheckpointError("The checkpoints are of different kinds, whose channels differ; choose one kind.")
        return kinds.pop()

    @cached_property
    def names(self) -> list[str]:
        """What each checkpoint is called in tables."""
        return row_names(self.folders)

    def of(self) -> str:
        """Which model on which data, with what seed: for the page and every picture."""
        named = zip(self.names, self.folders, strict=True)
        models = ", ".join(f"{n} ({self.kind} model, {checkpoint_identity(folder)[:8]})" for n, folder in named)
        if self.trained:
            models = f"{self.kind} model, trained here,"
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
            return Chosen(opened, range(len(opened)), projection=self.projection)
        wanted = "flame53" if self.kind == "paper" else "arkit55"
        if opened.space.name != wanted:
            raise DataError(
                f"The {self.kind} model speaks {wanted} and this data {opened.space.name}; choose data of its space."
            )
        return opened

    @cached_property
    def held_out(self) -> Performances:
        """`SPLIT`."""
        return self.data(SPLIT)

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
        settings = Settings(lines=len(chosen), takes=1, split=SPLIT, seed=self.seed)
        found = choose_lines(Chosen(self.held_out, chosen), settings).lines
        return [replace(line, index=chosen[line.index]) for line in found]

    @property
    def chosen(self) -> Chosen:
        """The chosen performances."""
        return Chosen(self.held_out, [line.index for line in self.lines])

    def face_of(self, clip: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
        """``clip`` as frames of arkit55, (T, 55), where the demo head can show them; None for faces of FLAME."""
        if self.kind == "default":
            return clip
        return self.projection.back(clip) if self.is_projected else None

    @cached_property
    def truth(self) -> list[list[JudgedTake]]:
        """The data's own performances of the lines, two of each where its author can act a line again."""
        data = ground_truth(self.source, self.source.open(SPLIT)).load()
        if self.is_projected:
            performed = data.perform(self.lines, 1)
            return [[JudgedTake(self.projection.forward(take.acted)) for take in line] for line in performed]
        return data.perform(self.lines, 2)

    def require_emotions(self) -> npt.NDArray[np.int64]:
        """The emotion of every chosen performance, indices of `EMOTIONS`; DataError where the data names none."""
        shown = [self.chosen.direction(i) for i in range(len(self.lines))]
        if any(one is None for one in shown) or len({int(one.weights.argmax()) for one in shown if one}) < 2:
            raise DataError(
                f"lab {self.name} compares emotions and this data does not name the emotion of its lines; use a corpus "
                "made by 'python -m generator corpus', or captures with emotions."
            )
        return emotions_of(self.chosen, range(len(self.lines)))

    @cached_property
    def reference(self) -> Reference:
        """The data's own performances as `judge` wants them."""
        emotions = None if self.probe is None else self.require_emotions()
        return Reference.of(self.truth, self.space, emotions, self.probe)

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
    """Some performances of a split, numbered from 0 on.

    Attributes:
        base, indices: the split, and which of it.
        given: frames that stand in for their own.
        projection: through which the paper's model reads a corpus.
    """

    base: Performances
    indices: Sequence[int]
    given: Sequence[npt.NDArray[np.float32]] | None = None
    projection: Projection | None = None

    @property
    def space(self) -> Space:
        """As the base's; projected, as many channels as flame53, by its name."""
        return FLAME53 if self.projection else self.base.space

    def __len__(self) -> int:
        return len(self.indices)

    def text(self, index: int) -> str:
        """The line."""
        return self.base.text(self.indices[index])

    def frames(self, index: int) -> npt.NDArray[np.float32]:
        """The performance, (T, C)."""
        if self.given is not None:
            return self.given[index]
        frames = self.base.frames(self.indices[index])
        return self.projection.forward(frames) if self.projection else frames

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
            yield replace(self, indices=self.indices[rows], given=self.given[rows] if self.given else None)

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
        least = _LEAST.get(key, 1 if isinstance(found[key], int) else 0)
        if not isinstance(found[key], str) and not least <= found[key] < float("inf"):
            raise InputError(f"{key} of lab {name} must be {least} at least, not {text}.")
    if found.get("lines", 2) > MOST_LINES:
        raise InputError(
            f"lab {name} takes {MOST_LINES:,} lines at most, not {found['lines']:,}: it compares them with each other, "
            "and more would take days and show no more."
        )
    return found
