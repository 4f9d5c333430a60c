# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes by cached autoregressive decoding, ended at the standard face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..conditioning import Condition
from ..model import CTEG
from ..shared.easing import minimum_jerk
from ..shared.spaces import Space
from .draws import STREAM_LATENT as STREAM_LATENT
from .draws import STREAM_LENGTH as STREAM_LENGTH
from .draws import Draws, stacked
from .draws import TakeSeed as TakeSeed

#: Longest ease-out to the standard face, in seconds, and its largest share of a clip.
EASE_OUT_SECONDS: Final = 0.5
EASE_OUT_SHARE: Final = 0.3
#: The stop rule looks for the standard face only after this share of the clip, so that a calm moment is no end.
STOP_AFTER_SHARE: Final = 0.75


class Cancelled(Exception):
    """The caller asked to stop."""


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
    lengths = [int(n) for n in condition.frames.tolist()]
    steps = steps_of(model, max(lengths))
    draws = [Draws.of(seed, model.config, steps) for seed in seeds]
    scaled = decode(model, condition, draws, temperature, on_step=on_step)
    decoded = in_units(model, scaled)
    takes = [decoded[row, :length] for row, length in enumerate(lengths)]
    if model.config.frames_per_step > 1:
        takes = [smooth_seams(take, model.space) for take in takes]
    return [
        end_at_standard_face(take, model.space, stop_early=not fixed)
        for take, fixed in zip(takes, fixed_length, strict=True)
    ]


@torch.inference_mode()
def decode(
    model: CTEG,
    condition: Condition,
    draws: list[Draws],
    temperature: list[float],
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Scaled frames (B, N P, C) of B rows for the N steps of ``draws``.

    Args:
        model: in eval mode.
        condition: B rows.
        draws: of each row, N steps.
        temperature: of each row.
        on_step: called with (steps done, steps in all); may raise `Cancelled`.
    """
    device, size = model.scale.device, model.config.frames_per_step
    noise, gumbel = _scaled_draws(model, draws)
    steps = noise.shape[1]
    heat = torch.tensor(temperature, device=device)[:, None, None]
    memory, mask = model.memory(condition)
    caches = model.new_caches(memory, steps)
    lower, upper = (torch.from_numpy(v).to(device) / model.scale for v in (model.space.lower, model.space.upper))
    previous = torch.zeros(len(draws), model.space.size, device=device)
    velocity = torch.zeros_like(previous)
    written = []
    for step in range(steps):
        frames = model.decode_step(
            previous, velocity, condition, mask, caches, noise[:, step], gumbel[:, step], heat, step
        ).clamp(lower, upper)
        before = frames[:, -2] if size > 1 else previous
        previous, velocity = frames[:, -1], frames[:, -1] - before
        written.append(frames)
        if on_step is not None:
            on_step(step + 1, steps)
    return torch.cat(written, 1)


def _scaled_draws(model: CTEG, draws: list[Draws]) -> tuple[Tensor, Tensor]:
    """Normal and Gumbel draws at temperature 1, (B, N, n_layers, Z) and (B, N, n_layers, K)."""
    noise, gumbel = stacked(draws, model.config.d_latent, model.scale.device)
    return model.config.draw_scale * noise, model.config.choice_scale * gumbel


def steps_of(model: CTEG, frames: int) -> int:
    """Decoder steps that write at least ``frames`` frames."""
    return -(-frames // model.config.frames_per_step)


def in_units(model: CTEG, scaled: Tensor) -> npt.NDArray[np.float32]:
    """Scaled frames (…, C) in the units of the model's space."""
    frames: npt.NDArray[np.float32] = (scaled * model.scale).float().cpu().numpy()
    return frames


@torch.inference_mode()
def sample_uncached(model: CTEG, condition: Condition, seed: TakeSeed, temperature: float) -> npt.NDArray[np.float32]:
    """One take decoded without caches: everything is decoded again at each step. The yardstick for `sample_takes`.

    Returns:
        (T, C) before the ending is shaped, in the space's units and limits.
    """
    config, device = model.config, model.scale.device
    steps = -(-int(condition.frames[0]) // config.frames_per_step)
    noise, gumbel = _scaled_draws(model, [Draws.of(seed, config, steps)])
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


def smooth_seams(frames: npt.NDArray[np.float32], space: Space, also: Sequence[int] = ()) -> npt.NDArray[np.float32]:
    """Smooth the slow channels of ``frames`` (T, C), and columns ``also``, over five frames (binomial weights).

    Each decoder step draws a latent of its own, so velocity breaks where P-frame steps meet: on a slow channel such as
    the head that shows as a tick P frames apart. Lids, gaze and speaking lips are faster than that and stay untouched.
    """
    slow = [*space.slow, *(column for column in also if column not in space.slow)]
    padded = np.pad(frames[:, slow], ((2, 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=0)
    smoothed = frames.copy()
    smoothed[:, slow] = windows @ (np.array([1, 4, 6, 4, 1], np.float32) / 16)
    return smoothed


def end_at_standard_face(
    frames: npt.NDArray[np.float32], space: Space, *, stop_early: bool = True
) -> npt.NDArray[np.float32]:
    """Stop rule and terminator (section 3.5): cut at the standard face, then arrive there with zero velocity.

    With ``stop_early`` the clip is cut where `first_standard_face` says. Its last half second then eases out to exactly
    zero, so the face always comes to rest, even where the model did not.
    """
    return ease_out(frames[: first_standard_face(frames, space)] if stop_early else frames, space)


def first_standard_face(frames: npt.NDArray[np.float32], space: Space, passage: int | None = None) -> int:
    """Frames up to the first at the standard face: norm under ``space.standard_face_norm`` in the last quarter.

    Args:
        frames: (T, C).
        space: of the frames.
        passage: look in the last quarter of the last ``passage`` frames; None for the whole clip.
    """
    first = int(len(frames) - (1 - STOP_AFTER_SHARE) * passage) if passage else int(len(frames) * STOP_AFTER_SHARE)
    still = np.flatnonzero(np.linalg.norm(frames[first:], axis=1) < space.standard_face_norm)
    return first + int(still[0]) + 1 if still.size else len(frames)


def ease_out(frames: npt.NDArray[np.float32], space: Space) -> npt.NDArray[np.float32]:
    """``frames`` (T, C) with the last half second (or `EASE_OUT_SHARE`) eased out to the standard face."""
    frames, count = frames.copy(), len(frames)
    ease = max(1, min(round(EASE_OUT_SECONDS * space.fps), round(count * EASE_OUT_SHARE)))
    t = np.linspace(0, 1, ease + 1, dtype=np.float32)[1:]
    frames[-ease:] *= (1 - minimum_jerk(t))[:, None]
    frames[-1] = 0
    return frames
