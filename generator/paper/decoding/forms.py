# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a decoding step is compiled in, and which sizes of its inputs may differ from call to call.

Shapes: see `state`.
"""

from __future__ import annotations

import itertools

import torch
from torch.utils import _pytree as pytree

from .projections import Plain, SummedBytes
from .state import FoldedText, LayerState, StepInputs, TextMemory

for _class in (StepInputs, LayerState, TextMemory, FoldedText, Plain, SummedBytes):
    torch.export.register_dataclass(_class)


class StepForm:
    """The form of a step's inputs: any line, length and number of rows has the same, but for the attributes below.

    One row has another form than several; so have lines that are folded in, lines that are not, and padded ones.

    Attributes:
        structure: of the inputs, for `pytree.tree_unflatten`.
        growing: of each tensor, the axes that may have another size.
        example: tensors of this form. A growing axis has a size that nothing else has, because PyTorch takes axes of
            the same size for the same.
        key: the same where the same compiled step fits.
        several: for several rows.
    """

    def __init__(self, inputs: StepInputs) -> None:
        tensors, self.structure = pytree.tree_flatten(inputs)
        assert all(tensor.is_contiguous() for tensor in tensors)  # as the example is
        self.several = len(inputs.frame) > 1
        names = _growing(inputs, several=self.several)
        shapes = [[names.get((id(tensor), axis), size) for axis, size in enumerate(tensor.shape)] for tensor in tensors]
        self.key = f"{self.structure} {[tensor.dtype for tensor in tensors]} {shapes}"
        sizes = _sizes(inputs, {size for shape in shapes for size in shape if isinstance(size, int)})
        self.example = [
            tensor.new_empty([size if isinstance(size, int) else sizes[size] for size in shape])
            for tensor, shape in zip(tensors, shapes, strict=True)
        ]
        self.growing = [
            {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(shape) if isinstance(size, str)}
            for shape in shapes
        ]


def _growing(inputs: StepInputs, *, several: bool) -> dict[tuple[int, int], str]:
    """Names of the sizes that may differ, by the tensor's `id` and the axis."""
    names = {(id(inputs.reach), 0): "positions"}
    if several:
        names |= {(id(inputs.frame), 0): "rows", (id(inputs.noise), 1): "rows", (id(inputs.total), 0): "rows"}
    for layer in inputs.layers:
        if several:
            names |= {(id(cache), 0): "rows" for cache in (layer.self_attention, layer.lta)}
        for text in (layer.text, layer.text_second):
            if isinstance(text, TextMemory):
                names |= {(id(text.key), 2): "tokens", (id(text.value), 2): "tokens", (id(text.bias), 3): "tokens"}
                if len(text.key) > 1:
                    names |= {(id(part), 0): "rows" for part in (text.key, text.value, text.bias)}
            elif isinstance(text.scores, Plain) and isinstance(text.mixed, Plain):
                names |= {(id(text.scores.matrix), 1): "scores", (id(text.mixed.matrix), 0): "scores"}
            elif isinstance(text.scores, SummedBytes) and isinstance(text.mixed, SummedBytes):
                names |= {(id(text.scores.table), 1): "bytes of scores", (id(text.mixed.table), 0): "scores"}
                names[id(text.mixed.every), 0] = "scores"
    return names


def _sizes(inputs: StepInputs, taken: set[int]) -> dict[str, int]:
    """A size for every name, none of them ``taken``."""
    heads, room = inputs.layers[0].self_attention.shape[1:3]
    positions = next((size for size in range(2, room) if size not in taken), room)
    for rows in itertools.count(positions + 1):
        tokens = rows + 1
        scores = heads * tokens
        sizes = [rows, tokens, scores, scores + SummedBytes.BESIDE]
        if taken.isdisjoint(sizes) and len({positions, *sizes}) == 1 + len(sizes):
            break
    return dict(zip(("rows", "tokens", "scores", "bytes of scores"), sizes, strict=True), positions=positions)
