# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of the decoder: attention with a cache, feed-forward network, positions.

Shapes: B clips, N decoder steps, S tokens, D width, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class KeyValueCache:
    """Keys and values of the steps decoded so far, (B, H, max_steps, D / H); ``length`` steps are filled."""

    key: Tensor
    value: Tensor
    length: int = 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the newest step, (B, H, 1, D / H), and return everything so far."""
        self.key[:, :, self.length : self.length + 1] = key
        self.value[:, :, self.length : self.length + 1] = value
        self.length += 1
        return self.key[:, :, : self.length], self.value[:, :, : self.length]


class Attention(nn.Module):
    """Multi-head attention with residual and post-norm, projections without bias (as in the paper's blocks)."""

    def __init__(self, width: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of ``memory`` (B, S, D), each (B, H, S, D / H)."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def forward(self, x: Tensor, memory: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """``x`` (B, N, D) attends to ``memory`` (B, S, D); ``mask`` (B, 1, 1, S) is True where it may look."""
        key, value = self.keys_values(memory)
        return self.attend(x, key, value, mask=mask, causal=causal)

    def attend(
        self, x: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """The same with keys and values already projected."""
        query = self._split(self.query(x))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        merged = self.output(mixed.transpose(1, 2).flatten(2))
        out: Tensor = self.norm(x + merged)
        return out

    def step(self, x: Tensor, cache: KeyValueCache) -> Tensor:
        """Causal self-attention for the newest step ``x`` (B, 1, D), reading and extending ``cache``."""
        key, value = cache.append(*self.keys_values(x))
        return self.attend(x, key, value)

    def new_cache(self, batch: int, steps: int) -> KeyValueCache:
        """An empty cache for ``batch`` clips of at most ``steps`` steps."""
        weight = self.key.weight
        shape = (batch, self.n_head, steps, weight.shape[0] // self.n_head)
        return KeyValueCache(weight.new_empty(shape), weight.new_empty(shape))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # (B, N, D) -> (B, H, N, D / H)


class FeedForward(nn.Module):
    """Position-wise feed-forward network with residual and post-norm."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, N, D) -> (B, N, D)."""
        out: Tensor = self.norm(x + self.narrow(F.relu(self.widen(x))))
        return out


def fourier(x: Tensor, bands: int = 6) -> Tensor:
    """``x`` in about 0..1, (…,) -> (…, 2 bands + 1): x and sine/cosine pairs of doubling frequency."""
    angles = x.unsqueeze(-1) * (math.pi * 2.0 ** torch.arange(bands, device=x.device, dtype=x.dtype))
    return torch.cat([x.unsqueeze(-1), angles.sin(), angles.cos()], -1)


def sinusoid(steps: Tensor, width: int) -> Tensor:
    """Sinusoidal positions (N, width) (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2, device=steps.device) * (-math.log(10000.0) / width))
    angles = steps[:, None].float() * rate
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
