# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a report as systems to load: ground truth, checkpoints of every format, what needs no training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from ..baselines import load_baseline
from ..baselines.checkpoint import FORMAT as BASELINE_FORMAT
from ..corpus.datasets import Performances, data_identity
from ..errors import CheckpointError, InputError
from ..paper.checkpoint import PAPER_FORMAT
from ..performing.devices import choose_device
from ..reading import SETTINGS, reading
from ..shared.spaces import ARKIT55
from ..training.data_source import DataSource
from .lines import Settings, pure_indices
from .paper_system import PaperSystem
from .rollouts import Entry, checkpoint_identity
from .systems import CheckpointSystem, GroundTruth, System, WithoutSpeech
from .untrained import CorpusMean, NearestText, RandomSequence, ShuffledFrames, StaticPose, StaticPoseWithLips

#: Folders that training names like this say nothing without their run's name.
_ANONYMOUS: Final = ("best", "last")


def checkpoint_format(folder: Path) -> str | None:
    """``format`` of the checkpoint in ``folder``, None for the default CTEG; CheckpointError when there is none."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"There is no checkpoint in {folder} (config.json is missing); choose a folder made by training or by "
            "'convert', or 'default' for the bundled one."
        )
    with reading(path, SETTINGS, lambda why: CheckpointError(f"{path} is damaged ({why}); choose another.")) as file:
        config = file.json()
    return config.get("format") if isinstance(config, dict) else None


def ground_truth(source: DataSource, held_out: Performances) -> Entry:
    """The data set's own performances."""
    has_teacher = source.kind == "corpus"
    version = ""
    if has_teacher:
        from ..corpus.teacher import TEACHER_VERSION

        version = TEACHER_VERSION
    return Entry(
        GroundTruth.name,
        "ground truth",
        _digest(data_identity(held_out), version),
        partial(GroundTruth, held_out, has_teacher),
    )


def checkpoints(folders: Sequence[Path], space: str, settings: Settings) -> Iterator[Entry]:
    """Checkpoints of every format, in the order given."""
    for folder, name in zip(folders, row_names(folders), strict=True):
        kind = checkpoint_format(folder)
        load: Callable[[], System]
        if kind == BASELINE_FORMAT:
            load = partial(_load_baseline, folder, name, space, settings.device)
        elif kind == PAPER_FORMAT:
            load = partial(PaperSystem, folder, name, space, settings.temperature, settings.device)
        else:
            load = partial(CheckpointSystem, folder, name, space, settings.temperature, settings.device)
        yield Entry(
            name,
            "trained baseline" if kind == BASELINE_FORMAT else "checkpoint",
            _digest(checkpoint_identity(folder), settings.temperature, space),
            cache(load),  # the row's own numbers need the model again
            folder,
        )


def untrained(train: Performances, settings: Settings, folder: Path) -> Iterator[Entry]:
    """What needs no training, fitted to ``train``; ``folder`` keeps the text features."""
    from ..model.text import DEFAULT_ENCODER

    identity, encoder = data_identity(train), settings.text_encoder or DEFAULT_ENCODER
    features = folder / f"text-features-{_digest(identity, encoder)[:16]}.npy"
    kind = "untrained baseline"
    if train.space is ARKIT55 and pure_indices(train, 1):
        yield Entry(StaticPose.name, kind, identity, partial(StaticPose, train))
        yield Entry(StaticPoseWithLips.name, kind, identity, partial(StaticPoseWithLips, train))
    yield Entry(NearestText.name, kind, _digest(identity, encoder),
                partial(NearestText, train, encoder, features, settings.device))  # fmt: skip
    yield Entry(RandomSequence.name, kind, identity, partial(RandomSequence, train))
    yield Entry(ShuffledFrames.name, kind, identity, partial(ShuffledFrames, train))
    yield Entry(CorpusMean.name, kind, identity, partial(CorpusMean, train))


def row_names(folders: Sequence[Path]) -> list[str]:
    """Folder names, with as many of the folders above as it takes to tell them apart ("mine/best")."""
    whole = [folder.resolve() for folder in folders]
    if len(set(whole)) < len(whole):
        raise InputError("A checkpoint is named twice; name each once.")
    names = []
    for path in whole:
        depth = 2 if path.name in _ANONYMOUS else 1
        while sum(other.parts[-depth:] == path.parts[-depth:] for other in whole) > 1:
            depth += 1
        names.append("/".join(path.parts[-depth:]))
    return names


def _load_baseline(folder: Path, name: str, space: str, device: str) -> System:
    baseline = load_baseline(folder, str(choose_device(device)))
    if (own := baseline.model.space.name) != space:
        raise InputError(f"{name} performs in the space {own} and the data is in {space}; train it on such data.")
    return WithoutSpeech(baseline)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
