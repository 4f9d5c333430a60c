# SPDX-License-Identifier: GPL-3.0-or-later
"""The discrete baseline: a VQ-VAE over frames, and an autoregressive transformer over its codes that reads the line.

In the manner of LM-Listener (Ng et al. 2023, "Can Language Models Learn to Listen?"), where a pretrained language model
continues text with codes of facial motion. Ours reads the features of the frozen text encoder through cross-attention
instead of being a language model itself, so that every system in a report reads the same text features.

Shapes: B clips, T frames, C channels, M codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..corpus.datasets import Performances
from ..errors import InputError
from ..model.layers import Attention, FeedForward, KeyValueCache, sinusoid
from ..performing.draws import STREAM_LATENT, TakeSeed
from ..shared.spaces import Space
from ..training.batches import channel_scale
from ..training.recipe import Terms, warm_cosine
from .autoencoder import Quantised, VqVae
from .data import DIRECTION, BaselineBatch, LineMemory, Lines
from .model import BaselineModel
from .recipe import BaselineRecipe, BaselineSettings


@dataclass(frozen=True)
class VqSettings(BaselineSettings):
    """Settings of `VqRecipe`.

    Attributes:
        codes: size of the codebook.
        code_width: dimensions of a code.
        window: frames per code.
        autoencoder_width: channels of the VQ-VAE's convolutions.
        width, layers, heads, inner: of the transformer.
        autoencoder_share: share of all steps that train the VQ-VAE; then it is frozen and its codes are learned.
        commitment: weight of what pulls latents to their codes (van den Oord et al. 2017: 0.25).
        temperature: of sampling codes.
        dropout: in the transformer.
    """

    codes: int = 256
    code_width: int = 16
    window: int = 4
    autoencoder_width: int = 128
    width: int = 256
    layers: int = 3
    heads: int = 4
    inner: int = 512
    autoencoder_share: float = 0.4
    commitment: float = 0.25
    temperature: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least_one("codes", "code_width", "autoencoder_width", "layers", "inner")
        self.require_heads_fit(self.width, self.heads)
        if self.window not in (2, 4, 8):
            raise InputError(f"The setting window must be 2, 4 or 8 frames, not {self.window}.")
        if not 0 <= self.dropout < 1 or self.temperature < 0:
            raise InputError("The setting dropout must be from 0 to below 1, and temperature not negative.")
        if not 0 < self.autoencoder_share < 1:
            raise InputError(f"The setting autoencoder_share must be between 0 and 1, not {self.autoencoder_share}.")


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


class VqObjective(nn.Module):
    """`VqPerformer` with its two objectives, one after the other."""

    def __init__(self, model: VqPerformer, settings: VqSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings

    def forward(self, batch: BaselineBatch, step: int) -> Terms:
        """The VQ-VAE's terms before step ``autoencoder_steps``, then the transformer's; means over clips."""
        if step < autoencoder_steps(self.settings):
            return self._autoencoder_terms(batch)
        return self._code_terms(batch)

    def _autoencoder_terms(self, batch: BaselineBatch) -> Terms:
        model, target = self.model, batch.frames / self.model.scale
        mask, code_mask, found = batch.mask(), model.code_mask(batch), model.quantise(batch)
        # Straight-through: the decoder's gradient passes the choice of a code as if it had not been made.
        passed = found.latent + (found.nearest - found.latent).detach()
        error = (model.autoencoder.frames(passed, code_mask) - target).square().mean(-1)
        reconstruction = ((error * mask).sum(1) / batch.lengths).mean()
        away = (found.latent - found.nearest.detach()).square().mean(-1)
        commitment = ((away * code_mask).sum(1) / code_mask.sum(1)).mean()
        total = reconstruction + self.settings.commitment * commitment
        if self.training:
            model.autoencoder.follow(found, code_mask)
        return {"total": total, "reconstruction": reconstruction, "commitment": commitment}

    def _code_terms(self, batch: BaselineBatch) -> Terms:
        model = self.model
        with torch.no_grad():
            codes = model.quantise(batch).codes
        counts = model.code_mask(batch).sum(1)
        place = torch.arange(codes.shape[1] + 1, device=codes.device)
        target = torch.where(place < counts[:, None], F.pad(codes, (0, 1)), model.end)
        logits = model.logits(codes, batch.lines)
        surprise = F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none").view_as(target)
        read = (place <= counts[:, None]).to(surprise)
        cross_entropy = ((surprise * read).sum(1) / (counts + 1)).mean()
        return {"total": cross_entropy, "cross_entropy": cross_entropy}


class VqRecipe(BaselineRecipe):
    """How the discrete baseline is trained: first the VQ-VAE, then the transformer over its codes."""

    name = "vq"
    settings_type = VqSettings

    def build(self, train: Performances) -> nn.Module:
        """See `BaselineRecipe.build`."""
        s = self._vq
        model = VqPerformer(
            train.space, self.encoder.width, s.codes, s.code_width, s.window, s.autoencoder_width, s.width, s.layers,
            s.heads, s.inner, s.max_frames, s.temperature, s.dropout,
        )  # fmt: skip
        model.scale.copy_(channel_scale(train))
        return VqObjective(model, s)

    def learning_rate(self, step: int) -> float:
        """Each stage has its own warm-up and cosine."""
        s, first = self._vq, autoencoder_steps(self._vq)
        stage, length = (step, first) if step < first else (step - first, s.steps - first)
        return warm_cosine(stage, length, min(s.warmup, length // 4 + 1), s.learning_rate)

    def score(self, terms: dict[str, float], step: int) -> float | None:
        """The transformer's cross-entropy; the VQ-VAE alone performs nothing."""
        return terms.get("cross_entropy")

    @property
    def _vq(self) -> VqSettings:
        assert isinstance(self._settings, VqSettings)
        return self._settings


def autoencoder_steps(settings: VqSettings) -> int:
    """Steps of the first stage."""
    return round(settings.autoencoder_share * settings.steps)


@torch.inference_mode()
def code_perplexity(model: VqPerformer, batch: BaselineBatch) -> float:
    """Exponential of the entropy of the codes a batch uses: how many of them are in use, 1 to K."""
    codes = model.quantise(batch).codes[model.code_mask(batch).bool()]
    share = torch.bincount(codes, minlength=model.end).double() / len(codes)
    return float(torch.special.entr(share).sum().exp())
