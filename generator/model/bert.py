# SPDX-License-Identifier: GPL-3.0-or-later
"""BERT's encoder (Devlin et al. 2019), frozen: what reads a line.

Equal to ``transformers``' BertModel, whose import alone takes three seconds of the wait for a first take.

Shapes: B lines, S tokens, W width, H heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engine.encoder import BERT_OPTIONS as BERT_OPTIONS
from ..engine.encoder import BERT_SIZES as BERT_SIZES
from ..engine.encoder import BertConfig as BertConfig
from ..engine.encoder import is_bert, layer_name
from ..engine.encoder import layer_shapes as layer_shapes
from ..engine.encoder import weight_shapes as weight_shapes

_TANH_GELU: Final = partial(F.gelu, approximate="tanh")
_ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {"gelu": F.gelu, "gelu_new": _TANH_GELU, "gelu_pytorch_tanh": _TANH_GELU, "relu": F.relu, "silu": F.silu}
)


def is_plain_bert(settings: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` describes what `Bert` computes; other families are left to ``transformers``."""
    return is_bert(settings) and settings.get("hidden_act", "gelu") in _ACTIVATIONS


class Bert:
    """Token ids in, last hidden states out, without dropout.

    A table of tensors and no modules: there is nothing to train, and modules would be allocated and initialised only to
    be replaced.
    """

    def __init__(self, config: BertConfig, state: Mapping[str, Tensor]) -> None:
        """An encoder around the tensors of ``state``, which are not copied if they are fp32.

        Args:
            config: the sizes.
            state: published weights; "bert." in front of names is dropped, heads and the pooler are left out.

        Raises:
            ValueError: a weight is missing or has another shape.
        """
        self.config = config
        given = {name.removeprefix("bert."): value for name, value in state.items()}
        self._weights: dict[str, Tensor] = {}
        for name, shape in weight_shapes(config):
            if name not in given:
                raise ValueError(f"the weight {name} is missing")
            if given[name].shape != shape:
                raise ValueError(f"{name} has shape {tuple(given[name].shape)}, not {shape}")
            self._weights[name] = given[name].detach().float()

    @property
    def width(self) -> int:
        """W, width of the hidden states."""
        return self.config.hidden_size

    def state_dict(self) -> dict[str, Tensor]:
        """Every weight, in the names of published checkpoints."""
        return dict(self._weights)

    def to(self, device: torch.device) -> Bert:
        """The same, its tensors moved to ``device``."""
        self._weights = {name: value.to(device) for name, value in self._weights.items()}
        return self

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return self.config.num_hidden_layers

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """``ids`` (B, S) and ``mask`` (B, S), True at real tokens -> (B, S, W)."""
        return self.upper(self.lower(ids, mask, 0), mask, 0)

    def lower(self, ids: Tensor, mask: Tensor, layers: int) -> Tensor:
        """Hidden states (B, S, W) of ``ids`` (B, S) after the first ``layers`` of the encoder."""
        if ids.shape[1] > self.config.max_position_embeddings:
            raise ValueError(f"{ids.shape[1]} tokens are more than {self.config.max_position_embeddings}")
        x, visible = self._embed(ids), mask[:, None, None]  # visible: (B, 1, 1, S)
        for index in range(layers):
            x = self._layer(x, visible, layer_name(index))
        return x

    def upper(self, x: Tensor, mask: Tensor, layers: int) -> Tensor:
        """The last hidden states, from those after the first ``layers``, (B, S, W) both."""
        visible = mask[:, None, None]
        for index in range(layers, self.layers):
            x = self._layer(x, visible, layer_name(index))
        return x

    def tuned(self, weights: Mapping[str, Tensor]) -> Bert:
        """The same encoder with some weights of its own, which may be trained; all others are shared."""
        other = copy.copy(self)
        other._weights = {**self._weights, **weights}
        return other

    def _embed(self, ids: Tensor) -> Tensor:
        """Words, the first of the token types (a line is one sentence), and positions."""
        words, kinds, places = (
            self._weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "token_type", "position")
        )
        return self._norm(F.embedding(ids, words) + kinds[0] + places[: ids.shape[1]], "embeddings.LayerNorm")

    def _layer(self, x: Tensor, visible: Tensor, layer: str) -> Tensor:
        """Self-attention and a feed-forward network on ``x`` (B, S, W), each with residual and post-norm."""
        heads = (self.config.num_attention_heads, self.config.hidden_size // self.config.num_attention_heads)
        query, key, value = (
            self._linear(x, f"{layer}attention.self.{part}").unflatten(-1, heads).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, visible).transpose(1, 2).flatten(2)
        x = self._norm(self._linear(mixed, f"{layer}attention.output.dense") + x, f"{layer}attention.output.LayerNorm")
        wide = _ACTIVATIONS[self.config.hidden_act](self._linear(x, f"{layer}intermediate.dense"))
        return self._norm(self._linear(wide, f"{layer}output.dense") + x, f"{layer}output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, (self.width,), weight, bias, self.config.layer_norm_eps)
