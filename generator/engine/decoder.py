# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditional variational autoregressive decoder (paper section 3), performing in NumPy.

Equal to `generator.model.cteg.CTEG.decode_step` in a loop, within rounding. What does not change from step to step is
computed before the first one: what each step is told, positions, keys and values of the text.

Shapes: B takes, which are columns of most arrays, N decoder steps, P frames per step, C channels, D model width, Z
latent width, G parts of it, K components of each, S text tokens, L layers, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from ..shared.spaces import SPACES
from . import ArrayCondition, OnStep, check_draws, own_steps
from .arrays import Array, Floats, check_shapes, widened
from .attention import Attention, FeedForward, Past, Text, attention_shapes, feed_forward_shapes
from .collapsed_ewa import CollapsedEwa
from .conditioning import DIRECTION, FOURIER, fourier, step_width
from .config import ModelConfig
from .numerics import linear, norm

#: Limits of the prior's log variance.
_NARROWEST, _WIDEST = np.float32(-8), np.float32(4)
#: What a layer has.
_PARTS: Final = ("weight", "bias")
#: Of every normalisation of the decoder.
_EPS: Final = 1e-6


class Prior:
    """p(z_t | text, past): z in G parts, each a mixture of K Gaussians that is told the parts before it.

    Of every part the drawn component alone is computed. Everything is read from one column, R = D + Z + 1: the state,
    the parts that are drawn (0 until then) and a 1 for the biases. W = Z / G.
    """

    def __init__(self, weights: Mapping[str, Array], config: ModelConfig) -> None:
        parts, components, latent = config.prior_parts, config.prior_components, config.d_latent
        self._width = latent // parts
        sizes = components, components * self._width, components * self._width
        earlier = np.zeros((parts, sum(sizes), latent), np.float32)
        if parts > 1:
            # Also of parts that come later, which are 0 when this one is drawn.
            earlier = widened(weights["earlier.weight"]).reshape(earlier.shape)
        blocks = []
        for name, told in zip(
            ("weight", "mean", "log_variance"), np.split(earlier, np.cumsum(sizes)[:-1], 1), strict=True
        ):
            weight, bias = (widened(weights[f"{name}.{part}"]).reshape(parts, told.shape[1], -1) for part in _PARTS)
            blocks.append(np.concatenate([weight, told, bias], 2))
        self._weight = np.ascontiguousarray(blocks[0])  # (G, K, R)
        # (G, K, 2 W, R): mean and log variance of a component lie together.
        shape = parts, components, self._width, -1
        self._rows = np.concatenate([block.reshape(shape) for block in blocks[1:]], 2)

    def draw(self, state: Floats, noise: Floats, gumbel: Floats) -> Floats:
        """z (Z, B) for ``state`` (D, B) and scaled draws (B, Z), (B, G K)."""
        size, width = len(state), self._width
        read = np.zeros((len(noise), self._weight.shape[2]), np.float32)
        read[:, :size], read[:, -1] = state.T, 1
        columns = read[..., None]
        gumbel = gumbel.reshape(len(noise), len(self._weight), -1)
        for part, (weight, rows) in enumerate(zip(self._weight, self._rows, strict=True)):
            # What makes log weights of logits is the same for every component: the largest stays the largest.
            chosen = (read @ weight.T + gumbel[:, part]).argmax(1)
            drawn = (rows[chosen] @ columns)[..., 0]  # (B, 2 W)
            deviation = np.exp(np.float32(0.5) * np.minimum(np.maximum(drawn[:, width:], _NARROWEST), _WIDEST))
            first = part * width
            read[:, size + first : size + first + width] = (
                drawn[:, :width] + noise[:, first : first + width] * deviation
            )
        return np.ascontiguousarray(read[:, size:-1].T)


class DecoderLayer:
    """self-attention -> text -> (feed-forward) -> LTA -> prior -> add z_t -> text again -> feed-forward."""

    def __init__(self, weights: Mapping[str, Array], config: ModelConfig) -> None:
        heads = config.n_head
        self._self = Attention(within(weights, "self_attention."), heads)
        self._text = Attention(within(weights, "text_attention."), heads)
        self._state_ffn = FeedForward(within(weights, "state_ffn.")) if config.state_ffn else None
        self._lta = Attention(within(weights, "lta."), heads) if config.lta else None
        self._prior = Prior(within(weights, "prior."), config)
        self._latent = linear(weights, "latent")
        self._text_second = Attention(within(weights, "text_attention_second."), heads)
        self._ffn = FeedForward(within(weights, "ffn."))

    def start(self, memory: Floats, mask: Array, steps: int) -> LayerPast:
        """What it remembers before the first of ``steps`` steps, given the text ``memory`` (B, S, D)."""
        rows = len(memory)
        return LayerPast(
            self._self.past(rows, steps),
            None if self._lta is None else self._lta.past(rows, steps),
            self._text.text(memory, mask),
            self._text_second.text(memory, mask),
        )

    def step(self, x: Floats, past: LayerPast, noise: Floats, gumbel: Floats) -> Floats:
        """``x`` (D, B) -> (D, B) for the newest step, whose draws are (B, Z) and (B, G K)."""
        x = self._text.read(self._self.step(x, past.own), past.text)
        if self._state_ffn is not None:
            x = self._state_ffn(x)
        if self._lta is not None and past.lta is not None:
            x = self._lta.step(x, past.lta)
        x = x + self._latent(self._prior.draw(x, noise, gumbel))
        return self._ffn(self._text_second.read(x, past.text_second))


