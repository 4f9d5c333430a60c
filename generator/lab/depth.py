# SPDX-License-Identifier: GPL-3.0-or-later
"""One to five layers of the paper's model: *cumulative sampling instability*, its cause, and cures.

Every layer draws latents of its own, and the next layer reads what they made. Reproduced: continuous perplexity over
depth, with latents from the prior and, for comparison, without any draw. A cause is tested: the released decoding
draws the past again at every frame, so that deeper layers see a past that changes; ours draws each latent once. Cures
that need no training: one draw shared by all layers, and colder draws; cures that do: layers that begin with smaller
latents, and reading one's own frames while learning (scheduled sampling, Bengio et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..evaluation import motion
from ..evaluation.perplexity import box_bits, perplexity
from ..evaluation.plots import new_figure
from ..paper.decoding import Stepper, decode, draw_noise
from ..training.paper import PaperLines, PaperObjective
from ..training.recipe import Terms
from .models import PaperInside
from .page import Page
from .serial import decode_serial
from .study import Chosen, Study
from .training import Bench

#: How often a frame is replaced by the model's own while it learns to read those.
_OWN_FRAMES: Final = 0.5
#: A way to draw: (draws, number of layers) -> draws. Draws are (B, positions, L, D).
Drawing = Callable[[Tensor, int], Tensor]


def shared(draws: Tensor, layers: int) -> Tensor:
    """One draw for all layers."""
    return draws[:, :, :1].expand_as(draws)


def colder(draws: Tensor, layers: int) -> Tensor:
    """Every layer's temperature such that together they vary as one layer would."""
    return draws / layers**0.5


def first_only(draws: Tensor, layers: int) -> Tensor:
    """Only the first layer draws; the others take their mean."""
    kept = torch.zeros_like(draws)
    kept[:, :, 0] = draws[:, :, 0]
    return kept


def none(draws: Tensor, layers: int) -> Tensor:
    """No draw at all."""
    return torch.zeros_like(draws)


def as_trained(draws: Tensor, layers: int) -> Tensor:
    """Every layer its own draw."""
    return draws


DRAWINGS: Final[dict[str, Drawing]] = {
    "as trained": as_trained, "no draws": none, "shared draw": shared, "colder layers": colder,
    "first layer draws": first_only,
}  # fmt: skip


def smaller_latents(model: Any) -> None:
    """Means and deviations of all layers' latents begin smaller, so that all layers together add what one would.

    Both networks alike, so their divergence is what it was.
    """
    with torch.no_grad():
        scale = len(model.layers) ** -0.5
        for layer in model.layers:
            for network in (layer.recognition, layer.prior):
                network.mean.weight.mul_(scale)
                network.mean.bias.mul_(scale)
                network.log_variance.bias.add_(2 * float(np.log(scale)))


class OwnFrames(PaperObjective):
    """Scheduled sampling: some of the frames that the decoder reads are those that it predicts itself."""

    def forward(self, batch: PaperLines, step: int) -> Terms:
        """See `PaperObjective`; the targets stay the clip's."""
        if self.training:
            with torch.no_grad():
                out = self.model(batch.clips, batch.memory, batch.memory_mask, "prior")
            frames = batch.clips.frames
            own = torch.cat([frames[:, :1], out.prediction[:, :-1]], 1)
            taken = (torch.rand_like(frames[..., :1]) < _OWN_FRAMES) & batch.clips.is_frame.unsqueeze(-1)
            taken[:, :2] = False  # the mean face is given
            batch = replace(batch, clips=replace(batch.clips, frames=torch.where(taken, own, frames)))
        return super().forward(batch, step)


#: Trained variants -> how a fresh model is changed, and which objective trains it.
TRAINED: Final[dict[str, tuple[Any, Any]]] = {
    "as published": (None, None),
    "smaller latents": (smaller_latents, None),
    "own frames": (None, OwnFrames),
}


def depth(study: Study) -> Page:
    """See the module."""
    study = replace(study, trained="paper")
    page = study.page("Does the paper's model get worse with every layer, and why?")
    size, bench = study.size, Bench(study)
    depths = list(range(1, int(size["layers"]) + 1))
    rows: list[dict[str, Any]] = []
    work = [(seed, layers, how) for seed in range(int(size["seeds"])) for layers in depths for how in TRAINED]
    for seed, layers, how in tqdm(work, "models", unit="model"):
        if layers == 1 and how == "smaller latents":
            continue  # one layer alone is as it was
        prepare, objective = TRAINED[how]
        overrides = {"n_layers": layers, "second_sample": bool(size["second_sample"])}
        inside = bench.paper(study.seed + seed, overrides, prepare, objective)
        for drawing in DRAWINGS if how == "as published" else ("as trained",):
            if layers == 1 and drawing not in ("as trained", "no draws"):
                continue
            rows.append(
                _judged(inside, study.chosen, study.seed + seed, drawing) | {"layers": layers, "how": how, "seed": seed}
            )
        if how == "as published":
            rows.append(
                _redrawn(inside, study.chosen, study.seed + seed) | {"layers": layers, "how": how, "seed": seed}
            )
    _report(page, rows, depths)
    return page


