# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and a model card. No pickles.

What reads emotions from words lies beside them in ``emotion.safetensors``, where there is a reader.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from .clips import write_atomically
from .config import ModelConfig, PerformConfig
from .emotions import EMOTIONS
from .errors import CheckpointError
from .heads import EmotionHead, EmotionReader
from .model import CTEG
from .text import DEFAULT_ENCODER

#: Older ones belong to decoders that were not told what is said when; they are refused with advice.
CHECKPOINT_SCHEMA: Final = 5
#: What a checkpoint makes: whole faces whose mouth is its own, or performances that a computed speech is laid over.
WHOLE, PERFORMANCE = "whole", "performance"
READER_FILE: Final = "emotion.safetensors"
#: Bytes of a safetensors file beside its numbers: names and shapes.
_MOST_HEADER_BYTES: Final = 100_000
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
    decoder = _packed(checkpoint.decoder, dtype, "decoder.")
    write_atomically(folder / "model.safetensors", lambda file: file.write(decoder))
    if emotion is None:
        (folder / READER_FILE).unlink(missing_ok=True)
    else:
        write_reader(emotion, folder, dtype)
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
                f"The checkpoint in {folder} is of an earlier edition, whose decoder was not told what is said when. Use "
                "the bundled one, or train it again from its data."
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
        perform = PerformConfig(**config["perform"])
        _fill(decoder, weights_path, "decoder.")
        emotion = None
        if head is not None:
            emotion = read_reader(folder, EmotionHead.from_json(head), decoder.config.text_width)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"The checkpoint in {folder} is damaged ({reason}); install it again or choose another."
        ) from error
    state = [value for module in (decoder, emotion) if module is not None for value in module.state_dict().values()]
    if not all(bool(torch.isfinite(value).all()) for value in state if value.is_floating_point()):
        raise CheckpointError(f"The checkpoint in {folder} holds weights that are not finite; choose another.")
    return Checkpoint(
        decoder.to(device).eval(), None if emotion is None else emotion.to(device).eval(), str(config["text_encoder"]),
        folder.name, config.get("training", {}), layers, perform,
    )  # fmt: skip


def write_reader(reader: EmotionReader, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write what reads emotions to its file in ``folder``: ``head.*`` and ``encoder.layer.N.*``."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = _packed(reader, dtype)
    write_atomically(folder / READER_FILE, lambda file: file.write(packed))


def read_reader(folder: Path, shape: EmotionHead, text_width: int) -> EmotionReader:
    """What `write_reader` wrote, in eval mode.

    Raises:
        ValueError, RuntimeError, SafetensorError: the file is missing, damaged, or not of this shape.
    """
    reader, path = EmotionReader(text_width, len(EMOTIONS), shape), folder / READER_FILE
    if not path.is_file():
        raise ValueError(f"{READER_FILE} is missing")
    if path.stat().st_size > _MOST_HEADER_BYTES + 4 * sum(value.numel() for value in reader.state_dict().values()):
        raise ValueError(f"{READER_FILE} is larger than what config.json describes")
    _fill(reader, path)
    return reader.eval()


def _packed(module: nn.Module, dtype: torch.dtype, prefix: str = "") -> bytes:
    """A module's state as a safetensors file, floats as ``dtype``."""
    state = {
        f"{prefix}{key}": (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for key, value in module.state_dict().items()
    }
    packed: bytes = save(state)
    return packed


def _fill(module: nn.Module, path: Path, prefix: str = "") -> None:
    """Fill ``module`` from a safetensors file; RuntimeError names a weight that is missing or does not fit."""
    state = {name.removeprefix(prefix): v for name, v in load(path.read_bytes()).items() if name.startswith(prefix)}
    module.load_state_dict(state)
