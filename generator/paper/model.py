# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's CTEG, from top to bottom as its section 3 reads (arXiv 2412.02508).

EwA, then per decoder layer: causal self-attention, text cross-attention and LTA, the recognition and prior
networks, the latent, a second text cross-attention, a feed-forward network, and the branch of latent
guidance. It shares its blocks with `generator.model`; what differs and why: docs/model.md.

Shapes: B clips, T decoder positions, E channels, D model width, S text tokens, L layers, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from ..distributions import Gaussian
from ..ewa import EwA, EwaScalars
from ..layers import Attention, FeedForward, LayerCache, sinusoid
from .batches import Marker, PaperBatch
from .config import PaperConfig

#: Standard normal draws of a tensor's shape; tests replay recorded ones.
Draw = Callable[[Tensor], Tensor]
#: Where z comes from: the recognition network (training) or the prior (everything else).
LatentSource = Literal["recognition", "prior"]

#: Standard deviation of the "second sample": a log-variance of one.
SECOND_SAMPLE_DEVIATION: Final = math.exp(0.5)
#: Rows of bert-base-cased's embedding table, of which the four markers are used; sets their initial range.
_RELEASED_VOCABULARY: Final = 28996


@dataclass(frozen=True)
class LayerOutput:
    """One decoder layer under teacher forcing.

    Attributes:
        x: the layer's output, (B, T, D).
        recognition: q(z_i | text, frames up to i + 1) for i = 0 .. T - 2, (B, T - 1, D).
        prior: p(z_i | text, frames up to i), (B, T - 1, D).
        guided: the branch of latent guidance, (B, T - 1, D), or None without guidance.
    """

    x: Tensor
    recognition: Gaussian
    prior: Gaussian
    guided: Tensor | None


@dataclass(frozen=True)
class PaperOutput:
    """The decoder under teacher forcing.

    Attributes:
        prediction: the frame after each position, (B, T, E).
        guided: the same from prior samples alone, (B, T - 1, E), or None without guidance.
        recognition, prior: per layer, (B, T - 1, D).
    """

    prediction: Tensor
    guided: Tensor | None
    recognition: list[Gaussian]
    prior: list[Gaussian]


class GaussianNetwork(nn.Module):
    """Mean and log-variance of z from the latent state: the recognition and the prior network are one each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Linear(width, width)
        self.log_variance = nn.Linear(width, width)

    def forward(self, state: Tensor) -> Gaussian:
        """``state`` (B, T, D) -> Gaussian over z (B, T, D). In fp32: variances do not survive bf16."""
        return Gaussian(self.mean(state).float(), self.log_variance(state).float())


class PaperLayer(nn.Module):
    """One layer of the conditional variational autoregressive decoder (section 3)."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.second_sample = config.second_sample
        self.self_attention = _attention(config)
        self.text_attention = _attention(config)
        #: LTA: masked attention over the latent states, so that z_i depends on what came before.
        self.lta = _attention(config) if config.lta else None
        self.recognition = GaussianNetwork(config.d_model)
        self.prior = GaussianNetwork(config.d_model)
        self.text_attention_second = _attention(config)
        self.ffn = FeedForward(config.d_model, config.d_inner, config.dropout)
        self.guidance = FeedForward(config.d_model, config.d_inner, config.dropout) if config.guidance else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor,
        memory_mask: Tensor,
        source: LatentSource,
        draw: Draw,
        guided: Tensor | None,
    ) -> LayerOutput:
        """All positions at once.

        Args:
            x: (B, T, D); ``mask`` (B, 1, T, T) is True where a position may look at another.
            memory: text, (B, S, D); ``memory_mask`` (B, 1, 1, S).
            source: where z comes from. Position i's recognition reads the latent state of position i + 1, so the
                last position has no latent.
            draw: called for the recognition sample, the prior sample and the second sample, in this order.
            guided: the previous layer's `LayerOutput.guided`.
        """
        x = self.self_attention(x, x, mask=mask)
        state = self.text_attention(x, memory, mask=memory_mask)
        if self.lta is not None:
            state = self.lta(state, state, mask=mask)
        recognition, prior = self.recognition(state[:, 1:]), self.prior(state[:, :-1])
        if source == "recognition":
            z = recognition.sample(draw(recognition.mean))
            alone = prior.sample(draw(prior.mean)) if self.guidance is not None else None
        else:
            z = alone = prior.sample(draw(prior.mean))
        if self.guidance is not None and alone is not None:
            guided = self.guidance(alone if guided is None else alone + guided)
        x = torch.cat([x[:, :-1] + z, x[:, -1:]], 1)
        x = self.ffn(self.text_attention_second(x, memory, mask=memory_mask))
        if self.second_sample:
            x = x + SECOND_SAMPLE_DEVIATION * draw(x)
        return LayerOutput(x, recognition, prior, guided)

    def new_cache(self, memory: Tensor, positions: int) -> LayerCache:
        """A cache for ``positions`` positions; the text (B, S, D) is projected once, here."""
        batch = memory.shape[0]
        return LayerCache(
            self.self_attention.new_cache(batch, positions),
            None if self.lta is None else self.lta.new_cache(batch, positions),
            self.text_attention.keys_values(memory),
            self.text_attention_second.keys_values(memory),
        )

    def step(self, x: Tensor, cache: LayerCache, memory_mask: Tensor, noise: Tensor) -> Tensor:
        """The newest position alone, (B, 1, D).

        ``noise`` (B, 2, D): what its prior sample and its second sample are drawn with.
        """
        x = self.self_attention.step(x, cache.self_attention)
        state = self.text_attention.attend(x, *cache.text, mask=memory_mask)
        if self.lta is not None and cache.lta is not None:
            state = self.lta.step(state, cache.lta)
        x = x + self.prior(state).sample(noise[:, :1])
        x = self.ffn(self.text_attention_second.attend(x, *cache.text_second, mask=memory_mask))
        return x + SECOND_SAMPLE_DEVIATION * noise[:, 1:] if self.second_sample else x


