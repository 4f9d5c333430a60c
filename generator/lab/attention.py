# SPDX-License-Identifier: GPL-3.0-or-later
"""What the model attends to: which past (LTA and self-attention), which words, and which regions of the face (EwA)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from ..evaluation.plots import new_figure
from ..model.layers import Attention
from .models import Inside, open_inside, watched
from .page import Page
from .study import Chosen, Study

Floats = npt.NDArray[Any]
#: (part, layer) -> weights of a clip's steps, (H, N, S).
Maps = dict[tuple[str, int], Floats]
#: Parts of a decoder layer that attend, as the page calls them.
_PARTS: Final = {"self_attention": "self-attention", "lta": "LTA", "text_attention": "text, before z",
                 "text_attention_second": "text, after z"}  # fmt: skip
_PAST: Final = ("self-attention", "LTA")
_HEADS: Final = {"entropy_over_uniform": "entropy / uniform's", "deviation": "deviation between lines",
                 "lag_seconds": "mean lag (s)"}  # fmt: skip


def attention(study: Study) -> Page:
    """See the module."""
    page = study.page(
        "Which past frames, which words and which regions of the face does it look at, and is that any choice?"
    )
    inside = open_inside(study.kind, study.folder)
    heads: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    seen: list[EwaSeen] = []
    for number, part in enumerate(tqdm(list(study.chosen.parts(1)), "lines", unit="line")):
        free = part.with_frames(inside.free(inside.batch(part), study.seed))
        maps = attended(inside, free)
        for (name, layer), weights in maps.items():
            for head, one in enumerate(weights):
                heads.setdefault((name, layer, head), []).append(_choice(one, name))
        seen += ewa_seen(inside, free, study)
        if number == 0:
            page.heading(f"“{free.text(0)}”")
            for (name, layer), weights in maps.items():
                (_past if name in _PAST else _words)(page, inside, free, f"{name}, layer {layer + 1}", weights)
    _summary(page, heads, inside.step)
    if seen:
        _regions(page, EwaSeen.joined(seen), study)
    else:
        page.text("This checkpoint has no EwA.")
    return page


@torch.inference_mode()
def attended(inside: Inside, clip: Chosen) -> Maps:
    """Attention in a pass over one clip, at the steps that hold frames."""
    found: list[tuple[tuple[str, int], Attention]] = [
        ((label, layer), module)
        for layer, holder in enumerate(inside.layers)
        for name, label in _PARTS.items()
        if isinstance(module := getattr(holder, name), Attention)
    ]
    torch.manual_seed(0)
    with watched([module for _, module in found]) as seen:
        held = inside.run(inside.batch(clip)).mask[0]
    steps = np.flatnonzero(held)
    return {key: weights[0][0].float().numpy()[:, steps] for (key, _), weights in zip(found, seen, strict=True)}


def _choice(weights: Floats, name: str) -> tuple[float, float]:
    """Of one head (N, S): entropy over that of looking everywhere alike, and the lag in steps (or NaN); means."""
    steps, lag = np.arange(len(weights)), np.full(len(weights), np.nan)
    room = np.full(len(weights), (weights > 0).sum(1).max())
    if name in _PAST:
        room, lag = steps + 1, ((steps[:, None] - np.arange(weights.shape[1])) * weights).sum(1)
    entropy, known = -(weights * np.log(np.maximum(weights, 1e-12))).sum(1), room > 2
    return float((entropy[known] / np.log(room[known])).mean()), float(lag[known].mean())


def _summary(page: Page, heads: dict[tuple[str, int, int], list[tuple[float, float]]], step: float) -> None:
    rows: dict[str, dict[str, float]] = {}
    by_part: dict[str, list[float]] = {}
    for (name, layer, head), values in heads.items():
        entropy, lag = np.mean(values, 0).tolist()
        found = (entropy, np.std(values, 0)[0], lag * step)
        rows[f"{name}, layer {layer + 1}, head {head + 1}"] = dict(zip(_HEADS, found, strict=True))
        by_part.setdefault(name, []).append(entropy)
    page.heading("How choosy each head is")
    page.measured(
        "heads", rows,
        f"Mean over {len(next(iter(heads.values())))} lines performed freely. 1: it looks everywhere alike, which is a "
        "mean and no attention; a head that looks at all of the past alike has a mean lag of half of what has passed.",
        _HEADS, "head",
    )  # fmt: skip
    said = (
        f"{n} {np.mean(values):.2f} (heads {min(values):.2f} to {max(values):.2f})" for n, values in by_part.items()
    )
    page.found(f"Entropy over that of looking everywhere alike: {', '.join(said)}.")


def _past(page: Page, inside: Inside, clip: Chosen, label: str, weights: Floats) -> None:
    """Maps of LTA or self-attention above the curves."""
    frames, (heads, count, _) = clip.frames(0), weights.shape
    end, columns = count * inside.step, np.argsort(frames.var(0))[::-1][:4]
    figure, axes = new_figure(2.5 * heads + 1, 4.4, heads, 2)
    for head, one in enumerate(weights):
        above, below = axes[head], axes[heads + head]
        over = one[:, :count] * (np.arange(count)[:, None] + 1)  # 1: as much as alike
        above.imshow(over.T, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=4, extent=(0, end, 0, end))
        above.set_title(f"head {head + 1}", fontsize=8)
        below.plot(np.arange(len(frames)) / clip.space.fps, frames[:, columns], linewidth=0.9)
        below.set(xlim=(0, end))
        for axis in (above, below):
            axis.tick_params(labelsize=6)
    axes[0].set_ylabel("looks at (s)", fontsize=8)
    axes[heads].set_ylabel("channels", fontsize=8)
    figure.supxlabel("seconds", fontsize=8)
    page.figure(
        figure, label.replace(", layer ", "").replace("-", "_"),
        f"{label}: above, the past that each moment looks at, over looking everywhere alike (bright: 4 times); below, "
        f"{', '.join(clip.space.channels[c] for c in columns)}.",
    )  # fmt: skip


def _words(page: Page, inside: Inside, clip: Chosen, label: str, weights: Floats) -> None:
    """Text attention over time, with the tokens."""
    held = weights[:, :, weights[0].max(0) > 0]
    tokens = ["[begin]", *inside.encoder.pieces(clip.text(0))[1:-1], "[end]"]
    if held.shape[2] == len(tokens) + 1:  # what is asked for stands before the words in the default's memory
        tokens.insert(0, "(asked)")
    figure, axes = new_figure(2.6 * len(held) + 1, 0.2 * len(tokens) + 1.2, len(held), sharey=True)
    for head, (axis, one) in enumerate(zip(axes, held, strict=True), 1):
        axis.imshow(one.T, aspect="auto", vmin=0, vmax=max(0.3, float(held.max())),
                    extent=(0, held.shape[1] * inside.step, len(tokens), 0))  # fmt: skip
        axis.set_title(f"head {head}", fontsize=8)
        axis.tick_params(labelsize=6)
    axes[0].set_yticks(np.arange(len(tokens)) + 0.5, tokens, fontsize=7)
    figure.supxlabel("seconds", fontsize=8)
    page.figure(figure, label.replace(", ", "_").replace(" ", "_"), f"{label}: which tokens each moment reads.")


@dataclass(frozen=True, eq=False)
class EwaSeen:
    """What EwA does to the frames of some clips.

    Attributes:
        regions: share of each head's attention that goes to each region, mean over frames, (H, regions).
        moved: how much of each head's attention is elsewhere than looking alike would put it, frame by frame, (T, H).
        frames: as EwA reads them, (T, C).
        shift: by how much the jaw's channels are moved, (T, J).
    """

    regions: Floats
    moved: Floats
    frames: Floats
    shift: Floats

    @classmethod
    def joined(cls, parts: Sequence[EwaSeen]) -> EwaSeen:
        """Of all clips together."""
        moved, frames, shift = (np.concatenate([getattr(p, k) for p in parts]) for k in ("moved", "frames", "shift"))
        return cls(np.mean([part.regions for part in parts], 0), moved, frames, shift)

    def told_linearly(self) -> Floats:
        """Share of the shift that a linear map of the frame tells, of each jaw channel that is shifted at all."""
        given = np.concatenate([self.frames, np.ones((len(self.frames), 1))], 1)
        left = self.shift - given @ np.linalg.lstsq(given, self.shift, rcond=None)[0]
        moves = self.shift.var(0) > 1e-2 * self.shift.var(0).max()
        return np.asarray(1 - left.var(0)[moves] / self.shift.var(0)[moves])


@torch.inference_mode()
def ewa_seen(inside: Inside, clip: Chosen, study: Study) -> list[EwaSeen]:
    """EwA on the frames of a clip; nothing without EwA."""
    ewa: Any = getattr(inside.module, "ewa", None)
    if ewa is None:
        return []
    frames = torch.from_numpy(np.ascontiguousarray(clip.frames(0)))
    frames = frames / getattr(inside.module, "scale", 1.0)
    with watched([ewa.attention]) as seen:
        shift = (ewa.forward_explicit(frames) - frames)[:, ewa.jaw]
    weights, others = seen[0][0], ewa.others.tolist()  # (T, H, J, C - J)
    alone = weights.mean(2).numpy()
    regions = [alone[..., [others.index(c) for c in cs]].sum(-1).mean(0) for cs in _groups(study).values()]
    moved = (weights - 1 / len(others)).abs().sum(-1).mean(2) / 2  # of each jaw channel, then their mean
    return [EwaSeen(np.stack(regions, 1), moved.numpy(), frames.double().numpy(), shift.double().numpy())]


def _groups(study: Study) -> dict[str, list[int]]:
    """Regions that EwA looks at: all but the jaw; of expression coefficients, tens of them."""
    groups = {name: list(columns) for name, columns in study.space.groups.items() if name != "jaw"}
    if len(groups) > 1:
        return groups
    (columns,) = groups.values()
    tens = [columns[k : k + 10] for k in range(0, len(columns), 10)]
    return {f"{ten[0] + 1}–{ten[-1] + 1}": ten for ten in tens}


def _regions(page: Page, seen: EwaSeen, study: Study) -> None:
    """Against each region's share of the channels: what looking everywhere alike would give."""
    weights, groups = seen.regions, _groups(study)
    alike = np.array([len(columns) for columns in groups.values()], float)
    alike /= alike.sum()
    page.heading("EwA: what the jaw looks at")
    heads = [f"head {h + 1}" for h in range(len(weights))]
    page.table(
        ("region", *heads, "alike"),
        [(name, *weights[:, k], alike[k]) for k, name in enumerate(groups)],
        "Share of the jaw's attention to the other channels, mean over frames; alike: the region's share of them.",
    )
    page.table(
        ("moved", *heads),
        [("mean over frames", *seen.moved.mean(0)),
         ("in one frame of twenty, more than", *np.quantile(seen.moved, 0.95, 0))],
        "Frame by frame: how much of each head's attention is elsewhere than looking everywhere alike would put it.",
    )  # fmt: skip
    figure, axes = new_figure(10, 3, 2)
    for head, row in enumerate(weights):
        axes[0].plot(range(len(groups)), row / alike, "o-")
        axes[1].plot(np.linspace(0, 1, len(seen.moved)), np.sort(seen.moved[:, head]), label=heads[head])
    axes[0].axhline(1, color="black", linewidth=0.8)
    axes[0].set_xticks(range(len(groups)), list(groups), fontsize=7)
    axes[0].set_ylabel("share / looking alike")
    axes[1].set(xlabel="share of frames", ylabel="moved in the frame", ylim=(0, 1))
    axes[1].legend(frameon=False, fontsize=7)
    page.figure(
        figure, "ewa", "Left: how much more than alike each head of EwA looks at each region, mean over frames. Right: "
        "how much of its attention it moves in single frames.",
    )  # fmt: skip
    apart, linear = np.abs(weights - alike).sum(1) / 2, seen.told_linearly()
    page.result["ewa"] = {"regions": list(groups), "heads": weights, "alike": alike, "apart": apart,
                          "moved": seen.moved.mean(0), "told_linearly": linear}  # fmt: skip
    page.found(
        f"Frame by frame EwA moves {', '.join(f'{m:.0%}' for m in seen.moved.mean(0))} of its attention (by head) from "
        f"looking everywhere alike; over all frames no region gets more than {apart.max():.0%} of it beyond its share, "
        "for EwA is told the values of channels and not which channel has them."
    )
    page.found(
        f"Of the shift that it gives the jaw, a linear map of the same frame tells {linear.min():.0%} to "
        f"{linear.max():.0%} (by channel): that much the layer after it could do alone."
    )
