# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and a model card. No pickles."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from .clips import write_atomically
from .conditioning import direction_width
from .config import ModelConfig
from .errors import CheckpointError
from .heads import MEAN_HEAD, EmotionClassifier, EmotionHead, LengthPredictor
from .line_statistics import FIRST_STATISTICS, STATISTICS
from .model import CTEG
from .text import DEFAULT_ENCODER

#: Older ones are still read: 1 had no ``emotion_head``, and always `MEAN_HEAD`; 1 and 2 had no ``length_statistics``,
#: and always `FIRST_STATISTICS`; 1 to 3 had no ``layers``, and performed whole faces.
CHECKPOINT_SCHEMA: Final = 4
#: What a checkpoint makes: whole faces whose mouth is its own, or performances that a computed speech is laid over.
WHOLE, PERFORMANCE = "whole", "performance"
#: The bundled checkpoint.
DEFAULT_CHECKPOINT: Final = Path(__file__).parent / "checkpoints" / "default"


class Generator(nn.Module):
    """Everything that is trained: the decoder and the two heads on the text features.

    Args:
        config: of the decoder.
        emotion_head: shape of the head that reads emotions; the smallest one as long as it is not fitted.
        length_statistics: how many of a line's statistics the length predictor reads.
    """

    def __init__(
        self, config: ModelConfig, emotion_head: EmotionHead = MEAN_HEAD, length_statistics: int = STATISTICS
    ) -> None:
        super().__init__()
        self.decoder = CTEG(config)
        self.length = LengthPredictor(config.text_width, direction_width(config), length_statistics)
        self.emotion = EmotionClassifier(config.text_width, len(config.emotions), emotion_head)


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights and what is needed to use them.

    Attributes:
        generator: the modules, in eval mode after `load_checkpoint`.
        text_encoder: name of the text encoder its features come from.
        name: folder name, shown to users and stored with each clip.
        layers: `WHOLE` or `PERFORMANCE`; the latter needs a decoder that can be told to be silent.
        training: how it was trained and what was measured, for the model card.
    """

    generator: Generator
    text_encoder: str = DEFAULT_ENCODER
    name: str = "default"
    training: dict[str, Any] = field(default_factory=dict)
    layers: str = WHOLE

    @property
    def layered(self) -> bool:
        """Whether it performs without words, under a computed speech."""
        return self.layers == PERFORMANCE


def save_checkpoint(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write ``folder``; weights are stored as ``dtype`` (half precision halves the file, loading widens again)."""
    config = {
        "schema_version": CHECKPOINT_SCHEMA,
        "text_encoder": checkpoint.text_encoder,
        "layers": checkpoint.layers,
        "model": checkpoint.generator.decoder.config.to_json(),
        "emotion_head": checkpoint.generator.emotion.shape.to_json(),
        "length_statistics": checkpoint.generator.length.statistics,
        "training": checkpoint.training,
    }
    state = {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for key, value in checkpoint.generator.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "model.safetensors", lambda file: file.write(save(state)))
    write_atomically(folder / "config.json", lambda file: file.write(json.dumps(config, indent=1).encode()))


def load_checkpoint(folder: Path = DEFAULT_CHECKPOINT, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint folder into fp32 modules on ``device``, in eval mode.

    Raises:
        CheckpointError: missing or damaged files, another schema, weights that do not fit the config.
    """
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise CheckpointError(
                f"There is no checkpoint in {folder} ({path.name} is missing); choose a folder made by training, or "
                "leave the checkpoint empty for the bundled one."
            )
    try:
        config = json.loads(config_path.read_text("utf-8"))
        version = config.get("schema_version")
        if version not in range(1, CHECKPOINT_SCHEMA + 1):
            raise CheckpointError(
                f"The checkpoint in {folder} has schema {version!r} and this version reads up to "
                f"{CHECKPOINT_SCHEMA}; update the extension or train it again."
            )
        head = MEAN_HEAD if version == 1 else EmotionHead.from_json(config["emotion_head"])
        statistics = FIRST_STATISTICS if version < 3 else config["length_statistics"]
        if not FIRST_STATISTICS <= statistics <= STATISTICS:
            raise ValueError(f"{statistics} statistics of a line are not {FIRST_STATISTICS} to {STATISTICS}")
        layers = WHOLE if version < 4 else config["layers"]
        if layers not in (WHOLE, PERFORMANCE):
            raise ValueError(f"layers {layers!r} are neither {WHOLE!r} nor {PERFORMANCE!r}")
        generator = Generator(ModelConfig.from_json(config["model"]), head, statistics)
        state = {k: v.float() if v.is_floating_point() else v for k, v in load(weights_path.read_bytes()).items()}
        generator.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"The checkpoint in {folder} is damaged ({reason}); install it again or choose another."
        ) from error
    if not all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"The checkpoint in {folder} holds weights that are not finite; choose another.")
    return Checkpoint(
        generator.to(device).eval(), str(config["text_encoder"]), folder.name, config.get("training", {}), layers
    )
