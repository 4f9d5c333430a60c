# SPDX-License-Identifier: GPL-3.0-or-later
"""Expression-wise Attention (EwA, paper section 3) and what it collapses to.

Shapes: J jaw channels, C channels, D token width, H heads; … any leading axes (clips, frames).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .layers import Attention

#: More frames than this are attended in blocks, each computed again in the backward pass: C - J weights per head, jaw
#: channel and frame would be gigabytes for a batch of long clips.
_BLOCK: Final = 16_384


@dataclass(frozen=True)
class EwaScalars:
    """All that EwA does to a frame, as a few numbers per head (see `EwA.scalars`).

    Attributes:
        gain_slope, gain_offset: a jaw value x attends to the others with gain ``x * gain_slope + gain_offset``, (H,).
        numerator: (H + 2,), and quadratic: (H + 2, H + 2), such that with s = (x, mean seen by each head, 1) the
            shift of x is ``numerator @ s / sqrt(s @ quadratic @ s + eps) + constant``.
        constant: ().
    """

    gain_slope: Tensor
    gain_offset: Tensor
    numerator: Tensor
    quadratic: Tensor
    constant: Tensor


class EwA(nn.Module):
    """The jaw looks at the other channels of its frame and is shifted by what it sees.

    Each channel value becomes a token ``value * w + b``; jaw tokens are queries, all other tokens keys and values;
    the result is normalised and projected back to one number per jaw channel.

    Tokens being affine in one scalar, attention collapses: with q_i = x_i a + b and k_j = y_j c + d, the score is
    y_j (x_i a·c + b·c) plus terms the softmax over j cancels, and what a head returns is one scalar, the weighted
    mean of y. `forward` uses that. LayerNorm and the way back collapse too, to a quadratic form of H + 2 numbers
    (`shift_from`): at the paper's width two orders of magnitude less work. `forward_explicit` is the definition that
    both are tested against.

    Args:
        jaw: columns of the jaw channels.
        channels: C.
        width: D.
        n_head, d_key, d_value, dropout: of the attention.
    """

    def __init__(
        self,
        jaw: Sequence[int],
        channels: int,
        width: int,
        n_head: int,
        d_key: int | None = None,
        d_value: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.jaw: Tensor
        self.others: Tensor
        self.register_buffer("jaw", torch.tensor(list(jaw)), persistent=False)
        self.register_buffer("others", torch.tensor([i for i in range(channels) if i not in jaw]), persistent=False)
        self.token = nn.Linear(1, width)
        self.attention = Attention(width, n_head, d_key, d_value, dropout)
        self.back = nn.Linear(width, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Shift the jaw channels of ``frames`` (…, C)."""
        gain_slope, gain_offset = self._gains()
        mean = self._means(frames, gain_slope, gain_offset)  # (…, J, H)
        slope, offset = self.token.weight[:, 0], self.token.bias
        directions, constant = self._directions()
        tokens = frames[..., self.jaw].unsqueeze(-1) * slope + offset  # (…, J, D)
        attended = self.attention.norm(tokens + F.linear(mean, directions) + constant)
        return self._shifted(frames, self.back(attended).squeeze(-1))

    def forward_explicit(self, frames: Tensor) -> Tensor:
        """The same by building every token and attending, (…, C) -> (…, C)."""
        tokens = self.token(frames.unsqueeze(-1)).flatten(0, -3)  # (…, C, D) -> (N, C, D)
        attended = self.attention(tokens[:, self.jaw], tokens[:, self.others])  # (N, J, D)
        shift: Tensor = self.back(attended).squeeze(-1)
        return self._shifted(frames, shift.unflatten(0, frames.shape[:-1]))

    def scalars(self) -> EwaScalars:
        """The collapsed form of the current weights; differentiable, and constant while decoding."""
        gain_slope, gain_offset = self._gains()
        slope, offset = self.token.weight[:, 0], self.token.bias
        directions, constant = self._directions()
        # The normalised token is a linear map of s = (x, means, 1); LayerNorm first takes its mean over D away.
        columns = torch.cat([slope[:, None], directions, (offset + constant)[:, None]], 1)  # (D, H + 2)
        columns = columns - columns.mean(0, keepdim=True)
        norm, back = self.attention.norm, self.back.weight[0]
        return EwaScalars(
            gain_slope,
            gain_offset,
            (back * norm.weight) @ columns,
            columns.T @ columns / columns.shape[0],
            back @ norm.bias + self.back.bias[0],
        )

    def shift_from(self, scalars: EwaScalars, frames: Tensor) -> Tensor:
        """The shift of the jaw channels of ``frames`` (…, C) by the collapsed form: (…, J)."""
        jaw = frames[..., self.jaw].unsqueeze(-1)  # (…, J, 1)
        mean = self._means(frames, scalars.gain_slope, scalars.gain_offset)
        s = torch.cat([jaw, mean, torch.ones_like(jaw)], -1)  # (…, J, H + 2)
        variance = (s @ scalars.quadratic * s).sum(-1)
        return (s @ scalars.numerator) / (variance + self.attention.norm.eps).sqrt() + scalars.constant

    def _gains(self) -> tuple[Tensor, Tensor]:
        """Slope and offset of the gain with which a jaw value attends, (H,) each."""
        attention, heads = self.attention, self.attention.n_head
        slope, offset = self.token.weight[:, 0], self.token.bias  # (D,)
        a, b = (F.linear(v, attention.query.weight).unflatten(0, (heads, -1)) for v in (slope, offset))  # (H, d_key)
        c = F.linear(slope, attention.key.weight).unflatten(0, (heads, -1))
        root = math.sqrt(a.shape[-1])
        return (a * c).sum(-1) / root, (b * c).sum(-1) / root

    def _means(self, frames: Tensor, gain_slope: Tensor, gain_offset: Tensor) -> Tensor:
        """Mean of the other channels as each head weighs them for each jaw channel, (…, J, H)."""
        if torch.is_grad_enabled() and frames[..., 0].numel() > _BLOCK:
            parts = frames.flatten(0, -2).split(_BLOCK)
            means = [checkpoint(self._means_at_once, f, gain_slope, gain_offset, use_reentrant=False) for f in parts]
            return torch.cat(means).unflatten(0, frames.shape[:-1])
        return self._means_at_once(frames, gain_slope, gain_offset)

    def _means_at_once(self, frames: Tensor, gain_slope: Tensor, gain_offset: Tensor) -> Tensor:
        jaw, others = frames[..., self.jaw], frames[..., None, None, self.others]  # (…, J), (…, 1, 1, C - J)
        gain = jaw.unsqueeze(-1) * gain_slope + gain_offset  # (…, J, H)
        weights = (gain.unsqueeze(-1) * others).softmax(-1)  # (…, J, H, C - J)
        return (weights * others).sum(-1)

    def _directions(self) -> tuple[Tensor, Tensor]:
        """What one unit of a head's mean adds to the attended token, (D, H), and what is always added, (D,)."""
        attention, heads = self.attention, self.attention.n_head
        value = F.linear(self.token.weight[:, 0], attention.value.weight).unflatten(0, (heads, -1))  # (H, d_value)
        columns = attention.output.weight.unflatten(1, (heads, -1))  # (D, H, d_value)
        constant = F.linear(F.linear(self.token.bias, attention.value.weight), attention.output.weight)
        return (columns * value).sum(-1), constant

    def _shifted(self, frames: Tensor, shift: Tensor) -> Tensor:
        return frames.index_add(-1, self.jaw, shift.to(frames.dtype))