@dataclass
class DecodingState:
    """What decoding one more position needs: caches, the sum of the frames so far (B, E), EwA's collapsed form."""

    caches: list[LayerCache]
    memory_mask: Tensor
    total: Tensor
    ewa: EwaScalars | None
    position: int = 0


class PaperCTEG(nn.Module):
    """Text and past frames in, next frame out."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        width, channels = config.d_model, config.channels
        jaw = range(config.expression_channels, channels)
        sizes = (width, config.n_head, config.d_key, config.d_value, config.dropout)
        self.ewa = EwA(jaw, channels, *sizes) if config.ewa != "off" else None
        self.frame_embedding = nn.Linear(channels, width)
        #: Embeddings of the four markers, (4, D). The padding row is never trained, as released.
        self.markers = nn.Embedding(len(Marker), width, padding_idx=Marker.PAD)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-6)
        self.layers = nn.ModuleList(PaperLayer(config) for _ in range(config.n_layers))
        self.frames = nn.Linear(width, channels, bias=False)
        self.guided_frames = nn.Linear(width, channels, bias=False) if config.guidance else None
        #: Sinusoidal positions, (N, D); in double precision, as the released table is.
        self.positions: Tensor
        table = sinusoid(torch.arange(config.max_positions), width, torch.float64).float()
        self.register_buffer("positions", table, persistent=False)
        self._initialise()

    @property
    def decoder_layers(self) -> list[PaperLayer]:
        """The decoder layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, PaperLayer)]

    def _initialise(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        bound = math.sqrt(6 / (_RELEASED_VOCABULARY + self.config.d_model))  # Xavier's, for the released table
        nn.init.uniform_(self.markers.weight, -bound, bound)

    # Embedding -----------------------------------------------------------------------------------------------------

    def shift_jaw(self, frames: Tensor) -> Tensor:
        """EwA on ``frames`` (B, T, E) under the config's mode; position 0 is the start marker, its frame zero."""
        if self.ewa is None:
            return frames
        if self.config.ewa == "sequence":
            seen = frames.mean(1, keepdim=True)  # the whole time axis, zeros included: the future leaks in
        elif self.config.ewa == "prefix":
            count = torch.arange(frames.shape[1], device=frames.device).clamp(min=1)[:, None]
            seen = frames.cumsum(1) / self._divisor(count)
        else:
            seen = frames
        with torch.autocast(frames.device.type, enabled=False):  # bf16 has no digits to spare for a quadratic form
            shift = self.ewa.shift_from(self.ewa.scalars(), seen)  # (B, T or 1, J)
        jaw = frames[..., self.config.expression_channels :] + shift
        return torch.cat([frames[..., : self.config.expression_channels], jaw], -1)

    def _divisor(self, count: Tensor) -> Tensor:
        """What the sum of ``count`` frames is divided by (`PaperConfig.ewa_divisor`)."""
        if self.config.ewa_divisor == "training":
            return torch.full_like(count, self.config.max_positions - 1)
        return count + 2 if self.config.ewa_divisor == "serial" else count

    def embed(self, frames: Tensor, is_frame: Tensor, markers: Tensor) -> Tensor:
        """Decoder input (B, T, D): see `PaperBatch` for the arguments."""
        self._check_room(frames.shape[1])
        embedded = self.frame_embedding(self.shift_jaw(frames))
        return self._placed(torch.where(is_frame.unsqueeze(-1), embedded, self.markers(markers)), 0)

    def _placed(self, x: Tensor, first: int) -> Tensor:
        """Scaled, positioned from ``first`` on, normed."""
        if self.config.scale_embedding:
            x = x * math.sqrt(self.config.d_model)
        out: Tensor = self.embedding_norm(x + self.positions[first : first + x.shape[1]])
        return out

    def _check_room(self, positions: int) -> None:
        if positions > len(self.positions):
            raise ValueError(f"{positions} positions are more than the model's {len(self.positions)} (max_positions)")

    # Teacher forcing -----------------------------------------------------------------------------------------------

    def forward(
        self,
        batch: PaperBatch,
        memory: Tensor,
        memory_mask: Tensor,
        source: LatentSource = "recognition",
        draw: Draw = torch.randn_like,
    ) -> PaperOutput:
        """Teacher-forced pass: the released modes are train ("recognition"), eval and infer ("prior").

        Args:
            batch: the clips.
            memory: hidden states of the text encoder, (B, S, D); ``memory_mask`` (B, S) True at real tokens.
            source: where z comes from.
            draw: standard normal draws, see `PaperLayer.forward`.
        """
        x = self.embed(batch.frames, batch.is_frame, batch.markers)
        positions = torch.arange(x.shape[1], device=x.device)
        mask = (positions <= positions[:, None]) & batch.attended[:, None, None, :]  # (B, 1, T, T)
        guided: Tensor | None = None
        recognition, prior = [], []
        for layer in self.layers:
            out: LayerOutput = layer(x, memory, mask, memory_mask[:, None, None], source, draw, guided)
            x, guided = out.x, out.guided
            recognition.append(out.recognition)
            prior.append(out.prior)
        alone = None
        if self.guided_frames is not None and guided is not None:
            alone = self.guided_frames(guided).float()
        return PaperOutput(self.frames(x).float(), alone, recognition, prior)

    # Decoding ------------------------------------------------------------------------------------------------------

    def start(self, memory: Tensor, memory_mask: Tensor, positions: int) -> DecodingState:
        """Ready to decode ``positions`` positions over ``memory`` (B, S, D), ``memory_mask`` (B, S).

        Raises:
            ValueError: EwA is in "sequence" mode, which needs the whole clip at once, or there is no room.
        """
        self._check_room(positions)
        if self.config.ewa == "sequence":
            raise ValueError("ewa 'sequence' looks at the whole clip; decode with PaperConfig.causal() (ewa 'prefix')")
        return DecodingState(
            [layer.new_cache(memory, positions) for layer in self.decoder_layers],
            memory_mask[:, None, None],
            memory.new_zeros(memory.shape[0], self.config.channels),
            None if self.ewa is None else self.ewa.scalars(),
        )

    def step(self, state: DecodingState, frame: Tensor | None, noise: Tensor) -> Tensor:
        """Feed one position and return the frame it predicts, (B, E).

        Args:
            state: from `start`; it moves on by one position.
            frame: (B, E); None at position 0, the start marker.
            noise: this position's draws, (B, L, 2, D): prior sample and second sample of each layer.
        """
        if frame is None:
            start = torch.full((len(noise), 1), Marker.START, device=noise.device)
            embedded = self.markers(start)
        else:
            state.total = state.total + frame
            embedded = self.frame_embedding(self._shift_newest(state, frame))[:, None]
        x = self._placed(embedded, state.position)
        for index, (layer, cache) in enumerate(zip(self.decoder_layers, state.caches, strict=True)):
            x = layer.step(x, cache, state.memory_mask, noise[:, index])
        state.position += 1
        out: Tensor = self.frames(x)[:, 0]
        return out

    def _shift_newest(self, state: DecodingState, frame: Tensor) -> Tensor:
        """EwA on the newest frame (B, E), as `shift_jaw` does at its position."""
        if self.ewa is None or state.ewa is None:
            return frame
        seen = frame
        if self.config.ewa == "prefix":
            seen = state.total / self._divisor(torch.tensor(state.position, device=frame.device))
        jaw = frame[:, self.config.expression_channels :] + self.ewa.shift_from(state.ewa, seen)
        return torch.cat([frame[:, : self.config.expression_channels], jaw], -1)


def _attention(config: PaperConfig) -> Attention:
    return Attention(config.d_model, config.n_head, config.d_key, config.d_value, config.dropout)