class LayerPast:
    """What one layer remembers while decoding: its past, and the text projected once."""

    def __init__(self, own: Past, lta: Past | None, text: Text, text_second: Text) -> None:
        self.own, self.lta, self.text, self.text_second = own, lta, text, text_second


class Decoder:
    """Condition and draws in, frames out.

    Args:
        config: its shape.
        weights: those of a `generator.model.cteg.CTEG`; what only training needs may be absent.

    Raises:
        ValueError: a weight is missing or has another shape.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        check_shapes(weights, weight_shapes(config))
        space = SPACES[config.space]
        self.config, self.space = config, space
        self._scale = widened(weights["scale"])
        self._pace = widened(weights["pace"])
        self._carry = widened(weights["carry"]) if config.inertia else None
        self._lower, self._upper = widened(weights["reach"]) / self._scale
        self._ewa = (
            CollapsedEwa(within(weights, "ewa."), space.groups["jaw"], space.size, config.d_ewa, config.n_head)
            if config.ewa == "frame"
            else None
        )
        self._frame_embedding = linear(weights, "frame_embedding")._replace(bias=None)  # its bias: see `_given`
        self._always = widened(weights["frame_embedding.bias"])
        if config.noise_conditioning:  # frames that are performed have no noise: what is left is the bias
            self._always = self._always + widened(weights["noise_step.bias"])
        self._told = linear(weights, "told") if step_width(config) else None
        self._text_projection = linear(weights, "text_projection")
        self._text_progress = linear(weights, "text_progress") if config.text_progress else None
        self._direction = linear(weights, "direction_token") if config.direction_conditioning else None
        self._embedding_norm, self._memory_norm = (norm(weights, f"{n}_norm", _EPS) for n in ("embedding", "memory"))
        self._layers = [DecoderLayer(within(weights, f"layers.{index}."), config) for index in range(config.n_layers)]
        self._frames = linear(weights, "frames")

    def __call__(
        self, condition: ArrayCondition, noise: Floats, gumbel: Floats, on_step: OnStep | None = None
    ) -> Floats:
        """As `generator.engine.Engine.decode`: (B, N P, C) in the space's units and limits."""
        steps, size = check_draws(self.config, condition, noise, gumbel), self.config.frames_per_step
        # Whose take is longest comes first, so that those that go on are always the first columns.
        own = own_steps(self.config, condition, steps)
        order = np.argsort(-own, kind="stable")
        condition, noise, gumbel = condition.rows(order), noise[order], gumbel[order]
        going = len(own) - np.searchsorted(np.sort(own), np.arange(steps), "right")  # takes with more than k steps
        given = self._given(condition.steps[:, :steps])
        memory, mask = self._memory(condition)
        pasts = [layer.start(memory, mask, steps) for layer in self._layers]
        written = np.zeros((len(noise), steps, size, self.space.size), np.float32)
        previous = (condition.start / self._scale).astype(np.float32)
        velocity = np.zeros_like(previous)
        for step, count in enumerate(going[going > 0]):
            previous, velocity = previous[:count], velocity[:count]
            seen = previous if self._ewa is None else self._ewa(previous)
            x = self._frame_embedding(np.concatenate([seen, velocity / self._pace], 1).T)
            x = self._embedding_norm(x + given[step, :, :count])
            for index, (layer, past) in enumerate(zip(self._layers, pasts, strict=True)):
                x = layer.step(x, past, noise[:count, step, index], gumbel[:count, step, index])
            frames = self._pace * self._frames(x).T.reshape(count, size, -1)
            if self._carry is not None:
                frames += previous[:, None] + self._carry * velocity[:, None]
            # A face that begins beyond the reach of the corpus comes back in its own time.
            lower, upper = np.minimum(self._lower, previous), np.maximum(self._upper, previous)
            frames = np.clip(frames, lower[:, None], upper[:, None], out=written[:count, step])
            before = frames[:, -2] if size > 1 else previous
            previous, velocity = frames[:, -1], frames[:, -1] - before
            if on_step is not None:
                on_step(step + 1, steps)
        written *= self._scale
        # Divided by the scale and multiplied again, a limit may be passed by a rounding error.
        np.clip(written, self.space.lower, self.space.upper, out=written)
        back = np.argsort(order)
        return written[back].reshape(len(noise), steps * size, -1)

    def _given(self, told: Array) -> Floats:
        """What is added to each step's frame: its position, what it is told (B, N, …), and what never changes.

        Returns:
            (N, D, B), contiguous.
        """
        rows, steps = told.shape[:2]
        base = sinusoid(steps, self.config.d_model) + self._always  # (N, D)
        if self._told is None:
            return np.broadcast_to(base[:, :, None], (*base.shape, rows))
        flat = told.astype(np.float32).transpose(2, 1, 0).reshape(-1, steps * rows)
        given = self._told(flat).reshape(-1, steps, rows).swapaxes(0, 1) + base[:, :, None]
        return np.ascontiguousarray(given)

    def _memory(self, condition: ArrayCondition) -> tuple[Floats, Array]:
        """Text memory (B, S', D) and its mask (B, S'); what is asked for is one more token."""
        rows, tokens, _ = condition.text.shape
        memory = self._text_projection(_columns(condition.text))
        if self._text_progress is not None:
            memory += self._text_progress(_columns(fourier(condition.text_position)))
        memory = memory.reshape(-1, rows, tokens)
        mask = condition.text_mask
        if self._direction is not None:
            memory = np.concatenate([self._direction(_columns(condition.direction))[:, :, None], memory], 2)
            mask = np.concatenate([np.ones((rows, 1), np.bool_), mask], 1)
        normed = self._memory_norm(np.ascontiguousarray(memory).reshape(len(memory), -1))
        return np.ascontiguousarray(normed.T).reshape(rows, -1, len(memory)), mask


