# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a folder with ``model.safetensors``, ``config.json`` and a model card. No pickles.

What reads emotions from words lies beside them in ``emotion.safetensors``, where there is a reader.
"""

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
from .emotions import EMOTIONS
from .errors import CheckpointError
from .heads import MEAN_HEAD, EmotionHead, EmotionReader, LengthPredictor
from .line_statistics import FIRST_STATISTICS, STATISTICS
from .model import CTEG
from .text import DEFAULT_ENCODER

#: Older ones are still read: 1 had no ``emotion_head``, and always `MEAN_HEAD`; 1 and 2 had no ``length_statistics``,
#: and always `FIRST_STATISTICS`; 1 to 3 had no ``layers``, and performed whole faces; 1 to 4 had their emotion head
#: among the other weights.
CHECKPOINT_SCHEMA: Final = 5
READER_FILE: Final = "emotion.safetensors"
#: Bytes of a safetensors file beside its numbers: names and shapes.
_MOST_HEADER_BYTES: Final = 100_000
#: What a checkpoint makes: whole faces whose mouth is its own, or performances that a computed speech is laid over.
WHOLE, PERFORMANCE = "whole", "performance"
#: The bundled checkpoint.
DEFAULT_CHECKPOINT: Final = Path(__file__).parent / "checkpoints" / "default"


class Generator(nn.Module):
    """What is trained together: the decoder and the head that predicts lengths.

    Args:
        config: of the decoder.
        length_statistics: how many of a line's statistics the length predictor reads.
    """

    def __init__(self, config: ModelConfig, length_statistics: int = STATISTICS) -> None:
        super().__init__()
        self.decoder = CTEG(config)
        self.length = LengthPredictor(config.text_width, direction_width(config), length_statistics)


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights and what is needed to use them.

    Attributes:
        generator: the modules, in eval mode after `load_checkpoint`.
        text_encoder: name of the text encoder its features come from.
        name: folder name, shown to users and stored with each clip.
        layers: `WHOLE` or `PERFORMANCE`; the latter needs a decoder that can be told to be silent.
        training: how it was trained and what was measured, for the model card.
        emotion: what reads emotions from words; None as long as it is not fitted.
    """

    generator: Generator
    text_encoder: str = DEFAULT_ENCODER
    name: str = "default"
    training: dict[str, Any] = field(default_factory=dict)
    layers: str = WHOLE
    emotion: EmotionReader | None = None

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
        "emotion_head": None if checkpoint.emotion is None else checkpoint.emotion.shape.to_json(),
        "length_statistics": checkpoint.generator.length.statistics,
        "training": checkpoint.training,
    }
    folder.mkdir(parents=True, exist_ok=True)
    weights = _packed(checkpoint.generator, dtype)
    write_atomically(folder / "model.safetensors", lambda file: file.write(weights))
    if checkpoint.emotion is None:
        (folder / READER_FILE).unlink(missing_ok=True)
    else:
        write_reader(checkpoint.emotion, folder, dtype)
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
        statistics = FIRST_STATISTICS if version < 3 else config["length_statistics"]
        if not FIRST_STATISTICS <= statistics <= STATISTICS:
            raise ValueError(f"{statistics} statistics of a line are not {FIRST_STATISTICS} to {STATISTICS}")
        layers = WHOLE if version < 4 else config["layers"]
        if layers not in (WHOLE, PERFORMANCE):
            raise ValueError(f"layers {layers!r} are neither {WHOLE!r} nor {PERFORMANCE!r}")
        generator = Generator(ModelConfig.from_json(config["model"]), statistics)
        head = MEAN_HEAD.to_json() if version == 1 else config["emotion_head"]
        shape, width = None if head is None else EmotionHead.from_json(head), generator.decoder.config.text_width
        stored = load(weights_path.read_bytes())
        own = {name: stored.pop(name) for name in list(stored) if name.startswith("emotion.")}
        generator.load_state_dict(stored)
        emotion = None
        if version < 5 and shape is not None:
            emotion = EmotionReader(width, len(own["emotion.output.bias"]), shape)
            emotion.head.load_state_dict({name.removeprefix("emotion."): value for name, value in own.items()})
        elif shape is not None:
            emotion = read_reader(folder, shape, width)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"The checkpoint in {folder} is damaged ({reason}); install it again or choose another."
        ) from error
    state = [value for module in (generator, emotion) if module is not None for value in module.state_dict().values()]
    if not all(bool(torch.isfinite(value).all()) for value in state if value.is_floating_point()):
        raise CheckpointError(f"The checkpoint in {folder} holds weights that are not finite; choose another.")
    return Checkpoint(
        generator.to(device).eval(), str(config["text_encoder"]), folder.name, config.get("training", {}), layers,
        None if emotion is None else emotion.to(device).eval(),
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
    reader.load_state_dict(load(path.read_bytes()))
    return reader.eval()


def _packed(module: nn.Module, dtype: torch.dtype) -> bytes:
    """A module's state as a safetensors file, floats as ``dtype``."""
    state = {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for key, value in module.state_dict().items()
    }
    packed: bytes = save(state)
    return packed
