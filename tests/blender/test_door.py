# SPDX-License-Identifier: GPL-3.0-or-later
"""Through the whole door: the operators in Blender, the real generator in its own process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import bpy
import pytest

from blender_cteg.operators import perform
from blender_cteg.preferences import Choices
from blender_cteg.worker import session
from tests.blender.scenes import active
from tests.blender.test_operators import add_face, plays, seeds, shown

pytestmark = pytest.mark.usefixtures("generator")
DEFAULT = Path(__file__).resolve().parents[2] / "generator" / "checkpoints" / "default"
trained = pytest.mark.skipif(not (DEFAULT / "config.json").is_file(), reason="no checkpoint has been trained yet")


@pytest.fixture
def face(scene: bpy.types.Scene) -> bpy.types.Object:
    """An ARKit face as the target of an empty scene."""
    scene.cteg.target = add_face()
    return scene.cteg.target


def refused(sentence: str, **arguments: object) -> None:
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.cteg.perform(**arguments)
    assert len(bpy.data.actions) == 0
    assert session.last_problem


@trained
def test_check_names_versions_the_engine_and_how_long_it_takes() -> None:
    assert bpy.ops.cteg.check_generator() == {"FINISHED"}
    assert isinstance(session.checked, tuple)
    hello, done = session.checked
    assert hello.numpy and (done.engine, done.device) == ("numpy", "cpu")
    assert 0.0 < done.seconds < 5.0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"text": "word " * 4000}, r"limit is 2,000; split"),
        ({"text": "\N{GRINNING FACE}"}, r"type words"),
        ({"text": "日本語です"}, r"Latin letters"),
        ({"text": "Hello\x07there"}, r"U\+0007.*remove it"),
        ({"text": "Hi.", "seconds": -1.0}, r"length in seconds must be from .* not -1"),
        ({"text": "Hi.", "seconds": 99.0}, r"length in seconds must be from .* not 99"),
        ({"text": "Hi.", "intensity": 9.0}, r"Intensity must be from 0 to 1\.5, not 9"),
        ({"text": "Hi.", "temperature": -0.5}, r"Temperature must be from"),
        ({"text": "Hi.", "takes": 0}, r"number of takes"),
        ({"text": "Hi.", "seed": -1}, r"seed must be"),
        ({"text": "Hi.", "rate": 5.0}, r"rate must be from 0\.5 to 2, not 5"),
        ({"text": "[joy 9] Hi."}, r"intensity in \[joy 9\] must be from 0 to 1\.5, not 9"),
    ],
)
def test_what_cannot_be_performed_is_refused(
    face: bpy.types.Object, arguments: dict[str, object], sentence: str
) -> None:
    refused(sentence, **arguments)


def test_an_unknown_emotion_is_refused(face: bpy.types.Object) -> None:
    with pytest.raises(TypeError, match=r"bored.*not found in.*joy"):
        bpy.ops.cteg.perform(text="Hi.", emotion="bored")


def test_a_missing_checkpoint(face: bpy.types.Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr(perform, "choices", lambda _context: Choices(device="cpu", checkpoint=str(gone)))
    refused(r"no checkpoint in .*gone", text="Hi.")


@trained
@pytest.mark.parametrize("file", ["model.safetensors", "emotion.safetensors"])
def test_a_damaged_checkpoint(
    face: bpy.types.Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(DEFAULT, damaged)
    weights = damaged / file
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    monkeypatch.setattr(perform, "choices", lambda _context: Choices(device="cpu", checkpoint=str(damaged)))
    refused(r"damaged", text="Hi.")


@trained
def test_a_line_becomes_keyframes(face: bpy.types.Object) -> None:
    assert bpy.ops.cteg.perform(text="You kept it!", emotion="joy", takes=2, seed=3, spread=False, seconds=2.0) == {
        "FINISHED"
    }
    assert seeds(active()) == [3, 4]
    with pytest.raises(RuntimeError, match="amount to vary by must be from 0 to 1, not 2"):
        bpy.ops.cteg.perform(mode="VARY", amount=2.0)
    keys = [face.data.shape_keys.key_blocks[name] for name in ("mouthSmileLeft", "jawOpen", "browInnerUp")]
    played = []
    for take in range(2):
        bpy.ops.cteg.show_take(take=take)
        played.append([])
        for frame in range(1, 49, 4):
            bpy.context.scene.frame_set(frame)
            played[-1].append([key.value for key in keys])
    one, two = played
    assert max(max(row) for row in one) > 0.1
    assert one != two
    assert "torch" not in sys.modules


@trained
def test_a_line_is_directed_and_performed_on(face: bpy.types.Object) -> None:
    scene, settings = bpy.context.scene, bpy.context.scene.cteg
    settings.text = "(seething) Get out of here. [joy 0.8 -> sadness] Wait, my dear friend, do not go!"
    settings.takes, settings.seconds, settings.reduction, settings.blend = 2, 4.0, 0.0, 0
    scene.frame_set(1)
    bpy.ops.cteg.perform(seed=10, takes=1)
    first, second = shown().segments
    assert (first.text, first.source, first.emotion) == ("Get out of here.", "direction", "anger")
    assert (second.emotion, second.emotion_to, second.end) == ("joy", "sadness", shown().frames)
    bpy.ops.cteg.go_to_segment(index=1)
    last = int(active().end)
    base, frame = plays(face, 1, last, "jawOpen"), scene.frame_current - 1
    bpy.ops.cteg.perform(mode="BRANCH")
    for take in (1, 2):
        bpy.ops.cteg.show_take(take=take)
        branched = plays(face, 1, last, "jawOpen")
        assert branched[:frame] == pytest.approx(base[:frame], abs=1e-3)
        assert branched[frame + 8 :] != pytest.approx(base[frame + 8 :], abs=1e-2)
    bpy.ops.cteg.show_take(take=0)
    bpy.ops.cteg.perform(mode="VARY", amount=0.0, takes=1)
    assert plays(face, 1, last, "jawOpen") == pytest.approx(base, abs=1e-3)
    numbers = seeds(active())
    assert numbers[0] == 10 and numbers[1] == 11 and numbers[3] == 19
    bpy.ops.cteg.show_take(take=0)
    bpy.ops.cteg.direct_segment(index=1, emotion="fear")
    assert settings.text == "(seething) Get out of here. [fear] Wait, my dear friend, do not go!"
    scene.frame_set(1)
    bpy.ops.cteg.perform(takes=1)
    assert [segment.emotion for segment in shown().segments] == ["anger", "fear"]
