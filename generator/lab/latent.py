# SPDX-License-Identifier: GPL-3.0-or-later
"""What the latents hold: clouds coloured by emotion, intensity and time, and whether the decoder listens to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..direction.emotions import EMOTIONS
from ..evaluation.distances import time_mean
from ..evaluation.plots import new_figure
from .models import BATCH, SOURCES, Inside, Latents, open_inside
from .page import Page
from .study import Chosen, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def latent(study: Study) -> Page:
    """See the module. Needs scikit-learn and umap-learn."""
    emotions, size = study.require_emotions(), study.size
    page = study.page("Are clips of one emotion near each other in the latent space, and does the decoder use it?")
    inside = open_inside(study.kind, study.folder)
    held, free = _passes(inside, study.chosen, study.seed)
    _use(page, held, free)
    _swaps(page, inside, study)
    clips = study.chosen
    intensities = np.array([shown.intensity for i in range(len(clips)) if (shown := clips.direction(i))])
    whole = np.stack([values.mean[:, 0, values.mask[0]].mean(1).ravel() for values in held])
    motion = np.stack([time_mean(clips.frames(i)) for i in range(len(clips))])
    _clusters(
        page, {"posterior mean, mean over the clip": whole, "mean face (no model)": motion}, emotions, size, study.seed
    )
    _clouds(page, whole, emotions, intensities, study.seed)
    _time_cloud(page, held, emotions, int(size["steps_shown"]), study.seed)
    return page


def _passes(inside: Inside, clips: Chosen, seed: int) -> tuple[list[Latents], list[Latents]]:
    """Latents of every clip: of the data's own frames, and of what the model performs freely in their place."""
    held: list[Latents] = []
    free: list[Latents] = []
    for part in tqdm(list(clips.parts(BATCH)), "latents", unit="batch"):
        batch = inside.batch(part)
        held += _each(inside.latents(batch, seed))
        free += _each(inside.latents(inside.batch(part.with_frames(inside.free(batch, seed))), seed))
    return held, free


def _each(values: Latents) -> Iterator[Latents]:
    """The clips of a batch, one by one."""
    for row in range(len(values.mask)):
        arrays = {k: v[:, row : row + 1] for k, v in vars(values).items() if k not in ("mask", "seconds")}
        yield replace(values, **arrays, mask=values.mask[row : row + 1])


def _units(clips: list[Latents], name: str) -> Floats:
    """An array of all steps of all clips, (L, steps, Z)."""
    return np.concatenate([getattr(one, name)[:, 0, one.mask[0]] for one in clips], 1)


def _use(page: Page, held: list[Latents], free: list[Latents]) -> None:
    """KL per step and layer, active units, prior against posterior; of the data's clips and of the model's own."""
    rows, result = [], {}
    for name, clips in (("the data's clips", held), ("its own free takes", free)):
        mean, prior = _units(clips, "mean"), _units(clips, "prior_mean")
        kl = np.concatenate([one.kl[:, 0, one.mask[0]] for one in clips], 1)
        active = (mean.var(1) > ACTIVE).sum(1)
        shift = np.abs(mean - prior).mean((1, 2)) / _units(clips, "prior_deviation").mean((1, 2))
        narrow = _units(clips, "deviation").mean((1, 2)) / _units(clips, "prior_deviation").mean((1, 2))
        for layer in range(len(mean)):
            values = (kl[layer].mean(), int(active[layer]), mean.shape[2], shift[layer], narrow[layer])
            rows.append((f"{name}, layer {layer + 1}", *values))
            keys = ("kl_nats", "active_units", "units", "shift", "narrow")
            result[f"{name}, layer {layer + 1}"] = dict(zip(keys, values, strict=True))
    page.heading("Is it used?")
    page.table(
        (
            "teacher-forced on",
            "KL per step (nats)",
            "active units",
            "of",
            "|posterior − prior| / deviation",
            "posterior's width / prior's",
        ),
        rows,
        "A collapsed latent has KL 0, no active unit, a shift of 0 and a width of 1. A KL above zero proves nothing by "
        "itself: what the decoder does with z is below.",
    )
    page.result["use"] = result
    figure, axes = new_figure(9, 3.2, 2)
    for clips, label, style in ((held, "the data's clips", "-"), (free, "its own takes", "--")):
        for layer in range(clips[0].kl.shape[0]):
            curves = [_resampled(one.kl[layer, 0, one.mask[0]]) for one in clips if one.mask.sum() > 1]
            axes[0].plot(np.linspace(0, 100, _COURSE), np.mean(curves, 0), style, label=f"{label}, layer {layer + 1}")
            spread = np.sort(_units(clips, "mean")[layer].var(0))[::-1]
            axes[1].plot(np.arange(1, len(spread) + 1), spread, style, label=f"{label}, layer {layer + 1}")
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
        mask = inside.mask(batch)[0]
        for source, error in inside.errors(batch, study.seed).items():
            found[source].append(float(error[mask].mean()))
        takes = [inside.free(batch, study.seed + k, heat) for k, heat in ((1, 1.0), (2, 1.0), (3, 0.0))]
        for first, second, still in zip(*takes, strict=True):
            count = min(map(len, (first, second, still)))
            size = np.linalg.norm(still[:count], axis=1).mean()
            apart.append(float(np.linalg.norm(first[:count] - second[:count], axis=1).mean() / max(size, 1e-9)))
    errors = {source: float(np.mean(values)) for source, values in found.items()}
    page.table(
        ("z is", "error of the next frames (rms)", "× posterior's"),
        [(source, value, value / errors["posterior"]) for source, value in errors.items()],
        "The same frames before, another z: a decoder that does not listen predicts the same whatever z is.",
    )
    listens = errors["another clip's"] / errors["posterior"]
    page.result["errors"] = errors
    page.result["takes_apart"] = float(np.mean(apart))
    page.found(
        f"With another clip's z the next frames are predicted {listens:.2f} times as badly as with their own; with the "
        f"prior's, {errors['prior'] / errors['posterior']:.2f} times. Two free takes of a line are, frame by frame, "
        f"{np.mean(apart):.2f} of the face's own distance from rest apart (0 would be collapse)."
    )


