# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes by cached autoregressive decoding, ended at the standard face."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .model import CTEG, Condition
from .spaces import Space

#: Longest ease-out to the standard face, in seconds, and its largest share of a clip.
EASE_OUT_SECONDS: Final = 0.5
EASE_OUT_SHARE: Final = 0.3
#: The stop rule looks for the standard face only after this share of the clip, so that a calm moment is no end.
STOP_AFTER_SHARE: Final = 0.75
#: Streams of random numbers that a take's seed opens (see `TakeSeed.rng`).
STREAM_LATENT, STREAM_LENGTH = 0, 1


class Cancelled(Exception):
    """The caller asked to stop."""


@dataclass(frozen=True)
class TakeSeed:
    """What a take's random numbers come from.

    The line is part of it: with the seed alone, seed 1 would turn the head at the same moment in every line. Emotion
    and intensity are not, so that a take can be turned up without becoming another one.
    """

    seed: int
    line: str

    def rng(self, stream: int) -> np.random.Generator:
        """The numbers of one stream: NumPy's PCG64, the same on every platform, device and torch version."""
        entropy = [self.seed, zlib.crc32(self.line.encode("utf-8")), stream]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@torch.inference_mode()
def sample_takes(
    model: CTEG,
    condition: Condition,
    seeds: list[TakeSeed],
    temperature: list[float],
    fixed_length: list[bool],
    on_step: Callable[[int, int], None] | None = None,
) -> list[npt.NDArray[np.float32]]:
    """Decode one take per row of ``condition``, all rows together.

    Args:
        model: in eval mode.
        condition: B rows; ``condition.frames`` is each take's length.
        seeds: B seeds; a row's draws depend on its own seed only.
        temperature: B temperatures.
        fixed_length: B flags; True keeps every frame asked for, False lets the stop rule end the take earlier.
        on_step: called with (steps done, steps in all); may raise `Cancelled`.

    Returns:
        B arrays (T_i, C) in the space's units and limits, each ending at the standard face.
    """
    config, device = model.config, model.scale.device
    lengths = [int(n) for n in condition.frames.tolist()]
    steps = -(-max(lengths) // config.frames_per_step)
    noise, gumbel = _draws(model, seeds, steps)
    heat = torch.tensor(temperature, device=device)[:, None, None]
    memory, mask = model.memory(condition)
    caches = model.new_caches(memory, steps)
    lower, upper = (torch.from_numpy(v).to(device) / model.scale for v in (model.space.lower, model.space.upper))
    previous = torch.zeros(len(seeds), model.space.size, device=device)
    velocity = torch.zeros_like(previous)
    written = []
    for step in range(steps):
        frames = model.decode_step(
            previous, velocity, condition, mask, caches, noise[:, step], gumbel[:, step], heat, step
        ).clamp(lower, upper)
        before = frames[:, -2] if config.frames_per_step > 1 else previous
        previous, velocity = frames[:, -1], frames[:, -1] - before
        written.append(frames)
        if on_step is not None:
            on_step(step + 1, steps)
    decoded = (torch.cat(written, 1) * model.scale).float().cpu().numpy()
    takes = [decoded[row, :length] for row, length in enumerate(lengths)]
    if config.frames_per_step > 1:
        takes = [smooth_seams(take, model.space) for take in takes]
    return [
        end_at_standard_face(take, model.space, stop_early=not fixed)
        for take, fixed in zip(takes, fixed_length, strict=True)
    ]


@torch.inference_mode()
def sample_uncached(model: CTEG, condition: Condition, seed: TakeSeed, temperature: float) -> npt.NDArray[np.float32]:
    """One take decoded without caches: everything is decoded again at each step. The yardstick for `sample_takes`.

    Returns:
        (T, C) before the ending is shaped, in the space's units and limits.
    """
    config, device = model.config, model.scale.device
    steps = -(-int(condition.frames[0]) // config.frames_per_step)
    noise, gumbel = _draws(model, [seed], steps)
    heat = torch.tensor([temperature], device=device)[:, None, None]
    lower, upper = (torch.from_numpy(v).to(device) / model.scale for v in (model.space.lower, model.space.upper))
    frames = torch.zeros(1, steps, config.frames_per_step, model.space.size, device=device)
    memory, mask = model.memory(condition)
    for step in range(steps):
        previous, velocity = model.shift(frames[:, : step + 1])
        x = model.embed(previous, velocity, condition)
        for index, layer in enumerate(model.decoder_layers):
            state = layer.state(x, memory, mask)
            drawn = noise[:, : step + 1, index], gumbel[:, : step + 1, index]
            latent = layer.prior(state).sample(*drawn, heat)
            x = layer.emit(state, latent, layer.text_attention_second.keys_values(memory), mask)
        base = previous[:, :, None] if config.residual else 0.0
        predicted = base + model.frames(x).float().unflatten(-1, frames.shape[2:])
        frames[:, step] = predicted[:, step].clamp(lower, upper)
    decoded: npt.NDArray[np.float32] = (frames.flatten(1, 2)[0] * model.scale).cpu().numpy()
    return decoded[: int(condition.frames[0])]


def smooth_seams(frames: npt.NDArray[np.float32], space: Space) -> npt.NDArray[np.float32]:
    """Smooth the slow channels of ``frames`` (T, C) over five frames (binomial weights).

    Each decoder step draws a latent of its own, so velocity breaks where P-frame steps meet: on a slow channel such as
    the head that shows as a tick P frames apart. Lids, gaze and speaking lips are faster than that and stay untouched.
    """
    slow = list(space.slow)
    padded = np.pad(frames[:, slow], ((2, 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=0)
    smoothed = frames.copy()
    smoothed[:, slow] = windows @ (np.array([1, 4, 6, 4, 1], np.float32) / 16)
    return smoothed


def end_at_standard_face(
    frames: npt.NDArray[np.float32], space: Space, *, stop_early: bool = True
) -> npt.NDArray[np.float32]:
    """Stop rule and terminator (section 3.5): cut at the standard face, then arrive there with zero velocity.

    With ``stop_early`` the clip is cut after the first frame in its last quarter whose norm is under
    ``space.standard_face_norm``. Its last half second then eases out to exactly zero, so the face always comes to rest,
    even where the model did not.
    """
    count = len(frames)
    first = int(count * STOP_AFTER_SHARE)
    still = np.flatnonzero(np.linalg.norm(frames[first:], axis=1) < space.standard_face_norm)
    if stop_early and still.size:
        count = first + int(still[0]) + 1
    frames = frames[:count].copy()
    ease = max(1, min(round(EASE_OUT_SECONDS * space.fps), round(count * EASE_OUT_SHARE)))
    t = np.linspace(0, 1, ease + 1, dtype=np.float32)[1:]
    # Minimum-jerk profile (Flash and Hogan 1985): velocity and acceleration are zero at both ends.
    frames[-ease:] *= (1 - (10 * t**3 - 15 * t**4 + 6 * t**5))[:, None]
    frames[-1] = 0
    return frames


def _draws(model: CTEG, seeds: list[TakeSeed], steps: int) -> tuple[Tensor, Tensor]:
    """Standard normal (B, steps, layers, Z) and Gumbel (B, steps, layers, K) draws.

    Drawn step by step, so that a longer take of the same seed starts with the same draws.
    """
    config = model.config
    width = config.d_latent + config.prior_components
    normal, gumbel = [], []
    for seed in seeds:
        rng = seed.rng(STREAM_LATENT)
        uniform = rng.random((steps, config.n_layers, width + config.d_latent))
        z, k = config.d_latent, config.prior_components
        # Box-Muller, so that one uniform array per step keeps prefixes equal.
        radius = np.sqrt(-2 * np.log1p(-uniform[..., :z]))
        normal.append(radius * np.cos(2 * np.pi * uniform[..., z : 2 * z]))
        gumbel.append(-np.log(-np.log(np.clip(uniform[..., 2 * z : 2 * z + k], 1e-12, 1 - 1e-12))))
    device = model.scale.device
    return (
        torch.from_numpy(np.stack(normal)).float().to(device),
        torch.from_numpy(np.stack(gumbel)).float().to(device),
    )
