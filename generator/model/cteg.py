# SPDX-License-Identifier: GPL-3.0-or-later
"""CTEG: continuous text-to-expression generator (arXiv 2412.02508, section 3).

Read from top to bottom as the paper reads: Expression-wise Attention (EwA), Latent Temporal Attention (LTA), the
prior and recognition networks, the conditional variational autoregressive decoder. Shapes: B clips, N decoder steps,
P frames per step, C channels, D model width, Z latent width, G parts of it, K components of each, S text tokens, H
heads.

Frames inside the model are *scaled*: divided by ``CTEG.scale`` channel by channel; the standard face stays zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..engine import OnStep
from ..engine.conditioning import DIRECTION, FOURIER, Condition, step_width
from ..engine.config import ModelConfig
from ..shared.spaces import SPACES, Space
from .distributions import Chain, Gaussian, gumbel_like
from .ewa import EwA
from .layers import Attention, FeedForward, LayerCache, fourier, sinusoid

#: Seconds in which half of an error is made good.
HALF_RECOVERED: Final = 0.25


@dataclass(frozen=True)
class InputNoise:
    """Noise on the frames that the decoder reads while it learns to recover from its own errors in free running.

    What it is to write then begins at the face that it has read, and goes back to the clip: half of the way in
    `HALF_RECOVERED` seconds. A decoder that must be right at once jumps back at every step, which shows as a tremor.

    Attributes:
        values: scaled, (B, N, P, C).
        level: how strong it is, 0..1 of the strongest: white and drifting, (B, 2).
    """

    values: Tensor
    level: Tensor


@dataclass(frozen=True)
class StepOutput:
    """Teacher-forced result for every step.

    Attributes:
        target: scaled frames that were to be predicted, (B, N, P, C): the clip, or back to it from the noisy past.
        prediction: scaled frames, (B, N, P, C).
        guided: scaled frames predicted from a prior sample alone (latent guidance), (B, N, P, C).
        posterior: recognition distribution per layer, (B, N, Z).
        prior: prior distribution per layer, over z (B, N, Z).
        latent: posterior sample per layer, (B, N, Z).
    """

    target: Tensor
    prediction: Tensor
    guided: Tensor
    posterior: list[Gaussian]
    prior: list[Chain]
    latent: list[Tensor]


class ExpressionWiseAttention(EwA):
    """EwA (section 3): the jaw looks at the other channels of the frame and is shifted by what it sees.

    Each frame is attended by itself (causal, the paper's spatial dependencies), unlike the released code, which
    averages over time. How it is computed: `generator.model.ewa`.
    """

    def __init__(self, config: ModelConfig) -> None:
        space = SPACES[config.space]
        super().__init__(space.groups["jaw"], space.size, config.d_ewa, config.n_head)


class PriorNetwork(nn.Module):
    """p(z_t | text, past) from the latent state: a `Chain` of G mixtures of K Gaussians (G = K = 1: the paper's)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.parts, self.components, self.choices = config.prior_parts, config.prior_components, config.choices
        drawn = config.prior_components * config.d_latent
        self.mean = nn.Linear(config.d_model, drawn)
        self.log_variance = nn.Linear(config.d_model, drawn)
        self.weight = nn.Linear(config.d_model, config.choices)
        self.earlier = None
        if self.parts > 1:
            rows = config.choices + 2 * drawn
            self.earlier = nn.Linear(config.d_latent, rows, bias=False)

    def forward(self, state: Tensor) -> Chain:
        """``state`` (B, N, D) -> Chain over z (B, N, Z). In fp32: log densities do not survive bf16."""
        layers = (self.weight, self.mean, self.log_variance)
        told = torch.cat([layer(state).float().unflatten(-1, (self.parts, -1)) for layer in layers], -1)
        if self.earlier is None:
            return Chain(told, self.components, None)
        # A part is told of those before it alone.
        blocks = self.earlier.weight.float().unflatten(0, (self.parts, -1)).unflatten(-1, (self.parts, -1))
        before = blocks.new_ones(self.parts, self.parts).tril(-1)
        return Chain(told, self.components, (blocks * before[:, None, :, None]).reshape_as(self.earlier.weight))


class RecognitionNetwork(nn.Module):
    """q(z_t | text, past, the frames to explain): used in training only.

    The paper reads those frames from the state of the next step ("next_state"); with P > 1 that state has seen only
    the last of them, so the default reads the target frames themselves ("target").
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.sees_target = config.recognition == "target"
        if self.sees_target:
            self.target = nn.Linear(config.frames_per_step * SPACES[config.space].size, config.d_model)
            self.mix = nn.Linear(2 * config.d_model, config.d_model)
        self.mean = nn.Linear(config.d_model, config.d_latent)
        self.log_variance = nn.Linear(config.d_model, config.d_latent)

    def forward(self, state: Tensor, target: Tensor) -> Gaussian:
        """``state`` (B, N, D) and ``target``, what is to be decoded, (B, N, P C) -> Gaussian over z (B, N, Z).

        In "next_state" mode the last step has no successor and reads its own state; callers leave it out of losses.
        """
        if self.sees_target:
            hidden = F.gelu(self.mix(torch.cat([state, self.target(target).to(state.dtype)], -1)))
        else:
            hidden = torch.cat([state[:, 1:], state[:, -1:]], 1)
        return Gaussian(self.mean(hidden).float(), self.log_variance(hidden).float().clamp(-8.0, 4.0))


class DecoderLayer(nn.Module):
    """One layer of the conditional variational autoregressive decoder (section 3).

    self-attention -> text cross-attention -> LTA -> prior / recognition -> add z_t -> second text cross-attention
    -> feed-forward. `state` is everything before the latent, `emit` everything after it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.self_attention = Attention(width, config.n_head)
        self.text_attention = Attention(width, config.n_head)
        self.state_ffn = FeedForward(width, config.d_inner) if config.state_ffn else None
        #: LTA (section 3): masked attention over the latent states, so that each z_t depends on the earlier ones.
        self.lta = Attention(width, config.n_head) if config.lta else None
        self.prior = PriorNetwork(config)
        self.recognition = RecognitionNetwork(config)
        self.latent = nn.Linear(config.d_latent, width)
        self.text_attention_second = Attention(width, config.n_head)
        self.ffn = FeedForward(width, config.d_inner)

    def state(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Latent states of all steps at once, (B, N, D)."""
        x = self.self_attention(x, x, causal=True)
        x = self.text_attention(x, memory, mask=mask)
        if self.state_ffn is not None:
            x = self.state_ffn(x)
        if self.lta is not None:
            x = self.lta(x, x, causal=True)
        return x

    def emit(self, state: Tensor, latent: Tensor, text: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Decoder state from latent state (B, N, D) and z (B, N, Z); ``text`` holds keys and values."""
        x = state + self.latent(latent.to(state.dtype))
        x = self.text_attention_second.attend(x, *text, mask=mask)
        out: Tensor = self.ffn(x)
        return out

    def new_cache(self, memory: Tensor, steps: int) -> LayerCache:
        """A cache for decoding at most ``steps`` steps; the text is projected once, here."""
        batch = memory.shape[0]
        return LayerCache(
            self.self_attention.new_cache(batch, steps),
            None if self.lta is None else self.lta.new_cache(batch, steps),
            self.text_attention.keys_values(memory),
            self.text_attention_second.keys_values(memory),
        )

    def state_step(self, x: Tensor, cache: LayerCache, mask: Tensor) -> Tensor:
        """Latent state of the newest step, (B, 1, D)."""
        x = self.self_attention.step(x, cache.self_attention)
        x = self.text_attention.attend(x, *cache.text, mask=mask)
        if self.state_ffn is not None:
            x = self.state_ffn(x)
        if self.lta is not None and cache.lta is not None:
            x = self.lta.step(x, cache.lta)
        return x


class LatentGuidance(nn.Module):
    """Latent guidance (section 3): a prior sample alone must predict the next frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.d_latent, config.d_model)
        self.ffn = FeedForward(config.d_model, config.d_inner)
        self.frames = nn.Linear(config.d_model, config.frames_per_step * SPACES[config.space].size, bias=False)

    def forward(self, latent: Tensor) -> Tensor:
        """``latent`` (B, N, Z) -> what is to be decoded, flat, (B, N, P C)."""
        out: Tensor = self.frames(self.ffn(self.widen(latent)))
        return out


class CTEG(nn.Module):
    """The whole decoder: condition and past frames in, next frames out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, frame = config.d_model, SPACES[config.space].size
        #: Per-channel scale (C,): standard deviation in the training corpus, floored.
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(frame))
        #: Per-channel pace (C,): rms of the scaled change from frame to frame in the training corpus, floored.
        self.pace: Tensor
        self.register_buffer("pace", torch.ones(frame))
        #: Lowest and highest value of each channel in the training corpus (2, C), in the space's units.
        self.reach: Tensor
        self.register_buffer("reach", torch.from_numpy(np.stack([self.space.lower, self.space.upper])).float())
        #: How much of the last velocity each of the P next frames still has on it.
        self.carry = nn.Parameter(torch.zeros(config.frames_per_step, frame)) if config.inertia else None
        self.ewa = ExpressionWiseAttention(config) if config.ewa == "frame" else None
        self.frame_embedding = nn.Linear(2 * frame, width)
        self.text_projection = nn.Linear(config.text_width, width)
        self.text_progress = nn.Linear(FOURIER, width) if config.text_progress else None
        self.direction_token = nn.Linear(DIRECTION, width) if config.direction_conditioning else None
        self.told = nn.Linear(step_width(config), width) if step_width(config) else None
        self.noise_step = nn.Linear(2, width) if config.noise_conditioning else None
        self.embedding_norm = nn.LayerNorm(width, eps=1e-6)
        self.memory_norm = nn.LayerNorm(width, eps=1e-6)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layers))
        self.frames = nn.Linear(width, config.frames_per_step * frame)
        self.guidance = LatentGuidance(config)

    @property
    def space(self) -> Space:
        """The space of the frames."""
        return SPACES[self.config.space]

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        """The decoder layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    # Conditioning ------------------------------------------------------------------------------------------------

    def memory(self, condition: Condition[Tensor]) -> tuple[Tensor, Tensor]:
        """Text memory (B, S', D) and its attention mask (B, 1, 1, S'); what is asked for is one more token."""
        memory = self.text_projection(condition.text)
        mask = condition.text_mask
        if self.text_progress is not None:
            memory = memory + self.text_progress(fourier(condition.text_position.to(memory.dtype)))
        if self.direction_token is not None:
            memory = torch.cat([self.direction_token(condition.direction).unsqueeze(1), memory], 1)
            mask = torch.cat([mask.new_ones(mask.shape[0], 1), mask], 1)
        return self.memory_norm(memory), mask[:, None, None, :]

    def embed(
        self, previous: Tensor, velocity: Tensor, told: Tensor, first_step: int = 0, noise_level: Tensor | None = None
    ) -> Tensor:
        """Decoder input (B, N, D).

        Args:
            previous, velocity: the last frame before each step and its change, scaled, (B, N, C).
            told: what each step is told, (B, N, `step_width`).
            first_step: index of the first of them.
            noise_level: how noisy the frames are, (B, 2); None when performing: not at all.
        """
        if self.ewa is not None:
            previous = self.ewa(previous)
        x = self.frame_embedding(torch.cat([previous, velocity / self.pace], -1))
        steps = torch.arange(first_step, first_step + previous.shape[1], device=x.device)
        x = x + sinusoid(steps, self.config.d_model).to(x.dtype)
        if self.told is not None:
            x = x + self.told(told)
        if self.noise_step is not None:
            level = previous.new_zeros(len(previous), 2) if noise_level is None else noise_level
            x = x + self.noise_step(level).unsqueeze(1)
        out: Tensor = self.embedding_norm(x)
        return out

    # Teacher forcing ---------------------------------------------------------------------------------------------

    def forward(
        self, frames: Tensor, condition: Condition[Tensor], input_noise: InputNoise | None = None
    ) -> StepOutput:
        """Teacher-forced pass over scaled ``frames`` (B, N, P, C).

        Args:
            frames: the clip in steps; a clip whose length is not a multiple of P ends with repeated frames.
            condition: what it is conditioned on.
            input_noise: added to the frames the decoder reads.
        """
        if input_noise is None:
            input_noise = InputNoise(torch.zeros_like(frames), frames.new_zeros(len(frames), 2))
        previous, velocity = self.shift(frames + input_noise.values, condition.start / self.scale)
        x = self.embed(previous, velocity, condition.steps, noise_level=input_noise.level)
        memory, mask = self.memory(condition)
        target = frames + self._recovering(input_noise.values)
        going = self.going(previous, velocity)
        change = ((target - going) / self.pace).flatten(2)
        posteriors, priors, latents = [], [], []
        guided: Tensor | None = None
        for layer in self.decoder_layers:
            state = layer.state(x, memory, mask)
            prior, posterior = layer.prior(state), layer.recognition(state, change)
            latent = posterior.sample(torch.randn_like(posterior.mean))
            choice = gumbel_like(latent.new_empty(*latent.shape[:-1], self.config.choices))
            sample = prior.sample(torch.randn_like(posterior.mean), choice)
            guided = self.guidance(sample)
            x = layer.emit(state, latent, layer.text_attention_second.keys_values(memory), mask)
            posteriors.append(posterior)
            priors.append(prior)
            latents.append(latent)
        assert guided is not None
        prediction, by_latent = (
            going + self.pace * flat.float().unflatten(2, going.shape[2:]) for flat in (self.frames(x), guided)
        )
        return StepOutput(target, prediction, by_latent, posteriors, priors, latents)

    def going(self, last: Tensor, velocity: Tensor) -> Tensor:
        """Where the next P frames would be by inertia alone, scaled, (..., P, C); at the standard face without it.

        What is decoded is a change from there. A decoder that writes faces can only copy the last one so well, and
        what it copies badly shows as a tremor.
        """
        if self.carry is None:
            return torch.zeros_like(last).unsqueeze(-2).expand(*last.shape[:-1], self.config.frames_per_step, -1)
        return last.unsqueeze(-2) + self.carry * velocity.unsqueeze(-2)

    def _recovering(self, noise: Tensor) -> Tensor:
        """What is left, in each frame, of the noise on the frame before its step, (B, N, P, C)."""
        last, _ = self.shift(noise, noise.new_zeros(len(noise), self.space.size))
        frames = torch.arange(1, self.config.frames_per_step + 1, device=noise.device)
        left = torch.exp2(-frames / (HALF_RECOVERED * self.space.fps))
        return last.unsqueeze(2) * left[:, None]

    def shift(self, frames: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """The last frame before each step and its velocity, (B, N, C) each; first ``start`` (B, C), still."""
        p = self.config.frames_per_step
        flat = torch.cat([start[:, None], start[:, None], frames.flatten(1, 2)], 1)  # two still frames, then all
        last, before = flat[:, 1:-1:p], flat[:, :-2:p]
        return last, last - before

    # Decoding ----------------------------------------------------------------------------------------------------

    def perform(
        self, condition: Condition[Tensor], noise: Tensor, gumbel: Tensor, on_step: OnStep | None = None
    ) -> Tensor:
        """Takes that go on from their own frames, scaled, (B, N P, C).

        They stay within `reach`; a face that begins beyond it comes back in its own time. A gradient, where one is
        wanted, leads back through the whole take, and past these limits.

        Args:
            condition: what they are conditioned on.
            noise, gumbel: draws of every step, scaled by temperature, (B, N, n_layers, Z) and (B, N, n_layers, G K).
            on_step: called with (steps done, steps in all).
        """
        memory, mask = self.memory(condition)
        caches = self.new_caches(memory, noise.shape[1])
        lower, upper = self.reach / self.scale
        previous = condition.start / self.scale
        velocity = torch.zeros_like(previous)
        written = []
        for step in range(noise.shape[1]):
            frames = self.decode_step(
                previous, velocity, condition.steps[:, step], mask, caches, noise[:, step], gumbel[:, step], step
            )
            last = previous.detach()
            kept = frames.clamp(torch.minimum(lower, last)[:, None], torch.maximum(upper, last)[:, None])
            frames = frames + (kept - frames).detach() if torch.is_grad_enabled() else kept
            before = frames[:, -2] if self.config.frames_per_step > 1 else previous
            previous, velocity = frames[:, -1], frames[:, -1] - before
            written.append(frames)
            if on_step is not None:
                on_step(step + 1, noise.shape[1])
        return torch.cat(written, 1)

    def decode_step(
        self, previous: Tensor, velocity: Tensor, told: Tensor, mask: Tensor, caches: list[LayerCache], noise: Tensor,
        gumbel: Tensor, step: int,
    ) -> Tensor:  # fmt: skip
        """The next P frames, scaled, (B, P, C).

        Args:
            previous, velocity: last frame and its change, scaled, (B, C).
            told: what this step is told, (B, `step_width`).
            mask: the text mask `memory` returned.
            caches: one per layer; extended by one step.
            noise, gumbel: draws of this step, scaled by temperature, (B, n_layers, Z) and (B, n_layers, G K). Each
                latent is drawn once and kept (the released code redraws the past at every step).
            step: index of this step.
        """
        x = self.embed(previous[:, None], velocity[:, None], told[:, None], step)
        for index, (layer, cache) in enumerate(zip(self.decoder_layers, caches, strict=True)):
            state = layer.state_step(x, cache, mask)
            latent = layer.prior(state[:, 0]).sample(noise[:, index], gumbel[:, index])
            x = layer.emit(state, latent[:, None], cache.text_second, mask)
        going = self.going(previous, velocity)
        return going + self.pace * self.frames(x)[:, 0].view_as(going)

    def new_caches(self, memory: Tensor, steps: int) -> list[LayerCache]:
        """One empty cache per layer for decoding ``steps`` steps over ``memory`` (B, S', D)."""
        return [layer.new_cache(memory, steps) for layer in self.decoder_layers]
