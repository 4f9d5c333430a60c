# SPDX-License-Identifier: GPL-3.0-or-later
"""The columns of the report: name, which way is better, and a sentence for its reader. Formulas: docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..shared.spaces import ARKIT55


class Better(Enum):
    """Which value is best, and the sign the report shows for it."""

    HIGHER = "↑"
    LOWER = "↓"
    LIKE_TRUTH = "="


@dataclass(frozen=True)
class Metric:
    """A column: ``key`` in report.json, ``label`` in the table, the ``group`` whose table it stands in.

    ``sentence`` is empty where that of a column before it says everything.
    """

    key: str
    label: str
    group: str
    better: Better
    sentence: str

    @property
    def heading(self) -> str:
        """Label and sign."""
        return f"{self.label} {self.better.value}"


#: Groups in the order of the report: key -> title.
GROUPS: Final = {
    "variety": "Variety, as the paper measures it",
    "speech": "Speech: does the mouth say the line?",
    "motion": "Motion, against the ground truth",
    "regions": "Motion by region, over the ground truth's",
    "shape": "Amplitude, endings, length, blinks",
    "emotion": "Emotion",
    "perplexity": "Continuous perplexity, teacher-forced",
}

_UP, _DOWN, _LIKE = Better.HIGHER, Better.LOWER, Better.LIKE_TRUTH

#: Fields of `motion.RegionMotion` -> what the report calls them.
REGION_MEASURES: Final = {"speed": "speed", "jerk": "jerk", "tremor": "8–12 Hz"}


def region_keys(region: str | None = None) -> tuple[str, ...]:
    """Metric keys of a region of the face, in the order of `REGION_MEASURES`; of all regions without one."""
    regions = tuple(ARKIT55.groups) if region is None else (region,)
    return tuple(f"{name}_{each.replace(' ', '_')}" for each in regions for name in REGION_MEASURES)


def _regions() -> Iterator[Metric]:
    meanings = ("Mean speed", "Mean third difference", "Power from 8 to 12 Hz, where no muscle moves on purpose,")
    for number, region in enumerate(ARKIT55.groups):
        for key, label, meaning in zip(region_keys(region), REGION_MEASURES.values(), meanings, strict=True):
            sentence = "" if number else f"{meaning} over the ground truth's; so for every region."
            yield Metric(key, f"{region.capitalize()}, {label}", "regions", _LIKE, sentence)


METRICS: Final = (
    Metric("closure_recall", "Closures made", "speech", _UP,
        "Share of p, b and m, as espeak-ng reads the words, whose lips close within a frame (1/24 s) of them. Of two "
        "faces (ICT FaceKit, MakeHuman) the worse, here and in all of this table. A mouth that is always shut has 1."),
    Metric("closure_precision", "Closed rightly", "speech", _UP,
        "Share of closed frames in speech that belong to a p, b or m."),
    Metric("closure_events", "Closures right", "speech", _UP,
        "Share of closures in speech that belong to a p, b or m."),
    Metric("closures_elsewhere", "Closures elsewhere", "speech", _DOWN,
        "Closures in a line that has no p, b, m or w."),
    Metric("closure_counts", "Counts", "speech", _UP,
        "Correlation over lines of the number of closures with the number of p, b and m."),
    Metric("closing", "Closing", "speech", _UP,
        "Correlation over a line's speech of closing lips with p, b and m, mean over lines."),
    Metric("closing_ahead", "This line", "speech", _UP,
        "Closing minus the same with the sounds of other lines in the same span: 0 for a mouth that only chews."),
    Metric("same_line", "Same line", "speech", _UP,
        "Correlation of the lips' opening between two takes of a line, minus that between two lines of one length."),
    Metric("teeth_on_lip", "f and v", "speech", _UP,
        "How surely a lower lip that is rolled in tells f and v from other speech (ROC area, chance is 0.5)."),
    Metric("rounding", "Rounding", "speech", _UP,
        "How surely a narrow mouth tells round sounds from spread ones (ROC area)."),
    Metric("accents_answered", "Accents", "speech", _UP,
        "Share of accents with a quickest moment of brow or head within 0.15 s, minus what chance gives."),
    Metric("diversity", "Diversity", "variety", _UP,
        "Mean distance of random pairs of different lines; how different lines look different."),
    Metric("diversity_all", "DoT", "variety", _UP,
        "Diversity over all pairs instead of random ones."),
    Metric("diversity_time_mean", "Diversity of means", "variety", _UP,
        "The same between the clips' mean frames: blind to motion."),
    Metric("mmodality", "MModality", "variety", _UP,
        "Mean distance of takes of one line, by HumanML3D's protocol, which needs more than 10 takes (it has 30)."),
    Metric("mmodality_all", "MModality, all pairs", "variety", _UP,
        "Mean distance over all pairs of takes of one line; 0 when every take is the same."),
    Metric("variation", "Variation", "variety", _UP,
        "Variance of a channel within a clip."),
    Metric("variation_expression", "Variation, expression", "variety", _UP,
        "Variation of the 50 expression coefficients."),
    Metric("variation_jaw", "Variation, jaw", "variety", _UP,
        "Variation of the 3 jaw angles, in rad^2."),
    Metric("fgd", "FgD", "variety", _UP,
        "Mean change from frame to frame. Jitter raises it, so read it beside the ground truth's."),
    Metric("fgd_sync", "FgD, synchronous", "variety", _UP,
        "Another reading of FgD: mean distance of two takes of a line at the same frame."),
    Metric("in_clip_diversity", "In-clip diversity", "variety", _UP,
        "Another reading, LM-Listener's: mean distance of random frames of one clip."),
    Metric("frechet", "Fréchet", "motion", _DOWN,
        "Distance of the distributions of motion features. The ground truth's own row is the floor: its other takes of "
        "the same lines, or train clips where it has none."),
    Metric("frechet_ratio", "Fréchet / floor", "motion", _DOWN,
        "Fréchet over that of the ground truth's other takes of the same lines, each the mean over takes."),
    Metric("velocity_ratio", "Speed ratio", "motion", _LIKE,
        "Mean speed over the ground truth's."),
    Metric("velocity_distance", "Speed distance", "motion", _DOWN,
        "Wasserstein distance of the speeds of all frames to the ground truth's."),
    Metric("jerk", "Jerk", "motion", _LIKE,
        "Roughness: mean third difference."),
    Metric("jerk_ratio", "Jerk ratio", "motion", _LIKE,
        "Jerk over the ground truth's."),
    Metric("jerk_distance", "Jerk distance", "motion", _DOWN,
        "Wasserstein distance of the jerks of all frames to the ground truth's."),
    Metric("side_correlation", "Left with right", "motion", _LIKE,
        "Correlation of the left and the right channel of a pair, mean over pairs, whole face."),
    Metric("effective_rank", "Effective rank", "motion", _LIKE,
        "In how many directions the whole face moves: exp of the entropy of the covariance's eigenvalues."),
    *_regions(),
    Metric("peak", "Peak", "shape", _LIKE,
        "Amplitude: 95th percentile of the distance from neutral, mean over clips."),
    Metric("end_norm", "End norm", "shape", _DOWN,
        "Distance of the last frame from neutral; left out for a system that eases its takes to exactly zero."),
    Metric("ends_at_neutral", "Ends at neutral", "shape", _UP,
        "Share of clips whose last frame is within 5 % of the ground truth's peak of neutral."),
    Metric("length_error_seconds", "Length error [s]", "shape", _DOWN,
        "Mean difference between a take's length and the ground truth's."),
    Metric("blinks_per_minute", "Blinks/min", "shape", _LIKE,
        "How often the lids close."),
    Metric("blink_seconds", "Blink [s]", "shape", _LIKE,
        "Median time from closing to opening."),
    Metric("emotion_followed", "Followed", "emotion", _UP,
        "Share of takes in which a probe, fitted to train clips, reads the emotion that was asked for; "
        "the ground truth's value is the probe's ceiling, and a pose that is only held says how little it takes. Of "
        "the systems without training only the static poses are told the emotion."),
    Metric("emotion_consistency", "Consistency", "emotion", _UP,
        "Share of pairs of takes of a line in which the probe reads the same emotion."),
    Metric("emotion_from_text", "From text", "emotion", _UP,
        "Balanced accuracy of the emotion inferred from a labelled line's words alone, over the emotions present."),
    Metric("cppl", "CPPL", "perplexity", _DOWN,
        "As released; one-sided: a prediction far below the truth costs nothing. At most 1e10."),
    Metric("cppl_box", "CPPL, box", "perplexity", _DOWN,
        "With the probability of a box around the true frame. At most 1e10."),
    Metric("cppl_box_exact", "CPPL, box, no floor", "perplexity", _DOWN,
        "The box without the floor under a frame's probability: a few bad frames count in full."),
    Metric("cppl_causal", "CPPL, causal", "perplexity", _DOWN,
        "As released, but EwA does not see the future (only for weights trained with it over the whole clip)."),
    Metric("cppl_box_causal", "CPPL, box, causal", "perplexity", _DOWN,
        "The box without a view of the future."),
    Metric("cppl_box_exact_causal", "CPPL, box, no floor, causal", "perplexity", _DOWN,
        "The box without floor and without a view of the future."),
)  # fmt: skip
