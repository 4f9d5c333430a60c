# SPDX-License-Identifier: GPL-3.0-or-later
"""A paper-type checkpoint as the paper's metrics want it: decoded frames, cut by the stop rule, without the mean face.

`PaperPerformer` is for animators: its takes start with the given mean face and ease out to the standard face. Both
would count as the model's motion here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from ..direction.requests import clean_text
from ..errors import CheckpointError, InputError
from ..paper.checkpoint import load_paper_checkpoint
from ..paper.decoding import Stepper, decode, draw_noise
from ..performing.devices import choose_device
from ..performing.draws import STREAM_LATENT, TakeSeed
from ..shared.spaces import FLAME53
from .distances import Clip
from .systems import HeldOutLine, JudgedTake

#: Takes decoded together at most; more would only cost memory.
_BATCH: Final = 64


class PaperSystem:
    """The paper's CTEG under `PaperConfig.causal`; it is told the line alone, and ends its takes itself."""

    def __init__(self, folder: Path, name: str, space: str, temperature: float = 1.0, device: str = "auto") -> None:
        """``space`` is the name of the data's space, InputError when it is not "flame53"."""
        if space != FLAME53.name:
            raise InputError(
                f"{name} performs in the space {FLAME53.name} and the data is in {space}; evaluate it on emoava:DIR."
            )
        self.name, self._temperature = name, temperature
        self.checkpoint = load_paper_checkpoint(folder, choose_device(device))
        if self.checkpoint.model.config.channels != FLAME53.size:
            raise CheckpointError(f"{name} has not the {FLAME53.size} channels of {FLAME53.name}; choose another.")
        self._stepper = Stepper(self.checkpoint.model)

    def perform(self, lines: Sequence[HeldOutLine], takes: int) -> list[list[JudgedTake]]:
        """See `System.perform`. A take that ends at once keeps one frame."""
        rows = [TakeSeed(line.seed + k, clean_text(line.text)[0]) for line in lines for k in range(takes)]
        parts = (self._decoded(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH))
        flat = [JudgedTake(clip) for clips in parts for clip in clips]
        return [flat[i * takes : (i + 1) * takes] for i in range(len(lines))]

    @torch.inference_mode()
    def _decoded(self, rows: list[TakeSeed]) -> list[Clip]:
        config, encoder = self._stepper.config, self.checkpoint.encoder
        text = encoder.encode([row.line for row in rows])
        noise = draw_noise(config, [row.rng(STREAM_LATENT) for row in rows], config.max_positions - 1)
        noise = (noise * self._temperature).to(encoder.device)
        decoded = decode(self._stepper, text.hidden, text.mask, self.checkpoint.mean, noise, stop=True)
        frames, lengths = decoded.frames.float().cpu().numpy(), decoded.lengths.tolist()
        return [clip[1 : max(length, 2)] for clip, length in zip(frames, lengths, strict=True)]
