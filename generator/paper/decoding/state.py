# SPDX-License-Identifier: GPL-3.0-or-later
"""What decoding one position at a time knows and remembers.

Shapes: B rows, M positions, S text tokens, D model width, H heads, K and V widths of a head's keys and values,
E channels, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .projections import Layout


@dataclass(frozen=True)
class Place:
    """What a step needs to know of its position, looked up so that a step computes none of it.

    Attributes:
        index: the position, (1,).
        row: what the embedding adds there, (1, D).
        share: what EwA multiplies the sum of the frames so far by, (1, 1).
        span: positions that attention looks at, the newest one included.
        unseen: -inf at those of them that are later, else 0, (1, 1, 1, span); None when there are none.
    """

    index: Tensor
    row: Tensor
    share: Tensor
    span: int
    unseen: Tensor | None = None


@dataclass(frozen=True)
class TextMemory:
    """The text as one attention block sees it.

    Attributes:
        key, value: (T, H, S, K) and (T, H, S, V); T is B, or 1 where every row reads the same line.
        bias: 0 at real tokens, -inf at padding, (T, 1, 1, S); None when there is no padding.
    """

    key: Tensor
    value: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class FoldedText:
    """The same for rows that all read one short line, with the block's query and output projections inside.

    Attributes:
        scores: from the newest position to what each head makes of each token, (B, D) -> (B, H S).
        mixed: from each head's weights to what the block adds, (B, H S) -> (B, D).
    """

    scores: Layout
    mixed: Layout


#: The text as the two attention blocks of a layer see it.
TextMemories = tuple[TextMemory | FoldedText, TextMemory | FoldedText]


@dataclass(frozen=True)
class LayerState:
    """What one layer remembers. What attention has seen are keys beside values, (B, H, M, K + V)."""

    self_attention: Tensor
    lta: Tensor | None
    text: TextMemory | FoldedText
    text_second: TextMemory | FoldedText


@dataclass(frozen=True)
class StepInputs:
    """All that a step computes from beside its weights, as tensors alone; for recording it, see `replay`.

    Attributes:
        frame: the newest frame, (B, E).
        noise: its draws, (2 L, B, D), see `Stepper.step`.
        position: (1,).
        reach: the positions that attention looks at, (span,), of which those after ``position`` are masked.
        total: sum of the frames so far, (B, E); the step adds the newest one.
        layers: one state per layer; the step adds keys and values.
    """

    frame: Tensor
    noise: Tensor
    position: Tensor
    reach: Tensor
    total: Tensor
    layers: list[LayerState]
