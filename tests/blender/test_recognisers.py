# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads before outside judges: their places, the motion of channels, answers that are kept. No recogniser needed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks.recognisers import asking, channels, protocol, scores, subjects
from benchmarks.recognisers.protocol import EMOTIONS
from blender_cteg.heads.demo_head import assemble
from generator.shared.spaces import ARKIT55

pytestmark = pytest.mark.skipif(not assemble.locate_head_asset().is_file(), reason="the demo head is not baked")


@pytest.fixture(scope="module")
def head() -> subjects.Subject:
    return subjects.load("demo")


class Mirror:
    """Reads what the fake studio painted: the emotion's number as a shade of grey."""

    name = "mirror"

    def __init__(self) -> None:
        self.asked = 0

    def read(self, face: Image.Image) -> np.ndarray:
        self.asked += 1
        return np.eye(len(EMOTIONS))[round((np.asarray(face.convert("L")).mean() - 60) / 20)]


class FakeStudio:
    """Paints which prototype is posed instead of a face, so that no OpenGL is needed."""

    engine = "BLENDER_WORKBENCH"

    def __init__(self, poses: dict[int, str]) -> None:
        self.subject = SimpleNamespace(name="fake", identity="0", play=lambda values, rows: map(self._show, rows))
        self._poses = poses

    def _show(self, row: int) -> int:
        self._emotion = self._poses[row]
        return row

    def picture(self, *_: object) -> Image.Image:
        grey = 60 + 20 * EMOTIONS.index(self._emotion)
        stripes = np.full((84, 84, 3), grey, np.uint8)
        stripes[::2] += 8
        stripes[1::2] -= 8
        return Image.fromarray(stripes)


@pytest.fixture
def studio() -> FakeStudio:
    names = [emotion for emotion, sets in protocol.PROTOTYPES.items() for _ in sets]
    return FakeStudio(dict(enumerate(names)))


def test_every_answer_is_for_what_was_shown_and_is_kept(studio: FakeStudio, tmp_path: Path) -> None:
    reader = Mirror()
    answers = asking.ask_prototypes(studio, [reader], tmp_path)["mirror"]
    assert scores.balanced_share(answers) == 1.0
    asked = reader.asked
    assert asked == 3 * 24 * len(studio._poses)
    again = asking.ask_prototypes(studio, [reader], tmp_path)["mirror"]
    assert reader.asked == asked
    np.testing.assert_array_equal(again.given, answers.given)


def test_a_run_that_ended_early_goes_on(studio: FakeStudio, tmp_path: Path) -> None:
    asking.ask_prototypes(studio, [Mirror()], tmp_path)
    (kept,) = (tmp_path / "answers").iterdir()
    rows = kept.read_text("utf-8").splitlines()
    kept.write_text("\n".join(rows[:-5]) + "\n", encoding="utf-8")
    reader = Mirror()
    asking.ask_prototypes(studio, [reader], tmp_path)
    assert reader.asked == 3 * 5


def test_an_empty_picture_is_not_judged(tmp_path: Path) -> None:
    with pytest.raises(asking.BlankError, match="empty or black"):
        asking.Notebook(tmp_path / "answers.jsonl", []).ask("joy", Image.new("RGB", (352, 352)))


def test_a_take_is_asked_at_its_moments_and_answered_once(tmp_path: Path) -> None:
    shown: list[int] = []
    studio = FakeStudio(dict.fromkeys(range(100), "fear"))
    play = studio.subject.play
    studio.subject.play = lambda values, rows: play(values, [r for r in rows if shown.append(r) is None])
    script = asking.Script({"fear 0": "fear"}, {"fear 0": np.zeros((41, ARKIT55.size))}, "")
    answers = asking.ask_takes(studio, [Mirror()], script, tmp_path, "x")["mirror"]
    assert shown == [6, 13, 20, 27, 34]
    assert len(answers.truth) == 1 and scores.balanced_share(answers) == 1.0


def test_held_out_lines_are_the_same_first_ones(tmp_path: Path) -> None:
    few, note = asking.held_out("", 3)
    more, _ = asking.held_out("", 9)
    assert more[:3] == few and "outside the train split" in note


def test_eyes_are_where_eyes_are_and_the_skull_is_not_the_face(head: subjects.Subject) -> None:
    left, right = head.eyes
    assert left[0] > 0 > right[0] and 0.05 < head.unit < 0.08
    assert head.skull.sum() > 100 and not (head.skull & head.eyeballs.any(0)).any()


def test_the_skull_tells_how_the_head_turns(head: subjects.Subject) -> None:
    values = np.zeros((3, ARKIT55.size), np.float32)
    values[:, ARKIT55.channels.index("headYaw")] = 0.3
    values[:, ARKIT55.channels.index("mouthSmileLeft")] = 1.0
    for _ in head.play(values, [1]):
        turn, _ = head.place()
    assert channels.turned(turn) == pytest.approx(np.degrees(0.3), rel=0.02)


def test_poses_are_on_the_face_and_gone_afterwards(head: subjects.Subject) -> None:
    values = np.stack([protocol.channel_pose("jawOpen")])
    for _ in head.play(values, [0]):
        assert np.abs(subjects.vertices_of(head.face) - head.rest).max() > 0.01
    assert not head.rig.object.animation_data or np.allclose(subjects.vertices_of(head.face), head.rest, atol=1e-5)


def test_motion_does_not_depend_on_how_dense_a_mesh_is() -> None:
    rng = np.random.default_rng(0)
    way, area = rng.random(400), rng.random(400) * 0.01
    once = channels.motion(way, area)
    # The same surface with every vertex of its first half split into four.
    split = np.repeat(np.arange(400), np.where(np.arange(400) < 200, 4, 1))
    dense = channels.motion(way[split], area[split] / np.where(split < 200, 4, 1))
    assert dense.rms == pytest.approx(once.rms) and dense.area == pytest.approx(once.area)


def test_every_channel_of_the_demo_head_moves_something(head: subjects.Subject) -> None:
    found = channels.motions(head)
    assert len(found) == 52 and all(motion.rms > 0 for motion in found.values())
    assert found["jawOpen"].rms > found["noseSneerLeft"].rms
    assert found["eyeLookUpLeft"].gaze > 5
    mirrored = found["mouthSmileLeft"].rms / found["mouthSmileRight"].rms
    assert mirrored == pytest.approx(1.0, abs=0.05)


def test_ratios_out_of_the_target_are_marked() -> None:
    small, large = channels.Motion(0.01, 0.1, 1.0), channels.Motion(0.03, 0.2, 1.0)
    rows = channels.compare(
        {"a": small, "b": large, "c": large}, {"a": large, "b": large, "c": channels.Motion(0, 0, 0)}
    )
    table = channels.table(rows)
    assert "0.33 ✗" in table[2] and "✗" not in table[3] and "–" in table[4]