def _clusters(page: Page, spaces: dict[str, Floats], emotions: Floats, size: Any, seed: int) -> None:
    """Silhouettes by emotion, against shuffled labels, and how many neighbours agree."""
    from sklearn.metrics import silhouette_score
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    counts = np.bincount(emotions, minlength=len(EMOTIONS))
    kept = np.isin(emotions, np.flatnonzero(counts >= _FOLDS))
    if kept.sum() < _FOLDS * _NEIGHBOURS or len(np.unique(emotions[kept])) < 2:
        page.text(f"No two emotions have {_FOLDS} clips each among so few lines, so clusters are not measured.")
        return
    rng, rows = np.random.default_rng(seed), []
    for name, values in spaces.items():
        points, labels = _standardised(values[kept]), emotions[kept]
        score = silhouette_score(points, labels)
        shuffled = [silhouette_score(points, rng.permutation(labels)) for _ in range(int(size["permutations"]))]
        p = (1 + sum(value >= score for value in shuffled)) / (1 + len(shuffled))
        neighbours = cross_val_score(KNeighborsClassifier(_NEIGHBOURS), points, labels, cv=_FOLDS).mean()
        rows.append(
            (
                name,
                points.shape[1],
                score,
                float(np.mean(shuffled)),
                p,
                neighbours,
                np.bincount(labels).max() / len(labels),
            )
        )
    page.heading("Clusters")
    page.table(
        ("space", "dimensions", "silhouette by emotion", "shuffled labels", "p", "emotion of 5 neighbours", "chance"),
        rows,
        f"{int(kept.sum())} clips; the silhouette is computed in the space itself, never in a picture of it.",
    )
    page.result["clusters"] = {
        row[0]: dict(zip(("dimensions", "silhouette", "shuffled", "p", "neighbours", "chance"), row[1:], strict=True))
        for row in rows
    }


def _standardised(values: Floats) -> Floats:
    deviation = values.std(0)
    return (values - values.mean(0))[:, deviation > 1e-6] / deviation[deviation > 1e-6]


def _embedded(values: Floats, seed: int) -> dict[str, Floats]:
    """``values`` (n, D) in two dimensions, by t-SNE and by UMAP."""
    import warnings

    from sklearn.manifold import TSNE
    from umap import UMAP

    near = min(30, (len(values) - 1) // 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # UMAP: one thread where the seed is fixed
        return {
            "t-SNE": TSNE(perplexity=max(near, 2), random_state=seed, init="pca").fit_transform(values),
            "UMAP": UMAP(n_neighbors=max(near // 2, 2), random_state=seed).fit_transform(values),
        }


def _clouds(page: Page, values: Floats, emotions: Floats, intensities: Floats, seed: int) -> None:
    placed = _embedded(_standardised(values), seed)
    figure, axes = new_figure(11, 8.4, 2, 2)
    for column, (name, points) in enumerate(placed.items()):
        _by_emotion(axes[column], points, emotions)
        axes[column].set_title(f"{name}, by emotion", fontsize=9)
        dots = axes[2 + column].scatter(points[:, 0], points[:, 1], c=intensities, s=14, cmap="viridis")
        axes[2 + column].set_title(f"{name}, by intensity", fontsize=9)
        figure.colorbar(dots, ax=axes[2 + column], shrink=0.7)
    _legend(axes[1], emotions)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    page.figure(figure, "clips", "One point a clip: the mean of the posterior's means over its steps.")


def _time_cloud(page: Page, held: list[Latents], emotions: Floats, most: int, seed: int) -> None:
    steps = np.concatenate(
        [one.mean[:, 0, one.mask[0]].transpose(1, 0, 2).reshape(int(one.mask.sum()), -1) for one in held]
    )
    seconds = np.concatenate([one.seconds[one.mask[0]] for one in held])
    felt = np.concatenate([np.full(int(one.mask.sum()), emotion) for one, emotion in zip(held, emotions, strict=True)])
    chosen = np.random.default_rng(seed).permutation(len(steps))[:most]
    placed = _embedded(_standardised(steps[chosen]), seed)
    figure, axes = new_figure(11, 8.4, 2, 2)
    for column, (name, points) in enumerate(placed.items()):
        dots = axes[column].scatter(points[:, 0], points[:, 1], c=seconds[chosen], s=3, cmap="plasma")
        axes[column].set_title(f"{name}, by time", fontsize=9)
        figure.colorbar(dots, ax=axes[column], shrink=0.7, label="seconds")
        _by_emotion(axes[2 + column], points, felt[chosen], 3)
        axes[2 + column].set_title(f"{name}, by emotion", fontsize=9)
    _legend(axes[3], felt[chosen])
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    page.figure(figure, "steps", f"One point a step ({len(chosen)} of {len(steps)} steps).")


def _by_emotion(axis: Axes, points: Floats, emotions: Floats, size: float = 14) -> None:
    axis.scatter(points[:, 0], points[:, 1], c=emotions, s=size, cmap=_COLOURS, vmin=0, vmax=19)


def _legend(axis: Axes, emotions: Floats) -> None:
    from matplotlib import colormaps

    for number in np.unique(emotions):
        axis.scatter([], [], color=colormaps[_COLOURS](int(number)), s=14, label=EMOTIONS[int(number)])
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
