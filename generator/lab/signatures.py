# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's three signatures of failure, each as a number that raises an alarm, and checkpoints that are made to
fail.

*Collapse*: takes of a line are the same. *Temporal incoherence*: the face trembles or jumps. *Spatial incoherence*: the
parts of the face move as if they belonged to different faces. Every number is a share of what the data itself
shows, so that the bounds hold for any data: `BOUNDS` were set before anything was measured.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from ..engine.files import SETTINGS_FILE
from ..evaluation import metrics, motion
from ..evaluation.distances import Clip
from ..evaluation.lines import spread
from ..model.checkpoint import load_checkpoint, save_checkpoint
from ..paper.checkpoint import load_paper_checkpoint, save_paper_checkpoint
from ..shared.spaces import Space
from .page import Page, curves
from .study import Study

#: Signature -> the lowest and highest value without an alarm, and what the value is.
BOUNDS: Final = {
    "collapse": (0.5, float("inf"), "how far apart takes of a line are, over how far apart lines are, / the data's"),
    "temporal incoherence": (0.0, 2.0, "mean third difference / the data's"),
    "spatial incoherence": (0.5, float("inf"), "share of a region's motion told by the other regions, / the data's"),
}
#: Of data with one take of each line, the share of variety between takes that its lines' takes are held to: that of the
#: teacher of our corpus is 0.65.
_ASSUMED_VARIETY: Final = 0.6
_RIDGE: Final = 1e-2
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coordination:
    """How the regions of a face go together: each told from the others by a linear map, fitted to the data.

    Attributes:
        regions: the channels of each region, all others, and the map from those to these.
    """

    regions: tuple[tuple[list[int], list[int], Floats], ...]

    @classmethod
    def of(cls, clips: Sequence[Clip], space: Space) -> Coordination:
        """From the motion (frames without the clip's mean) of ``clips``: maps a little short of the best."""
        moved, found = _motion(clips), []
        for group in space.groups.values():
            own, others = list(group), [column for column in range(space.size) if column not in group]
            square = moved[:, others].T @ moved[:, others]
            square += _RIDGE * np.trace(square) / len(square) * np.eye(len(square))
            found.append((own, others, np.linalg.solve(square, moved[:, others].T @ moved[:, own])))
        return cls(tuple(found))

    def share(self, clips: Sequence[Clip]) -> float:
        """Share of the regions' variance that the others tell, mean over the regions that move: 1 at most."""
        moved, shares = _motion(clips), []
        for own, others, told in self.regions:
            left = moved[:, own] - moved[:, others] @ told
            if (total := float((moved[:, own] ** 2).sum())) > 1e-9:
                shares.append(1 - float((left**2).sum()) / total)
        return float(np.mean(shares)) if shares else float("nan")


def _motion(clips: Sequence[Clip]) -> Floats:
    return np.concatenate([clip - clip.mean(0) for clip in clips]).astype(np.float64)


def measure(
    takes: Sequence[Sequence[Clip]], truth: Sequence[Sequence[Clip]], regions: Coordination
) -> dict[str, float]:
    """The value of each of `BOUNDS` for ``takes[i][k]`` of line i beside the data's own."""
    firsts, own = [line[0] for line in takes], [line[0] for line in truth]
    has_takes = min(map(len, truth)) > 1
    varied = metrics.mmodality_all(truth) / metrics.diversity_all(own) if has_takes else _ASSUMED_VARIETY
    apart = metrics.diversity_all(firsts)
    return {
        "collapse": metrics.mmodality_all(takes) / max(apart, 1e-9) / varied if apart > 1e-6 else 0.0,
        "temporal incoherence": motion.jerk(firsts) / motion.jerk(own),
        "spatial incoherence": regions.share(firsts) / regions.share(own),
    }


def alarms(values: dict[str, float]) -> list[str]:
    """The signatures whose alarm rings; a number that cannot be computed rings."""
    return [name for name, (low, high, _) in BOUNDS.items() if not low <= values[name] <= high]


