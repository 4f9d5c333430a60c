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
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..evaluation import motion
from ..evaluation.perplexity import box_bits
from ..evaluation.plots import new_figure
from ..paper.decoding import draw_noise
from ..training.paper import PaperLines, PaperObjective
from ..training.recipe import Terms
from .page import Page
from .serial import decode_serial
from .statistics import Difference, differ, differences
from .study import SPLIT, Chosen, Study
from .training import TOGETHER, Bench

#: The model as it is, each latent drawn once; without any draw; and as the released decoding draws.
PUBLISHED: Final = "as published"
STILL: Final = "no draws"
REDRAWN: Final = "past drawn again"
MEASURED: Final = {
    "bits": "bits per frame: log2 of continuous perplexity (the box's, exact), latents from the prior",
    "jerk": "mean third difference of free takes / the data's",
    "frechet": "Fréchet distance of free takes to the data",
    "amplitude": "size of free takes / the data's",
}
#: (how, layers) -> metric -> one value a seed.
Values = dict[tuple[str, int], dict[str, list[float]]]
#: How often a frame is replaced by the model's own while it learns to read those.
_OWN_FRAMES: Final = 0.5
#: A way to draw: (draws, number of layers) -> draws. Draws are (B, positions, L, D).
Drawing = Callable[[Tensor, int], Tensor]


def as_trained(draws: Tensor, layers: int) -> Tensor:
    """Every layer its own draw."""
    return draws


#: Ways of drawing that need no other training: no draw at all; one for all layers; each layer's temperature such that
#: together they vary as one layer would; a draw for the first layer, and their mean for the others.
DRAWINGS: Final[dict[str, Drawing]] = {
    STILL: lambda draws, layers: torch.zeros_like(draws),
    "shared draw": lambda draws, layers: draws[:, :, :1].expand_as(draws),
    "colder layers": lambda draws, layers: draws / layers**0.5,
    "first layer draws": lambda draws, layers: draws * (torch.arange(layers) == 0).unsqueeze(-1),
}


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
    PUBLISHED: (None, None),
    "smaller latents": (smaller_latents, None),
    "own frames": (None, OwnFrames),
}
#: Those of them that are cures.
_CURES: Final = tuple(how for how in TRAINED if how != PUBLISHED)


def depth(study: Study) -> Page:
    """See the module."""
    study = replace(study, trained="paper")
    page = study.page("Does the paper's model get worse with every layer, and why?")
    deepest, bench = int(study.size["layers"]), Bench(study)
    clips = bench.part(SPLIT, int(study.size["lines"]))
    values: Values = {}
    # A cure is tried where the illness is worst.
    models = [(layers, PUBLISHED) for layers in range(1, deepest + 1)]
    models += [(deepest, how) for how in _CURES if deepest > 1]
    work = [(study.seed + seed, *model) for seed in range(int(study.size["seeds"])) for model in models]
    for seed, layers, how in tqdm(work, "models", unit="model"):
        config = {"n_layers": layers, "second_sample": bool(study.size["second_sample"])}
        prepare, objective = TRAINED[how]
        made = bench.model(seed, config, {}, prepare, objective)
        judge = partial(_ways, clips, seed, how, layers in (1, deepest))
        for name, measured in made.judged([seed, study.size["lines"], study.size["longest"]], judge).items():
            for metric, value in measured.items():
                values.setdefault((name, layers), {}).setdefault(metric, []).append(value)
    _report(page, values, deepest)
    return page


def _ways(clips: Chosen, seed: int, how: str, redrawn: bool, inside: Any) -> dict[str, dict[str, float]]:
    """A model judged with its own way of drawing; as published, with every other too."""
    found = {how: _judged(inside, clips, seed, as_trained)}
    if how == PUBLISHED:
        for name, drawing in DRAWINGS.items():
            if len(inside.layers) > 1 or name == STILL:  # one layer alone can share with nobody
                found[name] = _judged(inside, clips, seed, drawing)
        if redrawn:  # at both ends alone: every frame is a pass over all frames before it
            found[REDRAWN] = _redrawn(inside, clips, seed)
    return found


def _judged(inside: Any, clips: Chosen, seed: int, drawing: Drawing) -> dict[str, float]:
    """Perplexity under teacher forcing and free motion, with draws made as ``drawing`` says."""
    model, bits, frames = inside.module, [], []
    for part in clips.parts(TOGETHER):
        batch = inside.batch(part)
        rows, count = batch.clips.frames.shape[:2]
        noise = draw_noise(model.config, [np.random.default_rng([seed, row]) for row in range(rows)], count + 1)
        noise[..., 0, :] = drawing(noise[..., 0, :], len(model.layers))
        replayed = _replayed(noise, model.config.second_sample)
        with torch.inference_mode():
            told = model(batch.clips, batch.memory, batch.memory_mask, "prior", replayed).prediction.numpy()
            frames += inside.decoded(batch, noise[:, :count])
        bits.append(box_bits(told, batch.clips.target.numpy(), batch.clips.target_mask.numpy(), None))
    return {"bits": float(np.concatenate(bits).mean()), **_summed(frames, clips)}


