# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and a model card. No pickles.

What reads emotions from words lies beside them in ``emotion.safetensors``, where there is a reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..direction.emotions import EMOTIONS
from ..engine.arrays import check_finite, read_arrays
from ..engine.config import PerformConfig
from ..engine.files import CHECKPOINT_SCHEMA as CHECKPOINT_SCHEMA
from ..engine.files import (
    DECODER,
    SETTINGS_FILE,
    WEIGHTS_FILE,
    damaged_checkpoint,
    find_reader,
    read_checkpoint_settings,
)
from ..engine.files import DEFAULT_CHECKPOINT as DEFAULT_CHECKPOINT
from ..engine.files import DEFAULT_ENCODER as DEFAULT_ENCODER
from ..engine.files import PERFORMANCE as PERFORMANCE
from ..engine.files import READER_FILE as READER_FILE
from ..engine.files import WHOLE as WHOLE
from ..reading import refusing
from ..writing import write_whole
from .cteg import CTEG
from .heads import EmotionHead, EmotionReader

_M = TypeVar("_M", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights and what is needed to use them.

    Attributes:
        decoder: in eval mode after `load_checkpoint`.
        emotion: what reads emotions from words; None as long as it is not fitted.
        text_encoder: name of the text encoder its features come from.
        name: folder name, shown to users and stored with each clip.
        training: how it was trained and what was measured, for the model card.
        layers: `WHOLE` or `PERFORMANCE`.
        perform: how the weights perform.
    """

    decoder: CTEG
    emotion: EmotionReader | None = None
    text_encoder: str = DEFAULT_ENCODER
    name: str = "default"
    training: dict[str, Any] = field(default_factory=dict)
    layers: str = WHOLE
    perform: PerformConfig = field(default_factory=PerformConfig)

    @property
    def layered(self) -> bool:
        """Whether it performs without words, under a computed speech."""
        return self.layers == PERFORMANCE


def save_checkpoint(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write ``folder``; weights are stored as ``dtype`` (half precision halves the file, loading widens again)."""
    emotion = checkpoint.emotion
    config = {
        "schema_version": CHECKPOINT_SCHEMA,
        "text_encoder": checkpoint.text_encoder,
        "layers": checkpoint.layers,
        "model": checkpoint.decoder.config.to_json(),
        "perform": asdict(checkpoint.perform),
        "emotion_head": None if emotion is None else emotion.shape.to_json(),
        "training": checkpoint.training,
    }
    folder.mkdir(parents=True, exist_ok=True)
    decoder = _packed(checkpoint.decoder, dtype, DECODER)
    write_whole(folder / WEIGHTS_FILE, decoder)
    if emotion is None:
        (folder / READER_FILE).unlink(missing_ok=True)
    else:
        write_reader(emotion, folder, dtype)
    write_whole(folder / SETTINGS_FILE, json.dumps(config, indent=1).encode())


def load_checkpoint(folder: Path = DEFAULT_CHECKPOINT, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint folder into fp32 modules on ``device``, in eval mode.

    Raises:
        CheckpointError: missing or damaged files, another schema, weights that do not fit the config.
    """
    settings = read_checkpoint_settings(folder)
    with refusing(partial(damaged_checkpoint, folder)):
        weights = folder / WEIGHTS_FILE
        decoder, emotion = made_to_hold(partial(CTEG, settings.model), weights.stat().st_size), None
        _fill(decoder, weights, DECODER)
        if settings.emotion_head is not None:
            emotion = read_reader(folder, settings.emotion_head, settings.model.text_width)
    return Checkpoint(
        decoder.to(device).eval(), None if emotion is None else emotion.to(device).eval(), settings.text_encoder,
        folder.name, settings.training, settings.layers, settings.perform,
    )  # fmt: skip


def write_reader(reader: EmotionReader, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write what reads emotions to its file in ``folder``: ``head.*`` and ``encoder.layer.N.*``."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = _packed(reader, dtype)
    write_whole(folder / READER_FILE, packed)


def read_reader(folder: Path, shape: EmotionHead, text_width: int) -> EmotionReader:
    """What `write_reader` wrote, in eval mode.

    Raises:
        ValueError, RuntimeError: the file is missing, damaged, or not of this shape.
    """
    path = find_reader(folder, shape, text_width)
    reader = EmotionReader(text_width, len(EMOTIONS), shape)
    _fill(reader, path)
    return reader.eval()


def _packed(module: nn.Module, dtype: torch.dtype, prefix: str = "") -> bytes:
    """A module's state as a safetensors file, floats as ``dtype``."""
    from safetensors.torch import save  # who only performs needs torch alone

    state = {
        f"{prefix}{key}": (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for key, value in module.state_dict().items()
    }
    packed: bytes = save(state)
    return packed


def made_to_hold(make: Callable[[], _M], most: int) -> _M:
    """An empty module; ValueError where it is described as larger than the ``most`` numbers that there can be."""
    with torch.device("meta"):  # nothing is reserved for what may not be there
        numbers = sum(value.numel() for value in make().state_dict().values())
    if numbers > most:
        raise ValueError(f"{SETTINGS_FILE} describes {numbers:,} numbers, and at most {most:,} can be there")
    return make()


def _fill(module: nn.Module, path: Path, prefix: str = "") -> None:
    """Fill ``module`` from a safetensors file; RuntimeError or ValueError names a weight that does not fit."""
    stored = read_arrays(path, lambda name: name.startswith(prefix))
    check_finite(stored)
    module.load_state_dict({name.removeprefix(prefix): torch.from_numpy(array) for name, array in stored.items()})