def signatures(study: Study) -> Page:
    """See the module."""
    page = study.page("Does it collapse, tremble, or move its face in pieces? And would these numbers notice?")
    train = study.data("train")
    chosen = spread(len(train), int(study.size["train_clips"]))
    regions = Coordination.of([train.frames(i) for i in chosen], study.space)
    truth = [[take.acted for take in line] for line in study.truth]
    rows: dict[str, dict[str, float]] = {}
    if len(truth[0]) > 1:  # what no alarm may ring for
        rows["the data's other takes"] = measure([line[::-1] for line in truth], truth, regions)
    shown: dict[str, list[Clip]] = {"the data": truth[0]}
    with tempfile.TemporaryDirectory() as folder:
        made = {"as it is": study.folder, **damaged(study.kind, study.folder, Path(folder))}
        for name, checkpoint in made.items():
            performed = study.system(checkpoint).perform(study.lines, int(study.size["takes"]))
            takes = [[take.acted for take in line] for line in performed]
            rows[name], shown[name] = measure(takes, truth, regions), takes[0][:2]
    rung = {name: alarms(values) for name, values in rows.items()}
    page.heading("The numbers")
    bounds = {name: f"≥ {low:g}" if np.isinf(high) else f"≤ {high:g}" for name, (low, high, _) in BOUNDS.items()}
    page.table(
        ("checkpoint", *(f"{name} ({bound})" for name, bound in bounds.items()), "alarms"),
        [(name, *values.values(), ", ".join(rung[name]) or "none") for name, values in rows.items()],
        "; ".join(f"{name}: {what}" for name, (_, _, what) in BOUNDS.items()),
    )
    page.result |= {"values": rows, "alarms": rung}
    page.found(f"The checkpoint raises {', '.join(rung['as it is']) or 'no alarm'}.")
    missed = [name for name in BOUNDS if name not in rung[f"damaged: {name}"]]
    page.found(
        f"Damaged on purpose, {', '.join(missed)} went unnoticed." if missed
        else "Damaged on purpose in each of the three ways, it raised the alarm that it should."
    )  # fmt: skip
    caption = f"“{study.lines[0].text}”: the channels that move most, two takes (dotted: the second)."
    curves(page, shown, study.space, "examples", caption)
    return page


# Damage --------------------------------------------------------------------------------------------------------------


def damaged(kind: str, folder: Path, into: Path) -> dict[str, Path]:
    """A copy of the checkpoint for each signature, damaged in its weights so that it must show it."""
    found = {}
    for name, harm in _HARM.items():
        target = into / name.replace(" ", "_")
        if kind == "paper":
            paper = load_paper_checkpoint(folder)
            harm(paper.model)
            save_paper_checkpoint(paper, target)
            if name == "collapse":  # a second sample is drawn whatever the prior knows
                config = json.loads((target / SETTINGS_FILE).read_text("utf-8"))
                config["model"]["second_sample"] = False
                (target / SETTINGS_FILE).write_text(json.dumps(config), "utf-8")
        else:
            checkpoint = load_checkpoint(folder)
            harm(checkpoint.decoder)
            save_checkpoint(checkpoint, target, torch.float32)
        found[f"damaged: {name}"] = target
    return found


@torch.no_grad()
def _collapse(model: Any) -> None:
    """The prior knows one latent for every moment: its mean."""
    for layer in model.layers:
        layer.prior.log_variance.weight.zero_()
        layer.prior.log_variance.bias.fill_(-40.0)
        if hasattr(layer.prior, "weight"):  # a mixture: always the same component
            layer.prior.weight.weight.zero_()
            always = torch.tensor([60.0] + [0.0] * (layer.prior.components - 1))
            layer.prior.weight.bias.copy_(always.repeat(layer.prior.parts))
            layer.prior.mean.weight.zero_()
            if layer.prior.earlier is not None:
                layer.prior.earlier.weight.zero_()


@torch.no_grad()
def _tremble(model: Any) -> None:
    """Every step is drawn much more widely than it was learned."""
    for layer in model.layers:
        if hasattr(layer, "latent"):
            layer.latent.weight.mul_(6.0)
        else:
            layer.prior.log_variance.bias.add_(4.0)


@torch.no_grad()
def _fall_apart(model: Any) -> None:
    """What was learned for one channel goes to another, so that every region does what another should."""
    count = model.frames.out_features
    size = model.scale.shape[0] if hasattr(model, "scale") else count
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    for numbers in model.frames.parameters():
        numbers.copy_(torch.cat([part[order] for part in numbers.split(size)]))


_HARM: Final[dict[str, Callable[[Any], None]]] = {
    "collapse": _collapse,
    "temporal incoherence": _tremble,
    "spatial incoherence": _fall_apart,
}
