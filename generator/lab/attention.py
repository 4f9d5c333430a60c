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
#: Parts of a decoder layer that attend, as the page calls them.
_PARTS: Final = {
    "self_attention": "self-attention",
    "lta": "LTA",
    "text_attention": "text, before z",
    "text_attention_second": "text, after z",
}
_PAST: Final = ("self-attention", "LTA")


def attention(study: Study) -> Page:
    """See the module."""
    page = study.page(
        "Which past frames, which words and which regions of the face does it look at, and is that any choice?"
    )
    inside = open_inside(study.kind, study.folder)
    rows: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    regions: list[EwaSeen] = []
    for number, part in enumerate(tqdm(list(study.chosen.parts(1)), "lines", unit="line")):
        free = part.with_frames(inside.free(inside.batch(part), study.seed))
        maps, steps = attended(inside, free)
        for (name, layer), weights in maps.items():
            for head, one in enumerate(weights):
                rows.setdefault((name, layer, head), []).append(_choice(one[steps], name, inside, part))
        if (seen := ewa_seen(inside, free, study)) is not None:
            regions.append(seen)
        if number == 0:
            _pictures(page, inside, free, maps, steps, study)
    _summary(page, rows, _seconds(inside))
    if regions:
        _regions(page, EwaSeen.joined(regions), study)
    else:
        page.text("This checkpoint has no EwA.")
    return page


@torch.inference_mode()
def attended(inside: Inside, clip: Chosen) -> tuple[dict[tuple[str, int], Floats], npt.NDArray[np.int64]]:
    """Attention in a pass over one clip: (part, layer) -> weights (H, N, S); and the steps that hold frames."""
    batch = inside.batch(clip)
    found: list[tuple[tuple[str, int], Attention]] = [
        ((label, layer), module)
        for layer, holder in enumerate(inside.layers)
        for name, label in _PARTS.items()
        if isinstance(module := getattr(holder, name), Attention)
    ]
    torch.manual_seed(0)
    with watched([module for _, module in found]) as seen:
        inside.run(batch)
    maps = {key: weights[0][0].float().numpy() for (key, _), weights in zip(found, seen, strict=True)}
    mask, _ = inside.mask(batch)
    return maps, np.flatnonzero(mask[0])


def _choice(weights: Floats, name: str, inside: Inside, clip: Chosen) -> tuple[float, float]:
    """Of one head: entropy over that of looking everywhere alike, and the lag in steps (or NaN); means over steps."""
    steps = np.arange(len(weights))
    if name in _PAST:
        room = steps + 1
        lag = ((steps[:, None] - np.arange(weights.shape[1])) * weights).sum(1)
    else:
        room = np.full(len(weights), (weights > 0).sum(1).max())
        lag = np.full(len(weights), np.nan)
    entropy = -(weights * np.log(np.maximum(weights, 1e-12))).sum(1)
    known = room > 2
    return float((entropy[known] / np.log(room[known])).mean()), float(lag[known].mean())


def _seconds(inside: Inside) -> float:
    """Of one step."""
    config = inside.module.config
    return float(getattr(config, "frames_per_step", 1)) / 24.0


def _summary(page: Page, rows: dict[tuple[str, int, int], list[tuple[float, float]]], step: float) -> None:
    table, result = [], {}
    for (name, layer, head), values in rows.items():
        entropy, lag = np.mean(values, 0)
        table.append((f"{name}, layer {layer + 1}, head {head + 1}", float(entropy), float(lag * step)))
        result[f"{name} {layer + 1}.{head + 1}"] = {"entropy_over_uniform": entropy, "lag_seconds": lag * step}
    page.heading("How choosy each head is")
    count = len(next(iter(rows.values())))
    page.table(
        ("head", "entropy / uniform's", "mean lag (s)"), table,
        f"Mean over {count} lines performed freely. 1: it looks everywhere alike, which is a mean and no attention; "
        "a head that "
        "looks at all of the past alike has a mean lag of half of what has passed.",
    )  # fmt: skip
    page.result["heads"] = result
    by_part: dict[str, list[float]] = {}
    for (name, _, _), values in rows.items():
        by_part.setdefault(name, []).append(float(np.mean(values, 0)[0]))
    said = ", ".join(
        f"{name} {np.mean(values):.2f} (heads {min(values):.2f} to {max(values):.2f})"
        for name, values in by_part.items()
    )
    page.found(f"Entropy over that of looking everywhere alike: {said}.")


