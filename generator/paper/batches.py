# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips and lines as the decoder reads them.

Shapes: B clips, T = N - 1 decoder positions (N: room for a clip with its two markers), E channels, S text tokens.
Positions: 0 the start marker [CLS], 1 the corpus mean face, 2.. the clip, then the end marker [SEP], then [PAD].
Position i predicts the frame at i + 1; the frame after the last one is the standard face, zero: the stop sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from .config import PaperConfig


class Marker(IntEnum):
    """What stands at a position that is no frame; the value is the row of `PaperCTEG.markers`."""

    PAD = 0
    UNKNOWN = 1
    START = 2
    END = 3


@dataclass(frozen=True)
class PaperBatch:
    """B clips for teacher forcing.

    Attributes:
        frames: mean face and clip from position 1 on, zeros elsewhere, (B, T, E).
        is_frame: True where the decoder reads the frame, (B, T); elsewhere it reads the marker.
        markers: a `Marker` per position, `Marker.UNKNOWN` at frames, (B, T).
        attended: True where a position is not padding, (B, T).
        target: the frame each position predicts, (B, T, E).
        target_mask: True where there is something to predict, position 0 included, (B, T).
    """

    frames: Tensor
    is_frame: Tensor
    markers: Tensor
    attended: Tensor
    target: Tensor
    target_mask: Tensor


def collate(clips: Sequence[Tensor], mean: Tensor, config: PaperConfig) -> PaperBatch:
    """Clips (n_i, E), without the mean face, as one batch.

    A clip longer than max_positions - 2 frames, mean face included, is cut, and its end marker with it; see
    `PaperConfig.cut_clip_loses_last_frame` and `PaperConfig.pad_clips`.
    """
    room = config.max_positions
    lengths = [len(clip) + 1 for clip in clips]  # with the mean face
    if not config.pad_clips:
        room = min(room, max(lengths) + 3)  # two markers, and the last one is cut off below
    frames = torch.zeros(len(clips), room, config.channels)
    markers = torch.full((len(clips), room), int(Marker.PAD))
    for row, clip in enumerate(clips):
        if clip.ndim != 2 or clip.shape[1] != config.channels:
            raise ValueError(f"clip {row} has shape {tuple(clip.shape)}; expected (frames, {config.channels})")
        kept = torch.cat([mean[None], clip])[: room - 1]
        frames[row, 1 : 1 + len(kept)] = kept
        end = min(lengths[row] + 1, room - 1)
        markers[row, 0], markers[row, 1:end], markers[row, end] = Marker.START, Marker.UNKNOWN, Marker.END
    used = markers != Marker.PAD
    is_frame, target_mask = (markers == Marker.UNKNOWN)[:, :-1], used[:, 1:].clone()
    if config.cut_clip_loses_last_frame:
        is_frame[:, -1] = False  # the released loader takes the last position in use for the end marker
    else:
        target_mask[:, -1] = False  # the last position has no latent; only a cut clip has a target there
    return PaperBatch(frames[:, :-1], is_frame, markers[:, :-1], used[:, :-1], frames[:, 1:], target_mask)
