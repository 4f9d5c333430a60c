# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that computes with torch, on any device: what the built-in one must equal, and faster on a GPU."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..engine import ArrayCondition, Floats, OnStep, TextFeatures, check_draws, own_steps
from ..engine.arrays import Array
from ..engine.conditioning import Condition
from ..engine.config import ModelConfig, PerformConfig
from ..engine.files import DEFAULT_CHECKPOINT, damaged_checkpoint
from ..errors import CheckpointError
from ..reading import refusing
from .checkpoint import Checkpoint, load_checkpoint
from .text import TextEncoder


class TorchEngine:
    """Reads and decodes with torch. See `generator.engine.Engine`.

    Attributes:
        checkpoint: its weights, in eval mode.
        text: the text encoder it names.
        device: where all of them are.
    """

    def __init__(self, checkpoint: Checkpoint, text: TextEncoder, device: torch.device) -> None:
        self.checkpoint, self.text, self.device = checkpoint, text, device

    @classmethod
    def load(cls, folder: Path = DEFAULT_CHECKPOINT, device: torch.device | str = "cpu") -> TorchEngine:
        """The checkpoint in ``folder`` and the text encoder it names, on ``device``.

        Raises:
            CheckpointError, EnvironmentProblem: as `load_checkpoint` and `TextEncoder.load`.
        """
        device = torch.device(device)
        checkpoint = load_checkpoint(folder, device)
        text = TextEncoder.load(checkpoint.text_encoder, device, exact=False, online=False)
        with refusing(partial(damaged_checkpoint, folder)):
            if checkpoint.emotion is not None:
                checkpoint.emotion.prepare(text)
        return cls(checkpoint, text, device)

    @property
    def config(self) -> ModelConfig:
        """The decoder's shape."""
        return self.checkpoint.decoder.config

    @property
    def perform(self) -> PerformConfig:
        """How the weights perform."""
        return self.checkpoint.perform

    def encode(self, lines: list[str]) -> TextFeatures:
        """Features of ``lines``, padded to the longest."""
        features = self.text.encode(lines)
        return TextFeatures(*(part.cpu().numpy() for part in (features.hidden, features.mask, features.position)))

    @torch.inference_mode()
    def emotions(self, lines: list[str]) -> Floats:
        """Calibrated probabilities of `generator.direction.emotions.EMOTIONS`, (B, 14)."""
        if self.checkpoint.emotion is None:
            raise CheckpointError(
                f"The checkpoint {self.checkpoint.name!r} reads no emotions from words; name the emotion of each line."
            )
        return _array(self.checkpoint.emotion.probabilities(self.text, lines))

    def pooled(self, lines: list[str]) -> Floats:
        """Mean over the real tokens of each line, (B, W)."""
        return _array(self.text.encode(lines).pooled())

    def unknown_share(self, line: str) -> float:
        """Share of the line's tokens that the vocabulary does not have, 0..1."""
        return self.text.unknown_share(line)

    def forget(self) -> None:
        """Forget the lines that were read."""
        self.text.forget()

    def is_cut(self, line: str) -> bool:
        """Whether the line has more tokens than the encoder reads."""
        return self.text.is_cut(line)

    @torch.inference_mode()
    def decode(self, condition: ArrayCondition, noise: Floats, gumbel: Floats, on_step: OnStep | None = None) -> Floats:
        """See `generator.engine.Engine.decode`."""
        model = self.checkpoint.decoder
        steps = check_draws(model.config, condition, noise, gumbel)
        told = Condition(**{name: self._tensor(array) for name, array in vars(condition).items()})
        takes = model.perform(told, self._tensor(noise), self._tensor(gumbel), on_step)
        # Divided by the scale and multiplied again, a limit may be passed by a rounding error.
        decoded = np.clip(_array(takes * model.scale), model.space.lower, model.space.upper)
        ends = own_steps(model.config, condition, steps) * model.config.frames_per_step
        decoded[np.arange(decoded.shape[1]) >= ends[:, None]] = 0
        return decoded

    def _tensor(self, array: Array) -> Tensor:
        array = array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _array(values: Tensor) -> Floats:
    array: Floats = values.float().cpu().numpy()
    return array
