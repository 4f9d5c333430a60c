# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part earns its place: each is switched off, trained with equal seeds and judged beside the whole.

The differences are paired by seed and corrected for their number; beside each stands the smallest one that so many
seeds could have shown. Small by default, which tells large effects only; ``--full`` trains longer, on more, with more
seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from ..evaluation import metrics, motion
from ..evaluation.plots import new_figure
from .models import Inside
from .page import Page
from .signatures import Coordination
from .statistics import POWER, Difference, differences
from .study import Chosen, Study
from .training import Bench, free_takes, scored

WHOLE: Final = "whole"
#: Variant of the default -> settings of the model and of training that differ.
DEFAULT: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = MappingProxyType(
    {
        WHOLE: ({}, {}),
        "no EwA": ({"ewa": "off"}, {}),
        "no LTA": ({"lta": False}, {}),
        "no latent guidance": ({}, {"guidance_weight": 0.0}),
        "one Gaussian (K = 1)": ({"prior_components": 1}, {}),
        "no direction": ({"direction_conditioning": False}, {}),
        "no length": ({"length_conditioning": False}, {}),
        "not told when": ({"timeline_conditioning": False}, {}),
        "no text progress": ({"text_progress": False}, {}),
        "no inertia": ({"inertia": False}, {}),
        "no input noise": ({"noise_conditioning": False}, {"white_noise": 0.0, "drift_noise": 0.0}),
        "noise not told": ({"noise_conditioning": False}, {}),
        "recognition of next state": ({"recognition": "next_state"}, {}),
        "no feed-forward before LTA": ({"state_ffn": False}, {}),
        "no velocity in the objective": ({"velocity_sigma": 0.0}, {}),
        "1 frame per step": ({"frames_per_step": 1}, {}),
        "4 frames per step": ({"frames_per_step": 4}, {}),
    }
)
#: The same of the paper's model.
PAPER: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        WHOLE: {},
        "no EwA": {"ewa": "off"},
        "no LTA": {"lta": False},
        "no latent guidance": {"guidance": False},
        "second sample, as released": {"second_sample": True},
    }
)
#: What is measured -> what it is.
MEASURED: Final = MappingProxyType(
    {
        "prior_error": "error of the next frames, teacher-forced, z from the prior (rms)",
        "frechet": "Fréchet distance of free takes to the data",
        "jerk": "mean third difference of free takes / the data's",
        "variety": "how far apart two takes of a line are",
        "coordination": "share of a region's motion told by the others / the data's",
        "followed": "share of free takes whose emotion the probe reads as asked",
    }
)


def ablate(study: Study) -> Page:
    """See the module."""
    study = replace(study, trained=study.kind)
    page = study.page("What is each part good for? The model is trained again without it, everything else alike.")
    values = measure_all(study, tuple(DEFAULT if study.kind == "default" else PAPER))
    report(page, values, study)
    return page


def measure_all(study: Study, names: tuple[str, ...]) -> dict[str, dict[str, list[float]]]:
    """Variant -> metric -> one value a seed."""
    bench, size = Bench(study), study.size
    judge = FreeJudge(study, bench)
    only = str(size["only"])
    chosen = [name for name in names if name == WHOLE or not only or any(part in name for part in only.split(","))]
    values: dict[str, dict[str, list[float]]] = {name: {} for name in chosen}
    work = [(seed, name) for seed in range(int(size["seeds"])) for name in chosen]
    for seed, name in tqdm(work, "variants", unit="run"):
        if study.kind == "default":
            inside: Inside = bench.default(study.seed + seed, *DEFAULT[name])
        else:
            inside = bench.paper(study.seed + seed, PAPER[name])
        for metric, value in judge(inside, study.seed + seed).items():
            values[name].setdefault(metric, []).append(value)
    return values


