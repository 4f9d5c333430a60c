# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's CTEG, from top to bottom as its section 3 reads (arXiv 2412.02508).

EwA, then per decoder layer: causal self-attention, text cross-attention and LTA, the recognition and prior
networks, the latent, a second text cross-attention, a feed-forward network, and the branch of latent
guidance. It shares its blocks with `generator.model.cteg`; what differs and why: docs/model.md.

Shapes: B clips, T decoder positions, E channels, D model width, S text tokens, L layers, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from ..model.distributions import Gaussian
from ..model.ewa import EwA
from ..model.layers import Attention, FeedForward, sinusoid
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
            divisor = [self.config.ewa_divided_by(max(count, 1)) for count in range(frames.shape[1])]
            seen = frames.cumsum(1) / frames.new_tensor(divisor)[:, None]
        else:
            seen = frames
        with torch.autocast(frames.device.type, enabled=False):  # bf16 has no digits to spare for a quadratic form
            shift = self.ewa.shift_from(self.ewa.scalars(), seen)  # (B, T or 1, J)
        jaw = frames[..., self.config.expression_channels :] + shift
        return torch.cat([frames[..., : self.config.expression_channels], jaw], -1)

    def embed(self, frames: Tensor, is_frame: Tensor, markers: Tensor) -> Tensor:
        """Decoder input (B, T, D): see `PaperBatch` for the arguments."""
        if frames.shape[1] > len(self.positions):
            raise ValueError(
                f"{frames.shape[1]} positions are more than the model's {len(self.positions)} (max_positions)"
            )
        embedded = self.frame_embedding(self.shift_jaw(frames))
        x = torch.where(is_frame.unsqueeze(-1), embedded, self.markers(markers))
        if self.config.scale_embedding:
            x = x * math.sqrt(self.config.d_model)
        out: Tensor = self.embedding_norm(x + self.positions[: x.shape[1]])
        return out

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


def _attention(config: PaperConfig) -> Attention:
    return Attention(config.d_model, config.n_head, config.d_key, config.d_value, config.dropout)
