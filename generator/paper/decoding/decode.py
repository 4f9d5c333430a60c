# SPDX-License-Identifier: GPL-3.0-or-later
"""From a line to frames: cached decoding, the released serial decoding, the stop rule.

Frame 0 is the corpus mean face; position i of the decoder predicts frame i + 1 (position 0, the start marker, would
predict the mean face, which is given). Shapes: B rows, M frames, E channels, L layers, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..batches import Marker, PaperBatch
from ..config import PaperConfig
from ..model import Draw, PaperCTEG
from .stepper import Stepper


@dataclass(frozen=True)
class Decoded:
    """B clips.

    Attributes:
        frames: (B, M, E); frame 0 is the mean face. A row's frames from its length on are no part of its clip.
        lengths: frames of each clip, (B,).
    """

    frames: Tensor
    lengths: Tensor


@torch.inference_mode()
def decode(
    model: PaperCTEG,
    memory: Tensor,
    memory_mask: Tensor,
    mean: Tensor,
    noise: Tensor,
    on_step: Callable[[int, int], None] | None = None,
    stepper: Stepper | None = None,
) -> Decoded:
    """Decode one clip per row, as the config says: `redraw_past` and `stop_rule` are the quirks here.

    Args:
        model: in eval mode.
        memory: text, (B, S, D), and ``memory_mask`` (B, S), True at real tokens.
        mean: the corpus mean face, (E,).
        noise: standard normal draws, (B, M, L, 2, D): prior and second sample of each layer at each position
            (`draw_noise`); scale them for a temperature. M is the most frames a clip gets, the mean face included.
        on_step: called with (frames done, M); may raise to stop.
        stepper: ``model`` prepared for decoding, to be used again and again; prepared here when not given.
    """
    config = model.config
    count = noise.shape[1]
    if config.redraw_past:
        return _ended(decode_serial(model, memory, memory_mask, mean, count), config)
    stepper = stepper or Stepper(model)
    state = stepper.start(memory, memory_mask, count)
    draws = noise.permute(1, 2, 3, 0, 4).flatten(1, 2).unbind(0)  # of each position, (2 L, B, D)
    stepper.step(state, None, draws[0])
    frames = [mean.expand(len(memory), -1)]
    open_rows = torch.ones(len(memory), dtype=torch.bool, device=memory.device)
    for position in range(1, count):
        frames.append(stepper.step(state, frames[-1], draws[position]))
        if on_step is not None:
            on_step(position + 1, count)
        if config.stop_rule:
            open_rows &= ~at_standard_face(frames[-1], config.stop_threshold)
            if not bool(open_rows.any()):
                break
    return _ended(torch.stack(frames, 1), config)


@torch.inference_mode()
def decode_serial(
    model: PaperCTEG, memory: Tensor, memory_mask: Tensor, mean: Tensor, count: int, draw: Draw = torch.randn_like
) -> Tensor:
    """The released serial decoding: for every frame everything is decoded again with fresh noise.

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


def draw_noise(config: PaperConfig, rows: Sequence[np.random.Generator], count: int) -> Tensor:
    """Draws for `decode`, (B, count, L, 2, D): each row from its own generator, a longer row beginning like a shorter.

    ``generator.performing.draws.TakeSeed(seed, line).rng(STREAM_LATENT)`` is the generator of a take.
    """
    shape = (count, config.n_layers, 2, config.d_model)
    return torch.from_numpy(np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rows]))


def at_standard_face(frame: Tensor, threshold: float) -> Tensor:
    """True where a frame (…, E) counts as the standard face: its norm is below ``threshold``. Shape (…,)."""
    return frame.norm(dim=-1) < threshold


def clip_lengths(frames: Tensor, threshold: float) -> Tensor:
    """The stop rule on whole clips (B, M, E): frames before the first j >= 1 at the standard face, else M. (B,)."""
    still = at_standard_face(frames, threshold)
    still[:, 0] = False
    first = still.int().argmax(1)
    return torch.where(still.any(1), first, frames.shape[1])


def _ended(frames: Tensor, config: PaperConfig) -> Decoded:
    if config.stop_rule:
        return Decoded(frames, clip_lengths(frames, config.stop_threshold))
    return Decoded(frames, torch.full((len(frames),), frames.shape[1], device=frames.device))
