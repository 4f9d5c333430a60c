# SPDX-License-Identifier: GPL-3.0-or-later
"""The released serial decoding, the yardstick of ours (`generator.paper.decoding`) in proofs and benchmarks."""

from __future__ import annotations

import torch
from torch import Tensor

from ..paper.batches import Marker, PaperBatch
from ..paper.model import Draw, PaperCTEG


@torch.inference_mode()
def decode_serial(
    model: PaperCTEG, memory: Tensor, memory_mask: Tensor, mean: Tensor, count: int, draw: Draw = torch.randn_like
) -> Tensor:
    """For every frame everything is decoded again with fresh noise.

    Args:
        model: in eval mode.
        memory: text, (B, S, D), and ``memory_mask`` (B, S), True at real tokens.
        mean: the corpus mean face, (E,).
        count: frames of a clip.
        draw: standard normal draws, see `PaperLayer.forward`.

    Returns:
        (B, count, E), frame 0 the mean face. The call for frame t sees t + 1 positions, the last a zero dummy.
    """
    batch, config = len(memory), model.config
    zero = memory.new_zeros(batch, 1, config.channels)
    frames = torch.cat([zero, mean.expand(batch, 1, -1), zero], 1)
    for _ in range(1, count):
        out = model(unfinished(frames), memory, memory_mask, "prior", draw)
        frames = torch.cat([frames[:, :-1], out.prediction[:, -2:-1], zero], 1)
    return frames[:, 1:-1]


def unfinished(frames: Tensor) -> PaperBatch:
    """A batch that holds the start marker and ``frames`` (B, T, E) from position 1 on, and no targets."""
    markers = torch.full(frames.shape[:2], int(Marker.UNKNOWN), device=frames.device)
    markers[:, 0] = Marker.START
    everywhere = torch.ones_like(markers, dtype=torch.bool)
    return PaperBatch(frames, markers != Marker.START, markers, everywhere, frames, ~everywhere)
