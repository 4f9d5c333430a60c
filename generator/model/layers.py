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
        if torch.is_grad_enabled():  # no gradient leads back through what is written in place
            self.key = torch.cat([self.key[:, :, : self.length], key], 2)
            self.value = torch.cat([self.value[:, :, : self.length], value], 2)
            self.length += 1
            return self.key, self.value
        self.key[:, :, self.length : self.length + 1] = key
        self.value[:, :, self.length : self.length + 1] = value
        self.length += 1
        return self.key[:, :, : self.length], self.value[:, :, : self.length]


@dataclass
class LayerCache:
    """What one decoder layer remembers while decoding step by step: its past, and the text projected once."""

    self_attention: KeyValueCache
    lta: KeyValueCache | None
    text: tuple[Tensor, Tensor]
    text_second: tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Multi-head attention with residual and post-norm, projections without bias (as in the paper's blocks).

    Args:
        width: D.
        n_head: heads H.
        d_key, d_value: width of one head's keys and values; D / H unless told.
        dropout: of attention weights and output, in training only.
    """

    def __init__(
        self, width: int, n_head: int, d_key: int | None = None, d_value: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_head = n_head
        self.dropout = dropout
        keys, values = (n_head * d if d else width for d in (d_key, d_value))
        self.query = nn.Linear(width, keys, bias=False)
        self.key = nn.Linear(width, keys, bias=False)
        self.value = nn.Linear(width, values, bias=False)
        self.output = nn.Linear(values, width, bias=False)
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
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)
        merged = F.dropout(self.output(mixed.transpose(1, 2).flatten(2)), dropout)
        out: Tensor = self.norm(x + merged)
        return out

    def step(self, x: Tensor, cache: KeyValueCache) -> Tensor:
        """Causal self-attention for the newest step ``x`` (B, 1, D), reading and extending ``cache``."""
        key, value = cache.append(*self.keys_values(x))
        return self.attend(x, key, value)

    def new_cache(self, batch: int, steps: int) -> KeyValueCache:
        """An empty cache for ``batch`` clips of at most ``steps`` steps."""
        key, value = (
            w.new_empty(batch, self.n_head, steps, w.shape[0] // self.n_head)
            for w in (self.key.weight, self.value.weight)
        )
        return KeyValueCache(key, value)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # (B, N, D) -> (B, H, N, D / H)


class FeedForward(nn.Module):
    """Position-wise feed-forward network with residual and post-norm; ``dropout`` acts in training only."""

    def __init__(self, width: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, N, D) -> (B, N, D)."""
        narrowed = F.dropout(self.narrow(F.relu(self.widen(x))), self.dropout, self.training)
        out: Tensor = self.norm(x + narrowed)
        return out


def fourier(x: Tensor, bands: int = 6) -> Tensor:
    """``x`` in about 0..1, (…,) -> (…, 2 bands + 1): x and sine/cosine pairs of doubling frequency."""
    angles = x.unsqueeze(-1) * (math.pi * 2.0 ** torch.arange(bands, device=x.device, dtype=x.dtype))
    return torch.cat([x.unsqueeze(-1), angles.sin(), angles.cos()], -1)


def sinusoid(steps: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Sinusoidal positions (N, width), computed in ``dtype`` (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2, device=steps.device, dtype=dtype) * (-math.log(10000.0) / width))
    angles = steps[:, None].to(dtype) * rate
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
