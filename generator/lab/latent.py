# SPDX-License-Identifier: GPL-3.0-or-later
"""What the latents hold: clouds coloured by emotion, intensity and time, and whether the decoder listens to them."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..direction.emotions import EMOTIONS
from ..evaluation.distances import time_mean
from ..evaluation.plots import new_figure
from .models import BATCH, SOURCES, Inside, Latents, open_inside
from .page import Page
from .study import Chosen, Study

Floats = npt.NDArray[Any]
#: A unit is active where the posterior's mean varies by more than this between steps (Burda et al. 2016, "Importance
#: weighted autoencoders").
ACTIVE: Final = 0.01
#: Points of the course of a clip at which KL is shown.
_COURSE: Final = 20
_COLOURS: Final = "tab20"
#: The nearest clips that say which emotion one has, and the parts in which that is tried.
_NEIGHBOURS: Final = 5
_FOLDS: Final = 3
#: What is told of a layer's use.
_USE: Final = {"kl_nats": "KL per step (nats)", "active_units": "active units", "units": "of",
               "shift": "|posterior − prior| / deviation", "narrow": "posterior's width / prior's"}  # fmt: skip
_CLUSTERS: Final = {"dimensions": "dimensions", "silhouette": "silhouette by emotion", "shuffled": "shuffled labels",
                    "p": "p", "neighbours": "emotion of 5 neighbours", "chance": "chance"}  # fmt: skip


def latent(study: Study) -> Page:
    """See the module. Needs scikit-learn and umap-learn."""
    emotions, clips = study.require_emotions(), study.chosen
    page = study.page("Are clips of one emotion near each other in the latent space, and does the decoder use it?")
    inside = open_inside(study.kind, study.folder)
    held, free = _passes(inside, clips, study.seed)
    _use(page, {"the data's clips": held, "its own free takes": free})
    _swaps(page, inside, study)
    whole = np.stack([one.mean.mean(1).ravel() for one in held])
    motion = np.stack([time_mean(clips.frames(i)) for i in range(len(clips))])
    spaces = {"posterior mean, mean over the clip": whole, "mean face (no model)": motion}
    _clusters(page, spaces, emotions, int(study.size["permutations"]), study.seed)
    intensities = np.array([shown.intensity for i in range(len(clips)) if (shown := clips.direction(i))])
    _clouds(page, whole, emotions, ("intensity", intensities, "viridis"), study.seed, 14, "clips",
            "One point a clip: the mean of the posterior's means over its steps.")  # fmt: skip
    steps = np.concatenate([one.mean.transpose(1, 0, 2).reshape(len(one.seconds), -1) for one in held])
    chosen = np.random.default_rng(study.seed).permutation(len(steps))[: int(study.size["steps_shown"])]
    seconds = np.concatenate([one.seconds for one in held])[chosen]
    felt = np.repeat(emotions, [len(one.seconds) for one in held])[chosen]
    _clouds(page, steps[chosen], felt, ("time [s]", seconds, "plasma"), study.seed, 3, "steps",
            f"One point a step ({len(chosen)} of {len(steps)} steps).")  # fmt: skip
    return page


def _passes(inside: Inside, clips: Chosen, seed: int) -> tuple[list[Latents], list[Latents]]:
    """Latents of every clip: of the data's own frames, and of what the model performs freely in their place."""
    held: list[Latents] = []
    free: list[Latents] = []
    for part in tqdm(list(clips.parts(BATCH)), "latents", unit="batch"):
        batch = inside.batch(part)
        held += inside.latents(batch, seed)
        free += inside.latents(inside.batch(part.with_frames(inside.free(batch, seed))), seed)
    return held, free


def _use(page: Page, seen: dict[str, list[Latents]]) -> None:
    """KL per step and layer, active units, prior against posterior; of the data's clips and of the model's own."""
    rows: dict[str, dict[str, Any]] = {}
    figure, axes = new_figure(9, 3.2, 2)
    for (name, clips), style in zip(seen.items(), ("-", "--"), strict=True):
        mean, deviation, prior_mean, prior_deviation, kl = (
            np.concatenate([getattr(one, key) for one in clips], 1)
            for key in ("mean", "deviation", "prior_mean", "prior_deviation", "kl")
        )  # (L, steps of all clips, Z)
        for layer, varied in enumerate(mean.var(1)):
            label, width = f"{name}, layer {layer + 1}", prior_deviation[layer].mean()
            shift = np.abs(mean[layer] - prior_mean[layer]).mean() / width
            values = (
                kl[layer].mean(),
                int((varied > ACTIVE).sum()),
                len(varied),
                shift,
                deviation[layer].mean() / width,
            )
            rows[label] = dict(zip(_USE, values, strict=True))
            curves = [_resampled(one.kl[layer]) for one in clips if len(one.seconds) > 1]
            axes[0].plot(np.linspace(0, 100, _COURSE), np.mean(curves, 0), style)
            axes[1].plot(np.arange(1, len(varied) + 1), np.sort(varied)[::-1], style, label=label)
    page.heading("Is it used?")
    page.measured(
        "use", rows,
        "A collapsed latent has KL 0, no active unit, a shift of 0 and a width of 1. A KL above zero proves nothing by "
        "itself: what the decoder does with z is below.", _USE, "teacher-forced on",
    )  # fmt: skip
    axes[0].set(xlabel="course of the clip [%]", ylabel="KL per step [nats]")
    axes[0].set_ylim(bottom=0)
    axes[1].axhline(ACTIVE, color="#999999", linewidth=0.8)
    axes[1].set(xlabel="unit, the most active first", ylabel="variance of the posterior's mean", yscale="log")
    axes[1].legend(frameon=False, fontsize=7)
    page.figure(figure, "use", "KL over the course of a clip, and how much each unit of z moves (the line: active).")