class FreeJudge:
    """Judges a model by its free takes under the conditions of the study's clips."""

    def __init__(self, study: Study, bench: Bench) -> None:
        self.clips: Chosen = study.chosen
        self.truth = [self.clips.frames(i) for i in range(len(self.clips))]
        self.regions = Coordination.of([bench.train.frames(i) for i in range(len(bench.train))], study.space)
        self.probe = study.probe
        self.emotions = None if self.probe is None else study.require_emotions()

    def __call__(self, inside: Inside, seed: int) -> dict[str, float]:
        """The values of `MEASURED` that can be measured."""
        takes = free_takes(inside, self.clips, seed)
        firsts = [line[0] for line in takes]
        found = {
            "prior_error": scored(inside, self.clips, seed),
            "frechet": motion.frechet(firsts, self.truth),
            "jerk": motion.jerk(firsts) / motion.jerk(self.truth),
            "variety": metrics.mmodality_all(takes),
            "coordination": self.regions.share(firsts) / self.regions.share(self.truth),
        }
        if self.probe is not None:
            found["followed"] = float((self.probe.read(firsts) == self.emotions).mean())
        return found


def report(page: Page, values: dict[str, dict[str, list[float]]], study: Study) -> None:
    """Tables, a picture, and what can be said."""
    whole = values[WHOLE]
    rest = {name: found for name, found in values.items() if name != WHOLE}
    seeds, found = len(next(iter(whole.values()))), differences(whole, rest)
    count = sum(map(len, found.values()))
    shown = [metric for metric in MEASURED if metric in whole]
    page.heading("Values")
    page.table(
        ("", *shown),
        [(name, *(_cell(values[name][metric]) for metric in shown)) for name in values],
        f"Mean ± deviation over {seeds} seeds, the same for every variant. "
        + "; ".join(f"{k}: {MEASURED[k]}" for k in shown),
    )
    page.heading("Differences to the whole")
    page.table(
        ("without", *shown),
        [(name, *(_said(one[metric]) for metric in shown)) for name, one in found.items()],
        f"Variant minus whole, paired by seed; in brackets the smallest difference that {seeds} seeds would show "
        "with a power of "
        f"{POWER:.0%}, corrected for {count} comparisons (Holm); * where p < 0.05 after correction.",
    )
    page.result |= {"values": values, "comparisons": count, "seeds": seeds}
    page.result["differences"] = {n: {m: vars(d) for m, d in one.items()} for n, one in found.items()}
    seen = [f"{name}: {metric} {d.mean:+.3g}" for name, one in found.items() for metric, d in one.items() if d.seen]
    page.found(
        f"After correction, seen: {'; '.join(seen)}." if seen
        else f"With {seeds} seeds and {count} comparisons no difference is established; the brackets say how large "
        "one would have to be."
    )  # fmt: skip
    figure, axes = new_figure(11, 0.24 * len(found) * 2 + 2.2, 3, -(-len(shown) // 3), sharey=True)
    for axis, metric in zip(axes, shown, strict=False):
        for row, one in enumerate(found.values()):
            d = one[metric]
            axis.plot(d.mean, row, "o", color="C3" if d.seen else "C0")
            half = d.detectable if np.isfinite(d.detectable) else 0.0
            axis.plot([-half, half], [row, row], color="#cccccc", linewidth=6, zorder=0, solid_capstyle="butt")
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(metric, fontsize=8)
        axis.tick_params(labelsize=7)
        reach = 1.3 * max([abs(one[metric].mean) for one in found.values()] + [1e-6])
        axis.set_xlim(-3 * reach, 3 * reach)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    axes[0].set_yticks(range(len(found)), list(found), fontsize=7)
    page.figure(figure, "differences", "Variant minus whole; grey: too small for so many seeds to tell from nothing.")


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.3g}" + (f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else "")


def _said(difference: Difference) -> str:
    star = "*" if difference.seen else ""
    return f"{difference.mean:+.3g}{star} (±{difference.detectable:.2g})"
