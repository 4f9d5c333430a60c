# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics against numbers worked out by hand, and against what they must notice."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from generator.evaluation import metrics, motion
from generator.evaluation.distances import WINDOW, Clip, distance, time_mean
from generator.evaluation.perplexity import box_bits, corner_bits, cppl, cppl_box, perplexity
from generator.evaluation.probe import EmotionProbe, consistency, followed
from generator.shared.spaces import ARKIT55, FLAME53


def still(value: float, frames: int = WINDOW, channels: int = 4) -> Clip:
    """A clip that holds one value in the first channel."""
    clip = np.zeros((frames, channels), np.float32)
    clip[:, 0] = value
    return clip


def smooth(seed: int, frames: int = 60, channels: int = 6) -> Clip:
    """Slow waves of random phase, (frames, channels)."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, channels)
    return np.sin(np.arange(frames)[:, None] / 10 + phase).astype(np.float32)


# Distances and variety -------------------------------------------------------------------------------------------


def test_distance_is_the_rms_over_the_window_with_short_clips_at_the_standard_face() -> None:
    assert distance(still(3), still(0)) == pytest.approx(3)
    assert distance(still(3, frames=16), still(0)) == pytest.approx(3 * math.sqrt(16 / WINDOW))
    longer = np.concatenate([still(3), still(99)])
    assert distance(longer, still(0)) == pytest.approx(3)  # what comes after the window is not compared
    assert distance(still(3, 16), still(0, 16), time_mean) == pytest.approx(3)


def test_diversity_samples_pairs_whose_mean_is_that_of_all_pairs() -> None:
    assert metrics.diversity_all([still(v) for v in (0, 1, 3)]) == pytest.approx((1 + 3 + 2) / 3)
    clips = [still(v) for v in (0, 0, 0, 0, 0, 6, 6, 6, 6, 6)]
    assert metrics.diversity_all(clips) == pytest.approx(6 * 25 / 45)
    assert metrics.diversity([still(2)] * 5) == 0
    drawn = [metrics.diversity(clips, seed=seed) for seed in range(300)]
    assert np.mean(drawn) == pytest.approx(6 * 25 / 45, abs=0.15)  # 3.0 if clips met themselves
    assert metrics.diversity([smooth(i) for i in range(20)], pairs=5) > 0
    assert math.isnan(metrics.diversity_all(clips[:1]))


def test_mmodality_is_zero_for_equal_takes_and_between_takes_of_a_line_only() -> None:
    line, other = [still(0), still(2), still(4)], [still(100)] * 3
    assert metrics.mmodality_all([line, other]) == pytest.approx(((2 + 4 + 2) / 3 + 0) / 2)
    assert metrics.mmodality_all([other, other]) == 0
    assert math.isnan(metrics.mmodality_all([[still(1)], [still(2)]]))


def test_mmodality_of_humanml3d_needs_more_takes_than_pairs_and_lets_takes_meet_themselves() -> None:
    corners = [still(0, channels=12) for _ in range(12)]
    for k, clip in enumerate(corners):
        clip[:, k] = 1 / math.sqrt(2)  # every two takes are 1 apart
    assert math.isnan(metrics.mmodality([corners[:10]]))
    assert metrics.mmodality_all([corners]) == pytest.approx(1)
    assert metrics.mmodality([corners] * 100) == pytest.approx(1 - 1 / 12, abs=0.03)
    assert metrics.mmodality([corners] * 9, lines=4, pairs=2, seed=3) <= 1


def test_variation_is_the_population_variance_of_a_channel_within_a_clip() -> None:
    clip = np.zeros((4, 2), np.float32)
    clip[:, 1] = [0, 0, 2, 2]
    assert metrics.variation([clip]) == pytest.approx(0.5)
    assert metrics.variation([clip], [1]) == pytest.approx(1)
    assert metrics.variation([clip, still(7, channels=2)]) == pytest.approx(0.25)
    jaw = np.zeros((4, FLAME53.size), np.float32)
    jaw[:, 50] = [0, 0, 2, 2]
    assert metrics.variation([jaw], FLAME53.groups["jaw"]) == pytest.approx(1 / 3)
    assert metrics.variation([jaw], FLAME53.groups["expression"]) == 0


def test_fgd_and_its_other_readings() -> None:
    walk = np.cumsum(np.tile(np.float32([3, 4]), (10, 1)), axis=0)
    assert metrics.fgd([walk]) == pytest.approx(5)
    assert metrics.fgd([walk, still(1, channels=2)]) == pytest.approx(2.5)
    assert math.isnan(metrics.fgd([walk[:1]]))
    assert metrics.fgd_sync([[still(0, 5), still(2, 9), still(4, 7)]]) == pytest.approx(8 / 3)
    assert metrics.fgd_sync([[walk, walk]]) == 0
    assert metrics.in_clip_diversity([still(5)]) == 0
    steps = np.concatenate([still(0, 500), still(1, 500)])
    assert metrics.in_clip_diversity([steps] * 200) == pytest.approx(0.5, abs=0.05)
    assert metrics.in_clip_diversity([walk[:3]]) >= 0  # fewer frames than pairs


# Motion ----------------------------------------------------------------------------------------------------------


def test_jerk_is_the_third_difference() -> None:
    t = np.arange(12, dtype=np.float32)[:, None]
    assert motion.jerk([t**2]) == pytest.approx(0, abs=1e-4)
    assert motion.jerk([t**3]) == pytest.approx(6)
    assert motion.jerk([t**3, t[:3]]) == pytest.approx(6)  # a clip too short for it does not count
    assert motion.jerks([t**3]).shape == (9,)


def test_shuffling_frames_is_noticed_by_speed_and_jerk_and_not_by_variation() -> None:
    clips = [smooth(seed) for seed in range(8)]
    shuffled = [np.random.default_rng(0).permutation(clip, axis=0) for clip in clips]
    assert metrics.variation(shuffled) == pytest.approx(metrics.variation(clips))
    assert metrics.fgd(shuffled) > 4 * metrics.fgd(clips)
    assert motion.jerk(shuffled) > 50 * motion.jerk(clips)
    assert motion.frechet(shuffled, clips) > 10 * motion.frechet([smooth(seed) for seed in range(8, 16)], clips)


def test_distribution_distance_sees_what_the_mean_does_not() -> None:
    steady, jumpy = np.full(10, 1.0), np.array([0.0, 2.0] * 5)
    assert steady.mean() == jumpy.mean()
    assert motion.distribution_distance(jumpy, steady) == pytest.approx(1)
    assert motion.distribution_distance(steady, steady) == 0
    assert math.isnan(motion.distribution_distance(np.empty(0), steady))


def test_frechet_is_zero_for_the_same_clips_and_symmetric() -> None:
    first, second = [smooth(i) for i in range(10)], [2 * smooth(i) for i in range(10, 20)]
    assert motion.frechet(first, first) == pytest.approx(0, abs=1e-6)
    assert motion.frechet(first, second) == pytest.approx(motion.frechet(second, first), rel=1e-6)
    assert motion.frechet(first, second) > 1
    moved = [clip + np.float32(5) for clip in first]  # mean and peak of 6 channels move: 6 * 25 from the means alone
    assert motion.frechet(first, moved) >= 150
    assert math.isnan(motion.frechet(first[:1], second))


def test_endings_and_lengths() -> None:
    ends = [np.concatenate([still(4, 20), still(v, 1)]) for v in (0, 0.1, 0.3)]
    assert motion.peak(ends) == pytest.approx(4)
    assert motion.ends_at_neutral(ends, reference_peak=4) == pytest.approx(2 / 3)  # within 0.2
    assert motion.end_norm(ends) == pytest.approx(0.4 / 3)
    assert motion.length_error([[still(0, 24), still(0, 48)]], [36], 24) == pytest.approx(0.5)
    curve = motion.amplitude([still(2, 10), still(4, 33)], points=5)
    assert curve == pytest.approx([3] * 5)


def test_blinks_are_counted_once_and_timed() -> None:
    lids = motion.lid_columns(ARKIT55)
    assert lids is not None and motion.lid_columns(FLAME53) is None
    clip = np.zeros((240, ARKIT55.size), np.float32)  # 10 s
    clip[np.ix_(range(50, 54), lids)] = 1.0
    clip[52, lids[0]] = 0.9  # a flicker while closed is no second blink
    clip[np.ix_(range(100, 106), lids)] = [[0.45], [0.9], [0.4], [0.9], [0.3], [0.0]]  # dips, but never below 0.35
    clip[238:, lids[0]] = 1.0  # one lid at 1 is a closure of 0.5: not above it
    measured = motion.blinks([clip], lids, 24.0)
    assert measured.per_minute == pytest.approx(12)
    assert measured.durations * 24 == pytest.approx([4, 3])
    clip[238:, lids[1]] = 1.0  # closed at the end: counted, but it did not reopen
    measured = motion.blinks([clip], lids, 24.0)
    assert measured.per_minute == pytest.approx(18) and len(measured.durations) == 2


def region(hertz: float, size: float = 0.1, seconds: float = 3.0, fps: float = 24.0) -> Clip:
    """A channel that swings at ``hertz`` around 0.5, and one that rests."""
    t = np.arange(round(seconds * fps)) / fps
    return np.stack([0.5 + size * np.sin(2 * np.pi * hertz * t), np.zeros(len(t))], axis=1).astype(np.float32)


def test_a_tremor_is_what_swings_at_8_to_12_hertz() -> None:
    measured = {hertz: motion.region_motion([region(hertz)], [0], 24.0) for hertz in (1.0, 4.0, 10.0)}
    assert measured[10.0].tremor == pytest.approx(0.5 * 0.1**2, rel=0.05)  # the power of a sine
    assert measured[4.0].tremor < 1e-3 * measured[10.0].tremor and measured[1.0].tremor < measured[4.0].tremor
    shaky = region(1.0) + region(10.0, 0.02) - np.float32([0.5, 0.0])
    steady, shaken = (motion.region_motion([clip], [0, 1], 24.0) for clip in (region(1.0), shaky))
    assert shaken.tremor > 1000 * steady.tremor and shaken.jerk > 10 * steady.jerk
    assert motion.region_motion([shaky], [1], 24.0) == motion.RegionMotion(0, 0, 0)
    assert math.isnan(motion.region_motion([shaky[:3]], [0], 24.0).speed)


def test_region_motion_is_per_second_whatever_the_frame_rate() -> None:
    slow, fast = (motion.region_motion([region(1.0, fps=fps)], [0], fps) for fps in (24.0, 60.0))
    assert fast.speed == pytest.approx(slow.speed, rel=0.05) and fast.jerk == pytest.approx(slow.jerk, rel=0.1)
    assert slow.speed == pytest.approx(4 * 0.1, rel=0.05)  # up and down once a second


def test_sides_are_compared_by_pair() -> None:
    rng = np.random.default_rng(0)
    clip = np.zeros((400, ARKIT55.size), np.float32)
    left, right = (ARKIT55.column(f"browDown{side}") for side in ("Left", "Right"))
    clip[:, left] = clip[:, right] = rng.uniform(0, 1, 400)
    assert motion.side_correlation([clip], ARKIT55) == pytest.approx(1)
    clip[:, right] = rng.uniform(0, 1, 400)
    assert abs(motion.side_correlation([clip], ARKIT55)) < 0.15
    assert math.isnan(motion.side_correlation([np.zeros((9, FLAME53.size), np.float32)], FLAME53))


def test_effective_rank_counts_directions() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(4000, 5)).astype(np.float32)
    assert motion.effective_rank([source]) == pytest.approx(5, abs=0.05)
    assert motion.effective_rank([source[:, :1] * np.float32([1, 2, 3, 4])]) == pytest.approx(1, abs=0.01)
    assert 1 < motion.effective_rank([source * np.float32([1, 0.3, 0.1, 0.1, 0.1])]) < 2
    assert math.isnan(motion.effective_rank([]))


# Emotion and perplexity ------------------------------------------------------------------------------------------


def test_the_probe_reads_emotions_that_can_be_told_apart() -> None:
    emotions = np.arange(60) % 3

    def clips(first: int) -> list[Clip]:
        return [smooth(first + i) * np.float32(0.2) + still(2 * e, 60, 6) for i, e in enumerate(emotions)]

    probe = EmotionProbe(clips(0), emotions)
    assert followed(probe.read(clips(100)), emotions) == 1
    assert followed(probe.read(clips(100)), (emotions + 1) % 3) == 0


def test_consistency_is_the_share_of_pairs_of_takes_that_agree() -> None:
    def line(*read: int) -> npt.NDArray[np.int64]:
        return np.array(read)

    assert consistency([line(1, 1, 1)]) == 1
    assert consistency([line(1, 2, 3)]) == 0
    assert consistency([line(1, 1, 2, 2)]) == pytest.approx(2 / 6)
    assert consistency([line(1, 1), line(1, 2), line(5)]) == pytest.approx(0.5)
    assert math.isnan(consistency([line(5)]))


def test_perplexity_may_be_joined_from_batches_of_different_lengths() -> None:
    rng = np.random.default_rng(0)
    gold, mask = rng.normal(size=(5, 9, 3)), np.arange(9)[None] < np.array([9, 7, 4, 3, 1])[:, None]
    predicted = gold + rng.normal(scale=0.4, size=gold.shape)
    for whole, bits in ((cppl, corner_bits), (cppl_box, box_bits)):
        short = bits(predicted[2:, :4], gold[2:, :4], mask[2:, :4])
        joined = perplexity(np.concatenate([bits(predicted[:2], gold[:2], mask[:2]), short]))
        assert joined == pytest.approx(whole(predicted, gold, mask))
        assert joined > 1
    with np.errstate(all="raise"):
        assert perplexity(np.array([5000.0])) == math.inf
