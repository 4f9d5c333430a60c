# SPDX-License-Identifier: GPL-3.0-or-later
"""LTA against EwA (the paper's open question): what each contributes is weighted on a grid, in the weights of a
checkpoint.

Both are added to what was there before (LTA before a LayerNorm), so a factor on their last projection is a factor on
what they contribute, and no other number of the model changes. 1 and 1 is the checkpoint, 0 is without.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from tqdm import tqdm

from ..evaluation.plots import new_figure
from .ablate import MEASURED, FreeJudge
from .models import DefaultInside, Inside, PaperInside, open_inside
from .page import Page
from .study import Study
from .training import Bench

#: What a good point of the grid has: as near to the data's as can be, or as small.
_LOWER: Final = ("prior_error", "frechet")


def balance(study: Study) -> Page:
    """See the module."""
    page = study.page("How much of LTA and how much of EwA is best?")
    inside, size = open_inside(study.kind, study.folder), study.size
    judge = FreeJudge(study, Bench(study))
    weights = np.linspace(0, 2, int(size["grid"])).round(3).tolist()
    if 1.0 not in weights:
        weights = sorted([*weights, 1.0])
    rows: list[dict[str, float]] = []
    for lta, ewa in tqdm([(a, b) for a in weights for b in weights], "grid", unit="point"):
        rows.append({"lta": lta, "ewa": ewa, **judge(study.seed, weighted(inside, lta, ewa))})
    shown = [metric for metric in MEASURED if metric in rows[0]]
    page.table(
        ("LTA", "EwA", *shown), [(row["lta"], row["ewa"], *(row[m] for m in shown)) for row in rows],
        "; ".join(f"{k}: {MEASURED[k]}" for k in shown),
    )  # fmt: skip
    page.result["grid"] = rows
    _picture(page, rows, shown, weights)
    by = {(row["lta"], row["ewa"]): row for row in rows}
    for metric in _LOWER:
        best = min(rows, key=lambda row: row[metric])
        page.found(
            f"{MEASURED[metric]}: {by[1, 1][metric]:.4g} as it is, {by[0, 1][metric]:.4g} without LTA, "
            f"{by[1, 0][metric]:.4g} without EwA; least at LTA {best['lta']:g}, EwA {best['ewa']:g} "
            f"({best[metric]:.4g})."
        )
    return page


@torch.no_grad()
def weighted(inside: Inside, lta: float, ewa: float) -> Inside:
    """The same model with so much of each; the original is left alone."""
    module: Any = copy.deepcopy(inside.module)
    for layer in module.layers:
        if layer.lta is not None:
            layer.lta.output.weight.mul_(lta)
    if module.ewa is not None:
        module.ewa.back.weight.mul_(ewa)
        module.ewa.back.bias.mul_(ewa)
    if isinstance(inside, PaperInside):
        return PaperInside(replace(inside.checkpoint, model=module))
    assert isinstance(inside, DefaultInside)
    return DefaultInside(replace(inside.checkpoint, decoder=module), inside.encoder)


def _picture(page: Page, rows: list[dict[str, float]], shown: list[str], weights: list[float]) -> None:
    figure, axes = new_figure(11, 3.4 * -(-len(shown) // 3), 3, -(-len(shown) // 3))
    for axis, metric in zip(axes, shown, strict=False):
        table = np.array([row[metric] for row in rows]).reshape(len(weights), len(weights))
        picture = axis.imshow(table, origin="lower", cmap="viridis_r" if metric in _LOWER else "viridis")
        for (y, x), value in np.ndenumerate(table):
            axis.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=7, color="white",
                      bbox={"facecolor": "black", "alpha": 0.35, "edgecolor": "none", "pad": 1})  # fmt: skip
        for set_ticks in (axis.set_xticks, axis.set_yticks):
            set_ticks(range(len(weights)), [f"{w:g}" for w in weights], fontsize=7)
        axis.set(xlabel="EwA", ylabel="LTA")
        axis.set_title(metric, fontsize=9)
        figure.colorbar(picture, ax=axis, shrink=0.7)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    page.figure(figure, "grid", "Every weighting of LTA (rows) and EwA (columns); 1, 1 is the checkpoint.")
