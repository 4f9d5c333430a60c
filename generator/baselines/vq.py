# SPDX-License-Identifier: GPL-3.0-or-later
"""The discrete baseline: a VQ-VAE over frames, and an autoregressive transformer over its codes that reads the line.

In the manner of LM-Listener (Ng et al. 2023, "Can Language Models Learn to Listen?"), where a pretrained language model
continues text with codes of facial motion. Ours reads the features of the frozen text encoder through cross-attention
instead of being a language model itself, so that every system in a report reads the same text features.

Shapes: B clips, T frames, C channels, M codes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.layers import Attention, FeedForward, KeyValueCache, sinusoid
from ..performing.draws import STREAM_LATENT, TakeSeed
from ..shared.spaces import Space
from .autoencoder import Quantised, VqVae
from .data import DIRECTION, BaselineBatch, LineMemory, Lines
from .model import BaselineModel


class CodeLayer(nn.Module):
    """Causal self-attention, attention to the line, feed-forward network; each with residual and post-norm."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, dropout=dropout)
        self.line_attention = Attention(width, heads, dropout=dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """``x`` (B, M, D), ``memory`` (B, S, D), ``mask`` (B, 1, 1, S) -> (B, M, D)."""
        x = self.line_attention(self.self_attention(x, x, causal=True), memory, mask=mask)
        out: Tensor = self.feed_forward(x)
        return out

    def step(self, x: Tensor, cache: KeyValueCache, text: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """The same for the newest position (B, 1, D), with the line's keys and values projected once."""
        x = self.line_attention.attend(self.self_attention.step(x, cache), *text, mask=mask)
        out: Tensor = self.feed_forward(x)
        return out


class VqPerformer(BaselineModel):
    """VQ-VAE and transformer. The transformer's vocabulary is the codebook and one code for the end of a clip."""

    kind: ClassVar[str] = "vq"
    title: ClassVar[str] = "VQ-VAE + transformer"

    def __init__(
        self,
        space: Space,
        text_width: int,
        codes: int,
        code_width: int,
        window: int,
        autoencoder_width: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        max_frames: int,
        temperature: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.space, self.end, self.temperature = space, codes, temperature
        self._config = {
            "text_width": text_width, "codes": codes, "code_width": code_width, "window": window,
            "autoencoder_width": autoencoder_width, "width": width, "layers": layers, "heads": heads, "inner": inner,
            "max_frames": max_frames, "temperature": temperature, "dropout": dropout,
        }  # fmt: skip
        self.max_codes = -(-max_frames // window)
        self.register_buffer("scale", torch.ones(space.size))
        self.autoencoder = VqVae(space.size, autoencoder_width, codes, code_width, window)
        self.memory = LineMemory(text_width, width)
        self.direction = nn.Linear(DIRECTION, width)
        #: Row ``codes`` stands before the first code.
        self.embedding = nn.Embedding(codes + 1, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(CodeLayer(width, heads, inner, dropout) for _ in range(layers))
        self.output = nn.Linear(width, codes + 1)
        positions = sinusoid(torch.arange(self.max_codes + 1), width)
        self.register_buffer("positions", positions, persistent=False)
        self.positions: Tensor

    def config(self) -> dict[str, Any]:
        """See `BaselineModel.config`."""
        return dict(self._config)

    def code_mask(self, batch: BaselineBatch) -> Tensor:
        """1 where a code belongs to its clip, which it does when its first frame does, (B, M)."""
        return batch.mask()[:, :: self.autoencoder.window]

    def quantise(self, batch: BaselineBatch) -> Quantised:
        """The codes of a batch's clips."""
        return self.autoencoder.quantise(batch.frames / self.scale, self.code_mask(batch))

    def logits(self, codes: Tensor, lines: Lines) -> Tensor:
        """Logits of the codes at 0..M given those before, (B, M + 1, K + 1), for ``codes`` (B, M)."""
        x = self._embed(F.pad(codes, (1, 0), value=self.end), 0, lines)
        memory, mask = self.memory(lines)
        for layer in self.layers:
            x = layer(x, memory, mask)
        out: Tensor = self.output(x)
        return out

    @torch.inference_mode()
    def perform(self, lines: Lines, seeds: list[TakeSeed]) -> list[Tensor]:
        """See `BaselineModel.perform`. A longer take of a seed begins like a shorter one."""
        codes = self.sample(lines, seeds)
        counts = (codes == self.end).int().argmax(1)  # every row ends with an end code
        longest = max(1, int(counts.max()))
        mask = (torch.arange(longest, device=codes.device) < counts[:, None]).to(self.scale)
        vectors = self.autoencoder.lookup(codes[:, :longest].clamp(max=self.end - 1))
        frames = self.autoencoder.frames(vectors, mask) * self.scale
        return [frames[row, : int(n) * self.autoencoder.window] for row, n in enumerate(counts.tolist())]

    def sample(self, lines: Lines, seeds: list[TakeSeed]) -> Tensor:
        """Codes of one take per line, (B, M); from its first end code on a row holds end codes. At least one code."""
        steps = self.max_codes + 1
        draws = torch.from_numpy(np.stack([seed.rng(STREAM_LATENT).random(steps) for seed in seeds]))
        memory, mask = self.memory(lines)
        caches = [layer.self_attention.new_cache(len(seeds), steps) for layer in self._code_layers()]
        texts = [layer.line_attention.keys_values(memory) for layer in self._code_layers()]
        code = torch.full((len(seeds),), self.end, device=memory.device)
        over = torch.zeros(len(seeds), dtype=torch.bool, device=memory.device)
        written = []
        for step in range(steps):
            x = self._embed(code[:, None], step, lines)
            for layer, cache, text in zip(self._code_layers(), caches, texts, strict=True):
                x = layer.step(x, cache, text, mask)
            logits = self.output(x)[:, 0].float()
            if step == 0:
                logits[:, self.end] = -torch.inf
            if step == self.max_codes:
                over = torch.ones_like(over)
            code = torch.where(over, self.end, self._choose(logits, draws[:, step].to(logits.device)))
            over = over | (code == self.end)
            written.append(code)
            if bool(over.all()):
                break
        return torch.stack(written, 1)

    def _choose(self, logits: Tensor, draw: Tensor) -> Tensor:
        """A code per row by its uniform ``draw`` (B,); the likeliest at temperature 0."""
        if self.temperature <= 0:
            return logits.argmax(-1)
        share = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        return (share < draw[:, None] * share[:, -1:]).sum(-1).clamp(max=logits.shape[-1] - 1)

    def _embed(self, codes: Tensor, first: int, lines: Lines) -> Tensor:
        place = self.positions[first : first + codes.shape[1]]
        out: Tensor = self.norm(self.embedding(codes) + place + self.direction(lines.direction)[:, None])
        return out

    def _code_layers(self) -> list[CodeLayer]:
        return [layer for layer in self.layers if isinstance(layer, CodeLayer)]
