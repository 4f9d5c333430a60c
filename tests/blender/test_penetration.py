# SPDX-License-Identifier: GPL-3.0-or-later
"""Depths of lids, lips and teeth: the measure finds what is wrong, and the heads at rest and in speech are not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import penetration
from benchmarks.recognisers import subjects
from benchmarks.recognisers.protocol import channel_pose
from blender_cteg.heads.demo_head import PEOPLE, assemble

pytestmark = pytest.mark.skipif(not assemble.locate_head_asset().is_file(), reason="the demo head is not baked")


@pytest.fixture(scope="module")
def meter() -> penetration.Meter:
    return penetration.Meter(subjects.load("demo"))


def at_rest(meter: penetration.Meter) -> np.ndarray:
    return meter.subject.rest.copy()


def test_rest_is_where_depth_begins(meter: penetration.Meter) -> None:
    assert meter.of(at_rest(meter)) == dict.fromkeys(penetration.KINDS, 0.0)


def test_a_lid_pushed_into_its_eye_is_found(meter: penetration.Meter) -> None:
    points = at_rest(meter)
    _, _, near, _, _ = meter._eyes[0]
    points[near, 1] += 0.002  # backwards
    found = meter.of(points)
    assert found["lids"] == pytest.approx(100 * 0.002 / meter.subject.unit, rel=0.4)
    assert found["teeth"] == 0.0


def test_a_lip_pushed_into_the_other_is_found(meter: penetration.Meter) -> None:
    points = at_rest(meter)
    points[meter._lips[1], 2] += 0.002  # upwards
    assert meter.of(points)["lips"] == pytest.approx(100 * 0.002 / meter.subject.unit, rel=0.4)
    points = at_rest(meter)
    points[meter._lips[1], 2] -= 0.005  # apart
    assert meter.of(points)["lips"] == 0.0


def test_teeth_before_the_lips_are_found(meter: penetration.Meter) -> None:
    points = at_rest(meter)
    points[meter._teeth, 1] -= 0.016  # forwards
    assert meter.of(points)["teeth"] > 5.0


def test_an_open_jaw_and_a_blink_press_nothing_in(meter: penetration.Meter) -> None:
    pose = channel_pose("jawOpen") + channel_pose("eyeBlinkLeft") + channel_pose("eyeBlinkRight")
    (found,) = penetration.frames(meter, pose[None])
    assert found["teeth"] == 0.0 and found["lids"] <= penetration.ALLOWED and found["lips"] <= penetration.ALLOWED


def test_lids_go_around_the_eyeball_on_their_way(meter: penetration.Meter) -> None:
    blink, wide = (channel_pose(f"eye{what}Left") + channel_pose(f"eye{what}Right") for what in ("Blink", "Wide"))
    ways = np.stack([share * blink + more * wide for share in (0.25, 0.5, 0.75) for more in (0.0, 0.7)])
    assert max(found["lids"] for found in penetration.frames(meter, ways)) <= penetration.ALLOWED
    keys = meter.subject.face.data.shape_keys.key_blocks
    halves = [key for key in keys if key.name in ("Fix_eyeBlinkLeft_eyeBlinkLeft", "Fix_eyeBlinkRight_eyeBlinkRight")]
    assert len(halves) == 2
    for key in halves:
        key.mute = True
    assert max(found["lids"] for found in penetration.frames(meter, ways)) > 2 * penetration.ALLOWED
    for key in halves:
        key.mute = False


def test_a_turned_head_is_measured_upright(meter: penetration.Meter) -> None:
    (found,) = penetration.frames(meter, 0.5 * channel_pose("headYaw")[None])
    assert max(found.values()) < 0.1


@pytest.mark.parametrize(
    "person", [pytest.param(person, marks=[pytest.mark.long] * (person != "mira")) for person in PEOPLE]
)
def test_lips_touch_and_do_not_go_into_each_other(person: str) -> None:
    meter = penetration.Meter(subjects.load(person))  # another scene: last in this file
    single = ("mouthLeft", "mouthRollLower", "mouthRollUpper", "mouthPucker", "mouthDimpleLeft", "jawForward")
    poses = [channel_pose(name) for name in single]
    poses.append(channel_pose("jawOpen") + channel_pose("mouthClose"))
    frown = channel_pose("mouthFrownLeft") + channel_pose("mouthFrownRight")
    poses += [0.85 * frown + share * channel_pose("mouthShrugLower") for share in (0.4, 0.7, 1.0)]  # the corners fold
    assert max(found["lips"] for found in penetration.frames(meter, np.stack(poses))) <= penetration.ALLOWED
