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
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import Attention
from ..batches import Marker
from ..model import SECOND_SAMPLE_DEVIATION, PaperCTEG, PaperLayer
from .projections import Precision, Projection, Scheme
from .replay import Recorder, Replay
from .state import FoldedText, LayerState, Place, StepInputs, TextMemories, TextMemory


@dataclass(frozen=True)
class ReadText:
    """A text, (B, S, D), its mask, (B, S), and what each layer makes of it."""

    memory: Tensor
    mask: Tensor
    layers: list[TextMemories]

    def is_of(self, memory: Tensor, mask: Tensor) -> bool:
        """Whether it is this text."""
        return torch.equal(self.mask, mask) and torch.equal(self.memory, memory)


@dataclass
class DecodingState:
    """A batch of clips in the making.

    Attributes:
        layers: one state per layer.
        total: sum of the frames so far, (B, E).
        position: the next position.
        replay: its steps, if they are recorded.
    """

    layers: list[LayerState]
    total: Tensor
    position: int = 0
    replay: Replay | None = None


class CausalAttention:
    """Attention to what was seen so far: self-attention and LTA."""

    def __init__(self, block: Attention, scheme: Scheme) -> None:
        self._heads = block.n_head
        self._widths = [linear.weight.shape[0] // block.n_head for linear in (block.key, block.value)]  # K, V
        parts = [linear.weight.unflatten(0, (block.n_head, -1)) for linear in (block.query, block.key, block.value)]
        # Query, key and value of a head side by side, so that its key and value go into the cache in one piece.
        self._project = Projection(torch.cat(parts, 1).flatten(0, 1), None, scheme)
        self._output = Projection(block.output.weight, None, scheme)
        self._norm = Norm(block.norm)
        self._kept = scheme.kept_type

    def prepare(self, rows: int) -> None:
        """See `Projection`."""
        self._project.prepare(rows)
        self._output.prepare(rows)

    def new_cache(self, like: Tensor, positions: int) -> Tensor:
        """Room for ``positions`` keys and values of ``len(like)`` rows."""
        # Zeros, because a recorded step weighs later positions with zero, so they must be numbers.
        return like.new_zeros((len(like), self._heads, positions, sum(self._widths)), dtype=self._kept)

    def __call__(self, x: Tensor, cache: Tensor, place: Place) -> Tensor:
        """The newest position ``x`` (B, D) -> (B, D); its key and value join the ``cache``."""
        rows = x.shape[0]
        projected = self._project(x).to(self._kept).view(rows, self._heads, 1, -1)
        query, newest = torch.split_with_sizes(projected, [self._widths[0], sum(self._widths)], 3)
        if place.unseen is None:  # the span ends with it, and a view costs half of what an index does
            cache.narrow(2, place.span - 1, 1).copy_(newest)
        else:
            cache.index_copy_(2, place.index, newest)
        keys, values = torch.split_with_sizes(cache.narrow(2, 0, place.span), self._widths, 3)
        mixed = F.scaled_dot_product_attention(query, keys, values, place.unseen)  # (B, H, 1, V)
        return self._norm(self._output(mixed.view(rows, -1).float(), x))


class TextAttention:
    """Attention to the text, which is projected once per batch."""

    def __init__(self, block: Attention, scheme: Scheme) -> None:
        self._block = block
        self._heads = block.n_head
        self._scheme = scheme
        self._query = Projection(block.query.weight, None, scheme)
        self._output = Projection(block.output.weight, None, scheme)
        self._norm = Norm(block.norm)

    def remember(self, memory: Tensor, mask: Tensor, *, same: bool) -> TextMemory | FoldedText:
        """Project the text (B, S, D), ``mask`` (B, S); ``same``: every row is the same line.

        Folding pays while H S is less than D: fewer numbers are read than in the two projections it replaces.
        """
        rows = len(memory)
        if same:
            memory, mask = memory[:1, mask[0]], mask[:1, mask[0]]
            if memory.shape[1] * self._heads <= memory.shape[2]:
                return self._folded(memory, rows)
        self._query.prepare(rows)
        self._output.prepare(rows)
        key, value = (part.contiguous() for part in self._block.keys_values(memory))
        bias = None if bool(mask.all()) else torch.zeros_like(mask, dtype=memory.dtype).masked_fill_(~mask, -torch.inf)
        return TextMemory(key, value, None if bias is None else bias[:, None, None])

    def _folded(self, memory: Tensor, rows: int) -> FoldedText:
        key, value = self._block.keys_values(memory)  # (1, H, S, K), (1, H, S, V)
        query = self._block.query.weight.unflatten(0, (self._heads, -1))  # (H, K, D)
        output = self._block.output.weight.unflatten(1, (self._heads, -1)).transpose(0, 1)  # (H, D, V)
        scores = torch.matmul(key[0] * query.shape[1] ** -0.5, query).flatten(0, 1)  # (H S, D)
        mixed = torch.matmul(output, value[0].transpose(1, 2)).transpose(0, 1).flatten(1)  # (D, H S)
        kind = self._scheme.kind_for_text(rows)
        return FoldedText(*(kind.of(weight, None) for weight in (scores, mixed)))

    def __call__(self, x: Tensor, memory: TextMemory | FoldedText) -> Tensor:
        """``x`` (B, D) -> (B, D)."""
        rows = x.shape[0]
        if isinstance(memory, FoldedText):
            scores = memory.scores(x).view(rows, self._heads, -1)
            return self._norm(memory.mixed(torch.softmax(scores, 2).view(rows, -1), x))
        texts, heads, _, width = memory.key.shape
        query = self._query(x).view(texts, -1, heads, width).transpose(1, 2)  # (T, H, B / T, K)
        mixed = F.scaled_dot_product_attention(query, memory.key, memory.value, memory.bias)
        return self._norm(self._output(mixed.transpose(1, 2).reshape(rows, -1), x))


class LayerStepper:
    """One decoder layer, a position at a time; see `PaperLayer.forward`."""

    def __init__(self, layer: PaperLayer, scheme: Scheme) -> None:
        self._self_attention = CausalAttention(layer.self_attention, scheme)
        self._text_attention = TextAttention(layer.text_attention, scheme)
        self._lta = None if layer.lta is None else CausalAttention(layer.lta, scheme)
        prior = layer.prior
        # Half the log-variance, so that its exponential is the deviation.
        weight = torch.cat([prior.mean.weight, 0.5 * prior.log_variance.weight])
        self._prior = Projection(weight, torch.cat([prior.mean.bias, 0.5 * prior.log_variance.bias]), scheme)
        self._text_attention_second = TextAttention(layer.text_attention_second, scheme)
        self._widen = Projection(layer.ffn.widen.weight, layer.ffn.widen.bias, scheme)
        self._narrow = Projection(layer.ffn.narrow.weight, layer.ffn.narrow.bias, scheme)
        self._norm = Norm(layer.ffn.norm)
        self._latent_widths = [len(prior.mean.weight), len(prior.log_variance.weight)]
        self._second_sample = layer.second_sample

    def remember(self, memory: Tensor, mask: Tensor, *, same: bool) -> TextMemories:
        """The text ``memory`` (B, S, D), ``mask`` (B, S), as this layer sees it."""
        first, second = self._text_attention, self._text_attention_second
        return first.remember(memory, mask, same=same), second.remember(memory, mask, same=same)

    def start(self, text: TextMemories, like: Tensor, positions: int) -> LayerState:
        """An empty state for ``positions`` positions of ``len(like)`` rows over a text that it was told."""
        for part in (self._self_attention, self._lta, self._prior, self._widen, self._narrow):
            if part is not None:
                part.prepare(len(like))
        return LayerState(
            self._self_attention.new_cache(like, positions),
            None if self._lta is None else self._lta.new_cache(like, positions),
            *text,
        )

    def __call__(self, x: Tensor, state: LayerState, noise: Sequence[Tensor], place: Place) -> Tensor:
        """The newest position ``x`` (B, D) -> (B, D); ``noise`` for the prior and the second sample, (B, D) each."""
        x = self._self_attention(x, state.self_attention, place)
        latent_state = self._text_attention(x, state.text)
        if self._lta is not None and state.lta is not None:
            latent_state = self._lta(latent_state, state.lta, place)
        mean, log_deviation = torch.split_with_sizes(self._prior(latent_state), self._latent_widths, 1)
        x = torch.addcmul(x + mean, log_deviation.exp(), noise[0])
        x = self._text_attention_second(x, state.text_second)
        x = self._norm(self._narrow(self._widen(x).relu_(), x))
        return torch.add(x, noise[1], alpha=SECOND_SAMPLE_DEVIATION) if self._second_sample else x


class EwaStepper:
    """Expression-wise Attention by its collapsed form (`generator.ewa`), for one frame per row.

    The variance in it, s^T Q s + eps with s = (x, means of H heads, 1), is the squared length of R s where R^T R is Q
    with eps added to its last entry.
    """

    def __init__(self, model: PaperCTEG) -> None:
        assert model.ewa is not None
        scalars = model.ewa.scalars()
        self._heads = model.config.n_head
        self._sizes = [model.config.expression_channels, model.config.jaw_channels]
        self._gain_slope, self._gain_offset = scalars.gain_slope, scalars.gain_offset
        quadratic = scalars.quadratic.double()
        quadratic[-1, -1] += model.ewa.attention.norm.eps
        values, vectors = torch.linalg.eigh(quadratic)
        root = vectors * values.clamp(min=0).sqrt()
        form = torch.cat([root.float(), scalars.numerator[:, None]], 1)  # (H + 2, H + 3)
        self._form_jaw, self._form_means, self._form_one = form[0], form[1:-1].contiguous(), form[-1]
        self._constant = scalars.constant

    def __call__(self, seen: Tensor) -> Tensor:
        """What EwA adds to the jaw, (B, J), when it sees ``seen`` (B, E)."""
        rows = seen.shape[0]
        others, jaw = torch.split_with_sizes(seen, self._sizes, 1)  # (B, C), (B, J)
        jaw = jaw.unsqueeze(2)
        gain = torch.addcmul(self._gain_offset, jaw, self._gain_slope).view(rows, -1, 1)  # (B, J H, 1)
        weights = torch.softmax(gain * others.unsqueeze(1), 2)
        means = torch.bmm(weights, others.unsqueeze(2)).view(-1, self._heads)  # (B J, H)
        rest = torch.addcmul(self._form_one, jaw, self._form_jaw).view(means.shape[0], -1)
        root, numerator = torch.split_with_sizes(torch.addmm(rest, means, self._form_means), [self._heads + 2, 1], 1)
        deviation = torch.linalg.vector_norm(root, dim=1, keepdim=True)  # (B J, 1)
        return torch.addcdiv(self._constant, numerator, deviation).view(rows, -1)


class Stepper:
    """A `PaperCTEG` prepared for decoding. It holds copies of the weights as they are now.

    Args:
        model: in eval mode.
        precision: of the weights, see `projections.Precision`.
        recorder: records steps, which are then replayed; see `replay`.

    Raises:
        ValueError: EwA is in "sequence" mode, which needs the whole clip at once.
        InputError: the precision is not for the model's device.
    """

    @torch.inference_mode()
    def __init__(self, model: PaperCTEG, precision: Precision = "fp32", recorder: Recorder | None = None) -> None:
        self.config = model.config
        scheme = Scheme(precision, recorder is not None)
        self._recorder, self._kept = recorder, scheme.kept_type
        if self.config.ewa == "sequence":
            raise ValueError("ewa 'sequence' looks at the whole clip; decode with PaperConfig.causal() (ewa 'prefix')")
        self._layers = [LayerStepper(layer, scheme) for layer in model.decoder_layers]
        self._ewa = None if model.ewa is None else EwaStepper(model)
        scale = math.sqrt(self.config.d_model) if self.config.scale_embedding else 1.0
        weight = scale * model.frame_embedding.weight  # (D, E)
        if self._ewa is not None:  # it reads the frame and what EwA adds to the jaw
            weight = torch.cat([weight, weight[:, self.config.expression_channels :]], 1)
        # Small, and what they round is seen at once: never in 8 bits.
        self._embed = Projection(weight, None, Scheme("fp32"))
        self._frames = Projection(model.frames.weight, None, Scheme("fp32"))
        self._norm = Norm(model.embedding_norm)
        self._rows = model.positions + scale * model.frame_embedding.bias  # what the embedding adds, (N, D)
        self._rows[0] = model.positions[0] + scale * model.markers.weight[Marker.START]
        count = len(self._rows)
        divisors = [self.config.ewa_divided_by(max(position, 1)) for position in range(count)]
        self._shares = self._rows.new_tensor(divisors)[:, None].reciprocal()  # (N, 1)
        self._indices = torch.arange(count, device=self._rows.device)
        each = zip(self._indices.split(1), self._rows.split(1), self._shares.split(1), strict=True)
        self._places = [Place(*parts, span) for span, parts in enumerate(each, 1)]
        self._text: ReadText | None = None

    @torch.inference_mode()
    def start(self, memory: Tensor, memory_mask: Tensor, positions: int) -> DecodingState:
        """Ready to decode ``positions`` positions over ``memory`` (B, S, D), ``memory_mask`` (B, S).

        Raises:
            ValueError: there is no room for so many.
        """
        if positions > len(self._places):
            raise ValueError(f"{positions} positions are more than the model's {len(self._places)} (max_positions)")
        self._embed.prepare(len(memory))
        self._frames.prepare(len(memory))
        texts = self._read(memory, memory_mask)
        # A recorded step fits one size of cache.
        room = positions if self._recorder is None else len(self._places)
        layers = [layer.start(text, memory, room) for layer, text in zip(self._layers, texts, strict=True)]
        return DecodingState(layers, memory.new_zeros(len(memory), self.config.channels))

    def _read(self, memory: Tensor, mask: Tensor) -> list[TextMemories]:
        """What each layer makes of a text; the last one is kept, for another take of the line needs it again."""
        if self._text is None or not self._text.is_of(memory, mask):
            same = bool((mask == mask[:1]).all() and (memory == memory[:1]).all())
            layers = [layer.remember(memory, mask, same=same) for layer in self._layers]
            self._text = ReadText(memory.clone(), mask.clone(), layers)
        return self._text.layers

    @torch.inference_mode()
    def step(self, state: DecodingState, frame: Tensor | None, noise: Tensor) -> Tensor:
        """Feed one position and return the frame it predicts, (B, E).

        Args:
            state: from `start`; it moves on by one position.
            frame: (B, E); None at position 0, the start marker.
            noise: this position's draws, (2 L, B, D): prior sample and second sample of each layer in turn.
        """
        position = state.position
        state.position += 1
        if frame is None or self._recorder is None or not self._recorder.suits(noise.shape[1]):
            return self._computed(state.layers, state.total, frame, noise, self._places[position])
        if state.replay is None:
            inputs = StepInputs(
                frame.new_empty(frame.shape), noise.new_empty(noise.shape), self._indices.new_empty(1), self._indices,
                state.total, state.layers,
            )  # fmt: skip
            state.replay = Replay(inputs, self._recorder.record(self._recordable, inputs))
        return state.replay(frame, noise, position)

    def _recordable(self, inputs: StepInputs) -> Tensor:
        """The step as a function of tensors alone."""
        row, share = self._rows.index_select(0, inputs.position), self._shares.index_select(0, inputs.position)
        later = inputs.reach > inputs.position
        unseen = torch.zeros_like(later, dtype=self._kept).masked_fill_(later, -torch.inf)
        place = Place(inputs.position, row, share, later.shape[0], unseen.view(1, 1, 1, -1))
        return self._computed(inputs.layers, inputs.total, inputs.frame, inputs.noise, place)

    def _computed(
        self, layers: list[LayerState], total: Tensor, frame: Tensor | None, noise: Tensor, place: Place
    ) -> Tensor:
        """The step itself; of the state it changes the contents of tensors alone."""
        x = place.row.expand(noise.shape[1], -1) if frame is None else self._embedded(frame, total, place)
        x = self._norm(x)
        draws = noise.unbind(0)
        for index, (layer, memory) in enumerate(zip(self._layers, layers, strict=True)):
            x = layer(x, memory, draws[2 * index : 2 * index + 2], place)
        return self._frames(x)

    def _embedded(self, frame: Tensor, total: Tensor, place: Place) -> Tensor:
        """The newest frame (B, E) before the norm, (B, D); it joins the ``total`` that EwA looks at."""
        if self._ewa is None:
            return self._embed(frame, place.row)
        total.add_(frame)
        shift = self._ewa(frame if self.config.ewa == "frame" else total * place.share)
        return self._embed(torch.cat([frame, shift], 1), place.row)


class Norm:
    """Layer normalisation with fixed weights."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self._shape, self._eps = list(norm.normalized_shape), norm.eps
        self._weight, self._bias = norm.weight.detach(), norm.bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` (B, D) -> (B, D)."""
        return torch.native_layer_norm(x, self._shape, self._weight, self._bias, self._eps)[0]