def _judged(inside: PaperInside, clips: Chosen, seed: int, drawing: str) -> dict[str, Any]:
    """Perplexity under teacher forcing and free motion, with draws made as ``drawing`` says."""
    model, change = inside.checkpoint.model, DRAWINGS[drawing]
    layers, bits, frames = len(model.layers), [], []
    for part in clips.parts(16):
        batch = inside.batch(part)
        rows, count = batch.clips.frames.shape[:2]
        noise = draw_noise(model.config, [np.random.default_rng([seed, row]) for row in range(rows)], count + 1)
        noise[..., 0, :] = change(noise[..., 0, :], layers)
        with torch.inference_mode():
            out = model(
                batch.clips, batch.memory, batch.memory_mask, "prior", _replayed(noise, model.config.second_sample)
            )
            bits.append(
                box_bits(out.prediction.numpy(), batch.clips.target.numpy(), batch.clips.target_mask.numpy(), None)
            )
            stepper = Stepper(model)
            decoded = decode(
                stepper, batch.memory, batch.memory_mask, inside.checkpoint.mean, noise[:, :count]
            ).frames.numpy()
        frames += [one[1 : part.length(k) + 1] for k, one in enumerate(decoded)]
    return {"drawing": drawing, **_summed(np.concatenate(bits), frames, clips)}


def _replayed(noise: Tensor, second_sample: bool) -> Callable[[Tensor], Tensor]:
    """Draws of a forward pass with latents from the prior: of each layer its latent's, then its second sample's."""
    kinds = (0, 1) if second_sample else (0,)
    order = iter([(layer, kind) for layer in range(noise.shape[2]) for kind in kinds])

    def draw(like: Tensor) -> Tensor:
        layer, kind = next(order)
        return noise[:, : like.shape[1], layer, kind]

    return draw


def _redrawn(inside: PaperInside, clips: Chosen, seed: int) -> dict[str, Any]:
    """Free motion where the past is drawn again for every frame, as released."""
    torch.manual_seed(seed)
    frames = []
    for part in clips.parts(16):
        batch = inside.batch(part)
        count = batch.clips.frames.shape[1]
        decoded = decode_serial(
            inside.checkpoint.model, batch.memory, batch.memory_mask, inside.checkpoint.mean, count
        ).numpy()
        frames += [one[1 : part.length(k) + 1] for k, one in enumerate(decoded)]
    return {"drawing": "past drawn again", **_summed(None, frames, clips)}


def _summed(bits: Any, frames: list[Any], clips: Chosen) -> dict[str, float]:
    truth = [clips.frames(k) for k in range(len(clips))]
    size = float(np.mean([np.linalg.norm(one, axis=1).mean() for one in frames]))
    own = float(np.mean([np.linalg.norm(one, axis=1).mean() for one in truth]))
    return {
        "bits": float("nan") if bits is None else float(bits.mean()),
        "perplexity": float("nan") if bits is None else perplexity(bits),
        "jerk": motion.jerk(frames) / motion.jerk(truth),
        "frechet": motion.frechet(frames, truth),
        "amplitude": size / own,
    }


def _report(page: Page, rows: list[dict[str, Any]], depths: list[int]) -> None:
    groups: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}
    for row in rows:
        groups.setdefault((row["how"], row["drawing"]), {}).setdefault(row["layers"], []).append(row)
    for metric, what in (
        ("bits", "bits per frame: log2 of continuous perplexity (the box's, exact), latents from the prior"),
        ("jerk", "mean third difference of free takes / the data's"),
        ("frechet", "Fréchet distance of free takes to the data"),
        ("amplitude", "size of free takes / the data's"),
    ):
        table = [
            (f"{how}, {drawing}", *(_mean(by.get(layers), metric) for layers in depths))
            for (how, drawing), by in groups.items()
            if not all(np.isnan(_mean(by.get(layers), metric)) for layers in depths)
        ]
        page.table((what, *(f"{layers} layers" for layers in depths)), table)
    page.result["rows"] = rows
    figure, axes = new_figure(11, 4, 3)
    for axis, metric in zip(axes, ("bits", "jerk", "frechet"), strict=True):
        for (how, drawing), by in groups.items():
            values = [_mean(by.get(layers), metric) for layers in depths]
            style = "-" if how == "as published" else "--"
            axis.plot(depths, values, style, marker="o", markersize=3, label=f"{how}, {drawing}")
        axis.set(xlabel="layers", title=metric, xticks=depths)
        axis.set_yscale("log" if metric == "jerk" else "linear")
    axes[-1].legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    page.figure(figure, "depth", "What depth does, and what helps; dashed: trained otherwise.")
    first, last = depths[0], depths[-1]
    plain, still = groups["as published", "as trained"], groups["as published", "no draws"]
    again = groups["as published", "past drawn again"]
    page.found(
        f"From {first} to {last} layers bits per frame go from {_mean(plain[first], 'bits'):.4g} to "
        f"{_mean(plain[last], 'bits'):.4g}; sampling adds "
        f"{_mean(plain[first], 'bits') - _mean(still[first], 'bits'):.2g} and "
        f"{_mean(plain[last], 'bits') - _mean(still[last], 'bits'):.2g} of them."
    )
    page.found(
        f"At {last} layers free takes have {_mean(plain[last], 'jerk'):.3g} times the data's jerk with latents drawn "
        "once, and "
        f"{_mean(again[last], 'jerk'):.3g} times where the past is drawn again for every frame ({first}: "
        f"{_mean(plain[first], 'jerk'):.3g} and {_mean(again[first], 'jerk'):.3g})."
    )


def _mean(rows: list[dict[str, Any]] | None, metric: str) -> float:
    return float(np.mean([row[metric] for row in rows])) if rows else float("nan")
