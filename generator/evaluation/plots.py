# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's plots, as PNG files. The only module that needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..direction.emotions import EMOTIONS
from ..writing import write_atomically
from . import motion
from .distances import Clip
from .judge import Reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, told apart by colour-blind readers; black is the ground truth's.
_STRONG: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_PALE: Final = ("#999999", "#E69F00", "#56B4E9", "#B8A900", "#8C6D9E", "#7A9A65")
#: Metrics of the overview: key -> label. Ratios to the ground truth are meaningful for these.
_OVERVIEW: Final = {
    "diversity_all": "Diversity\nof lines",
    "mmodality_all": "MModality\n(of takes)",
    "variation": "Variation",
    "fgd": "FgD\n(speed)",
    "in_clip_diversity": "In-clip\ndiversity",
    "jerk": "Jerk",
    "peak": "Peak\namplitude",
    "blinks_per_minute": "Blinks\nper minute",
    "emotion_followed": "Emotion\nfollowed",
    "frechet": "Fréchet\n(lower better)",
}
#: Blinks of this many frames and longer are counted together.
_LONGEST_BLINK: Final = 10
#: The overview shows ratios from 1 / _SPAN to _SPAN; what lies beyond is an arrow at the edge.
_SPAN: Final = 4.0


@dataclass(frozen=True)
class Plotted:
    """A system as the plots see it: its numbers and the first take of every line."""

    name: str
    kind: str
    values: Mapping[str, float]
    clips: Sequence[Clip]


def write_plots(systems: Sequence[Plotted], reference: Reference, folder: Path) -> dict[str, str]:
    """Write the plots into ``folder``; ``systems`` start with the ground truth.

    Returns:
        file name -> caption.
    """
    captions = {}
    for name, draw, caption in (
        ("metrics.png", _overview, "Metrics over the ground truth's, on a log scale; arrows point off the scale."),
        ("amplitude.png", _amplitude, "Distance from neutral over the course of a clip, mean over clips."),
        ("speed.png", _speed, "How fast the face moves: distribution of the change per frame."),
        ("blinks.png", _blinks, "How often the lids close, and for how long."),
        ("emotion.png", _emotion, "Emotion asked for against the emotion the probe reads, share of lines."),
    ):
        figure = draw(systems, reference)
        if figure is not None:
            save = partial(figure.savefig, format="png", dpi=120, bbox_inches="tight")
            write_atomically(folder / name, save)
            captions[name] = caption
    return captions


