# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part earns its place: each is taken out, the model is trained without it and judged beside the whole.

Small models that begin with nothing need thousands of steps before their parts do anything. So, unless "start" is 0,
all begin with the checkpoint's weights and learn for a few steps more, the whole too: what a variant is worse by is the
most that its part is worth, for some of it is what has not been learned again yet. A part that costs next to nothing
so is worth next to nothing; one that costs much wants a training from the beginning ("start" 0).

Differences are paired: what a variant has in common with the whole begins, reads and draws alike (`Bench.model`). What
is tested was chosen beforehand: of every variant `TESTED`, and what the part is said to be good for (`Variant.claim`).
Those tests are corrected for their number; beside each stands the smallest difference that so many seeds would have
shown. What else is measured is told without a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..evaluation.judge import judge
from ..evaluation.plots import new_figure
from ..evaluation.speaking import accents_answered
from ..evaluation.systems import JudgedTake
from ..model.ewa import EwA
from .models import Inside, open_inside
from .page import Page, shown
from .signatures import Coordination
from .statistics import Difference, differ, differences, seeds_for, spread_of
from .study import Study
from .training import Bench, free_takes, scored

WHOLE: Final = "whole"
#: What is measured -> what it is.
MEASURED: Final = MappingProxyType(
    {
        "bound": "reconstruction + KL on the dev split, as the trainer scores (nats a step; the paper's: its own)",
        "prior_error": "error of the next frames, teacher-forced, z from the prior (rms)",
        "frechet": "Fréchet distance of free takes to the data",
        "jerk": "mean third difference of free takes / the data's",
        "variety": "how far apart two takes of a line are",
        "coordination": "share of a region's motion told by the others / the data's",
        "followed": "share of free takes whose emotion the probe reads as asked",
        "accents": "share of accents that brow or head answer, over chance",
    }
)
#: What is tested of every variant: how well it learned the data, and how far its free takes are from them.
TESTED: Final = ("bound", "frechet")
#: Those of `MEASURED` that `evaluation.judge` tells, and what it calls them.
_JUDGED: Final = {"frechet": "frechet", "jerk": "jerk_ratio", "variety": "mmodality_all",
                  "followed": "emotion_followed"}  # fmt: skip


class NamedEwA(EwA):
    """EwA whose tokens say which channel they are: that of the paper knows values alone, and no region by name."""

    def __init__(self, ewa: EwA, channels: int) -> None:
        super().__init__(ewa.jaw.tolist(), channels, ewa.token.out_features, ewa.attention.n_head)
        self.load_state_dict(ewa.state_dict())
        self.names = nn.Parameter(torch.zeros(channels, ewa.token.out_features))

    def forward(self, frames: Tensor) -> Tensor:
        """See `EwA.forward`; every token is built, for nothing collapses any more."""
        tokens = (self.token(frames.unsqueeze(-1)) + self.names).flatten(0, -3)
        attended = self.attention(tokens[:, self.jaw], tokens[:, self.others])
        return self._shifted(frames, self.back(attended).squeeze(-1).unflatten(0, frames.shape[:-1]))


def channels_named(decoder: Any) -> None:
    """The default's decoder with `NamedEwA`."""
    decoder.ewa = NamedEwA(decoder.ewa, decoder.space.size)