def _replayed(noise: Tensor, second_sample: bool) -> Callable[[Tensor], Tensor]:
    """Draws of a forward pass with latents from the prior: of each layer its latent's, then its second sample's."""
    order = iter([(layer, kind) for layer in range(noise.shape[2]) for kind in range(1 + second_sample)])

    def draw(like: Tensor) -> Tensor:
        layer, kind = next(order)
        return noise[:, : like.shape[1], layer, kind]

    return draw


def _redrawn(inside: Any, clips: Chosen, seed: int) -> dict[str, float]:
    """Free motion where the past is drawn again for every frame, as released."""
    torch.manual_seed(seed)
    frames, mean = [], inside.checkpoint.mean
    for part in clips.parts(TOGETHER):
        batch = inside.batch(part)
        count = batch.clips.frames.shape[1]
        decoded = decode_serial(inside.module, batch.memory, batch.memory_mask, mean, count).numpy()
        frames += [one[1 : part.length(k) + 1] for k, one in enumerate(decoded)]
    return _summed(frames, clips)


def _summed(frames: list[Any], clips: Chosen) -> dict[str, float]:
    truth = [clips.frames(k) for k in range(len(clips))]
    size, own = (float(np.mean([np.linalg.norm(one, axis=1).mean() for one in some])) for some in (frames, truth))
    return {
        "jerk": motion.jerk(frames) / motion.jerk(truth),
        "frechet": motion.frechet(frames, truth),
        "amplitude": size / own,
    }


def _report(page: Page, values: Values, deepest: int) -> None:
    depths, names = range(1, deepest + 1), list(dict.fromkeys(name for name, _ in values))
    page.result["values"] = {f"{name}, {layers} layers": found for (name, layers), found in values.items()}
    figure, axes = new_figure(13, 4, len(MEASURED))
    for axis, (metric, what) in zip(axes, MEASURED.items(), strict=True):
        rows = [(name, [_mean(values, name, layers, metric) for layers in depths]) for name in names]
        rows = [row for row in rows if np.isfinite(row[1]).any()]
        page.table((what, *(f"{n} layers" for n in depths)), [(name, *means) for name, means in rows])
        for name, means in rows:
            axis.plot(depths, means, "x--" if name in _CURES else "o-", markersize=4, label=name)
        scale = "log" if metric in ("jerk", "frechet") else "linear"
        axis.set(xlabel="layers", title=metric, xticks=depths, yscale=scale)
    axes[-1].legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    page.figure(figure, "depth", "What depth does, and what helps; crosses: trained otherwise, at the deepest only.")
    if deepest > 1:
        _verdict(page, values, deepest)


def _verdict(page: Page, values: Values, deepest: int) -> None:
    """What was to be tested: deeper against shallow, the cause, and each cure at the deepest."""
    whole, cures = values[PUBLISHED, deepest], [*(name for name in DRAWINGS if name != STILL), *_CURES]
    sides = {"one layer": values[PUBLISHED, 1], **{name: values[name, deepest] for name in (REDRAWN, *cures)}}
    tested = [("one layer", metric) for metric in ("bits", "jerk", "frechet")] + [(REDRAWN, "jerk")]
    tested += [(name, metric) for name in cures for metric in ("bits", "frechet")]
    found = differences(whole, sides, tested)
    page.heading(f"Beside {deepest} layers as published")
    differ(page, found, list(MEASURED), len(whole["jerk"]), len(tested), "")
    deeper, redrawn = found["one layer"], found[REDRAWN]["jerk"]
    page.found(
        f"From one layer to {deepest}: bits per frame {_spoken(deeper['bits'], -1)}, jerk "
        f"{_spoken(deeper['jerk'], -1)} times the data's, Fréchet distance {_spoken(deeper['frechet'], -1)}."
    )
    page.found(
        f"The past drawn again at every frame instead of once: jerk {_spoken(redrawn)} times the data's, of "
        f"{np.mean(whole['jerk']):.3g}."
    )
    nearer = {name: found[name]["frechet"] for name in cures}
    helped = [f"{name} ({d.mean:+.3g})" for name, d in nearer.items() if d.seen and d.mean < 0]
    page.found(
        f"Cures that bring free takes nearer to the data (Fréchet {np.mean(whole['frechet']):.3g}): "
        f"{', '.join(helped) or 'none is established'}."
    )


def _spoken(difference: Difference, sign: int = 1) -> str:
    return f"{sign * difference.mean:+.3g} ({'established' if difference.seen else 'not established'})"


def _mean(values: Values, name: str, layers: int, metric: str) -> float:
    return float(np.mean(values.get((name, layers), {}).get(metric, [np.nan])))