def new_figure(
    width: float, height: float, columns: int = 1, rows: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; ``options`` are those of ``subplots``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: no window system, no state that outlives the figure
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def _styles(systems: Sequence[Plotted]) -> list[dict[str, Any]]:
    """Line styles: black for the ground truth, strong for what was trained, thin and pale for the rest."""
    strong, pale, styles = 0, 0, []
    for system in systems:
        if system.kind == "ground truth":
            styles.append({"color": "black", "linewidth": 2.4, "zorder": 5})
        elif system.kind == "untrained baseline":
            styles.append({"color": _PALE[pale % len(_PALE)], "linewidth": 1.4, "linestyle": "--", "zorder": 2})
            pale += 1
        else:
            styles.append({"color": _STRONG[strong % len(_STRONG)], "linewidth": 2.0, "zorder": 4})
            strong += 1
    return styles


def _overview(systems: Sequence[Plotted], reference: Reference) -> Figure | None:
    truth, others = systems[0].values, systems[1:]
    shown = [key for key in _OVERVIEW if truth.get(key, 0) > 0 and any(key in s.values for s in others)]
    if not others or not shown:
        return None
    columns = -(-len(shown) // 2)
    figure, axes = new_figure(1.6 * columns + 1.8, 0.8 * len(others) + 2.2, columns, 2, sharey=True)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    rows = np.arange(len(others))[::-1]
    for axis, key in zip(axes, shown, strict=False):
        axis.axvline(1, color="black", linewidth=1.4)
        for row, system, style in zip(rows, others, _styles(systems)[1:], strict=True):
            axis.axhline(row, color="#eeeeee", linewidth=1, zorder=0)
            if key not in system.values:
                axis.text(1, row, " not measured ", ha="center", va="center", fontsize=6, color="#777777",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
                continue
            ratio = system.values[key] / truth[key]
            place = float(np.clip(ratio, 1 / _SPAN, _SPAN))
            marker = "o" if place == ratio else ("<" if ratio < 1 else ">")
            axis.plot([1, place], [row, row], color=style["color"], linewidth=2, alpha=0.5)
            axis.plot([place], [row], marker, color=style["color"], markersize=7, clip_on=False, zorder=7)
            text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
            side = "right" if place > 2 else "left" if place < 0.5 else "center"
            axis.annotate(text, (place, row), (0, 6.5), textcoords="offset points", fontsize=7, ha=side, zorder=6,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.2})  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xlim(1 / _SPAN / 1.1, _SPAN * 1.1)
        axis.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"], fontsize=7)
        axis.set_title(_OVERVIEW[key], fontsize=8)
        axis.tick_params(left=False)
        axis.spines["left"].set_visible(False)
    axes[0].set_yticks(rows, [s.name for s in others])
    axes[0].set_ylim(-0.5, len(others) - 0.35)
    for first in (axes[0], axes[columns]):
        first.tick_params(axis="y", labelsize=8)
    figure.supxlabel("value over the ground truth's", fontsize=8)
    return figure


def _amplitude(systems: Sequence[Plotted], reference: Reference) -> Figure:
    figure, (axis,) = new_figure(7.5, 3.8)
    for system, style in zip(systems, _styles(systems), strict=True):
        curve = motion.amplitude(system.clips)
        axis.plot(np.linspace(0, 100, len(curve)), curve, label=system.name, **style)
    axis.set(xlabel="course of the clip [%]", ylabel=f"distance from neutral [{reference.space.name}]", xlim=(0, 100))
    axis.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _speed(systems: Sequence[Plotted], reference: Reference) -> Figure:
    figure, (axis,) = new_figure(7.5, 3.8)
    measured = [motion.speeds(system.clips) for system in systems]
    pooled = np.concatenate([values[values > 0] for values in measured])
    edges = np.geomspace(max(float(np.percentile(pooled, 0.5)), 1e-4), float(pooled.max()), 40)
    for system, style, values in zip(systems, _styles(systems), measured, strict=True):
        if values.any():
            share, _ = np.histogram(np.clip(values, edges[0], None), edges)
            axis.stairs(100 * share / len(values), edges, label=system.name, **style)
        else:
            axis.plot([], [], label=f"{system.name} (does not move)", **style)
    axis.set_xscale("log")
    axis.set(xlabel=f"change per frame [{reference.space.name}]; the first bin holds all that is slower",
             ylabel="share of frames [%]")  # fmt: skip
    axis.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _blinks(systems: Sequence[Plotted], reference: Reference) -> Figure | None:
    lids, fps = motion.lid_columns(reference.space), reference.space.fps
    if lids is None:
        return None
    counted = [motion.blinks(s.clips, lids, fps) for s in systems]
    styles = _styles(systems)
    figure, (rate, duration) = new_figure(9.5, 3.6, 2)
    rows = np.arange(len(systems))[::-1]
    bars = rate.barh(rows, [b.per_minute for b in counted], color=[s["color"] for s in styles], height=0.6)
    rate.bar_label(
        bars, fmt="%.1f", padding=3, fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    )
    rate.set_yticks(rows, [s.name for s in systems], fontsize=8)
    rate.axvline(counted[0].per_minute, color="black", linewidth=1, linestyle=":")
    rate.set_xlabel("blinks per minute")
    frames = np.arange(1, _LONGEST_BLINK + 1)
    for system, style, blinks in zip(systems, styles, counted, strict=True):
        if len(blinks.durations):
            lasted = np.minimum(np.rint(blinks.durations * fps).astype(int), _LONGEST_BLINK)
            share = 100 * np.bincount(lasted, minlength=_LONGEST_BLINK + 1)[1:] / len(lasted)
            duration.plot(1000 * frames / fps, share, marker="o", markersize=4, label=system.name, **style)
    duration.set(xlabel="lids closed [ms]; last point: all longer ones",
                 ylabel="share of blinks [%]")  # fmt: skip
    duration.set_ylim(bottom=0)
    return figure


def _emotion(systems: Sequence[Plotted], reference: Reference) -> Figure | None:
    if reference.probe is None or reference.emotions is None:
        return None
    shown = [s for s in systems if s.kind != "untrained baseline"]
    figure, axes = new_figure(3.4 * len(shown) + 0.8, 3.9, len(shown), sharey=True)
    for axis, system in zip(axes, shown, strict=True):
        table = _confusion(reference.probe.read(system.clips), reference.emotions)
        axis.imshow(table, cmap="Blues", vmin=0, vmax=1)
        for (asked, read), share in np.ndenumerate(table):
            if share >= 0.005:
                axis.text(read, asked, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                          color="white" if share > 0.6 else "black")  # fmt: skip
        axis.set_title(system.name, fontsize=9)
        axis.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=45, ha="right", fontsize=7)
        axis.spines[:].set_visible(False)
        axis.set_xlabel("read", fontsize=8)
    counts = np.bincount(reference.emotions, minlength=len(EMOTIONS))
    labels = [f"{name} ({count})" for name, count in zip(EMOTIONS, counts, strict=True)]
    axes[0].set_yticks(range(len(EMOTIONS)), labels, fontsize=7)
    axes[0].set_ylabel("asked (lines)", fontsize=8)
    return figure


def _confusion(read: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Shares of what was read for each emotion asked, (7, 7); rows without a line are zero."""
    table = np.zeros((len(EMOTIONS), len(EMOTIONS)))
    np.add.at(table, (asked, read), 1)
    return np.asarray(table / np.maximum(table.sum(1, keepdims=True), 1))