@dataclass(frozen=True)
class Variant:
    """A model that differs from the whole in one part.

    Attributes:
        config: settings of the model that differ.
        training: settings of its training that differ.
        claim: of `MEASURED`, what the part is said to be good for.
        bounded: whether its bound is one of the same objective; otherwise it is not compared.
        prepare: changes the decoder before it is trained.
        fresh: whether it must begin with nothing: weights of the whole are of no use to it.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    claim: str = ""
    bounded: bool = True
    prepare: Callable[[Any], None] | None = None
    fresh: bool = False


#: Variants of each kind of model.
VARIANTS: Final[Mapping[str, Mapping[str, Variant]]] = MappingProxyType(
    {
        "default": {
            WHOLE: Variant(),
            "no EwA": Variant({"ewa": "off"}, claim="coordination"),
            "EwA that knows channels": Variant(prepare=channels_named, claim="coordination"),
            "no LTA": Variant({"lta": False}, claim="jerk"),
            "no latent guidance": Variant(training={"guidance_weight": 0.0}, claim="variety"),
            "one Gaussian (K = 1)": Variant({"prior_parts": 1, "prior_components": 1}, claim="variety", fresh=True),
            "no direction": Variant({"direction_conditioning": False}, claim="followed"),
            "no length": Variant({"length_conditioning": False}),
            "not told when": Variant({"timeline_conditioning": False}, claim="accents"),
            "no text progress": Variant({"text_progress": False}),
            "no inertia": Variant({"inertia": False}, claim="jerk", fresh=True),
            "no input noise": Variant({"noise_conditioning": False}, {"white_noise": 0.0, "drift_noise": 0.0}),
            "noise not told": Variant({"noise_conditioning": False}),
            "recognition of next state": Variant({"recognition": "next_state"}, fresh=True),
            "no feed-forward before LTA": Variant({"state_ffn": False}),
            "no velocity in the objective": Variant({"velocity_sigma": 0.0}, claim="jerk", bounded=False),
            "1 frame per step": Variant({"frames_per_step": 1}, bounded=False, fresh=True),
            "4 frames per step": Variant({"frames_per_step": 4}, bounded=False, fresh=True),
        },
        "paper": {
            WHOLE: Variant(),
            "no EwA": Variant({"ewa": "off"}, claim="coordination"),
            "no LTA": Variant({"lta": False}, claim="jerk"),
            "no latent guidance": Variant({"guidance": False}, claim="variety"),
            "second sample, as released": Variant({"second_sample": True}, claim="variety"),
        },
    }
)


def ablate(study: Study) -> Page:
    """See the module."""
    fresh = not int(study.size["start"])
    page = replace(study, trained=study.kind if fresh else "").page(
        "What is each part good for? The model is trained without it, from the beginning and all else alike." if fresh
        else "What is each part good for? It is taken out of the checkpoint, which is trained further without it, and "
        f"with it, for {study.size['steps']} steps: what is lost so is the most that the part is worth."
    )  # fmt: skip
    report(page, measure_all(study, None if fresh else open_inside(study.kind, study.folder)), study.kind)
    return page


def measure_all(study: Study, start: Inside | None) -> dict[str, dict[str, list[float]]]:
    """Variant -> metric -> one value a seed."""
    bench, only = Bench(study, start), str(study.size["only"]).split(",")
    judge_free, variants = FreeJudge(study, bench), VARIANTS[study.kind]
    chosen = [name for name, one in variants.items() if start is None or not one.fresh]
    chosen = [name for name in chosen if name == WHOLE or any(part in name for part in only)]
    values: dict[str, dict[str, list[float]]] = {name: {} for name in chosen}
    asked = [study.size[name] for name in ("lines", "train_clips", "probe_clips")]
    work = [(study.seed + seed, name) for seed in range(int(study.size["seeds"])) for name in chosen]
    for seed, name in tqdm(work, "variants", unit="run"):
        one = variants[name]
        made = bench.model(seed, one.config, one.training, one.prepare)
        found = made.judged([seed, *asked], partial(judge_free, seed))
        for metric, value in {"bound": made.bound if one.bounded else float("nan"), **found}.items():
            values[name].setdefault(metric, []).append(value)
    return values


class FreeJudge:
    """Judges a model by its free takes under the conditions of the study's clips, as `evaluate` does."""

    def __init__(self, study: Study, bench: Bench) -> None:
        self.clips, self.reference = study.chosen, study.reference
        self.regions = Coordination.of([bench.train.frames(i) for i in range(len(bench.train))], study.space)

    def __call__(self, seed: int, inside: Inside) -> dict[str, float]:
        """The values of `MEASURED` that free takes tell."""
        takes = free_takes(inside, self.clips, seed)
        firsts, fps = [line[0] for line in takes], self.reference.space.fps
        judged = judge([[JudgedTake(take) for take in line] for line in takes], replace(self.reference, timelines=()))
        found = {
            "prior_error": scored(inside, self.clips, seed),
            "coordination": self.regions.share(firsts) / self.regions.share(self.reference.clips),
            **{name: judged[key] for name, key in _JUDGED.items() if key in judged},
        }
        told = [(clip, said) for clip, said in zip(firsts, self.reference.timelines, strict=True) if said is not None]
        if told:
            answered, chance = accents_answered([clip for clip, _ in told], [said for _, said in told], fps)
            found["accents"] = answered - chance
        return {name: found[name] for name in MEASURED if name in found}


