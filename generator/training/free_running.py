# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes are worth that run free, beside the clip that was acted for the same line and direction.

A decoder that has only seen the teacher's pasts meets others as soon as it goes on from its own frames: it moves too
little, and believes the face that it is on more than what is asked. The energy score (Gneiting and Raftery 2007,
section 4.3) judges the takes themselves. Of two takes and one clip it is their mean distance to the clip, less half of
that between the two: least, on average, where takes are distributed as clips are; takes that agree too much are as bad
as takes that stray. Its gradient leads back through the whole performance, as in weather models that are trained so
(Lang et al. 2024, "AIFS-CRPS"). The recognition network and latent guidance have no part in it.

Shapes: B clips, N decoder steps, P frames per step, T = N P frames, C channels, D numbers that are judged as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ..model.cteg import CTEG
from ..model.distributions import gumbel_like
from .batches import Batch

#: A distance over half a second tells motion from tremor.
_APART: Final = 0.5
#: Beside its frames: of the whole face beside its regions, of what each region of a clip is like, how surely it
#: trembles or not, and how strongly.
_WHOLE: Final = 2.0
_CLIP: Final = 2.0
_TREMBLES: Final = 0.2
_BURSTS: Final = 1.0
#: Numbers that say what a channel is like over a clip.
_KINDS: Final = 4
#: How much a clip's mean speed counts beside its mean face.
_SPEED: Final = 0.3
#: Seconds in which tremor is looked for, from which frequency in Hz, and what share of a turn's power is none.
_WINDOW: Final = 1.0
_TREMOR: Final = 8.0
_SMOOTH: Final = 1e-3

Judged = Callable[[Tensor], Tensor]


def free_running(decoder: CTEG, batch: Batch, rates: Tensor, emphasis: float = 1.0) -> Tensor:
    """The energy score of two takes of every clip of ``batch``, a scalar; less is better. In fp32.

    Of a part of a batch, its share of the whole's. ``rates``: second of `batches.channel_motion`, (C,). ``emphasis``:
    how much more strongly emotions are told, as `engine.config.PerformConfig` has it.
    """
    config, clip = decoder.config, (batch.frames / decoder.scale).flatten(1, 2)
    condition = batch.condition.emphasised(emphasis, config)
    count, steps = batch.step_mask.shape
    draws = []
    for _ in range(2):
        noise = torch.randn_like(clip.new_empty(count, steps, config.n_layers, config.d_latent))
        draws.append((noise, gumbel_like(clip.new_empty(count, steps, config.n_layers, config.choices))))
    noise, gumbel = (torch.cat(both) for both in zip(*draws, strict=True))
    # Both takes at once: steps are small, and a call costs more than what it computes.
    takes = decoder.perform(condition.rows(np.tile(np.arange(count), 2)), noise, gumbel).chunk(2)
    frames = torch.arange(clip.shape[1], device=clip.device)
    inside = (frames < condition.frames[:, None]).float()
    still = condition.start[:, None] / decoder.scale
    # Two frames of the face before the first one, so that every frame has a velocity and a turn.
    shown = [torch.cat([still, still, take], 1) for take in (*takes, clip)]
    regions, apart = list(decoder.space.groups.values()), round(_APART * decoder.space.fps)

    def score(judged: Judged, weights: Tensor, parts: Sequence[Sequence[int]] | None = None) -> Tensor:
        return among([judged(take) for take in shown], weights, parts)

    def among(values: list[Tensor], weights: Tensor, parts: Sequence[Sequence[int]] | None) -> Tensor:
        if parts is None:
            return _energy(values, weights)
        each = [_energy([value[..., list(part)] for value in values], weights) for part in parts]
        return torch.stack(each).sum()

    def velocity(take: Tensor) -> Tensor:
        return (take[:, 2:] - take[:, 1:-1]) / decoder.pace

    def mean(values: Tensor) -> Tensor:
        """Over the frames of each clip, (B, C); differences end earlier."""
        within = inside[:, -values.shape[1] :, None]
        return (values * within).sum(1) / within.sum(1).clamp_min(1)

    def like(take: Tensor) -> Tensor:
        """Mean, deviation, peak and speed of each channel over the clip, (B, 1, 4 C)."""
        face, peak = mean(take[:, 2:]), (take[:, 2:].abs() * inside[..., None]).amax(1)
        # What is added keeps the gradient of a channel that does not move finite.
        deviation = (mean((take[:, 2:] - face[:, None]).square()) + 1e-4).sqrt()
        speed = _SPEED * (mean(velocity(take).square()) + 1e-3).sqrt()
        return torch.cat([face, deviation, peak, speed], -1)[:, None]

    def tremor(take: Tensor) -> Tensor:
        """How large a share of each channel's turns is above 8 Hz, over the clip, (B, 1, C).

        Of slow motion, thousands of times stronger, a Hann window leaks nothing into what is left of turns there.
        """
        shown = (take.diff(n=2, dim=1) / rates).unfold(1, window, window // 2)  # (B, windows, C, frames)
        spectrum = torch.fft.rfft(shown * torch.hann_window(window, periodic=False, device=take.device)).abs().square()
        power = spectrum[..., frequency >= _TREMOR].sum(-1) * (8 / 3) * 2 / window**2
        within = inside.unfold(1, window, window // 2)[..., -1, None]  # no window reaches beyond the clip
        return ((power * within).sum(1) / within.sum(1).clamp_min(1))[:, None]

    total = score(lambda take: take[:, 2:], inside, regions) + score(velocity, inside, regions)
    total = total + score(lambda take: take.diff(n=2, dim=1) / rates, inside, regions)
    total = total + _WHOLE * score(lambda take: take[:, 2:], inside)
    # By region: in the face as a whole, the eyes' few channels would hardly count.
    clips, size = inside.new_ones(count, 1), decoder.space.size
    kinds = [[column + size * kind for kind in range(_KINDS) for column in region] for region in regions]
    total = total + _CLIP * score(like, clips, kinds)
    window = round(_WINDOW * decoder.space.fps)
    frequency = torch.fft.rfftfreq(window, 1 / decoder.space.fps).to(clip.device)
    if clip.shape[1] >= window:
        # The logarithm is blind to the few clips that shake most, which are most of a region's power.
        shaken = [tremor(take) for take in shown]
        total = total + _TREMBLES * among([(share + _SMOOTH).log() / 2 for share in shaken], clips, regions)
        total = total + _BURSTS * among(shaken, clips, regions)
    if clip.shape[1] > apart:
        total = total + score(lambda take: take[:, 2 + apart :] - take[:, 2:-apart], inside[:, apart:], regions)
    return total if batch.whole is None else total * float(batch.step_mask.sum()) / batch.whole.steps


def _energy(values: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Mean energy score of two takes and a clip, (B, T, D) each, over frames of weight (B, T); per sqrt(D)."""
    first, second, clip = values

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).square().sum(-1) + 1e-6).sqrt()  # smooth where both are the same

    score = (distance(first, clip) + distance(second, clip) - distance(first, second)) / 2
    return (score * weights).sum() / weights.sum() / math.sqrt(clip.shape[-1])
