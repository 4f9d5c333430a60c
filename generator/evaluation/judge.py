# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of one system: every metric of `table.METRICS` that its takes and the data allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..spaces import Space
from . import metrics, motion
from .distances import Clip, time_mean
from .probe import consistency, followed

if TYPE_CHECKING:
    from .probe import EmotionProbe


@dataclass(frozen=True)
class Reference:
    """What systems are judged against.

    Attributes:
        clips: the ground truth, one clip per line.
        space: what the channels mean.
        emotions: what was asked for, (n,), indices of `EMOTIONS`; None where the data does not say.
        probe: reads emotions; None where the data does not say.
    """

    clips: Sequence[Clip]
    space: Space
    emotions: npt.NDArray[np.int64] | None = None
    probe: EmotionProbe | None = None


def judge(takes: Sequence[Sequence[Clip]], reference: Reference) -> dict[str, float]:
    """Metrics of free-running takes, ``takes[i][k]`` for line i. What cannot be measured is left out.

    What looks at one clip per line looks at the first take.
    """
    firsts = [line[0] for line in takes]
    truth, space = reference.clips, reference.space
    values = {
        "diversity": metrics.diversity(firsts),
        "diversity_all": metrics.diversity_all(firsts),
        "diversity_time_mean": metrics.diversity_all(firsts, time_mean),
        "mmodality": metrics.mmodality(takes),
        "mmodality_all": metrics.mmodality_all(takes),
        "variation": metrics.variation(firsts),
        "fgd": metrics.fgd(firsts),
        "fgd_sync": metrics.fgd_sync(takes),
        "in_clip_diversity": metrics.in_clip_diversity(firsts),
        "frechet": motion.frechet(firsts, truth),
        "velocity_ratio": _ratio(metrics.fgd(firsts), metrics.fgd(truth)),
        "velocity_distance": motion.distribution_distance(motion.speeds(firsts), motion.speeds(truth)),
        "jerk": motion.jerk(firsts),
        "jerk_ratio": _ratio(motion.jerk(firsts), motion.jerk(truth)),
        "jerk_distance": motion.distribution_distance(motion.jerks(firsts), motion.jerks(truth)),
        "peak": motion.peak(firsts),
        "end_norm": motion.end_norm(firsts),
        "ends_at_neutral": motion.ends_at_neutral(firsts, motion.peak(truth)),
        "length_error_seconds": motion.length_error(takes, [len(clip) for clip in truth], space.fps),
    }
    if "expression" in space.groups:  # FLAME: coefficients and radians are not alike
        values["variation_expression"] = metrics.variation(firsts, space.groups["expression"])
        values["variation_jaw"] = metrics.variation(firsts, space.groups["jaw"])
    if (lids := motion.lid_columns(space)) is not None:
        blinks = motion.blinks(firsts, lids, space.fps)
        values["blinks_per_minute"] = blinks.per_minute
        values["blink_seconds"] = float(np.median(blinks.durations)) if len(blinks.durations) else float("nan")
    if reference.probe is not None and reference.emotions is not None:
        values["emotion_followed"] = followed(reference.probe.read(firsts), reference.emotions)
        values["emotion_consistency"] = consistency([reference.probe.read(line) for line in takes])
    return {key: value for key, value in values.items() if np.isfinite(value)}


def judge_truth(takes: Sequence[Sequence[Clip]], reference: Reference, others: Sequence[Clip]) -> dict[str, float]:
    """The ground truth's own row: what a perfect system would get, as far as the data can say.

    Args:
        takes: the ground truth's clip of each line, then other takes of it where the data has them.
        reference: with the same clips.
        others: as many train clips; their Fréchet distance to the ground truth is the floor for that many clips.
    """
    values = judge(takes, reference)
    for trivial in ("velocity_distance", "jerk_distance", "length_error_seconds"):
        values.pop(trivial, None)
    measured = {
        "frechet": motion.frechet(others, reference.clips),
        "length_error_seconds": motion.length_error(
            [line[1:] for line in takes], [len(clip) for clip in reference.clips], reference.space.fps
        ),
    }
    return {k: v for k, v in (values | measured).items() if np.isfinite(v)}


def _ratio(value: float, truth: float) -> float:
    return value / truth if truth else float("nan")
