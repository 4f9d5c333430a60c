# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous perplexity of a paper-type checkpoint: each frame predicted from the true frames before it.

Not for the default CTEG: the Gaussian's deviation (0.2) and the box (±0.8) are in units of FLAME coefficients, about
N(0, 1), and a box of ±0.8 holds nearly every value that an ARKit coefficient in 0..1 can take; and it predicts several
frames per step from a mixture, which no single Gaussian around a prediction describes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from tqdm import tqdm

from .distances import Clip
from .perplexity import box_bits, corner_bits, perplexity

if TYPE_CHECKING:
    from ..paper.checkpoint import PaperCheckpoint
    from ..paper.model import PaperCTEG

_BATCH: Final = 16


def paper_perplexity(
    checkpoint: PaperCheckpoint, lines: Sequence[str], clips: Sequence[Clip], seed: int = 0
) -> dict[str, float]:
    """``cppl`` as released, ``cppl_box`` with its floor, ``cppl_box_exact`` without; latents from the prior, noise on.

    A model whose EwA averages over the whole clip (``ewa`` "sequence") sees the future here, which flatters it;
    for it the same three with ``_causal`` are added, with EwA over the past only (`PaperConfig.causal`).

    Args:
        checkpoint: with its text encoder.
        lines, clips: n of each; clips (T, 53) without the mean face.
        seed: of the noise.
    """
    scores = _scores(checkpoint, checkpoint.model, lines, clips, seed)
    if checkpoint.model.config.ewa == "sequence":
        causal = copy.copy(checkpoint.model)  # shares the weights
        causal.config = checkpoint.model.config.causal()
        scores |= {f"{k}_causal": v for k, v in _scores(checkpoint, causal, lines, clips, seed).items()}
    return scores


@torch.inference_mode()
def _scores(
    checkpoint: PaperCheckpoint, model: PaperCTEG, lines: Sequence[str], clips: Sequence[Clip], seed: int
) -> dict[str, float]:
    from ..paper.batches import collate
    from ..training.recipe import mapped

    model.eval()
    device, random = checkpoint.encoder.device, torch.Generator().manual_seed(seed)
    corner, box, exact = [], [], []
    for start in tqdm(range(0, len(lines), _BATCH), f"{checkpoint.name}, teacher-forced", unit="batch"):
        frames = [torch.from_numpy(clip) for clip in clips[start : start + _BATCH]]
        batch = mapped(collate(frames, checkpoint.mean.cpu(), model.config), lambda tensor: tensor.to(device))
        text = checkpoint.encoder.encode(list(lines[start : start + _BATCH]))
        output = model(
            batch, text.hidden, text.mask, "prior", lambda like: torch.randn(like.shape, generator=random).to(device)
        )
        arrays = (t.cpu().numpy() for t in (output.prediction, batch.target, batch.target_mask))
        predicted, gold, mask = arrays
        corner.append(corner_bits(predicted, gold, mask))
        box.append(box_bits(predicted, gold, mask))
        exact.append(box_bits(predicted, gold, mask, floor=None))
    bits = {"cppl": corner, "cppl_box": box, "cppl_box_exact": exact}
    return {name: perplexity(np.concatenate(parts)) for name, parts in bits.items()}