def _pictures(
    page: Page,
    inside: Inside,
    clip: Chosen,
    maps: dict[tuple[str, int], Floats],
    steps: npt.NDArray[np.int64],
    study: Study,
) -> None:
    """LTA's and self-attention's maps beside the curves; text attention over time, with the tokens."""
    step, frames, count = _seconds(inside), clip.frames(0), len(steps)
    columns = np.argsort(frames.var(0))[::-1][:4]
    past = {key: w for key, w in maps.items() if key[0] in _PAST}
    page.heading(f"“{clip.text(0)}”")
    for (name, layer), weights in past.items():
        figure, axes = new_figure(2.5 * len(weights) + 1, 4.4, len(weights), 2, sharex=False)
        for head, one in enumerate(weights):
            seen = one[np.ix_(steps, steps)] * (np.arange(count)[:, None] + 1)  # 1: as much as alike
            axes[head].imshow(
                seen.T,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=0,
                vmax=4,
                extent=(0, count * step, 0, count * step),
            )
            axes[head].set_title(f"head {head + 1}", fontsize=8)
            axes[len(weights) + head].plot(np.arange(len(frames)) / 24.0, frames[:, columns], linewidth=0.9)
            axes[len(weights) + head].set(xlim=(0, count * step))
            axes[len(weights) + head].tick_params(labelsize=6)
            axes[head].tick_params(labelsize=6)
        axes[0].set_ylabel("looks at (s)", fontsize=8)
        axes[len(weights)].set_ylabel("channels", fontsize=8)
        figure.supxlabel("seconds", fontsize=8)
        page.figure(
            figure, f"{name.replace('-', '_')}{layer + 1}",
            f"{name}, layer {layer + 1}: above, the past that each moment looks at, over looking everywhere alike "
            "(bright: 4 "
            f"times); below, {', '.join(study.space.channels[c] for c in columns)}.",
        )  # fmt: skip
    tokens = words_of(inside, clip.text(0))
    texts = {key: w for key, w in maps.items() if key[0] not in _PAST}
    for (name, layer), weights in texts.items():
        held = weights[:, steps][:, :, weights[0].max(0) > 0]
        # What is asked for stands before the words in the default's memory.
        labels = (["(asked)"] if held.shape[2] == len(tokens) + 1 else []) + tokens
        figure, axes = new_figure(2.6 * len(held) + 1, 0.2 * len(labels) + 1.2, len(held), sharey=True)
        for head, one in enumerate(held):
            axes[head].imshow(
                one.T,
                aspect="auto",
                cmap="viridis",
                vmin=0,
                vmax=max(0.3, float(held.max())),
                extent=(0, count * step, len(labels), 0),
            )
            axes[head].set_title(f"head {head + 1}", fontsize=8)
            axes[head].tick_params(labelsize=6)
        axes[0].set_yticks(np.arange(len(labels)) + 0.5, labels, fontsize=7)
        figure.supxlabel("seconds", fontsize=8)
        page.figure(
            figure,
            f"words{layer + 1}{'b' if 'after' in name else 'a'}",
            f"{name}, layer {layer + 1}: which tokens each moment reads.",
        )


def words_of(inside: Inside, line: str) -> list[str]:
    """The pieces of a line that its tokens stand for, with the two markers."""
    return ["[begin]", *inside.encoder.pieces(line)[1:-1], "[end]"]


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
def ewa_seen(inside: Inside, clip: Chosen, study: Study) -> EwaSeen | None:
    """EwA on the frames of a clip; None without EwA."""
    ewa: Any = getattr(inside.module, "ewa", None)
    if ewa is None:
        return None
    frames = torch.from_numpy(np.ascontiguousarray(clip.frames(0)))
    scale = getattr(inside.module, "scale", None)
    frames = frames if scale is None else frames / scale
    with watched([ewa.attention]) as seen:
        shift = (ewa.forward_explicit(frames) - frames)[:, ewa.jaw]
    weights = seen[0][0].mean(2).numpy()  # (T, H, C - J), mean over jaw channels
    others = ewa.others.tolist()
    regions = [weights[..., [others.index(c) for c in cs]].sum(-1).mean(0) for cs in _seen(study, others).values()]
    each = (seen[0][0] - 1 / len(others)).abs().sum(-1).mean(2) / 2  # (T, H): of each jaw channel, then their mean
    return EwaSeen(np.stack(regions, 1), each.numpy(), frames.double().numpy(), shift.double().numpy())


def _seen(study: Study, others: list[int]) -> dict[str, list[int]]:
    """Regions that EwA looks at; of expression coefficients, tens of them."""
    groups = {name: [c for c in columns if c in others] for name, columns in study.space.groups.items()}
    groups = {name: columns for name, columns in groups.items() if columns}
    if len(groups) > 1:
        return groups
    (columns,) = groups.values()
    return {
        f"{columns[k] + 1}–{columns[min(k + 9, len(columns) - 1)] + 1}": columns[k : k + 10]
        for k in range(0, len(columns), 10)
    }


def _regions(page: Page, seen: EwaSeen, study: Study) -> None:
    """Against each region's share of the channels: what looking everywhere alike would give."""
    jaw, weights = set(study.space.groups["jaw"]), seen.regions
    groups = _seen(study, [c for c in range(study.space.size) if c not in jaw])
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
        [(name, *found) for name, found in (("mean over frames", seen.moved.mean(0)),
                                            ("in one frame of twenty, more than", np.quantile(seen.moved, 0.95, 0)))],
        "Frame by frame: how much of each head's attention is elsewhere than looking everywhere alike would put it.",
    )  # fmt: skip
    figure, axes = new_figure(10, 3, 2)
    for head, row in enumerate(weights):
        axes[0].plot(range(len(groups)), row / alike, "o-", label=heads[head])
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
