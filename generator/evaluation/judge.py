# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of one system: every metric of `table.METRICS` that its takes and the data allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ..shared.spaces import ARKIT55, Space
from ..shared.timeline import Timeline
from . import metrics, motion
from .distances import Clip, time_mean
from .probe import consistency, followed
from .sounds import can_read
from .speaking import judge_speech
from .systems import JudgedTake
from .table import REGION_MEASURES, region_keys

if TYPE_CHECKING:
    from .probe import EmotionProbe


#: What compares the ground truth with itself.
_TRIVIAL_FOR_TRUTH: Final = frozenset(
    {"velocity_distance", "jerk_distance", "length_error_seconds", "frechet_ratio", *region_keys()}
)


@dataclass(frozen=True)
class Reference:
    """What systems are judged against.

    Attributes:
        clips: the ground truth's performances, one clip per line (`systems.JudgedTake.acted`).
        space: what the channels mean.
        emotions: what was asked for, (n,), indices of `EMOTIONS`; None where the data does not say.
        probe: reads emotions; None where the data does not say.
        timelines: how the ground truth says each line; empty where the data does not say.
        others: the ground truth's other takes of every line, others[i][k]; empty where it has none.
    """

    clips: Sequence[Clip]
    space: Space
    emotions: npt.NDArray[np.int64] | None = None
    probe: EmotionProbe | None = None
    timelines: Sequence[Timeline | None] = ()
    others: Sequence[Sequence[Clip]] = ()

    @classmethod
    def of(
        cls, truth: Sequence[Sequence[JudgedTake]], space: Space, emotions: npt.NDArray[np.int64] | None = None,
        probe: EmotionProbe | None = None,
    ) -> Reference:  # fmt: skip
        """The ground truth's takes of every line, truth[i][k], the data's own clip first."""
        timelines = [line[0].timeline for line in truth]
        acted = [[take.acted for take in line] for line in truth]
        others = [line[1:] for line in acted] if min(map(len, acted)) > 1 else ()
        return cls([line[0] for line in acted], space, emotions, probe, timelines, others)

    @cached_property
    def frechet_floor(self) -> float:
        """Fréchet distance of the other takes to the first ones, its mean over them; NaN where there are none."""
        return self.frechet(self.others)

    @cached_property
    def takes(self) -> list[Clip]:
        """All takes of all lines."""
        return [*self.clips, *(clip for line in self.others for clip in line)]

    def frechet(self, takes: Sequence[Sequence[Clip]]) -> float:
        """Fréchet distance to the first takes of as many others, takes[i][k], its mean over k; NaN without any."""
        each = [motion.frechet(clips, self.clips) for clips in zip(*takes, strict=True)]
        return float(np.mean(each)) if each else float("nan")


def judge(performed: Sequence[Sequence[JudgedTake]], reference: Reference) -> dict[str, float]:
    """Metrics of free-running takes, ``performed[i][k]`` for line i. What cannot be measured is left out.

    What looks at one clip per line looks at the first take, but for two things that one take leaves to chance: the
    Fréchet distance is the mean over takes, and regions are compared over all takes of both. Variety, motion and
    emotion are those of the performance; speech is that of the whole face.
    """
    takes = [[take.acted for take in line] for line in performed]
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
        "frechet": (frechet := reference.frechet(takes)),
        "frechet_ratio": _ratio(frechet, reference.frechet_floor),
        "velocity_ratio": _ratio(metrics.fgd(firsts), metrics.fgd(truth)),
        "velocity_distance": motion.distribution_distance(motion.speeds(firsts), motion.speeds(truth)),
        "jerk": motion.jerk(firsts),
        "jerk_ratio": _ratio(motion.jerk(firsts), motion.jerk(truth)),
        "jerk_distance": motion.distribution_distance(motion.jerks(firsts), motion.jerks(truth)),
        "peak": motion.peak(firsts),
        "length_error_seconds": motion.length_error(takes, [len(clip) for clip in truth], space.fps),
    }
    if any(clip[-1].any() for clip in firsts):  # what is eased to exactly nothing says nothing by ending there
        values["end_norm"] = motion.end_norm(firsts)
        values["ends_at_neutral"] = motion.ends_at_neutral(firsts, motion.peak(truth))
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
    if space is ARKIT55:
        values |= _regions(takes, reference) | _speech(performed, reference.timelines)
        faces = [line[0].frames for line in performed]
        values["side_correlation"] = motion.side_correlation(faces, space)
        values["effective_rank"] = motion.effective_rank(faces)
    return {key: value for key, value in values.items() if np.isfinite(value)}


def judge_truth(
    takes: Sequence[Sequence[JudgedTake]], reference: Reference, others: Sequence[Clip]
) -> dict[str, float]:
    """The ground truth's own row: what a perfect system would get, as far as the data can say.

    Args:
        takes: the ground truth's clip of each line, then other takes of it where the data has them.
        reference: with the same clips.
        others: as many train clips, whose Fréchet distance stands in where there are no other takes.
    """
    values = {key: value for key, value in judge(takes, reference).items() if key not in _TRIVIAL_FOR_TRUTH}
    measured = {
        "frechet": reference.frechet_floor if reference.others else motion.frechet(others, reference.clips),
        "length_error_seconds": motion.length_error(
            [[take.acted for take in line[1:]] for line in takes],
            [len(clip) for clip in reference.clips],
            reference.space.fps,
        ),
    }
    return {k: v for k, v in (values | measured).items() if np.isfinite(v)}


def _regions(takes: Sequence[Sequence[Clip]], reference: Reference) -> dict[str, float]:
    values, clips = {}, [clip for line in takes for clip in line]
    for region, columns in reference.space.groups.items():
        own, truth = (motion.region_motion(c, columns, reference.space.fps) for c in (clips, reference.takes))
        for name, key in zip(REGION_MEASURES, region_keys(region), strict=True):
            values[key] = _ratio(getattr(own, name), getattr(truth, name))
    return values


def _speech(performed: Sequence[Sequence[JudgedTake]], timelines: Sequence[Timeline | None]) -> dict[str, float]:
    """Of the takes that say something; one that does not know when is judged as if it spoke like the ground truth."""
    lines = []
    for line, timeline in zip(performed, timelines, strict=False):
        said = [(take, take.timeline or _over(take, timeline)) for take in line]
        if all(t is not None and t.words for _, t in said):
            lines.append([(take.frames, t) for take, t in said if t is not None])
    return judge_speech(lines, ARKIT55.fps) if lines and can_read() else {}


def _over(take: JudgedTake, timeline: Timeline | None) -> Timeline | None:
    """The ground truth's timeline over the length of a take."""
    if timeline is None:
        return None
    seconds = len(take.frames) / ARKIT55.fps
    return timeline.moved(lambda time: time * seconds / timeline.seconds, seconds)


def _ratio(value: float, truth: float) -> float:
    return value / truth if truth else float("nan")