def report(page: Page, values: dict[str, dict[str, list[float]]], kind: str) -> None:
    """Tables, a picture, and what can be said."""
    whole = values[WHOLE]
    rest = {name: found for name, found in values.items() if name != WHOLE}
    tested = [
        (name, metric)
        for name in rest
        for metric in dict.fromkeys((*TESTED, VARIANTS[kind][name].claim))
        if metric in whole and (metric != "bound" or VARIANTS[kind][name].bounded)
    ]
    seeds, metrics, found = len(next(iter(whole.values()))), list(whole), differences(whole, rest, tested)
    page.heading("Values")
    page.table(
        ("", *metrics),
        [(name, *(_cell(found[metric]) for metric in metrics)) for name, found in values.items()],
        f"Mean ± deviation over {seeds} seeds, the same for every variant. "
        + "; ".join(f"{k}: {MEASURED[k]}" for k in metrics),
    )
    page.heading("Differences to the whole")
    differ(page, found, metrics, seeds, len(tested), "without")
    page.result |= {"values": values, "comparisons": len(tested), "seeds": seeds}
    seen = [f"{name}: {metric} {d.mean:+.3g}" for name, one in found.items() for metric, d in one.items() if d.seen]
    page.found(
        f"Of {len(tested)} comparisons, after correction, seen: {'; '.join(seen)}." if seen
        else f"With {seeds} seeds and {len(tested)} comparisons no difference is established; the brackets say how "
        "large one would have to be."
    )  # fmt: skip
    page.found(_power(whole, found, len(tested)))
    _picture(page, found, metrics)


def _power(whole: dict[str, list[float]], found: dict[str, dict[str, Difference]], comparisons: int) -> str:
    """What pairing is worth, and how many seeds small differences would take."""
    parts = []
    for metric in TESTED:
        spreads = sorted(one[metric].deviation for one in found.values() if one[metric].tested)
        if not spreads or np.isnan(spreads).any():
            continue
        mean, middle = float(np.mean(whole[metric])), spreads[len(spreads) // 2]
        one, five = (seeds_for(share * mean, middle, comparisons) for share in (0.01, 0.05))
        parts.append(
            f"{metric}: from seed to seed the whole differs by {spread_of(whole[metric]) / mean:.2%} and a paired "
            f"difference by {middle / mean:.2%} (the median variant); to see 1 % takes {one} seeds, 5 % {five}"
        )
    return "; ".join(parts) + "." if parts else "One seed says nothing about what seeds do."


def _picture(page: Page, found: dict[str, dict[str, Difference]], metrics: list[str]) -> None:
    rows = -(-len(metrics) // 4)
    figure, axes = new_figure(13, 0.24 * len(found) * rows + 1.1 * rows, 4, rows, sharey=True)
    for axis, metric in zip(axes, metrics, strict=False):
        shown = [one[metric] for one in found.values()]
        tested = [(row, d.detectable) for row, d in enumerate(shown) if d.tested]
        axis.barh([row for row, _ in tested], [2 * d for _, d in tested], 0.5, [-d for _, d in tested], color="#cccccc")
        colours = ["C3" if d.seen else "C0" if d.tested else "#999999" for d in shown]
        axis.scatter([d.mean for d in shown], range(len(shown)), c=colours, zorder=2)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(metric, fontsize=8)
        axis.tick_params(labelsize=7)
        reach = 1.3 * max(np.nanmax(np.abs([d.mean for d in shown])), 1e-6)
        axis.set_xlim(-reach, reach)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    axes[0].set_yticks(range(len(found)), list(found), fontsize=7)
    page.figure(
        figure, "differences",
        "Variant minus whole; grey bars: too small for so many seeds to tell from nothing; red: established; grey dots "
        "were not to be tested.",
    )  # fmt: skip


def _cell(values: list[float]) -> str:
    return shown(np.mean(values)) + (f" ± {spread_of(values):.2g}" if len(values) > 1 else "")
