# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and a model card. No pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .clips import write_atomically
from .config import ModelConfig, PerformConfig
from .emotions import EMOTIONS
from .errors import CheckpointError
from .heads import EmotionClassifier, EmotionHead
from .model import CTEG
from .text import DEFAULT_ENCODER

#: Older ones belong to decoders that were not told what is said when; they are refused with advice.
CHECKPOINT_SCHEMA: Final = 5
#: What a checkpoint makes: whole faces whose mouth is its own, or performances that a computed speech is laid over.
WHOLE, PERFORMANCE = "whole", "performance"
#: The bundled checkpoint.
DEFAULT_CHECKPOINT: Final = Path(__file__).parent / "checkpoints" / "default"


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
    parts = {"decoder": checkpoint.decoder, **({} if emotion is None else {"emotion": emotion})}
    state = {
        f"{part}.{key}": (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for part, module in parts.items()
        for key, value in module.state_dict().items()
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
        if version in range(1, CHECKPOINT_SCHEMA):
            raise CheckpointError(
                f"The checkpoint in {folder} is of an earlier edition, whose decoder was not told what is said when. "
                "Use the bundled one, or train it again from its data."
            )
        if version != CHECKPOINT_SCHEMA:
            raise CheckpointError(
                f"The checkpoint in {folder} has schema {version!r} and this version reads {CHECKPOINT_SCHEMA}; update "
                "the extension or train it again."
            )
        layers, head = config["layers"], config["emotion_head"]
        if layers not in (WHOLE, PERFORMANCE):
            raise ValueError(f"layers {layers!r} are neither {WHOLE!r} nor {PERFORMANCE!r}")
        decoder = CTEG(ModelConfig.from_json(config["model"]))
        emotion = None if head is None else EmotionClassifier(
            decoder.config.text_width, len(EMOTIONS), EmotionHead.from_json(head)
        )  # fmt: skip
        perform = PerformConfig(**config["perform"])
        state = {k: v.float() if v.is_floating_point() else v for k, v in load(weights_path.read_bytes()).items()}
        for part, module in (("decoder.", decoder), ("emotion.", emotion)):
            own = {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
            if module is not None:
                module.load_state_dict(own)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"The checkpoint in {folder} is damaged ({reason}); install it again or choose another."
        ) from error
    if not all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"The checkpoint in {folder} holds weights that are not finite; choose another.")
    return Checkpoint(
        decoder.to(device).eval(), None if emotion is None else emotion.to(device).eval(), str(config["text_encoder"]),
        folder.name, config.get("training", {}), layers, perform,
    )  # fmt: skip
