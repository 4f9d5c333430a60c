# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding one position at a time: what `PaperCTEG` computes for a whole clip, from its newest frame alone.

Reading the weights is nearly all the work of a step, so they are laid out for it once: projections of the same input
become one matrix, factors move into weights, and where a line is short the query and output projections of text
attention are multiplied into its keys and values, so that they are not read again. Equal to the model's own forward
pass to rounding; `tests/generator/test_parity.py` holds both against recorded decoding.

Shapes: B rows, M positions, S text tokens, D model width, H heads, K and V widths of a head's keys and values,
E channels, J of them jaw channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..layers import Attention
from .batches import Marker
from .model import SECOND_SAMPLE_DEVIATION, PaperCTEG, PaperLayer
from .projections import Precision, Projection, projection


@dataclass(frozen=True)
class TextMemory:
    """The text as one attention block sees it.

    Attributes:
        key, value: (B, H, S, K) and (B, H, S, V); or folded, for rows that all read the same line: (D, H S) and
            (H S, D), with the block's query and output projections inside.
        folded: which of the two.
    """

    key: Tensor
    value: Tensor
    folded: bool


@dataclass
class LayerState:
    """What one layer remembers: keys and values of self-attention and LTA, (B, H, M, K or V), and the text."""

    self_attention: tuple[Tensor, Tensor]
    lta: tuple[Tensor, Tensor] | None
    text: TextMemory
    text_second: TextMemory


@dataclass
class DecodingState:
    """A batch of clips in the making.

    Attributes:
        layers: one state per layer.
        text_bias: 0 at real tokens, -inf at padding, (B, 1, S); None when there is no padding.
        total: sum of the frames so far, (B, E).
        position: the next position.
    """

    layers: list[LayerState]
    text_bias: Tensor | None
    total: Tensor
    position: int = 0


class CausalAttention:
    """Attention to what was seen so far: self-attention and LTA."""

    def __init__(self, block: Attention, precision: Precision) -> None:
        self._heads = block.n_head
        self._key_width = block.key.weight.shape[0] // block.n_head
        self._value_width = block.value.weight.shape[0] // block.n_head
        self._widths = [width * block.n_head for width in (self._key_width, self._key_width, self._value_width)]
        query = block.query.weight * self._key_width**-0.5
        self._project = projection(torch.cat([query, block.key.weight, block.value.weight]), None, precision)
        self._output = projection(block.output.weight, None, precision)
        self._norm = block.norm

    def new_cache(self, like: Tensor, positions: int) -> tuple[Tensor, Tensor]:
        """Room for ``positions`` keys and values of ``len(like)`` rows."""
        shape = len(like), self._heads, positions
        return like.new_empty(*shape, self._key_width), like.new_empty(*shape, self._value_width)

    def __call__(self, x: Tensor, cache: tuple[Tensor, Tensor], position: int) -> Tensor:
        """The newest position ``x`` (B, D) -> (B, D); its key and value join the cache."""
        keys, values = cache
        rows, heads = len(x), self._heads
        query, key, value = self._project(x).split(self._widths, 1)
        keys.select(2, position).copy_(key.view(rows, heads, -1))
        values.select(2, position).copy_(value.view(rows, heads, -1))
        # In three dimensions: `matmul` of four takes as long to prepare as to compute.
        seen_keys, seen_values = (kept.flatten(0, 1).narrow(1, 0, position + 1) for kept in cache)
        scores = torch.bmm(query.reshape(rows * heads, 1, -1), seen_keys.transpose(1, 2))
        mixed = torch.bmm(torch.softmax(scores, -1), seen_values)
        return _normed(self._output(mixed.view(rows, -1), x), self._norm)