def _resampled(values: Floats) -> Floats:
    return np.interp(np.linspace(0, 1, _COURSE), np.linspace(0, 1, len(values)), values)


def _swaps(page: Page, inside: Inside, study: Study) -> None:
    """Does the prediction get worse when z is another? And do free takes of a line differ at all?"""
    found: dict[str, list[float]] = {source: [] for source in SOURCES}
    apart: list[float] = []
    for part in tqdm(list(study.chosen.parts(BATCH)), "latents exchanged", unit="batch"):
        batch = inside.batch(part)
        for source, error in inside.errors(batch, study.seed).items():
            found[source].append(float(error.mean()))
        takes = [inside.free(batch, study.seed + k, heat) for k, heat in ((1, 1.0), (2, 1.0), (3, 0.0))]
        for first, second, still in zip(*takes, strict=True):
            count = min(map(len, (first, second, still)))
            size = np.linalg.norm(still[:count], axis=1).mean()
            apart.append(float(np.linalg.norm(first[:count] - second[:count], axis=1).mean() / max(size, 1e-9)))
    errors = {source: float(np.mean(values)) for source, values in found.items()}
    worse = {source: value / errors["posterior"] for source, value in errors.items()}
    page.table(
        ("z is", "error of the next frames (rms)", "× posterior's"),
        [(source, value, worse[source]) for source, value in errors.items()],
        "The same frames before, another z: a decoder that does not listen predicts the same whatever z is.",
    )
    page.result |= {"errors": errors, "takes_apart": float(np.mean(apart))}
    page.found(
        f"With another clip's z the next frames are predicted {worse[SOURCES[-1]]:.2f} times as badly as with their "
        f"own; with the prior's, {worse['prior']:.2f} times. Two free takes of a line are, frame by frame, "
        f"{np.mean(apart):.2f} of the face's own distance from rest apart (0 would be collapse)."
    )


def _clusters(page: Page, spaces: dict[str, Floats], emotions: Floats, permutations: int, seed: int) -> None:
    """Silhouettes by emotion, against shuffled labels, and how many neighbours agree."""
    from sklearn.metrics import silhouette_score
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    counts = np.bincount(emotions, minlength=len(EMOTIONS))
    kept = np.isin(emotions, np.flatnonzero(counts >= _FOLDS))
    if kept.sum() < _FOLDS * _NEIGHBOURS or len(np.unique(emotions[kept])) < 2:
        page.text(f"No two emotions have {_FOLDS} clips each among so few lines, so clusters are not measured.")
        return
    rng, rows, labels = np.random.default_rng(seed), {}, emotions[kept]
    for name, values in spaces.items():
        points = _standardised(values[kept])
        score = silhouette_score(points, labels)
        shuffled = [silhouette_score(points, rng.permutation(labels)) for _ in range(permutations)]
        p = (1 + sum(value >= score for value in shuffled)) / (1 + permutations)
        neighbours = cross_val_score(KNeighborsClassifier(_NEIGHBOURS), points, labels, cv=_FOLDS).mean()
        found = (
            points.shape[1],
            score,
            float(np.mean(shuffled)),
            p,
            neighbours,
            np.bincount(labels).max() / len(labels),
        )
        rows[name] = dict(zip(_CLUSTERS, found, strict=True))
    page.heading("Clusters")
    page.measured(
        "clusters", rows,
        f"{len(labels)} clips; the silhouette is computed in the space itself, never in a picture of it.", _CLUSTERS,
        "space",
    )  # fmt: skip


def _standardised(values: Floats) -> Floats:
    deviation = values.std(0)
    return (values - values.mean(0))[:, deviation > 1e-6] / deviation[deviation > 1e-6]


def _clouds(
    page: Page, values: Floats, emotions: Floats, other: tuple[str, Floats, str], seed: int, dot: float, name: str,
    caption: str,
) -> None:  # fmt: skip
    """``values`` (n, D) in two dimensions, by t-SNE and by UMAP; above by emotion, below by ``other``."""
    from matplotlib import colormaps
    from sklearn.manifold import TSNE
    from umap import UMAP

    points, near = _standardised(values), min(30, (len(values) - 1) // 3)
    ways = {"t-SNE": TSNE(perplexity=max(near, 2), random_state=seed, init="pca"),
            "UMAP": UMAP(n_neighbors=max(near // 2, 2), random_state=seed)}  # fmt: skip
    figure, axes = new_figure(11, 8.4, 2, 2, subplot_kw={"xticks": [], "yticks": []})
    for column, (way, embedding) in enumerate(ways.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # UMAP: one thread where the seed is fixed
            across, up = embedding.fit_transform(points).T
        axes[column].scatter(across, up, c=emotions, s=dot, cmap=_COLOURS, vmin=0, vmax=19)
        axes[column].set_title(f"{way}, by emotion", fontsize=9)
        dots = axes[2 + column].scatter(across, up, c=other[1], s=dot, cmap=other[2])
        axes[2 + column].set_title(f"{way}, by {other[0]}", fontsize=9)
        figure.colorbar(dots, ax=axes[2 + column], shrink=0.7)
    for number in np.unique(emotions):
        axes[1].scatter([], [], color=colormaps[_COLOURS](int(number)), s=14, label=EMOTIONS[int(number)])
    axes[1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    page.figure(figure, name, caption)
