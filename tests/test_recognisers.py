# SPDX-License-Identifier: GPL-3.0-or-later
"""The outside judges' arithmetic, without recognisers and without Blender: a judge must be able to fail."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.recognisers import scores
from benchmarks.recognisers.protocol import EMOTIONS, MOMENTS, PROTOTYPES, STRENGTH, UNITS, VIEWS, pose_of
from benchmarks.recognisers.readers import resized
from generator.shared.spaces import ARKIT55

CHANCE = 1 / len(EMOTIONS)
TRUTH = [emotion for emotion in EMOTIONS for _ in range(40)]


def answers_of(read: npt.NDArray[np.int64], sure: float = 0.6) -> scores.Answers:
    given = np.full((len(read), len(EMOTIONS)), (1 - sure) / (len(EMOTIONS) - 1))
    given[np.arange(len(read)), read] = sure
    return scores.Answers.of(TRUTH, given)


@pytest.fixture
def knowing() -> scores.Answers:
    return answers_of(np.repeat(np.arange(len(EMOTIONS)), 40))


def test_a_judge_that_knows_is_right_and_sure(knowing: scores.Answers) -> None:
    assert scores.balanced_share(knowing) == 1.0
    assert scores.mean_probability(knowing) == pytest.approx(0.6)
    assert scores.interval(knowing) == (1.0, 1.0)


def test_the_best_judge_fails_when_labels_are_shuffled_or_faces_stay_at_rest(knowing: scores.Answers) -> None:
    assert scores.shuffled_share(knowing) == pytest.approx(CHANCE, abs=0.02)
    assert scores.rest_share(knowing) == pytest.approx(CHANCE)
    assert scores.swapped_share(knowing) == 0.0


def test_one_answer_for_everything_is_worth_chance() -> None:
    joy = answers_of(np.full(len(TRUTH), EMOTIONS.index("joy")))
    assert scores.balanced_share(joy) == pytest.approx(CHANCE)
    assert scores.summary(joy)["each"]["joy"] == 1.0


def test_shares_are_balanced_however_often_an_emotion_is_shown() -> None:
    truth = ["joy"] * 90 + ["fear"] * 10
    given = np.eye(len(EMOTIONS))[[EMOTIONS.index("joy")] * 100]
    assert scores.balanced_share(scores.Answers.of(truth, given)) == pytest.approx(0.5)


def test_without_anger_its_pictures_go_and_the_answer_stays(knowing: scores.Answers) -> None:
    less = knowing.without("anger")
    assert len(less.truth) == 240 and scores.balanced_share(less) == 1.0
    angry = answers_of(np.full(len(TRUTH), EMOTIONS.index("anger"))).without("anger")
    assert scores.balanced_share(angry) == 0.0


def test_an_interval_holds_the_share_and_narrows_with_more_takes() -> None:
    rng = np.random.default_rng(1)
    read = np.where(rng.random(280) < 0.5, np.repeat(np.arange(7), 40), rng.integers(0, 7, 280))
    many = answers_of(read)
    few = scores.Answers(many.truth[::5], many.given[::5])
    low, high = scores.interval(many)
    assert low < scores.balanced_share(many) < high
    assert high - low < np.diff(scores.interval(few))[0]


def test_tables_have_a_row_for_each_judge_and_each_check(knowing: scores.Answers) -> None:
    rows = {"demo at 1.4, fake": scores.summary(knowing)}
    assert scores.table(rows)[-1].startswith("| demo at 1.4 | fake | 1.00 (1.00–1.00) |")
    assert scores.checks_table(rows)[-1] == "| demo at 1.4, fake | 0.14 | 0.14 | 0.00 |"


def test_prototypes_are_made_of_known_units_and_stay_in_range() -> None:
    assert set(PROTOTYPES) == set(EMOTIONS)
    for units in (units for sets in PROTOTYPES.values() for units in sets):
        assert set(units) <= set(UNITS)
        pose = pose_of(units)
        assert pose.min() >= 0.0 and pose.max() <= 1.0
        assert bool(units) == bool(pose.any())


def test_a_unit_moves_both_sides() -> None:
    pose = dict(zip(ARKIT55.channels, pose_of((1, 12)), strict=True))
    moved = {name: value for name, value in pose.items() if value}
    assert moved == pytest.approx(dict.fromkeys(("browInnerUp", "mouthSmileLeft", "mouthSmileRight"), STRENGTH))


def test_the_protocol_is_what_the_readme_says() -> None:
    assert len(VIEWS) == 24 and len(MOMENTS) == 5


def test_resizing_keeps_a_slope_and_its_level() -> None:
    slope = np.tile(np.linspace(0.0, 100.0, 236), (236, 1))
    small = resized(slope, 64)
    assert small.shape == (64, 64)
    assert small.mean() == pytest.approx(50.0, abs=0.01)
    np.testing.assert_allclose(np.diff(small[0]), 100.0 / 235 * 236 / 64, rtol=1e-6)
