# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's model, random and tiny, with text and clips for it."""

from __future__ import annotations

import torch
from torch import Tensor

from generator.paper.config import PaperConfig
from generator.paper.model import PaperCTEG

SMALL = PaperConfig(
    d_model=16, n_head=2, d_key=4, d_value=6, d_inner=20, expression_channels=5, jaw_channels=2, max_positions=14,
    max_text=6, dropout=0.0,
)  # fmt: skip


def make_model(config: PaperConfig, seed: int = 1) -> PaperCTEG:
    torch.manual_seed(seed)
    model = PaperCTEG(config).eval()
    for name, parameter in model.named_parameters():  # fresh layers are too tame to tell a wrong cache from a right one
        torch.nn.init.normal_(parameter, std=1.0 if name.startswith("ewa") else 0.3)
    return model


def make_text(rows: int = 2) -> tuple[Tensor, Tensor]:
    memory = torch.randn(rows, 5, SMALL.d_model, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(rows, 5, dtype=torch.bool)
    mask[-1, -2:] = False
    return memory, mask


def make_line(tokens: int, rows: int) -> tuple[Tensor, Tensor]:
    """One line for every row, its last token padding: what several takes of a line read."""
    memory = torch.randn(1, tokens, SMALL.d_model, generator=torch.Generator().manual_seed(3)).expand(rows, -1, -1)
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    mask[:, -1] = False
    return memory, mask


def make_clips(*lengths: int) -> tuple[list[Tensor], Tensor]:
    rng = torch.Generator().manual_seed(3)
    return [torch.randn(n, SMALL.channels, generator=rng) for n in lengths], torch.randn(SMALL.channels, generator=rng)