def sinusoid(steps: int, width: int) -> Floats:
    """Sinusoidal positions (N, D), in fp32 as torch computes them (Vaswani et al. 2017, section 3.5)."""
    rate = np.exp(np.arange(0, width, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / width))
    angles = np.arange(steps, dtype=np.float32)[:, None] * rate
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(steps, width)


def within(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The weights whose name begins with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def weight_shapes(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight that performing needs; those of EwA are checked where it is collapsed."""
    width, frame = config.d_model, SPACES[config.space].size
    yield "scale", (frame,)
    yield "pace", (frame,)
    yield "reach", (2, frame)
    if config.inertia:
        yield "carry", (config.frames_per_step, frame)
    yield from _linear_shapes("frame_embedding", 2 * frame, width)
    yield from _linear_shapes("text_projection", config.text_width, width)
    if config.text_progress:
        yield from _linear_shapes("text_progress", FOURIER, width)
    if config.direction_conditioning:
        yield from _linear_shapes("direction_token", DIRECTION, width)
    if step_width(config):
        yield from _linear_shapes("told", step_width(config), width)
    if config.noise_conditioning:
        yield "noise_step.bias", (width,)
    for name in ("embedding_norm", "memory_norm"):
        yield f"{name}.weight", (width,)
        yield f"{name}.bias", (width,)
    yield from _linear_shapes("frames", width, config.frames_per_step * frame)
    for index in range(config.n_layers):
        yield from _layer_shapes(f"layers.{index}.", config)


def _layer_shapes(layer: str, config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, drawn = config.d_model, config.prior_components * config.d_latent
    for name in ("self_attention", "text_attention", "text_attention_second", *(["lta"] if config.lta else [])):
        yield from attention_shapes(f"{layer}{name}.", width)
    for name in ("ffn", *(["state_ffn"] if config.state_ffn else [])):
        yield from feed_forward_shapes(f"{layer}{name}.", width, config.d_inner)
    for name, out in (("mean", drawn), ("log_variance", drawn), ("weight", config.choices)):
        yield from _linear_shapes(f"{layer}prior.{name}", width, out)
    if config.prior_parts > 1:
        yield f"{layer}prior.earlier.weight", (config.choices + 2 * drawn, config.d_latent)
    yield from _linear_shapes(f"{layer}latent", config.d_latent, width)


def _linear_shapes(name: str, inside: int, outside: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outside, inside)
    yield f"{name}.bias", (outside,)


def _columns(rows: Array) -> Floats:
    """``rows`` (…, W) as columns, (W, …)."""
    return rows.astype(np.float32, copy=False).reshape(-1, rows.shape[-1]).T
