# SPDX-License-Identifier: GPL-3.0-or-later
"""A VQ-VAE over frames (van den Oord et al. 2017): every window of a clip becomes one of K codes, and codes a clip.

Shapes: B clips, T frames, C channels, M = T / window codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Of the moving averages of the codebook.
_DECAY: Final = 0.95
#: A code that is used less often per batch is dead; one that starts again has this many uses to its credit.
_DEAD: Final = 0.1
_REBORN: Final = 0.3


@dataclass(frozen=True)
class Quantised:
    """Latents of a batch and the codes nearest to them.

    Attributes:
        latent: of the encoder, (B, M, Z).
        nearest: the vectors of their codes, (B, M, Z).
        codes: indices, (B, M).
    """

    latent: Tensor
    nearest: Tensor
    codes: Tensor


class VqVae(nn.Module):
    """Convolutions in time around a codebook.

    Args:
        channels: C.
        width: channels of the convolutions.
        codes: size K of the codebook.
        code_width: dimensions Z of a code.
        window: frames per code, a power of two.
    """

    def __init__(self, channels: int, width: int, codes: int, code_width: int, window: int) -> None:
        super().__init__()
        halvings = int(math.log2(window))
        if window < 2 or 2**halvings != window:
            raise ValueError(f"window ({window}) must be a power of two, 2 or more")
        self.window = window
        down: list[nn.Module] = [nn.Conv1d(channels, width, 3, padding=1)]
        up: list[nn.Module] = []
        for _ in range(halvings):
            down += [_Residual(width), nn.GELU(), nn.Conv1d(width, width, 4, stride=2, padding=1)]
            up += [_Residual(width), nn.GELU(), nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)]
        self.encoder = nn.ModuleList([*down, _Residual(width)])
        self.to_code = nn.Linear(width, code_width)
        self.codebook: Tensor
        self.counts: Tensor
        self.register_buffer("codebook", torch.randn(codes, code_width))
        #: How often each code is used, as a moving average; all codes are dead before training.
        self.register_buffer("counts", torch.zeros(codes))
        self.from_code = nn.Linear(code_width, width)
        self.decoder = nn.ModuleList([*up, _Residual(width), nn.GELU(), nn.Conv1d(width, channels, 3, padding=1)])

    def quantise(self, frames: Tensor, mask: Tensor) -> Quantised:
        """Codes of scaled frames (B, T, C); T is M windows, and ``mask`` (B, M) is 0 after a clip's last window."""
        latent: Tensor = self.to_code(_convolve(self.encoder, frames, mask))
        # Nearest by |z - c|^2, of which |z|^2 is the same for every code.
        codes = (self.codebook.square().sum(-1) - 2 * latent @ self.codebook.T).argmin(-1)
        return Quantised(latent, self.codebook[codes], codes)

    @torch.no_grad()
    def follow(self, found: Quantised, mask: Tensor) -> None:
        """Move every code towards the latents that chose it, and dead ones onto latents of this batch.

        The codebook is a moving average, not a parameter (van den Oord et al. 2017, appendix A.1), and codes that
        nothing chooses start again from some latent (Dhariwal et al. 2020, Jukebox): otherwise most stay unused.

        Args:
            found: of a training batch.
            mask: 1 where a window belongs to its clip, (B, M).
        """
        kept = mask.bool()
        latent, codes = found.latent[kept].float(), found.codes[kept]
        uses = torch.bincount(codes, minlength=len(self.codebook)).to(latent)
        sums = torch.zeros_like(self.codebook).index_add_(0, codes, latent)
        self.counts.lerp_(uses, 1 - _DECAY)
        share = (uses * (1 - _DECAY) / self.counts.clamp(min=1e-6)).clamp(max=1)[:, None]
        moved = torch.lerp(self.codebook, sums / uses.clamp(min=1)[:, None], share)
        # Evenly spaced over the batch, whose clips are drawn at random: no random numbers of its own.
        fresh = latent[torch.arange(len(self.codebook), device=latent.device) * len(latent) // len(self.codebook)]
        dead = self.counts < _DEAD
        self.codebook.copy_(torch.where(dead[:, None], fresh, moved))
        self.counts.copy_(torch.where(dead, torch.full_like(self.counts, _REBORN), self.counts))

    def frames(self, nearest: Tensor, mask: Tensor) -> Tensor:
        """Scaled frames (B, T, C) of code vectors (B, M, Z); ``mask`` (B, M) is 0 after a clip's last code."""
        return _convolve(self.decoder, self.from_code(nearest), mask)

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors (B, M, Z) of indices (B, M)."""
        return self.codebook[codes]


def _convolve(layers: nn.ModuleList, x: Tensor, mask: Tensor) -> Tensor:
    """``x`` (B, N, D) through ``layers``. What follows a clip is zero before every layer, as the layers' own padding
    is, so that a clip is the same whatever it is batched with."""
    x = x.transpose(1, 2)
    for layer in layers:
        ratio = x.shape[2] // mask.shape[1]
        x = layer(x * mask.repeat_interleave(ratio, 1)[:, None])
    return x.transpose(1, 2)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=1)
        self.narrow = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.narrow(F.gelu(self.wide(F.gelu(x))))
        return out
