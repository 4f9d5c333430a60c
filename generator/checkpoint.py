# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and a model card. No pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .clips import write_atomically
from .config import PerformConfig
from .emotions import EMOTIONS
from .engine.files import CHECKPOINT_SCHEMA as CHECKPOINT_SCHEMA
from .engine.files import DECODER, EMOTION, SETTINGS_FILE, WEIGHTS_FILE, damaged_checkpoint, read_checkpoint_settings
from .engine.files import DEFAULT_CHECKPOINT as DEFAULT_CHECKPOINT
from .engine.files import DEFAULT_ENCODER as DEFAULT_ENCODER
from .engine.files import PERFORMANCE as PERFORMANCE
from .engine.files import WHOLE as WHOLE
from .errors import CheckpointError
from .heads import EmotionClassifier
from .model import CTEG


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
    emotion: EmotionClassifier | None = None
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
    parts = {DECODER: checkpoint.decoder, **({} if emotion is None else {EMOTION: emotion})}
    state = {
        f"{part}{key}": (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for part, module in parts.items()
        for key, value in module.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS_FILE, lambda file: file.write(save(state)))
    write_atomically(folder / SETTINGS_FILE, lambda file: file.write(json.dumps(config, indent=1).encode()))


def load_checkpoint(folder: Path = DEFAULT_CHECKPOINT, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint folder into fp32 modules on ``device``, in eval mode.

    Raises:
        CheckpointError: missing or damaged files, another schema, weights that do not fit the config.
    """
    settings = read_checkpoint_settings(folder)
    try:
        decoder = CTEG(settings.model)
        emotion = None if settings.emotion_head is None else EmotionClassifier(
            decoder.config.text_width, len(EMOTIONS), settings.emotion_head
        )  # fmt: skip
        stored = load((folder / WEIGHTS_FILE).read_bytes())
        state = {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}
        for part, module in ((DECODER, decoder), (EMOTION, emotion)):
            own = {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
            if module is not None:
                module.load_state_dict(own)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise damaged_checkpoint(folder, error) from error
    if not all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"The checkpoint in {folder} holds weights that are not finite; choose another.")
    return Checkpoint(
        decoder.to(device).eval(), None if emotion is None else emotion.to(device).eval(), settings.text_encoder,
        folder.name, settings.training, settings.layers, settings.perform,
    )  # fmt: skip