class TextAttention:
    """Attention to the text, which is projected once per batch."""

    def __init__(self, block: Attention, precision: Precision) -> None:
        self._block = block
        self._heads = block.n_head
        self._scale = (block.key.weight.shape[0] // block.n_head) ** -0.5
        self._query = projection(block.query.weight * self._scale, None, precision)
        self._output = projection(block.output.weight, None, precision)

    def remember(self, memory: Tensor, *, same: bool) -> TextMemory:
        """Project the text (B, S, D); ``same``: every row is the same line.

        Folding pays while H S is less than D: fewer numbers are read than in the two projections it replaces.
        """
        rows, tokens, width = memory.shape
        if not same or tokens * self._heads > width:
            key, value = self._block.keys_values(memory)
            return TextMemory(key.contiguous(), value.contiguous(), False)
        key, value = self._block.keys_values(memory[:1])
        query = self._block.query.weight.unflatten(0, (self._heads, -1)) * self._scale  # (H, K, D)
        output = self._block.output.weight.unflatten(1, (self._heads, -1)).permute(1, 2, 0)  # (H, V, D)
        folded_key = torch.matmul(key[0], query).flatten(0, 1).t()
        folded_value = torch.matmul(value[0], output).flatten(0, 1).contiguous()
        return TextMemory(folded_key if rows == 1 else folded_key.contiguous(), folded_value, True)

    def __call__(self, x: Tensor, memory: TextMemory, bias: Tensor | None) -> Tensor:
        """``x`` (B, D) -> (B, D)."""
        rows = len(x)
        if memory.folded:
            scores = torch.mm(x, memory.key).view(rows, self._heads, -1)
        else:
            query = self._query(x).view(rows, self._heads, 1, -1)
            scores = torch.matmul(query, memory.key.transpose(-1, -2)).squeeze(2)
        if bias is not None:
            scores = scores + bias
        weights = torch.softmax(scores, -1)
        if memory.folded:
            return _normed(torch.addmm(x, weights.view(rows, -1), memory.value), self._block.norm)
        mixed = torch.matmul(weights.unsqueeze(2), memory.value)
        return _normed(self._output(mixed.view(rows, -1), x), self._block.norm)


class LayerStepper:
    """One decoder layer, a position at a time; see `PaperLayer.forward`."""

    def __init__(self, layer: PaperLayer, precision: Precision) -> None:
        self._self_attention = CausalAttention(layer.self_attention, precision)
        self._text_attention = TextAttention(layer.text_attention, precision)
        self._lta = None if layer.lta is None else CausalAttention(layer.lta, precision)
        prior = layer.prior
        # Half the log-variance, so that its exponential is the deviation.
        weight = torch.cat([prior.mean.weight, 0.5 * prior.log_variance.weight])
        self._prior = projection(weight, torch.cat([prior.mean.bias, 0.5 * prior.log_variance.bias]), precision)
        self._text_attention_second = TextAttention(layer.text_attention_second, precision)
        self._widen = projection(layer.ffn.widen.weight, layer.ffn.widen.bias, precision)
        self._narrow = projection(layer.ffn.narrow.weight, None, precision)
        self._narrow_bias = layer.ffn.narrow.bias.detach()
        self._norm = layer.ffn.norm
        self._second_sample = layer.second_sample

    def start(self, memory: Tensor, positions: int, *, same: bool) -> LayerState:
        """An empty state for ``positions`` positions over the text ``memory`` (B, S, D)."""
        return LayerState(
            self._self_attention.new_cache(memory, positions),
            None if self._lta is None else self._lta.new_cache(memory, positions),
            self._text_attention.remember(memory, same=same),
            self._text_attention_second.remember(memory, same=same),
        )

    def __call__(self, x: Tensor, state: LayerState, bias: Tensor | None, noise: Tensor, position: int) -> Tensor:
        """The newest position ``x`` (B, D) -> (B, D); ``noise`` (B, 2, D) for the prior and the second sample."""
        x = self._self_attention(x, state.self_attention, position)
        latent_state = self._text_attention(x, state.text, bias)
        if self._lta is not None and state.lta is not None:
            latent_state = self._lta(latent_state, state.lta, position)
        mean, log_deviation = self._prior(latent_state).chunk(2, 1)
        x = torch.addcmul(x + mean, log_deviation.exp(), noise[:, 0])
        x = self._text_attention_second(x, state.text_second, bias)
        x = _normed(self._narrow(self._widen(x).relu_(), x + self._narrow_bias), self._norm)
        return x + SECOND_SAMPLE_DEVIATION * noise[:, 1] if self._second_sample else x


class EwaStepper:
    """Expression-wise Attention by its collapsed form (`generator.ewa`), for one frame per row."""

    def __init__(self, model: PaperCTEG) -> None:
        assert model.ewa is not None
        scalars = model.ewa.scalars()
        self._heads = model.config.n_head
        self._expression = model.config.expression_channels
        self._gain_slope, self._gain_offset = scalars.gain_slope, scalars.gain_offset
        self._form = torch.cat([scalars.quadratic, scalars.numerator[:, None]], 1)  # (H + 2, H + 3)
        self._constant = scalars.constant
        self._eps = model.ewa.attention.norm.eps

    def __call__(self, frame: Tensor, seen: Tensor) -> Tensor:
        """``frame`` (B, E) with its jaw shifted by what EwA sees in ``seen`` (B, E)."""
        others, jaw = seen.tensor_split([self._expression], 1)  # (B, C), (B, J)
        jaw = jaw.unsqueeze(-1)
        gain = torch.addcmul(self._gain_offset, jaw, self._gain_slope).view(len(seen), -1, 1)  # (B, J H, 1)
        weights = torch.softmax(gain * others.unsqueeze(1), -1)
        mean = torch.bmm(weights, others.unsqueeze(-1)).view(len(seen), -1, self._heads)  # (B, J, H)
        s = torch.cat([jaw, mean, torch.ones_like(jaw)], -1)  # (B, J, H + 2)
        products = s @ self._form
        variance = (products[..., :-1] * s).sum(-1)
        shift = torch.addcmul(self._constant, products[..., -1], (variance + self._eps).rsqrt())
        expression, jaw_now = frame.tensor_split([self._expression], 1)
        return torch.cat([expression, jaw_now + shift], 1)


class Stepper:
    """A `PaperCTEG` prepared for decoding. It holds copies of the weights as they are now.

    Args:
        model: in eval mode.
        precision: of the weights, see `projections.Precision`.

    Raises:
        ValueError: EwA is in "sequence" mode, which needs the whole clip at once.
        InputError: the precision is not for the model's device.
    """

    @torch.inference_mode()
    def __init__(self, model: PaperCTEG, precision: Precision = "fp32") -> None:
        self.config = model.config
        if self.config.ewa == "sequence":
            raise ValueError("ewa 'sequence' looks at the whole clip; decode with PaperConfig.causal() (ewa 'prefix')")
        self._layers = [LayerStepper(layer, precision) for layer in model.decoder_layers]
        self._ewa = None if model.ewa is None else EwaStepper(model)
        scale = math.sqrt(self.config.d_model) if self.config.scale_embedding else 1.0
        embedding = model.frame_embedding
        self._embed = projection(scale * embedding.weight, scale * embedding.bias, "fp32")
        self._start = scale * model.markers.weight[Marker.START]
        self._positions = model.positions
        self._norm = model.embedding_norm
        # Small, and what they round is seen at once: never in 8 bits.
        self._frames: Projection = projection(model.frames.weight, None, "fp32")

    @torch.inference_mode()
    def start(self, memory: Tensor, memory_mask: Tensor, positions: int) -> DecodingState:
        """Ready to decode ``positions`` positions over ``memory`` (B, S, D), ``memory_mask`` (B, S).

        Raises:
            ValueError: there is no room for so many.
        """
        if positions > len(self._positions):
            raise ValueError(f"{positions} positions are more than the model's {len(self._positions)} (max_positions)")
        first_mask, first_memory = memory_mask[:1], memory[:1]
        same = bool((memory_mask == first_mask).all() and (memory == first_memory).all())
        bias = None
        if not bool(memory_mask.all()):
            bias = memory.new_zeros(memory_mask.shape).masked_fill_(~memory_mask, -torch.inf)[:, None]
        layers = [layer.start(memory, positions, same=same) for layer in self._layers]
        return DecodingState(layers, bias, memory.new_zeros(len(memory), self.config.channels))

    @torch.inference_mode()
    def step(self, state: DecodingState, frame: Tensor | None, noise: Tensor) -> Tensor:
        """Feed one position and return the frame it predicts, (B, E).

        Args:
            state: from `start`; it moves on by one position.
            frame: (B, E); None at position 0, the start marker.
            noise: this position's draws, (B, L, 2, D): prior sample and second sample of each layer.
        """
        if frame is None:
            x = self._start.expand(len(noise), -1)
        else:
            state.total = state.total + frame
            x = self._embed(self._shifted(frame, state))
        x = _normed(x + self._positions[state.position], self._norm)
        for index, (layer, memory) in enumerate(zip(self._layers, state.layers, strict=True)):
            x = layer(x, memory, state.text_bias, noise[:, index], state.position)
        state.position += 1
        return self._frames(x)

    def _shifted(self, frame: Tensor, state: DecodingState) -> Tensor:
        """EwA on the newest frame (B, E), as `PaperCTEG.shift_jaw` does at its position."""
        if self._ewa is None:
            return frame
        if self.config.ewa == "frame":
            return self._ewa(frame, frame)
        return self._ewa(frame, state.total / self.config.ewa_divided_by(state.position))


def _normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
